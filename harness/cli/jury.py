"""The suite's judges, from options to something that can be asked: checked, bound, described for the store, dry or at work.

Everything of a command that knows the package judges is here; it is imported only where a suite has judges.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness.checks import CheckScorer, SpecFault, judges_of
from harness.client import OpenAIClient
from harness.errors import HarnessError
from harness.judged import BaselineAnswers, Batched, Desk, Itself, JudgedScorer, Others, Tab
from harness.model import CanaryResult, Candidate, Case, Request, Response, Sampling
from harness.plugs import nearest
from harness.runner import Plan
from harness.serving.fleet import Fleet
from harness.serving.identity import DigestCache, identify
from harness.store import RunWriter, Store
from harness.store.rows import plain
from harness.suite import Capability, Suite
from harness.suite.judges import weighty
from harness.suite.spec import CandidateFile, SuiteFile
from judges import Judge, JudgeSpec, build_all
from judges.canary import judge_canaries, with_members

CANARY = Case("canary", "canary", {})
LOOKUP = 500  # answers looked at together


def faults(spec: SuiteFile, capabilities: Mapping[str, Capability], root: Path) -> Iterator[SpecFault]:
    """What is wrong with a suite's judges and how its capabilities use them; a harness.suite.judges.JudgeFaults."""
    specs, found = build_all(spec.judges, root=root)
    yield from (SpecFault(("judges", *fault.path), fault.what, fault.todo) for fault in found)
    known = list(spec.candidates)
    for name, judge in specs.items():
        for model in judge.models.values():
            if isinstance(model, str) and model not in known:
                what = f"the judge's model {model!r} is no candidate of this suite"
                todo = f"{nearest(model, known)}; or write `model: {{model: ..., endpoint: ...}}`"
                yield SpecFault(("judges", name, "model"), what, todo)
    for capability in capabilities.values():
        yield from _pairwise_faults(capability, specs, sequential=spec.gate.sequential)
        yield from _case_faults(capability, specs)
    yield from _matrix_faults(spec, capabilities, specs)


def _matrix_faults(
    spec: SuiteFile, capabilities: Mapping[str, Capability], specs: Mapping[str, JudgeSpec]
) -> Iterator[SpecFault]:
    """A matrix whose pairwise judges would have nobody to compare its combinations with."""
    matrix = spec.matrix
    if matrix is None or spec.baseline in (matrix.candidates or spec.candidates):
        return
    for name, capability in capabilities.items():
        for _, check in judges_of(capability.checks, ()):
            if check.name in specs and specs[check.name].pairwise:
                what = f"the pairwise judge {check.name!r} of {name!r} compares with the baseline, which the matrix does not try"
                tried = f"set baseline to one of {', '.join(matrix.candidates or spec.candidates)}"
                todo = f"add {spec.baseline!r} to them" if spec.baseline in spec.candidates else tried
                yield SpecFault(("matrix", "candidates") if matrix.candidates else ("matrix",), what, todo)
                return


def _case_faults(capability: Capability, specs: Mapping[str, JudgeSpec]) -> Iterator[SpecFault]:
    """Cases that a judge can never judge, the first of them by its place and the others counted."""
    for path, check in judges_of(capability.checks, ("capabilities", capability.name, "checks")):
        if check.name not in specs:
            continue
        lacking = [(case, what) for case in capability.cases if (what := specs[check.name].fault(case))]
        if lacking:
            case, what = lacking[0]
            count = f"{len(lacking):,} of {len(capability.cases):,} cases cannot be judged by {check.name!r}"
            yield SpecFault(path, f"{count}; {case.source or case.id}: {what}", "give the cases what the judge needs")


def _pairwise_faults(capability: Capability, specs: Mapping[str, JudgeSpec], *, sequential: bool) -> Iterator[SpecFault]:
    """A comparison of two answers is a score of both at once: it stands alone, and needs the other answer to be there."""
    deciding = [check for check in capability.checks if check.weight > 0]
    for path, check in judges_of(capability.checks, ("capabilities", capability.name, "checks")):
        if check.name not in specs or not specs[check.name].pairwise:
            continue
        if sequential:
            what = f"the pairwise judge {check.name!r} needs the baseline's answers, which a sequential gate asks for meanwhile"
            yield SpecFault(path, what, "set gate.sequential to false, or take a judge of single answers")
        if len(path) > 4 or (check.weight > 0 and len(deciding) > 1) or capability.score != "mean":
            what = f"the pairwise judge {check.name!r} compares two answers, which cannot be averaged with checks of one"
            yield SpecFault(path, what, "give it a capability of its own, or the other checks `weight: 0`")


