"""LLaMA-Factory's sharegpt: conversations of {from, value}, with function calls; preference and KTO; tags say other names.

As its converter reads them: human and observation stand at odd places, gpt and function_call at even ones, a leading system turn
goes before the system column. Where it skips a row with a line in a log, the row is Unfit here, with the reason.
"""

from __future__ import annotations

import json
from typing import Any

from harness.quality.examples import Example, Kind, Turn, Turns
from harness.quality.formats.base import (
    Format,
    Layout,
    Row,
    Unfit,
    as_chat,
    call_of,
    chat,
    extra_of,
    kind_of,
    merged,
    optional_text,
    split_system,
    tools_of,
    truth_of,
)
from harness.quality.formats.trl import tools_text

_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


def _read(row: Row, layout: Layout) -> Example:
    tags = {name: layout.tag(name, default) for name, default in _TAGS.items()}
    key = layout.column("messages", "conversations")
    kto, chosen, rejected = (layout.column(name, name) for name in ("kto_tag", "chosen", "rejected"))
    ranking = layout.ranking or (isinstance(row.get(chosen), dict) and isinstance(row.get(rejected), dict))
    turns = _turns(row.get(key), key, tags)
    used = {key, layout.column("system", "system"), layout.column("tools", "tools")}
    system = optional_text(row, layout.column("system", "system"))
    if turns and turns[0].role == "system":
        system, turns = turns[0].content, turns[1:]
    _parity(turns, ranking)
    if system:
        turns = (Turn("system", system), *turns)
    tools = tools_of(row.get(layout.column("tools", "tools")))
    if ranking:
        good, bad = (_side(row, chosen, tags),), (_side(row, rejected, tags),)
        extra = extra_of(row, used | {chosen, rejected})
        return Example(Kind.PREFERENCE, prompt=turns, chosen=good, rejected=bad, tools=tools, extra=extra)
    if row.get(kto) is not None:
        extra, label = extra_of(row, used | {kto}), truth_of(row, kto)
        return Example(Kind.UNPAIRED, prompt=turns[:-1], completion=turns[-1:], label=label, tools=tools, extra=extra)
    return Example(Kind.MESSAGES, messages=turns, tools=tools, extra=extra_of(row, used))


def _turns(value: Any, key: str, tags: dict[str, str]) -> Turns:
    if not isinstance(value, list):
        raise Unfit("messages", f"{key} is {'missing' if value is None else kind_of(value)}, not a list of turns")
    return tuple(_turn(item, f"{key}[{number}]", tags) for number, item in enumerate(value))


def _turn(item: Any, where: str, tags: dict[str, str]) -> Turn:
    role_key, content_key = tags["role_tag"], tags["content_tag"]
    if not isinstance(item, dict) or role_key not in item:
        raise Unfit("messages", f"{where} has no {role_key!r}")
    role, content = item[role_key], item.get(content_key)
    if not isinstance(content, str):
        what = "missing" if content is None else kind_of(content)
        raise Unfit("not-text", f"{where}.{content_key} is {what}, not text")
    extra = extra_of(item, {role_key, content_key})
    if role == tags["function_tag"]:
        return Turn("assistant", "", tool_calls=_calls(content, where), extra=extra)
    names = {"user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "system_tag": "system"}
    known = next((name for tag, name in names.items() if tags[tag] == role), None)
    if known is None:
        valid = ", ".join(tags[tag] for tag in (*names, "function_tag"))
        raise Unfit("role", f"{where} has the role {role!r:.40}, not one of {valid}")
    return Turn(known, content, extra=extra)


def _calls(content: str, where: str) -> tuple[Any, ...]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise Unfit("tool-call", f"{where} is a function call that is not JSON: {content[:60]!r}") from None
    return tuple(call_of(call) for call in (value if isinstance(value, list) else [value]))


def _side(row: Row, key: str, tags: dict[str, str]) -> Turn:
    turn = _turn(row.get(key), key, tags)
    if turn.role != "assistant":
        raise Unfit("role", f"{key} is a turn of {turn.role}, not of the assistant")
    return turn


def _parity(turns: Turns, ranking: bool) -> None:
    """LLaMA-Factory's rule: asked and answered in turn, and an answer at the end (but for preferences, whose answers follow)."""
    allowed = (("user", "tool"), ("assistant",))
    for number, turn in enumerate(turns):
        if turn.role not in allowed[number % 2]:
            raise Unfit("role-order", f"turn {number + 1} is of {turn.role}, {' or '.join(allowed[number % 2])} is due")
    if not turns or len(turns) % 2 != (1 if ranking else 0):
        raise Unfit("role-order", "the conversation ends on the wrong side" if turns else "the conversation is empty")


def _write(example: Example, lost: list[str]) -> dict[str, Any]:
    if example.kind is Kind.TEXT:
        raise Unfit("cannot-say", "sharegpt has no documents", "write --to alpaca or trl")
    chat(example.turns, lost)
    system, turns = split_system(as_chat(example.asked, "user"))
    answer = as_chat(example.answer, "assistant")
    row: dict[str, Any] = {}
    if example.kind is Kind.PREFERENCE:
        sides = (answer, as_chat(example.refused, "assistant"))
        if any(len(side) != 1 for side in sides):
            raise Unfit("cannot-say", "sharegpt's chosen and rejected are one turn each")
        row["conversations"] = [_item(turn, lost) for turn in turns]
        row |= {"chosen": _item(sides[0][0], lost), "rejected": _item(sides[1][0], lost)}
    else:
        turns += answer
        row["conversations"] = [_item(turn, lost) for turn in turns]
    _parity(turns, example.kind is Kind.PREFERENCE)
    if example.kind is Kind.UNPAIRED:
        row["kto_tag"] = example.label
    if system:
        row["system"] = system
    if example.tools:
        row["tools"] = tools_text(example.tools)
    return merged(row, example, lost)


def _item(turn: Turn, lost: list[str]) -> dict[str, Any]:
    if turn.thinking is not None or turn.learn is not None:
        lost.append("reasoning and loss weights of single turns have no place in sharegpt")
    if not turn.tool_calls:
        names = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}
        return {"from": names[turn.role], "value": turn.content} | dict(turn.extra)
    if turn.content:
        lost.append("words beside a tool call have no place in sharegpt")
    calls = [{k: call.get("function", call).get(k) for k in ("name", "arguments")} for call in turn.tool_calls]
    if any(set(call) - {"type", "function"} for call in turn.tool_calls):
        lost.append("ids of tool calls have no place in sharegpt")
    value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    return {"from": "function_call", "value": value} | dict(turn.extra)


def _known_by(row: Row) -> str | None:
    for key in ("conversations", "conversation", "messages"):
        turns = row.get(key)
        if isinstance(turns, list) and turns and isinstance(turns[0], dict) and "from" in turns[0]:
            return f"{key} of from + value"
    return None


def _entry(example: Example) -> dict[str, Any]:
    columns = {"messages": "conversations", "system": "system", "tools": "tools"}
    entry: dict[str, Any] = {"formatting": "sharegpt", "columns": columns}
    if example.kind is Kind.PREFERENCE:
        return entry | {"ranking": True, "columns": columns | {"chosen": "chosen", "rejected": "rejected"}}
    return entry | ({"columns": columns | {"kto_tag": "kto_tag"}} if example.kind is Kind.UNPAIRED else {})


FORMATS = (
    Format(
        "sharegpt",
        "LLaMA-Factory sharegpt: conversations of from + value, tool calls, preference, KTO",
        _read,
        _write,
        _known_by,
        _entry,
    ),
)
