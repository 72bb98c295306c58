"""LLaMA-Factory's v1 engine: messages whose content is a list of typed parts, each message with its loss weight.

    {"messages": [{"role": "user", "content": [{"type": "text", "value": "..."}], "loss_weight": 0.0}, ...]}
    {"chosen_messages": [...], "rejected_messages": [...]}

Parts of other types than text, reasoning and tool_call (pictures and the like) are kept as they are and add no words.
"""

from __future__ import annotations

import json
from typing import Any

from harness.quality.examples import Example, Kind, Turn, Turns
from harness.quality.formats.base import (
    ROLES,
    Format,
    Layout,
    Row,
    Unfit,
    as_chat,
    call_of,
    chat,
    extra_of,
    kind_of,
    learnt,
    merged,
    tools_of,
)
from harness.quality.formats.trl import tools_text


def _read(row: Row, layout: Layout) -> Example:
    tools = tools_of(row.get("tools"))
    if "chosen_messages" in row or layout.ranking:
        chosen, rejected = (_turns(row.get(key), key) for key in ("chosen_messages", "rejected_messages"))
        extra = extra_of(row, {"chosen_messages", "rejected_messages", "tools"})
        return Example(Kind.PREFERENCE, chosen=chosen, rejected=rejected, tools=tools, extra=extra)
    turns = _turns(row.get("messages"), "messages")
    return Example(Kind.MESSAGES, messages=turns, tools=tools, extra=extra_of(row, {"messages", "tools"}))


def _turns(value: Any, key: str) -> Turns:
    if not isinstance(value, list):
        raise Unfit("messages", f"{key} is {'missing' if value is None else kind_of(value)}, not a list of messages")
    return tuple(_turn(item, f"{key}[{number}]") for number, item in enumerate(value))


def _turn(item: Any, where: str) -> Turn:
    if not isinstance(item, dict) or item.get("role") not in ROLES:
        raise Unfit("role", f"{where} has no role of {', '.join(ROLES)}")
    parts = item.get("content")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise Unfit("messages", f"{where}.content is not a list of parts")
    said: dict[str, list[str]] = {"text": [], "reasoning": [], "tool_call": []}
    for part in parts:
        if part.get("type") in said:
            if not isinstance(part.get("value"), str):
                raise Unfit("not-text", f"{where}: a part's value is {kind_of(part.get('value'))}, not text")
            said[part["type"]].append(part["value"])
    weight = item.get("loss_weight")
    extra = extra_of(item, {"role", "content", "loss_weight"})
    if weight is not None and weight not in (0, 1):
        extra["loss_weight"] = weight
    plain = all(part.get("type") in said and set(part) == {"type", "value"} for part in parts)
    if not plain or len(said["text"]) > 1 or len(said["reasoning"]) > 1:
        extra["parts"] = parts
    return Turn(
        item["role"],
        "\n".join(said["text"]),
        "\n".join(said["reasoning"]) if said["reasoning"] else None,
        tuple(call_of(call) for call in said["tool_call"]),
        None if weight is None else learnt(item["role"], weight),
        extra,
    )


def _write(example: Example, lost: list[str]) -> dict[str, Any]:
    if example.kind in (Kind.TEXT, Kind.UNPAIRED):
        raise Unfit("cannot-say", f"the v1 engine has no rows of kind {example.kind}", "write --to alpaca, sharegpt or trl")
    chat(example.turns, lost)
    asked, answer = as_chat(example.asked, "user"), as_chat(example.answer, "assistant")
    if example.kind is Kind.PREFERENCE:
        refused = as_chat(example.refused, "assistant")
        sides = {"chosen_messages": asked + answer, "rejected_messages": asked + refused}
        row: dict[str, Any] = {key: [_item(turn) for turn in turns] for key, turns in sides.items()}
    else:
        row = {"messages": [_item(turn) for turn in asked + answer]}
    if example.tools:
        row["tools"] = tools_text(example.tools)
    return merged(row, example, lost)


def _item(turn: Turn) -> dict[str, Any]:
    extra = dict(turn.extra)
    parts = extra.pop("parts", None)
    if parts is None:
        parts = [{"type": "reasoning", "value": turn.thinking}] if turn.thinking is not None else []
        if turn.content or not turn.tool_calls:
            parts.append({"type": "text", "value": turn.content})
        calls = [call.get("function", call) for call in turn.tool_calls]
        parts += [{"type": "tool_call", "value": json.dumps(call, ensure_ascii=False)} for call in calls]
    learn = turn.role == "assistant" if turn.learn is None else turn.learn
    return {"role": turn.role, "content": parts, "loss_weight": float(learn)} | extra


def _known_by(row: Row) -> str | None:
    for key in ("chosen_messages", "messages"):
        turns = row.get(key)
        if isinstance(turns, list) and turns and isinstance(turns[0], dict) and isinstance(turns[0].get("content"), list):
            parts = turns[0]["content"]
            if parts and isinstance(parts[0], dict) and "value" in parts[0]:
                return f"{key} of typed parts with a value"
    return None


FORMATS = (
    Format(
        "v1",
        "LLaMA-Factory v1: messages of typed parts with loss weights; chosen_messages, rejected_messages",
        _read,
        _write,
        _known_by,
    ),
)
