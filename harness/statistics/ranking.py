"""Who is better, from comparisons in pairs: win rates, win rates at equal length, and the ranking of several candidates.

An outcome is a share for the first of two: 1 it won, 0 it lost, 0.5 a tie, or anything between (a mean over orders or judges).

win rate         mean share; interval as compare_paired has it for shares against one minus shares.
at equal length  logit P(win) = a + b tanh(length difference / its standard deviation), and the rate is 1 / (1 + exp(-a)): what
                 it would be if both answers were of one length. Y. Dubois, B. Galambosi, P. Liang, T. B. Hashimoto,
                 Length-Controlled AlpacaEval (2024), equations 1 and 2, as AlpacaEval 2 does. Where we differ: no term for an
                 instruction's difficulty (they fit it over hundreds of models on the same instructions), no penalty towards
                 deliberately verbose and terse answers of the baseline and no L1 (both serve a leaderboard that people game),
                 and an interval, from the cluster-robust variance of a.
Bradley-Terry    P(i beats j) = 1 / (1 + exp(s_j - s_i)), a tie half a win to each. R. A. Bradley and M. E. Terry, Biometrika 39
                 (1952) 324-345. A maximum exists when everybody has beaten everybody along some chain of wins (L. R. Ford,
                 1957; D. R. Hunter, Annals of Statistics 32 (2004) 384-406); else nothing is ranked, and the reason names who
                 is apart. Strengths sum to 0. Variance: cluster-robust sandwich (P. J. Huber, 1967).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, stdtrit

from harness.errors import DataError, UsageError
from harness.model import Estimate
from harness.statistics.agreement import LEVEL, difference
from harness.statistics.paired import MIN_CLUSTERS, cluster_codes

Floats = NDArray[np.float64]

_STEPS = 100
_FLAT = 1e-9  # log-odds
_FAR = 20.0  # log-odds: beyond, the data separate and no maximum exists


@dataclass(frozen=True, slots=True)
class Outcome:
    """One comparison. share: of the win, for first. cluster: outcomes that share it are not independent (a case, a rater)."""

    first: str
    second: str
    share: float
    weight: float = 1.0
    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Strength:
    """One candidate. log_odds: against the average of all, with its interval. beats: chance to win against the average one.

    place_low, place_high: the places it may have, all pairs considered at once (Bonferroni).
    """

    name: str
    log_odds: Estimate
    beats: Estimate
    place_low: int
    place_high: int


@dataclass(frozen=True, slots=True)
class Standings:
    """Strongest first; empty when nothing can be ranked, and reason says why. n: comparisons; n_clusters: independent units."""

    strengths: tuple[Strength, ...]
    n: int
    n_clusters: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WinRates:
    """raw, at_equal_length: shares. length_effect: log-odds for one standard deviation (times tanh 1) more of length."""

    raw: Estimate
    at_equal_length: Estimate
    length_effect: Estimate


def outcomes_of_ranking(groups: Sequence[Sequence[str]], *, cluster: str | None = None) -> list[Outcome]:
    """All pairs of one person's ranking, best group first; those in one group tie.

    Every pair weighs 1 / number of pairs, so that a long ranking counts as one judgment: L. Ouyang et al., Training language
    models to follow instructions with human feedback (2022), equation 1. DataError for a name that stands twice.
    """
    places = [(name, place) for place, group in enumerate(groups) for name in group]
    if len({name for name, _ in places}) != len(places):
        raise DataError("a ranking names something twice", todo="Rank every answer once")
    pairs = list(combinations(places, 2))
    return [Outcome(a, b, 0.5 if at == then else 1.0, 1.0 / len(pairs), cluster) for (a, at), (b, then) in pairs]


def win_rate(shares: ArrayLike, *, clusters: Sequence[Any] | NDArray[Any] | None = None, level: float = LEVEL) -> Estimate:
    """How often the first wins, a tie half. shares: (n,) in [0, 1]."""
    values = _shares(shares)
    found = difference(values, 1.0 - values, clusters=clusters, level=level)
    value, low, high = ((None if x is None else (1.0 + x) / 2.0) for x in (found.value, found.low, found.high))
    return Estimate(value, low, high, found.n, found.method, found.reason, level)


def win_rates(
    shares: ArrayLike,
    length_differences: ArrayLike,
    *,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    level: float = LEVEL,
) -> WinRates:
    """Win rate as it is and at equal length. length_differences: (n,) first less second, in any unit."""
    values, lengths = _shares(shares), np.asarray(length_differences, dtype=float)
    if lengths.shape != values.shape or not np.all(np.isfinite(lengths)):
        raise DataError("length differences must be one number for each comparison")
    raw = win_rate(values, clusters=clusters, level=level)
    if values.size < 2:
        return WinRates(raw, raw, Estimate(None, n=values.size, reason=raw.reason, level=level))
    spread = float(lengths.std(ddof=1))
    if spread == 0.0:
        reason = "all answers differ in length alike, so length explains nothing"
        return WinRates(raw, Estimate(None, n=values.size, reason=reason), Estimate(None, n=values.size, reason=reason))
    design = np.column_stack([np.ones(values.size), np.tanh(lengths / spread)])
    codes = cluster_codes(clusters, values.size)
    fit = _logistic(design, values, np.ones(values.size), np.arange(values.size) if codes is None else codes)
    if isinstance(fit, str):
        return WinRates(raw, Estimate(None, n=values.size, reason=fit), Estimate(None, n=values.size, reason=fit))
    equal = _estimate(fit, np.array([1.0, 0.0]), values.size, level)
    return WinRates(raw, _as_share(equal), _estimate(fit, np.array([0.0, 1.0]), values.size, level))


def bradley_terry(outcomes: Sequence[Outcome], *, level: float = LEVEL) -> Standings:
    """Rank candidates by their strengths. DataError for outcomes that are none."""
    if not 0.0 < level < 1.0:
        raise UsageError(f"level is {level}, and must lie between 0 and 1")
    _check(outcomes)
    names = sorted({name for outcome in outcomes for name in (outcome.first, outcome.second)})
    codes = cluster_codes([outcome.cluster for outcome in outcomes], len(outcomes))
    numbers = np.arange(len(outcomes)) if codes is None else codes
    units = int(numbers.max()) + 1 if len(outcomes) else 0
    if len(names) < 2:
        return Standings((), len(outcomes), units, "fewer than two candidates were compared")
    at = {name: i for i, name in enumerate(names)}
    first, second = (np.array([at[getattr(o, side)] for o in outcomes]) for side in ("first", "second"))
    shares, weights = (np.array([getattr(o, word) for o in outcomes]) for word in ("share", "weight"))
    if apart := _apart(names, first, second, shares):
        return Standings((), len(outcomes), units, apart)
    design = np.zeros((len(outcomes), len(names)))
    rows = np.arange(len(outcomes))
    design[rows, first] += 1.0
    design[rows, second] -= 1.0
    fit = _logistic(design[:, 1:], shares, weights, numbers)  # the first is 0, then all are centred
    if isinstance(fit, str):
        return Standings((), len(outcomes), units, fit)
    return Standings(_strengths(names, fit, len(outcomes), level), len(outcomes), units)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Coefficients (k,), their covariance (k, k), independent units."""

    coefficients: Floats
    covariance: Floats
    units: int


