"""Plain messages: ``{"messages": [{"role", "content"}]}``, as OpenAI's fine-tuning and LLaMA-Factory (with tags) read them.

Beside trl's shape of that name it knows LLaMA-Factory's additions: ``label`` (or kto_tag) makes the last turn an unpaired
preference, ``chosen`` and ``rejected`` (one message each) make a preference of which messages is the prompt.
"""

from __future__ import annotations

from typing import Any

from harness.quality.examples import Example, Kind, Turns
from harness.quality.formats.base import (
    Format,
    Layout,
    Row,
    Unfit,
    as_chat,
    chat,
    extra_of,
    merged,
    optional_text,
    tools_of,
    truth_of,
)
from harness.quality.formats.chat_messages import read_turns, write_turns


def _read(row: Row, layout: Layout) -> Example:
    key = layout.column("messages", "messages")
    tools_key, system_key = layout.column("tools", "tools"), layout.column("system", "system")
    turns = read_turns(_named(row.get(key), layout), key)
    used, tools = {key, tools_key}, tools_of(row.get(tools_key))
    if layout.columns.get("system") or "system" in row:
        used.add(system_key)
        system = optional_text(row, system_key)
        if system and not (turns and turns[0].role == "system"):
            turns = (*read_turns([{"role": "system", "content": system}], system_key), *turns)
    chosen, rejected = layout.column("chosen", "chosen"), layout.column("rejected", "rejected")
    if layout.ranking or (row.get(chosen) is not None and row.get(rejected) is not None):
        good, bad = (read_turns(_list(_named(row.get(at), layout)), at) for at in (chosen, rejected))
        extra = extra_of(row, used | {chosen, rejected})
        return Example(Kind.PREFERENCE, prompt=turns, chosen=good, rejected=bad, tools=tools, extra=extra)
    said = layout.columns.get("kto_tag") or next((name for name in ("label", "kto_tag") if row.get(name) is not None), None)
    if said:
        if len(turns) < 2 or turns[-1].role != "assistant":
            raise Unfit("role-order", "a labelled conversation ends with the assistant's turn that is labelled")
        extra, liked = extra_of(row, used | {said}), truth_of(row, said)
        return Example(Kind.UNPAIRED, prompt=turns[:-1], completion=turns[-1:], label=liked, tools=tools, extra=extra)
    return Example(Kind.MESSAGES, messages=turns, tools=tools, extra=extra_of(row, used))


def _list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _named(value: Any, layout: Layout) -> Any:
    """The messages with the layout's tags translated to role, content, user, assistant, ..."""
    if not layout.tags or not isinstance(value, list | dict):
        return value
    if isinstance(value, dict):
        return next(iter(_named([value], layout)))
    role, content = layout.tag("role_tag", "role"), layout.tag("content_tag", "content")
    names = {layout.tag(f"{name}_tag", name): name for name in ("user", "assistant", "system")}
    names[layout.tag("observation_tag", "tool")] = "tool"
    return [_renamed(item, role, content, names) if isinstance(item, dict) else item for item in value]


def _renamed(item: dict[str, Any], role: str, content: str, names: dict[str, str]) -> dict[str, Any]:
    rest = {key: value for key, value in item.items() if key not in (role, content)}
    said = item.get(role)
    return {"role": names.get(said, said) if isinstance(said, str) else said, "content": item.get(content)} | rest


def _write(example: Example, lost: list[str]) -> dict[str, Any]:
    if example.kind is Kind.TEXT:
        raise Unfit("cannot-say", "a document has no turns", "write --to alpaca or trl")
    chat(example.turns, lost)
    asked, answer = as_chat(example.asked, "user"), as_chat(example.answer, "assistant")
    row: dict[str, Any] = {"messages": write_turns(asked if example.kind is Kind.PREFERENCE else asked + answer)}
    if example.kind is Kind.PREFERENCE:
        row |= {"chosen": _one(answer), "rejected": _one(as_chat(example.refused, "assistant"))}
    if example.kind is Kind.UNPAIRED:
        row["label"] = example.label
    if example.tools:
        row["tools"] = list(example.tools)
    return merged(row, example, lost)


def _one(turns: Turns) -> dict[str, Any]:
    if len(turns) != 1:
        raise Unfit("cannot-say", "here chosen and rejected are one message each", "write --to trl")
    return write_turns(turns)[0]


def _known_by(row: Row) -> str | None:
    turns = row.get("messages")
    if not (isinstance(turns, list) and turns and isinstance(turns[0], dict) and "role" in turns[0]):
        return None
    more = "label" in row or "kto_tag" in row or ("chosen" in row and "rejected" in row)
    return "messages with a role" + (" + label" if "label" in row else " + chosen, rejected or kto_tag") if more else None


def _entry(example: Example) -> dict[str, Any]:
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    columns = {"messages": "messages"}
    if example.kind is Kind.PREFERENCE:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
    if example.kind is Kind.UNPAIRED:
        columns["kto_tag"] = "label"
    entry = {"formatting": "sharegpt", "columns": columns, "tags": tags | {"system_tag": "system"}}
    return entry | ({"ranking": True} if example.kind is Kind.PREFERENCE else {})


FORMATS = (
    Format(
        "messages",
        "plain messages of role + content (OpenAI, LLaMA-Factory with tags), label, chosen, rejected",
        _read,
        _write,
        _known_by,
        _entry,
    ),
)
