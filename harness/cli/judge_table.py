"""Calibrations in lines of at most 80 columns: one row a judge where there are several, then each judge's figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.cli.layout import columns_of, fit, wrap
from harness.model import Calibration
from reports.calibration import Figure, JudgeView, Table, tables_of, view_of
from reports.text import UNKNOWN

_NAME = 34  # columns
_LEAST_NAME = 10  # of a judge, whatever the figures take
_UNITS = {"%": " % ", "pt": " pt", "": "   "}


def lines(found: Sequence[Calibration]) -> Iterator[str]:
    for table in tables_of(found):
        yield from _beside(table)
    for one in found:
        if len(found) > 1:
            yield ""
        yield from _of_judge(view_of(one))


def _beside(table: Table) -> Iterator[str]:
    """Shares in percent, biases in points, tokens and seconds per 1,000 cases."""
    heads = ["cases", *(column.short for column in table.columns)]
    rows = [[row.cases, *(UNKNOWN if figure is None else figure.value for figure in row.figures)] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    name = max(_LEAST_NAME, min(_NAME, 80 - sum(width + 1 for width in widths)))
    for first, cells in [("judge", heads), *((row.name, cells) for row, cells in zip(table.rows, rows, strict=True))]:
        yield f"{fit(first, name)} {' '.join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))}"


def _of_judge(view: JudgeView) -> Iterator[str]:
    yield f"{fit(view.name, 78 - columns_of(view.summary)).rstrip()}: {view.summary}"
    yield f"  {'':<{_NAME}} {'value':>7}      {'95 % interval':<18} {'cases':>6}"
    for figure in view.figures:
        yield from _row(figure)
    if view.confusion:
        yield f"  {'people say, and the judge says':<{_NAME}} " + "".join(f"{name:>9}" for name in view.verdicts)
    for name, cells in view.confusion:
        yield f"  {'  ' + name:<{_NAME}} " + "".join(f"{cell:>9}" for cell in cells)
    for note in view.notes:
        yield from wrap(f"  {note}", 80, indent="    ")


def _row(figure: Figure) -> Iterator[str]:
    head = f"  {fit(figure.name, _NAME)} {figure.value:>7}{_UNITS[figure.unit]}"
    if not figure.reason:
        yield f"{head}   {figure.interval:<18} {figure.cases:>6}"
        return
    yield from wrap(f"{head}   {figure.reason}", 80, indent=" " * (columns_of(head) + 3))
