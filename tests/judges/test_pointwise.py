from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from support.judging import FakeAsker, answer, case, judge, refused, tail, verdict

from harness.model import Judgment, Request

POINTWISE = {"kind": "pointwise", "rubric": "helpfulness"}


def run(
    options: dict[str, Any], reply: Any, text: str = "Click on 'Forgot password'.", **more: Any
) -> tuple[Judgment, FakeAsker]:
    asker = FakeAsker(reply if callable(reply) else lambda request: reply)
    return asyncio.run(judge({**POINTWISE, **options}).judge(case(**more), answer(text), asker)), asker


def form(request: Request) -> str:
    extra = request.sampling.extra
    return "logprob" if "logprobs" in extra else "schema" if "response_format" in extra else "text"


def test_a_score_becomes_a_value_between_zero_and_one() -> None:
    judgment, asker = run({}, verdict(4, "Nearly all there."))
    assert (judgment.value, judgment.passed, judgment.raw, judgment.choice) == (0.75, True, 4.0, "4")
    assert (judgment.mode, judgment.explanation, judgment.unscored) == ("schema", "Nearly all there.", None)
    assert (judgment.attempts, judgment.prompt_tokens, judgment.completion_tokens) == (1, 10, 5)
    assert judgment.keys == (asker.requests[0].key,)


def test_the_expected_score_is_taken_from_log_probabilities() -> None:
    top = {"4": math.log(0.5), " 4": math.log(0.1), "5": math.log(0.3), "x": math.log(0.1)}
    judgment, _ = run({}, {"text": verdict(4), "tail": tail("4", top)})
    assert judgment.mode == "logprob"
    assert judgment.raw == pytest.approx((0.6 * 4 + 0.3 * 5) / 0.9)
    assert judgment.outside == pytest.approx(0.1)
    assert judgment.value == pytest.approx((judgment.raw - 1) / 4)


def test_a_server_that_refuses_a_form_is_asked_in_the_next_one_and_remembered() -> None:
    asker = FakeAsker(lambda request: refused() if form(request) != "text" else "Fine.\nSCORE: 5")
    grader = judge(POINTWISE)
    first = asyncio.run(grader.judge(case(), answer("a"), asker))
    assert (first.mode, first.value, first.explanation) == ("text", 1.0, "Fine.")
    assert [form(request) for request in asker.requests] == ["logprob", "schema", "text"]
    asyncio.run(grader.judge(case(), answer("b"), asker))
    assert [form(request) for request in asker.requests][3:] == ["text"]


