"""Scores of two runs -> one comparison per capability, cases paired, what is missing counted and bounded.

A case's score is the mean over its samples. It counts only when every planned sample of it is scored: a mean over the samples
that happened to work would favour whoever fails on the hard ones, so a case with a sample missing is missing. Missing cases do
not pair; ``worst`` repeats the comparison with each missing candidate score 0 and each missing baseline score 1.

A sequential gate compares what was asked: each capability's cases in their random order (``turn``) up to the first that was not
asked, by evidence that holds whenever the asking stops (harness.statistics.sequential).

``compare_columns`` does the work on whole columns; ``compare_runs`` is the same for ScoreRows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.columns import CaseTable, ScoreColumns, of_rows
from harness.errors import DataError
from harness.model import (
    CapabilityComparison,
    Claim,
    Gate,
    Ledger,
    PairedComparison,
    Role,
    RunFacts,
    ScoreRow,
    Split,
)
from harness.statistics import cases_to_decide, claims_of, compare_paired
from harness.statistics.sequential import ThresholdSequence, compare_sequential

NO_BASELINE = "no baseline"
DECIDED = "decided"  # why a sequential run skips: nothing more had to be asked
PASS_MARK = 0.5  # a score without a verdict of its own passes from here; so does a case when this share of its samples pass


class Policy(Protocol):
    """What a comparison needs to know of a capability; the suite's Capability is one."""

    @property
    def role(self) -> Role: ...

    @property
    def margin(self) -> float: ...


@dataclass(frozen=True, slots=True)
class _Side:
    """One run's cases, all arrays (cases,). mean is NaN where a sample is missing, cluster -1 where a case stands alone.

    planned: the run has the case. passes: at least PASS_MARK of the samples pass. fails_once: some scored sample does not.
    first: the first row of the case, whatever stands there for a case that is not planned. skipped: some sample was not asked.
    """

    planned: NDArray[np.bool_]
    mean: NDArray[np.float64]
    complete: NDArray[np.bool_]
    passes: NDArray[np.bool_]
    fails_once: NDArray[np.bool_]
    must_pass: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    first: NDArray[np.int64]
    skipped: NDArray[np.bool_]

    @staticmethod
    def of(cases: CaseTable, rows: ScoreColumns) -> _Side:
        _refuse_duplicates(cases, rows)
        _refuse_bad_scores(cases, rows)
        size, at, scored = len(cases.capability), rows.case, rows.scored
        passing = scored & np.where(np.isnan(rows.passed), rows.value >= PASS_MARK, rows.passed > 0.0)
        n_planned = np.bincount(at, minlength=size)
        n_scored = np.bincount(at[scored], minlength=size)
        n_passed = np.bincount(at[passing], minlength=size)
        total = np.bincount(at[scored], weights=rows.value[scored], minlength=size).astype(float)
        planned = n_planned > 0
        complete = planned & (n_scored == n_planned)
        first = np.zeros(size, dtype=np.int64)
        first[at[::-1]] = np.arange(len(at))[::-1]
        cluster = rows.cluster[first] if len(at) else np.full(size, -1, dtype=np.int64)
        return _Side(
            planned=planned,
            mean=np.where(complete, np.minimum(total / np.maximum(n_planned, 1), 1.0), np.nan),
            complete=complete,
            passes=complete & (n_passed >= PASS_MARK * n_planned),
            fails_once=n_passed < n_scored,
            must_pass=np.bincount(at[rows.must_pass], minlength=size) > 0,
            cluster=np.where(planned, cluster, -1),
            first=first,
            skipped=np.bincount(at[rows.skipped], minlength=size) > 0,
        )

    def take(self, at: NDArray[np.int64]) -> _Side:
        return _Side(*(getattr(self, name)[at] for name in self.__slots__))


