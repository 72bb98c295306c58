"""The power card: what a suite's cases can show before they are asked, and what they could show once they were.

Before: each capability's smallest loss or gain with 80 % power and the cases its margin needs, from the discordance of stored
runs of the suite, or an assumed one where there are none. After: the same from the width of the measured interval. Both are the
normal approximation of harness.statistics.power, to plan with; the gate's exact and corrected tests need somewhat more: "about".

Cases that share a cluster count, before the run, as no more than the clusters' effective number, (sum m)^2 / sum m^2 for sizes m
(Kish 1965): that is all they are worth if cases of one cluster answer alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.model import CapabilityComparison, Case, Gate, ItemStatus, Role, ScoreRow, Split
from harness.statistics.power import cases_for, cases_needed, effect_measured, smallest_effect

POWER = 0.8
ASSUMED = 0.10  # share of discordant cases where no stored run says better


class Policy(Protocol):
    """What the card needs to know of a capability; the suite's Capability is one."""

    @property
    def role(self) -> Role: ...

    @property
    def margin(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Discordance:
    """Variance of a case's difference between two runs (0/1 scores, equal means: the share of flips), and what it comes from."""

    value: float
    cases: int
    runs: int


@dataclass(frozen=True, slots=True)
class PowerRow:
    """One capability before a run.

    n: cases of the gate split. effective: what they are worth with their clusters, n where each stands alone. clusters: how many,
    0 where each stands alone. shows: smallest true loss (for a target: gain, with what the gate wants on top) shown with 80 %
    power. needed: cases to show that an equal candidate is not worse by the margin (for a target: a gain of that size); None: no
    affordable number. discordance: measured in stored runs, or None: ASSUMED. problem: why it can decide nothing at all.
    """

    capability: str
    role: Role
    margin: float
    n: int
    effective: float
    clusters: int
    shows: float | None
    needed: int | None
    discordance: Discordance | None = None
    problem: str = ""

    @property
    def enough(self) -> bool:
        """Whether its margin can be expected to be shown."""
        return not self.problem and self.needed is not None and self.n >= self.needed


@dataclass(frozen=True, slots=True)
class MeasuredPower:
    """One capability after a run. shows, needed: as in PowerRow, from the measured interval; None: nothing was measured."""

    capability: str
    margin: float
    n: int
    n_clusters: int
    shows: float | None
    needed: int | None


def before(
    capabilities: Mapping[str, Policy], cases: Iterable[Case], gate: Gate, measured: Mapping[str, Discordance]
) -> tuple[PowerRow, ...]:
    """The card of a plan. cases: those to be asked; only their gate split decides. measured: capability -> stored discordance."""
    labels: dict[str, list[str | None]] = {name: [] for name in capabilities}
    for case in cases:
        if case.split is Split.GATE and case.capability in labels:
            labels[case.capability].append(case.cluster)
    return tuple(_row(name, policy, labels[name], gate, measured.get(name)) for name, policy in capabilities.items())


def _row(name: str, policy: Policy, labels: Sequence[str | None], gate: Gate, found: Discordance | None) -> PowerRow:
    n = len(labels)
    sizes = [*Counter(label for label in labels if label is not None).values(), *(1 for label in labels if label is None)]
    clustered = len(sizes) < n
    effective = n * n / sum(size * size for size in sizes) if sizes else 0.0
    problem = ""
    if n < 2:
        problem = "no cases" if n == 0 else "one case"
    elif clustered and len(sizes) < gate.min_clusters:
        problem = f"< {gate.min_clusters} clusters"
    rate = found.value if found else ASSUMED
    shows, needed = None, None
    if not problem:
        wanted = gate.min_gain if policy.role is Role.TARGET else 0.0
        shows = min(1.0, wanted + smallest_effect(max(1, int(effective)), discordance=rate, alpha=gate.alpha, power=POWER))
        worth = cases_needed(policy.margin, discordance=rate, alpha=gate.alpha, power=POWER)
        needed = None if worth is None else -int(-worth * n // effective)  # as many clusters more as that takes
    return PowerRow(
        capability=name,
        role=policy.role,
        margin=policy.margin,
        n=n,
        effective=effective,
        clusters=len(sizes) if clustered else 0,
        shows=shows,
        needed=needed,
        discordance=found,
        problem=problem,
    )


def after(comparisons: Iterable[CapabilityComparison]) -> tuple[MeasuredPower, ...]:
    """What each comparison could have shown. Not for sequential ones: they stop before their n is full."""
    found = []
    for c in comparisons:
        shows = effect_measured(c.paired, power=POWER) if c.paired else None
        needed = cases_for(c.paired, c.margin, power=POWER) if c.paired else None
        if shows is not None and c.paired and c.role is Role.TARGET:
            shows = min(1.0, c.paired.gain + shows)
        found.append(MeasuredPower(c.capability, c.margin, c.n_paired, c.paired.n_clusters if c.paired else 0, shows, needed))
    return tuple(found)


def discordances(pairs: Iterable[tuple[Iterable[ScoreRow], Iterable[ScoreRow]]]) -> dict[str, Discordance]:
    """Per capability, over the cases wholly scored in both runs of a pair: mean squared difference around the pair's mean.

    Around the mean, since a candidate that lost a whole skill says nothing of how cases flip between two that are alike. Two
    cases, one of them discordant, are counted on top (Laplace): few cases without a flip must not promise any precision.
    """
    total: dict[str, float] = {}
    cases: dict[str, int] = {}
    runs: dict[str, int] = {}
    for ours, theirs in pairs:
        means, others = case_means(ours), case_means(theirs)
        differences: dict[str, list[float]] = {}
        for key in means.keys() & others.keys():
            differences.setdefault(key[0], []).append(means[key] - others[key])
        for name, found in differences.items():
            shift = sum(found) / len(found)
            total[name] = total.get(name, 0.0) + sum((difference - shift) ** 2 for difference in found)
            cases[name] = cases.get(name, 0) + len(found)
            runs[name] = runs.get(name, 0) + 1
    return {name: Discordance((total[name] + 1.0) / (n + 2.0), n, runs[name]) for name, n in sorted(cases.items())}


def case_means(rows: Iterable[ScoreRow]) -> dict[tuple[str, str], float]:
    """(capability, case id) -> mean over its samples, of the gate's cases whose every sample is scored."""
    values: dict[tuple[str, str], list[float]] = {}
    broken: set[tuple[str, str]] = set()
    for row in rows:
        if row.split is Split.GATE:
            key = (row.capability, row.case_id)
            if row.status is ItemStatus.SCORED and row.value is not None:
                values.setdefault(key, []).append(row.value)
            else:
                broken.add(key)
    return {key: sum(found) / len(found) for key, found in values.items() if key not in broken}
