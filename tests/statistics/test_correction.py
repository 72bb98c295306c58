"""The corrected difference: by hand, against labels alone, and its error rates where the judge errs differently on each side."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import DataError, UsageError
from harness.model import Claim
from harness.statistics import claims_of, compare_paired
from harness.statistics.correction import METHOD, Corrected, Labels, corrected_paired

Floats = NDArray[np.float64]
MARGIN, ALPHA = 0.05, 0.05


@dataclass(frozen=True)
class World:
    """Cases with a truth (0 or 1) on both sides, a judge that errs, people who are right, and a draw of cases to label.

    gain and loss: rates of baseline fail -> candidate pass and the reverse; base: pass rate of the others. fp, fn: how often the
    judge passes what fails and fails what passes. rate: labels drawn / cases; unsure: how much likelier where its scores differ.
    """

    cases: int = 1000
    labels: int = 100
    delta: float = -MARGIN
    discordant: float = 0.15
    base: float = 0.6
    candidate_errors: tuple[float, float] = (0.3, 0.03)
    baseline_errors: tuple[float, float] = (0.03, 0.2)
    unsure: float = 1.0
    cluster: int = 1
    separate: bool = False
    results: list[Corrected] = field(default_factory=list, compare=False)

    def draw(self, rng: np.random.Generator) -> Corrected:
        truth = self._truth(rng)
        judged = [self._judge(rng, side, *errors) for side, errors in zip(truth, self._errors, strict=True)]
        differ = judged[0] != judged[1]
        weight = np.where(differ, self.unsure, 1.0)
        chance = np.minimum(weight * self.labels / weight.sum(), 1.0)
        first = np.flatnonzero(rng.random(self.cases) < chance)
        second = np.flatnonzero(rng.random(self.cases) < chance) if self.separate else first
        clusters = None if self.cluster == 1 else np.arange(self.cases) // self.cluster
        sides = [Labels(cases, side[cases], chance[cases]) for cases, side in zip((first, second), truth, strict=True)]
        return corrected_paired(judged[0], judged[1], *sides, margin=MARGIN, alpha=ALPHA, clusters=clusters)

    @property
    def _errors(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return self.candidate_errors, self.baseline_errors

    def _truth(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        u = rng.random(self.cases // self.cluster).repeat(self.cluster)
        up, other = (self.discordant + self.delta) / 2.0, self.discordant + (1.0 - self.discordant) * self.base
        both = (u >= self.discordant) & (u < other)
        return ((u < up) | both).astype(float), (((u >= up) & (u < self.discordant)) | both).astype(float)

    @staticmethod
    def _judge(rng: np.random.Generator, truth: Floats, fp: float, fn: float) -> Floats:
        u = rng.random(truth.size)
        return np.where(truth == 1.0, u >= fn, u < fp).astype(float)


def repeat(world: World, times: int) -> list[Corrected]:
    rng = np.random.default_rng(7)
    found = [world.draw(rng) for _ in range(times)]
    told = [one for one in found if one.comparison.method != "undecided"]
    assert len(told) > 0.9 * times
    return told


def rate(found: list[Corrected], question: Callable[[Corrected], bool]) -> float:
    return sum(map(question, found)) / len(found)


WORLDS = {
    "a lenient judge of the candidate, a harsh one of the baseline": World(),
    "few labels": World(labels=45),
    "many labels": World(labels=400),
    "a judge that seldom errs": World(candidate_errors=(0.02, 0.0), baseline_errors=(0.0, 0.02)),
    "a judge that never errs": World(candidate_errors=(0.0, 0.0), baseline_errors=(0.0, 0.0)),
    "a judge that passes all": World(candidate_errors=(1.0, 0.0), baseline_errors=(1.0, 0.0)),
    "nearly all pass": World(base=0.95, discordant=0.06),
    "drawn where the judge sees a difference": World(unsure=4.0),
    "labels of each side on cases of its own": World(separate=True),
    "clusters of five": World(cases=2000, labels=150, cluster=5),
    "thousands of cases": World(cases=5000, labels=150),
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_candidate_worse_by_the_margin_is_seldom_called_not_worse(name: str) -> None:
    """Type I error at most alpha, coverage of the two-sided interval at least 1 - 2 alpha - .01, less Monte-Carlo error."""
    times = 700
    found = repeat(WORLDS[name], times)
    error = rate(found, lambda one: Claim.NOT_WORSE in claims_of(one.comparison))
    low = rate(found, lambda one: one.comparison.low > -MARGIN)
    covered = rate(found, lambda one: one.comparison.low <= -MARGIN <= one.comparison.high)
    print(f"{name}: called not worse {error:.3f}, covered {covered:.3f}")
    assert error <= ALPHA + 3.0 * math.sqrt(ALPHA * (1.0 - ALPHA) / times)
    assert low == pytest.approx(error, abs=1e-9)
    assert covered >= 1.0 - 2.0 * ALPHA - 0.01 - 3.0 * math.sqrt(0.1 * 0.9 / times)


def test_uncorrected_the_same_judge_misleads_nearly_always() -> None:
    found = repeat(World(), 200)
    assert rate(found, lambda one: Claim.NOT_WORSE in claims_of(one.judged)) > 0.95
    assert rate(found, lambda one: one.judged.low <= -MARGIN <= one.judged.high) < 0.05
    assert abs(fmean(one.comparison.delta for one in found) + MARGIN) < 0.01


def test_a_judge_that_flatters_neither_side_makes_labels_worth_more() -> None:
    """Power to show "not worse" for an equal candidate, with the judge and with the same labels alone: printed."""
    rng = np.random.default_rng(11)
    for labels in (150, 300, 600):
        world = World(cases=3000, labels=labels, delta=0.0, candidate_errors=(0.02, 0.02), baseline_errors=(0.02, 0.02))
        with_judge, alone, worth = 0, 0, []
        for _ in range(60):
            state = rng.bit_generator.state
            found = world.draw(rng)
            rng.bit_generator.state = state
            truth = world._truth(rng)
            kept = rng.choice(world.cases, size=labels, replace=False)
            by_people = compare_paired(truth[0][kept], truth[1][kept], margin=MARGIN, binary=False)
            with_judge += Claim.NOT_WORSE in claims_of(found.comparison)
            alone += Claim.NOT_WORSE in claims_of(by_people)
            worth.append((found.worth or 0.0) / found.n_labelled)
        print(f"{labels} labels: shown {with_judge}/60 with the judge, {alone}/60 by labels alone; worth x{fmean(worth):.1f}")
        assert with_judge >= alone
        assert fmean(worth) > 1.5


def test_a_judge_that_knows_nothing_costs_nothing() -> None:
    """Coin tosses: the tuning goes to 0, and what is left are the labels."""
    found = repeat(World(candidate_errors=(0.5, 0.5), baseline_errors=(0.5, 0.5), labels=200), 60)
    assert fmean(one.tuning for one in found) < 0.1
    assert fmean(one.worth / one.n_labelled for one in found) == pytest.approx(1.0, abs=0.1)


# -- by hand --------------------------------------------------------------------------------------------------------------------


def test_a_judge_that_is_never_right_about_differences_leaves_the_labels() -> None:
    """The judge sees no difference anywhere, so delta is the mean of the labels: 60 of 100 labelled, 6 losses: -.1."""
    judged = np.ones(200)
    cases = list(range(60))
    people = [0.0] * 6 + [1.0] * 54
    found = corrected_paired(judged, judged, Labels(cases, people), Labels(cases, [1.0] * 60), margin=0.2)
    assert found.comparison.delta == pytest.approx(-0.1)
    assert found.comparison.method == METHOD
    assert found.n_labelled == 60
    assert found.worth == pytest.approx(60)


def test_a_constant_flattery_is_taken_off() -> None:
    """Scores between: the judge adds .1 to every answer of the candidate and is else exact; so delta is the truth."""
    rng = np.random.default_rng(2)
    baseline = rng.random(400) * 0.5
    truth = np.clip(baseline + rng.normal(0.0, 0.1, 400), 0.0, 0.8)
    cases = np.arange(0, 400, 4)
    found = corrected_paired(truth + 0.1, baseline, Labels(cases, truth[cases]), Labels(cases, baseline[cases]), margin=0.05)
    assert found.judged.delta == pytest.approx(float((truth - baseline).mean()) + 0.1)
    assert found.tuning > 0.9
    assert found.comparison.delta == pytest.approx(float((truth - baseline).mean()), abs=0.002)


def test_probabilities_undo_the_draw() -> None:
    """All 40 cases where the judge is wrong are labelled, and a quarter of the 160 others; unweighted, the error looks larger."""
    candidate = np.ones(200)
    baseline = np.array([1.0, 0.0] * 100)
    truth = np.array([0.0] * 40 + [1.0] * 160)
    cases = [*range(40), *(i for i in range(40, 200) if i % 8 < 2)]
    chance = [1.0] * 40 + [0.25] * 40
    sides = Labels(cases, truth[cases].tolist(), chance), Labels(cases, baseline[cases].tolist(), chance)
    weighted = corrected_paired(candidate, baseline, *sides, margin=0.05)
    plain = corrected_paired(
        candidate, baseline, Labels(cases, truth[cases].tolist()), Labels(cases, baseline[cases].tolist()), margin=0.05
    )
    expected = float((truth - baseline).mean())
    assert weighted.comparison.delta == pytest.approx(expected, abs=0.06)
    assert plain.comparison.delta < expected - 0.15


def test_when_all_is_labelled_the_labels_decide() -> None:
    rng = np.random.default_rng(4)
    truth = (rng.random((2, 80)) < 0.7).astype(float)
    judged = (rng.random((2, 80)) < 0.5).astype(float)
    every = list(range(80))
    found = corrected_paired(judged[0], judged[1], Labels(every, truth[0]), Labels(every, truth[1]), margin=0.1)
    assert found.comparison == compare_paired(truth[0], truth[1], margin=0.1)


def test_order_and_sides_do_not_matter() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.random(300), rng.random(300)
    ya, yb = np.clip(a + rng.normal(0, 0.2, 300), 0, 1), np.clip(b + rng.normal(0, 0.1, 300), 0, 1)
    cases = rng.choice(300, 90, replace=False)
    found = corrected_paired(a, b, Labels(cases, ya[cases]), Labels(cases, yb[cases]), margin=0.1).comparison
    turned = corrected_paired(b, a, Labels(cases, yb[cases]), Labels(cases, ya[cases]), margin=0.1).comparison
    assert (turned.delta, turned.low, turned.high) == pytest.approx((-found.delta, -found.high, -found.low))
    order = rng.permutation(300)
    place = np.argsort(order)
    moved = corrected_paired(a[order], b[order], Labels(place[cases], ya[cases]), Labels(place[cases], yb[cases]), margin=0.1)
    assert (moved.comparison.low, moved.comparison.high) == pytest.approx((found.low, found.high))


def test_claims_agree_with_the_bounds() -> None:
    """A p-value is alpha exactly where its bound is the value tested."""
    rng = np.random.default_rng(9)
    a, b = rng.random(300), rng.random(300) * 0.9
    cases = np.arange(60)
    sides = Labels(cases, a[cases]), Labels(cases, b[cases] + 0.05)
    first = corrected_paired(a, b, *sides, margin=0.05).comparison
    again = corrected_paired(a, b, *sides, margin=0.05 if first.low >= 0 else -first.low).comparison
    assert again.p_not_worse == pytest.approx(ALPHA, abs=1e-6) or first.low >= 0


def test_few_labels_show_nothing() -> None:
    judged = np.ones(300)
    found = corrected_paired(judged, judged, Labels(range(29), [1.0] * 29), Labels(range(29), [1.0] * 29), margin=0.1)
    assert claims_of(found.comparison) == (Claim.UNDECIDED,)
    assert (found.comparison.low, found.comparison.high) == (-1.0, 1.0)
    assert "29 labelled cases" in found.comparison.reason
    assert claims_of(found.judged) != (Claim.UNDECIDED,)
    nothing = corrected_paired([], [], Labels([], []), Labels([], []), margin=0.1)
    assert nothing.comparison.method == "undecided"


def test_labelled_cases_of_one_cluster_count_once() -> None:
    judged = np.ones(300)
    clusters = [f"document {i // 30}" for i in range(300)]
    labels = Labels(range(150), [1.0] * 150)
    found = corrected_paired(judged, judged, labels, labels, margin=0.1, clusters=clusters)
    assert found.n_labelled == 5
    assert found.comparison.method == "undecided"


def test_no_disagreement_in_sixty_labels_is_no_certainty() -> None:
    judged = np.ones(5000)
    labels = Labels(range(60), [1.0] * 60)
    found = corrected_paired(judged, judged, labels, labels, margin=0.1).comparison
    assert found.low < -3.0 / 60.0  # the rule of three
    assert found.high == pytest.approx(-found.low)


@pytest.mark.parametrize(
    "labels",
    [
        Labels([0, 0], [1.0, 1.0]),
        Labels([-1], [1.0]),
        Labels([300], [1.0]),
        Labels([1], [1.5]),
        Labels([1], [float("nan")]),
        Labels([1], [1.0], [0.0]),
        Labels([1], [1.0], [float("nan")]),
        Labels([1, 2], [1.0]),
    ],
)
def test_labels_that_fit_no_case_are_refused(labels: Labels) -> None:
    judged = np.ones(300)
    good = Labels(range(40), [1.0] * 40)
    for sides in ((labels, good), (good, labels)):
        with pytest.raises(DataError):
            corrected_paired(judged, judged, *sides, margin=0.1)


def test_settings_are_checked() -> None:
    judged, good = np.ones(100), Labels(range(40), [1.0] * 40)
    with pytest.raises(UsageError):
        corrected_paired(judged, judged, good, good, margin=0.1, min_labels=5)
    with pytest.raises(UsageError):
        corrected_paired(judged, judged, good, good, margin=0.0)