@dataclass(frozen=True)
class Jury:
    """A suite's judges, bound to their models. specs, judges: by name, those that some check names. models: key -> who it is."""

    suite: Suite
    specs: Mapping[str, JudgeSpec]
    judges: Mapping[str, Judge]
    models: Mapping[str, Candidate]
    keys: Mapping[str, str | None] = field(repr=False)  # the model's key -> its api key

    def names(self, capability: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(check.name for _, check in judges_of(self.suite.capabilities[capability].checks)))

    def pairwise(self, capability: str) -> frozenset[str]:
        return frozenset(name for name in self.names(capability) if self.specs[name].pairwise)

    def scorer(self, checks: CheckScorer, capability: str, desk: Desk, others: Others) -> JudgedScorer:
        judges = {name: self.judges[name] for name in checks.judges}
        return JudgedScorer(checks, judges, self.pairwise(capability), desk, others)

    def models_of(self, name: str) -> list[Candidate]:
        return [self.models[key] for key in self.specs[name].models]

    def described(self) -> dict[str, Any]:
        """What a stored run keeps of its judges: who they are and whose scores they make."""
        suite = self.suite
        return {
            "judges": {name: self._about(name) for name in self.specs},
            "capabilities": {name: list(found) for name in suite.capabilities if (found := self.names(name))},
            "deciding": {name: list(found) for name, item in suite.capabilities.items() if (found := weighty(item))},
            "pairwise": [name for name in suite.capabilities if self.pairwise(name)],
        }

    def _about(self, name: str) -> dict[str, Any]:
        spec = self.specs[name]
        models = self.models_of(name)
        return {
            "digest": self.judges[name].digest,
            "kind": spec.kind.name,
            "pairwise": spec.pairwise,
            "models": [{"name": model.name, "model": model.base or model.model, "digest": model.digest} for model in models],
            "rubric": spec.rubric.name if spec.rubric else None,
            "members": [member.spec.name for member in with_members(self.judges[name])][1:],
            "asks": [asks for one in with_members(self.judges[name]) if (asks := _asks(one.spec))],
        }


def _asks(spec: JudgeSpec) -> dict[str, Any] | None:
    """What a judge is told to look at, so that people who label can look at the same; None where there is no rubric."""
    if spec.rubric is None:
        return None
    file = spec.rubric.file
    anchors = file.scale.anchors if file.scale else {}
    lines = [f"{criterion.name}: {criterion.text}" for criterion in file.criteria]
    lines += [item.question for item in file.items]
    lines += [f"{verdict}: {anchors[verdict]}" for verdict in sorted(anchors, key=int)]
    return {"task": file.task, "lines": lines}


def convene(suite: Suite, cache: DigestCache) -> Jury | None:
    """The judges that the suite's checks name; None where there are none. Faults were told when the suite was loaded."""
    wanted = {check.name for item in suite.capabilities.values() for _, check in judges_of(item.checks)}
    if not wanted:
        return None
    built, _ = build_all(suite.judges, root=suite.root)
    specs = {name: spec for name, spec in built.items() if name in wanted}
    models: dict[str, Candidate] = {}
    keys: dict[str, str | None] = {}
    for name, spec in specs.items():
        for key, written in spec.models.items():
            models[key], keys[key] = _identify(suite, name, key, written, cache)
    judges = {name: spec.bind(models) for name, spec in specs.items()}
    return Jury(suite, specs, judges, models, keys)


def _identify(
    suite: Suite, judge: str, key: str, written: str | CandidateFile, cache: DigestCache
) -> tuple[Candidate, str | None]:
    """written: a candidate's name, or a model of the judge's own."""
    found = suite.candidates[written] if isinstance(written, str) else written
    secret = found.api_key.get_secret_value() if found.api_key else None
    try:
        candidate = identify(
            key,
            found.model,
            root=suite.root,
            adapter=found.adapter,
            revision=found.revision,
            endpoint=found.endpoint,
            cache=cache,
        )
    except HarnessError as error:
        raise type(error)(error.what, where=f"{suite.path}: judge {judge}: {error.where}", todo=error.todo) from error
    return candidate, secret


def others_for(store: Store, plan: Plan, baseline_id: str | None) -> Others:
    """What a run's answers are compared with: the baseline's, or nothing where the run is the baseline or there is none."""
    return Itself() if baseline_id is None or baseline_id == plan.run_id else BaselineAnswers(store, baseline_id)


def client_of(jury: Jury, key: str, url: str) -> OpenAIClient:
    """Asks one of the jury's models, which is served there; within the limits that the suite sets to judging."""
    judging = jury.suite.judging
    return OpenAIClient(
        url,
        api_key=jury.keys[key],
        concurrency=judging.concurrency,
        timeout_s=judging.timeout_s,
        retries=judging.retries,
        stream="never",
        secrets=jury.suite.secrets(),
    )


@contextlib.asynccontextmanager
async def at_work(jury: Jury, store: Store, fleet: Fleet) -> AsyncIterator[Desk]:
    """The desk that judges' questions go to. Models that are neither endpoints nor in the fleet have no client: nothing is to be
    asked of them. Whether an endpoint is there is found out before its first question."""
    async with contextlib.AsyncExitStack() as stack:
        clients: dict[str, OpenAIClient] = {}
        for key, model in jury.models.items():
            url = model.base_url or fleet.urls.get(model.name)
            if url is not None and model.digest not in clients:
                clients[model.digest] = await stack.enter_async_context(client_of(jury, key, url))

        async def require(request: Request) -> None:
            await clients[request.candidate.digest].require_model(request.candidate.model)

        desk = Desk(store, clients, require)
        await asyncio.to_thread(desk.learn, [model.digest for model in jury.models.values()])
        yield desk


