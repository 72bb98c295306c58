"""One suite's checkpoints in the order of time: which stored runs can be laid in one row, and what their capabilities scored.

A lineage is made of complete runs of the gate split of one suite, with the same checks and the same cases as its latest run. The
same weights again are no new checkpoint; neither is an A/A run. What is left out is counted, with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.model import RunRecord

MOST = 100  # checkpoints, the latest


class CapabilityMean(Protocol):
    """One capability of one stored run: mean over its wholly scored cases, None if there is none. cases: digest of case ids.
    first_seen: when the run's weights first came into the store; a baseline is run again and again, and stays the first."""

    @property
    def run_id(self) -> str: ...
    @property
    def capability(self) -> str: ...
    @property
    def mean(self) -> float | None: ...
    @property
    def cases(self) -> str: ...
    @property
    def first_seen(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Lineage:
    """checkpoints: oldest first. scores: capability -> (checkpoints,) mean score or None. left_out: reason -> runs."""

    checkpoints: tuple[RunRecord, ...]
    scores: Mapping[str, tuple[float | None, ...]]
    left_out: Mapping[str, int]


def lineage(records: Iterable[RunRecord], means: Iterable[CapabilityMean], *, until: RunRecord | None = None) -> Lineage:
    """records: runs of one suite, in any order. means: of these runs. until: weights that came later than this run's do not
    count, and runs must be comparable with it; without it, with the latest."""
    tables: dict[str, dict[str, CapabilityMean]] = {}
    for row in means:
        tables.setdefault(row.run_id, {})[row.capability] = row
    left_out: Counter[str] = Counter()
    fit: list[RunRecord] = []
    for run in sorted(records, key=lambda run: (_came(run, tables), run.started_at, run.id)):
        if until is not None and _came(run, tables) > _came(until, tables):
            continue
        if why := _unfit(run):
            left_out[why] += 1
        else:
            fit.append(run)
    last = until if until is not None and until in fit else fit[-1] if fit else None
    kept: list[RunRecord] = []
    seen: set[tuple[str, str]] = set()
    for run in fit:
        who = (run.candidate.digest, run.candidate.prompt.digest)
        if last is not None and not _alike(run, last, tables):
            left_out["other cases or checks"] += 1
        elif who in seen:
            left_out["the same weights again"] += 1
        else:
            seen.add(who)
            kept.append(run)
    if len(kept) > MOST:
        left_out["older"] += len(kept) - MOST
        kept = kept[-MOST:]
    return Lineage(tuple(kept), _scores(kept, tables), dict(left_out))


def _came(run: RunRecord, tables: Mapping[str, Mapping[str, CapabilityMean]]) -> float:
    return min((row.first_seen for row in tables.get(run.id, {}).values()), default=run.started_at)


def _unfit(run: RunRecord) -> str:
    if run.plan.get("aa"):
        return "A/A"
    if run.status != "complete":
        return "not complete"
    return "not the gate split" if run.plan.get("split") not in (None, "gate") else ""


def _alike(run: RunRecord, other: RunRecord, tables: Mapping[str, Mapping[str, CapabilityMean]]) -> bool:
    """Scored by the same checks on the same cases, capability by capability."""
    if run.provenance.get("checks") != other.provenance.get("checks"):
        return False
    ours, theirs = tables.get(run.id, {}), tables.get(other.id, {})
    return {name: row.cases for name, row in ours.items()} == {name: row.cases for name, row in theirs.items()}


def _scores(runs: Sequence[RunRecord], tables: Mapping[str, Mapping[str, CapabilityMean]]) -> dict[str, tuple[float | None, ...]]:
    names = sorted({name for run in runs for name in tables.get(run.id, {})})
    rows = [tables.get(run.id, {}) for run in runs]
    return {name: tuple(row[name].mean if name in row else None for row in rows) for name in names}
