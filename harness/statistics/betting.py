"""Bounds for a mean of values in a bounded range that assume nothing else: no normality, no variance, no sample size.

Why: with few non-zero differences, all ties or scores at the edge, the studentised mean declares things that are not so
(DECISION: up to 36 % false "not worse" at a nominal 5 %). A bet against H0: mean <= mu that multiplies its wealth by
1 - f w + f t / mu per unit (f in (0, 1): the share staked; w in (0, 1]: the unit's weight; t in [0, w]: its weighted value) has
expected wealth <= 1 under H0, so P(wealth >= 1/alpha) <= alpha (Markov, Ville) and 1/wealth is a p-value.

The wealth is the average over a fixed grid of stakes, so it does not depend on the order of the cases, and it decreases in mu, so
the bound is the exact inversion of the test.

Source: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024) 1-27, section 4
and appendix on mixtures. Differences: a mixture over constant stakes instead of predictable ones (order invariance);
weights, for clusters of unequal size (the target is then the mean over cases).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.statistics.roots import crossing

_STAKES = np.concatenate([np.geomspace(0.002, 0.9, 32), [0.95, 0.98, 0.99, 0.999]])
_SMALLEST_MU = 1e-9


@dataclass(frozen=True, slots=True)
class Bets:
    """Bets on the mean of some units: per distinct unit its value total / largest size, its weight, and how often it occurs."""

    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    count: NDArray[np.float64]

    @staticmethod
    def on(totals: NDArray[np.float64], sizes: NDArray[np.float64] | None = None) -> Bets:
        """totals: (units,) sums of values in [0, 1]; sizes: (units,) how many values each sums, default one."""
        sizes = np.ones_like(totals) if sizes is None else sizes
        largest = float(sizes.max())
        distinct, count = np.unique(totals + 1j * sizes, return_counts=True)  # complex: pairs sort ten times faster than rows
        return Bets(distinct.real / largest, distinct.imag / largest, count.astype(float))

    def _log_wealth(self, mu: float) -> float:
        """Log of the mean over stakes of the product over units."""
        exponents = np.log1p(_STAKES[:, None] * (self.value / mu - self.weight)) @ self.count
        top = float(exponents.max())
        return top + math.log(float(np.exp(exponents - top).mean()))

    def p_above(self, mu: float) -> float:
        """p-value of H0: mean <= mu."""
        if mu <= 0.0:
            return 0.0 if float(self.value.sum()) > 0.0 else 1.0
        return math.exp(min(-self._log_wealth(mu), 0.0))

    def lower_bound(self, alpha: float) -> float:
        """The mu in [0, 1] at which ``p_above`` is alpha."""
        target = -math.log(alpha)
        if self._log_wealth(_SMALLEST_MU) <= target:
            return 0.0
        return float(crossing(lambda mu: self._log_wealth(mu) - target, _SMALLEST_MU, 1.0, xtol=1e-10))
