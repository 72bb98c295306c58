"""Candidate against baseline on the same cases: the one comparison every verdict is made of.

Hypotheses, with delta = mean(candidate - baseline), margin m > 0; every p-value is one-sided and a claim is shown at alpha when
its p <= alpha, which is the same as: the bound named beside it has passed the value.

    p_improved     H0: delta <= 0     rejected: low >= 0        p_regressed  H0: delta >= 0     rejected: high <= 0
    p_not_worse    H0: delta <= -m    rejected: low >= -m       p_harmed     H0: delta >= -m    rejected: high <= -m
    p_gain         H0: delta <= gain  rejected: low >= gain     equivalent   low >= -m and high <= m (two one-sided tests)

low and high are one-sided bounds at alpha each. Which method gives them depends on the data's kind and n only, and on guards:

    tango-exact   scores 0/1, one per case, independent, n <= 500: exact, ordered by Tango's bound (harness.statistics.exact)
    tango         the same, n > 500: Tango's score test with continuity correction (harness.statistics.tango)
    paired-t, clustered-t   anything else, where the studentised mean can be trusted (harness.statistics.studentised)
    betting       anything else, where it cannot: bounds that assume only that scores lie in [0, 1] (harness.statistics.betting);
                  also where so few cases can miss all losses that would make up the margin: (1 - margin)^n > alpha
    undecided     fewer than two cases, or too few clusters: bounds -1 and 1, p-values 1, and the reason

Limits: cases (or clusters) are taken as independent draws of the cases that matter; a catastrophe so rare that no case shows it
is outside what any paired mean can see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError, UsageError
from harness.model import Claim, PairedComparison
from harness.statistics import betting, exact, tango
from harness.statistics.studentised import Units, guard, studentise

MIN_CLUSTERS = 10
_SAME = 1e-12  # smaller differences are rounding

_PAbove = Callable[[float], float]  # d0 -> p-value of H0: delta <= d0


def compare_paired(
    candidate: ArrayLike,
    baseline: ArrayLike,
    *,
    margin: float,
    alpha: float = 0.05,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    binary: bool | None = None,
    min_clusters: int = MIN_CLUSTERS,
    gain: float = 0.0,
) -> PairedComparison:
    """Compare two arrays (n,) of case scores in [0, 1], case i against case i.

    margin: the loss that would be tolerated, in score points. clusters: (n,) labels; cases of one label are not independent, None
    is a cluster of its own. binary: None detects 0/1 scores; False forces the methods for any score. gain: what p_gain tests.
    The result does not depend on the order of the cases, and swapping the two sides mirrors it (delta, low, high).
    UsageError for a bad margin, alpha, gain or min_clusters; DataError for scores that cannot be compared.
    """
    _check_settings(margin, alpha, gain, min_clusters)
    first, second = _scores(candidate, "candidate"), _scores(baseline, "baseline")
    if first.size != second.size:
        raise DataError(
            f"{first.size} candidate scores against {second.size} baseline scores",
            todo="Pass the scores of the same cases in the same order",
        )
    is_binary = _is_binary(first, second, binary)
    labels = cluster_codes(clusters, first.size)
    settings = _Settings(margin, alpha, gain)
    if first.size < 2:
        reason = "no case was scored in both runs" if first.size == 0 else "one case shows nothing about others"
        return _undecided(first - second, first.size, settings, reason)
    if labels is None:
        return _binary(first, second, settings) if is_binary else _studentised(_units(first - second, None), settings, "paired-t")
    units = _units(first - second, labels)
    if len(units.sums) < min_clusters:
        found = f"{len(units.sums)} cluster{'s' if len(units.sums) > 1 else ''}"
        reason = f"{found}, and the spread between clusters needs at least {min_clusters}"
        return _undecided(first - second, len(units.sums), settings, reason)
    if units.effective < min_clusters / 2:
        reason = f"{len(units.sums)} clusters of such unequal size that they count as {units.effective:.1f}"
        return _undecided(first - second, len(units.sums), settings, reason)
    return _studentised(units, settings, "clustered-t")


def claims_of(comparison: PairedComparison | None) -> tuple[Claim, ...]:
    """What a comparison shows at its alpha; (UNDECIDED,) when it shows nothing."""
    if comparison is None:
        return (Claim.UNDECIDED,)
    c = comparison
    shown = (
        (Claim.IMPROVED, c.p_improved <= c.alpha),
        (Claim.NOT_WORSE, c.p_not_worse <= c.alpha),
        (Claim.EQUIVALENT, c.p_not_worse <= c.alpha and c.high <= c.margin),
        (Claim.REGRESSED, c.p_regressed <= c.alpha),
        (Claim.HARMED, c.p_harmed <= c.alpha),
    )
    return tuple(claim for claim, is_shown in shown if is_shown) or (Claim.UNDECIDED,)


class _Settings:
    __slots__ = ("alpha", "gain", "margin")

    def __init__(self, margin: float, alpha: float, gain: float) -> None:
        self.margin, self.alpha, self.gain = float(margin), float(alpha), float(gain)


def _check_settings(margin: float, alpha: float, gain: float, min_clusters: int) -> None:
    if not 0.0 < margin <= 1.0:
        raise UsageError(
            f"margin is {margin}, and must be above 0 and at most 1", todo="Give the loss you would tolerate, e.g. 0.02"
        )
    if not 0.0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha}, and must lie between 0 and 0.5")
    if not 0.0 <= gain < 1.0:
        raise UsageError(f"gain is {gain}, and must lie in [0, 1)")
    if min_clusters < 2:
        raise UsageError(f"min_clusters is {min_clusters}, and must be at least 2")


def _scores(values: ArrayLike, side: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{side} scores are not numbers", todo="Leave missing scores out on both sides") from error
    if np.asarray(values).dtype.kind not in "biuf" and array.size:
        raise DataError(f"{side} scores are not numbers", todo="Leave missing scores out on both sides")
    if array.ndim != 1:
        raise DataError(f"{side} scores have {array.ndim} dimensions, and must be one score a case")
    if array.size and not np.all(np.isfinite(array)):
        index = int(np.argmin(np.isfinite(array)))
        raise DataError(f"{side} score {index} is {array[index]}", todo="Leave missing scores out on both sides")
    outside = (array < 0.0) | (array > 1.0)
    if outside.any():
        index = int(np.argmax(outside))
        raise DataError(f"{side} score {index} is {array[index]}, outside [0, 1]", todo="Scale scores to [0, 1]")
    return array


def _is_binary(first: NDArray[np.float64], second: NDArray[np.float64], binary: bool | None) -> bool:
    if binary is False:
        return False
    found = all(bool(np.all((side == 0.0) | (side == 1.0))) for side in (first, second))
    if binary and not found:
        raise DataError("scores other than 0 and 1 were given as binary", todo="Pass binary=None or False")
    return found


def cluster_codes(clusters: Sequence[Any] | NDArray[Any] | None, n: int) -> NDArray[np.int64] | None:
    """Cluster numbers (n,), or None when every case stands alone."""
    if clusters is None:
        return None
    if len(clusters) != n:
        raise DataError(f"{len(clusters)} cluster labels for {n} cases")
    numbers: dict[Any, int] = {}
    codes = np.fromiter(
        (
            numbers.setdefault(("alone", i) if label is None else ("cluster", label), len(numbers))
            for i, label in enumerate(clusters)
        ),
        dtype=np.int64,
        count=n,
    )
    return None if len(numbers) == n else codes


def _units(differences: NDArray[np.float64], labels: NDArray[np.int64] | None) -> Units:
    """Sums per unit, sorted by value, so that no later sum depends on the order of the cases."""
    if labels is None:
        sums = np.sort(differences)
        return Units(sums, np.ones_like(sums), int(np.count_nonzero(np.abs(sums) > _SAME)))
    order = np.lexsort((differences, labels))
    sums = np.asarray(np.bincount(labels[order], weights=differences[order]), dtype=float)
    sizes = np.bincount(labels).astype(float)
    nonzero = int(np.count_nonzero(np.bincount(labels, weights=np.abs(differences) > _SAME)))
    order = np.lexsort((sizes, sums))
    return Units(sums[order], sizes[order], nonzero)


def binary_bounds(gains: int, losses: int, n: int, alpha: float) -> tuple[float, float, str]:
    """Lower and upper bound of (gains - losses) / n, each at alpha, of 0/1 scores of n independent cases; the method's name."""
    if n <= exact.LARGEST_N:
        return exact.lower_bound(gains, losses, n, alpha), -exact.lower_bound(losses, gains, n, alpha), "tango-exact"
    low, high = (tango.corrected_lower_bound(*counts, n, alpha) for counts in ((gains, losses), (losses, gains)))
    return low, -high, "tango"


