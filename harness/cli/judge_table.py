"""Calibrations in lines of at most 80 columns: one row a judge where there are several, then each judge's figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.cli.layout import columns_of, fit, wrap
from harness.model import Calibration, Estimate
from reports.calibration import Figure, JudgeView, view_of
from reports.text import UNKNOWN

_NAME = 34  # columns
_UNITS = {"%": " % ", "pt": " pt", "": "   "}


def lines(found: Sequence[Calibration]) -> Iterator[str]:
    if len(found) > 1:
        yield from _overview(found)
    for one in found:
        if len(found) > 1:
            yield ""
        yield from _of_judge(view_of(one))


def _overview(found: Sequence[Calibration]) -> Iterator[str]:
    """Shares in percent, biases in points."""
    yield f"{'judge':<{_NAME - 6}} {'cases':>6} {'kappa':>6} {'agree':>6} {'unread':>6} {'order':>6} {'longer':>7}"
    for one in found:
        name = one.judge if not one.capability else f"{one.judge} on {one.capability}"
        cells = [
            f"{one.n:,}".rjust(6),
            _cell(one.kappa, 1, 6, 2),
            _cell(one.agreement, 100, 6),
            _cell(one.unparsed_share, 100, 6),
        ]
        cells += [_cell(one.biases.get("order"), 100, 6), _cell(one.biases.get("longer"), 100, 7, sign=True)]
        yield f"{fit(name, _NAME - 6)} {' '.join(cells)}"


def _cell(estimate: Estimate | None, scale: float, width: int, digits: int = 1, *, sign: bool = False) -> str:
    if estimate is None or estimate.value is None:
        return UNKNOWN.rjust(width)
    return f"{scale * estimate.value:>{'+' if sign else ''}{width}.{digits}f}"


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
