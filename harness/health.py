"""How well a suite's cases work, from its stored runs: cases that tell nothing, cases that flip, and what is left.

    saturated   passes in every run of at least MIN_SIDES candidates: it can only show a loss
    dead        passes in none of them: it can only show a gain (or its reference is wrong: look at it)
    noisy       passes in one run and fails in another of the same weights (an A/A run, a run again)
    alive       anything else: it tells candidates apart
    untold      fewer candidates have a score for it

Discrimination is the item-rest correlation: over the candidates, a case's score against the mean of its capability's other
cases (F. Lord and M. Novick, Statistical Theories of Mental Test Scores, 1968; point-biserial for scores 0/1). Below zero, better
candidates fail it: often a wrong reference. It needs MIN_CANDIDATES, and with few of them it is coarse: it orders cases to look
at, and nothing calls it significant.

Effective n: Kish's (sum m)^2 / sum m^2 over clusters of sizes m. Whether a capability can show its margin is planned with that
and the discordance of the stored candidates (harness.powercard), or an assumed one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np

from harness.comparison import PASS_MARK
from harness.model import Gate, ItemStatus, ScoreRow, Split
from harness.powercard import ASSUMED, POWER
from harness.statistics.power import cases_needed, smallest_effect

MIN_SIDES = 2  # candidates that must have scored a case before it is called saturated or dead
MIN_CANDIDATES = 3  # for a correlation over them
_SAME = 1e-9

Key = tuple[str, str]  # capability, case id


class State(StrEnum):
    ALIVE = "alive"
    SATURATED = "saturated"
    DEAD = "dead"
    NOISY = "noisy"
    UNTOLD = "untold"


class Policy(Protocol):
    @property
    def margin(self) -> float: ...


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """One run's cases. digest: of its candidate's weights and prompt; means, passes: of wholly scored gate cases."""

    digest: str
    means: Mapping[Key, float]
    passes: Mapping[Key, bool]
    clusters: Mapping[Key, str | None]

    @staticmethod
    def of(digest: str, rows: Iterable[ScoreRow]) -> ScoredRun:
        values: dict[Key, list[float]] = {}
        passed: Counter[Key] = Counter()
        clusters: dict[Key, str | None] = {}
        missing: set[Key] = set()
        for row in rows:
            if row.split is not Split.GATE:
                continue
            key = (row.capability, row.case_id)
            clusters[key] = row.cluster
            if row.status is not ItemStatus.SCORED or row.value is None:
                missing.add(key)
                continue
            values.setdefault(key, []).append(row.value)
            passed[key] += row.passed if row.passed is not None else row.value >= PASS_MARK
        whole = {key: found for key, found in values.items() if key not in missing}
        means = {key: math.fsum(found) / len(found) for key, found in whole.items()}
        return ScoredRun(digest, means, {key: passed[key] >= PASS_MARK * len(found) for key, found in whole.items()}, clusters)


@dataclass(frozen=True, slots=True)
class CaseHealth:
    """One case. runs: that scored it; passes: in how many of them. discrimination: None where it cannot be told."""

    capability: str
    case_id: str
    state: State
    runs: int
    passes: int
    candidates: int
    discrimination: float | None


@dataclass(frozen=True, slots=True)
class CapabilityHealth:
    """One capability. n: planned cases; effective: what they are worth with their clusters; clusters: 0 where cases stand alone.

    moving: cases whose score differs between some two candidates, all that a comparison lives on. discrimination: mean over its
    cases, None where it cannot be told. inverted: cases that better candidates fail. flips: share of cases that flip between runs
    of the same weights, None when there are none. needed: cases to show that an equal candidate is not worse by the margin, None:
    no affordable number; shows: smallest loss shown with 80 % power. assumed: the discordance is not measured.
    """

    capability: str
    n: int
    clusters: int
    effective: float
    states: Mapping[State, int]
    moving: int
    discrimination: float | None
    inverted: tuple[str, ...]
    flips: float | None
    margin: float | None
    needed: int | None
    shows: float | None
    assumed: bool
    problem: str = ""

    @property
    def candidates_told(self) -> bool:
        """Whether enough candidates have been seen to call any of its cases saturated or dead."""
        return self.states.get(State.UNTOLD, 0) < self.n

    @property
    def can_show_margin(self) -> bool:
        return not self.problem and self.needed is not None and self.needed <= self.n


@dataclass(frozen=True, slots=True)
class SuiteHealth:
    """runs, candidates: how many it is told from. cases: every case, those to look at first."""

    runs: int
    candidates: int
    capabilities: tuple[CapabilityHealth, ...]
    cases: tuple[CaseHealth, ...]


def examine(runs: Sequence[ScoredRun], policies: Mapping[str, Policy], gate: Gate) -> SuiteHealth:
    """The health of the cases that the first run has; of the other runs the same cases count. policies: name -> margin."""
    if not runs:
        return SuiteHealth(0, 0, (), ())
    groups: dict[str, list[Key]] = {}
    for key in runs[0].clusters:
        groups.setdefault(key[0], []).append(key)
    capabilities: list[CapabilityHealth] = []
    cases: list[CaseHealth] = []
    for name, keys in groups.items():
        table = _means(runs, keys)
        told = _discrimination(table)
        found = [_case(key, runs, table[:, i], told[i]) for i, key in enumerate(keys)]
        capabilities.append(_capability(name, found, table, runs, policies.get(name), gate))
        cases += found
    order = {State.NOISY: 0, State.DEAD: 1, State.SATURATED: 2, State.ALIVE: 3, State.UNTOLD: 4}
    cases.sort(key=lambda c: (c.discrimination is None or c.discrimination >= 0.0, order[c.state], c.capability, c.case_id))
    return SuiteHealth(len(runs), len({run.digest for run in runs}), tuple(capabilities), tuple(cases))


def _means(runs: Sequence[ScoredRun], keys: Sequence[Key]) -> np.ndarray:
    """(candidates, cases): a candidate's mean over its runs, NaN where no run of it scored the case."""
    digests = sorted({run.digest for run in runs})
    table = np.full((len(digests), len(keys)), np.nan)
    for i, digest in enumerate(digests):
        rows = np.array([[run.means.get(key, np.nan) for key in keys] for run in runs if run.digest == digest])
        known = ~np.isnan(rows)
        counts = known.sum(axis=0)
        sums = np.where(known, rows, 0.0).sum(axis=0)
        table[i] = np.divide(sums, counts, out=np.full(len(keys), np.nan), where=counts > 0)
    return table


