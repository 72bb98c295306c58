"""Suite x candidate -> run: ask, store, score, store. Resumable at every moment; knows no judge, no server process and no HTML.

The order of the writes is the promise: a response is stored before it is scored, so that a kill -9 costs only the requests in
flight, and a changed check rescoring a run sends none. Work is pulled from an iterator by a fixed number of workers, so memory
does not grow with the plan.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

from harness.errors import HarnessError, UsageError
from harness.model import Candidate, Case, Client, Ledger, Request, Response, RunRecord, Scorer, Split, digest_of
from harness.prompts import render
from harness.store import RunWriter, Store
from harness.suite import Suite

LOOKUP = 500  # requests looked up in the cache at a time


class Watcher(Protocol):
    """Follows a run's progress; reports of any kind (a bar, plain lines, nothing) implement it."""

    def begin(self, title: str, total: int) -> None: ...
    def advance(self, *, cached: bool, errored: bool) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run is to ask: every selected case of the suite, ``samples`` times each.

    limit: at most so many cases per capability, the first in suite order; it makes the run partial, as does a capability filter.
    nonce: makes a run of its own out of an otherwise equal plan (``--fresh``).
    """

    suite: Suite
    candidate: Candidate
    limit: int | None = None
    capabilities: tuple[str, ...] = ()
    split: Split | None = None
    nonce: str = ""

    @property
    def run_id(self) -> str:
        identity = [self.suite.hash, self.candidate.digest, self.candidate.prompt.digest, self.settings()]
        return digest_of(identity)[:12]

    @property
    def partial_reason(self) -> str:
        reasons = []
        if self.limit is not None:
            reasons.append(f"limited to {self.limit} cases per capability")
        if self.capabilities:
            reasons.append("only " + ", ".join(self.capabilities))
        if self.split is not None:
            reasons.append(f"only the {self.split} split")
        return "; ".join(reasons)

    def settings(self) -> dict[str, Any]:
        return {
            "limit": self.limit,
            "capabilities": sorted(self.capabilities),
            "split": str(self.split) if self.split else None,
            "nonce": self.nonce,
        }

    def cases(self) -> Iterator[Case]:
        for name, capability in self.suite.capabilities.items():
            if self.capabilities and name not in self.capabilities:
                continue
            wanted = [c for c in capability.cases if self.split is None or c.split is self.split]
            yield from wanted[: self.limit]

    def requests(self) -> Iterator[Request]:
        """Every (case, sample), in suite order. Rendered as they are pulled, so that a long plan costs no memory."""
        for case in self.cases():
            capability = self.suite.capabilities[case.capability]
            messages = render(self.candidate.prompt, case)
            for sample in range(capability.samples):
                sampling = replace(capability.sampling, seed=capability.sampling.seed + sample)
                yield Request(self.candidate, case, messages, sampling, sample)

    @property
    def size(self) -> int:
        return sum(self.suite.capabilities[case.capability].samples for case in self.cases())


def check_plan(plan: Plan) -> None:
    unknown = [name for name in plan.capabilities if name not in plan.suite.capabilities]
    if unknown:
        raise UsageError(f"unknown capability {', '.join(unknown)}", todo="choose from " + ", ".join(plan.suite.capabilities))
    if plan.size == 0:
        raise UsageError("the plan is empty: no case is selected", where=str(plan.suite.path), todo="check --split, --limit and the cases' splits")


@dataclass(slots=True)
class Tally:
    """What this process did, as against what the store already held."""

    asked: int = 0
    cached: int = 0
    errored: int = 0
    retries: int = 0
    seconds: float = 0.0
    stopped: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "requests": self.asked,
            "cached": self.cached,
            "errored": self.errored,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
        }


@dataclass(slots=True)
class _Job:
    """The state of one execution, shared by its workers."""

    plan: Plan
    client: Client
    scorers: Mapping[str, Scorer]
    writer: RunWriter
    watcher: Watcher
    tally: Tally = field(default_factory=Tally)

    def score(self, request: Request, response: Response) -> None:
        scorer = self.scorers[request.case.capability]
        self.writer.add_score(request, scorer.score(request.case, response), scorer.digest)  # type: ignore[attr-defined]

    async def ask(self, request: Request) -> None:
        response = await self.client.ask(request)
        self.writer.add_response(request, response)
        self.tally.asked += 1
        self.tally.retries += max(0, response.attempts - 1)
        if response.error is None:
            self.score(request, response)
        else:
            self.tally.errored += 1
        self.watcher.advance(cached=False, errored=response.error is not None)

    def reuse(self, request: Request, response: Response) -> None:
        self.writer.add_cached(request)
        self.score(request, response)
        self.tally.cached += 1
        self.watcher.advance(cached=True, errored=False)

    def todo(self, requests: Iterable[Request]) -> Iterator[Request]:
        """What must really be asked; everything the store can answer is scored on the way."""
        pending = iter(requests)
        while batch := list(islice(pending, LOOKUP)):
            done = self.writer.scored(batch, {name: scorer.digest for name, scorer in self.scorers.items()})  # type: ignore[attr-defined]
            for request in batch:
                if (request.case.id, request.sample) in done:
                    self.watcher.advance(cached=True, errored=False)
            batch = [request for request in batch if (request.case.id, request.sample) not in done]
            stored = self.writer.cached([request.key for request in batch])
            for request in batch:
                if response := stored.get(request.key):
                    self.reuse(request, response)
                else:
                    yield request


async def _work(job: _Job, todo: Iterator[Request], workers: int, health: Callable[[], None] | None) -> None:
    """Run the workers; the first trouble (server dead, disk full, a bug) cancels the others and is raised."""

    async def worker() -> None:
        for request in todo:
            await job.ask(request)

    async def watch() -> None:
        while health is not None:
            await asyncio.sleep(0.5)
            health()

    watch_task = asyncio.create_task(watch())
    tasks = [asyncio.create_task(worker()) for _ in range(workers)]
    try:
        pending: set[asyncio.Task[None]] = {watch_task, *tasks}
        while any(not task.done() for task in tasks):
            finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
    finally:
        for task in (watch_task, *tasks):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(watch_task, *tasks, return_exceptions=True)


async def execute(
    plan: Plan,
    client: Client,
    scorers: Mapping[str, Scorer],
    store: Store,
    *,
    watcher: Watcher,
    provenance: Mapping[str, Any],
    concurrency: int,
    health: Callable[[], None] | None = None,
    server_figures: Callable[[], Mapping[str, Any]] | None = None,
) -> RunRecord:
    """Begin or continue the plan's run and bring it as far as it will go.

    Raises what stopped it (ServeError, StoreError, ...) after the run was marked interrupted; asyncio.CancelledError likewise, so
    that Ctrl-C leaves a run that continues. health() is called twice a second and raises when the server is gone.
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
    writer = store.begin_run(record, plan.suite.source_text, plan.requests())
    job = _Job(plan, client, scorers, writer, watcher)
    watcher.begin(plan.candidate.name, plan.size)
    started, status = time.monotonic(), "interrupted"
    try:
        await _work(job, job.todo(plan.requests()), min(concurrency, plan.size), health)
        status = "partial" if plan.partial_reason else "complete"
    except HarnessError as error:
        job.tally.stopped = error.what
        raise
    finally:
        watcher.end()
        job.tally.seconds = time.monotonic() - started
        figures = dict(server_figures()) if server_figures and status != "interrupted" else {}
        writer.finish(status, {**provenance, "work": job.tally.as_dict(), "server": figures})
    return store.run(plan.run_id)


def is_complete(record: RunRecord) -> bool:
    """A run that can be judged: it ended by itself and its denominator is closed."""
    ledger: Ledger = record.ledger
    return record.status in ("complete", "partial") and ledger.closed and ledger.planned > 0
