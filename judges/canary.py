"""Answers of known quality, judged in every run: a judge that moves (a new version behind the same name, a server that cuts
prompts, a prompt that no longer fits) shows there before it shows in a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from harness.model import CanaryResult, Case, Client, Judgment, Response
from judges.base import Judge
from judges.rubric import CanaryFile


async def judge_canaries(judge: Judge, asker: Client) -> tuple[CanaryResult, ...]:
    """Every canary of the judge, and of the members of a panel."""
    found = await asyncio.gather(*(_judge(one, canary, asker) for one in with_members(judge) for canary in one.spec.canaries))
    return tuple(found)


def with_members(judge: Judge) -> Iterator[Judge]:
    """The judge and, of a panel, everybody who sits on it, however deep."""
    yield judge
    for member in getattr(judge, "members", ()):
        yield from with_members(member)


def drifted(results: Sequence[CanaryResult]) -> tuple[CanaryResult, ...]:
    """Those that a person should look at: outside of their range, or not judged at all."""
    return tuple(result for result in results if result.state != "held")


def canary_case(canary: CanaryFile) -> tuple[Case, Response, Response | None]:
    """The canary as what a judge judges: its case (id ``canary:ID``), its answer, and the other answer of a pair."""
    case = Case(f"canary:{canary.id}", "canary", {"input": canary.input}, canary.reference)
    baseline = Response("canary", canary.baseline) if canary.baseline is not None else None
    return case, Response("canary", canary.response), baseline


async def _judge(judge: Judge, canary: CanaryFile, asker: Client) -> CanaryResult:
    case, response, baseline = canary_case(canary)
    judgment = await judge.judge(case, response, asker, baseline=baseline)
    state, text = _state(canary, judgment)
    return CanaryResult(judge.spec.name, canary.id, canary.low, canary.high, state, judgment, text)


def _state(canary: CanaryFile, judgment: Judgment) -> tuple[str, str]:
    name = f"canary {canary.id!r} of judge {judgment.judge!r}"
    if judgment.value is None:
        return "unscored", f"{name} got no verdict ({judgment.unscored})"
    shown = f"{name}: {judgment.value:.2f}, expected {canary.low:.2f} to {canary.high:.2f}"
    inside = canary.low - 1e-9 <= judgment.value <= canary.high + 1e-9
    return ("held" if inside else "drifted"), shown
