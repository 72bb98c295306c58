"""Do two raters, or many, say the same? Shares, Cohen's kappa, Krippendorff's alpha, each with its interval.

What cannot be estimated is an Estimate without a value and with the reason: nobody to compare, one category only. It is never 0.

kappa   (Po - Pe) / (1 - Pe), Po the (weighted) agreement seen, Pe the one expected of two raters who pay no heed to the case.
        J. Cohen, Educational and Psychological Measurement 20 (1960) 37-46; weighted: Psychological Bulletin 70 (1968) 213-220.
        Variance: of the mean of the influence values, summed within clusters; for single cases that is the large-sample variance
        of J. L. Fleiss, J. Cohen, B. S. Everitt, Psychological Bulletin 72 (1969) 323-327, times n / (n - 1).
        The usual interval from that alone is too narrow where few cases disagree: at kappa .98 and n = 20 its lower end lies
        above the truth four times in five, because mostly no disagreement is seen at all. So each end is the outer one of that
        interval (t) and of Po's own (below) put through the formula with Pe as seen; simulated in the tests.
share   Clopper and Pearson (1934); of weighted or clustered cases the same with the effective number of cases of E. L. Korn and
        B. I. Graubard, Survey Methodology 24 (1998) 193-201.
alpha   1 - disagreement seen / disagreement expected, over all pairs of ratings of one unit; any number of raters, ratings may be
        missing; nominal, ordinal or interval. K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011). Interval:
        percentile bootstrap over units (A. Zapf et al., BMC Medical Research Methodology 16 (2016) 93).

weights: inverse selection probabilities, where the labelled cases were not drawn alike (Hajek's ratio: their scale is nothing).
clusters: labels as in compare_paired; cases of one cluster are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

from harness.errors import DataError, UsageError
from harness.model import Estimate
from harness.statistics.paired import MIN_CLUSTERS, cluster_codes, compare_paired

Floats = NDArray[np.float64]
Weighting = Literal["nominal", "linear", "quadratic"]
Metric = Literal["nominal", "ordinal", "interval"]

LEVEL = 0.95
MOST_RANKS = 50  # of ordinal alpha
_DRAWS = 2000
_FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class Units:
    """How cases count: their weights (n,), and which of them are one unit (n,), numbered from 0."""

    weights: Floats
    codes: NDArray[np.int64]
    count: int
    plain: bool  # each case alone, all of one weight

    @property
    def total(self) -> float:
        return float(self.weights.sum())

    @property
    def effective(self) -> float:
        """Kish's effective number of units."""
        sums = np.bincount(self.codes, weights=self.weights)
        return float(sums.sum() ** 2 / np.square(sums).sum())

    def variance(self, influence: Floats) -> float:
        """Of a mean whose cases have these influence values (n,): cluster-robust."""
        sums = np.bincount(self.codes, weights=self.weights * influence)
        return float(np.square(sums).sum()) * self.count / max(self.count - 1, 1) / self.total**2


def units_of(n: int, weights: Sequence[float] | Floats | None, clusters: Sequence[Any] | NDArray[Any] | None) -> Units:
    """DataError for weights that are none."""
    codes = cluster_codes(clusters, n)
    values = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    if values.shape != (n,) or not np.all(np.isfinite(values)) or (n and values.min() <= 0.0):
        raise DataError("weights must be one positive number for each case", todo="Pass 1 / selection probability")
    alike = not n or float(values.max() - values.min()) < _FLAT
    plain = codes is None and alike
    numbers = np.arange(n, dtype=np.int64) if codes is None else codes
    return Units(values / (values.mean() if n else 1.0), numbers, int(numbers.max()) + 1 if n else 0, plain)


