"""A judge's paired difference, corrected by what people said of some of the cases: prediction-powered inference.

A judge errs, and may err differently on the two candidates; then the difference of its scores is biased however many cases it
judges. On the cases that people labelled, too, the judge's error is seen. With d_i the judge's difference of case i (all cases),
y_i that of people and w_i = 1 / probability of being drawn (labelled cases, 0 for the others), for any tuning t in [0, 1]

    delta = mean(t d) + sum(w (y - t d)) / sum(w)

does not depend on how the judge errs. t = 0 uses the labels alone, t = 1 trusts the judge's differences most; the t of least
variance is estimated. Each side may have labels on cases of its own: the second term is then one such mean for each side.

Sources: A. N. Angelopoulos, S. Bates, C. Fannjiang, M. I. Jordan, T. Zrnic, Prediction-powered inference, Science 382 (2023)
669-674; A. N. Angelopoulos, J. C. Duchi, T. Zrnic, PPI++ (2023), for the tuning; weights by inverse probability: D. G. Horvitz
and D. J. Thompson, JASA 47 (1952) 663-685, divided by their sum (J. Hajek, 1971), since a judge's mean error is not 0.

Where we differ, because the error rate must hold with few labels (all simulated in tests/statistics/test_correction.py):
- The labelled cases are some of the judged ones, so the variance is that of each case's influence on delta, summed in clusters.
- t is estimated anew without each unit (case or cluster) that it is used on: tuned on the same labels it shifts delta towards 0.
- To the variance are added the squares of one disagreement in each direction, of two in each while few are seen: a judge that
  erred in none of 60 cases may still err. D. G. Bonett and R. M. Price, J. Educational and Behavioral Statistics 37 (2012)
  479-488, add as many to paired proportions.
- t on (effective labelled units - 2) degrees of freedom, and Hall's correction for skewness (harness.statistics.studentised).
- Under MIN_LABELS labelled units nothing is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError, UsageError
from harness.model import PairedComparison
from harness.statistics.paired import cluster_codes, compare_paired
from harness.statistics.studentised import Studentised

Floats = NDArray[np.float64]

MIN_LABELS = 30
METHOD = "prediction-powered"
_MANY = 20.0  # disagreements of the largest size: with as many, one more in each direction is enough
_FLAT = 1e-15


@dataclass(frozen=True, slots=True)
class Labels:
    """What people said of some cases. cases: numbers of the cases, each once (n,); values: in [0, 1] (n,).

    probability: with which each of them was drawn (n,), None: all alike. Drawn by anything but chance, say because the judge was
    unsure, they must carry the probabilities that this gave them.
    """

    cases: Sequence[int]
    values: Sequence[float]
    probability: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Corrected:
    """A corrected comparison and what it rests on.

    judged: the same from the judge's scores alone. tuning: how far the judge's differences were used, 0 to 1, None: not at all.
    n_labelled: labelled units, of the side with fewer. worth: so many labels alone would give as narrow an interval.
    """

    comparison: PairedComparison
    judged: PairedComparison
    n_labelled: int
    tuning: float | None = None
    worth: float | None = None


def corrected_paired(
    candidate: ArrayLike,
    baseline: ArrayLike,
    candidate_labels: Labels,
    baseline_labels: Labels,
    *,
    margin: float,
    alpha: float = 0.05,
    clusters: Sequence[Any] | NDArray[Any] | None = None,
    min_labels: int = MIN_LABELS,
    gain: float = 0.0,
) -> Corrected:
    """Compare two arrays (n,) of a judge's case scores in [0, 1], corrected by labels on the same scale.

    Settings as in compare_paired. Pairwise judgments v (1 candidate, 0.5 tie, 0 baseline): pass v and 1 - v, and labels likewise.
    Raises what compare_paired raises, and DataError for labels that fit no case.
    """
    judged = compare_paired(candidate, baseline, margin=margin, alpha=alpha, clusters=clusters, gain=gain)
    if min_labels < 10:
        raise UsageError(f"min_labels is {min_labels}, and must be at least 10: fewer labels show nothing of a judge's errors")
    first, second = np.asarray(candidate, dtype=float), np.asarray(baseline, dtype=float)
    n = first.size
    codes = cluster_codes(clusters, n)
    codes = np.arange(n, dtype=np.int64) if codes is None else codes
    sides = _Side.of(candidate_labels, first, codes, "candidate"), _Side.of(baseline_labels, second, codes, "baseline")
    labelled = min(side.units for side in sides)
    if labelled < min_labels:
        reason = f"{labelled} labelled cases, and a judge's errors need at least {min_labels}"
        return Corrected(_undecided(judged, reason), judged, labelled)
    if all(side.n == n for side in sides):  # nothing is left to the judge
        truth = [side.values for side in sides]
        settled = compare_paired(truth[0], truth[1], margin=margin, alpha=alpha, clusters=clusters, gain=gain)
        return Corrected(settled, judged, labelled, 0.0, float(labelled))
    return _correct(first - second, sides, codes, judged, labelled)


@dataclass(frozen=True, slots=True)
class _Side:
    """Labels of one side over all cases (n,): share is each case's part of the labelled mean, 0 without a label; sums to 1."""

    share: Floats
    values: Floats
    judged: Floats
    n: int
    units: int
    effective: float
    cases: frozenset[int]

    @staticmethod
    def of(labels: Labels, judged: Floats, codes: NDArray[np.int64], name: str) -> _Side:
        cases, values, chances = _checked(labels, judged.size, name)
        share, every = np.zeros(judged.size), np.zeros(judged.size)
        if cases.size:
            share[cases] = (1.0 / chances) / (1.0 / chances).sum()
            every[cases] = values
        by_unit = np.bincount(codes, weights=share) if judged.size else share
        square = float(np.square(by_unit).sum())
        units = int(np.count_nonzero(by_unit))
        return _Side(share, every, judged, cases.size, units, 1.0 / square if square else 0.0, frozenset(cases.tolist()))

    def deviation(self, values: Floats) -> Floats:
        """Each case's part in the labelled mean of these values, less what it would be at that mean (n,)."""
        return self.share * (values - float(self.share @ values))


