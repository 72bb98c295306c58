"""Many checks, one score: compiled once per capability, then applied to each response.

Rules. A response that failed, was cut off (finish reason ``length``) or is empty is not looked at: it is unscored with that
reason, unless the policy says to score it. The score is the weighted mean of the checks (a group counts as one: ``all`` the
lowest, ``any`` the highest of its members); it passes when every check with a weight passes. A check that is unscored makes the
score unscored, for a mean over what is left would measure something else; inside ``any`` it does not matter once another member
has passed.

A judge takes its place among the checks, but asking it takes long and is not done here: whoever scores looks at ``judges``, asks
``unfit`` first (no judge is asked about an answer that is not looked at) and hands in what the judges said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from harness.checks.base import ABSENT, BadValue, CheckType, Options, Outcome, Seen, Takes, unscored
from harness.checks.spec import CheckGroup, CheckSpec, JudgeCheck, Spec, SpecFault, find_type, parse_checks
from harness.checks.texts import printable
from harness.checks.values import is_template, value_of
from harness.errors import Fault, SuiteError
from harness.model import Case, CheckResult, Response, Score, digest_of

COMPOSITE_VERSION = 1  # raised when the rules above change
JUDGE_VERSION = 1  # raised when a judge's word is taken otherwise into a score
NOBODY: Mapping[str, Outcome] = MappingProxyType({})

Policy = Literal["unscored", "score"]


def compile_checks(
    specs: Sequence[Any],
    *,
    score: Literal["mean", "pass"] = "mean",
    on_truncated: Policy = "unscored",
    on_empty: Policy = "unscored",
    root: Path | None = None,
) -> CheckScorer:
    """The scorer of a capability from its checks (models of harness.checks.spec, or the plain data they are made from).

    score: the value is the weighted mean, or 1 / 0 by whether all checks passed. on_truncated, on_empty: whether such responses
    are scored. root: the folder that relative paths start from (the suite's; default the working directory). Raises SuiteError
    with all faults, UsageError for a missing extra or a user's file that cannot be loaded.
    """
    if score not in ("mean", "pass") or on_truncated not in ("unscored", "score") or on_empty not in ("unscored", "score"):
        raise ValueError(f"compile_checks: {score=}, {on_truncated=}, {on_empty=}")
    parsed, faults = parse_checks(specs)
    if faults:
        raise SuiteError([Fault(_where(fault), fault.what, fault.todo) for fault in faults])
    members = tuple(_compile(spec, root or Path()) for spec in parsed)
    return CheckScorer(members, score, on_truncated, on_empty)


def _where(fault: SpecFault) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.path).lstrip(".")


@dataclass(frozen=True)
class CheckScorer:
    """Scores responses of one capability; a harness.model.Scorer. Holds no state between calls, may be used from any thread."""

    members: tuple[_Member, ...]
    mode: str
    on_truncated: str
    on_empty: str

    @cached_property
    def digest(self) -> str:
        """sha256 over rules, checks, versions, options and what they depend on: equal digests give equal scores."""
        rules = [COMPOSITE_VERSION, self.mode, self.on_truncated, self.on_empty]
        return digest_of([rules, [member.identity() for member in self.members]])

    @cached_property
    def judges(self) -> tuple[str, ...]:
        """Names of the judges whose word a score needs, each once."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.judges()))

    def unfit(self, response: Response) -> Score | None:
        """The score of a response that is not looked at; None for one that is."""
        if response.error is not None:
            return Score(None, None, "errored", "the request failed, there is nothing to score")
        if response.finish_reason == "length" and self.on_truncated == "unscored":
            return Score(None, None, "truncated", "the answer was cut off at max_tokens")
        if not response.text.strip() and self.on_empty == "unscored":
            return Score(None, None, "empty", "the answer is empty")
        return None

    def score(self, case: Case, response: Response, judged: Mapping[str, Outcome] = NOBODY) -> Score:
        """judged: what each of ``judges`` said of the response."""
        if (unfit := self.unfit(response)) is not None:
            return unfit
        seen = Seen(response.text, case, response, judged)
        results = [member.apply(seen) for member in self.members]
        parts = tuple(part for result in results for part in result)
        return self._total([result[0] for result in results], parts)

    def faults(self, case: Case) -> tuple[str, ...]:
        """What makes this case impossible to score (a missing or unusable reference, a template that fails), known without a
        response: ask before a model is paid."""
        return tuple(fault for member in self.members for fault in member.faults(case))

    def _total(self, tops: list[CheckResult], parts: tuple[CheckResult, ...]) -> Score:
        deciding = [result for result in tops if result.weight > 0]
        for result in deciding:
            if result.value is None:
                why = f"{result.check}: {result.explanation}" if result.explanation else result.check
                return Score(None, None, result.unscored, why, parts)
        passed = all(result.passed for result in deciding)
        failed = [f"{r.check}: {r.explanation}" if r.explanation else r.check for r in deciding if not r.passed]
        if self.mode == "pass":
            value = 1.0 if passed else 0.0
        else:
            weights = math.fsum(result.weight for result in deciding)
            mean = math.fsum(result.weight * (result.value or 0.0) for result in deciding) / weights
            value = min(1.0, max(0.0, mean))  # the division may miss 1 by one unit in the last place
        return Score(value, passed, None, "; ".join(failed), parts)


@dataclass(frozen=True)
class _Leaf:
    """One check, ready: its tool made, its expected value prepared where it does not depend on the case."""

    spec: CheckSpec
    kind: CheckType
    options: Options
    tool: Any
    expect: Callable[[Case], Any]

    @property
    def label(self) -> str:
        return self.spec.metric or self.spec.type

    @property
    def threshold(self) -> float:
        return self.kind.threshold if self.spec.threshold is None else self.spec.threshold

    def apply(self, seen: Seen) -> tuple[CheckResult, ...]:
        outcome = self._judge(seen)
        value, why = outcome.value, outcome.explanation
        if value is not None and not 0.0 <= value <= 1.0:  # also NaN
            outcome, value = unscored("check-error", f"the value {value} is outside 0..1"), None
            why = outcome.explanation
        if value is None:
            return (CheckResult(self.label, self.kind.version, None, None, why, outcome.unscored, self.spec.weight),)
        passed = value >= self.threshold
        if self.spec.negate:
            value, passed = 1.0 - value, not passed
        return (CheckResult(self.label, self.kind.version, value, passed, why, None, self.spec.weight),)

    def _judge(self, seen: Seen) -> Outcome:
        try:
            return self.kind.judge(seen, self.expect(seen.case), self.tool)
        except BadValue as error:
            return unscored("bad-reference", printable(str(error))[:500])
        except Exception as error:  # a check's bug, or a user's: the run goes on, the response counts as unscored
            return unscored("check-error", printable(f"{type(error).__name__}: {error}")[:500])

    def judges(self) -> tuple[str, ...]:
        return ()

    def faults(self, case: Case) -> tuple[str, ...]:
        try:
            expected = self.expect(case)
            if self.kind.suits is not None:
                self.kind.suits(expected, case, self.options)
        except BadValue as error:
            return (f"{self.label}: {error}",)
        return ()

    def identity(self) -> Any:
        settings = self.spec.model_dump(mode="json") | {"threshold": self.threshold}
        outside = self.kind.identity(self.tool) if self.kind.identity else None
        return [settings, self.spec.given is not ABSENT, self.kind.version, outside]


@dataclass(frozen=True)
class _Judge:
    """A judge's place among the checks. Its own digest is part of whoever asks it, not of this scorer's."""

    spec: JudgeCheck

    @property
    def label(self) -> str:
        return self.spec.label

    def apply(self, seen: Seen) -> tuple[CheckResult, ...]:
        said, weight = seen.judged.get(self.spec.name) or unscored("judge-not-asked"), self.spec.weight
        value = said.value
        if value is None:
            return (CheckResult(self.label, JUDGE_VERSION, None, None, said.explanation, said.unscored, weight),)
        mark = self.spec.threshold
        passed = bool(said.passed) if mark is None else value >= mark
        if self.spec.negate:
            value, passed = 1.0 - value, not passed
        return (CheckResult(self.label, JUDGE_VERSION, value, passed, said.explanation, None, weight),)

    def judges(self) -> tuple[str, ...]:
        return (self.spec.name,)

    def faults(self, case: Case) -> tuple[str, ...]:
        return ()

    def identity(self) -> Any:
        return ["judge", self.spec.name, self.spec.negate, self.spec.threshold, self.spec.weight, self.spec.metric, JUDGE_VERSION]


@dataclass(frozen=True)
class _Group:
    """all or any. Its members are reported after it with weight 0, so that the reported weights always make the mean."""

    spec: CheckGroup
    members: tuple[_Member, ...]

    @property
    def kind(self) -> str:
        return "all" if self.spec.all else "any"

    @property
    def label(self) -> str:
        return self.spec.metric or f"{self.kind}({', '.join(member.label for member in self.members)})"

    def apply(self, seen: Seen) -> tuple[CheckResult, ...]:
        results = [member.apply(seen) for member in self.members]
        tops = [result[0] for result in results]
        parts = tuple(_weightless(part) for result in results for part in result)
        missing = next((top for top in tops if top.value is None), None)
        passes = [bool(top.passed) for top in tops]
        values = [top.value for top in tops if top.value is not None]
        why = "; ".join(f"{top.check}: {top.explanation}" for top in tops if not top.passed and top.explanation)
        if missing is not None and not (self.kind == "any" and any(passes)):
            result = CheckResult(self.label, COMPOSITE_VERSION, None, None, why, missing.unscored, self.spec.weight)
        elif self.kind == "any":
            passed = any(passes)
            result = CheckResult(
                self.label, COMPOSITE_VERSION, max(values), passed, "" if passed else why, None, self.spec.weight
            )
        else:
            result = CheckResult(self.label, COMPOSITE_VERSION, min(values), all(passes), why, None, self.spec.weight)
        return (result, *parts)

    def faults(self, case: Case) -> tuple[str, ...]:
        return tuple(fault for member in self.members for fault in member.faults(case))

    def judges(self) -> tuple[str, ...]:
        return tuple(name for member in self.members for name in member.judges())

    def identity(self) -> Any:
        return [self.kind, self.spec.weight, self.spec.metric, [member.identity() for member in self.members]]


_Member = _Leaf | _Judge | _Group


def _weightless(part: CheckResult) -> CheckResult:
    return CheckResult(part.check, part.version, part.value, part.passed, part.explanation, part.unscored, 0.0)


def _compile(spec: Spec, root: Path) -> _Member:
    if isinstance(spec, JudgeCheck):
        return _Judge(spec)
    if isinstance(spec, CheckGroup):
        return _Group(spec, tuple(_compile(member, root) for member in spec.members))
    kind = find_type(spec.type)
    options = kind.options.model_validate(spec.options)
    tool = kind.setup(options, spec.given, root)
    return _Leaf(spec, kind, options, tool, _expect(spec, kind, options))


def _expect(spec: CheckSpec, kind: CheckType, options: Options) -> Callable[[Case], Any]:
    """case -> expected value, ready for judge. A constant is prepared once, here."""
    if kind.takes is Takes.NOTHING:
        return lambda case: None
    given = spec.given
    constant = kind.takes is Takes.OWN or (given is not ABSENT and not is_template(given))
    if constant:
        ready = kind.prepare(given, options)
        return lambda case: ready
    value, prepare = value_of(given), kind.prepare
    return lambda case: prepare(value(case), options)
