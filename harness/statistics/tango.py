"""Tango's score test and interval for the difference of two paired proportions, with any margin.

Of n cases, ``gains`` pass with the candidate only and ``losses`` with the baseline only; delta = (gains - losses) / n. For
H0: delta = d0 the variance is estimated under H0 (the constrained maximum-likelihood estimate of the loss rate has a closed
form), so nothing breaks at zero discordant cases, where the paired t and Wald give a zero-width interval. At d0 = 0 the
statistic is McNemar's.

Source: T. Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample design,
Statistics in Medicine 17 (1998) 891-908. The optional continuity correction moves gains - losses by half a case toward H0.
The asymptotic test does not always hold its level (measured worst: .067 for "not worse", .075 for "harmed" at alpha = .05),
so the gate uses harness.statistics.exact for up to ``exact.LARGEST_N`` cases and ``corrected_lower_bound`` beyond.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtr, ndtri

from harness.statistics.roots import crossing

_EDGE = 1e-12


def score_statistic(gains: NDArray[np.float64], losses: NDArray[np.float64], n: int, d0: float) -> NDArray[np.float64]:
    """Tango's z for H0: delta = d0, elementwise over arrays of counts. Positive: the candidate looks better than d0."""
    numerator = gains - losses - n * d0
    variance = _null_variance(gains, losses, n, d0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = numerator / np.sqrt(variance)
    return np.where(variance > _EDGE, z, np.where(numerator > _EDGE, np.inf, np.where(numerator < -_EDGE, -np.inf, 0.0)))


def _null_variance(gains: NDArray[np.float64], losses: NDArray[np.float64], n: int, d0: float) -> NDArray[np.float64]:
    """Variance of gains - losses under H0, with the constrained MLE of the loss rate (Tango 1998, equation 10)."""
    a = 2.0 * n
    b = -gains - losses + (2.0 * n - gains + losses) * d0
    c = -losses * d0 * (1.0 - d0)
    loss_rate = (np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0)) - b) / (2.0 * a)
    return np.asarray(n * (2.0 * loss_rate + d0 * (1.0 - d0)))


def _z(gains: int, losses: int, n: int, d0: float, correction: float) -> float:
    """The scalar form, for root finding: plain floats are ten times quicker than arrays of one."""
    numerator = gains - losses - correction - n * d0
    b = -gains - losses + (2.0 * n - gains + losses) * d0
    c = -losses * d0 * (1.0 - d0)
    loss_rate = (math.sqrt(max(b * b - 8.0 * n * c, 0.0)) - b) / (4.0 * n)
    variance = n * (2.0 * loss_rate + d0 * (1.0 - d0))
    if variance > _EDGE:
        return numerator / math.sqrt(variance)
    return 0.0 if abs(numerator) <= _EDGE else math.copysign(math.inf, numerator)


def p_above(gains: int, losses: int, n: int, d0: float, *, continuity: float = 0.0) -> float:
    """One-sided p-value of H0: delta <= d0 (small: the candidate is better than d0). By symmetry p_above(losses, gains, n, -d0)
    is the p-value of H0: delta >= d0."""
    return float(ndtr(-_z(gains, losses, n, d0, continuity)))


@lru_cache(maxsize=4096)
def lower_bound(gains: int, losses: int, n: int, alpha: float, *, continuity: float = 0.0) -> float:
    """The smallest d0 that the one-sided test at alpha does not reject: the exact inversion of ``p_above`` by root finding."""
    z = float(-ndtri(alpha))
    left, right = -1.0 + 1e-11, 1.0 - 1e-11
    if _z(gains, losses, n, left, continuity) <= z:
        return -1.0
    if _z(gains, losses, n, right, continuity) >= z:
        return 1.0
    return float(crossing(lambda d0: _z(gains, losses, n, d0, continuity) - z, left, right, xtol=1e-12))


def interval(gains: int, losses: int, n: int, alpha: float, *, continuity: float = 0.0) -> tuple[float, float]:
    """Two one-sided bounds at alpha each: a (1 - 2 alpha) two-sided interval. alpha = .025 gives the published 95 % interval."""
    low = lower_bound(gains, losses, n, alpha, continuity=continuity)
    return low, -lower_bound(losses, gains, n, alpha, continuity=continuity)


def corrected_p_above(gains: int, losses: int, n: int, d0: float) -> float:
    """``p_above`` for large n, kept to its level at the corners: see ``corrected_lower_bound``."""
    p = p_above(gains, losses, n, d0, continuity=_half_step(gains, losses, n))
    net = gains - losses
    corner = 0.0 if d0 <= 0.0 else 1.0 if net <= 0 else float(betainc(net, n - net + 1, min(d0, 1.0)))
    return max(p, corner)


def corrected_lower_bound(gains: int, losses: int, n: int, alpha: float) -> float:
    """Tango's bound with the continuity correction, and never above the Clopper-Pearson bound of (gains - losses) / n.

    The correction is half a step of gains - losses, which moves in steps of two when every case is discordant. The second bound
    matters where there are no losses at all: then gains are binomial, and Tango's normal tail is too short for few of them.
    """
    low = lower_bound(gains, losses, n, alpha, continuity=_half_step(gains, losses, n))
    net = gains - losses
    return low if low <= 0.0 or net <= 0 else min(low, float(betaincinv(net, n - net + 1, alpha)))


def _half_step(gains: int, losses: int, n: int) -> float:
    return 0.5 if gains + losses < n else 1.0


def mcnemar_exact(gains: int, losses: int) -> float:
    """Exact conditional McNemar, one-sided: P(X >= gains), X ~ Binomial(gains + losses, 1/2); H0: delta <= 0."""
    return 1.0 if gains == 0 else float(betainc(gains, losses + 1, 0.5))
