"""Suite x candidate -> run: ask, store, score, store. Resumable at every moment; knows no judge, no server process and no HTML.

The order of the writes is the promise: a response is stored before it is scored, so that a kill -9 costs only the requests in
flight, and a changed check rescoring a run sends none. A feeder looks up what the store already has and a fixed number of workers
asks the rest, so memory does not grow with the plan.

Some scores take long, because something must be asked for them. Such a scorer has an ``ascore`` beside its ``score``: its answers
go to workers of their own by a bounded queue, so that asking and scoring go on at once and neither waits for more than the other
can hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any, Protocol, TypeGuard, cast

from harness.errors import BusyError, HarnessError, UsageError
from harness.model import Candidate, Case, Client, Request, Response, RunRecord, Sampling, Score, Scorer, Split, digest_of
from harness.prompts import render
from harness.store import RunWriter, Store
from harness.suite import Suite

LOOKUP = 1_000  # requests looked up in the store at a time
REMEMBERED = 100_000  # keys of answers that came in last: what a capability asks that another has asked is not asked again
HEALTH_EVERY_S = 0.5
SETTLE_S = 1.0  # until a server's death is seen
BUSY_EVERY_S = 0.3
SCORING = 64  # answers that a PatientScorer scores at once


class Watcher(Protocol):
    """Follows a run's progress: a bar, plain lines, nothing. advance may be called from any thread."""

    def begin(self, title: str, total: int) -> None: ...
    def advance(self, *, cached: bool, errored: bool) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to ask: every selected case of the suite, as many times as its capability has samples.

    limit: at most so many cases per capability, the first in suite order; it makes the run partial, as do the other filters.
    nonce: makes a run of its own out of an otherwise equal plan (``--fresh``). seed_offset: added to every seed, and the cases
    are asked in another order: the baseline's second run of an A/A comparison, which is partial so that it never ships.
    """

    suite: Suite
    candidate: Candidate
    limit: int | None = None
    capabilities: tuple[str, ...] = ()
    split: Split | None = None
    nonce: str = ""
    seed_offset: int = 0

    @property
    def run_id(self) -> str:
        """12 hex digits: the same suite, weights, prompts and filters find their own run again."""
        prompts = {name: self.suite.prompt_for(self.candidate.name, name).digest for name in self.suite.capabilities}
        return digest_of([self.suite.hash, self.candidate.digest, prompts, self.settings()])[:12]

    @property
    def partial_reason(self) -> str:
        """Why this plan is less than the suite; empty when it is all of it."""
        reasons = []
        if self.seed_offset:
            reasons.append("A/A: the baseline asked again")
        if self.limit is not None:
            reasons.append(f"limited to {self.limit} cases per capability")
        if self.capabilities:
            reasons.append("only " + ", ".join(self.capabilities))
        if self.split is not None:
            reasons.append(f"only the {self.split} split")
        return "; ".join(reasons)

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "limit": self.limit,
            "capabilities": sorted(self.capabilities),
            "split": str(self.split) if self.split else None,
            "nonce": self.nonce,
        }
        return settings | {"aa": True, "seed_offset": self.seed_offset} if self.seed_offset else settings

    def cases(self) -> Iterator[Case]:
        for name, capability in self.suite.capabilities.items():
            if not self.capabilities or name in self.capabilities:
                yield from islice(capability.of(self.split), self.limit)

    def requests(self, cases: Iterable[Case] | None = None) -> Iterator[Request]:
        """Every (case, sample), in suite order, or those of some cases. Rendered as they are pulled: no memory."""
        for case in self._in_order() if cases is None else cases:
            capability = self.suite.capabilities[case.capability]
            messages = render(self.suite.prompt_for(self.candidate.name, case.capability), case)
            for sample in range(capability.samples):
                yield Request(self.candidate, case, messages, self._sampling(capability.sampling), sample)

    def _in_order(self) -> Iterable[Case]:
        if not self.seed_offset:
            return self.cases()
        return sorted(self.cases(), key=lambda case: digest_of([self.seed_offset, case.id]))

    def _sampling(self, sampling: Sampling) -> Sampling:
        return replace(sampling, seed=(sampling.seed + self.seed_offset) % 2**31) if self.seed_offset else sampling

    @property
    def size(self) -> int:
        """Planned (case, sample) pairs: the denominator that has to close."""
        return sum(self.suite.capabilities[case.capability].samples for case in self.cases())


def check_plan(plan: Plan) -> None:
    """Raise UsageError for a plan that names unknown capabilities or selects nothing."""
    unknown = [name for name in plan.capabilities if name not in plan.suite.capabilities]
    if unknown:
        raise UsageError(f"unknown capability {', '.join(unknown)}", todo="choose from " + ", ".join(plan.suite.capabilities))
    if plan.size == 0:
        raise UsageError("no case is selected", where=str(plan.suite.path), todo="Check --split and the splits of the cases")


@dataclass(slots=True)
class Tally:
    """What this process did, as against what the store already held."""

    asked: int = 0
    stored: int = 0
    errored: int = 0
    retries: int = 0
    seconds: float = 0.0
    first_asked: float = 0.0  # on the monotonic clock
    last_answered: float = 0.0
    stopped: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "requests": self.asked,
            "from_store": self.stored,
            "errored": self.errored,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "stopped": self.stopped,
        }


class DigestedScorer(Scorer, Protocol):
    """A scorer that says what it is: equal digests give equal scores."""

    @property
    def digest(self) -> str: ...


class PatientScorer(Protocol):
    """A scorer that has to ask somebody first. writer: where it keeps what it was told. Raises what makes going on senseless."""

    @property
    def digest(self) -> str: ...

    async def ascore(self, request: Request, response: Response, writer: RunWriter) -> Score: ...


AnyScorer = DigestedScorer | PatientScorer


def _is_patient(scorer: AnyScorer) -> TypeGuard[PatientScorer]:
    return hasattr(scorer, "ascore")


def _nobody(request: Request, score: Score | None) -> None:
    """Follows nothing."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that is stored and still to be scored. cached: it was stored before this process."""

    request: Request
    response: Response
    cached: bool


