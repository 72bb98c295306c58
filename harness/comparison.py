"""Score rows of two runs -> one comparison per capability, cases paired, what is missing counted and bounded.

A case's score is the mean over its samples. It counts only when every planned sample of it is scored: a mean over the samples
that happened to work would favour whoever fails on the hard ones, so a case with a sample missing is missing. Missing cases do
not pair; ``worst`` repeats the comparison with each missing candidate score 0 and each missing baseline score 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.model import (
    CapabilityComparison,
    Claim,
    Gate,
    ItemStatus,
    Ledger,
    PairedComparison,
    Role,
    RunFacts,
    ScoreRow,
    Split,
)
from harness.statistics import cases_to_decide, claims_of, compare_paired

NO_BASELINE = "no baseline"
PASS_MARK = 0.5  # a score without a verdict of its own passes from here; so does a case when this share of its samples pass


class Policy(Protocol):
    """What a comparison needs to know of a capability; the suite's Capability is one."""

    @property
    def role(self) -> Role: ...

    @property
    def margin(self) -> float: ...


@dataclass(frozen=True, slots=True)
class _Cases:
    """The planned cases of one run in one capability. All arrays have one entry per case, in the order of ``index``.

    planned, scored: samples planned and samples with a score. total: sum of scores. passed: samples that pass.
    """

    index: Mapping[str, int]
    planned: NDArray[np.int64]
    scored: NDArray[np.int64]
    total: NDArray[np.float64]
    passed: NDArray[np.float64]
    must_pass: NDArray[np.bool_]
    cluster: Sequence[str | None]

    @staticmethod
    def of(rows: Sequence[ScoreRow]) -> _Cases:
        """Columns first, then arithmetic on whole columns: a million rows must not take a million turns of slow Python."""
        index: dict[str, int] = {}
        at = np.array([index.setdefault(row.case_id, len(index)) for row in rows], dtype=np.int64)
        size = len(index)
        _refuse_duplicates(rows, at)
        is_scored = np.array([row.status is ItemStatus.SCORED for row in rows], dtype=bool)
        value = _values(rows)
        _refuse_bad_scores(rows, is_scored, value)
        verdict = np.array([row.passed for row in rows], dtype=float)
        passes = is_scored & np.where(np.isnan(verdict), value >= PASS_MARK, verdict > 0.0)
        must = np.array([row.must_pass for row in rows], dtype=bool)
        first = np.zeros(size, dtype=np.int64)
        first[at[::-1]] = np.arange(len(rows))[::-1]
        return _Cases(
            index=index,
            planned=np.bincount(at, minlength=size),
            scored=np.bincount(at[is_scored], minlength=size),
            total=np.bincount(at[is_scored], weights=value[is_scored], minlength=size).astype(float),
            passed=np.bincount(at, weights=passes, minlength=size).astype(float),
            must_pass=np.bincount(at, weights=must, minlength=size) > 0.0,
            cluster=[rows[i].cluster for i in first.tolist()],
        )


def _values(rows: Sequence[ScoreRow]) -> NDArray[np.float64]:
    """Scores as numbers, NaN where there is none."""
    values = [row.value for row in rows]
    if any(issubclass(kind, str | bytes) for kind in set(map(type, values))):
        row = next(row for row in rows if isinstance(row.value, str | bytes))
        raise DataError(f"the score {row.value!r} of case {row.case_id} is not a number", todo="Give a number in [0, 1]")
    return np.array(values, dtype=float)


def _refuse_duplicates(rows: Sequence[ScoreRow], at: NDArray[np.int64]) -> None:
    seen = set(zip(at.tolist(), [row.sample for row in rows], strict=True))
    if len(seen) == len(rows):
        return
    found: set[tuple[str, int]] = set()
    for row in rows:
        if (row.case_id, row.sample) in found:
            raise DataError(
                f"case {row.case_id} of {row.capability!r} has sample {row.sample} twice", todo="Give each sample one row"
            )
        found.add((row.case_id, row.sample))


def _refuse_bad_scores(rows: Sequence[ScoreRow], is_scored: NDArray[np.bool_], value: NDArray[np.float64]) -> None:
    bad = is_scored & ~((value >= 0.0) & (value <= 1.0))
    if bad.any():
        row = rows[int(np.argmax(bad))]
        raise DataError(
            f"case {row.case_id} of {row.capability!r} is scored {row.value}",
            todo="A score is a number in [0, 1]; anything else is unscored, with a reason",
        )


