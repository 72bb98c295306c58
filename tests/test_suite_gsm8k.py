"""The bundled GSM8K suite: complete, usable as it stands, attributed."""

from __future__ import annotations

from pathlib import Path

from harness.checks import compile_checks
from harness.model import Response
from harness.prompts import render
from harness.suite import load_suite


def test_all_cases_parse_and_are_scored_by_their_own_solutions(root: Path) -> None:
    suite = load_suite(root / "suites/gsm8k/suite.yaml", env={})
    capability = suite.capabilities["word-problems"]
    assert len(capability.cases) == 1319
    assert len({case.id for case in capability.cases}) == 1319
    scorer = compile_checks(capability.checks, score="mean", on_truncated="score")
    for case in capability.cases:
        assert isinstance(case.reference, int)
        assert scorer.faults(case) == ()
        solution = f"{case.metadata['solution']}\n#### {case.reference:,}"
        assert scorer.score(case, Response("k", solution, finish_reason="stop")).value == 1.0
        assert scorer.score(case, Response("k", f"#### {case.reference + 1}", finish_reason="stop")).value == 0.0
    assert capability.cases[0].reference == 18


def test_the_prompt_shows_four_solved_problems_that_are_no_cases(root: Path) -> None:
    suite = load_suite(root / "suites/gsm8k/suite.yaml", env={})
    cases = suite.capabilities["word-problems"].cases
    messages = render(suite.prompt_for("base", "word-problems"), cases[0])
    assert [message.role for message in messages] == ["system"] + ["user", "assistant"] * 4 + ["user"]
    shown = suite.prompt_for("base", "word-problems").few_shot
    assert not {question for question, _ in shown} & {case.vars["input"] for case in cases}
    assert [answer.rsplit("#### ")[-1] for _, answer in shown] == ["24", "12", "10", "8000"]


def test_candidates_come_from_the_environment(root: Path) -> None:
    path = root / "suites/gsm8k/suite.yaml"
    env = {
        "GSM8K_MODEL": "org/base",
        "GSM8K_ADAPTER": "org/lora",
        "GSM8K_BASE_ENDPOINT": "http://127.0.0.1:9/v1",
        "GSM8K_BASE": "served",
    }
    suite = load_suite(path, env=env)
    assert (suite.candidates["candidate"].model, suite.candidates["candidate"].adapter) == ("org/base", "org/lora")
    assert suite.candidates["base"].kind == "endpoint"
    assert suite.hash == load_suite(path, env={}).hash


def test_licence_and_source_travel_with_it(root: Path) -> None:
    folder = root / "suites/gsm8k"
    assert (folder / "LICENSE").read_text().startswith("MIT License")
    assert "openai/grade-school-math at commit 3101c7d5" in (folder / "README.md").read_text()
