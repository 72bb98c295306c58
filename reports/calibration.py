"""Judges held against people, in words: the figures that the terminal's table and the page both show, and the page.

Shares are in percent, biases in points, and a figure that cannot be told has its reason in place of an interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.calibration import FAIL, FIRST, PASS, SECOND, TIE
from harness.model import Calibration, Estimate
from reports.html import page
from reports.text import UNKNOWN, label, plural

VERDICTS = {FIRST: "first", SECOND: "second", TIE: "tie", PASS: "pass", FAIL: "fail"}
_RATES = {PASS: "pass (TPR)", FAIL: "fail (TNR)"}
_BIASES = {
    "order": ("the order changes the verdict", "%"),
    "first": ("picks the first shown, over people", "pt"),
    "longer": ("picks the longer, over people", "pt"),
    "prefers longer": ("picks the longer", "%"),
    "own": ("picks its own, over people", "pt"),
    "lenient": ("passes, over people", "pt"),
    "lenient by score": ("score, over people's", "pt"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One figure of the table that holds judges beside each other. short: its name where there is little room."""

    short: str
    name: str
    of: Callable[[Calibration], Estimate | None]
    unit: str = ""
    digits: int | None = None


_COLUMNS = (
    Column("kappa", "Kappa", lambda one: one.kappa),
    Column("agree", "Agreement", lambda one: one.agreement, "%"),
    Column("unread", "No verdict", lambda one: one.unparsed_share, "%"),
    Column("order", "Order", lambda one: one.biases.get("order"), "%"),
    Column("longer", "Longer", lambda one: one.biases.get("longer"), "pt"),
    Column("own", "Own", lambda one: one.biases.get("own"), "pt"),
    Column("passes", "Passes", lambda one: one.biases.get("lenient"), "pt"),
    Column("tokens", "Tokens", lambda one: one.usage.get("tokens"), digits=0),
    Column("seconds", "Seconds", lambda one: one.usage.get("seconds"), digits=0),
)
_ALWAYS = 3  # of these columns; the others where some judge has the figure


@dataclass(frozen=True, slots=True)
class Row:
    """One judge in the table. figures: in the order of its columns; None: it has no such figure."""

    name: str
    cases: str
    figures: tuple[Figure | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Judges of one kind beside each other, as in AlpacaEval's table of annotators."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. unit: "%", "pt" or nothing. interval is empty where reason says why there is none."""

    name: str
    value: str
    unit: str
    interval: str
    cases: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class JudgeView:
    """One judge on its labelled cases; every text fit to be shown."""

    name: str
    summary: str
    figures: tuple[Figure, ...]
    verdicts: tuple[str, ...]  # columns of confusion
    confusion: tuple[tuple[str, tuple[str, ...]], ...]  # people's verdict, cases by the judge's
    notes: tuple[str, ...]


def tables_of(found: Sequence[Calibration]) -> Iterator[Table]:
    """Every judge in one line, one table a kind; nothing where there is only one judge."""
    for kind in dict.fromkeys(one.kind for one in found) if len(found) > 1 else ():
        judges = [one for one in found if one.kind == kind]
        columns = tuple(c for i, c in enumerate(_COLUMNS) if i < _ALWAYS or any(c.of(one) for one in judges))
        yield Table(columns, tuple(Row(_name(one), f"{one.n:,}", tuple(_cells(one, columns))) for one in judges))


def _cells(one: Calibration, columns: Sequence[Column]) -> Iterator[Figure | None]:
    for column in columns:
        estimate = column.of(one)
        yield None if estimate is None else _figure(column.short, estimate, column.unit, digits=column.digits)


def _name(one: Calibration) -> str:
    return label(one.judge, 80) + (f" on {label(one.capability, 40)}" if one.capability else "")


def view_of(one: Calibration) -> JudgeView:
    names = list(one.confusion)
    return JudgeView(
        name=_name(one),
        summary=f"{one.kind}, {plural(one.n_labels, 'labelled case')}, {one.n:,} with a verdict",
        figures=tuple(_figures(one)),
        verdicts=tuple(VERDICTS[name] for name in names),
        confusion=tuple((VERDICTS[a], tuple(f"{one.confusion[a].get(b, 0):,}" for b in names)) for a in names),
        notes=tuple(_notes("no verdict", one.unparsed)) + tuple(_notes("left out", one.left_out)),
    )


def render(found: Sequence[Calibration]) -> str:
    """One self-contained HTML page."""
    views, tables = [view_of(one) for one in found], list(tables_of(found))
    return page("Judges and people", [("judges", "Judges and people", "calibration.html.j2")], judges=views, tables=tables)


def _notes(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield f"{title}: " + ", ".join(f"{label(why, 60)} {n:,}" for why, n in counts.items())


def _figures(one: Calibration) -> Iterator[Figure]:
    yield _figure("kappa", one.kappa, "")
    yield _figure("agreement", one.agreement, "%")
    yield _figure("agreement, no verdict as a miss", one.agreement_all, "%")
    if one.unparsed_share is not None:
        yield _figure("no verdict", one.unparsed_share, "%")
    for word, estimate in one.recall.items():
        yield _figure(f"says {_RATES.get(word, VERDICTS[word])} where people do", estimate, "%")
    if one.scale is not None:
        yield _figure("alpha with people's scores", one.scale, "")
    for name, estimate in one.biases.items():
        text, unit = _BIASES[name]
        yield _figure(text, estimate, unit)
    for name, estimate in one.usage.items():
        yield _figure(f"{name} per 1,000 cases", estimate, "", digits=0)
    for name, estimate in one.people.items():
        yield _figure(f"people: {label(name)}", estimate, "")


def _figure(name: str, estimate: Estimate, unit: str, *, digits: int | None = None) -> Figure:
    places = digits if digits is not None else 1 if unit else 2
    scale, sign = (100.0 if unit else 1.0), ("+" if unit == "pt" else "")

    def shown(value: float) -> str:
        return f"{scale * value:{sign},.{places}f}"

    value = UNKNOWN if estimate.value is None else shown(estimate.value)
    if estimate.low is None or estimate.high is None:
        return Figure(name, value, unit if estimate.value is not None else "", "", "", label(estimate.reason))
    return Figure(name, value, unit, f"{shown(estimate.low)} to {shown(estimate.high)}", f"{estimate.n:,}")
