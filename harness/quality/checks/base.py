"""The parts of a data check: what it is called, what it finds in one row or over all rows, and examples that test it.

A check is one module of this folder that names it in DATA_CHECKS. It looks at one row at a time (``look``), or keeps something
over the rows of a file (``start``); either way a file of any size streams through. Each code it can find has a level and keeps
its meaning: CI counts by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from harness.model import Finding
from harness.quality.examples import Example, Kind, Turn


class Level(StrEnum):
    """error: do not train on this row; warning: look at it; note: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing in the row being looked at: a code of the check, and a sentence that says what and where in the row."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the checks of one pass are told.

    language: what answers should be written in, a code or a script (see checks/language.py). known: digests of texts that must
    not be learnt from (a suite's cases) -> what they are.
    """

    language: str | None = None
    known: Mapping[str, str] = field(default_factory=dict)


class Pass(Protocol):
    """One pass of one check over a file. end(): what only the whole file shows, as findings of row 0."""

    def see(self, example: Example) -> Iterable[Found]: ...

    def end(self) -> Iterable[Found]: ...


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a check's specification, run as a test: these rows (in trl's shapes) give these (row number, code)."""

    rows: tuple[Mapping[str, Any], ...]
    found: tuple[tuple[int, str], ...] = ()
    settings: Settings = field(default_factory=Settings)


@dataclass(frozen=True, slots=True)
class DataCheckType:
    """One kind of data check.

    codes: code -> (level, what to do about it). version: raised whenever the same row could give another finding. wants:
    whether the settings give it something to do.
    """

    name: str
    version: int
    summary: str
    codes: Mapping[str, tuple[Level, str]]
    start: Callable[[Settings], Pass]
    examples: tuple[Sample, ...]
    wants: Callable[[Settings], bool] = lambda settings: True

    def find(self, rows: Iterable[Example], settings: Settings | None = None) -> Iterator[Finding]:
        """Every finding of the rows, numbered by their lines (harness.model.DataCheck)."""
        once = self.start(settings or Settings())
        for example in rows:
            for found in once.see(example):
                yield Finding(example.line, found.code, found.message)
        for found in once.end():
            yield Finding(0, found.code, found.message)


_SIDES = ("messages", "prompt", "completion", "chosen", "rejected")


@dataclass(frozen=True, slots=True)
class _EachRow:
    look: Callable[[Example, Settings], Iterable[Found]]
    settings: Settings

    def see(self, example: Example) -> Iterable[Found]:
        return self.look(example, self.settings)

    def end(self) -> Iterable[Found]:
        return ()


def each_row(look: Callable[[Example, Settings], Iterable[Found]]) -> Callable[[Settings], Pass]:
    """``start`` of a check that remembers nothing."""
    return lambda settings: _EachRow(look, settings)


def parts(example: Example) -> list[tuple[str, Turn]]:
    """(name, turn) of every turn: ``messages[2]``, ``chosen``, ..."""
    named: list[tuple[str, Turn]] = []
    for name in _SIDES:
        if len(turns := getattr(example, name)) == 1:
            named.append((name, turns[0]))
        elif turns:
            named += [(f"{name}[{number}]", turn) for number, turn in enumerate(turns)]
    return named


def hinted(text: str, hints: tuple[str, ...]) -> bool:
    """Whether one of the hints stands in the text: far cheaper to ask than a pattern that matches only where one does."""
    for hint in hints:  # noqa: SIM110 - a generator costs half as much again, for every row
        if hint in text:
            return True
    return False


def learnt_parts(example: Example) -> Iterator[tuple[str, Turn]]:
    """(name, turn) of what is learnt: assistant turns and standard text, without the rejected side and prompts."""
    for name, turn in parts(example):
        if name.startswith("rejected") or (example.kind is Kind.UNPAIRED and example.label is False):
            continue
        if turn.learn is not None:
            if turn.learn:
                yield name, turn
        elif turn.role == "assistant" or (turn.role == "text" and name != "prompt"):
            yield name, turn