def _discrimination(table: np.ndarray) -> list[float | None]:
    """Item-rest correlation of each case (column) over the candidates that scored it; None where it cannot be told.

    The rest is the mean of a candidate's other scored cases: one missing score must not silence the whole capability.
    """
    known = ~np.isnan(table)
    totals, counts = np.where(known, table, 0.0).sum(axis=1), known.sum(axis=1)
    found: list[float | None] = []
    for i in range(table.shape[1]):
        use = known[:, i] & (counts > 1)
        x = table[use, i]
        rest = (totals[use] - x) / (counts[use] - 1)
        a, b = (x - x.mean(), rest - rest.mean()) if use.sum() >= MIN_CANDIDATES else (np.zeros(0), np.zeros(0))
        scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
        found.append(float(np.clip((a * b).sum() / scale, -1.0, 1.0)) if scale > _SAME else None)
    return found


def _case(key: Key, runs: Sequence[ScoredRun], means: np.ndarray, discrimination: float | None) -> CaseHealth:
    by: dict[str, list[bool]] = {}
    for run in runs:
        if key in run.passes:
            by.setdefault(run.digest, []).append(run.passes[key])
    found = [value for values in by.values() for value in values]
    if any(len(set(values)) > 1 for values in by.values()):
        state = State.NOISY
    elif len(by) < MIN_SIDES:
        state = State.UNTOLD
    else:
        state = State.SATURATED if all(found) else State.ALIVE if any(found) else State.DEAD
    if state in (State.SATURATED, State.DEAD) and np.ptp(means[~np.isnan(means)]) > _SAME:
        state = State.ALIVE  # it passes everywhere, or nowhere, and still tells candidates apart by its score
    return CaseHealth(*key, state, len(found), sum(found), len(by), discrimination)


def _capability(
    name: str, cases: Sequence[CaseHealth], table: np.ndarray, runs: Sequence[ScoredRun], policy: Policy | None, gate: Gate
) -> CapabilityHealth:
    labels = [runs[0].clusters[name, case.case_id] for case in cases]
    sizes = [*Counter(label for label in labels if label is not None).values(), *(1 for label in labels if label is None)]
    n, clustered = len(cases), len(sizes) < len(cases)
    effective = n * n / sum(size * size for size in sizes)
    spread = np.where(np.isnan(table), -np.inf, table).max(axis=0) - np.where(np.isnan(table), np.inf, table).min(axis=0)
    told = [case.discrimination for case in cases if case.discrimination is not None]
    rate = _discordance(table)
    problem = f"{len(sizes)} clusters, {gate.min_clusters} needed" if clustered and len(sizes) < gate.min_clusters else ""
    used = ASSUMED if rate is None else rate
    needed = None
    if policy is not None and not problem:
        worth = cases_needed(policy.margin, discordance=used, alpha=gate.alpha, power=POWER)
        needed = None if worth is None else math.ceil(worth * n / effective - 1e-9)
    return CapabilityHealth(
        capability=name,
        n=n,
        clusters=len(sizes) if clustered else 0,
        effective=effective,
        states=Counter(case.state for case in cases),
        moving=int(np.count_nonzero(np.isfinite(spread) & (spread > _SAME))),
        discrimination=math.fsum(told) / len(told) if told else None,
        inverted=tuple(sorted(case.case_id for case in cases if case.discrimination is not None and case.discrimination < 0.0)),
        flips=_flips(name, cases, runs),
        margin=policy.margin if policy else None,
        needed=needed,
        shows=None if problem else smallest_effect(max(1, int(effective)), discordance=used, alpha=gate.alpha, power=POWER),
        assumed=rate is None,
        problem=problem,
    )


def _discordance(table: np.ndarray) -> float | None:
    """Mean over pairs of candidates of a case's squared difference around the pair's mean, two cases with one flip counted on
    top (as harness.powercard counts stored pairs); None without a pair."""
    total, cases = 0.0, 0
    for i in range(len(table)):
        for j in range(i + 1, len(table)):
            both = table[i] - table[j]
            both = both[~np.isnan(both)]
            if both.size:
                total, cases = total + float(np.square(both - both.mean()).sum()), cases + both.size
    return (total + 1.0) / (cases + 2.0) if cases else None


def _flips(name: str, cases: Sequence[CaseHealth], runs: Sequence[ScoredRun]) -> float | None:
    """Share of cases that flip, over all pairs of runs of the same weights."""
    flips, pairs = 0, 0
    for i, run in enumerate(runs):
        for other in runs[i + 1 :]:
            if run.digest == other.digest:
                both = [(name, c.case_id) for c in cases if (name, c.case_id) in run.passes and (name, c.case_id) in other.passes]
                pairs += len(both)
                flips += sum(run.passes[key] != other.passes[key] for key in both)
    return flips / pairs if pairs else None
