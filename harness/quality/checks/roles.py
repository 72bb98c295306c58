"""roles: the turns of a conversation come in an order that a chat template and a trainer can use, and end with an answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row
from harness.quality.examples import Example, Kind, Turns

_BEFORE = {"user": ("assistant", "tool"), "assistant": ("user", "tool"), "tool": ("assistant", "tool")}


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    if example.standard:
        yield from _standard(example)
        return
    whole = example.asked + example.answer
    if not whole:
        yield Found("empty-conversation", "there are no turns")
        return
    yield from _order(whole)
    if example.kind is Kind.PROMPT:
        return
    if not example.answer:
        yield Found("no-answer", f"the conversation ends with a turn of {whole[-1].role}: there is nothing to learn")
    elif not any(turn.content.strip() or turn.tool_calls for turn in example.answer):
        yield Found("empty-answer", "the answer is empty")
    if not any(turn.role == "user" and turn.content.strip() for turn in example.asked):
        yield Found("empty-prompt", "no user says anything before the answer")


def _standard(example: Example) -> Iterator[Found]:
    if example.kind is not Kind.PROMPT and not example.output_text.strip():
        yield Found("empty-answer", "the text to learn is empty")
    if example.kind in (Kind.COMPLETION, Kind.UNPAIRED, Kind.PROMPT) and not example.input_text.strip():
        yield Found("empty-prompt", "the prompt is empty")


def _order(turns: Turns) -> Iterator[Found]:
    """The first place where the order breaks."""
    said = [(number, turn) for number, turn in enumerate(turns) if turn.role != "system" or number]
    if late := next((number for number, turn in said if turn.role == "system"), None):
        yield Found("system-late", f"turn {late + 1} is a system prompt, but not the first turn")
        return
    for (_, before), (number, turn) in pairwise(said):
        if before.role not in _BEFORE[turn.role]:
            yield Found("role-order", f"turn {number + 1} of {turn.role} follows one of {before.role}")
            return
        if turn.role == "tool" and before.role == "assistant" and not before.tool_calls:
            yield Found("tool-uncalled", f"turn {number + 1} is a tool's answer, but no tool was called")
            return
    if said and said[0][1].role != "user":
        yield Found("role-order", f"the first turn is of {said[0][1].role}, not of user")


def _chat(*roles: str, last: str = "yes") -> dict[str, object]:
    turns = [{"role": role, "content": "hi"} for role in roles]
    return {"messages": [*turns[:-1], {"role": roles[-1], "content": last}]}


_CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
_TOOL = {"role": "tool", "content": "3"}

DATA_CHECKS = (
    DataCheckType(
        name="roles",
        version=1,
        summary="Turns are in order (system first, user and assistant in turn), something is asked, the last turn answers it.",
        codes={
            "empty-conversation": (Level.ERROR, "leave the row out"),
            "no-answer": (Level.ERROR, "add the answer, or leave the row out"),
            "empty-answer": (Level.ERROR, "add the answer, or leave the row out"),
            "empty-prompt": (Level.WARNING, "check that the question was not lost"),
            "system-late": (Level.ERROR, "put the system prompt first"),
            "role-order": (Level.ERROR, "merge or drop turns so that user and assistant alternate"),
            "tool-uncalled": (Level.WARNING, "add the tool call that the answer belongs to"),
        },
        start=each_row(_look),
        examples=(
            Sample((_chat("system", "user", "assistant"), _chat("user", "assistant", "user", "assistant"))),
            Sample((_chat("user", "user", "assistant"),), ((1, "role-order"),)),
            Sample((_chat("assistant", "user", "assistant"),), ((1, "role-order"),)),
            Sample((_chat("user", "system", "assistant"),), ((1, "system-late"),)),
            Sample((_chat("user", "assistant", "user"),), ((1, "no-answer"),)),
            Sample((_chat("user", "assistant", last="  \n"),), ((1, "empty-answer"),)),
            Sample(({"messages": []},), ((1, "empty-conversation"),)),
            Sample(({"messages": [{"role": "user", "content": "sum"}, _CALL, _TOOL, _CALL, _TOOL, _CALL]},)),
            Sample(({"messages": [*_chat("user", "assistant")["messages"], _TOOL, _CALL]},), ((1, "tool-uncalled"),)),  # type: ignore[misc]
            Sample(
                ({"prompt": "", "completion": "x"}, {"prompt": "x", "completion": " "}),
                ((1, "empty-prompt"), (2, "empty-answer")),
            ),
            Sample(({"text": "x"}, {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."})),
        ),
    ),
)