def _refuse_duplicates(cases: CaseTable, rows: ScoreColumns) -> None:
    if not len(rows.case):
        return
    low = int(rows.sample.min())
    width = int(rows.sample.max()) - low + 1
    if width == 1:
        unique = int(np.bincount(rows.case).max()) == 1
        keys = rows.case
    else:
        sample = rows.sample - low
        if width > 2**30:  # numbers without sense, such as timestamps: the product must not overflow
            distinct, sample = np.unique(rows.sample, return_inverse=True)
            width = len(distinct)
        keys = rows.case * width + sample
        unique = len(np.unique(keys)) == len(keys)
    if unique:
        return
    order = np.argsort(keys, kind="stable")
    again = order[1:][keys[order[1:]] == keys[order[:-1]]]
    row = int(again.min())
    raise DataError(
        f"{_case(cases, rows, row)} has sample {rows.sample[row]} twice", where=rows.where(row), todo="Give each sample one row"
    )


def _refuse_bad_scores(cases: CaseTable, rows: ScoreColumns) -> None:
    bad = rows.scored & ~((rows.value >= 0.0) & (rows.value <= 1.0))
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"{_case(cases, rows, row)} is scored {rows.value[row]}",
            where=rows.where(row),
            todo="A score is a number in [0, 1]; anything else is unscored, with a reason",
        )


def _case(cases: CaseTable, rows: ScoreColumns, row: int) -> str:
    case = int(rows.case[row])
    return f"case {cases.name(case)} of {cases.capabilities[cases.capability[case]]!r}"


def turn(case_id: str) -> bytes:
    """A case's place in the random order of a sequential run: sort by it. Seeded by a constant, so that every run, process and
    host has the same order, and independent of the case's content."""
    return hashlib.blake2b(case_id.encode("utf-8", "surrogatepass"), digest_size=16, person=b"sequential order").digest()


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
    runs = (candidate_rows,) if baseline_rows is None else (candidate_rows, baseline_rows)
    cases, columns = of_rows(*runs, split=split)
    return compare_columns(cases, columns[0], columns[1] if len(columns) > 1 else None, capabilities, gate)


def compare_columns(
    cases: CaseTable,
    candidate: ScoreColumns,
    baseline: ScoreColumns | None,
    capabilities: Mapping[str, Policy],
    gate: Gate,
) -> tuple[CapabilityComparison, ...]:
    """The same of columns that were made over one table of cases. Errors say ``file:line`` where the columns know it."""
    runs = [candidate] if baseline is None else [candidate, baseline]
    _refuse_unknown(cases, runs, capabilities)
    sides = [_Side.of(cases, rows) for rows in runs]
    order = np.argsort(cases.capability, kind="stable")
    sorted_codes = cases.capability[order]
    found = {name: code for code, name in enumerate(cases.capabilities)}
    results = []
    for name, policy in capabilities.items():
        code = found.get(name, -1)
        at = order[np.searchsorted(sorted_codes, code) : np.searchsorted(sorted_codes, code, side="right")]
        compared = _Pair(name, cases, at, [side.take(at) for side in sides], runs)
        results.append(_compare(compared, policy, gate))
    return tuple(results)


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
    runs = (candidate_rows,) if baseline_rows is None else (candidate_rows, baseline_rows)
    cases, columns = of_rows(*runs, split=split)
    found = column_facts(cases, columns[0], columns[1] if len(columns) > 1 else None)
    return replace(found, partial=partial, partial_reason=partial_reason, ttft_p95_s=ttft_p95_s, latency_p95_s=latency_p95_s)


def column_facts(
    cases: CaseTable,
    candidate: ScoreColumns,
    baseline: ScoreColumns | None = None,
    *,
    only: Collection[str] | None = None,
    sequential: bool = False,
) -> RunFacts:
    """The same of columns. only: the capabilities whose case means are wanted (those with a floor); None: of all.
    sequential: only the cases that were asked in their turn."""
    side = _Side.of(cases, candidate)
    skipped = side.skipped if baseline is None else side.skipped | _Side.of(cases, baseline).skipped
    scores: dict[str, tuple[float, ...]] = {}
    clusters: dict[str, tuple[str | None, ...]] = {}
    for code, name in enumerate(cases.capabilities):
        if only is not None and name not in only:
            continue
        at = np.flatnonzero((cases.capability == code) & side.planned)
        if sequential:
            at = at[_asked_in_turn(cases, at, skipped[at])]
        if not at.size:
            continue
        kept = at[side.complete[at]]
        kept = kept[np.argsort(side.mean[kept], kind="stable")]  # so that no sum depends on the order of the rows
        scores[name] = tuple(side.mean[kept].tolist())
        if (side.cluster[at] >= 0).any():
            clusters[name] = _labels(cases, side.cluster[kept])
    return RunFacts(
        candidate=candidate.ledger(),
        baseline=Ledger() if baseline is None else baseline.ledger(),
        candidate_scores=scores,
        candidate_clusters=clusters,
    )


