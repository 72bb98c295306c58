"""Pairs and rankings of people and judges become outcomes, standings and duels; PandaLM's five models by its annotators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.people import make_label

from harness.calibration import FIRST, SECOND, TIE, LabelledCase, Ruling, Said
from harness.labelfiles import read_labels, read_rulings
from harness.labels import settle
from harness.standings import Comparison, field_of, of_cases, of_labels
from harness.statistics.ranking import Outcome

PANDALM = Path(__file__).parent / "data" / "pandalm"
NAMES = {"base": "old", "run1": "new", "run2": "other", "run3": "new"}


def pair(number: int, people: str, judge: str | None = None, **more: Any) -> LabelledCase:
    values = {"makers": ("a", "b")} | more
    return LabelledCase(str(number), (Said("Ann", people),), (Ruling(judge, reason="garbage"),), **values)


def ranked(*groups: tuple[str, ...], **more: Any) -> Any:
    given = {"responses": ("x", "y", "z"), "sides": ("base", "run1", "run2"), "baseline_run_id": "base", "preference": None}
    return make_label("rank", ranking=groups, **(given | more))


def test_pandalms_models_by_its_annotators() -> None:
    """LLaMA over BLOOM was preferred in 72 pairs, BLOOM in 28, 11 ties, and so on, as PandaLM's paper has them."""
    people = read_labels(PANDALM / "testset-v1.json")
    field = field_of(*of_cases(people.cases))
    assert [one.name for one in field.standings.strengths] == [
        "llama-7b",
        "pythia-6.9b",
        "bloom-7b",
        "opt-7b",
        "cerebras-gpt-6.7B",
    ]
    best = field.standings.strengths[0]
    assert (best.place_low, best.place_high) == (1, 1)
    wins = {(duel.first, duel.second): duel.wins.value for duel in field.duels}
    assert len(wins) == 10
    assert wins["llama-7b", "bloom-7b"] == pytest.approx((72 + 11 / 2) / 111)
    assert wins["llama-7b", "cerebras-gpt-6.7B"] == pytest.approx((80 + 6 / 2) / 110)
    assert wins["pythia-6.9b", "opt-7b"] == pytest.approx((53 + 15 / 2) / 100)
    assert sum(duel.n for duel in field.duels) == 999


def test_a_judges_ranking_of_the_same_pairs_leaves_out_what_it_did_not_say() -> None:
    people = read_labels(PANDALM / "testset-v1.json")
    ((_, rulings),) = read_rulings(PANDALM / "gpt-3.5-turbo-testset-v1.json", "pairwise").items()
    field = field_of(*of_cases(people.judged_by(rulings), by_judge=True))
    assert field.left_out == {"no verdict": 25}
    assert field.standings.n == 974
    assert {one.name for one in field.standings.strengths[:1]} == {"llama-7b"}


def test_pairs_become_outcomes_between_their_makers() -> None:
    cases = [
        pair(1, FIRST, SECOND, lengths=(9, 4), cluster="d"),
        pair(2, TIE, None),
        pair(3, SECOND, TIE, makers=()),
        pair(4, SECOND, TIE, makers=("a", "a")),
    ]
    assert of_cases(cases) == (
        [Comparison(Outcome("a", "b", 1.0, cluster="d"), 5), Comparison(Outcome("a", "b", 0.5))],
        {"who answered is not known": 2},
    )
    by_judge = of_cases(cases, by_judge=True)
    assert by_judge == (
        [Comparison(Outcome("a", "b", 0.0, cluster="d"), 5)],
        {"no verdict": 1, "who answered is not known": 2},
    )


def test_a_ranking_is_all_its_pairs_and_weighs_one() -> None:
    found, left_out = of_labels(settle([ranked(("z",), ("x", "y"))]), NAMES)
    assert {(c.outcome.first, c.outcome.second, c.outcome.share) for c in found} == {
        ("other", "new", 1.0),
        ("other", "old", 1.0),
        ("new", "old", 0.5),
    }
    assert sum(c.outcome.weight for c in found) == pytest.approx(1.0)
    assert len({c.outcome.cluster for c in found}) == 1
    assert left_out == {}


def test_answers_that_several_gave_or_strangers_gave() -> None:
    """x came from the old and the new candidate: a tie between them; z from a run that takes no part."""
    label = ranked(("x",), ("y",), ("z",), sides=("base,run1", "run2", "run9"))
    found, _ = of_labels(settle([label]), NAMES)
    assert {(c.outcome.first, c.outcome.second, c.outcome.share) for c in found} == {
        ("new", "old", 0.5),
        ("new", "other", 1.0),
        ("old", "other", 1.0),
    }
    twice = ranked(("x",), ("y",), ("z",), sides=("run1", "base", "run3"))  # run1 and run3 are one candidate
    assert [(c.outcome.first, c.outcome.second) for c in of_labels(settle([twice]), NAMES)[0]] == [("new", "old")]


def test_choices_count_and_disputes_do_not() -> None:
    said = [
        make_label("pair", baseline_run_id="base", preference=word, rater=who)
        for word, who in (("candidate", "Ann"), ("tie", "Bo"))
    ]
    assert of_labels(settle(said[:1]), NAMES)[0][0].outcome == Outcome("new", "old", 1.0, cluster=f"math/{1:016x}")
    assert of_labels(settle(said), NAMES) == ([], {"people disagree": 1})
    assert of_labels(settle(said[:1]), {"run1": "new"}) == ([], {})


def test_lengths_turn_with_the_pair() -> None:
    """a wins in three of four pairs where its answer is longer and in one of four where it is shorter, wherever it stands."""
    comparisons = []
    for i in range(80):
        longer, wins = (40 if i % 2 else -40), (i // 2 % 4 > 0) is bool(i % 2)
        turned = Comparison(Outcome("b", "a", float(not wins)), -longer)
        comparisons.append(Comparison(Outcome("a", "b", float(wins)), longer) if i % 3 else turned)
    comparisons += [Comparison(Outcome("a", "b", 1.0), 40)] * 6 + [Comparison(Outcome("a", "b", 0.0), 40)] * 2
    comparisons += [Comparison(Outcome("a", "b", float(i % 2)), None) for i in range(20)]
    (duel,) = field_of(comparisons, {}).duels
    assert (duel.first, duel.n) == ("a", 108)
    assert duel.wins.value == pytest.approx((40 + 6 + 10) / 108)
    assert duel.longer == pytest.approx(8 * 40 / 88)
    assert duel.at_equal_length.n == 88
    assert duel.at_equal_length.value == pytest.approx(0.5)


def test_nothing_to_rank_is_said() -> None:
    field = field_of([], {"no verdict": 3})
    assert field.standings.strengths == ()
    assert field.duels == ()
    unbeaten = field_of([Comparison(Outcome("a", "b", 1.0))] * 12, {})
    assert "never lost" in unbeaten.standings.reason
    assert unbeaten.duels[0].wins.value == 1.0
    assert "not known" in unbeaten.duels[0].at_equal_length.reason