def _binary(first: NDArray[np.float64], second: NDArray[np.float64], settings: _Settings) -> PairedComparison:
    n, alpha = first.size, settings.alpha
    gains, losses = int(np.count_nonzero(first > second)), int(np.count_nonzero(first < second))

    def above(up: int, down: int, d0: float) -> float:
        if n <= exact.LARGEST_N:
            return exact.p_above(up, down, n, d0, alpha)
        return tango.corrected_p_above(up, down, n, d0)

    low, high, method = binary_bounds(gains, losses, n, alpha)
    better: _PAbove = lambda d0: above(gains, losses, d0)  # noqa: E731
    worse: _PAbove = lambda d0: above(losses, gains, d0)  # noqa: E731
    return _result((gains - losses) / n, low, high, n, n, method, settings, better, worse)


def _studentised(units: Units, settings: _Settings, method: str) -> PairedComparison:
    n, count = int(units.sizes.sum()), len(units.sums)
    delta = float(units.sums.sum()) / n
    fit = studentise(units)
    why = guard(units, fit) or _unseen(units, settings)
    if fit is None or why:
        return _bet(units, delta, settings, why)
    mirror = fit.mirrored()
    low, high = fit.lower_bound(settings.alpha), -mirror.lower_bound(settings.alpha)
    return _result(delta, low, high, n, count, method, settings, fit.p_above, mirror.p_above)


