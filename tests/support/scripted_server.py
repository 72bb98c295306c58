"""A local OpenAI-compatible server that answers and fails as it is told: for tests and for measuring the client.

In a test, in a thread of the same process::

    with ScriptedServer(answer=lambda body: "42", faults=[Fault.status(500), None, Fault.reset()]) as server:
        ...  # server.url ends in /v1; server.requests lists what was asked, in order of arrival

``faults`` is a list used up one per chat request (None: answer properly) or a callable ``(number from 0, body) -> Fault | None``.
``answer`` maps the request's body to a text, to a dict of message fields (``content``, ``reasoning_content``, ... and
``finish_reason``, ``logprobs``), or to a list of numbers for vLLM's /classify, which counts like a chat request. As a process of
its own, so that its CPU time is not the client's: ``scripted_process``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

Body = dict[str, Any]
Answer = str | dict[str, Any] | list[float]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with one request. Use the constructors below."""

    kind: str  # status | reset | cut | end | hang | body
    code: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    payload: bytes = b""
    content_type: str = "application/json"
    seconds: float = 0.0
    chunks: int = 1

    @staticmethod
    def status(code: int, message: str = "scripted fault", **headers: str) -> Fault:
        """An HTTP error with OpenAI's error body. Headers by keyword: ``retry_after="1"`` becomes ``retry-after: 1``."""
        body = json.dumps({"error": {"message": message, "type": "scripted", "code": code}}).encode()
        return Fault("status", code=code, payload=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    @staticmethod
    def reset() -> Fault:
        """The connection is reset (RST) before any answer."""
        return Fault("reset")

    @staticmethod
    def cut(chunks: int = 1) -> Fault:
        """The answer begins and the connection is reset: after ``chunks`` chunks of a stream, or in the middle of a body."""
        return Fault("cut", chunks=chunks)

    @staticmethod
    def end(chunks: int = 1) -> Fault:
        """A stream that ends properly as HTTP but without finish reason and [DONE] (a proxy gave up)."""
        return Fault("end", chunks=chunks)

    @staticmethod
    def hang(seconds: float = 30.0) -> Fault:
        """No answer for that long (ended early when the server stops)."""
        return Fault("hang", seconds=seconds)

    @staticmethod
    def body(payload: Any, *, code: int = 200, content_type: str = "application/json") -> Fault:
        """A body as given: bytes and str as they are, anything else as JSON. For malformed and surprising answers."""
        raw = (
            payload
            if isinstance(payload, bytes)
            else payload.encode()
            if isinstance(payload, str)
            else json.dumps(payload).encode()
        )
        return Fault("body", code=code, payload=raw, content_type=content_type)


@dataclass(frozen=True)
class Seen:
    """One chat request as it arrived. at: seconds since the server's start."""

    body: Body
    headers: dict[str, str]
    at: float

    @property
    def model(self) -> str:
        return str(self.body.get("model"))

    @property
    def prompt(self) -> str:
        """The last message's text."""
        return str(self.body["messages"][-1]["content"]) if self.body.get("messages") else ""


class ScriptedServer:
    """See the module. ``keep_requests=False`` counts requests (``count``, ``counts`` by model) without keeping them."""

    def __init__(
        self,
        answer: Callable[[Body], Answer] = lambda body: "ok",
        *,
        delay: float = 0.0,
        faults: Sequence[Fault | None] | Callable[[int, Body], Fault | None] = (),
        models: Sequence[str] = ("base",),
        usage: bool = True,
        api_key: str | None = None,
        keep_requests: bool = True,
    ) -> None:
        self.answer, self.delay, self.usage, self.api_key, self.keep = answer, delay, usage, api_key, keep_requests
        self.faults = faults if callable(faults) else list(faults)
        self.models = list(models)
        self.requests: list[Seen] = []
        self.counts: Counter[str] = Counter()
        self.in_flight = self.peak_in_flight = 0
        self.url = ""
        self._started = time.monotonic()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def count(self) -> int:
        """Chat requests that arrived, faults included."""
        return self.counts.total()

    def __enter__(self) -> ScriptedServer:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the scripted server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the server (open connections are dropped), so that a test can see what a dead server does."""
        if self._loop and self._stop and self._thread and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def serve(self, port: int = 0, on_ready: Callable[[str], None] = lambda url: None) -> None:
        """Serves until stop(). Port 0: a free one."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/classify", self._chat)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/counts", self._counts)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", port), backlog=2048)
        await web.SockSite(runner, listener, backlog=2048).start()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        on_ready(self.url)
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _error(401, "invalid api key")
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _counts(self, request: web.Request) -> web.Response:
        return web.json_response({"total": self.count, "peak_in_flight": self.peak_in_flight, **self.counts})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        number = self.count
        self.counts[str(body.get("model"))] += 1
        if self.keep:
            headers = {key.lower(): value for key, value in request.headers.items()}
            self.requests.append(Seen(body, headers, time.monotonic() - self._started))
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        try:
            return await self._respond(request, body, self._fault(number, body))
        finally:
            self.in_flight -= 1

    def _fault(self, number: int, body: Body) -> Fault | None:
        if callable(self.faults):
            return self.faults(number, body)
        return self.faults.pop(0) if self.faults else None

    async def _respond(self, request: web.Request, body: Body, fault: Fault | None) -> web.StreamResponse:
        kind = fault.kind if fault else ""
        if self.delay:
            await asyncio.sleep(self.delay)
        if fault and kind == "hang":
            assert self._stop is not None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), fault.seconds)
        if kind == "reset":
            return _reset(request)
        if fault and kind in ("status", "body"):
            return web.Response(
                status=fault.code, body=fault.payload, headers={"content-type": fault.content_type, **fault.headers}
            )
        if self.api_key and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _error(401, "invalid api key")
        if body.get("model") not in self.models:
            return _error(404, f"The model `{body.get('model')}` does not exist.")
        answer = self.answer(body)
        if isinstance(answer, list):
            row = {"index": 0, "label": None, "probs": answer, "num_classes": len(answer)}
            usage = {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}
            return web.json_response(
                {"id": "classify-0", "object": "list", "model": body["model"], "data": [row], "usage": usage}
            )
        message = dict(answer) if isinstance(answer, dict) else {"content": answer}
        finish = message.pop("finish_reason", "stop")
        logprobs = message.pop("logprobs", None)
        words = len(str(message.get("content") or "").split())
        asked = sum(len(str(m.get("content")).split()) for m in body.get("messages", ()))
        usage = {"prompt_tokens": asked, "completion_tokens": words, "total_tokens": asked + words}
        head = {"id": "chatcmpl-0", "created": 0, "model": body["model"]}
        if body.get("stream"):
            return await self._stream(request, body, fault, head, message, finish, usage, logprobs)
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, "logprobs": logprobs}
        whole = {**head, "object": "chat.completion", "choices": [choice], **({"usage": usage} if self.usage else {})}
        raw = json.dumps(whole).encode()
        if kind == "cut":
            partial = web.StreamResponse(headers={"content-type": "application/json", "content-length": str(len(raw))})
            await partial.prepare(request)
            await partial.write(raw[: len(raw) // 2])
            return _reset(request)
        return web.Response(body=raw, content_type="application/json")

    async def _stream(
        self,
        request: web.Request,
        body: Body,
        fault: Fault | None,
        head: Body,
        message: Body,
        finish: str,
        usage: Body,
        logprobs: Any = None,
    ) -> web.StreamResponse:
        """Server-sent events: one per word and message field, then the finish reason, the usage if asked for, [DONE]."""
        stream = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await stream.prepare(request)

        async def send(choices: list[Body], **more: Any) -> None:
            event = {**head, "object": "chat.completion.chunk", "choices": choices, **more}
            await stream.write(b"data: " + json.dumps(event).encode() + b"\n\n")

        deltas: list[Body] = [{"role": "assistant", "content": ""}]
        for key in sorted(message, key=lambda k: k == "content"):  # the content last, as servers do
            text = message[key]
            pieces = text.split(" ") if isinstance(text, str) else [text]
            deltas += [{key: piece if not i or not isinstance(piece, str) else " " + piece} for i, piece in enumerate(pieces)]
        for sent, delta in enumerate(deltas):
            if fault and fault.kind in ("cut", "end") and sent >= fault.chunks:
                return _reset(request) if fault.kind == "cut" else stream
            told = logprobs if sent == len(deltas) - 1 else None
            await send([{"index": 0, "delta": delta, "finish_reason": None, "logprobs": told}])
        await send([{"index": 0, "delta": {}, "finish_reason": finish}])
        if self.usage and (body.get("stream_options") or {}).get("include_usage"):
            await send([], usage=usage)
        await stream.write(b"data: [DONE]\n\n")
        return stream


def _error(code: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status=code)


def _reset(request: web.Request) -> web.Response:
    """Closes the connection with a RST: linger 0 drops what is unsent."""
    if request.transport is not None:
        sock = request.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


@contextlib.contextmanager
def scripted_process(*, delay: float = 0.0, text: str = "ok", models: Sequence[str] = ("base",)) -> Iterator[str]:
    """The server in a process of its own; yields its URL (ending in /v1). ``GET <host>/counts`` tells what arrived."""
    command = [sys.executable, "-m", "support.scripted_server", "--delay", str(delay), "--text", text, "--models", *models]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    """Prints the URL, serves until stdin closes (so it never outlives the test that started it)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--text", default="ok")
    parser.add_argument("--models", nargs="+", default=["base"])
    options = parser.parse_args()
    server = ScriptedServer(lambda body: options.text, delay=options.delay, models=options.models, keep_requests=False)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    asyncio.run(server.serve(options.port, lambda url: print(url, flush=True)))


if __name__ == "__main__":
    main()