def _labels(cases: CaseTable, codes: NDArray[np.int64]) -> tuple[str | None, ...]:
    known = iter(cases.clusters.take(codes[codes >= 0]))
    return tuple(next(known) if code >= 0 else None for code in codes.tolist())


def _refuse_unknown(cases: CaseTable, runs: Iterable[ScoreColumns], capabilities: Mapping[str, Policy]) -> None:
    unknown = sorted(set(cases.capabilities) - capabilities.keys())
    for name in unknown:
        code = cases.capabilities.index(name)
        for rows in runs:
            used = cases.capability[rows.case] == code
            if used.any():
                known = ", ".join(sorted(capabilities)) or "none"
                what = f"a score names the capability {name!r}, unknown here"
                raise DataError(what, where=rows.where(int(np.argmax(used))), todo=f"Known: {known}")


@dataclass(frozen=True, slots=True)
class _Pair:
    """One capability of both runs (or of the candidate's alone). at: its cases' positions in the table; sides: over ``at``."""

    name: str
    cases: CaseTable
    at: NDArray[np.int64]
    sides: list[_Side]
    runs: list[ScoreColumns]

    def ids(self, mask: NDArray[np.bool_]) -> tuple[str, ...]:
        """The ids of the cases of a mask over ``at``, sorted."""
        return tuple(sorted(self.cases.ids.take(self.at[mask])))

    def clusters(self) -> NDArray[np.int64] | None:
        """Cluster numbers, a number of its own for each case that stands alone; None when all do."""
        codes = self.sides[0].cluster
        if not (codes >= 0).any():
            return None
        return np.where(codes >= 0, codes, len(self.cases.clusters) + np.arange(len(codes)))


def _refuse_different(pair: _Pair) -> None:
    """DataError with examples when the two runs planned different cases, or put a case into different clusters."""
    a, b = pair.sides
    extra, lacking = pair.ids(a.planned & ~b.planned), pair.ids(b.planned & ~a.planned)
    if extra or lacking:
        parts = []
        if extra:
            parts.append(f"{len(extra)} only in the candidate's run (such as {', '.join(extra[:3])})")
        if lacking:
            parts.append(f"{len(lacking)} only in the baseline's (such as {', '.join(lacking[:3])})")
        which, side, other = (0, a, b) if extra else (1, b, a)
        row = int(side.first[side.planned & ~other.planned].min())
        raise DataError(
            f"the two runs planned different cases of {pair.name!r}: {' and '.join(parts)}",
            where=pair.runs[which].where(row),
            todo="Run both on the same version of the suite",
        )
    moved = a.cluster != b.cluster
    if moved.any():
        raise DataError(
            f"case {pair.ids(moved)[0]} of {pair.name!r} belongs to different clusters in the two runs",
            where=pair.runs[0].where(int(a.first[moved].min())),
            todo="Run both on the same version of the suite",
        )


def _compare(planned: _Pair, policy: Policy, gate: Gate) -> CapabilityComparison:
    if len(planned.sides) > 1:
        _refuse_different(planned)
    pair = _in_turn(planned) if gate.sequential else planned
    a, everyone = pair.sides[0], planned.sides[0]
    comparison = CapabilityComparison(
        capability=pair.name,
        role=policy.role,
        margin=policy.margin,
        candidate_mean=_mean(a.mean[a.complete]),
        baseline_mean=None,
        paired=None,
        claims=(Claim.UNDECIDED,),
        n_planned=len(planned.at),
        missing_candidate=int(np.count_nonzero(~a.complete)),
        must_pass_failed=planned.ids(everyone.must_pass & everyone.fails_once),
        must_pass_missing=planned.ids(everyone.must_pass & ~everyone.fails_once & ~everyone.complete),
        reason="" if planned.at.size else "no cases planned",
    )
    if len(pair.sides) == 1:
        return replace(comparison, reason=comparison.reason or NO_BASELINE)
    return _with_baseline(comparison, policy, pair, gate)