def _unseen(units: Units, settings: _Settings) -> str:
    """Why the spread that is seen says too little, or an empty string.

    Scores may differ a little everywhere, as a judge's expected scores do, and be lost whole now and then. As long as so few
    units would show none of the losses that make up the margin more often than alpha, their spread knows nothing of them.
    """
    if (1.0 - settings.margin) ** units.effective > settings.alpha:
        return f"{units.effective:.0f} units can miss all of the losses that would make up the margin"
    return ""


def _bet(units: Units, delta: float, settings: _Settings, why: str) -> PairedComparison:
    """Differences in [-1, 1] become values (1 + d) / 2 in [0, 1], whose mean is (1 + delta) / 2."""
    up = betting.Bets.on((units.sizes + units.sums) / 2.0, units.sizes)
    down = betting.Bets.on((units.sizes - units.sums) / 2.0, units.sizes)
    low, high = 2.0 * up.lower_bound(settings.alpha) - 1.0, 1.0 - 2.0 * down.lower_bound(settings.alpha)
    better: _PAbove = lambda d0: up.p_above((1.0 + d0) / 2.0)  # noqa: E731
    worse: _PAbove = lambda d0: down.p_above((1.0 + d0) / 2.0)  # noqa: E731
    n, count = int(units.sizes.sum()), len(units.sums)
    return _result(delta, low, high, n, count, "betting", settings, better, worse, reason=f"bounded-mean interval used: {why}")


def _result(
    delta: float,
    low: float,
    high: float,
    n: int,
    n_clusters: int,
    method: str,
    settings: _Settings,
    better: _PAbove,
    worse: _PAbove,
    *,
    reason: str = "",
) -> PairedComparison:
    """better(d0): p-value of H0: delta <= d0. worse(d0): of H0: -delta <= d0, that is delta >= -d0."""
    p_improved = better(0.0)
    return PairedComparison(
        delta=delta,
        low=max(min(low, delta), -1.0),
        high=min(max(high, delta), 1.0),
        n=n,
        n_clusters=n_clusters,
        method=method,
        margin=settings.margin,
        alpha=settings.alpha,
        p_improved=p_improved,
        p_not_worse=better(-settings.margin),
        p_regressed=worse(0.0),
        p_harmed=worse(settings.margin),
        reason=reason,
        gain=settings.gain,
        p_gain=better(settings.gain) if settings.gain else p_improved,
    )


def _undecided(differences: NDArray[np.float64], n_clusters: int, settings: _Settings, reason: str) -> PairedComparison:
    return PairedComparison(
        delta=float(differences.mean()) if differences.size else 0.0,
        low=-1.0,
        high=1.0,
        n=int(differences.size),
        n_clusters=n_clusters,
        method="undecided",
        margin=settings.margin,
        alpha=settings.alpha,
        p_improved=1.0,
        p_not_worse=1.0,
        p_regressed=1.0,
        p_harmed=1.0,
        reason=reason,
        gain=settings.gain,
        p_gain=1.0,
    )