def _correct(
    d: Floats, sides: tuple[_Side, _Side], codes: NDArray[np.int64], judged: PairedComparison, labelled: int
) -> Corrected:
    n, one, two = d.size, sides[0], sides[1]

    def by_unit(values: Floats) -> Floats:
        return np.bincount(codes, weights=values).astype(float)

    people = by_unit(one.deviation(one.values) - two.deviation(two.values))
    judge = by_unit((d - d.mean()) / n - one.deviation(one.judged) + two.deviation(two.judged))
    tuning = _tuning_without_each(people, judge)  # (units,)
    each = tuning[codes]
    errors = [side.values - each * side.judged for side in sides]
    mean_tuning = float(np.concatenate([each[side.share > 0] for side in sides]).mean())
    rest = by_unit(one.deviation(errors[0]) - two.deviation(errors[1]))
    influence = by_unit(mean_tuning * (d - d.mean()) / n) + rest
    delta = mean_tuning * float(d.mean()) + float(one.share @ errors[0]) - float(two.share @ errors[1])
    units = influence.size
    largest = float(np.square(rest).max())
    seen = float(np.square(rest).sum()) / largest if largest > _FLAT**2 else 0.0
    effective = [one.effective] if one.cases == two.cases else [one.effective, two.effective]
    added = sum((2.0 if seen >= _MANY else 4.0) / size**2 for size in effective)
    variance = units / (units - 1.0) * float(np.square(influence).sum()) + added
    skew = float((influence**3).sum()) / variance**1.5
    fit = Studentised(delta, math.sqrt(variance), max(min(effective) - 2.0, 1.0), skew)
    alone = units / (units - 1.0) * float(np.square(people).sum()) + added
    return Corrected(_compared(fit, judged, units), judged, labelled, mean_tuning, labelled * alone / variance)


def _tuning_without_each(people: Floats, judge: Floats) -> Floats:
    """The tuning of least variance, without each unit (units,): minus the regression of people's parts on the judge's."""
    product, square = people * judge, judge * judge
    rest = square.sum() - square
    best = -(product.sum() - product) / np.where(rest > _FLAT**2, rest, np.inf)
    return np.clip(best, 0.0, 1.0)


def _compared(fit: Studentised, judged: PairedComparison, units: int) -> PairedComparison:
    mirror, alpha, margin = fit.mirrored(), judged.alpha, judged.margin
    delta = min(max(fit.delta, -1.0), 1.0)
    return PairedComparison(
        delta=delta,
        low=max(min(fit.lower_bound(alpha), delta), -1.0),
        high=min(max(-mirror.lower_bound(alpha), delta), 1.0),
        n=judged.n,
        n_clusters=units,
        method=METHOD,
        margin=margin,
        alpha=alpha,
        p_improved=fit.p_above(0.0),
        p_not_worse=fit.p_above(-margin),
        p_regressed=mirror.p_above(0.0),
        p_harmed=mirror.p_above(margin),
        gain=judged.gain,
        p_gain=fit.p_above(judged.gain),
    )


def _undecided(judged: PairedComparison, reason: str) -> PairedComparison:
    nothing = replace(judged, p_improved=1.0, p_not_worse=1.0, p_regressed=1.0, p_harmed=1.0, p_gain=1.0)
    return replace(nothing, low=-1.0, high=1.0, method="undecided", reason=reason)


def _checked(labels: Labels, n: int, name: str) -> tuple[NDArray[np.int64], Floats, Floats]:
    cases, values = np.asarray(labels.cases, dtype=np.int64), np.asarray(labels.values, dtype=float)
    chances = np.ones(cases.size) if labels.probability is None else np.asarray(labels.probability, dtype=float)
    if not cases.shape == values.shape == chances.shape or cases.ndim != 1:
        raise DataError(f"{name} labels: {cases.size} cases, {values.size} values and {chances.size} probabilities")
    if cases.size and (cases.min() < 0 or cases.max() >= n or np.unique(cases).size != cases.size):
        raise DataError(
            f"{name} labels name a case twice or one that is not there", todo="Settle several raters to one value first"
        )
    if not np.all((values >= 0.0) & (values <= 1.0)):
        raise DataError(f"{name} labels must be numbers in [0, 1]", todo="Leave a missing label out")
    if not np.all((chances > 0.0) & (chances <= 1.0)):
        raise DataError(f"{name} labels: a probability must lie above 0 and at most at 1")
    return cases, values, chances
