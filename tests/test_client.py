"""The client against a server that misbehaves in every way we know of: a failure is a recorded failure, never an exception."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted_server import Fault, ScriptedServer

from harness.client import BACKOFF_CAP_S, BACKOFF_FIRST_S, RETRY_AFTER_CAP_S, STREAM_SHARE, OpenAIClient, backoff, retry_after
from harness.errors import ServeError
from harness.model import Candidate, Case, Message, Request, Response, Sampling

CANDIDATE = Candidate("candidate", "base", "0" * 64)
SECRET = "s3cret-key-value"


def question(text: str = "q", *, sample: int = 0, model: str = "base", **sampling: Any) -> Request:
    candidate = Candidate("candidate", model, "0" * 64)
    return Request(candidate, Case("0" * 16, "cap", {"input": text}), (Message("user", text),), Sampling(**sampling), sample)


class Waits:
    """Stands in for asyncio.sleep: notes what was waited and does not wait."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def ask(server: ScriptedServer, request: Request | None = None, *, waits: Waits | None = None, **options: Any) -> Response:
    async def main() -> Response:
        options.setdefault("stream", "never")
        async with OpenAIClient(server.url, sleep=waits or Waits(), **options) as client:
            return await client.ask(request or question())

    return asyncio.run(main())


def test_asks_as_the_sampling_says_and_reads_the_answer() -> None:
    request = question("two words", sample=2, temperature=0.7, top_p=0.9, max_tokens=9, seed=5, stop=("END",), extra={"top_k": 3})
    with ScriptedServer(lambda body: {"content": "a b c", "finish_reason": "length"}) as server:
        response = ask(server, request)
    body = server.requests[0].body
    assert body == {
        "model": "base", "messages": [{"role": "user", "content": "two words"}], "temperature": 0.7, "top_p": 0.9,
        "max_tokens": 9, "seed": 7, "stop": ["END"], "top_k": 3,
    }  # fmt: skip
    assert (response.key, response.text, response.thinking) == (request.key, "a b c", None)
    assert (response.finish_reason, response.prompt_tokens, response.completion_tokens) == ("length", 2, 3)
    assert (response.error, response.attempts, response.ttft_s) == (None, 1, None)
    assert response.total_s is not None
    assert 0 < response.total_s < 5
    assert abs((response.started_at or 0) - time.time()) < 10


def test_extra_may_drop_a_field_but_not_touch_the_question() -> None:
    extra = {"max_tokens": None, "max_completion_tokens": 4, "model": "x", "messages": [], "stream": True, "n": 5}
    with ScriptedServer() as server:
        assert ask(server, question(extra=extra)).error is None
    body = server.requests[0].body
    assert body["model"] == "base"
    assert body["messages"][0]["content"] == "q"
    assert body["max_completion_tokens"] == 4
    assert not {"max_tokens", "stream", "n"} & set(body)


@pytest.mark.parametrize(
    "fault", [*(Fault.status(code) for code in (408, 409, 429, 500, 502, 503, 529)), Fault.reset(), Fault.cut()]
)
def test_passing_trouble_is_retried(fault: Fault) -> None:
    waits = Waits()
    with ScriptedServer(faults=[fault, fault]) as server:
        response = ask(server, waits=waits)
    assert (response.error, response.text, response.attempts) == (None, "ok", 3)
    assert len({json.dumps(seen.body) for seen in server.requests}) == 1
    assert len(waits.seconds) == 2
    assert all(0 <= wait <= BACKOFF_FIRST_S * 2**i for i, wait in enumerate(waits.seconds))


@pytest.mark.parametrize(("code", "advice"), [(400, ""), (401, "api_key"), (403, "api_key"), (404, "model's name"), (422, "")])
def test_wrong_requests_fail_at_once_with_the_servers_message(code: int, advice: str) -> None:
    with ScriptedServer(faults=[Fault.status(code, "because of reasons")]) as server:
        response = ask(server)
    assert (response.error, response.attempts, server.count) == (f"http-{code}", 1, 1)
    assert "because of reasons" in str(response.error_message)
    assert advice in str(response.error_message)


