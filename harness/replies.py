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

from harness.model import TokenChoice
from harness.thinking import split_thinking

EXCERPT = 200  # characters of a bad body shown to people
TAIL = 16  # tokens whose log-probabilities are kept: a verdict stands at the end, and all of them would be megabytes
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
    tail: tuple[TokenChoice, ...] = ()


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
    return _reply(message, choice.get("finish_reason"), data.get("usage"), tags, _tail(choice))


def read_classes(body: bytes) -> Reply:
    """The answer of vLLM's /classify to one conversation: its numbers as a JSON list, the reply's text. Raises BadReply."""
    data = _json(body)
    rows = data.get("data")
    numbers = rows[0].get("probs") if isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], Mapping) else None
    if not isinstance(numbers, list) or not numbers or not all(_is_number(number) for number in numbers):
        raise BadReply(f"no numbers of a classifier: {_excerpt(body)}")
    usage = data.get("usage")
    asked = _count(usage.get("prompt_tokens")) if isinstance(usage, Mapping) else None
    return Reply(json.dumps([float(number) for number in numbers]), None, "stop", asked, 0)


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
    _tail: tuple[TokenChoice, ...] = ()

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
        if choice.get("logprobs"):
            self._tail = (*self._tail, *_tail(choice))[-TAIL:]
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
        message = {key: "".join(parts) for key, parts in self._parts.items()}
        return _reply(message, self._finish, self._usage, tags, self._tail)


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


def _tail(choice: Mapping[str, Any]) -> tuple[TokenChoice, ...]:
    """The last tokens with their alternatives; () for log-probabilities that are absent or of another shape: nobody owes them."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(content, list):
        return ()
    found: list[TokenChoice] = []
    for entry in content[-TAIL:]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("token"), str):
            return ()
        listed = entry.get("top_logprobs")
        pairs = [_pair(option) for option in (*(listed if isinstance(listed, list) else ()), entry)]
        found.append(TokenChoice(clean(entry["token"]), tuple(dict(pair for pair in pairs if pair is not None).items())))
    return tuple(found)


def _pair(option: Any) -> tuple[str, float] | None:
    if not isinstance(option, Mapping) or not isinstance(option.get("token"), str) or not _is_number(option.get("logprob")):
        return None
    return clean(option["token"]), float(option["logprob"])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300  # neither NaN nor infinite


def _reply(
    message: Mapping[str, Any], finish: Any, usage: Any, tags: tuple[str, str] | None, tail: tuple[TokenChoice, ...] = ()
) -> Reply:
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
        tail=tail,
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
