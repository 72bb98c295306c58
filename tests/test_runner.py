"""The runner by itself: a fake client and fake scorers around a real store. Whole commands are tested in tests/cli."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.suites import load_small

from harness import runner
from harness.errors import ServeError, StoreError, UsageError
from harness.model import Candidate, Case, ItemStatus, Message, Request, Response, RunRecord, Sampling, Score, Split
from harness.runner import Plan, check_plan, execute
from harness.store import Store
from harness.store.writer import RunWriter
from harness.suite import Suite

BASE = Candidate("base", "base", "d" * 64)
N, DEV = 40, 8  # cases of each capability, and how many of them are of the dev split
SIZE = 2 * (N - DEV)  # requests of a whole plan


def suite_of(folder: Path, n: int = N, *, samples: int = 1, dev: int = 0, **changes: Any) -> Suite:
    """Two capabilities, n cases each, the first ``dev`` of them of the dev split."""

    def cases(word: str) -> list[dict[str, Any]]:
        return [{"input": f"{word} {i}", "reference": f"{word} {i}", "split": "dev" if i < dev else "gate"} for i in range(n)]

    capabilities = {
        "sums": {"role": "target", "cases": cases("sum"), "checks": ["equals"]},
        "dates": {"role": "protected", "margin": 0.1, "cases": cases("date"), "checks": ["equals"]},
    }
    return load_small(folder, capabilities=capabilities, generation={"samples": samples}, **changes)


@dataclass
class FakeClient:
    """Answers with the prompt. fails: which requests come back as failures. after: called with the number of requests so far."""

    fails: Callable[[Request], bool] = lambda request: False
    after: Callable[[int], object] = lambda count: None
    pause: float = 0.0
    asked: list[Request] = field(default_factory=list)
    in_flight: int = 0
    peak: int = 0

    async def ask(self, request: Request) -> Response:
        self.asked.append(request)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(self.pause)
            self.after(len(self.asked))
        finally:
            self.in_flight -= 1
        if self.fails(request):
            return Response(request.key, error="timeout", error_message="no answer", attempts=3)
        return Response(request.key, text=request.messages[-1].content, finish_reason="stop", attempts=1)


@dataclass
class FakeScorer:
    """1 for an answer that equals its reference. after: called with the number of scores so far."""

    digest: str = "v1"
    worth: float = 1.0
    after: Callable[[int], object] = lambda count: None
    scored: int = 0

    def score(self, case: Case, response: Response) -> Score:
        self.scored += 1
        self.after(self.scored)
        right = response.text == case.reference
        return Score(self.worth if right else 0.0, right)


@dataclass
class Counts:
    """A watcher that counts; advance comes from several threads."""

    total: int = 0
    cached: int = 0
    errored: int = 0
    asked: int = 0
    ended: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, title: str, total: int) -> None:
        self.total = total

    def advance(self, *, cached: bool, errored: bool) -> None:
        with self.lock:
            self.cached += cached
            self.errored += errored
            self.asked += not cached and not errored

    def end(self) -> None:
        self.ended += 1


def run(store: Store, plan: Plan, client: FakeClient, scorer: FakeScorer | None = None, **options: Any) -> RunRecord:
    """One execute, in a loop of its own."""
    scorers = dict.fromkeys(plan.suite.capabilities, scorer or FakeScorer())
    given_options: dict[str, Any] = {"watcher": Counts(), "provenance": {}, "concurrency": 4}
    return asyncio.run(execute(plan, client, scorers, store, **given_options | options))


def values(store: Store, record: RunRecord) -> dict[tuple[str, str, int], float | None]:
    return {(row.capability, row.case_id, row.sample): row.value for row in store.score_rows(record.id)}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return suite_of(tmp_path, dev=DEV)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store", create=True)


# -- plans -----------------------------------------------------------------------------------------------------------------------


def test_a_plan_finds_its_own_run_and_no_other(suite: Suite) -> None:
    plan = Plan(suite, BASE)
    same = [
        Plan(suite, replace(BASE, base_url="http://127.0.0.1:1/v1", base="/elsewhere")),  # where it is served is not who it is
        Plan(replace(suite, generation=replace(suite.generation, concurrency=99)), BASE),
    ]
    assert {p.run_id for p in same} == {plan.run_id}
    others = [
        replace(plan, limit=3),
        replace(plan, capabilities=("sums",)),
        replace(plan, split=Split.DEV),
        replace(plan, nonce="x"),
        replace(plan, seed_offset=7),
        replace(plan, candidate=replace(BASE, digest="e" * 64)),
        replace(plan, suite=replace(suite, hash="0" * 64)),
    ]
    assert len({p.run_id for p in [plan, *others]}) == len(others) + 1
    both = ("sums", "dates")
    assert replace(plan, capabilities=both).run_id == replace(plan, capabilities=both[::-1]).run_id


def test_a_plan_says_why_it_is_partial(suite: Suite) -> None:
    assert Plan(suite, BASE, nonce="fresh").partial_reason == ""
    told = Plan(suite, BASE, limit=3, capabilities=("sums",), split=Split.DEV, seed_offset=7).partial_reason
    for word in ("A/A", "limited to 3", "only sums", "only the dev split"):
        assert word in told


@pytest.mark.parametrize("limit", [None, 1, 7, N, N + 5])
@pytest.mark.parametrize("capabilities", [(), ("sums",), ("dates", "sums")])
@pytest.mark.parametrize("split", [None, Split.DEV, Split.GATE])
def test_filters_select_the_first_cases_in_suite_order(
    suite: Suite, limit: int | None, capabilities: tuple[str, ...], split: Split | None
) -> None:
    """Without a split the gate's cases: the others are for development."""
    plan = Plan(suite, BASE, limit, capabilities, split)
    numbers = range(DEV) if split is Split.DEV else range(DEV, N)
    words = [("sum", "sums"), ("date", "dates")]
    expected = [f"{word} {i}" for word, name in words if not capabilities or name in capabilities for i in list(numbers)[:limit]]
    assert [case.vars["input"] for case in plan.cases()] == expected
    assert [request.messages[-1].content for request in plan.requests()] == expected
    assert plan.size == len(expected)


