"""Examples to be shown before a question: drawn from a file or a list, never one that gives a case away.

The draw takes those with the smallest hashes, so that no order of rows and no host changes it, and fewer examples are part of
more. A pool that holds a case's own question, be it of the dev or of the gate split, is refused with its line: shown as an
example it would give the answer away, and a good score would mean nothing.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import Fault
from harness.model import Case, digest_of
from harness.rows import BadRow, Rows, read_rows
from harness.suite.spec import ExampleFile

MAX_FAULTS = 20  # of one pool
_SHAPE = "write {input: ..., output: ...}, or {messages: [user, assistant]}"

Source = str | tuple[Any, ...]  # a file relative to the suite's directory, or the examples themselves


def draw(
    source: Source, cases: Iterable[Case], most: int, seed: int, root: Path, where: Callable[[int], str]
) -> tuple[tuple[ExampleFile, ...], list[Fault]]:
    """At most so many different examples, in the order they are shown in. where: line (0: the whole source) -> for people."""
    asked = _Asked.of(cases)
    known: dict[str, ExampleFile] = {}
    faults: list[Fault] = []
    wrong = 0
    for line, found in _entries(source, root):
        if isinstance(found, ExampleFile):
            case = asked.answered_by(found)
            if case is None:
                known.setdefault(digest_of([found.model_extra, found.output]), found)
                continue
            what = f"the example is the question of a case ({case.source}, {case.split} split)"
            found = BadRow(line, what, "take it out of the pool")
        wrong += 1
        if wrong <= MAX_FAULTS:
            faults.append(Fault(where(line), found.what, found.todo))
    if wrong > MAX_FAULTS:
        faults.append(Fault(where(0), f"{wrong - MAX_FAULTS:,} more examples are faulty", "mend the first ones, then look again"))
    order = heapq.nsmallest(most, known, key=lambda digest: hashlib.sha256(f"{seed}\0{digest}".encode()).digest())
    return tuple(known[digest] for digest in order), faults


def _entries(source: Source, root: Path) -> Iterator[tuple[int, ExampleFile | BadRow]]:
    rows: Rows = read_rows(root / source) if isinstance(source, str) else _listed(source)
    for entry in rows:
        yield (entry.line, entry) if isinstance(entry, BadRow) else (entry[0], _example(*entry))


def _listed(rows: Iterable[Any]) -> Rows:
    for number, row in enumerate(rows, 1):
        yield (number, row) if isinstance(row, dict) else BadRow(number, "an example is not a mapping", _SHAPE)


def _example(line: int, row: Mapping[str, Any]) -> ExampleFile | BadRow:
    if "messages" in row:
        turns = _turns(row["messages"])
        if turns is None:
            return BadRow(line, "the example's messages are not one question and its answer", _SHAPE)
        row = {"input": turns[0], "output": turns[1]}
    if "output" not in row:
        return BadRow(line, "the example has no output", _SHAPE)
    try:
        example = ExampleFile.model_validate(row)
        digest_of([example.model_extra, example.output])
    except (ValidationError, ValueError, TypeError, RecursionError):
        return BadRow(line, "the example's output is not text, or a variable of it is nothing that JSON can say", _SHAPE)
    return example


def _turns(turns: Any) -> tuple[str, str] | None:
    """(question, answer) of a chat of one turn each; a system prompt before them is left out: what is tried has its own."""
    if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
        return None
    plain = [(turn.get("role"), turn.get("content")) for turn in turns]
    plain = plain[1:] if plain and plain[0][0] == "system" else plain
    if [role for role, _ in plain] != ["user", "assistant"]:
        return None
    question, answer = (content for _, content in plain)
    return (question, answer) if isinstance(question, str) and isinstance(answer, str) else None


def _folded(value: Any) -> str:
    """Text without case and spacing, anything else as JSON: what counts as the same question."""
    return " ".join(value.casefold().split()) if isinstance(value, str) else digest_of(value)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The questions of cases, by the variables they have."""

    by_shape: Mapping[tuple[str, ...], Mapping[tuple[str, ...], Case]]

    @staticmethod
    def of(cases: Iterable[Case]) -> _Asked:
        found: dict[tuple[str, ...], dict[tuple[str, ...], Case]] = {}
        for case in cases:
            values = case.vars if "messages" not in case.vars else {"input": case.vars["messages"][-1]["content"]}
            shape = tuple(sorted(values))
            found.setdefault(shape, {})[tuple(_folded(values[key]) for key in shape)] = case
        return _Asked(found)

    def answered_by(self, example: ExampleFile) -> Case | None:
        """The case whose question the example is: all variables of the case are the example's, too."""
        have = example.model_extra or {}
        for shape, cases in self.by_shape.items():
            if all(key in have for key in shape) and (case := cases.get(tuple(_folded(have[key]) for key in shape))):
                return case
        return None
