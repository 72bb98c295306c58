"""Messages of ``{"role", "content"}``: how trl, OpenAI and everybody else write turns. No format of its own: shared by those."""

from __future__ import annotations

from typing import Any

from harness.quality.examples import Turn, Turns
from harness.quality.formats.base import ROLES, Unfit, kind_of, learnt

_KNOWN = {"role", "content", "tool_calls", "reasoning_content", "thinking", "weight"}
_ALIASES = {"developer": "system", "function": "tool"}


def read_turns(value: Any, key: str) -> Turns:
    """The turns of a list of messages; Unfit names the message that is none."""
    if not isinstance(value, list):
        raise Unfit("messages", f"{key} is {'missing' if value is None else kind_of(value)}, not a list of messages")
    return tuple(_turn(item, f"{key}[{number}]") for number, item in enumerate(value))


def _turn(item: Any, where: str) -> Turn:
    if not isinstance(item, dict):
        raise Unfit("messages", f"{where} is {kind_of(item)}, not a message")
    role = item.get("role")
    extra: dict[str, Any] = {name: value for name, value in item.items() if name not in _KNOWN}
    if role in _ALIASES:
        extra["role"], role = role, _ALIASES[role]
    if role not in ROLES:
        raise Unfit("role", f"{where} has the role {role!r:.40}, not one of {', '.join(ROLES)}")
    calls = item.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(call, dict) for call in calls):
        raise Unfit("tool-call", f"{where}: tool_calls is a list of calls")
    content = item.get("content")
    if isinstance(content, list):
        extra["content"], content = content, _parts(content, where)
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise Unfit("not-text", f"{where}.content is {'missing' if content is None else kind_of(content)}, not text")
    thinking = item.get("reasoning_content", item.get("thinking"))
    if thinking is not None and not isinstance(thinking, str):
        raise Unfit("not-text", f"{where}: the reasoning is {kind_of(thinking)}, not text")
    weight = item.get("weight")
    if weight is not None and weight not in (0, 1):
        raise Unfit("weight", f"{where}.weight is 0 or 1, not {weight!r:.20}")
    return Turn(role, content, thinking, tuple(calls), None if weight is None else learnt(role, weight), extra)


def _parts(parts: list[Any], where: str) -> str:
    """The words of content that is given in parts; pictures and the like stay in ``extra["content"]`` and add none."""
    texts = []
    for part in parts:
        if not isinstance(part, dict):
            raise Unfit("messages", f"{where}.content holds {kind_of(part)}, not a part with a type")
        if part.get("type") == "text":
            text = part.get("text")
            if not isinstance(text, str):
                raise Unfit("not-text", f"{where}.content holds a text part without text")
            texts.append(text)
    return "\n".join(texts)


def write_turns(turns: Turns) -> list[dict[str, Any]]:
    return [_message(turn) for turn in turns]


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.thinking is not None:
        message["reasoning_content"] = turn.thinking
    if turn.tool_calls:
        message["tool_calls"] = list(turn.tool_calls)
    if turn.learn is not None:
        message["weight"] = int(turn.learn)
    return message | dict(turn.extra)
