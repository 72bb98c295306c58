"""Options that the data commands share, and the files they open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.quality.examples import Unread
    from harness.quality.files import Source

Command = Callable[..., Any]
T = TypeVar("T")
_TOLD_EVERY_S = 10.0


def source_options(function: Command) -> Command:
    """FILE, --from, --columns, --name, --split: hand them to open_source."""
    for option in (
        click.argument("file", type=click.Path(path_type=Path)),
        click.option(
            "--from", "form", metavar="FORMAT", help="trl, messages, alpaca, sharegpt, v1. Default: found from the rows."
        ),
        click.option("--columns", metavar="A=B,...", help="Names of columns, e.g. prompt=question,response=answer."),
        click.option("--name", help="The data set meant, when FILE is a dataset_info.json or v1 YAML."),
        click.option("--split", help="The split meant, when FILE is a folder of the datasets library."),
    ):
        function = option(function)
    return function


def open_source(file: Path, form: str | None, columns: str | None, name: str | None, split: str | None) -> Source:
    from harness.quality.files import open_examples

    return open_examples(file, form=form, columns=column_names(columns), name=name, split=split)


def column_names(text: str | None) -> dict[str, str]:
    """``prompt=question,response=answer`` as a mapping."""
    from harness.plugs import nearest
    from harness.quality.formats.base import COLUMNS

    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair.strip()]
    if any(not equals or not name.strip() or not column.strip() for name, equals, column in pairs):
        raise UsageError(f"--columns {text!r} is not of the form name=column,name=column")
    if unknown := next((name.strip() for name, _, _ in pairs if name.strip() not in COLUMNS), None):
        raise UsageError(f"--columns knows no {unknown!r}", todo=nearest(unknown, list(COLUMNS)))
    return {name.strip(): column.strip() for name, _, column in pairs}


def watched(rows: Iterable[T]) -> Iterator[T]:
    """The rows, with a line on stderr every ten seconds: a large file takes minutes."""
    began = time.monotonic()
    following = began + _TOLD_EVERY_S
    for number, row in enumerate(rows, 1):
        yield row
        if (now := time.monotonic()) >= following:
            following = now + _TOLD_EVERY_S
            click.echo(f"{number:,} rows looked at, {number / (now - began):,.0f} a second", err=True)


def first_of(unread: Unread, *, most: int = 3) -> Iterator[str]:
    """The first rows that are not used, one a line of at most 80 columns, and how many more there are."""
    from harness.cli.layout import fit

    for line, reason in unread.first[:most]:
        yield "  " + fit(f"line {line}: {reason}", 78).rstrip()
    if (more := unread.rows - len(unread.first[:most])) and unread.first:
        yield f"  and {more:,} more"
