"""The power card as lines of at most 80 columns: what ``harness validate --power`` and the first lines of ``harness run`` say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from harness.cli.layout import fit
from harness.model import Case, Gate
from harness.powercard import ASSUMED, Discordance, Policy, PowerRow, before, discordances
from harness.store import Store

PAIRS = 3  # stored comparisons that the discordance is taken from, the latest
_LOOKED_AT = 12  # runs
_NAME = 22  # columns


def card(
    capabilities: Mapping[str, Policy], cases: Iterable[Case], gate: Gate, store: Store | None, suite: str, *, most: int = 0
) -> Iterator[str]:
    """The card's lines. most: show so many capabilities, those that have too few cases first; 0 shows all."""
    measured = stored_discordance(store, suite) if store else {}
    rows = before(capabilities, cases, gate, measured)
    yield f"power (80 %, about, in points; {_source(rows)}):"
    yield f"  {'capability':<{_NAME}} {'cases':>7} {'clusters':>8} {'shows':>6} {'margin':>6} {'needs':>7}"
    shown = rows if not most or len(rows) <= most else sorted(rows, key=lambda row: row.enough)[:most]
    mixed = len({row.discordance is None for row in rows}) > 1
    yield from (_line(row, mixed) for row in shown)
    if len(shown) < len(rows):
        yield f"  and {len(rows) - len(shown)} more: harness validate --power shows all"
    if not most:
        yield "  shows: the smallest loss (of a target: gain) shown 4 times of 5"
        yield "  needs: cases to show that an equal candidate is not worse by the margin"


def stored_discordance(store: Store, suite: str) -> dict[str, Discordance]:
    """From the latest comparisons of two different candidates that are stored of this suite, in whatever version."""
    return discordances((store.score_rows(ours), store.score_rows(theirs)) for ours, theirs in _pairs(store, suite))


def _pairs(store: Store, suite: str) -> Iterator[tuple[str, str]]:
    """The same two weights count once, in whatever versions of the suite they met."""
    records = {record.id: record for record in store.runs(suite)}
    found: set[tuple[str, str]] = set()
    for record in list(records.values())[:_LOOKED_AT]:
        stored = None if record.plan.get("aa") else store.verdict(record.id)
        base = records.get(stored.baseline_run_id or "") if stored else None
        pair = (record.candidate.digest, base.candidate.digest) if base else ("", "")
        if base is not None and len(found) < PAIRS and pair[0] != pair[1] and pair not in found:
            found.add(pair)
            yield record.id, base.id


def _source(rows: Sequence[PowerRow]) -> str:
    known = [row.discordance for row in rows if row.discordance]
    assumed = f"assumed {100 * ASSUMED:g} %"
    if not known:
        return f"{assumed} discordant"
    runs = max(found.runs for found in known)
    measured = f"discordance of {runs} stored run{'s' if runs > 1 else ''}"
    return measured if len(known) == len(rows) else f"{measured}, * {assumed}"


def _line(row: PowerRow, mixed: bool) -> str:
    """mixed: a star marks where the discordance is assumed."""
    star = "*" if mixed and row.discordance is None else ""
    clusters = f"{row.effective:,.0f}" if row.clusters else "-"
    shows = "-" if row.shows is None else f"{100 * row.shows:.1f}"
    needed = "-" if row.problem else "no n" if row.needed is None else f"{row.needed:,}"
    remark = row.problem or ("" if row.enough else "too few")
    name = fit(row.capability, _NAME - len(star)) + star
    return f"  {name} {row.n:>7,} {clusters:>8} {shows:>6} {100 * row.margin:>6.1f} {needed:>7}  {remark}".rstrip()