def test_samples_and_seeds(tmp_path: Path) -> None:
    suite = suite_of(tmp_path, 5, samples=3)
    plan = Plan(suite, BASE)
    requests = list(plan.requests())
    assert len(requests) == plan.size == 2 * 5 * 3
    assert [request.sample for request in requests[:6]] == [0, 1, 2, 0, 1, 2]
    assert len({request.key for request in requests}) == plan.size
    again = list(replace(plan, seed_offset=1_000).requests())
    assert [r.case.id for r in again] != [r.case.id for r in requests]
    assert Counter(r.case.id for r in again) == Counter(r.case.id for r in requests)
    assert {r.sampling.seed for r in again} == {r.sampling.seed + 1_000 for r in requests}
    assert not {r.key for r in again} & {r.key for r in requests}


def test_plans_that_cannot_be(suite: Suite, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown capability data.*choose from sums, dates"):
        check_plan(Plan(suite, BASE, capabilities=("data",)))
    (tmp_path / "gate").mkdir()
    with pytest.raises(UsageError, match="no case is selected"):
        run(store, Plan(suite_of(tmp_path / "gate"), BASE, split=Split.DEV), FakeClient())
    assert store.runs() == []


# -- asking ----------------------------------------------------------------------------------------------------------------------


@settings(max_examples=6, deadline=None)
@given(n=st.integers(1, 60), concurrency=st.integers(1, 50), pause=st.sampled_from([0.0, 0.001]))
def test_each_request_is_asked_once_and_the_books_close(
    tmp_path_factory: pytest.TempPathFactory, n: int, concurrency: int, pause: float
) -> None:
    folder = tmp_path_factory.mktemp("run")
    plan, client, counts = Plan(suite_of(folder, n), BASE), FakeClient(pause=pause), Counts()
    with Store.open(folder / "store", create=True) as store:
        record = run(store, plan, client, concurrency=concurrency, watcher=counts)
    assert Counter(request.key for request in client.asked) == Counter(request.key for request in plan.requests())
    assert client.peak <= concurrency
    assert (record.status, record.ledger.planned, record.ledger.scored) == ("complete", 2 * n, 2 * n)
    assert record.ledger.closed
    assert (counts.total, counts.asked, counts.cached, counts.ended) == (2 * n, 2 * n, 0, 1)


def test_again_asks_nothing_and_a_changed_scorer_scores_anew(suite: Suite, store: Store) -> None:
    plan = Plan(suite, BASE)
    first = run(store, plan, FakeClient())
    assert set(values(store, first).values()) == {1.0}
    client, scorer = FakeClient(), FakeScorer()
    assert run(store, plan, client, scorer).id == first.id
    assert (client.asked, scorer.scored) == ([], 0)
    harsher = FakeScorer("v2", worth=0.25)
    again = run(store, plan, client, harsher)
    assert (client.asked, harsher.scored) == ([], plan.size)
    assert set(values(store, again).values()) == {0.25}
    assert again.ledger.scored == plan.size


@pytest.mark.parametrize(("lookup", "concurrency", "pause"), [(1_000, 4, 0.0), (7, 3, 0.002), (1, 8, 0.001), (64, 1, 0.0)])
def test_what_two_capabilities_ask_alike_is_asked_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, lookup: int, concurrency: int, pause: float
) -> None:
    """In one batch or in two, under way or answered; each capability scores the answer by itself, and a failure is both's."""
    monkeypatch.setattr(runner, "LOOKUP", lookup)
    look = RunWriter.cached

    def slowly(*args: Any, **options: Any) -> dict[str, Response]:
        """So that answers come in while somebody looks, and while somebody looks again."""
        found = look(*args, **options)
        time.sleep(0.01)
        return found

    monkeypatch.setattr(RunWriter, "cached", slowly)
    cases = [{"input": f"q {i}", "reference": f"q {i}"} for i in range(N)]
    capability = {"role": "protected", "margin": 0.1, "cases": cases, "checks": ["equals"]}
    twice = load_small(tmp_path, capabilities={"one": capability, "two": {**capability, "role": "advisory"}})
    plan, counts = Plan(twice, BASE), Counts()
    client = FakeClient(pause=pause, fails=lambda request: request.case.vars["input"] == "q 7")
    record = run(store, plan, client, concurrency=concurrency, watcher=counts)
    keys = Counter(request.key for request in client.asked)
    assert set(keys) == {request.key for request in plan.requests()}
    failing = next(request.key for request in plan.requests() if client.fails(request))
    assert keys.pop(failing) in (1, 2), "what failed may be asked again"
    assert set(keys.values()) == {1}
    by_capability = Counter((item.case.capability, item.status) for item in store.items(record.id))
    for name in ("one", "two"):
        assert by_capability[name, ItemStatus.SCORED] == N - 1
        assert by_capability[name, ItemStatus.ERRORED] == 1
    assert record.ledger.closed
    assert counts.cached == N - 1
    work = record.provenance["work"]
    assert (work["requests"], work["from_store"], work["errored"]) == (len(client.asked), N - 1, 2)


