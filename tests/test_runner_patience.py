"""Scorers that must ask somebody first: scored while the asking goes on, bounded, resumable, and never instead of storing."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.suites import load_small

from harness.errors import ServeError
from harness.model import Candidate, Case, ItemStatus, Request, Response, RunRecord, Score
from harness.runner import Plan, execute
from harness.store import RunWriter, Store

BASE = Candidate("base", "base", "d" * 64)
N = 30


@dataclass
class Echo:
    """Answers with the prompt. pause: what to wait for before the answer to that many-th request."""

    asked: int = 0
    pause: Callable[[int], Any] = lambda count: None

    async def ask(self, request: Request) -> Response:
        self.asked += 1
        waiting = self.pause(self.asked)
        await (waiting or asyncio.sleep(0))
        return Response(request.key, text=request.messages[-1].content, finish_reason="stop")


@dataclass
class Quick:
    digest: str = "quick"

    def score(self, case: Case, response: Response) -> Score:
        return Score(1.0, True)


@dataclass
class Slow:
    """Scores 0.5 after a moment. trouble: the score at which it raises; begun: set at the first one."""

    digest: str = "slow"
    pause: float = 0.001
    trouble: int = 0
    begun: asyncio.Event | None = None
    scored: list[str] = field(default_factory=list)
    now: int = 0
    peak: int = 0

    async def ascore(self, request: Request, response: Response, writer: RunWriter) -> Score:
        if self.begun is not None:
            self.begun.set()
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            await asyncio.sleep(self.pause)
        finally:
            self.now -= 1
        self.scored.append(request.case.id)
        if len(self.scored) == self.trouble:
            raise ServeError("the judge is gone")
        return Score(0.5, True)


class Counts:
    def __init__(self) -> None:
        self.cached = self.fresh = 0

    def begin(self, title: str, total: int) -> None: ...

    def advance(self, *, cached: bool, errored: bool) -> None:
        self.cached += cached
        self.fresh += not cached

    def end(self) -> None: ...


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    def rows(word: str) -> list[dict[str, str]]:
        return [{"input": f"{word} {i}", "reference": f"{word} {i}"} for i in range(N)]

    capabilities = {name: {"cases": rows(name), "checks": ["equals"]} for name in ("rules", "judged")}
    return Plan(load_small(tmp_path, capabilities=capabilities), BASE)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


async def go(store: Store, plan: Plan, client: Echo, slow: Slow, **options: Any) -> RunRecord:
    given: dict[str, Any] = {"watcher": Counts(), "provenance": {}, "concurrency": 4, "scoring": 3}
    return await execute(plan, client, {"rules": Quick(), "judged": slow}, store, **given | options)


def test_everything_is_scored_once_by_its_own_scorer(store: Store, plan: Plan) -> None:
    slow, counts = Slow(), Counts()
    record = asyncio.run(go(store, plan, Echo(), slow, watcher=counts))
    assert (record.status, record.ledger.scored, record.ledger.closed) == ("complete", 2 * N, True)
    assert {(row.capability, row.value) for row in store.score_rows(record.id)} == {("rules", 1.0), ("judged", 0.5)}
    assert len(slow.scored) == len(set(slow.scored)) == N
    assert (counts.fresh, counts.cached) == (2 * N, 0)
    assert 1 < slow.peak <= 3


def test_scoring_goes_on_while_answers_still_come(store: Store, plan: Plan) -> None:
    async def work() -> RunRecord:
        begun = asyncio.Event()  # the last answer comes only after a score was begun: else this would wait for ever
        client = Echo(pause=lambda count: begun.wait() if count == 2 * N else None)
        async with asyncio.timeout(30):
            return await go(store, plan, client, Slow(begun=begun))

    assert asyncio.run(work()).status == "complete"


def test_slow_scoring_holds_up_asking_instead_of_filling_the_memory(store: Store, plan: Plan) -> None:
    async def work() -> int:
        client = Echo()
        only = dataclasses.replace(plan, capabilities=("judged",))
        task = asyncio.create_task(go(store, only, client, Slow(pause=60.0)))
        while client.asked < 3 + 6 + 4:  # at work, in the queue, in the hands of those who asked
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        asked = client.asked
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asked

    assert asyncio.run(work()) <= 3 + 6 + 4
    [record] = store.runs()
    assert record.status == "interrupted"
    assert record.ledger.unscored["pending"] >= 9, "answered, stored, not scored"


def test_what_stops_a_scorer_stops_the_run_and_the_same_call_goes_on_without_asking_again(store: Store, plan: Plan) -> None:
    first, client = Slow(trouble=10), Echo()
    with pytest.raises(ServeError, match="the judge is gone"):
        asyncio.run(go(store, plan, client, first))
    [record] = store.runs()
    assert record.status == "interrupted"
    second, counts = Slow(), Counts()
    again = Echo()
    record = asyncio.run(go(store, plan, again, second, watcher=counts))
    assert (record.status, record.ledger.scored) == ("complete", 2 * N)
    assert client.asked + again.asked <= 2 * N + 4, "only what was in flight is asked again"
    scored = [case for case in first.scored[:9] if case in second.scored]
    assert scored == [], "what was scored stays scored"
    assert counts.cached + counts.fresh == 2 * N


def test_another_scorer_scores_anew_and_asks_nothing(store: Store, plan: Plan) -> None:
    asyncio.run(go(store, plan, Echo(), Slow()))
    client, slow = Echo(), Slow(digest="changed rubric")
    record = asyncio.run(go(store, plan, client, slow))
    assert (client.asked, len(slow.scored), record.ledger.scored) == (0, N, 2 * N)
    assert record.provenance["work"]["from_store"] == 2 * N


def test_a_failed_request_is_no_case_for_a_scorer(store: Store, plan: Plan) -> None:
    class Failing(Echo):
        async def ask(self, request: Request) -> Response:
            return Response(request.key, error="timeout", error_message="no answer")

    slow = Slow()
    record = asyncio.run(go(store, plan, Failing(), slow))
    assert slow.scored == []
    assert {row.status for row in store.score_rows(record.id)} == {ItemStatus.ERRORED}
