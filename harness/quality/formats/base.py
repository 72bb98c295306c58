"""What a format of training rows is, and what the formats share.

A format is one module of this folder that names it in FORMATS: how a row is read, how an Example is written, how a file of it is
known. A row that cannot be read, or an Example that the format cannot say, raises Unfit: a reason with a stable code, never a
guess. What is written but says less than it did is noted in ``lost``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.quality.examples import Example, Turn, Turns
from harness.rows import json_kind

Row = Mapping[str, Any]
ROLES = ("system", "user", "assistant", "tool")


class Unfit(ValueError):
    """A row that is not of the format, or an Example that the format has no words for."""

    def __init__(self, code: str, what: str, todo: str = "") -> None:
        self.code, self.what, self.todo = code, what, todo
        super().__init__(what)


# Everything that --columns and dataset_info.json may give another name.
COLUMNS = (
    "prompt", "query", "response", "history", "messages", "system", "tools", "images", "videos", "audios", "chosen", "rejected",
    "kto_tag", "completion", "text", "label",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a format finds its parts: logical name -> column or key, as in dataset_info.json.

    columns: prompt, query, response, history, messages, system, tools, chosen, rejected, kto_tag, images, ... tags: role_tag,
    content_tag, user_tag, assistant_tag, observation_tag, function_tag, system_tag. ranking: rows are preferences.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    ranking: bool = False

    def column(self, name: str, default: str) -> str:
        return self.columns.get(name, default)

    def tag(self, name: str, default: str) -> str:
        return self.tags.get(name, default)


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write training rows.

    read(row, layout) -> Example without place and raw. write(example, lost) -> row. known_by(row) -> in words what in the row
    speaks for the format, or None. entry(example): what LLaMA-Factory must be told of such rows (in dataset_info.json), None
    where it does not read them.
    """

    name: str
    summary: str
    read: Callable[[Row, Layout], Example]
    write: Callable[[Example, list[str]], dict[str, Any]]
    known_by: Callable[[Row], str | None]
    entry: Callable[[Example], dict[str, Any]] | None = None


# -- reading ---------------------------------------------------------------------------------------------------------------------


def text_of(row: Row, key: str) -> str:
    """The text under a key; Unfit when it is not text (an object as output, a number)."""
    value = row.get(key)
    if not isinstance(value, str):
        raise not_text(key, value)
    return value


def not_text(key: str, value: Any) -> Unfit:
    what = f"{key} is missing" if value is None else f"{key} is {kind_of(value)}, not text"
    return Unfit("missing" if value is None else "not-text", what, "LLaMA-Factory drops such rows without a word, trl stops")


def kind_of(value: Any) -> str:
    return "a JSON object" if isinstance(value, dict) else f"a JSON {json_kind(value)}"


def optional_text(row: Row, key: str) -> str:
    """The text under a key, empty when it is missing or null."""
    return "" if row.get(key) is None else text_of(row, key)


def truth_of(row: Row, key: str) -> bool:
    value = row.get(key)
    if not isinstance(value, bool):
        raise Unfit("label", f"{key} is {'missing' if value is None else kind_of(value)}, not true or false")
    return value


def tools_of(value: Any) -> tuple[Any, ...]:
    """Tool schemas given as a list or as JSON text of one; empty for null and empty text."""
    if isinstance(value, str):
        if not value.strip():
            return ()
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise Unfit("tools", f"tools is text that is not JSON: {error}") from None
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise Unfit("tools", "tools is a list of JSON schemas, or JSON text of one")
    return tuple(value)


def extra_of(row: Row, used: set[str]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in used}


def call_of(value: Any) -> dict[str, Any]:
    """One tool call in trl's shape from ``{"name", "arguments"}``, its JSON text, or a call that already has the shape."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise Unfit("tool-call", f"a tool call is not JSON: {value[:60]!r}") from None
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise Unfit("tool-call", 'a tool call needs {"name", "arguments"}')
    return {"type": "function", "function": {"name": value["name"], "arguments": value.get("arguments", {})}}


def learnt(role: str, weight: Any) -> bool | None:
    """A loss weight of 0 or 1 as Turn.learn; None where it says what the role says anyway."""
    said = bool(weight)
    return None if said == (role == "assistant") else said


# -- writing ---------------------------------------------------------------------------------------------------------------------


def chat(turns: Turns, lost: list[str]) -> Turns:
    """Turns for a format of conversations: a standard row's text becomes a user's or an assistant's, which is noted."""
    if any(turn.role == "text" for turn in turns):
        lost.append("plain text became chat turns: a chat template will be applied, white space at the ends may be lost")
    return turns


def as_chat(turns: Turns, role: str) -> Turns:
    return tuple(Turn(role, turn.content) if turn.role == "text" else turn for turn in turns)


def split_system(turns: Turns) -> tuple[str, Turns]:
    """The system prompt and the rest."""
    return (turns[0].content, turns[1:]) if turns and turns[0].role == "system" else ("", turns)


def merged(row: dict[str, Any], example: Example, lost: list[str]) -> dict[str, Any]:
    """The row with the extra columns beside it; a column that the format itself uses cannot be kept."""
    for key, value in example.extra.items():
        if key in row:
            lost.append(f"column {key!r} is left out: the format uses that name")
        else:
            row[key] = value
    return row
