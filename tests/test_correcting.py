"""People's labels in a judged comparison: which count, and what of the comparison they change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.people import make_label

from harness.comparison import compare_runs
from harness.correcting import Means, Truth, correct, ties, truth_of_preferences, truth_of_ratings
from harness.model import CapabilityComparison, Gate, ItemStatus, Label, Role, ScoreRow
from harness.statistics.correction import MIN_LABELS

N = 400
GATE = Gate()


def rows(values: Any, missing: int = 0) -> list[ScoreRow]:
    """missing: the last so many have no score."""
    found = [ScoreRow(f"{i:04d}", "tone", 0, ItemStatus.SCORED, float(v), v >= 0.5) for i, v in enumerate(values)]
    lost = [
        replace(row, status=ItemStatus.UNSCORED, value=None, passed=None, reason="judge-error") for row in found[N - missing :]
    ]
    return found[: N - missing] + lost


class _Rule:
    role, margin = Role.PROTECTED, 0.1


def compared(ours: list[ScoreRow], theirs: list[ScoreRow]) -> CapabilityComparison:
    [found] = compare_runs(ours, theirs, {"tone": _Rule()}, GATE)
    return found


def judged(seed: int = 1) -> tuple[Any, Any, Any]:
    """Equal candidates; a judge that flatters the candidate: it passes a fifth of its failures. (judge ours, theirs, truth)."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(N) < 0.7).astype(float)
    flattered = np.where((truth == 0) & (rng.random(N) < 0.6), 1.0, truth)
    return flattered, truth, truth


def truths(values: Any, n: int) -> dict[str, Truth]:
    return {f"{i:04d}": Truth(float(values[i]), 0.25) for i in range(n)}


def test_labels_take_a_judges_flattery_out() -> None:
    ours, theirs, truth = judged()
    plain = compared(rows(ours), rows(theirs))
    assert plain.paired is not None
    assert plain.paired.low > 0.1, "by the judge alone the candidate is better"
    found = correct(plain, Means.of(rows(ours)), Means.of(rows(theirs)), truths(truth, 100), truths(truth, 100), GATE)
    assert found.paired is not None
    assert found.n_labelled == 100
    assert found.uncorrected == plain.paired
    assert found.paired.low < 0.0 < found.paired.high
    assert found.paired.method == "prediction-powered"
    assert "improved" in plain.claims
    assert "improved" not in found.claims
    assert found.uncalibrated == ()


def test_too_few_labels_or_of_one_side_change_nothing() -> None:
    ours, theirs, truth = judged()
    plain = compared(rows(ours), rows(theirs))
    means = Means.of(rows(ours)), Means.of(rows(theirs))
    few = truths(truth, MIN_LABELS - 1)
    assert correct(plain, *means, few, truths(truth, 100), GATE) is plain
    assert correct(plain, *means, {}, truths(truth, 100), GATE) is plain
    assert correct(plain, *means, truths(truth, 100), truths(truth, 100), replace(GATE, sequential=True)) is plain
    alone = replace(plain, paired=None)
    assert correct(alone, *means, truths(truth, 100), truths(truth, 100), GATE) is alone


def test_missing_scores_are_at_their_worst_in_the_corrected_comparison_too() -> None:
    ours, theirs, truth = judged()
    plain = compared(rows(ours, missing=20), rows(theirs))
    means = Means.of(rows(ours, missing=20)), Means.of(rows(theirs))
    found = correct(plain, *means, truths(truth, 100), truths(truth, 100), GATE)
    assert found.missing_candidate == 20
    assert found.paired is not None
    assert found.worst is not None
    assert found.paired.n == N - 20
    assert found.worst.low == pytest.approx(0.95 * found.paired.low - 0.05)
    assert found.worst.p_not_worse > found.paired.p_not_worse
    assert (found.worst.p_not_worse <= GATE.alpha) == (found.worst.low >= -found.margin)
    many = compared(rows(ours, missing=60), rows(theirs))
    means = Means.of(rows(ours, missing=60)), Means.of(rows(theirs))
    lost = correct(many, *means, truths(truth, 100), truths(truth, 100), GATE)
    assert lost.worst is not None
    assert lost.worst.p_not_worse == 1.0, "more is missing than the margin"


def test_several_samples_of_a_case_are_one_mean_and_none_of_them_may_lack() -> None:
    one, two = rows([1.0, 0.0]), rows([0.5, 0.0])
    means = Means.of([*one, *(replace(row, sample=1) for row in two)])
    assert dict(means.values) == {"0000": 0.75, "0001": 0.0}
    cut = [*one, replace(two[0], sample=1, status=ItemStatus.ERRORED, value=None)]
    assert Means.of(cut).values["0000"] is None


def label(case: str, probability: float | None = 0.5, **changes: Any) -> Label:
    return make_label(**{"case_id": case, "probability": probability, **changes})


def test_only_what_was_drawn_by_chance_speaks_for_the_others() -> None:
    found = truth_of_ratings([label("a", passed=True), label("b", passed=False), label("c", None, passed=True)])
    assert found == {"a": Truth(1.0, 0.5), "b": Truth(0.0, 0.5)}


def test_ratings_where_all_have_them_else_pass_and_fail() -> None:
    rated = [label("a", passed=True, rating=5), label("b", passed=False, rating=2)]
    assert truth_of_ratings(rated) == {"a": Truth(1.0, 0.5), "b": Truth(0.25, 0.5)}
    mixed = [*rated, label("c", passed=True)]
    assert {case: one.value for case, one in truth_of_ratings(mixed).items()} == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert truth_of_ratings([label("a", passed=True), label("a", passed=False, sample=1)]) == {"a": Truth(0.5, 0.5)}
    assert truth_of_ratings([]) == {}


def test_preferences_are_held_against_a_tie() -> None:
    given = [label(case, kind="pair", preference=said) for case, said in (("a", "candidate"), ("b", "tie"), ("c", "baseline"))]
    found = truth_of_preferences([*given, label("d", None, kind="pair", preference="tie")])
    assert {case: one.value for case, one in found.items()} == {"a": 1.0, "b": 0.5, "c": 0.0}
    assert {one.value for one in ties(found).values()} == {0.5}


@pytest.mark.parametrize("seed", range(3))
def test_a_pairwise_judge_that_is_wrong_in_a_known_way_is_set_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = rng.choice([0.0, 0.5, 1.0], N, p=[0.3, 0.4, 0.3])
    judge = np.where(rng.random(N) < 0.4, 1.0, people)
    plain = compared(rows(judge), rows(np.full(N, 0.5)))
    said = truths(people, 120)
    found = correct(plain, Means.of(rows(judge)), Means.of(rows(np.full(N, 0.5))), said, ties(said), GATE)
    assert plain.paired is not None
    assert found.paired is not None
    assert plain.paired.low > 0.05
    assert found.paired.low <= 0.03
    assert abs(found.paired.delta) < plain.paired.delta
