"""LLaMA-Factory's alpaca: instruction, input, output, history, system; preference with chosen and rejected; KTO with kto_tag.

As its converter reads them: the user's turn is instruction and input joined by a line break, empty parts skipped; the turns of
history come before it and are learnt, too. A row with only ``text`` (or whose only column is the prompt) is a document.
"""

from __future__ import annotations

from typing import Any

from harness.quality.examples import Example, Kind, Turn, Turns
from harness.quality.formats.base import (
    Format,
    Layout,
    Row,
    Unfit,
    as_chat,
    chat,
    extra_of,
    kind_of,
    merged,
    optional_text,
    split_system,
    text_of,
    tools_of,
    truth_of,
)
from harness.quality.formats.trl import tools_text

_DEFAULTS = {
    "prompt": "instruction",
    "query": "input",
    "response": "output",
    "history": "history",
    "system": "system",
    "tools": "tools",
    "chosen": "chosen",
    "rejected": "rejected",
    "kto_tag": "kto_tag",
}


def _read(row: Row, layout: Layout) -> Example:
    column = _DEFAULTS | {name: key for name, key in layout.columns.items() if name in _DEFAULTS}
    if set(layout.columns) == {"prompt"} or (column["prompt"] not in row and "text" in row):
        key = layout.columns.get("prompt", "text")
        return Example(Kind.TEXT, messages=(Turn("text", text_of(row, key)),), extra=extra_of(row, {key}))
    asked = [text_of(row, column["prompt"]), optional_text(row, column["query"])]
    turns = (*_history(row.get(column["history"])), Turn("user", "\n".join(part for part in asked if part)))
    if system := optional_text(row, column["system"]):
        turns = (Turn("system", system), *turns)
    used = {column[name] for name in ("prompt", "query", "history", "system", "tools")}
    tools = tools_of(row.get(column["tools"]))
    if layout.ranking or (row.get(column["chosen"]) is not None and row.get(column["rejected"]) is not None):
        good, bad = ((Turn("assistant", text_of(row, column[name])),) for name in ("chosen", "rejected"))
        extra = extra_of(row, used | {column["chosen"], column["rejected"]})
        return Example(Kind.PREFERENCE, prompt=turns, chosen=good, rejected=bad, tools=tools, extra=extra)
    answer = Turn("assistant", text_of(row, column["response"]))
    used.add(column["response"])
    if row.get(column["kto_tag"]) is not None:
        label = truth_of(row, column["kto_tag"])
        used.add(column["kto_tag"])
        return Example(Kind.UNPAIRED, prompt=turns, completion=(answer,), label=label, tools=tools, extra=extra_of(row, used))
    return Example(Kind.MESSAGES, messages=(*turns, answer), tools=tools, extra=extra_of(row, used))


def _history(value: Any) -> Turns:
    turns: list[Turn] = []
    if value is not None and not isinstance(value, list):
        raise Unfit("history", f"history is {kind_of(value)}, not a list of [question, answer] pairs")
    for pair in value or ():
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise Unfit("history", "history is a list of [question, answer] pairs of text")
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    return tuple(turns)


def _write(example: Example, lost: list[str]) -> dict[str, Any]:
    if example.kind is Kind.TEXT:
        return merged({"text": example.messages[0].content}, example, lost)
    chat(example.turns, lost)
    system, turns = split_system(as_chat(example.asked, "user"))
    if not turns or turns[-1].role != "user":
        raise Unfit("cannot-say", "alpaca needs a question of the user before the answer")
    row: dict[str, Any] = {"instruction": turns[-1].content, "input": ""}
    pairs = list(zip(turns[:-1:2], turns[1:-1:2], strict=False))
    if len(turns) % 2 == 0 or any(a.role != "user" or b.role != "assistant" for a, b in pairs):
        raise Unfit("cannot-say", "alpaca's history knows only user and assistant in turn")
    if example.kind is Kind.PREFERENCE:
        row |= {"chosen": _only(example.answer), "rejected": _only(example.refused)}
    elif example.kind is not Kind.PROMPT:
        row["output"] = _only(example.answer)
    if example.kind is Kind.UNPAIRED:
        row["kto_tag"] = example.label
    if system:
        row["system"] = system
    if pairs:
        row["history"] = [[a.content, b.content] for a, b in pairs]
        if example.kind is not Kind.MESSAGES:
            lost.append("history turns are learnt, too, by LLaMA-Factory unless mask_history is set")
    if example.tools:
        row["tools"] = tools_text(example.tools)
    return merged(row, example, lost)


def _only(turns: Turns) -> str:
    """The text of one plain assistant turn."""
    if len(turns) != 1 or turns[0].role not in ("assistant", "text"):
        raise Unfit("cannot-say", f"alpaca's answer is one assistant turn, this one has {len(turns)}")
    if turns[0].tool_calls or turns[0].thinking is not None:
        raise Unfit("cannot-say", "alpaca has no tool calls and no reasoning")
    return turns[0].content


def _known_by(row: Row) -> str | None:
    if "instruction" in row and ("output" in row or "chosen" in row):
        return "instruction + " + ("output" if "output" in row else "chosen")
    return None


def _entry(example: Example) -> dict[str, Any]:
    if example.kind is Kind.TEXT:
        return {"columns": {"prompt": "text"}}
    columns = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
    if example.kind is Kind.PREFERENCE:
        return {"ranking": True, "columns": columns | {"chosen": "chosen", "rejected": "rejected"}}
    columns["response"] = "output"
    return {"columns": columns | ({"kto_tag": "kto_tag"} if example.kind is Kind.UNPAIRED else {})}


FORMATS = (
    Format(
        "alpaca",
        "LLaMA-Factory alpaca: instruction, input, output, history; chosen, rejected; kto_tag",
        _read,
        _write,
        _known_by,
        _entry,
    ),
)