def test_retries_end() -> None:
    with ScriptedServer(faults=lambda number, body: Fault.status(500, f"down {number}")) as server:
        response = ask(server, retries=2)
    assert (response.error, response.attempts, response.error_message, response.text) == ("http-500", 3, "down 2", "")


@pytest.mark.parametrize(
    ("header", "low"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after_ms": "250"}, 0.25),
        ({"retry_after": "9999"}, RETRY_AFTER_CAP_S),
        ({"retry_after": "soon"}, 0.0),
    ],
)
def test_retry_after_is_honoured_and_capped(header: dict[str, str], low: float) -> None:
    waits = Waits()
    with ScriptedServer(faults=[Fault.status(429, **header)]) as server:
        assert ask(server, waits=waits).attempts == 2
    assert low <= waits.seconds[0] <= low + BACKOFF_FIRST_S


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 90.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:01 GMT"}, 0.0),
        ({"retry-after-ms": "1500", "retry-after": "3"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "Thu, 99 Jan"}, None),
        ({}, None),
    ],
)
def test_retry_after_headers(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after(headers, now=10.0) == expected


@given(st.integers(1, 2000), st.integers(0, 2**32), st.none() | st.floats(0, 1e9))
def test_backoff_is_bounded_and_the_same_for_the_same_seed(attempt: int, seed: int, asked: float | None) -> None:
    wait = backoff(attempt, random.Random(seed), asked)
    assert wait == backoff(attempt, random.Random(seed), asked)
    low = 0.0 if asked is None else min(asked, RETRY_AFTER_CAP_S)
    assert low <= wait <= max(BACKOFF_CAP_S, low + BACKOFF_FIRST_S)


def test_waits_are_seeded_by_the_request() -> None:
    def waited(text: str) -> list[float]:
        waits = Waits()
        with ScriptedServer(faults=[Fault.status(503)] * 3) as server:
            ask(server, question(text), waits=waits)
        return waits.seconds

    assert waited("a") == waited("a") != waited("b")


def test_a_hanging_server_is_a_timeout_per_attempt() -> None:
    with ScriptedServer(faults=[Fault.hang(5), None]) as server:
        assert ask(server, timeout_s=0.15).attempts == 2
    with ScriptedServer(faults=lambda number, body: Fault.hang(5)) as server:
        response = ask(server, timeout_s=0.1, total_timeout_s=5, retries=2)
    assert (response.error, response.attempts) == ("timeout", 3)
    assert "0.1 s" in str(response.error_message)


def test_a_stream_that_stalls_is_a_timeout() -> None:
    async def main() -> Response:
        async def stalled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: ")
            await asyncio.sleep(5)

        server = await asyncio.start_server(stalled, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with OpenAIClient(url, stream="always", timeout_s=0.2, retries=0) as client:
            return await client.ask(question())

    assert asyncio.run(main()).error == "timeout"


def test_the_time_limit_covers_all_attempts_and_waits() -> None:
    async def main(server: ScriptedServer) -> tuple[Response, float]:
        began = time.monotonic()
        async with OpenAIClient(server.url, stream="never", timeout_s=0.2, total_timeout_s=0.3, retries=50) as client:
            return await client.ask(question()), time.monotonic() - began

    with ScriptedServer(faults=lambda number, body: Fault.hang(5)) as server:
        response, took = asyncio.run(main(server))
    assert response.error == "timeout"
    assert took < 0.6
    with ScriptedServer(faults=[Fault.status(429, "come later", retry_after="60")]) as server:
        response, took = asyncio.run(main(server))
    assert (response.error, response.error_message, response.attempts) == ("http-429", "come later", 1)
    assert took < 0.3


def test_no_server_is_a_connection_failure_and_one_that_stops_too() -> None:
    with ScriptedServer() as server:
        server.stop()
        response = ask(server, retries=1)
    assert (response.error, response.attempts) == ("connection", 2)
    assert "127.0.0.1" in str(response.error_message)


GOOD = {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]}
BAD_BODIES: dict[str, Any] = {
    "empty": b"",
    "html": "<html><body>502 from a proxy</body></html>",
    "truncated": json.dumps(GOOD)[:-9],
    "not an object": "[1, 2]",
    "null": "null",
    "no choices": {"choices": []},
    "choices null": {"choices": None},
    "choice a text": {"choices": ["x"]},
    "no message": {"choices": [{"finish_reason": "stop"}]},
    "null content": {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
    "content list": {"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}]},
    "content number": {"choices": [{"message": {"content": 3}}]},
    "error with 200": {"error": {"message": "no GPU left"}},
    "too deep": "[" * 100_000,
    "huge number": '{"choices": ' + "9" * 5000 + "}",
    "not utf-8": b'{"choices": "\xff\xfe"}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("stream", ["never", "always"])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
def test_bodies_that_are_no_answer_are_recorded_as_bad_response(name: str, stream: str, content_type: str) -> None:
    with ScriptedServer(faults=[Fault.body(BAD_BODIES[name], content_type=content_type)]) as server:
        response = ask(server, stream=stream, retries=0)
    broken_stream = stream == "always" and content_type == "text/event-stream" and name == "empty"
    assert response.error == ("incomplete" if broken_stream else "bad-response")
    assert response.text == ""
    assert 0 < len(str(response.error_message)) <= 500
    assert response.attempts == 1


BAD_EVENTS = [
    {"choices": ["x"]},
    {"choices": [{"delta": {"content": ["list"]}, "finish_reason": "stop"}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [{"delta": {"content": None}, "finish_reason": "stop"}]},
    {"choices": [{"delta": "x", "finish_reason": "stop"}]},
]


@pytest.mark.parametrize("event", BAD_EVENTS)
def test_streams_of_bad_events_are_bad_responses(event: Any) -> None:
    payload = f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n"
    with ScriptedServer(faults=[Fault.body(payload, content_type="text/event-stream")]) as server:
        assert ask(server, stream="always").error == "bad-response"


@pytest.mark.parametrize(
    ("code", "error", "attempts"), [(400, "http-400", 1), (500, "incomplete", 2), (None, "incomplete", 2), ("x", "incomplete", 2)]
)
def test_an_error_inside_a_stream(code: Any, error: str, attempts: int) -> None:
    payload = f"data: {json.dumps({'error': {'message': 'engine died', 'code': code}})}\n\n"
    with ScriptedServer(faults=[Fault.body(payload, content_type="text/event-stream")] * 2) as server:
        response = ask(server, stream="always", retries=1)
    assert (response.error, response.attempts) == (error, attempts)
    assert "engine died" in str(response.error_message)


@pytest.mark.parametrize("fault", [Fault.cut(0), Fault.cut(3), Fault.end(0), Fault.end(3)])
def test_streams_that_break_off_are_retried_and_never_half_an_answer(fault: Fault) -> None:
    with ScriptedServer(lambda body: "a b c d", faults=[fault]) as server:
        response = ask(server, stream="always")
        assert (response.error, response.text, response.attempts) == (None, "a b c d", 2)
    with ScriptedServer(lambda body: "a b c d", faults=[fault]) as server:
        response = ask(server, stream="always", retries=0)
        assert response.error in ("incomplete", "connection")
        assert response.text == ""


@pytest.mark.parametrize("text", ["", "a", "one two three", "多字节 文字 😀", "line\n\ndata: [DONE]\n\nend", "\r\n \x00"])
def test_streamed_and_whole_answers_are_the_same(text: str) -> None:
    def answer(body: Any) -> dict[str, Any]:
        return {"content": text, "reasoning_content": "well now", "finish_reason": "stop"}

    with ScriptedServer(answer) as server:
        streamed, whole = ask(server, stream="always"), ask(server, stream="never")
    assert [seen.body.get("stream_options") for seen in server.requests] == [{"include_usage": True}, None]
    for name in ("text", "thinking", "finish_reason", "prompt_tokens", "completion_tokens", "error"):
        assert getattr(streamed, name) == getattr(whole, name), name
    assert streamed.text == text
    assert streamed.thinking == "well now"
    assert streamed.ttft_s is not None
    assert streamed.total_s is not None
    assert 0 < streamed.ttft_s <= streamed.total_s
    assert whole.ttft_s is None


def test_a_sixteenth_is_streamed_and_always_the_same() -> None:
    def streamed() -> list[bool]:
        async def main() -> None:
            async with OpenAIClient(server.url) as client:
                await asyncio.gather(*(client.ask(question(f"q{i}")) for i in range(480)))

        with ScriptedServer() as server:
            asyncio.run(main())
        by_prompt = {seen.prompt: bool(seen.body.get("stream")) for seen in server.requests}
        return [by_prompt[f"q{i}"] for i in range(480)]

    first = streamed()
    assert first == streamed()
    assert 480 / STREAM_SHARE / 2 < sum(first) < 480 / STREAM_SHARE * 2


@pytest.mark.parametrize(
    ("message", "text", "thinking"),
    [
        ({"content": "<think>\nhm\n</think>\n\n42"}, "42", "hm"),
        ({"content": "hm</think>42"}, "42", "hm"),
        ({"content": "<think>never ends"}, "", "never ends"),
        ({"content": "42", "reasoning_content": "hm"}, "42", "hm"),
        ({"content": "42", "reasoning": "hm"}, "42", "hm"),
        ({"content": None, "reasoning": "cut off", "finish_reason": "length"}, "", "cut off"),
        ({"content": "<think>b</think>c", "reasoning_content": "a"}, "c", "a\nb"),
        ({"content": None, "refusal": "I will not"}, "I will not", None),
        ({"content": "42", "reasoning_content": ["odd"]}, "42", None),
    ],
)
def test_thinking_is_split_off(message: dict[str, Any], text: str, thinking: str | None) -> None:
    with ScriptedServer(lambda body: message) as server:
        response = ask(server)
    assert (response.text, response.thinking, response.error) == (text, thinking, None)


def test_thinking_stays_where_it_is_when_turned_off() -> None:
    with ScriptedServer(lambda body: "<think>a</think>b") as server:
        assert ask(server, thinking=None).text == "<think>a</think>b"
        assert ask(server, thinking=("[T]", "[/T]")).text == "<think>a</think>b"


def test_lone_surrogates_are_replaced_both_ways() -> None:
    with ScriptedServer(lambda body: "a\ud800b 😀 \udc00") as server:
        response = ask(server, question("in\udfff"))
        streamed = ask(server, question("in\udfff"), stream="always")
    assert response.text == streamed.text == "a\ufffdb 😀 \ufffd"
    assert server.requests[0].prompt == "in\ufffd"


def test_usage_may_be_missing_or_nonsense() -> None:
    with ScriptedServer(usage=False) as server:
        assert ask(server).completion_tokens is None
        assert ask(server, stream="always").completion_tokens is None
    for usage in ("x", {"prompt_tokens": True, "completion_tokens": -1}, {"completion_tokens": 1e400}, []):
        with ScriptedServer(faults=[Fault.body({**GOOD, "usage": usage})]) as server:
            response = ask(server)
        assert (response.text, response.prompt_tokens, response.completion_tokens) == ("fine", None, None)


def test_secrets_never_show_in_errors_and_messages_are_capped() -> None:
    leak = f"key {SECRET} and other-secret and sk-abcdefgh12345 and Bearer abc.def " + "x" * 2000
    with ScriptedServer(faults=[Fault.status(401, leak)], api_key=SECRET) as server:
        response = ask(server, api_key=SECRET, secrets=["other-secret", ""])
        assert ask(server, api_key=SECRET).error is None
    message = str(response.error_message)
    assert len(message) <= 500
    for part in (SECRET, "other-secret", "sk-abc", "abc.def"):
        assert part not in message
    assert server.requests[1].headers["authorization"] == f"Bearer {SECRET}"


def test_keys_of_the_environment_stay_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("OPENAI_ORG_ID", "my-org")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with ScriptedServer() as server:
        assert ask(server).error is None
    sent = json.dumps(server.requests[0].headers)
    assert "sk-mine" not in sent
    assert "my-org" not in sent


def test_no_more_than_concurrency_are_in_flight() -> None:
    async def main(server: ScriptedServer) -> list[Response]:
        async with OpenAIClient(server.url, concurrency=7, stream="never") as client:
            return await asyncio.gather(*(client.ask(question(f"q{i}")) for i in range(60)))

    with ScriptedServer(lambda body: body["messages"][0]["content"], delay=0.01) as server:
        responses = asyncio.run(main(server))
    assert [response.text for response in responses] == [f"q{i}" for i in range(60)]
    assert 2 <= server.peak_in_flight <= 7


def test_cancelling_is_not_swallowed_and_frees_the_slot() -> None:
    async def main(server: ScriptedServer) -> Response:
        async with OpenAIClient(server.url, concurrency=1, stream="never") as client:
            task = asyncio.create_task(client.ask(question("a")))
            while not server.count:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await client.ask(question("b"))

    with ScriptedServer(faults=[Fault.hang(5)]) as server:
        assert asyncio.run(main(server)).text == "ok"


def probe(url: str, use: Callable[[OpenAIClient], Any]) -> Any:
    async def main() -> Any:
        async with OpenAIClient(url, timeout_s=2) as client:
            return await use(client)

    return asyncio.run(main())


def test_models_are_listed_and_a_wrong_name_says_which_there_are() -> None:
    with ScriptedServer(models=("base", "sft")) as server:
        assert probe(server.url, lambda client: client.list_models()) == ("base", "sft")
        probe(server.url, lambda client: client.require_model("sft"))
        with pytest.raises(ServeError, match=r"no model 'sfd'.*base, sft"):
            probe(server.url, lambda client: client.require_model("sfd"))
        with pytest.raises(ServeError, match="404"):
            probe(server.url + "/v2", lambda client: client.list_models())


def test_an_endpoint_that_is_not_there_or_no_address_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServeError, match=f"http://127.0.0.1:{port}/v1: .*start the server"):
        probe(f"http://127.0.0.1:{port}/v1", lambda client: client.list_models())
    with pytest.raises(ServeError, match="use api_key") as caught:
        OpenAIClient("http://user:hunter22@127.0.0.1:8000/v1")
    assert "hunter22" not in str(caught.value)
    for address in ("127.0.0.1:8000", "file:///etc/passwd", ""):
        with pytest.raises(ServeError, match="not an http"):
            OpenAIClient(address)


ALTERNATIVES = {
    "content": [{"token": t, "logprob": -0.5, "top_logprobs": [{"token": "9", "logprob": -2}]} for t in "0123456789abcdefghij"]
}


@pytest.mark.parametrize("stream", ["never", "always"])
def test_the_last_tokens_log_probabilities_are_kept(stream: str) -> None:
    with ScriptedServer(lambda body: {"content": "yes", "logprobs": ALTERNATIVES}) as server:
        response = ask(server, question(extra={"logprobs": True, "top_logprobs": 2}), stream=stream)
    assert server.requests[0].body["top_logprobs"] == 2
    assert [choice.token for choice in response.tail] == list("456789abcdefghij")
    assert response.tail[-1].top == (("9", -2.0), ("j", -0.5))


def test_a_classifier_is_asked_beside_v1_and_its_numbers_are_the_text() -> None:
    asked = replace(question("q", extra={"use_activation": False}), route="classify")
    with ScriptedServer(lambda body: [-1.25], faults=[Fault.status(503), None]) as server:
        response = ask(server, asked, stream="always")
    assert server.requests[-1].body == {"model": "base", "messages": [{"role": "user", "content": "q"}], "use_activation": False}
    assert (response.text, response.attempts, response.prompt_tokens) == ("[-1.25]", 2, 7)
    assert response.key == asked.key != question("q", extra={"use_activation": False}).key


@pytest.mark.parametrize(
    "payload", [{}, {"data": []}, {"data": [{"probs": []}]}, {"data": [{"probs": [True]}]}, {"data": [{"probs": ["1"]}]}, []]
)
def test_what_a_classifier_should_not_say_is_a_bad_response(payload: Any) -> None:
    with ScriptedServer(faults=[Fault.body(payload)]) as server:
        assert ask(server, replace(question(), route="classify")).error == "bad-response"
