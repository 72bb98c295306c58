"""A suite's judges asked about answers that people labelled and that come with their labels, from whatever system they are.

A judge sees what it sees in a run: a case that the suite knows is the suite's, its prompt that of the candidate who answered
(else the baseline's); of other cases the file's question is all there is. Nothing but the calibration is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from harness.calibration import FAIL, PASS, LabelledCase, Ruling
from harness.cli.judge_models import named, served
from harness.cli.judge_stored import JudgedCases
from harness.cli.jury import Jury
from harness.errors import Fault, IncompleteError, SuiteError, UsageError
from harness.labelfiles import LabelledAnswer, read_answers, read_labels
from harness.model import Case, Client, Judgment, Message, Request, Response
from harness.prompts import render
from harness.suite import Suite
from judges import Judge


@dataclass(frozen=True, slots=True)
class _Asked:
    """An answer as a judge is shown it."""

    case: Case
    response: Response
    messages: tuple[Message, ...] | None


@dataclass(slots=True)
class _Timed:
    """A Client that adds up how long its answers took, in seconds."""

    asker: Client
    seconds: float = 0.0

    async def ask(self, request: Request) -> Response:
        reply = await self.asker.ask(request)
        self.seconds += reply.total_s or 0.0
        return reply


def judged_answers(suite: Suite, labels: Path, *, only: str | None, pass_at: float, logs: Path) -> list[JudgedCases]:
    """Every judge of single answers that a check names (or the one), asked about every labelled answer.

    One JudgedCases for each judge and capability of the suite ('' for cases that it does not know). IncompleteError when a judge
    could not be asked: a calibration without the answers that its server failed at would be of another sample.
    """
    people, answers = read_labels(labels, pass_at=pass_at), read_answers(labels)
    jury, names = named(suite, only)
    singles = [name for name in names if not jury.specs[name].pairwise]
    if people.kind != "pointwise" or not singles:
        what = "these are labels of pairs" if people.kind != "pointwise" else "the suite's judge compares pairs"
        raise UsageError(what, where=str(labels), todo="Judge pairs in a run, and calibrate with --run")
    known = _known(suite, jury, singles)
    asked = {case.id: _asked(suite, known, answers[case.id]) for case in people.cases}
    return asyncio.run(_judged(suite, jury, singles, people.cases, asked, logs))


async def _judged(
    suite: Suite,
    jury: Jury,
    names: Sequence[str],
    cases: Sequence[LabelledCase],
    asked: Mapping[str, _Asked],
    logs: Path,
) -> list[JudgedCases]:
    found: list[JudgedCases] = []
    async with served(suite, jury, names, logs) as asker:
        for name in names:
            judge = jury.judges[name]
            click.echo(f"asking {name} about {len(cases):,} labelled answers", err=True)
            ruled = await asyncio.gather(*(_ruled(judge, asked[case.id], case, asker) for case in cases))
            for capability in dict.fromkeys(asked[case.id].case.capability for case in cases):
                of_it = tuple(case for case in ruled if asked[case.id].case.capability == capability)
                found.append(JudgedCases(name, judge.digest, "pointwise", capability, of_it))
    return found


async def _ruled(judge: Judge, asked: _Asked, case: LabelledCase, asker: Client) -> LabelledCase:
    timed = _Timed(asker)
    said = await judge.judge(asked.case, asked.response, timed, messages=asked.messages)
    if said.errored:
        raise IncompleteError(
            f"the judge could not be asked ({said.explanation})", where=case.id, todo="Run the same command again when it can"
        )
    return replace(case, rulings=(_ruling(said, timed.seconds),), lengths=(len(asked.response.text),))


def _ruling(said: Judgment, seconds: float) -> Ruling:
    verdict = None if said.passed is None else PASS if said.passed else FAIL
    spent = (said.prompt_tokens + said.completion_tokens, seconds) if said.attempts else (None, None)
    return Ruling(verdict, said.value, said.unscored or "", None, *spent)


def _known(suite: Suite, jury: Jury, names: Sequence[str]) -> dict[str, Case]:
    """The cases, of both splits, of the capabilities that ask one of these judges; by id."""
    asking = [capability for capability in suite.capabilities.values() if set(jury.names(capability.name)) & set(names)]
    return {case.id: case for capability in asking for case in capability.all_cases}


def _asked(suite: Suite, known: Mapping[str, Case], answer: LabelledAnswer) -> _Asked:
    response = Response("labelled", answer.response, finish_reason="stop")
    case = known.get(answer.case_id)
    if case is None:
        if answer.input is None:
            what = f"the suite knows no case {answer.case_id!r} that a judge is asked about, and the row has no input"
            raise SuiteError([Fault(answer.where, what, "add the question as `input`, or name a case of the suite")])
        return _Asked(Case(answer.case_id, "", {"input": answer.input}), response, None)
    who = next(name for name in _whose(suite, answer) if name in suite.candidates)
    return _Asked(case, response, render(suite.prompt_for(who, case.capability), case))


def _whose(suite: Suite, answer: LabelledAnswer) -> Iterator[str]:
    yield from (name for name in (answer.candidate, suite.baseline) if name)
    yield from suite.candidates
