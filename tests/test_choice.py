"""What runs of a matrix show together: the three answers, what they rest on, and how often they would be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from harness.choice import Answer, Choice, Kept, Reach, Trial, choose
from harness.cli.judging import Policy
from harness.errors import DataError
from harness.model import Gate, ItemStatus, Prompt, Role, ScoreRow, Split
from harness.statistics import clopper_pearson_lower
from harness.suite import Combination, Matrix
from reports.choice import build

ALPHA = 0.05
RULES = {"target": Policy(Role.TARGET, 0.05), "safe": Policy(Role.PROTECTED, 0.1)}

Scores = Mapping[str, Sequence[float | None]]


def rows(capability: str, scores: Sequence[float | None], *, clusters: int = 0, samples: int = 1) -> list[ScoreRow]:
    return [
        ScoreRow(
            case_id=f"c{number:04d}",
            capability=capability,
            sample=sample,
            status=ItemStatus.ERRORED if score is None else ItemStatus.SCORED,
            value=score,
            passed=None if score is None else score >= 0.5,
            reason="timeout" if score is None else None,
            cluster=f"k{number % clusters}" if clusters else None,
            split=Split.DEV,
        )
        for number, score in enumerate(scores)
        for sample in range(samples)
    ]


def trial(name: str, scores: Scores, *, tokens: float | None = 10.0, tuned: bool = False, **options: Any) -> Trial:
    candidate, _, prompt = name.partition("+")
    combination = Combination(name, candidate, prompt or "default", 0, tuned)
    found = [row for capability, values in scores.items() for row in rows(capability, values, **options)]
    return Trial(combination, f"run-{name}", found, tokens)


def judged(trials: Sequence[Trial], goals: Mapping[str, float] = {"target": 0.8}, **changes: Any) -> Choice:
    names = [t.combination.name for t in trials]
    settings: dict[str, Any] = {"rules": RULES, "gate": Gate(), "reference": None} | changes
    prompts = {(name, c): Prompt(system=name) for name in names for c in settings["rules"]}
    matrix = Matrix(tuple(t.combination for t in trials), goals, prompts)
    return choose(trials, matrix, settings["rules"], settings["gate"], settings["reference"], Split.DEV)


def passing(share: float, n: int = 200) -> list[float]:
    return [1.0] * round(share * n) + [0.0] * (n - round(share * n))


GOOD = passing(1.0)


def words(choice: Choice) -> str:
    view = build(choice, "suite", {"safe": 0.1}, None)
    return " | ".join([view.headline, view.lead, *(reason.text for reason in view.reasons), *view.next_steps])


# -- the three answers -----------------------------------------------------------------------------------------------------------


def test_a_prompt_reaches_it() -> None:
    found = judged(
        [trial("base", {"target": passing(0.3), "safe": GOOD}), trial("base+new", {"target": passing(0.95), "safe": GOOD})]
    )
    assert (found.answer, found.best) == (Answer.PROMPT, "base+new")
    best = found.row("base+new")
    assert best.reach is Reach.REACHES
    assert best.targets[0].interval.low == pytest.approx(clopper_pearson_lower(190, 200, ALPHA / 2))
    assert [row.state for row in best.protected] == [Kept.KEPT]
    said = words(found)
    assert (
        "base with prompt new reaches it: target 95.0, lower bound 91.0, goal 80.0. Tuning is not needed for the target." in said
    )
    assert "It keeps what is protected: safe." in said
    assert "What asking otherwise gives base: +65.0 [" in said
    assert "candidates: base: prompt:" in said


def test_as_it_is_already_reaches_it() -> None:
    found = judged([trial("base", {"target": GOOD, "safe": GOOD}), trial("base+new", {"target": passing(0.3), "safe": GOOD})])
    assert (found.answer, found.best) == (Answer.PROMPT, "base")
    assert words(found).startswith("Good enough as it is | base as it is reaches the goal: target 100.0")
    assert "every change is shown to make it worse" in words(found)


def test_tuning_is_needed() -> None:
    found = judged(
        [trial("base", {"target": passing(0.3), "safe": GOOD}), trial("base+new", {"target": passing(0.5), "safe": GOOD})]
    )
    assert (found.answer, found.best, found.open_cases) == (Answer.TUNING, None, None)
    high = 100 * found.row("base+new").targets[0].interval.high
    expected = (
        f"No combination without tuning reaches the goal: the highest upper bound on target is {high:.1f} (base with prompt new)"
    )
    assert expected in words(found)
    assert "Tuning, or a better base, is needed." in words(found)


@pytest.mark.parametrize("share", [0.76, 0.84])
def test_not_decided_says_how_many_cases_would(share: float) -> None:
    trials = [trial("base", {"target": passing(0.3), "safe": GOOD}), trial("base+new", {"target": passing(share), "safe": GOOD})]
    found = judged(trials)
    assert (found.answer, found.best) == (Answer.UNDECIDED, None)
    assert found.open_cases is not None
    assert f"About {found.open_cases:,} cases would decide it (80 % power), {found.open_cases - 200:,} more." in words(found)
    n = found.open_cases
    more = judged(
        [trial("base", {"target": passing(0.3, n), "safe": GOOD}), trial("base+new", {"target": passing(share, n), "safe": GOOD})]
    )
    assert more.answer is (Answer.PROMPT if share > 0.8 else Answer.TUNING)


def test_a_score_on_the_goal_is_never_decided() -> None:
    found = judged(
        [trial("base", {"target": passing(0.8), "safe": GOOD}), trial("base+new", {"target": passing(0.1), "safe": GOOD})]
    )
    assert (found.answer, found.open_cases) == (Answer.UNDECIDED, None)
    assert "No affordable number of cases would decide it" in words(found)


def test_a_goal_reached_at_a_price_is_not_reached() -> None:
    bad = {"target": passing(0.99), "safe": passing(0.5)}
    found = judged([trial("base", {"target": passing(0.3), "safe": GOOD}), trial("base+new", bad)])
    assert found.answer is Answer.TUNING
    assert found.row("base+new").reach is Reach.REACHES
    assert "base with prompt new reaches the goal only at the price of safe" in words(found)
    other = trial("base+other", {"target": passing(0.97), "safe": passing(0.93)})
    assert judged([trial("base", {"target": passing(0.3), "safe": GOOD}), trial("base+new", bad), other]).best == "base+other"


def test_what_is_not_shown_to_be_kept_is_told() -> None:
    few = {"target": passing(0.99), "safe": passing(0.9, 20)}
    found = judged([trial("base", {"target": passing(0.3), "safe": passing(1.0, 20)}), trial("base+new", few)])
    assert (found.answer, found.best) == (Answer.PROMPT, "base+new")
    assert "Not shown to be kept, nor lost: safe" in words(found)


def test_what_is_asked_the_same_is_kept_and_costs_no_alpha() -> None:
    few = passing(0.9, 5)
    trials = [trial("base", {"target": passing(0.3), "safe": few}), trial("base+new", {"target": GOOD, "safe": few})]
    trials.append(trial("base+none", {"target": passing(0.3), "safe": passing(0.2, 5)}))
    prompts = {(t.combination.name, c): Prompt() for t in trials for c in RULES}
    prompts |= {("base+new", "target"): Prompt(system="new"), ("base+none", "safe"): Prompt(system="none")}
    matrix = Matrix(tuple(t.combination for t in trials), {"target": 0.8}, prompts)
    found = choose(trials, matrix, RULES, Gate(), None, Split.DEV)
    assert found.row("base+new").protected[0].state is Kept.KEPT
    assert found.row("base+new").protected[0].paired is None
    kept = found.row("base+none").protected[0].paired
    assert kept is not None
    assert kept.alpha == ALPHA  # the only comparison that is made
    assert [row.targets[0].interval.level for row in found.rows] == [ALPHA / 2] * 3
    assert found.row("base+none").targets[0].gain is None
    assert found.row("base+none").targets[0].standing == found.row("base").targets[0].standing
    assert found.row("base+none").targets[0].standing.beaten_by == 1


# -- who is meant ----------------------------------------------------------------------------------------------------------------


def test_a_tuned_candidate_does_not_make_tuning_needless() -> None:
    tuned = trial("sft", {"target": GOOD, "safe": GOOD}, tuned=True)
    found = judged([trial("base", {"target": passing(0.3), "safe": GOOD}), tuned])
    assert (found.answer, found.best) == (Answer.TUNING, None)
    assert "Tuning reaches it: sft as it is (target 100.0" in words(found)
    assert "shown to be worse, however asked: base" in words(found)
    assert "Let the gate judge what tuning made: `harness run SUITE -c sft`" in words(found)
    alone = judged([tuned, trial("sft+new", {"target": passing(0.2), "safe": GOOD}, tuned=True)])
    assert (alone.answer, alone.best) == (Answer.PROMPT, "sft")
    assert "No further tuning is needed for it." in words(alone)


def test_protected_capabilities_are_compared_with_the_reference() -> None:
    weak = trial("small", {"target": GOOD, "safe": passing(0.4)})
    trials = [trial("base", {"target": passing(0.3), "safe": GOOD}), weak]
    assert judged(trials).row("small").protected[0].state is Kept.KEPT
    assert judged(trials, reference="base").row("small").protected[0].state is Kept.LOST
    assert judged(trials, reference="base").answer is Answer.TUNING


def test_several_targets_must_all_be_reached_unless_any_is_enough() -> None:
    rules = {"target": RULES["target"], "more": Policy(Role.TARGET, 0.05)}
    goals = {"target": 0.8, "more": 0.8}
    trials = [
        trial("base", {"target": GOOD, "more": passing(0.2)}),
        trial("base+new", {"target": passing(0.3), "more": passing(0.3)}),
    ]
    every = judged(trials, goals, rules=rules)
    assert every.answer is Answer.TUNING
    assert "each is shown to fall short of a goal" in words(every)
    assert judged(trials, goals, rules=rules, gate=Gate(targets="any")).answer is Answer.PROMPT
    # alpha is split over the targets, too
    assert every.rows[0].targets[0].interval.level == ALPHA / 4


def test_of_those_that_reach_the_better_and_then_the_cheaper_is_taken() -> None:
    trials = [
        trial("base", {"target": passing(0.2), "safe": GOOD}),
        trial("base+long", {"target": passing(0.98), "safe": GOOD}, tokens=90.0),
        trial("base+short", {"target": passing(0.98), "safe": GOOD}, tokens=30.0),
        trial("base+tiny", {"target": passing(0.95), "safe": GOOD}, tokens=12.0),
    ]
    found = judged(trials)
    assert (found.best, found.cheapest) == ("base+short", "base+tiny")
    assert "Cheapest that reaches it: base with prompt tiny, 12 tokens a request instead of 30" in words(found)
    assert "1 other way to ask base cannot be told from it" in words(found) or "other ways to ask base" in words(found)


# -- bad and missing input -------------------------------------------------------------------------------------------------------


def test_missing_scores_count_against_what_is_shown() -> None:
    gate = Gate(max_error_rate=1.0)
    new = [*passing(0.95, 180), *([None] * 20)]
    found = judged(
        [trial("base", {"target": passing(0.3), "safe": GOOD}), trial("base+new", {"target": new, "safe": GOOD})], gate=gate
    )
    interval = found.row("base+new").targets[0].interval
    assert (interval.n, interval.missing) == (180, 20)
    assert interval.low == pytest.approx(clopper_pearson_lower(171, 200, ALPHA / 2))
    assert found.answer is Answer.UNDECIDED


def test_failed_requests_are_infrastructure_and_never_an_answer() -> None:
    new = [*passing(0.99, 180), *([None] * 20)]
    found = judged([trial("base", {"target": passing(0.3), "safe": GOOD}), trial("base+new", {"target": new, "safe": GOOD})])
    assert (found.answer, found.best) == (Answer.UNDECIDED, None)
    assert found.failed.startswith("20 of 400 requests of base+new failed")
    assert words(found).startswith("Cannot be judged")


def test_a_case_counts_only_with_all_its_samples() -> None:
    twice = trial("base+new", {"target": GOOD, "safe": GOOD}, samples=2)
    broken = [row for row in twice.rows if not (row.case_id == "c0000" and row.sample == 1)]
    broken.append(ScoreRow("c0000", "target", 1, ItemStatus.UNSCORED, reason="truncated", split=Split.DEV))
    base = trial("base", {"target": passing(0.3), "safe": GOOD}, samples=2)
    found = judged([base, Trial(twice.combination, "r", broken)])
    assert found.rows[1].targets[0].interval.missing == 1


def test_few_clusters_decide_nothing_and_say_why() -> None:
    trials = [trial(name, {"target": GOOD, "safe": GOOD}, clusters=4) for name in ("base", "base+new")]
    found = judged(trials)
    assert (found.answer, found.open_cases) == (Answer.UNDECIDED, None)
    assert "4 clusters, and the spread between clusters needs at least 10" in words(found)


def test_different_or_no_cases_are_refused() -> None:
    with pytest.raises(DataError, match="base\\+new planned other cases of 'target'"):
        judged([trial("base", {"target": GOOD, "safe": GOOD}), trial("base+new", {"target": GOOD[:-1], "safe": GOOD})])
    with pytest.raises(DataError, match="no case of 'target' is in the dev split"):
        judged([trial("base", {"safe": GOOD}), trial("base+new", {"safe": GOOD})])


# -- how often it is wrong -------------------------------------------------------------------------------------------------------


def drawn(rng: np.random.Generator, means: Sequence[float], n: int) -> list[list[float]]:
    """Cases are hard or easy for all alike: a shared half of the chance."""
    hard = rng.random(n)
    own = rng.random((len(means), n))
    return [list(np.where(rng.random(n) < 0.5, hard, own[k]) < m) for k, m in enumerate(means)]  # type: ignore[arg-type]


def rate(answer: Answer, means: Sequence[float], safe: Sequence[float], goal: float, n: int, runs: int = 100) -> float:
    rng, said = np.random.default_rng([n, len(means), round(1000 * goal)]), 0
    names = ["base", *(f"base+p{k}" for k in range(1, len(means)))]
    for _ in range(runs):
        target, kept = drawn(rng, means, n), drawn(rng, safe, n)
        trials = [
            trial(name, {"target": [float(v) for v in t], "safe": [float(v) for v in s]})
            for name, t, s in zip(names, target, kept, strict=True)
        ]
        said += judged(trials, {"target": goal}).answer is answer
    return said / runs


LIMIT = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 100)


@pytest.mark.parametrize(("means", "goal"), [([0.79] * 8, 0.8), ([0.95] * 8, 0.951), ([0.5, 0.79, 0.79, 0.1], 0.8)])
def test_a_prompt_is_seldom_said_to_reach_what_none_reaches(means: list[float], goal: float) -> None:
    """... although the best of eight looks as if it did."""
    assert rate(Answer.PROMPT, means, [1.0] * len(means), goal, 60) <= LIMIT


@pytest.mark.parametrize(("means", "goal"), [([0.2, 0.2, 0.2, 0.8], 0.8), ([0.97] * 6, 0.97)])
def test_tuning_is_seldom_said_to_be_needed_where_a_prompt_reaches(means: list[float], goal: float) -> None:
    assert rate(Answer.TUNING, means, [0.95] * len(means), goal, 60) <= LIMIT


def test_both_answers_are_found_where_they_are_clear() -> None:
    assert rate(Answer.PROMPT, [0.3, 0.5, 0.95], [1.0] * 3, 0.8, 80, runs=40) > 0.9
    assert rate(Answer.TUNING, [0.3, 0.5, 0.55], [1.0] * 3, 0.8, 80, runs=40) > 0.9
