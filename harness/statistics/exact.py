"""Exact unconditional bounds for the difference of two paired proportions, tables ordered by Tango's bound.

Why: the error rate of a verdict must hold at every n and every rate of flips, and the asymptotic test does not give that (see
harness.statistics.tango). The conditional exact test of McNemar exists at margin 0 only. So for up to LARGEST_N cases we use
Buehler's construction: the one-sided bound that is valid for every (gain rate, loss rate) and as large as it can be among
those that order the tables (gains, losses) as Tango's lower bound does.

For an observed table x let R = {tables whose Tango lower bound is at least that of x}, which is {tables that Tango's test at
d0 = (Tango's bound of x) rejects}: for each number of losses the gains from some threshold upward. Then

    p(d0) = max over loss rates q of P(R; gain rate q + d0, loss rate q)           the p-value of H0: delta <= d0
    bound = the d0 with p(d0) = alpha

R does not depend on d0 and grows with gains and shrinks with losses (Barnard's convexity), so p is increasing in d0, its maximum
over H0 lies on delta = d0, and test and interval agree exactly. The upper bound is the mirror image.

Sources: R. J. Buehler, JASA 52 (1957) 482-493; C. J. Lloyd and P. Kabaila, Australian & New Zealand J. Statistics 45 (2003); the
sup over the nuisance as in A. S. L. Hsueh, J.-P. Liu, J. J. Chen, Biometrics 57 (2001) 478-483 for Tango's statistic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammaln, ndtri

from harness.statistics import tango
from harness.statistics.roots import crossing

LARGEST_N = 500  # up to here exact (tens of milliseconds, remembered per table); beyond, Tango with continuity correction

_COARSE = np.linspace(0.0, 1.0, 33)
_FINE = np.linspace(-1.0, 1.0, 9)


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables at least as good as the observed one: gains >= least[losses], losses = 0..n (``least`` has n + 1 entries)."""

    n: int
    least: NDArray[np.int64]
    log_choose: NDArray[np.float64]  # log of n over losses

    def probability(self, gain_rate: NDArray[np.float64], loss_rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(table in R) under each (gain rate, loss rate); both arrays of one shape (k,)."""
        losses = np.arange(self.n + 1)
        q = loss_rate[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            log_pmf = self.log_choose + np.where(losses > 0, losses * np.log(q), 0.0)
            log_pmf = log_pmf + np.where(losses < self.n, (self.n - losses) * np.log1p(-q), 0.0)
            share = np.clip(np.where(q < 1.0, gain_rate[:, None] / (1.0 - q), 0.0), 0.0, 1.0)
        pmf = np.exp(log_pmf)
        rest = self.n - losses
        row, column = np.nonzero((pmf > 1e-12) & (self.least <= rest))
        least, size = self.least[column], rest[column]
        inside = np.ones(len(row))
        some = least > 0
        inside[some] = betainc(least[some], size[some] - least[some] + 1.0, share[row[some], 0])
        return np.asarray(np.bincount(row, weights=pmf[row, column] * inside, minlength=len(loss_rate)), dtype=float)

    def p_value(self, d0: float) -> float:
        """The largest P(R) on delta = d0: a grid over the smaller of the two rates, denser toward 0, then two refinements."""
        width = max((1.0 - abs(d0)) / 2.0, 0.0)

        def at(t: NDArray[np.float64]) -> NDArray[np.float64]:
            smaller = width * t * t
            return self.probability(smaller + max(d0, 0.0), smaller + max(-d0, 0.0))

        grid, step, best = _COARSE, 1.0 / 32, 0.0
        for _ in range(3):
            values = at(grid)
            top = int(np.argmax(values))
            best = max(best, float(values[top]))
            grid, step = np.clip(grid[top] + step * _FINE, 0.0, 1.0), step / 4
        return min(best, 1.0)


@lru_cache(maxsize=4096)
def at_least(gains: int, losses: int, n: int, cut: float) -> Tables:
    """The tables whose Tango statistic at d0 = ``cut`` is at least that of the observed one."""
    column = np.arange(n + 1)
    low, high = np.zeros(n + 1, dtype=np.int64), n - column + 1  # high: one past the most gains, meaning none
    if cut > -1.0:
        z = float(tango.score_statistic(np.array(float(gains)), np.array(float(losses)), n, cut))
        while np.any(low < high):
            middle = (low + high) // 2
            open_ = low < high
            inside = tango.score_statistic(middle.astype(float), column.astype(float), n, cut) >= z - 1e-7
            high = np.where(open_ & inside, middle, high)
            low = np.where(open_ & ~inside, middle + 1, low)
    low[losses] = min(int(low[losses]), gains)
    log_choose = gammaln(n + 1) - gammaln(column + 1) - gammaln(n - column + 1)
    return Tables(n, low, log_choose)


def p_above(gains: int, losses: int, n: int, d0: float, alpha: float) -> float:
    """Exact one-sided p-value of H0: delta <= d0, tables ordered by Tango's statistic at d0; p <= alpha exactly if bound >= d0.

    The two orderings (at d0 and at the bound) agree but for a few tables at the very edge; there the bound decides, and p is
    moved to its side of alpha. For any level u < alpha, {p <= u} lies inside a valid test at u, so Holm may use it.
    """
    if d0 <= -1.0 or d0 >= 1.0:
        return 0.0 if d0 < -1.0 else 1.0
    p = at_least(gains, losses, n, d0).p_value(d0)
    return min(p, alpha) if lower_bound(gains, losses, n, alpha) >= d0 else max(p, alpha * (1.0 + 1e-9))


@lru_cache(maxsize=4096)
def lower_bound(gains: int, losses: int, n: int, alpha: float) -> float:
    """Exact lower confidence bound of delta at one-sided level 1 - alpha: the largest d0 with p_above <= alpha."""
    start = tango.lower_bound(gains, losses, n, alpha)
    if start <= -1.0:
        return -1.0
    region, target = at_least(gains, losses, n, start), float(ndtri(alpha))

    def gap(d0: float) -> float:
        return float(ndtri(min(max(region.p_value(d0), 1e-300), 1.0 - 1e-16))) - target

    left, right, step = max(start - 0.25 / n, -1.0 + 1e-9), start, 0.5 / n
    while gap(left) > 0.0:
        if left <= -1.0 + 1e-9:
            return -1.0
        left, right, step = max(left - step, -1.0 + 1e-9), left, step * 2
    while gap(right) < 0.0:
        if right >= 1.0 - 1e-9:
            return 1.0
        left, right, step = right, min(right + step, 1.0 - 1e-9), step * 2
    return float(crossing(gap, left, right, xtol=1e-8))
