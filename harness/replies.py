"""Reads what an OpenAI-compatible server sent back: whole bodies, streamed events, error bodies. Pure functions of bytes.

A server's answer is hostile input like any other: every shape that is not an answer raises BadReply with a reason, never anything
else. Built on json alone: the client's own models cost more time than the request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.thinking import split_thinking

EXCERPT = 200  # characters of a bad body shown to people
_SURROGATE = re.compile("[\ud800-\udfff]")


class BadReply(Exception):
    """The server answered with something that is not an answer. The message says what it was."""


class StreamError(Exception):
    """The server sent an error event in the middle of a stream. status: its HTTP-like code, or None."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, read. Token counts are None where the server did not tell."""

    text: str
    thinking: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


def clean(text: str) -> str:
    """Lone surrogates become U+FFFD (they cannot be stored as UTF-8); halves that a stream tore apart are joined again."""
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def read_reply(body: bytes, tags: tuple[str, str] | None) -> Reply:
    """A whole chat completion. Raises BadReply."""
    data = _json(body)
    choice = _choice(data)
    if choice is None:
        raise BadReply("no choices in the answer")
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise BadReply("the answer's choice has no message")
    return _reply(message, choice.get("finish_reason"), data.get("usage"), tags)


@dataclass(slots=True)
class StreamReader:
    """Collects the events of one streamed chat completion.

    begun: a piece of text or thinking has arrived. complete: the finish reason or [DONE] has.
    """

    begun: bool = False
    complete: bool = False
    _parts: dict[str, list[str]] = field(default_factory=dict)
    _finish: Any = None
    _usage: Any = None
    _rest: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes, however they are cut. Raises BadReply or StreamError."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"data:"):
                self._event(line[5:].strip())
            elif not line.startswith((b":", b"event:", b"id:", b"retry:")) and line.strip():
                raise BadReply(f"not a stream of events: {_excerpt(line)}")

    def _event(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self.complete = True
            return
        data = _json(payload, in_stream=True)
        if data.get("usage"):
            self._usage = data["usage"]
        choice = _choice(data)
        if choice is None:
            return
        delta = choice.get("delta")
        for key in ("content", "reasoning_content", "reasoning", "refusal"):
            piece = delta.get(key) if isinstance(delta, Mapping) else None
            if piece is None:
                continue
            if not isinstance(piece, str):
                raise BadReply(f"the stream's {key} is a {type(piece).__name__}, not a text")
            self._parts.setdefault(key, []).append(piece)
            self.begun = self.begun or bool(piece)
        if choice.get("finish_reason"):
            self._finish, self.complete = choice["finish_reason"], True

    def reply(self, tags: tuple[str, str] | None) -> Reply:
        """The answer, once the bytes have ended. Raises BadReply, and StreamError when they ended before the answer did."""
        torn = self._rest.startswith(b"data:")  # then the last event may lack its end, which is no fault of its own
        try:
            self.feed(b"\n")
        except BadReply:
            if not torn:
                raise
        if not self.complete:
            raise StreamError("it ended before the answer did", None)
        return _reply({key: "".join(parts) for key, parts in self._parts.items()}, self._finish, self._usage, tags)


def error_text(body: bytes) -> str:
    """The message in an error body, whatever its shape; the body's beginning when it has none."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return _excerpt(body)
    return _message_of(data) or _excerpt(body)


def _json(body: bytes, *, in_stream: bool = False) -> Mapping[str, Any]:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise BadReply(f"not JSON: {_excerpt(body)}") from None
    if not isinstance(data, Mapping):
        raise BadReply(f"JSON, but not an object: {_excerpt(body)}")
    if data.get("error") and not data.get("choices"):
        message = _message_of(data) or _excerpt(body)
        if in_stream:
            error = data["error"]
            code = error.get("code") if isinstance(error, Mapping) else None
            raise StreamError(message, code if isinstance(code, int) else None)
        raise BadReply(f"an error with status 200: {message}")
    return data


def _choice(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        return None
    if not isinstance(choices[0], Mapping):
        raise BadReply("the answer's choice is not an object")
    return choices[0]


def _reply(message: Mapping[str, Any], finish: Any, usage: Any, tags: tuple[str, str] | None) -> Reply:
    content = message.get("content")
    thought = message.get("reasoning_content") or message.get("reasoning")
    thought = thought if isinstance(thought, str) else None
    if content is None:
        refusal = message.get("refusal")
        if not thought and not (isinstance(refusal, str) and refusal):
            raise BadReply(f"the answer has no content (finish reason {finish!r})")
        content = refusal if isinstance(refusal, str) else ""  # only thinking: the token limit came before the answer
    if not isinstance(content, str):
        raise BadReply(f"the answer's content is a {type(content).__name__}, not a text")
    text, tagged = split_thinking(clean(content), tags)
    parts = [part for part in (clean(thought) if thought else None, tagged) if part is not None]
    counts = usage if isinstance(usage, Mapping) else {}
    return Reply(
        text=text,
        thinking="\n".join(parts) if parts else None,
        finish_reason=clean(finish)[:40] if isinstance(finish, str) else None,
        prompt_tokens=_count(counts.get("prompt_tokens")),
        completion_tokens=_count(counts.get("completion_tokens")),
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _message_of(data: Any) -> str | None:
    """OpenAI: {"error": {"message"}}; FastAPI: {"detail"}; others: {"message"} or {"error": text}."""
    if not isinstance(data, Mapping):
        return None
    inner = data.get("error")
    found = inner.get("message") if isinstance(inner, Mapping) else inner
    found = found or data.get("message") or data.get("detail")
    return found if isinstance(found, str) else json.dumps(found)[:EXCERPT] if found else None


def _excerpt(body: bytes) -> str:
    text = " ".join(body[: 4 * EXCERPT].decode("utf-8", "replace").split())
    return repr(text[:EXCERPT]) if text else "an empty body"
