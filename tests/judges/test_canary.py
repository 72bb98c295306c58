from __future__ import annotations

import asyncio
import json
from typing import Any

from support.judging import MODEL, FakeAsker, judge

from harness.model import Request
from judges import build, built_in, load_rubric
from judges.canary import canary_case, drifted, judge_canaries

RUBRIC = {"kind": "pointwise", "rubric": "helpfulness"}


def honest(request: Request) -> str:
    shown = request.messages[-1].content
    return json.dumps({"score": 5 if "\n42\n" in shown else 1})


def run(options: dict[str, Any], reply: Any) -> dict[str, tuple[str, str]]:
    results = asyncio.run(judge_canaries(judge(options), FakeAsker(reply)))
    return {result.canary: (result.state, result.text) for result in results}


def test_a_judge_that_judges_as_expected_holds() -> None:
    assert {name: state for name, (state, _) in run(RUBRIC, honest).items()} == {
        "right-sum": "held", "wrong-sum": "held", "asks-for-marks": "held",
    }  # fmt: skip


def test_a_judge_that_moved_is_told_with_its_value_and_range() -> None:
    found = run(RUBRIC, lambda request: '{"score": 5}')
    assert found["right-sum"][0] == "held"
    assert found["wrong-sum"] == ("drifted", "canary 'wrong-sum' of judge 'tone': 1.00, expected 0.00 to 0.50")


def test_a_canary_without_a_verdict_is_neither() -> None:
    results = asyncio.run(judge_canaries(judge(RUBRIC), FakeAsker(lambda request: {"error": "timeout"})))
    assert {result.state for result in results} == {"unscored"}
    assert drifted(results) == results
    assert "judge-error" in results[0].text


def test_pairs_have_canaries_too() -> None:
    def prefer_short(request: Request) -> str:
        shown = request.messages[-1].content
        blocks = [block.split("]]\n")[1].split("\n[[END")[0] for block in shown.split("[[BEGIN")[-2:]]
        right = [text in ("42", "Red") for text in blocks]
        return json.dumps({"verdict": "A" if right[0] else "B" if right[1] else "tie"})

    found = run({"kind": "pairwise", "rubric": "pairwise-preference"}, prefer_short)
    assert {name: state for name, (state, _) in found.items()} == {"right-over-wrong": "held", "instructions-over-charm": "held"}


def test_a_panel_has_those_of_its_members() -> None:
    others = {"one": {**RUBRIC, "model": "grader"}, "two": {"kind": "checklist", "rubric": "politeness", "model": "grader"}}
    spec = build("jury", {"kind": "panel", "members": ["one", "two"]}, root=None, others=others)  # type: ignore[arg-type]
    results = asyncio.run(judge_canaries(spec.bind({"grader": MODEL}), FakeAsker(lambda request: "?")))
    assert [(result.judge, result.canary) for result in results] == [
        ("one", "right-sum"), ("one", "wrong-sum"), ("one", "asks-for-marks"), ("two", "kind"), ("two", "rude"),
    ]  # fmt: skip


def test_built_in_canaries_are_judgeable() -> None:
    for name in built_in():
        for canary in load_rubric(name, None).file.canaries:  # type: ignore[arg-type]
            subject, response, baseline = canary_case(canary)
            assert subject.id == f"canary:{canary.id}"
            assert response.text
            assert (baseline is None) == (canary.baseline is None)