@dataclass(frozen=True, slots=True)
class _Side:
    """One run's cases in a given order, all arrays (cases,). mean is NaN where a sample is missing.

    passes: at least PASS_MARK of the samples pass. fails_once: some scored sample does not.
    """

    mean: NDArray[np.float64]
    complete: NDArray[np.bool_]
    passes: NDArray[np.bool_]
    fails_once: NDArray[np.bool_]
    must_pass: NDArray[np.bool_]


def compare_runs(
    candidate_rows: Iterable[ScoreRow],
    baseline_rows: Iterable[ScoreRow] | None,
    capabilities: Mapping[str, Policy],
    gate: Gate,
    *,
    split: Split = Split.GATE,
) -> tuple[CapabilityComparison, ...]:
    """Compare two runs capability by capability, in the order of ``capabilities``; only rows of ``split`` take part.

    baseline_rows None: there is nothing to compare with yet; means and must-pass cases are still filled in. DataError when the
    two runs planned different cases, a row appears twice, a score is out of range, or a row names an unknown capability.
    """
    ours = _collect(candidate_rows, capabilities, split)
    theirs = None if baseline_rows is None else _collect(baseline_rows, capabilities, split)
    return tuple(
        _compare(name, policy, ours[name], None if theirs is None else theirs[name], gate)
        for name, policy in capabilities.items()
    )


def facts(
    candidate_rows: Iterable[ScoreRow],
    baseline_rows: Iterable[ScoreRow] | None = None,
    *,
    split: Split = Split.GATE,
    partial: bool = False,
    partial_reason: str = "",
    ttft_p95_s: float | None = None,
    latency_p95_s: float | None = None,
) -> RunFacts:
    """What hard gates look at: ledgers over the rows of ``split`` and the candidate's complete case means per capability."""
    rows = [row for row in candidate_rows if row.split == split]
    scores, clusters = {}, {}
    for name, group in _grouped(rows).items():
        cases = _Cases.of(group)
        ids = sorted(cases.index)
        side, labels = _side(cases, ids), _clusters(cases, ids)
        scores[name] = tuple(side.mean[side.complete].tolist())
        if labels is not None:
            clusters[name] = tuple(labels[side.complete])
    baseline = Ledger() if baseline_rows is None else Ledger.of(row for row in baseline_rows if row.split == split)
    return RunFacts(
        candidate=Ledger.of(rows),
        baseline=baseline,
        partial=partial,
        partial_reason=partial_reason,
        ttft_p95_s=ttft_p95_s,
        latency_p95_s=latency_p95_s,
        candidate_scores=scores,
        candidate_clusters=clusters,
    )


def _grouped(rows: Iterable[ScoreRow]) -> dict[str, list[ScoreRow]]:
    groups: dict[str, list[ScoreRow]] = {}
    for row in rows:
        group = groups.get(row.capability)
        if group is None:
            group = groups[row.capability] = []
        group.append(row)
    return groups


def _collect(rows: Iterable[ScoreRow], capabilities: Mapping[str, Policy], split: Split) -> dict[str, _Cases]:
    groups = _grouped(row for row in rows if row.split == split)
    unknown = sorted(groups.keys() - capabilities.keys())
    if unknown:
        known = ", ".join(sorted(capabilities)) or "none"
        raise DataError(f"a score names the capability {unknown[0]!r}, unknown here", todo=f"Known: {known}")
    return {name: _Cases.of(groups.get(name, [])) for name in capabilities}


def _side(cases: _Cases, ids: Sequence[str]) -> _Side:
    at = np.fromiter((cases.index[case_id] for case_id in ids), dtype=np.int64, count=len(ids))
    planned = cases.planned[at]
    complete = cases.scored[at] == planned
    mean = np.where(complete, np.minimum(cases.total[at] / planned, 1.0), np.nan)
    passes = complete & (cases.passed[at] >= PASS_MARK * planned)
    return _Side(mean, complete, passes, cases.passed[at] < cases.scored[at], cases.must_pass[at])