def _logistic(design: Floats, shares: Floats, weights: Floats, codes: NDArray[np.int64]) -> _Fit | str:
    """Newton's method for the quasi-likelihood of shares, or why there is no maximum. codes: (n,) numbers of the clusters."""
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = expit(design @ beta)
        hessian = (design * (weights * chance * (1.0 - chance))[:, None]).T @ design
        score = design.T @ (weights * (shares - chance))
        try:
            step = np.linalg.solve(hessian, score)
        except np.linalg.LinAlgError:
            return "the comparisons do not tell the effects apart"
        largest = float(np.abs(step).max())
        beta = beta + step * min(1.0, 5.0 / largest if largest > 0.0 else 1.0)
        if float(np.abs(beta).max()) > _FAR:
            return "one side wins whatever the length or the opponent, so no effect has a finite estimate"
        if largest < 1e-10:
            break
    else:
        return "the estimate does not settle"
    chance = expit(design @ beta)
    units = int(codes.max()) + 1
    parts = np.zeros((units, design.shape[1]))
    np.add.at(parts, codes, design * (weights * (shares - chance))[:, None])
    inverse = np.linalg.inv((design * (weights * chance * (1.0 - chance))[:, None]).T @ design)
    covariance = inverse @ (parts.T @ parts) @ inverse * units / max(units - design.shape[1], 1)
    return _Fit(beta, covariance, units)


