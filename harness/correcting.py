"""People's labels in a comparison that a judge has made: what they said of some cases corrects what it said of all.

The numbers are harness.statistics.correction's. Here: which labels count (drawn by chance, on the scores' scale), on which cases,
and what of the comparison changes. Under MIN_LABELS labelled cases a side nothing is corrected, and the judge stays what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from harness.comparison import needed_cases
from harness.model import CapabilityComparison, Gate, ItemStatus, Label, PairedComparison, ScoreRow
from harness.statistics import claims_of
from harness.statistics.correction import MIN_LABELS, Corrected, Labels, corrected_paired

TIE = 0.5
PREFERENCES = {"candidate": 1.0, "tie": TIE, "baseline": 0.0}
RATINGS = 4  # steps from the worst rating (1) to the best (5)


@dataclass(frozen=True, slots=True)
class Truth:
    """What people said of one case's answer: a value in [0, 1], and with which chance the case was drawn to be labelled."""

    value: float
    probability: float


@dataclass(frozen=True, slots=True)
class Means:
    """One run's cases of one capability: id -> mean over its samples, None where one of them has no score; id -> cluster."""

    values: Mapping[str, float | None]
    clusters: Mapping[str, str | None]

    @staticmethod
    def of(rows: Iterable[ScoreRow]) -> Means:
        found: dict[str, list[float | None]] = {}
        clusters: dict[str, str | None] = {}
        for row in rows:
            found.setdefault(row.case_id, []).append(row.value if row.status is ItemStatus.SCORED else None)
            clusters[row.case_id] = row.cluster
        return Means({case: _mean(values) for case, values in found.items()}, clusters)


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None


def truth_of_ratings(labels: Iterable[Label]) -> dict[str, Truth]:
    """case -> what people said of its answers. Ratings where every label has one, else pass and fail. Labels of cases that were
    not drawn by chance say nothing about the others, and are left out."""
    drawn = [label for label in labels if label.probability is not None]
    rated = all(label.rating is not None for label in drawn)
    by: dict[str, list[tuple[float, float]]] = {}
    for label in drawn:
        said = (label.rating - 1) / RATINGS if rated and label.rating is not None else label.passed
        if said is not None and label.probability:
            by.setdefault(label.case_id, []).append((float(said), label.probability))
    return {case: Truth(sum(v for v, _ in said) / len(said), said[0][1]) for case, said in by.items()}


def truth_of_preferences(labels: Iterable[Label]) -> dict[str, Truth]:
    """case -> how far people preferred the candidate's answer."""
    return {
        label.case_id: Truth(PREFERENCES[label.preference], label.probability)
        for label in labels
        if label.preference in PREFERENCES and label.probability
    }


def ties(truth: Mapping[str, Truth]) -> dict[str, Truth]:
    """The other side of a pair: what a pairwise score is held against."""
    return {case: Truth(TIE, said.probability) for case, said in truth.items()}


def correct(
    c: CapabilityComparison,
    ours: Means,
    theirs: Means,
    our_truth: Mapping[str, Truth],
    their_truth: Mapping[str, Truth],
    gate: Gate,
) -> CapabilityComparison:
    """The comparison with its delta, bounds and claims corrected; as it is where there are too few labels."""
    if c.paired is None or gate.sequential or not our_truth or not their_truth:
        return c
    both = sorted(case for case, value in ours.values.items() if value is not None and theirs.values.get(case) is not None)
    pair = _Pair(both, ours, theirs, our_truth, their_truth)
    found = pair.corrected(c.margin, gate.min_gain, gate)
    if found.n_labelled < MIN_LABELS:
        return c
    paired = found.comparison
    missing = 1.0 - len(both) / len({*ours.values, *theirs.values})
    worst = _at_worst(pair, paired, missing, gate) if missing else paired
    return replace(
        c,
        paired=paired,
        worst=worst,
        claims=claims_of(paired),
        n_needed=needed_cases(c.role, paired),
        n_labelled=found.n_labelled,
        uncorrected=found.judged,
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """The cases scored in both runs, their scores and what people said of some of them."""

    cases: list[str]
    ours: Means
    theirs: Means
    our_truth: Mapping[str, Truth]
    their_truth: Mapping[str, Truth]

    def corrected(self, margin: float, gain: float, gate: Gate) -> Corrected:
        clusters = [self.ours.clusters.get(case) for case in self.cases]
        return corrected_paired(
            [self.ours.values[case] or 0.0 for case in self.cases],
            [self.theirs.values[case] or 0.0 for case in self.cases],
            _labels(self.cases, self.our_truth),
            _labels(self.cases, self.their_truth),
            margin=margin,
            alpha=gate.alpha,
            clusters=clusters if any(label is not None for label in clusters) else None,
            gain=gain,
        )


def _at_worst(pair: _Pair, paired: PairedComparison, missing: float, gate: Gate) -> PairedComparison:
    """The corrected comparison, were the truth of each missing case the worst there is, a difference of -1.

    delta over all is then (1 - missing) delta - missing, so that claims about it are claims about delta at other limits. Putting
    0 and 1 for the missing scores would not do: where labels say all and the judge nothing, scores do not count.
    """
    rest = 1.0 - missing
    margin, gain = (paired.margin - missing) / rest, (gate.min_gain + missing) / rest
    can_hold = margin > 0.0 and gain < 1.0
    at = pair.corrected(margin, gain, gate).comparison if can_hold else None
    shifted = {name: rest * getattr(paired, name) - missing for name in ("delta", "low", "high")}
    gained = at.p_gain if at else 1.0
    return replace(
        paired,
        **{name: max(value, -1.0) for name, value in shifted.items()},
        p_not_worse=at.p_not_worse if at else 1.0,
        p_improved=gained if gate.min_gain == 0.0 else 1.0,
        p_gain=gained,
    )


def _labels(cases: list[str], truth: Mapping[str, Truth]) -> Labels:
    at = [number for number, case in enumerate(cases) if case in truth]
    said = [truth[cases[number]] for number in at]
    return Labels(at, [one.value for one in said], [one.probability for one in said])
