"""The scripted server is what other tests trust: each of its faults must really happen on the wire."""

from __future__ import annotations

import http.client
import json
import urllib.request
from typing import Any

import pytest
from support.scripted_server import Fault, ScriptedServer, scripted_process


def ask(url: str, *, stream: bool = False, model: str = "base", timeout: float = 5.0) -> bytes:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "two words"}], "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    request = urllib.request.Request(url + "/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        return bytes(answer.read())


def test_answers_logs_and_counts() -> None:
    with ScriptedServer(lambda body: body["model"] + " says hi", models=("base", "sft")) as server:
        reply = json.loads(ask(server.url, model="sft"))
        ask(server.url)
        assert reply["choices"][0]["message"]["content"] == "sft says hi"
        assert reply["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
        assert [seen.model for seen in server.requests] == ["sft", "base"]
        assert server.requests[0].prompt == "two words"
        assert server.count == 2
        with urllib.request.urlopen(server.url + "/models") as models:
            assert [m["id"] for m in json.load(models)["data"]] == ["base", "sft"]


def test_streams_with_usage_and_done() -> None:
    with ScriptedServer(lambda body: {"content": "a b", "reasoning_content": "hm", "finish_reason": "length"}) as server:
        lines = [line[6:] for line in ask(server.url, stream=True).decode().split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    events = [json.loads(line) for line in lines[:-1]]
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    assert "".join(d.get("content", "") for d in deltas) == "a b"
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "hm"
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    assert events[-1]["usage"]["completion_tokens"] == 2


def test_faults_happen_in_order_then_answers_come() -> None:
    faults = [Fault.status(429, "slow down", retry_after="7"), None, Fault.reset(), Fault.cut(), Fault.body("<html>")]
    with ScriptedServer(faults=faults) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask(server.url)
        assert (caught.value.code, caught.value.headers["retry-after"]) == (429, "7")
        ask(server.url)
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            ask(server.url)
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            ask(server.url)
        assert ask(server.url) == b"<html>"
        assert b'"ok"' in ask(server.url)
        assert server.count == 6


def test_streams_can_be_cut_and_requests_can_hang() -> None:
    with ScriptedServer(lambda body: "a b c", faults=[Fault.cut(2), Fault.end(2), Fault.hang(5)]) as server:
        with pytest.raises((ConnectionError, http.client.IncompleteRead)):
            ask(server.url, stream=True)
        ended = ask(server.url, stream=True)
        assert b"[DONE]" not in ended
        assert b'"a"' in ended
        with pytest.raises(TimeoutError):
            ask(server.url, timeout=0.1)


def test_wrong_model_is_404_and_a_stopped_server_is_gone() -> None:
    with ScriptedServer() as server:
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(server.url, model="other")
        server.stop()
        with pytest.raises(urllib.error.URLError):
            ask(server.url)


def test_runs_as_a_process_of_its_own() -> None:
    with scripted_process(text="from afar") as url:
        assert b"from afar" in ask(url)
        with urllib.request.urlopen(url.removesuffix("/v1") + "/counts") as counts:
            assert json.load(counts)["total"] == 1