def _estimate(fit: _Fit, contrast: Floats, n: int, level: float) -> Estimate:
    value = float(contrast @ fit.coefficients)
    if fit.units < MIN_CLUSTERS:
        reason = f"{fit.units} independent comparisons, and their spread needs at least {MIN_CLUSTERS}"
        return Estimate(value, n=n, reason=reason, level=level)
    reach = _reach(fit, contrast, (1.0 - level) / 2.0)
    if reach <= 0.0:
        return Estimate(value, n=n, reason="no spread can be measured", level=level)
    return Estimate(value, value - reach, value + reach, n, "cluster-robust t", level=level)


def _reach(fit: _Fit, contrast: Floats, tail: float) -> float:
    freedom = max(fit.units - fit.coefficients.size, 1)
    return float(stdtrit(freedom, 1.0 - tail)) * math.sqrt(max(float(contrast @ fit.covariance @ contrast), 0.0))


def _as_share(log_odds: Estimate) -> Estimate:
    value, low, high = (None if x is None else float(expit(x)) for x in (log_odds.value, log_odds.low, log_odds.high))
    return Estimate(value, low, high, log_odds.n, log_odds.method, log_odds.reason, log_odds.level)


def _strengths(names: Sequence[str], fit: _Fit, n: int, level: float) -> tuple[Strength, ...]:
    k = len(names)
    each = np.vstack([np.zeros(k - 1), np.eye(k - 1)])  # coefficients of each strength
    log_odds = [_estimate(fit, each[i] - each.mean(axis=0), n, level) for i in range(k)]
    values = each @ fit.coefficients
    tail = (1.0 - level) / (k * (k - 1))  # Bonferroni over both sides of all pairs
    stronger = np.zeros((k, k), dtype=bool)
    if fit.units >= MIN_CLUSTERS:
        for i, j in combinations(range(k), 2):
            gap, reach = float(values[i] - values[j]), _reach(fit, each[i] - each[j], tail)
            if reach > _FLAT:  # else no spread can be measured (all ties), and what differs is rounding
                stronger[i, j], stronger[j, i] = gap > reach, -gap > reach
    found = [
        Strength(name, log_odds[i], _as_share(log_odds[i]), 1 + int(stronger[:, i].sum()), k - int(stronger[i].sum()))
        for i, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda one: (-round(one.log_odds.value or 0.0, 9), one.name)))


def _apart(names: Sequence[str], first: NDArray[np.int64], second: NDArray[np.int64], shares: Floats) -> str:
    """Why the comparisons rank nothing: somebody was not compared, or nobody of some won against the others."""
    from scipy.sparse.csgraph import connected_components  # 12 MB, which every report would carry

    beaten = np.zeros((len(names), len(names)))
    np.add.at(beaten, (first, second), shares > 0.0)
    np.add.at(beaten, (second, first), shares < 1.0)
    count, groups = connected_components(beaten, directed=False)
    if count > 1:
        return f"{_listed(names, groups == groups[0])} and {_listed(names, groups != groups[0])} were never compared"
    count, groups = connected_components(beaten, directed=True, connection="strong")
    for number in range(count if count > 1 else 0):
        inside = groups == number
        if not beaten[np.ix_(~inside, inside)].any():
            return f"{_listed(names, inside)} never lost to the others, so no finite strength explains that"
    return ""


def _listed(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    some = [name for name, is_in in zip(names, chosen, strict=True) if is_in]
    return ", ".join(some[:3]) + (f" and {len(some) - 3} more" if len(some) > 3 else "")


def _check(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.first == outcome.second:
            raise DataError(f"{outcome.first!r} is compared with itself")
        if not 0.0 <= outcome.share <= 1.0:
            raise DataError(f"{outcome.first!r} against {outcome.second!r}: a share of {outcome.share} is not in [0, 1]")
        if not 0.0 < outcome.weight < math.inf:
            raise DataError(f"{outcome.first!r} against {outcome.second!r}: a weight of {outcome.weight} is not positive")


def _shares(shares: ArrayLike) -> Floats:
    values = np.asarray(shares, dtype=float)
    if values.ndim != 1 or not np.all((values >= 0.0) & (values <= 1.0)):
        raise DataError("shares must be one number in [0, 1] for each comparison")
    return values
