"""What a check is made of: the shapes that every file of this folder fills in.

A check is two pure functions and an options model. ``prepare`` makes the expected value ready (parses the reference number,
checks the schema) and refuses what can never work, so a broken reference is found before a model is asked. ``judge`` looks at a
response and never raises for what a model wrote. What is slow or comes from outside (a scorer, a model, a user's file) is made
once by ``setup`` and handed to ``judge`` as ``tool``; without a ``setup`` the tool is the options.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from harness.model import Case, Response


class Options(BaseModel):
    """Base of every check's options: unknown keys are refused, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoOptions(Options):
    """For checks that have none."""


class Absent(Enum):
    """The value of a check that the suite left out; None is a value (JSON null)."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


class Takes(Enum):
    """What a check does with ``value``.

    EXPECTED: what the answer should be: a constant, a template over the case, or (left out) the case's reference.
    OWN: configuration of the check (a schema, a path), taken as it is: never a template, never the reference.
    NOTHING: a value is a mistake.
    """

    EXPECTED = "expected"
    OWN = "own"
    NOTHING = "nothing"


class BadValue(ValueError):
    """A value or reference that this check can never use; the message says what it should be."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found: a value in [0, 1], or None and the reason code (lower case, hyphens) why there is none.

    passed: only of a judge, which knows itself from where an answer passes.
    """

    value: float | None
    explanation: str = ""
    unscored: str | None = None
    passed: bool | None = None


def yes_no(right: bool, explanation: str = "") -> Outcome:
    return Outcome(1.0 if right else 0.0, explanation)


def unscored(reason: str, explanation: str = "") -> Outcome:
    return Outcome(None, explanation, reason)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check looks at. ``text`` is the answer without the thinking. judged: what the suite's judges said of it, by name."""

    text: str
    case: Case
    response: Response
    judged: Mapping[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Example:
    """One line of a check's specification, run as a test: this text (and response fields) gives this value, or this reason.

    A value is compared to 1e-6. ``value`` left out means that the case's reference is used.
    """

    text: str
    expected: float | None
    value: Any = ABSENT
    reference: Any = None
    unscored: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    response: Mapping[str, Any] = field(default_factory=dict)


def keep_value(value: Any, options: Any) -> Any:
    return value


def keep_options(options: Any, value: Any, root: Path) -> Any:
    return options


@dataclass(frozen=True, slots=True)
class CheckType:
    """One kind of check.

    version: raised whenever the same response could get another score; stored with every score. threshold: the value from which
    the check passes, unless the suite says otherwise. judge(seen, expected, tool) -> Outcome. prepare(value, options) ->
    expected, raising BadValue. setup(options, own value, root folder of the suite) -> tool, raising UsageError. suits(expected,
    case, options) raises BadValue when the expected value does not fit the case (a choice that is no option). identity(tool):
    what else decides scores and is not in the suite (the content of a user's file, a library's version), JSON-able, part of the
    scorer's digest.
    """

    name: str
    version: int
    summary: str
    judge: Callable[[Seen, Any, Any], Outcome]
    examples: tuple[Example, ...]
    options: type[Options] = NoOptions
    takes: Takes = Takes.EXPECTED
    threshold: float = 1.0
    prepare: Callable[[Any, Any], Any] = keep_value
    setup: Callable[[Any, Any, Path], Any] = keep_options
    suits: Callable[[Any, Case, Any], object] | None = None
    identity: Callable[[Any], Any] | None = None
