"""Judges through the real client against a server that misbehaves: what fails is an error or unscored, and never a score."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from support.judging import answer, case, judge
from support.scripted_server import Answer, Body, Fault, ScriptedServer

from harness.client import OpenAIClient
from harness.model import Candidate, Judgment
from judges import build

GRADER = Candidate("grader", "base", "0" * 64)
POINTWISE = {"kind": "pointwise", "rubric": "helpfulness"}


def served(
    options: dict[str, Any], reply: Any, faults: Sequence[Fault | None] = (), **more: Any
) -> tuple[list[Judgment], list[Body]]:
    """Three answers judged at once over HTTP; more: options of the client."""

    async def main() -> list[Judgment]:
        async def no_wait(seconds: float) -> None: ...

        async with OpenAIClient(server.url, sleep=no_wait, **{"stream": "never", **more}) as client:
            asked = [grader.judge(case(), answer(text), client, baseline=answer("base")) for text in ("one", "two", "three")]
            return list(await asyncio.gather(*asked))

    spec = build("tone", {"model": "grader", **options}, root=None)  # type: ignore[arg-type]
    grader = spec.bind({"grader": GRADER})
    with ScriptedServer(reply, faults=faults) as server:
        found = asyncio.run(main())
    return found, [seen.body for seen in server.requests]


def tokens(digit: int, share: float) -> dict[str, Any]:
    """OpenAI's log-probabilities of ``{"score": N}`` with one alternative."""
    other = {"token": str(digit - 1), "logprob": math.log(1 - share)}
    place = {
        "token": str(digit),
        "logprob": math.log(share),
        "top_logprobs": [{"token": str(digit), "logprob": math.log(share)}, other],
    }
    rest = [{"token": token, "logprob": 0.0, "top_logprobs": []} for token in ('{"', "score", '":')]
    return {"content": [*rest, place, {"token": "}", "logprob": 0.0, "top_logprobs": []}]}


def graded(body: Body) -> Answer:
    return {"content": '{"reasoning": "ok", "score": 4}', "logprobs": tokens(4, 0.75)}


@pytest.mark.parametrize("stream", ["never", "always"])
def test_expected_scores_arrive_whole_and_streamed(stream: str) -> None:
    found, bodies = served(POINTWISE, graded, stream=stream)
    assert [judgment.mode for judgment in found] == ["logprob"] * 3
    assert [judgment.raw for judgment in found] == [pytest.approx(3.75)] * 3
    assert bodies[0]["top_logprobs"] == 20
    assert bodies[0]["response_format"]["json_schema"]["strict"] is True
    assert bodies[0]["temperature"] == 0.0


def old_server(body: Body) -> Answer:
    return "Short and right.\nSCORE: 4"


def test_a_server_without_schemas_costs_two_refusals_and_not_two_a_case() -> None:
    def faults(number: int, body: Body) -> Fault | None:
        return Fault.status(400, "response_format is not supported") if "response_format" in body else None

    found, bodies = served(POINTWISE, old_server, faults, concurrency=1)  # type: ignore[arg-type]
    assert [(judgment.mode, judgment.value) for judgment in found] == [("text", 0.75)] * 3
    assert sum("response_format" not in body for body in bodies) == 3


@pytest.mark.parametrize(("form", "mode"), [("schema", "schema"), ("text", "text")])
def test_a_form_can_be_fixed(form: str, mode: str) -> None:
    found, bodies = served({**POINTWISE, "form": form}, lambda body: '{"score": 4}' if "response_format" in body else "SCORE: 4")
    assert {(judgment.mode, judgment.value) for judgment in found} == {(mode, 0.75)}
    assert len(bodies) == 3
    assert not any("logprobs" in body for body in bodies)


def test_passing_trouble_is_the_clients_and_final_trouble_an_error() -> None:
    found, _ = served(POINTWISE, graded, [Fault.status(503), Fault.reset(), Fault.status(429)])
    assert [judgment.value for judgment in found] == [pytest.approx(0.6875)] * 3
    assert sum(judgment.attempts for judgment in found) == 6
    found, _ = served(POINTWISE, graded, [Fault.status(500)] * 50, retries=1)
    assert [(judgment.value, judgment.unscored, judgment.errored) for judgment in found] == [(None, "judge-error", True)] * 3
    assert "http-500" in found[0].explanation


