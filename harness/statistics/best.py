"""Many combinations asked the same cases: bounds that hold for all of them together, and which of them may be the best.

Why: the best of twelve looks better than it is (the winner's curse), so a bound for it alone is wrong as soon as it was chosen by
its score. Two answers, both valid however the choice was made, since they hold for every combination at once:

    mean_intervals    bounds of each combination's mean: all lower ones hold together with 1 - alpha, and so do all upper ones
    standings         Hsu's multiple comparisons with the best: bounds of mean_i - max over the others of mean_j

``mean_intervals`` splits alpha over the combinations (Bonferroni) and bounds each mean exactly (Clopper-Pearson for 0/1 scores of
independent cases, otherwise betting). A studentised max-|t| bootstrap of the cases would use that combinations answer the same
cases alike. Measured on 12 combinations of equal mean p, latent correlation .6, 300 simulations each, alpha .05: the share in
which all lower bounds hold, and their mean distance from the mean in points:

    n, p           80, .80      80, .95      80, .99      250, .80     250, .95     250, .99
    exact          .97  14.0    1.00  10.1   1.00  7.6    .97  7.4     .99  4.8     1.00  3.0
    bootstrap      .97  14.7    .85   (*)    .05   (*)    .96  7.2     .97  5.4     .48   1.9

It gains nothing worth having where it holds, and does not hold where good prompts live ((*): resamples without any spread make
its quantile infinite or its width zero). So nothing here resamples, and nothing here needs a seed or a guard.

``standings``: J. C. Hsu, Simultaneous confidence intervals for all distances from the "best", Annals of Statistics 9 (1981)
1026-1034, and D. G. Edwards and J. C. Hsu, JASA 78 (1983) 965-971. Let b be the combination that truly is best. All statements
follow from one event: for every i other than b, mean_b - mean_i is at most its upper bound. These are K - 1 one-sided statements,
so each pair is bounded at alpha / (K - 1), whichever b is; the pairs are compared case by case (harness.statistics.paired: exact
for 0/1 scores, guarded otherwise), instead of by Hsu's normal theory with equal variances. The true best is called beaten with a
chance of at most alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError, UsageError
from harness.statistics.intervals import mean_bounds
from harness.statistics.paired import MIN_CLUSTERS, binary_bounds, cluster_codes, compare_paired

_MARGIN = 0.5  # compare_paired wants one; no bound depends on it

Labels = Sequence[Any] | NDArray[Any] | None


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A mean of n cases with bounds at one-sided ``level`` each. missing: cases without a score, 0 in low and 1 in high.

    mean None: no case has a score. reason: why the bounds say nothing, if they do.
    """

    mean: float | None
    low: float
    high: float
    n: int
    missing: int
    level: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """mean_i - max over the others: low <= 0 <= high, both bounds together with those of all others at 1 - alpha.

    may_be_best: nothing shows another one better. beaten_by: position of the one that is shown better, the best such by its mean.
    """

    low: float
    high: float
    may_be_best: bool
    beaten_by: int | None = None


def mean_intervals(
    scores: ArrayLike, alpha: float, *, clusters: Labels = None, min_clusters: int = MIN_CLUSTERS, shares: int | None = None
) -> tuple[MeanInterval, ...]:
    """Bounds of the mean of each row of ``scores`` (combinations, cases), NaN where a case has no score.

    clusters: (cases,) labels as in compare_paired. shares: among how many bounds alpha is split, where this is part of a larger
    family; default one a row. UsageError, DataError for settings and scores that make no sense.
    """
    table = _checked(scores, alpha)
    if not len(table):
        return ()
    shares = len(table) if shares is None else shares
    if shares < len(table):
        raise UsageError(f"alpha is split into {shares} shares, and {len(table)} are needed")
    level = alpha / shares
    labels = cluster_codes(clusters, table.shape[1])
    why = _too_little(labels, table.shape[1], min_clusters)
    return tuple(_interval(row, level, labels, why) for row in table)


def _interval(row: NDArray[np.float64], level: float, labels: NDArray[np.int64] | None, why: str) -> MeanInterval:
    missing = np.isnan(row)
    n, left = int(row.size - missing.sum()), int(missing.sum())
    mean = float(row[~missing].mean()) if n else None
    if why or mean is None:
        return MeanInterval(mean, 0.0, 1.0, n, left, level, why or "no case has a score")
    low = mean_bounds(np.where(missing, 0.0, row).tolist(), level, clusters=labels)[0]
    high = mean_bounds(np.where(missing, 1.0, row).tolist(), level, clusters=labels)[1]
    return MeanInterval(mean, min(low, mean), max(high, mean), n, left, level)


def _too_little(labels: NDArray[np.int64] | None, cases: int, min_clusters: int) -> str:
    if cases < 2:
        return "one case shows nothing about others" if cases else "no case"
    if labels is not None and (found := len(np.unique(labels))) < min_clusters:
        return f"{found} clusters, and the spread between clusters needs at least {min_clusters}"
    return ""