@dataclass(slots=True)
class OpenRun:
    """A run that is open for asking: what its feeder and workers share. Made by open_run.

    follow: told of every answer that comes in, with its score, or None when the request failed; from any thread. done: the
    (case id, sample) answered and scored before it was opened. scoring: answers that a PatientScorer scores at once.
    flying: the key of a question that is being asked -> what else in the plan asks the same and waits for its answer. answered:
    keys of the answers that came in since.
    """

    plan: Plan
    client: Client
    scorers: Mapping[str, AnyScorer]
    writer: RunWriter
    watcher: Watcher
    scorer_digest: str
    concurrency: int
    scoring: int = SCORING
    health: Callable[[], None] | None = None
    follow: Callable[[Request, Score | None], None] = _nobody
    tally: Tally = field(default_factory=Tally)
    done: set[tuple[str, int]] = field(default_factory=set)
    flying: dict[str, list[Request]] = field(default_factory=dict)
    answered: dict[str, None] = field(default_factory=dict)

    async def work(self, requests: Iterable[Request], size: int) -> None:
        """Ask these requests, or take their answers from the store; may be called again. Raises what stopped it.

        A server that dies fails its last requests before its death is seen; then this is no complete run with errors in it.
        """
        errored = self.tally.errored
        await _work(self, requests, min(self.concurrency, size))
        if self.health is not None and self.tally.errored > errored:
            await asyncio.sleep(SETTLE_S)
            self.health()

    @property
    def is_patient(self) -> bool:
        return any(_is_patient(scorer) for scorer in self.scorers.values())

    def judge(self, request: Request, response: Response, *, cached: bool) -> bool:
        """Score it now; False where that takes long and is for ``judge_patiently``."""
        scorer = self.scorers[request.case.capability]
        if _is_patient(scorer):
            return False
        score = cast(DigestedScorer, scorer).score(request.case, response)
        self._scored(request, response, score, cached=cached)
        return True

    async def judge_patiently(self, answer: _Answer) -> None:
        scorer = self.scorers[answer.request.case.capability]
        assert _is_patient(scorer)
        score = await scorer.ascore(answer.request, answer.response, self.writer)
        self._scored(answer.request, answer.response, score, cached=answer.cached)

    def _scored(self, request: Request, response: Response, score: Score, *, cached: bool) -> None:
        self.writer.add_score(request, response, score, self.scorer_digest)
        self.follow(request, score)
        self.watcher.advance(cached=cached, errored=False)

    async def ask(self, request: Request) -> list[_Answer]:
        """Ask, store, score - for every item that asks just this; the answers that are still to be scored."""
        self.tally.first_asked = self.tally.first_asked or time.monotonic()
        response = await self.client.ask(request)
        self.tally.last_answered = time.monotonic()
        self.tally.asked += 1
        self.tally.retries += max(0, response.attempts - 1)
        same = self.flying.pop(response.key, [])
        found = [self._took(one, response, cached=number > 0) for number, one in enumerate((request, *same))]
        if response.error is None:
            self.tally.stored += len(same)
            self._remember(response.key)
        return [answer for answer in found if answer]

    def _took(self, request: Request, response: Response, *, cached: bool) -> _Answer | None:
        """Store an answer and score it; the answer, when that takes long. cached: it was asked for by another item."""
        failed = response.error is not None
        self.writer.add_response(request, response, cached=cached and not failed)
        if not failed:
            return None if self.judge(request, response, cached=cached) else _Answer(request, response, cached)
        self.tally.errored += 1
        self.follow(request, None)
        self.watcher.advance(cached=False, errored=True)
        return None

    def _remember(self, key: str) -> None:
        self.answered[key] = None
        if len(self.answered) > REMEMBERED:
            del self.answered[next(iter(self.answered))]

    def claim(self, missing: Mapping[str, Sequence[Request]]) -> list[Request]:
        """Those of the missing questions that somebody must ask; the others wait for an answer that is on its way."""
        first = []
        for key, (request, *same) in missing.items():
            if key in self.flying:
                self.flying[key] += [request, *same]
            else:
                self.flying[key] = same
                first.append(request)
        return first

    def unanswered(self, batch: Sequence[Request]) -> tuple[dict[str, list[Request]], list[_Answer]]:
        """What must really be asked, by key, and what is answered in the store and still to be scored; the rest is scored on the
        way."""
        fresh = [request for request in batch if (request.case.id, request.sample) not in self.done]
        keys = [request.key for request in fresh]
        stored = self.writer.cached(keys) if keys else {}
        if late := [key for key in keys if key in self.answered and key not in stored]:
            stored |= self.writer.cached(late, fold=True)
        missing, unscored = dict[str, list[Request]](), []
        for request, key in zip(fresh, keys, strict=True):
            if response := stored.get(key):
                self.tally.stored += 1
                if answer := self._took(request, response, cached=True):
                    unscored.append(answer)
            else:
                missing.setdefault(key, []).append(request)
        self.tally.stored += len(batch) - len(fresh)
        for _ in range(len(batch) - len(fresh)):
            self.watcher.advance(cached=True, errored=False)
        return missing, unscored