def test_answers_that_nobody_remembers_are_asked_for_again(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "REMEMBERED", 3)
    monkeypatch.setattr(runner, "LOOKUP", N)
    cases = [{"input": f"q {i}", "reference": f"q {i}"} for i in range(N)]
    capability = {"role": "protected", "margin": 0.1, "cases": cases, "checks": ["equals"]}
    plan = Plan(load_small(tmp_path, capabilities={"one": capability, "two": capability}), BASE)
    client = FakeClient()
    assert run(store, plan, client, concurrency=2).ledger.scored == 2 * N
    assert N <= len(client.asked) <= 2 * N


def test_another_plan_takes_its_answers_from_the_store(suite: Suite, store: Store) -> None:
    small = Plan(suite, BASE, limit=10)
    assert run(store, small, FakeClient()).status == "partial"
    client, counts = FakeClient(), Counts()
    record = run(store, Plan(suite, BASE), client, watcher=counts)
    assert len(client.asked) == SIZE - 20
    assert (counts.cached, counts.asked) == (20, SIZE - 20)
    assert record.provenance["work"] == {
        "requests": SIZE - 20,
        "from_store": 20,
        "errored": 0,
        "retries": 0,
        "seconds": record.provenance["work"]["seconds"],
        "stopped": "",
    }
    client = FakeClient()
    assert run(store, Plan(suite, BASE, nonce="fresh"), client).id != record.id
    assert client.asked == []