def _asked_in_turn(cases: CaseTable, at: NDArray[np.int64], skipped: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Positions over ``at`` in the random order, up to the first case that was skipped (in any run): what a sequence has seen.

    Cases answered behind it (must-pass ones are asked first) are no random sample, and are no evidence about a mean.
    """
    turns = [turn(case_id) for case_id in cases.ids.take(at)]
    order = np.array(sorted(range(len(turns)), key=turns.__getitem__), dtype=np.int64)
    ends = np.flatnonzero(skipped[order])
    return order[: int(ends[0])] if ends.size else order


def _in_turn(pair: _Pair) -> _Pair:
    """The asked cases in their order. DataError when cases share a cluster: a sequence needs independent ones."""
    known = pair.sides[0].cluster[pair.sides[0].cluster >= 0]
    if len(np.unique(known)) < len(known):
        raise DataError(
            f"cases of {pair.name!r} share clusters, and a sequential gate needs independent cases",
            todo="Set gate.sequential: false, or keep one case of each cluster",
        )
    seen = _asked_in_turn(pair.cases, pair.at, np.logical_or.reduce([side.skipped for side in pair.sides]))
    return _Pair(pair.name, pair.cases, pair.at[seen], [side.take(seen) for side in pair.sides], pair.runs)


def evidence_sequences(
    candidate_rows: Iterable[ScoreRow],
    baseline_rows: Iterable[ScoreRow],
    capabilities: Mapping[str, Policy],
    gate: Gate,
    *,
    split: Split = Split.GATE,
) -> dict[str, ThresholdSequence]:
    """Each capability's evidence, case by case: about -margin, for a target about the gain it needs. What a report draws."""
    cases, (ours, theirs) = of_rows(candidate_rows, baseline_rows, split=split)
    sides = [_Side.of(cases, ours), _Side.of(cases, theirs)]
    found = {}
    for name, policy in capabilities.items():
        at = (
            np.flatnonzero(cases.capability == cases.capabilities.index(name)) if name in cases.capabilities else np.zeros(0, int)
        )
        pair = _in_turn(_Pair(name, cases, at, [side.take(at) for side in sides], [ours, theirs]))
        a, b = pair.sides
        both = a.complete & b.complete
        is_target = policy.role is Role.TARGET
        sequence = ThresholdSequence(gate.min_gain if is_target else -policy.margin, gate.alpha)
        sequence.update(a.mean[both] - b.mean[both])
        found[name] = sequence
    return found


def _with_baseline(comparison: CapabilityComparison, policy: Policy, pair: _Pair, gate: Gate) -> CapabilityComparison:
    a, b = pair.sides
    both = a.complete & b.complete
    clusters = pair.clusters()
    gain = gate.min_gain if policy.role is Role.TARGET else 0.0

    def paired(x: NDArray[np.float64], y: NDArray[np.float64], keep: NDArray[np.bool_]) -> PairedComparison:
        if gate.sequential:
            return compare_sequential(x[keep] - y[keep], margin=policy.margin, alpha=gate.alpha, gain=gain)
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
    worst = result
    if not both.all():
        everything = np.ones(len(pair.at), dtype=bool)
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
        fixed=pair.ids(both & a.passes & ~b.passes),
        broken=pair.ids(both & ~a.passes & b.passes),
        n_needed=needed_cases(policy.role, result),
        reason=comparison.reason or result.reason,
    )


def needed_cases(role: Role, result: PairedComparison) -> int | None:
    """Cases to show on which side of what the role asks for the truth lies; None when that is shown already."""
    if role is Role.TARGET:
        shown = result.p_gain <= result.alpha or result.high < result.gain
        return None if shown else cases_to_decide(result, result.gain)
    shown = result.p_not_worse <= result.alpha or result.p_harmed <= result.alpha
    return None if shown else cases_to_decide(result, -result.margin)


def _mean(values: NDArray[np.float64]) -> float | None:
    """Summed in the order of size, so that the mean does not depend on the order of the rows."""
    return float(np.sort(values).mean()) if values.size else None
