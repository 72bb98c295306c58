"""TRL's data sets: text, messages, prompt, prompt-completion, preference (explicit and implicit prompt), unpaired preference.

Strings make a standard row, lists of messages a conversational one; white space of a standard row is part of it. Which of the
shapes a row has is told by its keys, so one format reads and writes them all.
"""

from __future__ import annotations

import json
from typing import Any

from harness.quality.examples import TEXT_ROLE, Example, Kind, Turn, Turns
from harness.quality.formats.base import Format, Layout, Row, Unfit, extra_of, merged, text_of, tools_of, truth_of
from harness.quality.formats.chat_messages import read_turns, write_turns

_SHAPES: tuple[tuple[Kind, tuple[str, ...]], ...] = (  # the first whose keys are all there; the order matters
    (Kind.PREFERENCE, ("prompt", "chosen", "rejected")),
    (Kind.UNPAIRED, ("prompt", "completion", "label")),
    (Kind.COMPLETION, ("prompt", "completion")),
    (Kind.PREFERENCE, ("chosen", "rejected")),
    (Kind.MESSAGES, ("messages",)),
    (Kind.TEXT, ("text",)),
    (Kind.PROMPT, ("prompt",)),
)
_DATA = ("prompt", "completion", "chosen", "rejected", "messages")


def _read(row: Row, layout: Layout) -> Example:
    renamed = {layout.column(name, name): name for name in (*_DATA, "text", "label", "tools")}
    row = {renamed.get(key, key): value for key, value in row.items()} if layout.columns else row
    present = {key for key in row if row[key] is not None}
    kind, keys = next((shape for shape in _SHAPES if present.issuperset(shape[1])), (None, ()))
    if {"prompt", "completions", "labels"} <= present:
        raise Unfit("stepwise", "stepwise supervision (completions, labels) is not read")
    if kind is None:
        raise Unfit("shape", f"no trl shape has the keys {', '.join(map(repr, row)) or '(none)'}", "name --columns or --from")
    if kind is Kind.TEXT:
        parts: dict[str, Any] = {"messages": (Turn(TEXT_ROLE, text_of(row, "text")),)}
    else:
        parts = {key: _side(row, key) for key in keys if key != "label"}
        _same_family(parts)
    if kind is Kind.UNPAIRED:
        parts["label"] = truth_of(row, "label")
    return Example(kind, **parts, tools=tools_of(row.get("tools")), extra=extra_of(row, {*keys, "tools"}))


def _side(row: Row, key: str) -> Turns:
    value = row[key]
    if key != "messages" and isinstance(value, str):
        return (Turn(TEXT_ROLE, value),)
    if key != "messages" and not isinstance(value, list):
        text_of(row, key)  # says what it is instead of text
    return read_turns(value, key)


def _same_family(parts: dict[str, Turns]) -> None:
    kinds = {key: all(turn.role == TEXT_ROLE for turn in turns) for key, turns in parts.items() if turns}
    if len(set(kinds.values())) > 1:
        text = ", ".join(key for key, plain in kinds.items() if plain)
        chat = ", ".join(key for key, plain in kinds.items() if not plain)
        raise Unfit("mixed", f"{text} is text and {chat} a list of messages", "write both as text or both as messages")


def _write(example: Example, lost: list[str]) -> dict[str, Any]:
    row: dict[str, Any]
    if example.kind is Kind.TEXT:
        row = {"text": example.messages[0].content}
    else:
        keys = next(keys for kind, keys in _SHAPES if kind is example.kind)
        if example.kind is Kind.PREFERENCE and not example.prompt:
            keys = ("chosen", "rejected")
        row = {key: _value(getattr(example, key)) for key in keys if key != "label"}
    if example.kind is Kind.UNPAIRED:
        row["label"] = example.label
    if example.tools:
        row["tools"] = list(example.tools)
    return merged(row, example, lost)


def _value(turns: Turns) -> str | list[dict[str, Any]]:
    if turns and turns[0].role == TEXT_ROLE:
        return turns[0].content
    return write_turns(turns)


def _known_by(row: Row) -> str | None:
    for _, keys in _SHAPES:
        if all(row.get(key) is not None for key in keys):
            first = row[keys[0]]
            if keys == ("messages",):
                roles = isinstance(first, list) and first and isinstance(first[0], dict) and "role" in first[0]
                return "messages with a role" if roles else None
            if isinstance(first, str):
                return f"{' + '.join(keys)}, text (standard)"
            if keys != ("text",) and isinstance(first, list) and _has_role(first):
                return f"{' + '.join(keys)}, messages (conversational)"
            return None
    return None


def _has_role(messages: list[Any]) -> bool:
    return not messages or (isinstance(messages[0], dict) and "role" in messages[0])


def tools_text(tools: tuple[Any, ...]) -> str:
    """Tool schemas as the JSON text that LLaMA-Factory and older versions of ``datasets`` want."""
    return json.dumps(list(tools), ensure_ascii=False)


FORMATS = (
    Format(
        "trl",
        "trl: text, messages, prompt-completion, preference, unpaired; standard or conversational",
        _read,
        _write,
        _known_by,
    ),
)
