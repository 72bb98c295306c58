"""``harness data label-errors``: rows whose class label looks wrong, for people to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.data_options import first_of, open_source, source_options

if TYPE_CHECKING:
    from harness.quality.labelhints import LabelHints


@click.command("label-errors")
@source_options
@click.option("--label", "column", metavar="COLUMN", help="Where the class stands. Default: KTO's label, else the answer.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the folds.")
@click.option("--show", type=click.IntRange(min=0), default=20, show_default=True, help="So many of them.")
@click.option("--findings", type=click.Path(path_type=Path), help="Write every one here, one JSON object on each line.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as one JSON object.")
def command(
    file: Path,
    form: str | None,
    columns: str | None,
    name: str | None,
    split: str | None,
    column: str | None,
    seed: int,
    show: int,
    findings: Path | None,
    as_json: bool,
) -> None:
    """Say which rows of FILE, a classification data set, have a label that the other rows contradict (extra `labels`).

    Hints where to look, by a small model of letters that is trained here: nothing is dropped. Exit code 0.
    """
    from harness.errors import DataError
    from harness.quality.labelhints import label_hints

    source = open_source(file, form, columns, name, split)
    try:
        found = label_hints(source, column=column, seed=seed)
    except DataError as error:
        raise DataError(error.what, where=str(source.path), todo=error.todo) from None
    if findings:
        _write(findings, found)
    if as_json:
        told: dict[str, object] = {"rows": found.rows, "classes": found.classes, "left": found.left, "more": found.more}
        told |= {"unreadable": found.unread.rows, "first_unreadable": found.unread.told()}
        hints = [hint.as_dict() for hint in found.hints]
        click.echo(json.dumps(told | {"accuracy": round(found.accuracy, 4), "hints": hints}, ensure_ascii=False))
        return
    for line in lines(source.path.name, found, show):
        click.echo(line)


def _write(path: Path, found: LabelHints) -> None:
    from harness.quality.writers import open_writer

    with open_writer(path, kind=".jsonl") as writer:
        for hint in found.hints:
            writer.write(hint.as_dict())


def lines(file: str, found: LabelHints, show: int) -> Iterator[str]:
    """In at most 80 columns."""
    from harness.cli.layout import fit, wrap
    from reports.text import label, plural

    head = (
        f"{label(file, 60)}: {plural(found.rows, 'row')} of {len(found.classes):,} classes, {plural(len(found.hints), 'label')} "
    )
    yield from wrap(f"{head}look wrong ({len(found.hints) / found.rows:.1%})", 80, indent="  ")
    model = f"the model gives the label that stands there to {found.accuracy:.1%} of the rows it has not seen"
    yield from wrap(model + ("" if found.accuracy >= 0.8 else ": too few for its hints to mean much"), 80, indent="  ")
    if found.left:
        yield f"{plural(found.left, 'row')} without a class, or of a class that is too small, left out"
    if found.unread.rows:
        yield f"{plural(found.unread.rows, 'row')} could not be read"
        yield from first_of(found.unread)
    if found.more:
        yield f"the file has more rows: only the first {found.rows + found.left + found.unread.rows:,} were looked at"
    for hint in found.hints[:show]:
        given, likelier = label(hint.given, 20), label(hint.likelier, 20)
        told = f"line {hint.line:,}: {given!r} ({hint.p_given:.0%}), likelier {likelier!r} ({hint.p_likelier:.0%})"
        yield f"  {fit(told, 78).rstrip()}"
        yield f"    {fit(label(hint.text, 200), 76).rstrip()}"
    if len(found.hints) > show:
        yield f"  and {len(found.hints) - show:,} more (--show, --findings)"