def test_failures_are_recorded_unscored_and_alone_asked_again(suite: Suite, store: Store) -> None:
    plan = Plan(suite, BASE)
    scorer, counts = FakeScorer(), Counts()
    client = FakeClient(fails=lambda request: request.case.vars["input"].endswith("7"))
    record = run(store, plan, client, scorer, watcher=counts)
    failed = sum(i % 10 == 7 for i in range(DEV, N)) * 2
    assert record.status == "complete"
    assert dict(record.ledger.errored) == {"timeout": failed}
    assert record.ledger.closed
    assert scorer.scored == plan.size - failed
    assert counts.errored == failed
    assert record.provenance["work"]["retries"] == 2 * failed
    rows = [row for row in store.score_rows(record.id) if row.status is ItemStatus.ERRORED]
    assert len(rows) == failed
    assert all(row.value is None for row in rows)  # never a silent 0
    client = FakeClient()
    record = run(store, plan, client)
    assert len(client.asked) == failed
    assert record.ledger.scored == plan.size


# -- stopping --------------------------------------------------------------------------------------------------------------------


def test_a_dead_server_stops_the_run_which_goes_on_later(suite: Suite, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.runner.HEALTH_EVERY_S", 0.02)
    client = FakeClient(pause=0.02)

    def health() -> None:
        if len(client.asked) > 20:
            raise ServeError("the server died", where="vllm.log")

    counts = Counts()
    with pytest.raises(ServeError, match="the server died"):
        run(store, Plan(suite, BASE), client, health=health, watcher=counts)
    record = store.runs()[0]
    assert record.status == "interrupted"
    assert record.provenance["work"]["stopped"] == "the server died"
    assert record.ledger.closed
    assert counts.ended == 1  # the bar is taken down, so that the error is readable
    before = len(client.asked)
    assert before < SIZE
    again = FakeClient()
    record = run(store, Plan(suite, BASE), again)
    assert record.ledger.scored == SIZE
    assert len(again.asked) + before <= SIZE + 4  # those in flight


def test_a_server_that_dies_under_the_last_requests_is_noticed(
    suite: Suite, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its death is seen a moment after they failed: not a complete run in which the candidate failed."""
    monkeypatch.setattr("harness.runner.SETTLE_S", 0.05)
    client = FakeClient(fails=lambda request: len(client.asked) > SIZE - 5)
    looked = []

    def health() -> None:
        looked.append(len(client.asked))
        if looked.count(SIZE) >= 1:
            raise ServeError("the server died", where="vllm.log")

    with pytest.raises(ServeError, match="the server died"):
        run(store, Plan(suite, BASE), client, health=health, concurrency=1)
    assert store.runs()[0].status == "interrupted"
    again = FakeClient()
    assert run(store, Plan(suite, BASE), again, health=lambda: None).ledger.scored == SIZE
    assert len(again.asked) == 5


def test_cancelled_at_any_moment_only_what_was_in_flight_is_repeated(tmp_path: Path, suite: Suite) -> None:
    undisturbed = Store.open(tmp_path / "calm", create=True)
    calm = values(undisturbed, run(undisturbed, Plan(suite, BASE), FakeClient()))
    for moment in (1, 2, 7, 33, SIZE - 1, SIZE):
        store = Store.open(tmp_path / f"at{moment}", create=True)
        client = FakeClient(pause=0.001)

        async def disturbed(store: Store = store, client: FakeClient = client, moment: int = moment) -> None:
            scorers = dict.fromkeys(suite.capabilities, FakeScorer())
            work = execute(Plan(suite, BASE), client, scorers, store, watcher=Counts(), provenance={}, concurrency=4)
            task = asyncio.create_task(work)
            client.after = lambda count: task.cancel() if count >= moment else None
            await task

        with pytest.raises(asyncio.CancelledError):
            asyncio.run(disturbed())
        assert store.runs()[0].status == "interrupted"
        assert store.runs()[0].ledger.closed
        again = FakeClient()
        record = run(store, Plan(suite, BASE), again)
        assert values(store, record) == calm
        assert len(client.asked) + len(again.asked) <= SIZE + 4


def test_a_bug_in_a_check_is_raised_and_its_answer_is_kept(suite: Suite, store: Store) -> None:
    """The response is stored before it is scored: mending the check costs no request."""

    def break_down(count: int) -> None:
        if count == 15:
            raise ZeroDivisionError("a bug")

    client = FakeClient()
    with pytest.raises(ZeroDivisionError):
        run(store, Plan(suite, BASE), client, FakeScorer(after=break_down), concurrency=1)
    assert store.runs()[0].status == "interrupted"
    assert len(client.asked) == 15
    again = FakeClient()
    assert run(store, Plan(suite, BASE), again).ledger.scored == SIZE
    assert len(again.asked) == SIZE - 15
    assert not {r.key for r in client.asked} & {r.key for r in again.asked}


def test_a_full_disk_stops_everything_at_once(suite: Suite, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real, written = RunWriter.add_response, []

    def add(self: RunWriter, request: Request, response: Response, *, cached: bool = False) -> None:
        written.append(request)
        if len(written) == 10:
            raise StoreError("cannot write: No space left on device", where="journal")
        real(self, request, response, cached=cached)

    monkeypatch.setattr(RunWriter, "add_response", add)
    client = FakeClient(pause=0.001)
    with pytest.raises(StoreError, match="No space left"):
        run(store, Plan(suite, BASE), client)
    assert len(client.asked) <= 10 + 2 * 4
    monkeypatch.undo()
    assert store.runs()[0].status == "interrupted"
    assert run(store, Plan(suite, BASE), FakeClient()).ledger.scored == SIZE


def test_two_at_once_share_a_run(suite: Suite, tmp_path: Path) -> None:
    """The second waits for the first, then finds everything answered: nothing is asked twice."""
    stores = [Store.open(tmp_path / "store", create=True) for _ in range(2)]
    clients = [FakeClient(pause=0.003), FakeClient(pause=0.003)]
    scorers = dict.fromkeys(suite.capabilities, FakeScorer())

    async def both() -> list[RunRecord]:
        plan = Plan(suite, BASE)
        work = [
            execute(plan, client, scorers, store, watcher=Counts(), provenance={}, concurrency=4)
            for client, store in zip(clients, stores, strict=True)
        ]
        return await asyncio.gather(*work)

    records = asyncio.run(both())
    assert sorted(len(client.asked) for client in clients) == [0, SIZE]
    assert {record.id for record in records} == {Plan(suite, BASE).run_id}
    assert all(record.ledger.scored == SIZE for record in records)


def test_server_figures_are_kept(suite: Suite, store: Store) -> None:
    async def figures() -> dict[str, Any]:
        return {"start_s": 3.5}

    record = run(store, Plan(suite, BASE), FakeClient(), server_figures=figures, provenance={"checks": "abc"})
    assert record.provenance["server"] == {"start_s": 3.5}
    assert record.provenance["checks"] == "abc"


def test_what_is_asked_is_what_the_suite_says(tmp_path: Path, store: Store) -> None:
    """Sampling and the rendered prompt reach the client as they are in the suite."""
    prompt = {"system": "be brief", "template": "Q: {{ input }}"}
    suite = suite_of(tmp_path, 2, prompt=prompt)
    client = FakeClient()
    run(store, Plan(suite, BASE), client)
    asked = client.asked[0]
    assert asked.messages == (Message("system", "be brief"), Message("user", f"Q: {asked.case.vars['input']}"))
    assert asked.sampling == Sampling(**suite.sampling.as_dict() | {"stop": ()})


def test_a_run_that_somebody_begins_again_at_once_is_as_complete_as_it_was(
    store: Store, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands share a baseline: the second waits for the first to end it, and begins it before the first has looked."""
    waiting: list[RunWriter] = []
    finish = RunWriter.finish

    def finish_and_begin(writer: RunWriter, *words: Any) -> None:
        finish(writer, *words)
        plan = Plan(suite, BASE)
        waiting.append(store.begin_run(replace(store.run(plan.run_id), status="running"), "", {}, plan.requests()))

    monkeypatch.setattr(RunWriter, "finish", finish_and_begin)
    record = run(store, Plan(suite, BASE), FakeClient())
    assert store.run(record.id).status == "running"
    assert record.status == "complete"
    assert record.ledger.scored == record.ledger.planned > 0
    waiting[0].close()
