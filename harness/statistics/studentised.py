"""The studentised mean difference over independent units (cases, or clusters of cases), with guards where it is known to fail.

delta is the mean over cases. The unit's residual is e_c = sum over its cases of (d_i - delta); the variance of delta is
G / (G - 1) * sum e_c^2 / N^2 (cluster-robust; s^2 / n when every unit is one case), and (delta - d0) / se is compared with t on
G - 1 degrees of freedom. With unequal clusters G is replaced by Kish's effective number (sum n_c)^2 / sum n_c^2, which is G when
they are equal: one giant cluster is not evidence on G - 1 degrees of freedom.

Skewness shifts the t statistic to first order: P(T <= x) = Phi(x) + g (2 x^2 + 1) phi(x) / (6 sqrt(G)), g the skewness. The
endangered side (low when g < 0, high when g > 0) is widened by P. Hall's monotone transformation (J. Royal Statistical Society B
54 (1992) 221-228) unless the effect is negligible; no side is ever narrowed. Where the skewness is too large
for that, or too few units differ, ``guard`` says so and the caller uses harness.statistics.betting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

MANY_NONZERO = 30  # this many units that differ are enough, whatever the share of ties
NEGLIGIBLE_SKEW = 0.05  # of skewness / sqrt(units): below, the plain t is off its level by less than .006
LARGEST_SKEW = 0.3  # of skewness / sqrt(units): beyond, the first-order correction is not enough


@dataclass(frozen=True, slots=True)
class Units:
    """Independent units: sums of differences and numbers of cases, both (G,); nonzero counts units with a difference."""

    sums: NDArray[np.float64]
    sizes: NDArray[np.float64]
    nonzero: int

    @property
    def effective(self) -> float:
        """Kish's effective number of units; G when all sizes are equal."""
        return float(self.sizes.sum() ** 2 / np.square(self.sizes).sum())


@dataclass(frozen=True, slots=True)
class Studentised:
    """delta, its standard error, degrees of freedom, and skewness / sqrt(units), corrected for the bias of small samples."""

    delta: float
    se: float
    df: float
    skew: float

    def p_above(self, d0: float) -> float:
        """One-sided p-value of H0: delta <= d0."""
        x = (self.delta - d0) / self.se
        return float(stdtr(self.df, -min(x, _hall(x, self.skew)) if self.skew < -NEGLIGIBLE_SKEW else -x))

    def lower_bound(self, alpha: float) -> float:
        """The d0 at which ``p_above`` is alpha."""
        x = float(stdtrit(self.df, 1.0 - alpha))
        if self.skew < -NEGLIGIBLE_SKEW:
            x = max(x, _hall_inverse(x, self.skew))
        return self.delta - x * self.se

    def mirrored(self) -> Studentised:
        return Studentised(-self.delta, self.se, self.df, -self.skew)


def _hall(x: float, skew: float) -> float:
    return x + skew * x * x / 3.0 + skew * skew * x**3 / 27.0 + skew / 6.0


def _hall_inverse(y: float, skew: float) -> float:
    return 3.0 / skew * (float(np.cbrt(1.0 + skew * (y - skew / 6.0))) - 1.0)


def studentise(units: Units) -> Studentised | None:
    """None when no spread can be measured (all units equal, or fewer than two)."""
    count, cases = len(units.sums), float(units.sizes.sum())
    if count < 2:
        return None
    delta = float(units.sums.sum()) / cases
    residuals = units.sums - delta * units.sizes
    square = float(np.square(residuals).sum())
    if square <= 1e-18 * cases:
        return None
    se = math.sqrt(count / (count - 1.0) * square) / cases
    skew = float((residuals**3).sum() / count / (square / count) ** 1.5) * math.sqrt((count - 1.0) / max(count - 2.0, 1.0) ** 2)
    return Studentised(delta, se, max(units.effective - 1.0, 1.0), skew)


def guard(units: Units, result: Studentised | None) -> str:
    """Why the studentised mean must not be trusted here, or an empty string."""
    count = len(units.sums)
    if result is None:
        return "all differences are equal, so no spread can be measured"
    if units.nonzero < MANY_NONZERO and 2 * units.nonzero < count:
        return f"only {units.nonzero} of {count} units differ"
    if abs(result.skew) > LARGEST_SKEW:
        return "a few extreme differences carry the mean"
    return ""