def standings(
    scores: ArrayLike, alpha: float, *, clusters: Labels = None, min_clusters: int = MIN_CLUSTERS
) -> tuple[Standing, ...]:
    """How far each row of ``scores`` (combinations, cases; NaN: no score) is from the best of the others, higher is better.

    A missing score counts against whatever is to be shown. With one row there is nothing to compare: it may be best.
    """
    table = _checked(scores, alpha)
    if len(table) < 2:
        return tuple(Standing(0.0, 0.0, True) for _ in table)
    pairs = _Pairs(table, alpha / (len(table) - 1), cluster_codes(clusters, table.shape[1]), min_clusters)
    missing = np.isnan(table)
    means = np.where(missing, 0.0, table).sum(axis=1) / np.maximum((~missing).sum(axis=1), 1)
    order = [int(i) for i in np.argsort(-means, kind="stable")]
    beaten_by = {i: next((j for j in order if j != i and pairs.high(i, j) < 0.0), None) for i in order}
    best = [i for i in order if beaten_by[i] is None]
    return tuple(_standing(i, order, best, beaten_by[i], pairs) for i in range(len(table)))


def _standing(i: int, order: Sequence[int], best: Sequence[int], beaten_by: int | None, pairs: _Pairs) -> Standing:
    """Edwards and Hsu's interval: upper bound max(0, min over the others), lower bound from those that may be best."""
    rivals = [j for j in best if j != i]
    low = min((pairs.low(i, j) for j in rivals), default=0.0)
    if beaten_by is not None:
        return Standing(min(low, 0.0), 0.0, False, beaten_by)
    high = min(pairs.high(i, j) for j in order if j != i)
    return Standing(min(low, 0.0), max(high, 0.0), True)


@dataclass(slots=True)
class _Pairs:
    """Bounds of mean_i - mean_j, each computed when it is first asked for: most combinations are beaten by the first rival."""

    table: NDArray[np.float64]
    level: float
    labels: NDArray[np.int64] | None
    min_clusters: int
    known: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)

    def low(self, i: int, j: int) -> float:
        if (i, j) not in self.known:
            low, high = _difference(self.table[i], self.table[j], self.level, self.labels, self.min_clusters)
            self.known[i, j], self.known[j, i] = (low, high), (-high, -low)
        return self.known[i, j][0]

    def high(self, i: int, j: int) -> float:
        return -self.low(j, i)


def difference(
    first: ArrayLike, second: ArrayLike, level: float, *, clusters: Labels = None, min_clusters: int = MIN_CLUSTERS
) -> tuple[float, float]:
    """Bounds of mean(first - second) over the same cases, each at one-sided ``level``; a NaN counts against what is shown."""
    table = _checked(np.stack([np.asarray(first), np.asarray(second)]), level)
    return _difference(table[0], table[1], level, cluster_codes(clusters, table.shape[1]), min_clusters)


def _difference(
    a: NDArray[np.float64], b: NDArray[np.float64], level: float, labels: NDArray[np.int64] | None, min_clusters: int
) -> tuple[float, float]:
    def filled(missing_a: float, missing_b: float) -> tuple[float, float]:
        sides = np.nan_to_num(a, nan=missing_a), np.nan_to_num(b, nan=missing_b)
        # As compare_paired has them, without its p-values, which take longer than the bounds, where scores are 0/1.
        if labels is None and a.size > 1 and all(bool(np.all((side == 0.0) | (side == 1.0))) for side in sides):
            gains, losses = int((sides[0] > sides[1]).sum()), int((sides[0] < sides[1]).sum())
            return binary_bounds(gains, losses, a.size, level)[:2]
        found = compare_paired(*sides, margin=_MARGIN, alpha=level, clusters=labels, min_clusters=min_clusters)
        return found.low, found.high

    if not (np.isnan(a).any() or np.isnan(b).any()):
        return filled(0.0, 0.0)
    return filled(0.0, 1.0)[0], filled(1.0, 0.0)[1]


def _checked(scores: ArrayLike, alpha: float) -> NDArray[np.float64]:
    if not 0.0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha}, and must lie between 0 and 0.5")
    try:
        table = np.asarray(scores, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(
            "scores are not a table of numbers", todo="Give each combination a score or NaN for every case"
        ) from error
    if table.ndim != 2:
        raise DataError(f"scores have {table.ndim} dimensions, and must be a row for each combination")
    wrong = ~np.isnan(table) & ~((table >= 0.0) & (table <= 1.0))
    if wrong.any():
        row, case = (int(k[0]) for k in np.nonzero(wrong))
        raise DataError(f"score {case} of combination {row} is {table[row, case]}, outside [0, 1]", todo="Scale scores to [0, 1]")
    return table
