"""The nouns of training data: one row as an Example made of Turns, and a row that was dropped with the reason.

An Example says what a row means whatever file it came from; ``raw`` is the row as it was read, so that a filter writes back
exactly what it was given. Two families exist, as in TRL: conversational rows are lists of turns and go through a chat template;
standard rows are plain text that is joined as it stands, so that white space is part of it (role ``text``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

TEXT_ROLE = "text"  # the only role of a standard row


class Kind(StrEnum):
    """What a row teaches. The value is what people read."""

    TEXT = "text"  # a document: every token is learnt
    MESSAGES = "messages"  # a conversation: every assistant turn is learnt
    PROMPT = "prompt"  # a question without an answer
    COMPLETION = "completion"  # prompt, then what is learnt
    PREFERENCE = "preference"  # chosen over rejected, with a prompt or (implicit) with the whole text on both sides
    UNPAIRED = "unpaired"  # prompt, completion, and whether it is a good one (KTO)


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. role: system, user, assistant, tool, or ``text`` in standard rows.

    content: text as written. thinking: reasoning that stands beside the answer. tool_calls: JSON values as TRL writes them,
    ``{"type": "function", "function": {"name", "arguments"}}``. learn: whether the row itself says that this turn is (not)
    learnt; None leaves it to the role. extra: other keys of the message (name, tool_call_id, ...).
    """

    role: str
    content: str
    thinking: str | None = None
    tool_calls: tuple[Any, ...] = ()
    learn: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All words of the turn: content, or else the tool calls as JSON."""
        if self.tool_calls:
            calls = json.dumps(list(self.tool_calls), ensure_ascii=False, sort_keys=True)
            return f"{self.content}\n{calls}" if self.content else calls
        return self.content


Turns = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of training data.

    messages: the whole conversation (kinds text and messages). prompt, completion: kinds prompt, completion, unpaired. prompt,
    chosen, rejected: kind preference; an empty prompt there means that chosen and rejected carry it. A system prompt is the
    first turn. label: kind unpaired only. tools: JSON schemas of functions the assistant may call. source, line: the file and
    the 1-based line (Parquet and data sets: the row's number). extra: columns that no format gives a meaning. raw: the row as
    read.
    """

    kind: Kind
    messages: Turns = ()
    prompt: Turns = ()
    completion: Turns = ()
    chosen: Turns = ()
    rejected: Turns = ()
    label: bool | None = None
    tools: tuple[Any, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def where(self) -> str:
        """``file:line`` for people."""
        return f"{self.source}:{self.line}" if self.line else self.source

    @property
    def standard(self) -> bool:
        """Plain text, to which no chat template is applied and whose white space counts."""
        first = next(iter(self.messages or self.prompt or self.completion or self.chosen or self.rejected), None)
        return first is not None and first.role == TEXT_ROLE

    @property
    def turns(self) -> Turns:
        """Every turn of the row, answers included, in order."""
        return self.messages + self.prompt + self.completion + self.chosen + self.rejected

    @property
    def asked(self) -> Turns:
        """What stands before the answer: the prompt, the turns both sides share, or the conversation without its last answer."""
        if self.kind is Kind.MESSAGES:
            return self.messages[:-1] if self.messages and self.messages[-1].role == "assistant" else self.messages
        if self.kind is Kind.PREFERENCE and not self.prompt and not self.standard:
            return self.chosen[: _shared(self.chosen, self.rejected)]
        return self.prompt

    @property
    def answer(self) -> Turns:
        """What is learnt last: the completion, the chosen side, the last assistant turn, or the document."""
        if self.kind is Kind.MESSAGES:
            return self.messages[-1:] if self.messages and self.messages[-1].role == "assistant" else ()
        if self.kind is Kind.PREFERENCE:
            return self.chosen if self.prompt or self.standard else self.chosen[_shared(self.chosen, self.rejected) :]
        return self.completion or (self.messages if self.kind is Kind.TEXT else ())

    @property
    def refused(self) -> Turns:
        """The rejected side without what both sides share."""
        if self.kind is not Kind.PREFERENCE or self.prompt or self.standard:
            return self.rejected
        return self.rejected[_shared(self.chosen, self.rejected) :]

    @property
    def instruction(self) -> str:
        """The last thing a user said (or the standard prompt, or the document's text): what duplicates and novelty look at."""
        asked = self.asked or (self.messages if self.kind is Kind.TEXT else ())
        said = [turn for turn in asked if turn.role in ("user", TEXT_ROLE)]
        return said[-1].content if said else ""

    @property
    def input_text(self) -> str:
        """All that is asked, system prompt included, one turn after the other."""
        return joined(self.asked)

    @property
    def output_text(self) -> str:
        """The answer's words."""
        return joined(self.answer)

    def with_(self, **changes: Any) -> Example:
        return replace(self, **changes)


def _shared(a: Turns, b: Turns) -> int:
    """Length of the beginning that two conversations share; at least the last turn of each is its answer."""
    size = 0
    for left, right in zip(a[:-1], b[:-1], strict=False):
        if left != right:
            break
        size += 1
    return size


def joined(turns: Turns) -> str:
    return "\n".join(turn.text for turn in turns)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A row that is not used: malformed, of no known shape, or left out by a filter. Nothing is dropped without one of these.

    line 0: the whole source. code: stable, for machines. what, todo: for people. raw: the row, where it could be read at all;
    text: what stands there, where it could not. nearest: ``file:line`` of the row it repeats, where that is the reason, and
    similarity: how much it does, in [0, 1].
    """

    source: str
    line: int
    code: str
    what: str
    todo: str = ""
    raw: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    nearest: str | None = None
    similarity: float | None = None
    text: str = field(default="", compare=False, repr=False)

    @property
    def where(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source

    @classmethod
    def of(
        cls, example: Example, code: str, what: str, *, nearest: str | None = None, similarity: float | None = None
    ) -> Dropped:
        return cls(example.source, example.line, code, what, raw=example.raw, nearest=nearest, similarity=similarity)

    def as_dict(self) -> dict[str, Any]:
        """One line of a file of dropped rows."""
        told = {"source": self.source, "line": self.line, "code": self.code, "reason": self.what}
        more = {"nearest": self.nearest, "similarity": self.similarity, "row": self.raw, "text": self.text or None}
        return told | {key: value for key, value in more.items() if value is not None}


def weight(row: Example | Dropped) -> int:
    """About how many bytes a row takes in memory, all its columns: for whoever holds many. Any nesting."""
    values, found = [*(row.raw or {}).items(), getattr(row, "text", "")], 0
    while values:
        value = values.pop()
        found += 50
        if isinstance(value, str | bytes):
            found += len(value)
        elif isinstance(value, Mapping):
            values += value.items()
        elif isinstance(value, list | tuple):
            values += value
    return found


@dataclass(slots=True)
class Unread:
    """Rows of a file that could not be read: how many, and the first of them as (line, reason)."""

    rows: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, row: Dropped, *, most: int = 5) -> None:
        self.rows += 1
        if len(self.first) < most:
            self.first.append((row.line, row.what))

    def told(self) -> list[dict[str, Any]]:
        return [{"line": line, "reason": reason} for line, reason in self.first]
