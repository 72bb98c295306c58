"""A lean OpenAI-compatible server in a process of its own: answers after a fixed delay and counts what it was asked.

    python benchmarks/stub.py [--delay SECONDS]     # prints its address; serves until its stdin closes

Written on asyncio's protocols, not on a web framework, so that on a small machine the server takes little of the CPU that the
client under measurement competes for. ``GET /counts`` tells the chat requests so far and the most that were open at once.
It answers "What is A + B?" rightly, except every tenth (by A), in about 10 tokens; streamed, one event for each word.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import threading
from collections.abc import Iterator

QUESTION = re.compile(rb"What is (\d+) \+ (\d+)\?")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STREAMED = re.compile(rb'"stream": ?true')
HEAD = {"id": "chatcmpl-0", "created": 0, "model": "stub"}


class Counts:
    def __init__(self) -> None:
        self.requests = self.open = self.most_open = 0


class Connection(asyncio.Protocol):
    """One keep-alive connection; the clients measured send the next request only when they have the answer."""

    def __init__(self, counts: Counts, delay: float) -> None:
        self.counts, self.delay = counts, delay
        self.received = b""
        self.answering = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.answering:
            self.counts.open -= 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, blank, body = self.received.partition(b"\r\n\r\n")
        if not blank:
            return
        found = LENGTH.search(head)
        if len(body) < (int(found[1]) if found else 0):
            return
        self.received = b""
        if head.startswith(b"POST"):
            self.counts.requests += 1
            self.counts.open += 1
            self.counts.most_open = max(self.counts.most_open, self.counts.open)
            self.answering = True
            asyncio.get_running_loop().call_later(self.delay, self.answer, body)
        elif b"/counts " in head:
            self.send({"requests": self.counts.requests, "most_open": self.counts.most_open})
        else:
            self.send({"object": "list", "data": [{"id": "stub", "object": "model"}]})

    def answer(self, body: bytes) -> None:
        if self.transport.is_closing():
            return
        self.counts.open -= 1
        self.answering = False
        text = answer_to(body)
        usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
        if STREAMED.search(body):
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            self.send_next(events(text, usage))
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        self.send({**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})

    def send_next(self, rest: Iterator[bytes]) -> None:
        """One event a turn of the loop, so that they leave as packets of their own, as a model's tokens do."""
        event = next(rest, None)
        if event is None:
            self.transport.write(b"0\r\n\r\n")
        else:
            self.transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            asyncio.get_running_loop().call_soon(self.send_next, rest)

    def send(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        )


def answer_to(body: bytes) -> str:
    found = QUESTION.search(body)
    if found is None:
        return "I cannot say."
    first, second = int(found[1]), int(found[2])
    return f"{first} and {second} make {first + second + (first % 10 == 0)}"


def events(text: str, usage: object) -> Iterator[bytes]:
    for number, word in enumerate(text.split(" ")):
        delta = {"content": f" {word}" if number else word}
        yield event([{"index": 0, "delta": delta, "finish_reason": None}])
    yield event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    yield event([], usage)
    yield b"data: [DONE]\n\n"


def event(choices: list[object], usage: object = None) -> bytes:
    content = {**HEAD, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + json.dumps(content).encode() + b"\n\n"


async def serve(delay: float) -> None:
    counts = Counts()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(counts, delay), "127.0.0.1", 0, backlog=2048)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.05)
    delay = parser.parse_args().delay
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    asyncio.run(serve(delay))


if __name__ == "__main__":
    main()