def _same_cases(name: str, ours: _Cases, theirs: _Cases) -> list[str]:
    """The case ids of both runs, sorted; DataError with examples when they differ."""
    extra, lacking = ours.index.keys() - theirs.index.keys(), theirs.index.keys() - ours.index.keys()
    if extra or lacking:
        parts = []
        if extra:
            parts.append(f"{len(extra)} only in the candidate's run (such as {', '.join(sorted(extra)[:3])})")
        if lacking:
            parts.append(f"{len(lacking)} only in the baseline's (such as {', '.join(sorted(lacking)[:3])})")
        raise DataError(
            f"the two runs planned different cases of {name!r}: {' and '.join(parts)}",
            todo="Run both on the same version of the suite",
        )
    ids = sorted(ours.index)
    for case_id in ids:
        if ours.cluster[ours.index[case_id]] != theirs.cluster[theirs.index[case_id]]:
            raise DataError(
                f"case {case_id} of {name!r} belongs to different clusters in the two runs",
                todo="Run both on the same version of the suite",
            )
    return ids


def _compare(name: str, policy: Policy, ours: _Cases, theirs: _Cases | None, gate: Gate) -> CapabilityComparison:
    ids = sorted(ours.index) if theirs is None else _same_cases(name, ours, theirs)
    a = _side(ours, ids)
    comparison = CapabilityComparison(
        capability=name,
        role=policy.role,
        margin=policy.margin,
        candidate_mean=_mean(a.mean[a.complete]),
        baseline_mean=None,
        paired=None,
        claims=(Claim.UNDECIDED,),
        n_planned=len(ids),
        missing_candidate=int(np.count_nonzero(~a.complete)),
        must_pass_failed=_pick(ids, a.must_pass & a.fails_once),
        must_pass_missing=_pick(ids, a.must_pass & ~a.fails_once & ~a.complete),
        reason="" if ids else "no cases planned",
    )
    if theirs is None:
        return replace(comparison, reason=comparison.reason or NO_BASELINE)
    return _with_baseline(comparison, policy, ids, a, _side(theirs, ids), _clusters(ours, ids), gate)


def _with_baseline(
    comparison: CapabilityComparison,
    policy: Policy,
    ids: Sequence[str],
    a: _Side,
    b: _Side,
    clusters: NDArray[np.object_] | None,
    gate: Gate,
) -> CapabilityComparison:
    both = a.complete & b.complete
    gain = gate.min_gain if policy.role is Role.TARGET else 0.0

    def paired(x: NDArray[np.float64], y: NDArray[np.float64], keep: NDArray[np.bool_]) -> PairedComparison:
        return compare_paired(
            x[keep],
            y[keep],
            margin=policy.margin,
            alpha=gate.alpha,
            clusters=None if clusters is None else clusters[keep],
            min_clusters=gate.min_clusters,
            gain=gain,
        )

    result = paired(a.mean, b.mean, both)
    everything = np.ones(len(ids), dtype=bool)
    worst = result
    if not both.all():
        worst = paired(np.where(a.complete, a.mean, 0.0), np.where(b.complete, b.mean, 1.0), everything)
    return replace(
        comparison,
        candidate_mean=_mean(a.mean[both]),
        baseline_mean=_mean(b.mean[both]),
        paired=result,
        worst=worst,
        claims=claims_of(result),
        n_paired=int(np.count_nonzero(both)),
        missing_baseline=int(np.count_nonzero(~b.complete)),
        fixed=_pick(ids, both & a.passes & ~b.passes),
        broken=_pick(ids, both & ~a.passes & b.passes),
        n_needed=_n_needed(policy.role, result),
        reason=comparison.reason or result.reason,
    )


def _n_needed(role: Role, result: PairedComparison) -> int | None:
    """Cases to show on which side of what the role asks for the truth lies; None when that is shown already."""
    if role is Role.TARGET:
        shown = result.p_gain <= result.alpha or result.high < result.gain
        return None if shown else cases_to_decide(result, result.gain)
    shown = result.p_not_worse <= result.alpha or result.p_harmed <= result.alpha
    return None if shown else cases_to_decide(result, -result.margin)


def _clusters(cases: _Cases, ids: Sequence[str]) -> NDArray[np.object_] | None:
    if not any(label is not None for label in cases.cluster):
        return None
    labels = np.empty(len(ids), dtype=object)
    labels[:] = [cases.cluster[cases.index[case_id]] for case_id in ids]
    return labels


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if values.size else None


def _pick(ids: Sequence[str], mask: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(ids[i] for i in np.flatnonzero(mask))
