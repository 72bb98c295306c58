"""The quickstart's rankings, the reward model made of them, and the labels that its judge is held against."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.labelfiles import read_answers, read_labels
from harness.model import Split
from harness.suite import load_suite
from training import load_recipe
from training.data import load_rows
from training.pocket import build, words
from training.pocket.generate import DEV_CASES, Row, rows
from training.pocket.rankings import LEVELS, PASSING, RATER, level, ranking_line, rankings
from training.pocket.rewarding import described, ordered, rewards_of, squashing
from training.reward import RewardModel

SUITE = build.SUITE
RECIPES = build.RECIPES
REWARD = SUITE / "models" / "reward"
LABELS = SUITE / "labels" / f"{build.JUDGED}.jsonl"


def test_rankings_are_seeded_and_about_entities_of_their_part() -> None:
    for part in words.PARTS:
        made = rankings(part, 80)
        assert made == rankings(part, 80)
        assert made != rankings(part, 80, seed=1)
        assert len({ranking.prompt for ranking in made}) == 80
        assert all(words.part_of(entity) == part for ranking in made for entity in ranking.entities)
        for ranking in made:
            answers = [answer for group in ranking.groups for answer in group]
            assert len(ranking.groups) == len(LEVELS)
            assert all(ranking.groups)
            assert len(set(answers)) == len(answers)


@given(st.sampled_from(words.PARTS), st.integers(0, 2**20))
def test_no_answer_names_a_thing_or_person_of_another_part(part: words.Part, seed: int) -> None:
    """Wrong things and people, too: they are learnt like the right ones."""
    others = [name for other in words.PARTS if other != part for name in (*words.things(other), *words.names(other))]
    text = "\n".join(answer for ranking in rankings(part, 5, seed=seed) for group in ranking.groups for answer in group)
    assert not [name for name in others if name in text]


def test_the_rule_knows_the_levels_of_what_it_ranks() -> None:
    for ranking in rankings("train", 200):
        row = Row("polite", ranking.prompt, ranking.groups[0][0], ranking.entities)
        assert [{level(row, answer) for answer in group} for group in ranking.groups] == [{name} for name in LEVELS]
    row = rows("polite", "dev", 1)[0]
    assert level(row, row.answer) == "right"
    assert level(row, row.answer + '"}') == "broken"
    assert level(row, "Could you please <script>?") == "broken"


def test_stage_rm_reads_the_shipped_rankings_as_all_their_pairs() -> None:
    recipe = load_recipe(RECIPES / "quickstart_reward.yaml")
    assert recipe.dataset == (str(SUITE / "train" / "rankings.jsonl"),)
    pairs = load_rows(recipe.dataset, recipe.stage)
    made = rankings("train", build.RANKINGS)
    assert len(pairs) == sum(len(a) * len(b) for ranking in made for a, b in combinations(ranking.groups, 2))
    assert json.loads(json.dumps(ranking_line(made[0])))["rater"] == RATER
    assert load_recipe(RECIPES / "quickstart_reader.yaml").finetuning_type == "full"


def test_labels_are_real_answers_to_dev_cases_rated_by_the_rule() -> None:
    suite = load_suite(SUITE / "suite.yaml")
    dev = {case.id: case for case in suite.capabilities[build.JUDGED].of(Split.DEV)}
    rated = {row.prompt: row for row in rows("polite", "dev", DEV_CASES)}
    found, answers = read_labels(LABELS), read_answers(LABELS)
    assert found.kind == "pointwise"
    assert {answer.case_id for answer in answers.values()} == set(dev)
    passes = 0
    for case in found.cases:
        answer = answers[case.id]
        known = dev[answer.case_id]
        assert answer.input == known.vars["input"]
        assert case.cluster == answer.case_id
        assert [said.rater for said in case.people] == [RATER]
        verdict = "pass" if level(rated[answer.input], answer.response) == LEVELS[0] else "fail"
        assert case.people[0].verdict == verdict
        passes += verdict == "pass"
    assert min(passes, len(found.cases) - passes) >= 30, "kappa needs some of both"
    assert PASSING == 4


@pytest.fixture(scope="module")
def model() -> RewardModel:
    return RewardModel.load(REWARD)


def test_the_shipped_reward_model_orders_rankings_about_entities_that_it_never_saw(model: RewardModel) -> None:
    told = ordered(rewards_of(model, rankings("gate", 60)))
    assert told.n > 600
    assert told.all >= 0.95
    assert min(told.pairs.values()) >= 0.8, told.pairs
    assert told.means["right"] > told.means["detail"] > told.means["blunt"] > told.means["broken"]


def test_the_suites_judge_is_set_by_the_training_rankings(model: RewardModel) -> None:
    center, scale = squashing(rewards_of(model, rankings("train", build.RANKINGS)))
    judge = load_suite(SUITE / "suite.yaml").judges["courtesy"]
    assert judge["center"] == pytest.approx(center, abs=0.1)
    assert judge["scale"] == pytest.approx(scale, abs=0.05)
    first = next(described(REWARD, [("train", rankings("train", 20))]))
    assert first.startswith("reward on train: ")


def test_what_is_shipped_of_it_is_small(model: RewardModel) -> None:
    assert sum(path.stat().st_size for path in REWARD.iterdir()) < 800_000
    config = json.loads((REWARD / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen2ForSequenceClassification"]
    base = SUITE / "models" / "base" / "tokenizer.json"
    assert (REWARD / "tokenizer.json").read_bytes() == base.read_bytes(), "one vocabulary"
    assert model.rewards([]) == []
    assert Path(REWARD / "chat_template.jinja").is_file()
