"""``harness data convert``: training data in another format or kind of file, with every row that cannot be said kept aside."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data_options import first_of, open_source, source_options, watched

if TYPE_CHECKING:
    from harness.quality.examples import Dropped, Example
    from harness.quality.files import DroppedFile, Source, Written

_SHAPES = ("messages", "completion", "preference", "unpaired", "prompt")


@click.command("convert")
@source_options
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--to", metavar="FORMAT", default="trl", show_default=True, help="trl, messages, alpaca, sharegpt, v1.")
@click.option("--as", "shape", type=click.Choice(_SHAPES), help="Make rows of this kind first (a preference gives two unpaired).")
@click.option("--dropped", type=click.Path(path_type=Path), help="Where rows go that cannot be written. [OUTPUT.dropped.jsonl]")
@click.option("--info", metavar="NAME", help="Also name the file in the dataset_info.json beside OUTPUT, under this name.")
@click.option("--json", "as_json", is_flag=True, help="What was done, as one JSON object.")
def command(
    file: Path,
    form: str | None,
    columns: str | None,
    name: str | None,
    split: str | None,
    output: Path,
    to: str,
    shape: str | None,
    dropped: Path | None,
    info: str | None,
    as_json: bool,
) -> int:
    """Write FILE as OUTPUT, in another format (--to) or kind of file (by the ending; none: a `datasets` folder).

    Exit code 0: every row is written; 1: some could not be, they are in the file of dropped rows with the reason.
    """
    from harness.quality.files import DroppedFile, write_examples

    source = open_source(file, form, columns, name, split)
    aside = dropped or output.with_name(output.name + ".dropped.jsonl")
    with DroppedFile(aside) as left:
        done = write_examples(output, _reshaped(source, shape), to=to, drop=left.add)
    if info and done.first is not None:
        _tell_llamafactory(output, info, to, done.first)
    said = click.echo if not as_json else lambda _: None
    for line in _lines(source, output, to, done, left, aside):
        said(line)
    if as_json:
        click.echo(json.dumps(_as_dict(source, output, to, done, left.codes, aside), ensure_ascii=False))
    return 1 if left.codes else 0


def _reshaped(source: Source, shape: str | None) -> Iterator[Example | Dropped]:
    from harness.quality.examples import Dropped, Kind
    from harness.quality.formats import Unfit
    from harness.quality.formats.reshape import reshape

    for row in watched(source):
        if isinstance(row, Dropped) or shape is None:
            yield row
            continue
        try:
            yield from reshape(row, Kind(shape))
        except Unfit as error:
            yield Dropped.of(row, error.code, error.what)


def _tell_llamafactory(output: Path, name: str, to: str, first: Example) -> None:
    """Add the file to the dataset_info.json beside it; what the file says of other data sets stays."""
    from harness import plugs
    from harness.errors import DataError
    from harness.quality.formats.info import INFO, read_info

    entry = plugs.find("data format", to).entry
    if entry is None:
        raise DataError(f"LLaMA-Factory's dataset_info.json cannot describe {to}", todo="Write --to alpaca, sharegpt or messages")
    path = output.parent / INFO
    if path.is_file():
        read_info(path)  # says what is wrong with it
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig")) if path.is_file() else {}
    known[name] = {"file_name": output.name, **entry(first)}
    path.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _lines(source: Source, output: Path, to: str, done: Written, left: DroppedFile, aside: Path) -> Iterator[str]:
    from reports.text import plural, visible

    yield visible(f"{source.path}: {source.format.name} ({source.reason})")
    yield visible(f"{output}: {plural(done.rows, 'row')} written as {to}")
    for text, rows in done.lost.most_common():
        yield f"  {plural(rows, 'row')}: {visible(text)}"
    if left.codes:
        reasons = ", ".join(f"{count:,} {code}" for code, count in left.codes.most_common())
        yield f"{plural(left.codes.total(), 'row')} not written ({reasons}): see {visible(str(aside))}"
        yield from first_of(left.told)


def _as_dict(source: Source, output: Path, to: str, done: Written, codes: Counter[str], aside: Path) -> dict[str, Any]:
    return {
        "file": str(source.path),
        "from": source.format.name,
        "reason": source.reason,
        "output": str(output),
        "to": to,
        "written": done.rows,
        "lost": dict(done.lost),
        "dropped": dict(codes),
        "dropped_file": str(aside) if codes else None,
    }
