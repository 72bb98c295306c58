"""``harness data dedup``: drop rows that say again what an earlier row said, and keep each aside with the row it repeats."""

from __future__ import annotations

import json
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data_options import open_source, source_options, watched

if TYPE_CHECKING:
    import numpy as np

    from harness.quality.dedup import Method
    from harness.quality.embedding import Embed
    from harness.quality.examples import Dropped, Example
    from harness.quality.files import DroppedFile, Source

_SHOWN = 10
_TOLD_EVERY_S = 10.0


@click.command("dedup")
@source_options
@click.option(
    "--method",
    "how",
    type=click.Choice(("exact", "rouge", "minhash", "semantic")),
    default="exact",
    show_default=True,
    help="exact: but for case and spacing; rouge: ROUGE-L; minhash: shared 3-word shingles; semantic: embeddings.",
)
@click.option("--threshold", type=float, help="From where on rows are alike: rouge above 0.7, minhash 0.7, semantic 0.9.")
@click.option(
    "--by",
    type=click.Choice(("all", "input", "instruction", "output")),
    default="all",
    show_default=True,
    help="What is compared: all of a row, all that is asked, the last thing a user says, the answer.",
)
@click.option("--model", help="semantic: folder of a sentence-transformers model. Default: the one of the extra `similar`.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the rows go that are kept, as they were read.")
@click.option("--dropped", type=click.Path(path_type=Path), help="Where the others go, with the reason. [OUT.dropped.jsonl]")
@click.option("--json", "as_json", is_flag=True, help="What was done, as one JSON object.")
def command(
    file: Path,
    form: str | None,
    columns: str | None,
    name: str | None,
    split: str | None,
    how: str,
    threshold: float | None,
    by: str,
    model: str | None,
    out: Path | None,
    dropped: Path | None,
    as_json: bool,
) -> None:
    """Find the rows of FILE that repeat an earlier row; without --out this only reports.

    The first of what is alike is kept. The same file gives the same decisions.
    """
    from harness.quality.dedup import method
    from harness.quality.examples import weight
    from harness.quality.files import DroppedFile

    chosen = method(how, threshold, lambda: told_embedder(model), weight)
    source = open_source(file, form, columns, name, split)
    aside = dropped or (out.with_name(out.name + ".dropped.jsonl") if out else None)
    with DroppedFile(aside) as left:
        found = _Found(source, how, by, left)
        kept = found.write(out, chosen)
    if as_json:
        click.echo(json.dumps(found.as_dict(kept, out, aside), ensure_ascii=False))
        return
    for line in found.lines(kept, out, aside):
        click.echo(line)


def told_embedder(model: str | None) -> Embed:
    """The embedder, telling on stderr every ten seconds how far it is: it is by far the slowest part of whatever uses it."""
    from harness.quality.embedding import local_embedder

    click.echo("loading the embedding model", err=True)
    embed, began, done = local_embedder(model), time.monotonic(), 0
    following = began + _TOLD_EVERY_S

    def told(texts: Sequence[str]) -> np.ndarray:
        nonlocal done, following
        vectors = embed(texts)
        done += len(texts)
        if (now := time.monotonic()) >= following:
            following = now + _TOLD_EVERY_S
            click.echo(f"embedded {done:,} texts, {done / (now - began):.0f} a second", err=True)
        return vectors

    return told


class _Found:
    """One pass over the file: rows go out as they come, what is dropped goes aside."""

    def __init__(self, source: Source, how: str, by: str, left: DroppedFile) -> None:
        self.source, self.how, self.by, self.left = source, how, by, left
        self.seen = array("Q")  # position -> line
        self.shown: list[str] = []  # what is dropped, for people

    def write(self, out: Path | None, method: Method[Any]) -> int:
        from harness.quality.files import write_examples

        kept = self._kept(method)
        return write_examples(out, kept, drop=self._drop).rows if out else sum(1 for _ in kept)

    def _kept(self, method: Method[Any]) -> Iterator[Example]:
        from harness.quality.dedup import text_of
        from harness.quality.examples import Dropped

        def text(row: Example | Dropped) -> str:
            """Rows that could not be read go through without words, like nothing, so that what is told keeps the file's order."""
            return "" if isinstance(row, Dropped) else text_of(row, self.by)

        for row, twin in method(self._rows(), text):
            if isinstance(row, Dropped):
                self._drop(row)
            elif twin is None:
                yield row
            else:
                line = self.seen[twin.of]
                what, nearest = f"repeats line {line}: {twin.why}", f"{self.source.path}:{line}"
                dropped = Dropped.of(row, f"duplicate-{self.how}", what, nearest=nearest, similarity=twin.similarity)
                self._drop(dropped, row.instruction)

    def _rows(self) -> Iterator[Example | Dropped]:
        for row in watched(self.source):
            self.seen.append(row.line)
            yield row

    def _drop(self, row: Dropped, text: str = "") -> None:
        self.left.add(row)
        if len(self.shown) < _SHOWN:
            self.shown.append(f"line {row.line} {row.what}" + (f" - {text[:80]}" if text else ""))

    def lines(self, kept: int, out: Path | None, aside: Path | None) -> Iterator[str]:
        from harness.cli.layout import fit
        from reports.text import plural, visible

        dropped = self.left.codes.total()
        yield visible(f"{self.source.path}: {plural(kept + dropped, 'row')}, {self.source.format.name} ({self.source.reason})")
        what = "" if self.by == "all" else f" by its {self.by}"
        yield f"{kept:,} kept, {dropped:,} dropped ({self.how}{what})" + (f": {_counts(self.left)}" if dropped else "")
        for line in self.shown:
            yield "  " + fit(line, 78).rstrip()
        if dropped > len(self.shown):
            yield f"  and {dropped - len(self.shown):,} more"
        if out:
            yield visible(f"written: {out}" + (f", dropped rows: {aside}" if dropped else ""))
        elif dropped:
            yield "nothing is written: --out FILE writes the rows that are kept"

    def as_dict(self, kept: int, out: Path | None, aside: Path | None) -> dict[str, Any]:
        return {
            "file": str(self.source.path),
            "method": self.how,
            "by": self.by,
            "kept": kept,
            "dropped": dict(self.left.codes),
            "output": str(out) if out else None,
            "dropped_file": str(aside) if aside and self.left.codes else None,
        }


def _counts(left: DroppedFile) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in left.codes.most_common())