def scorers_digest(scorers: Mapping[str, AnyScorer]) -> str:
    """One digest over the scorers of all capabilities; what a run's scores are stored under."""
    return digest_of({name: scorer.digest for name, scorer in scorers.items()})


@dataclass(slots=True)
class _Queues:
    """Between the feeder, those who ask and those who score patiently. open: how many still put answers into ``scoring``."""

    asking: asyncio.Queue[Request | None]
    scoring: asyncio.Queue[_Answer | None]
    open: int
    scorers: int

    async def close_one(self) -> None:
        """The last one out tells the scorers that nothing more comes."""
        self.open -= 1
        if not self.open:
            for _ in range(self.scorers):
                await self.scoring.put(None)


async def _feed(job: OpenRun, requests: Iterable[Request], queues: _Queues, workers: int) -> None:
    rest = iter(requests)
    while batch := list(islice(rest, LOOKUP)):
        missing, unscored = await asyncio.to_thread(job.unanswered, batch)
        while late := [key for key in missing if key in job.answered]:  # while we looked
            again = [request for key in late for request in missing.pop(key)]
            more, found = await asyncio.to_thread(job.unanswered, again)
            for key in more:
                job.answered.pop(key, None)  # the store has it not, whatever we remember
            missing, unscored = missing | more, unscored + found
        for request in job.claim(missing):
            await queues.asking.put(request)
        for answer in unscored:
            await queues.scoring.put(answer)
    for _ in range(workers):
        await queues.asking.put(None)
    await queues.close_one()