@pytest.mark.parametrize(
    ("body", "code"),
    [("<html>busy</html>", "bad-response"), ({"choices": []}, "bad-response"), ({"error": {"message": "no"}}, "bad-response")],
)
def test_what_is_no_completion_is_an_error(body: Any, code: str) -> None:
    found, _ = served(POINTWISE, graded, [Fault.body(body)] * 3)
    assert {(judgment.value, judgment.unscored, judgment.explanation.split(":")[0]) for judgment in found} == {
        (None, "judge-error", code)
    }


def test_a_wrong_key_is_an_error_and_does_not_turn_schemas_off() -> None:
    found, bodies = served(POINTWISE, graded, [Fault.status(401, "bad key")] * 3)
    assert {judgment.unscored for judgment in found} == {"judge-error"}
    assert all("logprobs" in body for body in bodies)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"content": "I'm sorry, I cannot help with that."}, "judge-refused"),
        ({"content": None, "refusal": "I cannot judge this."}, "judge-refused"),
        ({"content": '{"reasoning": "long', "finish_reason": "length"}, "judge-cut"),
        ({"content": "", "reasoning_content": "hm", "finish_reason": "length"}, "judge-cut"),
        ({"content": "<think>never ends", "finish_reason": "length"}, "judge-cut"),
        ({"content": ""}, "judge-empty"),
        ({"content": '{"score": 9}'}, "judge-outside-menu"),
        ({"content": "fine, 5"}, "judge-invalid-json"),
    ],
)
def test_every_verdict_that_is_none_is_unscored_with_its_reason(message: Body, reason: str) -> None:
    found, bodies = served(POINTWISE, lambda body: message)
    assert {(judgment.value, judgment.passed, judgment.unscored, judgment.errored) for judgment in found} == {
        (None, None, reason, False)
    }
    assert len(bodies) == 6, "each was asked once more, in the stricter form"


def test_thinking_before_the_verdict_is_no_part_of_it() -> None:
    found, _ = served(POINTWISE, lambda body: '<think>{"score": 1}</think>{"score": 5}')
    assert {judgment.value for judgment in found} == {1.0}


def test_pairs_over_http() -> None:
    def prefers_base(body: Body) -> Answer:
        shown = body["messages"][-1]["content"]
        return json.dumps({"reasoning": "", "verdict": "A" if "\nbase\n[[END answer A" in shown else "B"})

    found, bodies = served({"kind": "pairwise", "rubric": "pairwise-preference"}, prefers_base)
    assert {(judgment.preference, judgment.value, judgment.orders) for judgment in found} == {
        ("baseline", 0.0, (("baseline", "baseline"),))
    }
    assert len(bodies) == 6


def test_rewards_over_http() -> None:
    found, bodies = served({"kind": "reward"}, lambda body: [float(len(body["messages"][-1]["content"]))], [Fault.status(503)])
    assert [judgment.raw for judgment in found] == [3.0, 3.0, 5.0]
    assert all(body["use_activation"] is False and "temperature" not in body for body in bodies)


def test_a_chat_model_where_a_reward_model_should_be_is_an_error() -> None:
    found, _ = served({"kind": "reward"}, graded, [Fault.status(404, "The model does not support Classification API")] * 3)
    assert {(judgment.value, judgment.unscored, judgment.errored) for judgment in found} == {(None, "judge-error", True)}


def test_judging_again_from_kept_replies_says_the_same() -> None:
    """What the store does: a judge whose questions are answered by key gives the same judgment, its mode included."""
    kept: dict[str, Any] = {}

    class Keeping:
        def __init__(self, client: Any) -> None:
            self.client = client

        async def ask(self, request: Any) -> Any:
            if request.key not in kept:
                kept[request.key] = await self.client.ask(request)
            return kept[request.key]

    class Nobody:
        async def ask(self, request: Any) -> Any:
            raise AssertionError("asked twice")

    async def main() -> tuple[Judgment, Judgment]:
        async with OpenAIClient(server.url, stream="never") as client:
            first = await judge(POINTWISE).judge(case(), answer("one"), Keeping(client))
        return first, await judge(POINTWISE).judge(case(), answer("one"), Keeping(Nobody()))

    with ScriptedServer(graded, models=("grader-1",)) as server:
        first, second = asyncio.run(main())
    assert first == second
    assert first.mode == "logprob"