def test_a_prompt_refused_in_every_form_is_an_error_and_says_nothing_of_the_server() -> None:
    asker = FakeAsker(
        lambda request: {"error": "http-400", "error_message": "prompt too long"} if len(asker.requests) < 4 else verdict(3)
    )
    grader = judge(POINTWISE)
    failed = asyncio.run(grader.judge(case(), answer("a"), asker))
    assert (failed.value, failed.passed, failed.unscored, failed.errored) == (None, None, "judge-error", True)
    assert "prompt too long" in failed.explanation
    asyncio.run(grader.judge(case(), answer("b"), asker))
    assert form(asker.requests[3]) == "logprob"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({"text": ""}, "judge-empty"),
        ({"text": " \n"}, "judge-empty"),
        ({"text": "", "finish_reason": "length"}, "judge-cut"),
        ({"text": '{"reasoning": "it goes on and', "finish_reason": "length"}, "judge-cut"),
        ({"text": "whatever", "finish_reason": "content_filter"}, "judge-refused"),
        ({"text": "I'm sorry, but I can't grade this."}, "judge-refused"),
        ({"text": "抱歉，我无法评价。"}, "judge-refused"),
        ({"text": "A good answer, I would say 4."}, "judge-invalid-json"),
        ({"text": "[4]"}, "judge-invalid-json"),
        ({"text": "4"}, "judge-invalid-json"),
        ({"text": '{"score": NaN}'}, "judge-invalid-json"),
        ({"text": '{"score": 1, "score": 5}'}, "judge-invalid-json"),
        ({"text": '{"grade": 5}'}, "judge-invalid-json"),
        ({"text": 'Here: {"score": 5}'}, "judge-invalid-json"),
        ({"text": '{"score": 6}'}, "judge-outside-menu"),
        ({"text": '{"score": 0}'}, "judge-outside-menu"),
        ({"text": '{"score": 4.5}'}, "judge-outside-menu"),
        ({"text": '{"score": true}'}, "judge-outside-menu"),
        ({"text": '{"score": null}'}, "judge-outside-menu"),
        ({"text": '{"score": "five"}'}, "judge-outside-menu"),
        ({"text": '{"score": [5]}'}, "judge-outside-menu"),
        ({"text": '{"score": 1e999}'}, "judge-outside-menu"),
    ],
)
def test_what_is_no_verdict_is_asked_again_in_a_stricter_form_and_then_unscored(reply: dict[str, Any], reason: str) -> None:
    judgment, asker = run({}, reply)
    assert (judgment.value, judgment.passed, judgment.unscored, judgment.errored) == (None, None, reason, False)
    first, second = asker.requests
    assert judgment.attempts == 2
    assert "could not be used" in second.messages[-1].content
    assert "could not be used" not in first.messages[-1].content
    assert "reasoning" not in str(second.sampling.extra)
    assert first.key != second.key


def test_the_stricter_form_can_mend_it() -> None:
    judgment, _ = run({}, lambda request: '{"score": 2}' if "could not be used" in request.messages[-1].content else "hm")
    assert (judgment.value, judgment.passed, judgment.attempts) == (0.25, False, 2)


def test_several_samples_give_their_mean_and_spread() -> None:
    judgment, asker = run({"samples": 3}, lambda request: verdict([2, 4, 5][request.sample]))
    assert judgment.values == (0.25, 0.75, 1.0)
    assert judgment.value == pytest.approx(2 / 3)
    assert judgment.spread == pytest.approx(0.3818813)
    assert {request.sampling.temperature for request in asker.requests} == {0.7}
    assert len(set(judgment.keys)) == 3


def test_samples_that_cannot_be_read_are_told_and_half_of_them_are_too_many() -> None:
    some, _ = run({"samples": 3}, lambda request: verdict(5) if request.sample else "?")
    assert (some.value, some.values) == (1.0, (1.0, 1.0))
    assert "samples-missing" in some.flags
    half, _ = run({"samples": 2}, lambda request: verdict(5) if request.sample else "?")
    assert (half.value, half.unscored) == (None, "judge-invalid-json")


def test_a_sample_that_could_not_be_asked_leaves_it_errored() -> None:
    judgment, _ = run({"samples": 3}, lambda request: verdict(5) if request.sample else {"error": "timeout"})
    assert (judgment.value, judgment.unscored, judgment.errored) == (None, "judge-error", True)
    mixed, _ = run({"samples": 3}, lambda request: [verdict(5), "?", {"error": "timeout"}][request.sample])
    assert (mixed.unscored, mixed.errored) == ("judge-error", True)


def test_a_failed_response_is_not_judged() -> None:
    asker = FakeAsker(lambda request: verdict(5))
    judgment = asyncio.run(judge(POINTWISE).judge(case(), answer("", error="timeout"), asker))
    assert (judgment.value, judgment.unscored, asker.requests) == (None, "no-response", [])


def test_the_dry_run_names_the_requests_that_are_then_sent() -> None:
    grader = judge({**POINTWISE, "samples": 2})
    planned = grader.questions(case(), answer("a"))
    asker = FakeAsker(lambda request: verdict(3))
    asyncio.run(grader.judge(case(), answer("a"), asker))
    assert [request.key for request in planned] == [request.key for request in asker.requests]