async def _ask_all(job: OpenRun, queues: _Queues) -> None:
    while (request := await queues.asking.get()) is not None:
        for answer in await job.ask(request):
            await queues.scoring.put(answer)
    await queues.close_one()


async def _score_all(job: OpenRun, queues: _Queues) -> None:
    while (answer := await queues.scoring.get()) is not None:
        await job.judge_patiently(answer)


async def _watch(health: Callable[[], None]) -> None:
    while True:
        health()
        await asyncio.sleep(HEALTH_EVERY_S)


async def _work(job: OpenRun, requests: Iterable[Request], workers: int) -> None:
    """Feed the workers until all is asked; the first trouble (server dead, disk full, a bug) ends them all and is raised."""
    scorers = job.scoring if job.is_patient else 0
    queues = _Queues(asyncio.Queue(maxsize=2 * workers), asyncio.Queue(maxsize=2 * job.scoring), workers + 1, scorers)
    needed = [asyncio.create_task(_feed(job, requests, queues, workers))]
    needed += [asyncio.create_task(_ask_all(job, queues)) for _ in range(workers)]
    needed += [asyncio.create_task(_score_all(job, queues)) for _ in range(scorers)]
    tasks = [*needed, asyncio.create_task(_watch(job.health))] if job.health else needed
    try:
        while not all(task.done() for task in needed):
            finished, _ = await asyncio.wait([t for t in tasks if not t.done()], return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _begin(store: Store, record: RunRecord, plan: Plan) -> RunWriter:
    """Begin the run, after whoever is writing it: two commands at once share a baseline's run, the second finds it done."""
    said = False
    while True:
        try:
            return store.begin_run(record, plan.suite.source_text, policy(plan.suite), plan.requests())
        except BusyError as error:
            if not said:
                logging.getLogger(__name__).warning("%s: %s; waiting for it to end", plan.candidate.name, error.what)
            said = True
            await asyncio.sleep(BUSY_EVERY_S)


def _served_before(store: Store, plan: Plan) -> dict[str, Any]:
    """How the run was served when it was asked before: going on with it, or scoring it again, must not forget that."""
    known = next((record for record in store.runs(plan.suite.name) if record.id == plan.run_id), None)
    return dict(known.provenance.get("served") or {}) if known else {}


def _served(job: OpenRun, figures: Mapping[str, Any]) -> dict[str, Any]:
    """A model.Served of what this process asked itself; the longer of two measurements is kept."""
    answered = job.tally.asked - job.tally.errored
    if not answered:
        return {}
    seconds = round(job.tally.last_answered - job.tally.first_asked, 3)
    return {"requests": answered, "seconds": seconds, "concurrency": job.concurrency, "memory_gb": figures.get("memory_gb")}


@contextlib.asynccontextmanager
async def open_run(
    plan: Plan,
    client: Client,
    scorers: Mapping[str, AnyScorer],
    store: Store,
    *,
    watcher: Watcher,
    provenance: Mapping[str, Any],
    concurrency: int,
    scoring: int = SCORING,
    health: Callable[[], None] | None = None,
    server_figures: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
    afterwards: Callable[[RunWriter], Awaitable[Mapping[str, Any]]] | None = None,
) -> AsyncIterator[OpenRun]:
    """Begin or continue the plan's run; when the block is left, end it: complete (or partial), and interrupted by an exception.

    health() is called twice a second while it works, and after errors; it raises when the server is gone. server_figures() is
    read at the end; what afterwards() gives then is kept with the run's provenance, and it may still write to the run.
    """
    check_plan(plan)
    record = RunRecord(
        id=plan.run_id,
        suite_name=plan.suite.name,
        suite_hash=plan.suite.hash,
        candidate=plan.candidate,
        status="running",
        plan=plan.settings() | {"partial_reason": plan.partial_reason, "size": plan.size},
        started_at=time.time(),
        provenance=dict(provenance),
    )
    before = await asyncio.to_thread(_served_before, store, plan)
    writer = await _begin(store, record, plan)
    job = OpenRun(plan, client, scorers, writer, watcher, scorers_digest(scorers), concurrency, scoring, health)
    started, status = time.monotonic(), "interrupted"
    figures: dict[str, Any] = {}
    more: Mapping[str, Any] = {}
    try:
        job.done = await asyncio.to_thread(writer.done, job.scorer_digest)
        yield job
        more = await afterwards(writer) if afterwards else {}
        status = "partial" if plan.partial_reason else "complete"
        figures = dict(await server_figures()) if server_figures else {}
    except HarnessError as error:
        job.tally.stopped = error.what
        raise
    finally:
        job.tally.seconds = time.monotonic() - started
        served = max(_served(job, figures), before, key=lambda found: found.get("requests", 0))
        writer.finish(status, {**provenance, **more, "work": job.tally.as_dict(), "server": figures, "served": served})


def finished(store: Store, plan: Plan) -> RunRecord:
    """The record of a run that this process has just ended. Another one that shares it (a baseline) may have begun it again by
    now, only to find it done: it is as complete as it was, not running."""
    record = store.run(plan.run_id)
    ended = "partial" if plan.partial_reason else "complete"
    return record if record.status == ended else replace(record, status=ended)


async def execute(
    plan: Plan,
    client: Client,
    scorers: Mapping[str, AnyScorer],
    store: Store,
    *,
    watcher: Watcher,
    provenance: Mapping[str, Any],
    concurrency: int,
    scoring: int = SCORING,
    health: Callable[[], None] | None = None,
    server_figures: Callable[[], Awaitable[Mapping[str, Any]]] | None = None,
    afterwards: Callable[[RunWriter], Awaitable[Mapping[str, Any]]] | None = None,
) -> RunRecord:
    """Begin or continue the plan's run and bring it as far as it will go; return its record.

    Raises what stopped it (ServeError, StoreError, asyncio.CancelledError on Ctrl-C) after marking the run interrupted, so that
    the same call continues it. For health, server_figures and afterwards see open_run.
    """
    opened = open_run(
        plan,
        client,
        scorers,
        store,
        watcher=watcher,
        provenance=provenance,
        concurrency=concurrency,
        scoring=scoring,
        health=health,
        server_figures=server_figures,
        afterwards=afterwards,
    )
    async with opened as job:
        watcher.begin(plan.candidate.name, plan.size)
        try:
            await job.work(plan.requests(), plan.size)
        finally:
            watcher.end()
    return finished(store, plan)


def policy(suite: Suite) -> dict[str, Any]:
    """What a stored run must keep of its suite to be compared later without the file: roles, margins and the gate."""
    return {
        "suite": suite.name,
        "version": suite.version,
        "gate": asdict(suite.gate),
        "capabilities": {
            name: {
                "role": str(c.role),
                "margin": c.margin,
                "samples": c.samples,
                "temperature": c.sampling.temperature,
                "description": c.description,
            }
            for name, c in suite.capabilities.items()
        },
    }