def share(
    hits: Sequence[bool] | NDArray[Any],
    *,
    weights: Sequence[float] | Floats | None = None,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """The share of cases that are True."""
    _check_level(level)
    values = np.asarray(hits, dtype=float)
    units = units_of(values.size, weights, clusters)
    if not values.size:
        return Estimate(None, reason="no case", level=level)
    return _share(values, units, level)


def raw_agreement(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    weights: Sequence[float] | Floats | None = None,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """How often two raters say the same of the same cases."""
    _same_length(first, second)
    return share([a == b for a, b in zip(first, second, strict=True)], weights=weights, clusters=clusters, level=level)


def recalls(
    truth: Sequence[Hashable],
    said: Sequence[Hashable],
    *,
    weights: Sequence[float] | Floats | None = None,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = LEVEL,
) -> dict[Hashable, Estimate]:
    """Per category of ``truth`` how often ``said`` says it too. Of pass and fail: the true positive and true negative rates."""
    _same_length(truth, said)
    result = {}
    for category in sorted(set(truth), key=str):
        kept = [i for i, value in enumerate(truth) if value == category]
        result[category] = share(
            [said[i] == category for i in kept],
            weights=None if weights is None else [float(weights[i]) for i in kept],
            clusters=None if clusters is None else [clusters[i] for i in kept],
            level=level,
        )
    return result


def confusion(truth: Sequence[Hashable], said: Sequence[Hashable]) -> dict[Hashable, dict[Hashable, int]]:
    """truth -> said -> cases, over every category that either uses."""
    _same_length(truth, said)
    names = sorted({*truth, *said}, key=str)
    table = {a: dict.fromkeys(names, 0) for a in names}
    for a, b in zip(truth, said, strict=True):
        table[a][b] += 1
    return table


def cohen_kappa(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    *,
    weighting: Weighting = "nominal",
    weights: Sequence[float] | Floats | None = None,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Kappa of two raters on the same cases. linear, quadratic: categories are numbers, and a near miss is half a hit.

    No value when both use one category only: then chance agrees as well as they do.
    """
    _check_level(level)
    _same_length(first, second)
    n = len(first)
    units = units_of(n, weights, clusters)
    if not n:
        return Estimate(None, reason="no case that both judged", level=level)
    names = sorted({*first, *second}, key=(str if weighting == "nominal" else _number))
    numbers = {name: i for i, name in enumerate(names)}
    rows = np.array([numbers[value] for value in first])
    columns = np.array([numbers[value] for value in second])
    closeness = _closeness(names, weighting)
    table = np.zeros((len(names), len(names)))
    np.add.at(table, (rows, columns), units.weights / units.total)
    by_row, by_column = closeness @ table.sum(axis=0), table.sum(axis=1) @ closeness  # expected closeness given one's category
    seen, chance = float((table * closeness).sum()), float(table.sum(axis=1) @ by_row)
    if chance > 1.0 - _FLAT:
        return Estimate(None, n=n, reason="both use one category only, so chance agrees as well", level=level)
    seen = 1.0 if seen > 1.0 - _FLAT else seen
    kappa = (seen - chance) / (1.0 - chance)
    if units.count < 2:
        return Estimate(kappa, n=n, reason="one unit shows no spread", level=level)
    d_seen = closeness[rows, columns] - seen
    d_chance = by_row[rows] + by_column[columns] - 2.0 * chance
    influence = d_seen / (1.0 - chance) - d_chance * (1.0 - seen) / (1.0 - chance) ** 2
    reach = float(stdtrit(units.count - 1, (1.0 + level) / 2.0)) * math.sqrt(units.variance(influence))
    of_seen = _share(closeness[rows, columns], units, level)
    if of_seen.low is None or of_seen.high is None:
        return Estimate(kappa, n=n, reason=of_seen.reason, level=level)
    low = min(kappa - reach, (of_seen.low - chance) / (1.0 - chance))
    high = max(kappa + reach, (of_seen.high - chance) / (1.0 - chance))
    method = "Fleiss-Cohen-Everitt" + ("" if units.plain else ", cluster-robust") + "; Clopper-Pearson"
    return Estimate(kappa, max(low, -1.0), min(high, 1.0), n, method, level=level)


def difference(
    first: Sequence[float] | Floats,
    second: Sequence[float] | Floats,
    *,
    weights: Sequence[float] | Floats | None = None,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Mean of first - second, both in [0, 1], on the same cases: how much higher one rater's scores are than another's.

    As compare_paired has it. Weighted: t with the cluster-robust variance, to which the squares of one difference of 1 in each
    direction are added (D. G. Bonett and R. M. Price, 2012), so that no difference seen is not none.
    """
    _check_level(level)
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    _same_length(list(one), list(two))
    units = units_of(one.size, weights, clusters)
    if one.size < 2:
        return Estimate(None, n=one.size, reason="fewer than two cases", level=level)
    if float(np.ptp(units.weights)) < _FLAT:
        found = compare_paired(one, two, margin=0.5, alpha=(1.0 - level) / 2.0, clusters=clusters)
        if found.method == "undecided":
            return Estimate(found.delta, n=one.size, reason=found.reason, level=level)
        return Estimate(found.delta, found.low, found.high, one.size, found.method, level=level)
    mean = float((units.weights * (one - two)).sum() / units.total)
    if units.count < MIN_CLUSTERS:
        return Estimate(mean, n=one.size, reason=_few(units.count), level=level)
    variance = units.variance(one - two - mean) + 2.0 / units.effective**2
    reach = float(stdtrit(units.count - 1, (1.0 + level) / 2.0)) * math.sqrt(variance)
    return Estimate(mean, max(mean - reach, -1.0), min(mean + reach, 1.0), one.size, "weighted t", level=level)


def per_thousand(amounts: Sequence[float], *, level: float = LEVEL) -> Estimate:
    """1,000 times the mean of amounts that are not bounded (tokens, seconds), with a t interval."""
    _check_level(level)
    values = np.asarray(amounts, dtype=float)
    if not values.size:
        return Estimate(None, reason="not recorded", level=level)
    mean = 1000.0 * float(values.mean())
    if values.size < MIN_CLUSTERS:
        return Estimate(mean, n=values.size, reason=_few(values.size, "amounts"), level=level)
    reach = 1000.0 * float(stdtrit(values.size - 1, (1.0 + level) / 2.0)) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return Estimate(mean, max(mean - reach, 0.0), mean + reach, values.size, "t", level=level)


def krippendorff_alpha(
    ratings: Sequence[Sequence[Hashable | None]],
    rng: np.random.Generator,
    *,
    metric: Metric = "nominal",
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = LEVEL,
    draws: int = _DRAWS,
) -> Estimate:
    """Alpha of any number of raters. ratings: one row a unit, one column a rater, None where a rater did not rate it.

    ordinal and interval need numbers. Units with fewer than two ratings pair nothing and are left out; n counts the others.
    clusters: one label a row of ``ratings``; then clusters are drawn.
    """
    _check_level(level)
    rows = [[value for value in row if value is not None] for row in ratings]
    kept = [i for i, row in enumerate(rows) if len(row) >= 2]
    if clusters is not None and len(clusters) != len(rows):
        raise DataError(f"{len(clusters)} cluster labels for {len(rows)} units")
    if not kept:
        return Estimate(None, reason="no unit has two ratings", level=level)
    names = sorted({value for i in kept for value in rows[i]}, key=(str if metric == "nominal" else _number))
    if len(names) < 2:
        return Estimate(None, n=len(kept), reason="all ratings are the same, so chance agrees as well", level=level)
    if metric == "ordinal" and len(names) > MOST_RANKS:
        reason = f"{len(names)} ranks, and ordinal alpha is made for at most {MOST_RANKS}; use the interval metric"
        return Estimate(None, n=len(kept), reason=reason, level=level)
    of_tables = {"nominal": _nominal, "ordinal": _ordinal, "interval": _interval}[metric]
    parts, alphas = of_tables([rows[i] for i in kept], names)
    codes = cluster_codes(None if clusters is None else [clusters[i] for i in kept], len(kept))
    if codes is not None:
        summed = np.zeros((int(codes.max()) + 1, parts.shape[1]))
        np.add.at(summed, codes, parts)
        parts = summed
    alpha = float(alphas(parts.sum(axis=0)[None])[0])
    if len(parts) < MIN_CLUSTERS:
        return Estimate(alpha, n=len(kept), reason=_few(len(parts), "units"), level=level)
    if alpha > 1.0 - _FLAT:
        return Estimate(1.0, n=len(kept), reason="no disagreement was seen, so no spread can be measured", level=level)
    drawn = np.concatenate([alphas(_resampled(parts, size, rng)) for size in _chunks(draws, len(parts))])
    drawn = np.where(np.isfinite(drawn), drawn, 1.0)  # a draw of one category only: nobody disagrees in it
    low, high = np.quantile(drawn, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return Estimate(alpha, float(low), float(high), len(kept), f"bootstrap over units, {draws:,} draws", level=level)


_Alphas = Callable[[Floats], Floats]  # summed parts (b, p) -> alphas (b,), NaN where only one category occurs


def _resampled(parts: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Sums over as many units as there are, drawn with replacement (draws, p)."""
    chosen = rng.multinomial(len(parts), np.full(len(parts), 1.0 / len(parts)), size=draws)
    return np.asarray(chosen @ parts, dtype=float)


def _chunks(draws: int, units: int) -> list[int]:
    """So many draws at a time that they stay within some 32 MB."""
    size = max(1, min(draws, 4_000_000 // units))
    return [min(size, draws - start) for start in range(0, draws, size)]


def _nominal(rows: Sequence[Sequence[Hashable]], names: Sequence[Hashable]) -> tuple[Floats, _Alphas]:
    """Parts (units, k + 1): pairs that disagree / (ratings - 1), then how often each category was given."""
    numbers = {name: i for i, name in enumerate(names)}
    counts = np.array([np.bincount([numbers[v] for v in row], minlength=len(names)) for row in rows], dtype=float)
    sizes = counts.sum(axis=1)
    apart = (sizes**2 - np.square(counts).sum(axis=1)) / (sizes - 1.0)

    def alphas(sums: Floats) -> Floats:
        given = sums[:, 1:]
        size = given.sum(axis=1)
        return _one_minus((size - 1.0) * sums[:, 0], size**2 - np.square(given).sum(axis=1))

    return np.column_stack([apart, counts]), alphas


def _interval(rows: Sequence[Sequence[Hashable]], names: Sequence[Hashable]) -> tuple[Floats, _Alphas]:
    """Parts (units, 4): squared differences of pairs / (ratings - 1), ratings, their sum, the sum of their squares."""
    middle = sum(map(_number, names)) / len(names)  # centred, so that squares do not swallow the differences
    values = [np.array([_number(v) - middle for v in row]) for row in rows]
    sums = np.array([[len(v), v.sum(), np.square(v).sum()] for v in values])
    apart = 2.0 * (sums[:, 0] * sums[:, 2] - sums[:, 1] ** 2) / (sums[:, 0] - 1.0)

    def alphas(totals: Floats) -> Floats:
        seen, size, total, square = totals.T
        return _one_minus((size - 1.0) * seen, 2.0 * (size * square - total**2))

    return np.column_stack([apart, sums]), alphas


def _ordinal(rows: Sequence[Sequence[Hashable]], names: Sequence[Hashable]) -> tuple[Floats, _Alphas]:
    """Parts (units, k * k): coincidences. Two ranks are apart by the ratings between them, half of their own included."""
    numbers, k = {name: i for i, name in enumerate(names)}, len(names)
    counts = np.array([np.bincount([numbers[v] for v in row], minlength=k) for row in rows], dtype=float)
    pairs = np.einsum("uj,uk->ujk", counts, counts) - counts[:, :, None] * np.eye(k)
    pairs /= (counts.sum(axis=1) - 1.0)[:, None, None]

    def alphas(sums: Floats) -> Floats:
        tables = sums.reshape(-1, k, k)
        given = tables.sum(axis=2)
        middle = np.cumsum(given, axis=1) - given / 2.0
        distance = np.square(middle[:, :, None] - middle[:, None, :])
        expected = np.einsum("bj,bk,bjk->b", given, given, distance)
        return _one_minus((given.sum(axis=1) - 1.0) * (tables * distance).sum(axis=(1, 2)), expected)

    return pairs.reshape(len(rows), k * k), alphas


def _one_minus(seen: Floats, expected: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > _FLAT, 1.0 - seen / expected, np.nan)


def _share(values: Floats, units: Units, level: float) -> Estimate:
    """Mean of values in [0, 1] with the bounds of a share: exact for 0 and 1 of single cases, wide for anything between."""
    n, tail = values.size, (1.0 - level) / 2.0
    mean = float((units.weights * values).sum() / units.total)
    mean = 0.0 if not values.any() else 1.0 if values.min() >= 1.0 else mean
    if units.plain:
        size, method = float(n), "Clopper-Pearson"
    elif units.count < MIN_CLUSTERS:
        return Estimate(mean, n=n, reason=_few(units.count), level=level)
    else:
        variance = units.variance(values - mean)
        size = min(mean * (1.0 - mean) / variance, float(n)) if variance > _FLAT else units.effective
        size *= float(stdtrit(max(n - 1, 1), 1.0 - tail) / stdtrit(units.count - 1, 1.0 - tail)) ** 2
        method = "Korn-Graubard"
    hits, misses = mean * size, (1.0 - mean) * size
    low = 0.0 if hits <= _FLAT else float(betaincinv(hits, misses + 1.0, tail))
    high = 1.0 if misses <= _FLAT else float(betaincinv(hits + 1.0, misses, 1.0 - tail))
    return Estimate(mean, min(low, mean), max(high, mean), n, method, level=level)


def _closeness(names: Sequence[Hashable], weighting: Weighting) -> Floats:
    """How near two categories are, 1 for the same; over the numbers themselves, as people mean a scale."""
    if weighting == "nominal":
        return np.eye(len(names))
    values = np.array([_number(name) for name in names])
    span = max(float(values.max() - values.min()), _FLAT)
    apart = np.abs(values[:, None] - values[None, :]) / span
    return 1.0 - (apart if weighting == "linear" else np.square(apart))


def _number(value: Hashable) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{value!r} is not a number", todo="Ordered scales need numbers; use nominal for names")
    return float(value)


def _few(count: int, what: str = "clusters") -> str:
    return f"{count} {what}, and the spread between them needs at least {MIN_CLUSTERS}"


def _same_length(first: Sequence[Hashable], second: Sequence[Hashable]) -> None:
    if len(first) != len(second):
        raise DataError(
            f"{len(first)} ratings against {len(second)}", todo="Pass the ratings of the same cases in the same order"
        )


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise UsageError(f"level is {level}, and must lie between 0 and 1")
