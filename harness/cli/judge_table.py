"""Calibrations in lines of at most 80 columns: one row a judge where there are several, then each judge's figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from harness.calibration import FAIL, FIRST, PASS, SECOND, TIE
from harness.cli.layout import columns_of, fit
from harness.model import Calibration, Estimate
from reports.text import UNKNOWN, plural

_NAME = 34  # columns
_SAYS = {FIRST: "first", SECOND: "second", TIE: "tie", PASS: "pass (TPR)", FAIL: "fail (TNR)"}
_BIASES = {
    "order": ("the order changes the verdict", "%"),
    "first": ("picks the first shown, over people", "pt"),
    "longer": ("picks the longer, over people", "pt"),
    "prefers longer": ("picks the longer", "%"),
    "own": ("picks its own, over people", "pt"),
    "lenient": ("passes, over people", "pt"),
    "lenient by score": ("score, over people's", "pt"),
}
_MARKS = {"%": " % ", "pt": " pt", "": "   "}


def lines(found: Sequence[Calibration]) -> Iterator[str]:
    if len(found) > 1:
        yield from _overview(found)
    for one in found:
        if len(found) > 1:
            yield ""
        yield from _of_judge(one)


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


def _of_judge(one: Calibration) -> Iterator[str]:
    where = f" on {fit(one.capability, 20).rstrip()}" if one.capability else ""
    told = f"{where}: {one.kind}, {plural(one.n_labels, 'labelled case')}, {one.n:,} with a verdict"
    yield fit(one.judge, max(80 - columns_of(told), 8)).rstrip() + told
    yield f"  {'':<{_NAME}} {'value':>7}      {'95 % interval':<18} {'cases':>6}"
    yield from _row("kappa", one.kappa, "")
    yield from _row("agreement", one.agreement, "%")
    yield from _row("agreement, no verdict as a miss", one.agreement_all, "%")
    yield from _row("no verdict", one.unparsed_share, "%")
    for word, estimate in one.recall.items():
        yield from _row(f"says {_SAYS[word]} where people do", estimate, "%")
    yield from _row("alpha with people's scores", one.scale, "")
    for name, estimate in one.biases.items():
        text, unit = _BIASES[name]
        yield from _row(text, estimate, unit)
    for name, estimate in one.usage.items():
        yield from _row(f"{name} per 1,000 cases", estimate, "", digits=0)
    for name, estimate in one.people.items():
        yield from _row(f"people: {name}", estimate, "")
    yield from _confusion(one)
    for title, counts in (("no verdict", one.unparsed), ("left out", one.left_out)):
        if counts:
            told = ", ".join(f"{fit(why, 50).rstrip()} {n:,}" for why, n in counts.items())
            yield from textwrap.wrap(f"  {title}: {told}", 80, subsequent_indent="    ", break_long_words=False)


def _row(name: str, estimate: Estimate | None, unit: str, *, digits: int | None = None) -> Iterator[str]:
    if estimate is None:
        return
    head = f"  {fit(name, _NAME)}"
    if estimate.value is None:
        yield from _with_reason(f"{head} {UNKNOWN:>7}  ", estimate.reason)
        return
    scale = 100.0 if unit else 1.0
    places = digits if digits is not None else 1 if unit else 2
    sign = "+" if unit == "pt" else ""
    value = f"{head} {scale * estimate.value:>{sign}7,.{places}f}{_MARKS[unit]}"
    if estimate.low is None or estimate.high is None:
        yield from _with_reason(value, estimate.reason)
        return
    low, high = (f"{scale * bound:{sign},.{places}f}" for bound in (estimate.low, estimate.high))
    yield f"{value}   {f'{low} to {high}':<18} {estimate.n:>6,}"


def _with_reason(head: str, reason: str) -> Iterator[str]:
    room = 80 - columns_of(head) - 2
    first, *rest = textwrap.wrap(reason, room) or [""]
    yield f"{head}  {first}"
    for line in rest:
        yield f"{' ' * (columns_of(head) + 2)}{line}"


def _confusion(one: Calibration) -> Iterator[str]:
    """People's verdict by row, the judge's by column."""
    names = list(one.confusion)
    if not names:
        return
    yield f"  {'people say, and the judge says':<{_NAME}} " + "".join(f"{_SAYS[name].split()[0]:>9}" for name in names)
    for name in names:
        yield f"  {'  ' + _SAYS[name].split()[0]:<{_NAME}} " + "".join(f"{one.confusion[name].get(b, 0):>9,}" for b in names)