async def canaries(jury: Jury, desk: Desk, writer: RunWriter, before: Mapping[str, int]) -> list[CanaryResult]:
    """Answers of known quality, put anew to every judge that was really asked something since ``before``."""
    found: list[CanaryResult] = []
    about = Request(Candidate("canary", "canary", ""), CANARY, (), Sampling())
    for name, judge in jury.judges.items():
        asked = sum(desk.sent.get(model.digest, 0) - before.get(model.digest, 0) for model in jury.models_of(name))
        if asked:
            found += await judge_canaries(judge, Tab(desk, writer, about, anew=True))
    return found


def earlier_canaries(store: Store, plan: Plan) -> list[dict[str, Any]]:
    """What canaries showed when this run was last judged, in their plain form."""
    record = next((record for record in store.runs(plan.suite.name) if record.id == plan.run_id), None)
    return list(record.provenance.get("judging", {}).get("canaries", ())) if record else []


async def kept(
    jury: Jury,
    desk: Desk,
    writer: RunWriter,
    before: Mapping[str, int],
    others: Others,
    earlier: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What a run keeps of its judges at its end. earlier: canaries of judges that were asked nothing this time."""
    found = [plain(result) for result in await canaries(jury, desk, writer, before)]
    anew = {result["judge"] for result in found}
    digests = {one.digest for judge in jury.judges.values() for one in with_members(judge)}
    held = [result for result in earlier if result["judge"] not in anew and result["judgment"]["digest"] in digests]
    return {"judging": {**jury.described(), "baseline": others.run_id, "canaries": [*held, *found]}}


# -- without asking --------------------------------------------------------------------------------------------------------------


class Dry:
    """A Client that knows stored replies, and notes what would have to be asked."""

    def __init__(self, store: Store, known: set[str]) -> None:
        self._known, self._stored = known, Batched(store.replies)
        self.missing: dict[str, Request] = {}

    async def ask(self, request: Request) -> Response:
        key = request.key
        found = await self._stored.get(key) if key in self._known else None
        if found is None:
            self.missing[key] = request
            return Response(key, error="not-asked")
        return found


class PlannedAnswers:
    """The answers to a plan's questions, whether or not its run was begun; found by the keys of its requests."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self.run_id: str | None = plan.run_id
        self._plan, self._stored = plan, Batched(store.responses)

    async def answer(self, request: Request) -> Response | None:
        return await self._stored.get(self.request(request).key)

    def request(self, request: Request) -> Request:
        """The same case and sample as this plan asks it."""
        return next(asked for asked in self._plan.requests([request.case]) if asked.sample == request.sample)


def planned_others(store: Store, plans: Mapping[str, Plan], plan: Plan, baseline_id: str | None) -> Others:
    """As others_for, before any of these runs is begun."""
    baseline = next((other for other in plans.values() if other.run_id == baseline_id and other is not plan), None)
    return others_for(store, plan, baseline_id) if baseline is None else PlannedAnswers(store, baseline)


@dataclass(frozen=True)
class Unasked:
    """What judges are still to be asked. by_judge: its first questions, by key; retries in a stricter form come on top."""

    by_judge: Mapping[str, Mapping[str, Request]]

    def models(self, jury: Jury) -> set[str]:
        """Keys of the models that something must be asked of."""
        digests = {request.candidate.digest for found in self.by_judge.values() for request in found.values()}
        return {key for key, model in jury.models.items() if model.digest in digests}


async def unasked(jury: Jury, store: Store, plan: Plan, others: Others, guess: Callable[[Request], Response | None]) -> Unasked:
    """What judging this plan's answers takes, from the store alone.

    guess: stands for an answer that is not there yet, a pairwise judge's other answer included; None leaves it out.
    """
    known = set(await asyncio.to_thread(store.reply_keys, [model.digest for model in jury.models.values()]))
    clients = {name: Dry(store, known) for name in jury.judges}
    judged = [case for case in plan.cases() if jury.names(case.capability)]
    rest = plan.requests(judged)
    while batch := list(islice(rest, LOOKUP)):
        stored = await asyncio.to_thread(store.responses, [request.key for request in batch])
        answers = ((request, stored.get(request.key) or guess(request)) for request in batch)
        await asyncio.gather(*(_dry(jury, request, found, others, guess, clients) for request, found in answers if found))
    return Unasked({name: client.missing for name, client in clients.items()})


async def _dry(
    jury: Jury,
    request: Request,
    response: Response,
    others: Others,
    guess: Callable[[Request], Response | None],
    clients: Mapping[str, Dry],
) -> None:
    for name in jury.names(request.case.capability):
        other = None
        if jury.specs[name].pairwise:
            if others.run_id is None:
                continue
            other = await others.answer(request) or guess(replace(request, sample=-1 - request.sample))
        await jury.judges[name].judge(request.case, response, clients[name], baseline=other, messages=request.messages)
