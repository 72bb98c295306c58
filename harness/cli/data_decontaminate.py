"""``harness data decontaminate``: which training rows repeat what a suite asks. Reports; deletes only when told to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data_options import first_of, open_source, source_options, watched
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.quality.decontaminate import Judged, Methods, Overlap
    from harness.quality.examples import Dropped, Example
    from harness.quality.files import Source
    from harness.quality.leaks import Target


@click.command("decontaminate")
@source_options
@click.option("--suite", "suite_path", type=click.Path(path_type=Path), help="The suite whose cases must not be in the rows.")
@click.option("--cases", "split_of_cases", type=click.Choice(("gate", "dev", "all")), default="gate", show_default=True)
@click.option("--against", type=click.Path(path_type=Path), help="Instead of a suite: a file of rows that must not be in FILE.")
@click.option("--against-columns", metavar="A=B,...", help="Its columns, e.g. prompt=question,response=answer.")
@click.option("--methods", "named", help="exact, N-gram, near, minhash, rephrase. Default: exact,13-gram,8-gram,near.")
@click.option(
    "--near", type=click.FloatRange(0, 1, min_open=True), default=0.7, show_default=True, help="Jaccard of 3-word shingles."
)
@click.option("--show", type=click.IntRange(min=0), default=5, show_default=True, help="Overlaps to show, the worst first.")
@click.option("--endpoint", help="rephrase: address of the server whose model is asked (.../v1).")
@click.option("--model", "judge_model", help="rephrase: the model's name there. The key is read from OPENAI_API_KEY.")
@click.option(
    "--embedding-model", help="rephrase: folder of a sentence-transformers model. Default: that of the extra `similar`."
)
@click.option("--top", type=click.IntRange(min=1), default=1, show_default=True, help="rephrase: rows looked at for each case.")
@click.option("--cosine", type=click.FloatRange(-1, 1), default=0.6, show_default=True, help="rephrase: from where on one asks.")
@click.option(
    "--delete", is_flag=True, help="Write the rows to --out without those found; 8-gram counts only if --methods names it."
)
@click.option("--out", type=click.Path(path_type=Path), help="With --delete: where the other rows go.")
@click.option("--dropped", type=click.Path(path_type=Path), help="With --delete: where those found go. [OUT.dropped.jsonl]")
@click.option("--json", "as_json", is_flag=True, help="Everything, with every overlap, as one JSON object.")
def command(
    file: Path,
    form: str | None,
    columns: str | None,
    name: str | None,
    split: str | None,
    suite_path: Path | None,
    split_of_cases: str,
    against: Path | None,
    against_columns: str | None,
    named: str | None,
    near: float,
    show: int,
    endpoint: str | None,
    judge_model: str | None,
    embedding_model: str | None,
    top: int,
    cosine: float,
    delete: bool,
    out: Path | None,
    dropped: Path | None,
    as_json: bool,
) -> int:
    """Say which rows of FILE repeat cases of a suite (or rows of another file), and show the words they share.

    Exit code 0: nothing was found but shared 8-grams, which are mostly templates, or what was found is deleted; 1: something was;
    4: rephrase got no answer about some pairs, so that nothing can be said of them.
    """
    from harness.quality.decontaminate import DEFAULT_METHODS, Methods, tallies

    if (suite_path is None) == (against is None):
        raise UsageError("say what the rows are held against", todo="give --suite SUITE or --against FILE, one of them")
    if delete != (out is not None):
        raise UsageError("--delete and --out belong together", todo="give both, or neither to only look")
    methods = Methods.parse(named or ",".join(DEFAULT_METHODS))
    counting = {method for method in methods.names if named is not None or method != "8-gram"}
    source = open_source(file, form, columns, name, split)
    targets = _suite_targets(suite_path, split_of_cases) if suite_path else _file_targets(against, against_columns)
    if not targets:
        raise UsageError(
            f"{suite_path or against} has no {split_of_cases if suite_path else ''} texts to look for".replace("  ", " ")
        )
    look = _Look(source, targets, methods, counting)
    look.words(near)
    if "rephrase" in methods.names:
        look.rephrased(endpoint, judge_model, embedding_model, top, cosine)
    aside = dropped or (out.with_name(out.name + ".dropped.jsonl") if out else None)
    kept = look.delete(out, aside) if out else None
    if as_json:
        click.echo(json.dumps(look.as_dict(tallies(look.found, methods), kept, out), ensure_ascii=False))
    else:
        for line in look.lines(tallies(look.found, methods), show, kept, out):
            click.echo(line)
    if look.counted and not delete:
        return 1
    return 4 if look.answers["unanswered"] else 0


def _suite_targets(path: Path, which: str) -> list[Target]:
    from harness.model import Split
    from harness.quality.leaks import targets_of
    from harness.suite import load_suite

    suite = load_suite(path, check_models=False)
    cases = [case for capability in suite.capabilities.values() for case in capability.all_cases]
    return list(targets_of(case for case in cases if which == "all" or case.split is Split(which)))


def _file_targets(path: Path | None, columns: str | None) -> list[Target]:
    from harness.quality.decontaminate import targets_of_rows
    from harness.quality.examples import Example

    assert path is not None
    rows = open_source(path, None, columns, None, None)
    return list(targets_of_rows(row for row in rows if isinstance(row, Example)))


class _Look:
    """What is found, row by row. A second reading of the file deletes, so that nothing is held but what was found."""

    def __init__(self, source: Source, targets: Sequence[Target], methods: Methods, counting: set[str]) -> None:
        from harness.quality.examples import Unread

        self.source, self.targets, self.methods, self.counting = source, targets, methods, counting
        self.found: list[Overlap] = []
        self.rows = 0
        self.unread = Unread()
        self.aside: Path | None = None  # where rows are that delete() took out or could not read
        self.answers: Counter[str] = Counter()

    @property
    def counted(self) -> dict[int, Overlap]:
        """line -> the worst overlap by a method that counts."""
        found = [overlap for overlap in self.found if self.counting.intersection(overlap.methods)]
        return {overlap.line: overlap for overlap in reversed(found)}

    def examples(self) -> Iterator[Example]:
        from harness.quality.examples import Dropped, Unread

        self.rows, self.unread = 0, Unread()
        for row in watched(self.source):
            self.rows += 1
            if isinstance(row, Dropped):
                self.unread.add(row)
            else:
                yield row

    def words(self, near: float) -> None:
        from harness.quality.decontaminate import overlaps, worst_first

        index = self.methods.index(self.targets, near)
        self.found = worst_first(overlap for row in self.examples() for overlap in overlaps(row, index, self.methods))

    def rephrased(self, endpoint: str | None, model: str | None, embedding: str | None, top: int, cosine: float) -> None:
        from harness.cli.data_dedup import told_embedder
        from harness.quality.decontaminate import counted, neighbours, worst_first

        if endpoint is None or model is None:
            raise UsageError(
                "rephrase asks a model", todo="give --endpoint URL and --model NAME, or leave rephrase out of --methods"
            )
        inputs = [target for target in self.targets if target.part == "input"]
        pairs = neighbours(self.examples(), inputs, told_embedder(embedding), top=top, floor=cosine)
        judged = _asked(pairs, endpoint, model)
        self.answers = counted(judged)
        self.found = worst_first([*self.found, *(one.overlap() for one in judged if one.rephrased)])

    def delete(self, out: Path, aside: Path | None) -> int:
        from harness.quality.examples import Dropped
        from harness.quality.files import DroppedFile, write_examples

        gone = self.counted
        with DroppedFile(aside) as left:

            def kept() -> Iterator[Example | Dropped]:
                for row in watched(self.source):
                    overlap = gone.get(row.line)
                    if isinstance(row, Dropped) or overlap is None:
                        yield row
                    else:
                        target, how = overlap.leak.target, ", ".join(overlap.methods)
                        what = f"repeats the case {target.id} ({how}): {overlap.leak.span[:200]}"
                        nearest = target.source or target.id
                        yield Dropped.of(row, "contaminated", what, nearest=nearest, similarity=overlap.leak.similarity)

            written = write_examples(out, kept(), drop=left.add).rows
        self.aside = aside if left.codes else None
        return written

    def lines(self, told: Sequence[Any], show: int, kept: int | None, out: Path | None) -> Iterator[str]:
        from reports.text import plural, visible

        cases = len({target.id for target in self.targets})
        yield visible(f"{self.source.path}: {plural(self.rows, 'row')} against {plural(cases, 'case')}")
        if self.unread.rows:
            yield f"{plural(self.unread.rows, 'row')} not looked at, which cannot be read:"
            yield from first_of(self.unread)
        yield f"  {'method':<10}{'rows':>8}{'cases':>8}"
        for tally in told:
            yield f"  {tally.method:<10}{tally.rows:>8,}{tally.cases:>8,}"
        if self.answers:
            yield "  asked about " + ", ".join(f"{count:,} {what}" for what, count in sorted(self.answers.items()))
        for overlap in self.found[:show]:
            yield from _shown(overlap)
        if len(self.found) > show:
            yield f"{len(self.found) - show:,} more: --show N shows more of them, --json all"
        if kept is not None:
            see = f", see {self.aside}" if self.aside else ""
            yield visible(f"written: {out}, {plural(kept, 'row')}; {len(self.counted):,} taken out{see}")
        elif self.found:
            yield "nothing is deleted: --delete --out FILE writes the rows without those found"

    def as_dict(self, told: Sequence[Any], kept: int | None, out: Path | None) -> dict[str, Any]:
        return {
            "file": str(self.source.path),
            "rows": self.rows,
            "unreadable": self.unread.rows,
            "first_unreadable": self.unread.told(),
            "cases": len({target.id for target in self.targets}),
            "methods": {tally.method: {"rows": tally.rows, "cases": tally.cases} for tally in told},
            "rephrase_answers": dict(self.answers),
            "overlaps": [overlap.as_dict() for overlap in self.found],
            "kept": kept,
            "output": str(out) if out else None,
            "dropped_file": str(self.aside) if self.aside else None,
        }


def _shown(overlap: Overlap) -> Iterator[str]:
    import textwrap

    from reports.text import label

    leak = overlap.leak
    alike = "cosine" if leak.how == "rephrase" else "Jaccard"
    how = f"{leak.words} words" if leak.words else f"{alike} {leak.similarity:.2f}"
    source = label(Path(leak.target.source).name, 30)
    head = f"line {overlap.line} and case {leak.target.id} {source}: {', '.join(overlap.methods)}, {how}"
    yield from textwrap.wrap(head, 80, subsequent_indent="    ", break_long_words=False)
    yield from textwrap.wrap(label(leak.span, 300), 76, initial_indent="    ", subsequent_indent="    ", break_long_words=False)
    if not leak.words:
        text = f"case: {label(leak.target.text, 300)}"
        yield from textwrap.wrap(text, 76, initial_indent="    ", subsequent_indent="    ", break_long_words=False)


def _asked(pairs: Sequence[Any], endpoint: str, model: str) -> list[Judged]:
    import asyncio
    import os

    from harness.cli.progress import watcher
    from harness.client import OpenAIClient
    from harness.model import Candidate, digest_of
    from harness.quality.decontaminate import judge

    async def run() -> list[Judged]:
        seen = watcher()
        async with OpenAIClient(endpoint, api_key=os.environ.get("OPENAI_API_KEY"), concurrency=32, stream="never") as client:
            await client.require_model(model)
            candidate = Candidate("judge", model, digest_of([endpoint, model]), kind="endpoint", base_url=endpoint)
            seen.begin("asking", len(pairs))
            try:
                return await judge(
                    pairs, client, candidate, lambda one: seen.advance(cached=False, errored=one.rephrased is None)
                )
            finally:
                seen.end()

    return asyncio.run(run())
