"""The noise floor: what an A/A comparison shows, the baseline against itself with other seeds and in another order.

Whatever differs there is not the candidate's: sampling, and at temperature 0 the batches that a server happens to make. Every
claim of a change is false there, so the share of false claims is counted, too: of the whole comparison, and of many random halves
of its cases. The halves share cases, so their share is a picture and not an estimate with an interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from harness.model import CapabilityComparison, Claim, Gate, PairedComparison, ScoreRow
from harness.powercard import case_means
from harness.statistics import clopper_pearson_lower, clopper_pearson_upper, compare_paired, holm

CONFIDENCE = 0.95  # two-sided, of the flip rates
FALSE_CLAIMS = frozenset({Claim.IMPROVED, Claim.REGRESSED, Claim.HARMED})
_LEAST = 8  # cases, under which a half shows nothing
_HALVES, _ALL_HALVES = 100, 2_000  # of one capability, of all of them together


@dataclass(frozen=True, slots=True)
class NoiseRow:
    """One capability asked twice. flips: cases that passed once and failed once; low, high: Clopper-Pearson at CONFIDENCE.

    threshold: an observed difference below it is what 95 % of such comparisons give by noise alone; None: nothing was measured.
    claims: false ones of the whole comparison, each at the gate's alpha.
    """

    capability: str
    n: int
    flips: int
    low: float
    high: float
    threshold: float | None
    claims: tuple[Claim, ...] = ()

    @property
    def rate(self) -> float:
        return self.flips / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Halves:
    """Random halves of one capability's cases: how many were compared, how many showed a change that cannot be one."""

    mean_abs: float  # mean |difference| of a case
    tried: int = 0
    shown: int = 0


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """All capabilities together. false: those that show a change also after Holm's correction over all of them."""

    rows: tuple[NoiseRow, ...]
    n: int
    flips: int
    low: float
    high: float
    false: tuple[str, ...]

    @property
    def rate(self) -> float:
        return self.flips / self.n if self.n else 0.0

    def sentence(self) -> str:
        """``noise floor: 1.2 % of cases flip by themselves [0.6, 2.1]; differences under 1.4 points are noise``."""
        thresholds = [row.threshold for row in self.rows if row.threshold is not None]
        if not self.n or not thresholds:
            return "noise floor: not measured, no case was answered twice"
        low, high = f"{100 * min(thresholds):.1f}", f"{100 * max(thresholds):.1f}"
        under = low if low == high else f"{low} to {high}"
        by = "" if low == high else " (by capability)"
        flips = f"{100 * self.rate:.1f} % of cases flip by themselves [{100 * self.low:.1f}, {100 * self.high:.1f}]"
        return f"noise floor: {flips}; differences under {under} points{by} are noise"


def floor_of(comparisons: Iterable[CapabilityComparison], alpha: float) -> NoiseFloor:
    """The noise floor from the comparisons of an A/A run, stored or just made."""
    compared = tuple(comparisons)
    rows = tuple(_row(c) for c in compared)
    n, flips = sum(row.n for row in rows), sum(row.flips for row in rows)
    tested = [c for c in compared if c.paired is not None and c.paired.method != "undecided"]
    adjusted = holm([_two_sided(c.paired) for c in tested if c.paired])
    false = tuple(c.capability for c, p in zip(tested, adjusted, strict=True) if p <= alpha)
    return NoiseFloor(rows, n, flips, *_bounds(flips, n), false)


def halves(
    ours: Iterable[ScoreRow], theirs: Iterable[ScoreRow], margins: Mapping[str, float], gate: Gate, rng: np.random.Generator
) -> dict[str, Halves]:
    """Compare random halves of each capability's cases by the gate's rules; clusters stay out of it (noise has none)."""
    first, second = case_means(ours), case_means(theirs)
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in margins}
    for key in sorted(first.keys() & second.keys()):
        if key[0] in pairs:
            pairs[key[0]].append((first[key], second[key]))
    times = max(10, min(_HALVES, _ALL_HALVES // max(1, len(pairs))))
    return {name: _halved(np.array(found), margins[name], gate, rng, times) for name, found in pairs.items() if found}


def _halved(scores: np.ndarray, margin: float, gate: Gate, rng: np.random.Generator, times: int) -> Halves:
    """scores: (cases, 2), of the two runs."""
    mean_abs = float(np.abs(scores[:, 0] - scores[:, 1]).mean())
    size = len(scores) // 2
    if size < _LEAST:
        return Halves(mean_abs)
    shown = 0
    for _ in range(times):
        half = scores[rng.choice(len(scores), size, replace=False)]
        result = compare_paired(half[:, 0], half[:, 1], margin=margin, alpha=gate.alpha)
        shown += result.method != "undecided" and min(result.p_improved, result.p_regressed) <= gate.alpha
    return Halves(mean_abs, times, shown)


def _row(c: CapabilityComparison) -> NoiseRow:
    flips = len(c.fixed) + len(c.broken)
    false = tuple(claim for claim in c.claims if claim in FALSE_CLAIMS)
    return NoiseRow(c.capability, c.n_paired, flips, *_bounds(flips, c.n_paired), _threshold(c.paired, flips), false)


def _threshold(paired: PairedComparison | None, flips: int) -> float | None:
    """1.96 standard errors, as the interval's half-width of z_alpha of them tells; never finer than one case.

    A sequential interval is wider than that by what looking often costs, so there the flips tell.
    """
    if paired is None or paired.method == "undecided" or not paired.n:
        return None
    normal = NormalDist()
    error = (paired.high - paired.low) / 2.0 / -normal.inv_cdf(paired.alpha)
    if paired.method == "sequential":
        error = flips**0.5 / paired.n
    return min(1.0, max(error * normal.inv_cdf(0.5 + CONFIDENCE / 2.0), 1.0 / paired.n))


def _bounds(flips: int, n: int) -> tuple[float, float]:
    if not n:
        return 0.0, 1.0
    tail = (1.0 - CONFIDENCE) / 2.0
    return clopper_pearson_lower(flips, n, tail), clopper_pearson_upper(flips, n, tail)


def _two_sided(paired: PairedComparison) -> float:
    return min(1.0, 2.0 * min(paired.p_improved, paired.p_regressed))
