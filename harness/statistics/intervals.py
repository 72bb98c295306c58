"""One-sided bounds of a single proportion or bounded mean: what absolute floors are tested with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri

from harness.errors import DataError, UsageError
from harness.statistics.betting import Bets
from harness.statistics.paired import cluster_codes


def _counts(successes: int, n: int, alpha: float) -> None:
    if n < 1 or not 0 <= successes <= n:
        raise DataError(f"{successes} successes of {n} is not a proportion")
    if not 0.0 < alpha < 1.0:
        raise UsageError(f"alpha is {alpha}, and must lie between 0 and 1")


def clopper_pearson_lower(successes: int, n: int, alpha: float) -> float:
    """Exact lower bound at one-sided level 1 - alpha (Clopper and Pearson 1934): never too high, for any n."""
    _counts(successes, n, alpha)
    return 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, alpha))


def clopper_pearson_upper(successes: int, n: int, alpha: float) -> float:
    return 1.0 - clopper_pearson_lower(n - successes, n, alpha)


def wilson_lower(successes: int, n: int, alpha: float) -> float:
    """Score lower bound (Wilson 1927): closer to its level on average than Clopper-Pearson, but may exceed it a little."""
    _counts(successes, n, alpha)
    z, p = float(-ndtri(alpha)), successes / n
    centre = p + z * z / (2 * n)
    spread = z * ((p * (1 - p) + z * z / (4 * n)) / n) ** 0.5
    return max(0.0, (centre - spread) / (1 + z * z / n))


def mean_bounds(
    scores: Sequence[float], alpha: float, *, clusters: Sequence[Any] | NDArray[Any] | None = None
) -> tuple[float, float]:
    """Lower and upper bound, each at one-sided level 1 - alpha, of the mean of scores in [0, 1].

    Clopper-Pearson when all scores are 0 or 1 and stand alone; otherwise the betting bound, which is valid for any bounded
    distribution, over cases or over ``clusters`` (labels as in compare_paired). DataError for an empty or invalid sequence.
    """
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or values.size == 0:
        raise DataError("a floor needs at least one score")
    if not np.all(np.isfinite(values)) or values.min() < 0.0 or values.max() > 1.0:
        raise DataError("scores must be numbers in [0, 1]", todo="Leave a missing score out, with its reason, instead of NaN")
    codes = cluster_codes(clusters, int(values.size))
    if codes is None and np.all((values == 0.0) | (values == 1.0)):
        successes, n = int(values.sum()), int(values.size)
        return clopper_pearson_lower(successes, n, alpha), clopper_pearson_upper(successes, n, alpha)
    codes = np.arange(values.size) if codes is None else codes
    sums, sizes = np.bincount(codes, weights=values).astype(float), np.bincount(codes).astype(float)
    return Bets.on(sums, sizes).lower_bound(alpha), 1.0 - Bets.on(sizes - sums, sizes).lower_bound(alpha)
