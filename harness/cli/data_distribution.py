"""``harness data distribution``: what training data is made of and what to add to it, in lines of at most 80 columns."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.data_options import first_of, open_source, source_options, watched
from harness.cli.options import open_store, store_option
from harness.errors import IncompleteError, UsageError

if TYPE_CHECKING:
    from harness.quality.askedtypes import Asked
    from harness.quality.distribution import Cover, Distribution, FailingCase, Gap
    from harness.quality.examples import Example

_BAR = 24  # columns of a full bar
_SHOWN = 12  # parts of a dimension


@click.command("distribution")
@source_options
@click.option("--target", type=click.Path(path_type=Path), help="YAML: tasks, languages, turns or lengths -> part -> share.")
@click.option("--run", "reference", help="Compare with the failing dev cases of this stored run (needs the extra `similar`).")
@click.option("--topics", type=click.IntRange(2, 100), help="Also find so many topics by embeddings (needs the extra `similar`).")
@click.option("--model", help="Folder of a sentence-transformers model. Default: the one of the extra `similar`.")
@click.option("--endpoint", help="Ask a model for task types instead of rules: its server (.../v1). Key: OPENAI_API_KEY.")
@click.option("--endpoint-model", "asked_model", help="The model's name there.")
@click.option(
    "--answers", type=click.Path(path_type=Path), help="Folder where its answers are kept, and known ones are read from."
)
@click.option("--ask", type=click.IntRange(1, 20_000), default=500, show_default=True, help="So many rows, drawn at random.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the samples and of the topics.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
@store_option
def command(
    file: Path,
    form: str | None,
    columns: str | None,
    name: str | None,
    split: str | None,
    target: Path | None,
    reference: str | None,
    topics: int | None,
    model: str | None,
    endpoint: str | None,
    asked_model: str | None,
    answers: Path | None,
    ask: int,
    seed: int,
    as_json: bool,
    store_dir: Path,
) -> int:
    """Say what FILE is made of: task types, languages, turns, lengths, topics; and what to add to it.

    Exit code 0; 1 when a --target is missed by more than two points or a failing capability has cases without any row near;
    4 when the model gave no answer about some rows (run it again).
    """
    from harness.quality.distribution import cover, distribution, gaps, read_target, with_topics
    from reports.text import plural

    wanted = read_target(target) if target else {}
    failing = _failing(store_dir, reference) if reference else []
    asking = _asking(endpoint, asked_model, answers)
    found = distribution(watched(open_source(file, form, columns, name, split)), seed=seed, to_ask=ask if asking else 0)
    if asking:
        found.asked = _asked(found.to_ask, *asking)
    told = gaps(found, wanted) if wanted else []
    covers: list[Cover] = []
    if topics or failing:
        from harness.quality.embedding import local_embedder

        embed = local_embedder(model)
        vectors = with_topics(found, embed, topics or 12, seed=seed)
        covers = cover(found, vectors, failing, embed)
    if as_json:
        click.echo(json.dumps(as_dict(found, told, covers), ensure_ascii=False))
    else:
        for line in lines(found, told, covers, failing if reference else None):
            click.echo(line)
    if found.asked and found.asked.failed:
        raise IncompleteError(
            f"{plural(found.asked.failed, 'row')} could not be asked about: {found.asked.why_failed}",
            todo="Run the same command again",
        )
    return 1 if any(gap.missed for gap in told) or any(each.far for each in covers) else 0


def _asking(endpoint: str | None, model: str | None, answers: Path | None) -> tuple[str, str, Path] | None:
    if endpoint and model and answers:
        return endpoint, model, answers
    if endpoint or model or answers:
        raise UsageError("to ask a model for task types takes --endpoint, --endpoint-model and --answers", todo="give all three")
    return None


def _asked(rows: Sequence[Example], endpoint: str, model: str, folder: Path) -> Asked:
    """What the model says of these rows. The server is not needed where the journal knows all of it."""
    import asyncio
    import os

    from harness.cli.progress import watcher
    from harness.client import OpenAIClient
    from harness.model import Candidate, digest_of
    from harness.quality.askedtypes import ask_types, question, settings
    from harness.quality.selfinstruct.journal import Journal

    candidate = Candidate("sorter", model, digest_of(["task types", model]), kind="endpoint", base_url=endpoint)

    async def run() -> Asked:
        seen = watcher()
        async with OpenAIClient(endpoint, api_key=os.environ.get("OPENAI_API_KEY"), concurrency=32, stream="never") as client:
            if any(question(row, candidate).key not in journal.answers for row in rows):
                await client.require_model(model)
            seen.begin("asking", len(rows))
            try:
                return await ask_types(
                    rows, client, candidate, journal, lambda known, failed: seen.advance(cached=known, errored=failed)
                )
            finally:
                seen.end()

    with Journal(folder, settings(model)) as journal:
        return asyncio.run(run())


def _failing(store_dir: Path, reference: str) -> list[FailingCase]:
    """The dev cases of a run of which no sample passes, with what they ask. Gate cases are never looked at: data follows."""
    from harness.cli import stored
    from harness.model import ItemStatus, Split
    from harness.quality.distribution import FailingCase

    passed: dict[tuple[str, str], bool] = {}
    texts: dict[tuple[str, str], str] = {}
    with open_store(store_dir) as store:
        run, _ = stored.named(store, reference)
        for item in store.items(run.id, status=ItemStatus.SCORED):
            if item.case.split is not Split.DEV or item.score is None:
                continue
            key = (item.case.capability, item.case.id)
            passed[key] = passed.get(key, False) or bool(item.score.passed)
            texts[key] = next((m.content for m in reversed(item.messages) if m.role == "user"), "")
    return [FailingCase(capability, case, texts[capability, case]) for (capability, case), good in passed.items() if not good]


def lines(
    found: Distribution, told: Sequence[Gap], covers: Sequence[Cover], failing: Sequence[FailingCase] | None
) -> Iterator[str]:
    from reports.text import plural

    skipped = found.unread.rows
    yield plural(found.rows, "row") + (f" ({plural(skipped, 'row')} could not be read)" if skipped else "")
    yield from first_of(found.unread)
    for dimension in ("tasks", "languages", "turns", "lengths"):
        yield from _dimension(_title(found, dimension), found.of(dimension), found.base(dimension))
    yield from _topics(found)
    if told:
        yield "against the target, at the same number of rows:"
        for gap in told:
            yield from _wrapped(gap.sentence)
    if failing is not None and not failing:
        yield "against the run: no dev case fails (gate cases are not looked at: data would follow them)"
    elif covers:
        yield "against the failing dev cases of the run:"
        for each in covers:
            yield from _wrapped(each.sentence)


def _title(found: Distribution, dimension: str) -> str:
    asked = found.asked
    if dimension != "tasks" or asked is None:
        return "answer lengths" if dimension == "lengths" else dimension
    sample = "" if asked.rows == found.rows else f" of {found.rows:,}"
    agree = f"; rules say the same of {asked.agree / asked.rows:.0%}" if asked.rows else ""
    return f"tasks, as the model says of {asked.rows:,}{sample} rows{agree}"


def _dimension(name: str, counts: Counter[str], rows: int) -> Iterator[str]:
    from harness.cli.layout import fit

    if not rows:
        return
    yield name
    for part, count in counts.most_common(_SHOWN):
        bar = "█" * max(1, round(_BAR * count / rows))
        yield f"  {fit(part, 22)}{count:>9,} {count / rows:>6.1%}  {bar}"
    if len(counts) > _SHOWN:
        rest = sum(count for _, count in counts.most_common()[_SHOWN:])
        yield f"  {fit(f'{len(counts) - _SHOWN} more', 22)}{rest:>9,} {rest / rows:>6.1%}"


def _topics(found: Distribution) -> Iterator[str]:
    from harness.cli.layout import fit

    if found.topics is None:
        return
    of = len(found.sample)
    yield f"topics of {of:,} rows" + (" (a sample)" if of < found.rows else "")
    for topic in found.topics.topics:
        line, text = found.sample[topic.nearest[0]]
        yield f"  {fit(topic.name, 30)}{topic.count:>7,} {topic.count / of:>6.1%}  {fit(f'line {line}: {text}', 30).rstrip()}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 80, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def as_dict(found: Distribution, told: Sequence[Gap], covers: Sequence[Cover]) -> dict[str, object]:
    from harness.store.rows import plain

    return found.as_dict() | {
        "target": [plain(gap) | {"sentence": gap.sentence} for gap in told],
        "failing": [plain(each) | {"sentence": each.sentence} for each in covers],
    }
