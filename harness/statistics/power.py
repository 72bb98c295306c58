"""How many cases, and what they can show: planning before a run, and "the n that would decide it" after it.

All of it is the normal approximation with both error rates, n = (z_alpha + z_power)^2 * variance / distance^2, where variance is
that of one case's difference: for 0/1 scores the share of discordant cases - delta^2. Good enough to plan with; nothing is
decided by it.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from harness.errors import UsageError
from harness.model import PairedComparison

LARGEST_USEFUL_N = 1_000_000  # above, the honest answer is that no affordable n would decide it


def _z(alpha: float, power: float) -> float:
    if not 0.0 < alpha < 1.0 or not 0.0 < power < 1.0:
        raise UsageError(f"alpha {alpha} and power {power} must lie between 0 and 1")
    normal = NormalDist()  # the standard library's: a card before a run must not wait for scipy
    return normal.inv_cdf(power) - normal.inv_cdf(alpha)


def cases_needed(margin: float, *, discordance: float, delta: float = 0.0, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Cases to show "not worse" by ``margin`` when the truth is ``delta`` and ``discordance`` of the cases differ.

    discordance: mean squared difference of a case (for 0/1 scores the share of cases that flip). None when the truth is at or
    beyond the margin, or no affordable n would do. Never less than ln(alpha) / ln(1 - margin), what no flips at all would need.
    """
    if not 0.0 < margin <= 1.0 or not 0.0 <= discordance <= 1.0:
        raise UsageError(f"margin {margin} and discordance {discordance} must lie in [0, 1]")
    distance = margin + delta
    if distance <= 0.0:
        return None
    n = _z(alpha, power) ** 2 * max(discordance - delta * delta, 0.0) / (distance * distance)
    least = math.log(alpha) / math.log1p(-margin) if margin < 1.0 else 1.0
    needed = max(math.ceil(n), math.ceil(least), 2)
    return needed if needed <= LARGEST_USEFUL_N else None


def smallest_effect(n: int, *, discordance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true gain or loss that n cases show with this power; at most 1."""
    if n < 1 or not 0.0 <= discordance <= 1.0:
        raise UsageError(f"n {n} must be positive and discordance {discordance} lie in [0, 1]")
    least = 1.0 - alpha ** (1.0 / n)
    return min(1.0, max(_z(alpha, power) * math.sqrt(discordance / n), least))


def cases_to_decide(comparison: PairedComparison, threshold: float, *, power: float = 0.8) -> int | None:
    """Cases with which a comparison like this one would show on which side of ``threshold`` delta is, were the truth as observed.

    Clusters and method included, since both are in its bounds. None when the estimate lies on the threshold (no affordable n), or
    nothing was measured.
    """
    c = comparison
    if c.method == "undecided":
        return None
    return cases_to_place(c.delta, c.low, c.high, c.n, threshold, level=c.alpha, power=power)


def cases_to_place(
    mean: float, low: float, high: float, n: int, threshold: float, *, level: float, power: float = 0.8
) -> int | None:
    """Cases with which a mean's bound, at one-sided ``level``, would pass ``threshold``; low, high: the bounds that n cases gave.

    Widths shrink with 1 / sqrt(n): the half-width toward the threshold is what was measured.
    """
    distance = abs(mean - threshold)
    if n < 2 or distance <= 1e-9:
        return None
    width = mean - low if mean > threshold else high - mean
    needed = n * (_z(level, power) / _z(level, 0.5) * width / distance) ** 2
    return None if needed > LARGEST_USEFUL_N else max(math.ceil(needed), n + 1)


def effect_measured(comparison: PairedComparison, *, power: float = 0.8) -> float | None:
    """The smallest true gain or loss that a comparison as wide as this one shows with this power; None: nothing was measured.

    The interval's half-width is z_alpha standard errors, whatever made it wide: discordance, clusters, a careful method.
    """
    if comparison.method == "undecided" or comparison.n < 2:
        return None
    half = (comparison.high - comparison.low) / 2.0
    return min(1.0, half * _z(comparison.alpha, power) / _z(comparison.alpha, 0.5))


def cases_for(comparison: PairedComparison, distance: float, *, power: float = 0.8) -> int | None:
    """Cases like these that show an equal candidate not worse by ``distance``, or a gain of that size; None: unaffordable."""
    effect = effect_measured(comparison, power=power)
    if effect is None or distance <= 0.0:
        return None
    n = math.ceil(comparison.n * (effect / distance) ** 2)
    return n if n <= LARGEST_USEFUL_N else None
