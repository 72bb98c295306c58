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
    """One capability of one stored run: mean over its wholly scored cases, None if there is none. cases: digest of case ids."""

    @property
    def run_id(self) -> str: ...
    @property
    def capability(self) -> str: ...
    @property
    def mean(self) -> float | None: ...
    @property
    def cases(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Lineage:
    """checkpoints: oldest first. scores: capability -> (checkpoints,) mean score or None. left_out: reason -> runs."""

    checkpoints: tuple[RunRecord, ...]
    scores: Mapping[str, tuple[float | None, ...]]
    left_out: Mapping[str, int]


def lineage(records: Iterable[RunRecord], means: Iterable[CapabilityMean], *, until: float | None = None) -> Lineage:
    """records: runs of one suite, in any order. means: of these runs. until: runs that began later do not count."""
    ordered = sorted(records, key=lambda run: (run.started_at, run.id))
    left_out: Counter[str] = Counter()
    fit: list[RunRecord] = []
    for run in ordered:
        if until is not None and run.started_at > until:
            continue
        if why := _unfit(run):
            left_out[why] += 1
        else:
            fit.append(run)
    tables: dict[str, dict[str, CapabilityMean]] = {}
    for row in means:
        tables.setdefault(row.run_id, {})[row.capability] = row
    kept: list[RunRecord] = []
    seen: set[tuple[str, str]] = set()
    for run in fit:
        who = (run.candidate.digest, run.candidate.prompt.digest)
        if not _alike(run, fit[-1], tables):
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
