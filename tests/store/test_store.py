"""What goes in comes out, and the denominator is always closed."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.runs import CANDIDATE, make_failure, make_record, make_request, make_requests, make_response, make_score

from harness.errors import DataError, StoreError, UsageError
from harness.model import (
    CapabilityComparison,
    Claim,
    Gate,
    ItemStatus,
    Ledger,
    Outcome,
    PairedComparison,
    Reason,
    Request,
    Response,
    Role,
    Score,
    Seesaw,
    Split,
    Verdict,
)
from harness.store import Store
from harness.store.rows import noun, plain


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def answer_all(store: Store, run_id: str, requests: list[Request], value: float = 1.0, **record: object) -> None:
    with store.begin_run(make_record(run_id, **record), "name: demo", {}, requests) as writer:
        for request in requests:
            response = make_response(request)
            writer.add_response(request, response)
            writer.add_score(request, response, make_score(value), "v1")
        writer.finish("complete", {"python": "3.11"})


def test_an_item_comes_back_whole(store: Store) -> None:
    case = {"cluster": "doc-7", "split": Split.DEV, "must_pass": True, "metadata": {"tags": ["a", {"b": 1.5}]}}
    request = make_request(4, **case, vars={"input": "q", "n": 3, "list": [1, None]}, reference={"answer": [4]})
    response = make_response(request, thinking="hm", ttft_s=0.1 + 0.2, attempts=2)
    with store.begin_run(make_record(), "name: demo", {}, [request]) as writer:
        writer.add_response(request, response)
        writer.add_score(request, response, make_score(0.25), "v1")
        writer.finish("complete")
    [item] = store.items("run1")
    assert (item.case, item.response, item.score) == (request.case, response, make_score(0.25))
    assert (item.messages, item.status, item.reason, item.cached) == (request.messages, ItemStatus.SCORED, None, False)
    [row] = store.score_rows("run1")
    assert (row.value, row.passed, row.cluster, row.split, row.must_pass) == (0.25, False, "doc-7", Split.DEV, True)


def test_the_denominator_is_closed_at_every_moment(store: Store) -> None:
    requests = list(make_requests(3, samples=2))
    writer = store.begin_run(make_record(), "name: demo", {}, iter(requests))
    assert store.ledger("run1") == Ledger(6, 0, {}, {}, {"pending": 6})
    responses = [make_response(request) for request in requests]
    writer.add_response(requests[0], responses[0])
    writer.add_score(requests[0], responses[0], make_score(), "v1")
    writer.add_response(requests[1], responses[1])
    writer.add_response(requests[2], responses[2])
    writer.add_score(requests[2], responses[2], make_score(None, "truncated"), "v1")
    writer.add_response(requests[3], make_failure(requests[3], "http-500"))
    writer.skip(requests[4], "limit")
    expected = Ledger(6, 1, {"pending": 1, "truncated": 1}, {"http-500": 1}, {"limit": 1, "pending": 1})
    assert store.ledger("run1") == expected == Ledger.of(store.score_rows("run1"))
    writer.finish("partial")
    record = store.run("run1")
    assert record.ledger.skipped == {"limit": 1, "not-asked": 1}
    assert record.ledger.closed
    assert store.ledger("run1", "math") == record.ledger
    assert store.ledger("run1", "other") == Ledger()
    assert [item.status for item in store.items("run1", status=ItemStatus.ERRORED)] == [ItemStatus.ERRORED]


def test_going_on_keeps_what_is_done_and_replaces_errors(store: Store) -> None:
    requests = list(make_requests(3))
    good = make_response(requests[0])
    with store.begin_run(make_record(), "name: demo", {}, requests) as writer:
        writer.add_response(requests[0], good)
        writer.add_score(requests[0], good, make_score(), "v1")
        writer.add_response(requests[1], make_failure(requests[1]))
    assert store.run("run1").status == "interrupted"  # given free without an end
    with store.begin_run(make_record(started_at=200.0), "name: demo", {}, requests) as writer:
        assert store.run("run1").status == "running"
        assert writer.done("v1") == {(requests[0].case.id, 0)}
        assert writer.done("v2") == set()
        assert set(writer.cached([request.key for request in requests])) == {requests[0].key}
        later = make_response(requests[1], "late")
        writer.add_response(requests[1], later)
        writer.add_response(requests[1], make_failure(requests[1]))  # an error never replaces a response
        writer.add_score(requests[1], later, make_score(0.0), "v1")
        writer.skip(requests[0], "limit")  # nor does a skip
        writer.finish("interrupted", {"again": True})
    record = store.run("run1")
    assert (record.status, record.provenance, record.ledger.scored, record.ledger.skipped) == (
        "interrupted",
        {"again": True},
        2,
        {"not-asked": 1},
    )
    assert [item.response and item.response.text for item in store.items("run1")] == [good.text, "late", None]


def test_a_changed_check_scores_again_from_stored_responses(store: Store) -> None:
    requests = list(make_requests(4))
    answer_all(store, "run1", requests)
    keys = [request.key for request in requests]
    assert store.answered([*keys, "0" * 32]) == set(keys)
    with store.begin_run(make_record("run2", suite_hash="i" * 64), "name: demo", {}, requests) as writer:
        stored = writer.cached([*keys, "0" * 32])
        assert stored == {request.key: make_response(request) for request in requests}
        for request in requests:
            writer.add_response(request, stored[request.key], cached=True)
            writer.add_score(request, stored[request.key], make_score(0.0), "v2")
        writer.finish("complete")
    assert [item.score.value for item in store.items("run1") if item.score] == [1.0] * 4
    assert [(item.score.value, item.cached) for item in store.items("run2") if item.score] == [(0.0, True)] * 4
    assert (store.latencies("run1").n_cached, store.latencies("run2").n_cached) == (0, 4)
    assert store._with(lambda c: c.execute("SELECT count(*) FROM responses").fetchone()) == (4,)  # stored once, not twice


def test_each_run_keeps_the_response_that_it_scored(store: Store) -> None:
    [request] = make_requests(1)
    texts = {"run1": "first", "run2": "second"}
    writers = {run_id: store.begin_run(make_record(run_id), "name: demo", {}, [request]) for run_id in texts}
    for run_id, text in texts.items():
        response = make_response(request, text)
        writers[run_id].add_response(request, response)
        writers[run_id].add_score(request, response, make_score(), "v1")
    for writer in writers.values():
        writer.finish("complete")
    assert {run_id: [i.response.text for i in store.items(run_id) if i.response] for run_id in texts} == {
        "run1": ["first"],
        "run2": ["second"],
    }


def test_an_answer_to_another_rendering_does_not_count(store: Store) -> None:
    [old] = make_requests(1)
    answer_all(store, "run1", [old])
    new = dataclasses.replace(old, messages=(*old.messages, *old.messages))
    with store.begin_run(make_record(), "name: demo", {}, [new]) as writer:
        assert writer.done("v1") == set()
        writer.finish("interrupted")
    assert store.run("run1").ledger == Ledger(1, 0, {}, {}, {"not-asked": 1})


def test_cases_and_pages_in_the_plans_order(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.store.queries.PAGE_ROWS", 7)
    monkeypatch.setattr("harness.store.queries.PAGE_BYTES", 300)
    monkeypatch.setattr("harness.store.queries.STRETCH_ROWS", 8)
    requests = [make_request(n, capability="ab"[n % 2]) for n in range(29, -1, -1)]
    answer_all(store, "run1", requests)
    ids = [request.case.id for request in requests]
    assert [item.case.id for item in store.items("run1")] == ids
    assert [row.case_id for row in store.score_rows("run1")] == ids
    assert [item.case.id for item in store.items("run1", capability="a")] == ids[1::2]
    assert [item.case.id for item in store.items("run1", case_ids=[ids[5], ids[2], "nope"])] == [ids[2], ids[5]]
    assert list(store.items("run1", case_ids=[])) == []


def test_finding_runs(store: Store) -> None:
    with pytest.raises(UsageError, match="Run a suite first"):
        store.run("latest")
    for number, run_id in enumerate(("abc1", "abc2", "xyz1")):
        suite = "other" if run_id == "xyz1" else "demo"
        answer_all(store, run_id, list(make_requests(1)), started_at=float(number), suite_name=suite)
    assert [record.id for record in store.runs()] == ["xyz1", "abc2", "abc1"]
    assert [record.id for record in store.runs("demo")] == ["abc2", "abc1"]
    assert (store.run("latest").id, store.run("latest", "demo").id, store.run("x").id) == ("xyz1", "abc2", "xyz1")
    with pytest.raises(UsageError, match=r"fits 2 runs.*abc1"):
        store.run("abc")
    with pytest.raises(UsageError, match=r"no run 'abc3'.*abc"):
        store.run("abc3")
    with pytest.raises(UsageError, match="no run ''"):
        store.run("")
    assert store.suite("h" * 64) == ("name: demo", "{}")
    assert store.suite("?") is None


def test_promotion_moves(store: Store) -> None:
    answer_all(store, "one", list(make_requests(1)))
    answer_all(store, "two", list(make_requests(1)))
    assert store.promoted("demo") is None
    assert store.promote("one").promoted
    store.promote("two")
    found = store.promoted("demo")
    assert found is not None
    assert found.id == "two"
    assert {record.id: record.promoted for record in store.runs()} == {"one": False, "two": True}
    with pytest.raises(UsageError, match="no run 'three'"):
        store.promote("three")


def make_verdict(low: float = -0.02) -> Verdict:
    paired = PairedComparison(0.1, low, math.inf, 50, 50, "tango", 0.05, 0.05, 0.01, 1e-9, 0.99, 1.0)
    row = CapabilityComparison(
        "math", Role.TARGET, 0.05, 0.9, 0.8, paired, None, (Claim.IMPROVED, Claim.NOT_WORSE), 50, 50, fixed=("a",), n_needed=None
    )
    return Verdict(
        Outcome.OPTIMIZE,
        (Reason("harmed", "worse", "math", Outcome.OPTIMIZE),),
        {"math": (Claim.IMPROVED,)},
        (Seesaw(("math",), ("chat",), 0.1),),
        (row, dataclasses.replace(row, capability="chat", paired=None, reason="only 3 clusters")),
        Gate(alpha=0.01, max_ttft_p95_s=0.5),
        infrastructure=True,
    )


def test_a_verdict_comes_back_whole(store: Store) -> None:
    assert store.verdict("run1") is None
    store.save_verdict("run1", "run0", make_verdict(-0.5))
    store.save_verdict("run1", "run0", make_verdict())
    store.save_verdict("run2", None, Verdict(Outcome.SHIP, ()))
    found = store.verdict("run1")
    assert found is not None
    assert (found.verdict, found.baseline_run_id) == (make_verdict(), "run0")
    assert store.verdict("run1", "another") is None
    other = store.verdict("run2")
    assert other is not None
    assert (other.verdict, other.baseline_run_id) == (Verdict(Outcome.SHIP, ()), None)
    rows = store._with(lambda c: c.execute("SELECT capability, low, claims FROM comparisons ORDER BY capability").fetchall())
    assert rows == [("chat", None, '["improved","not worse"]'), ("math", -0.02, '["improved","not worse"]')]


def test_latencies_are_of_successful_responses(store: Store) -> None:
    requests = list(make_requests(5))
    with store.begin_run(make_record(), "name: demo", {}, requests) as writer:
        for request, seconds in zip(requests, (1.0, 2.0, 3.0, 4.0), strict=False):
            writer.add_response(request, make_response(request, total_s=seconds, ttft_s=None))
        writer.add_response(requests[4], make_failure(requests[4]))
        writer.finish("complete")
    found = store.latencies("run1")
    assert (found.n, found.ttft_p50_s, found.total_p50_s, found.total_p95_s) == (4, None, 2.5, pytest.approx(3.85))
    assert (found.prompt_tokens, found.completion_tokens) == (28, 12)
    nothing = store.latencies("none")
    assert (nothing.n, nothing.total_p95_s, nothing.prompt_tokens) == (0, None, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.01, 1.01])
def test_a_score_that_is_none_is_refused(store: Store, value: float) -> None:
    [request] = make_requests(1)
    with (
        store.begin_run(make_record(), "name: demo", {}, [request]) as writer,
        pytest.raises(DataError, match=r"not a number in \[0, 1\]"),
    ):
        writer.add_score(request, make_response(request), Score(value, None), "v1")


@pytest.mark.parametrize("run_id", ["", "../x", "a/b", ".", "a b", "x" * 65])
def test_a_run_id_is_never_a_path(store: Store, run_id: str) -> None:
    with pytest.raises(UsageError, match="no run id"):
        store.begin_run(make_record(run_id), "", {}, [])


def test_one_process_at_a_time_writes_a_run(store: Store) -> None:
    with (
        store.begin_run(make_record(), "", {}, make_requests(1)),
        pytest.raises(StoreError, match="run run1 is being written by process"),
    ):
        store.begin_run(make_record(), "", {}, make_requests(1))
    store.begin_run(make_record(), "", {}, make_requests(1)).close()


def test_a_plan_that_fails_leaves_no_run(store: Store) -> None:
    def broken():
        yield from make_requests(2)
        raise DataError("the prompt cannot be rendered")

    with pytest.raises(DataError):
        store.begin_run(make_record(), "", {}, broken())
    assert store.runs() == []
    answer_all(store, "run1", list(make_requests(3)))
    assert store.run("run1").ledger.scored == 3


# Any Unicode text; no lone surrogates, those have a test of their own.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
MAYBE = st.none() | TEXT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SECONDS = st.none() | st.floats(0, 1e6)
RESPONSES = st.builds(
    Response,
    key=st.just(""),
    text=TEXT,
    thinking=MAYBE,
    finish_reason=MAYBE,
    prompt_tokens=st.none() | st.integers(0, 2**40),
    completion_tokens=st.none() | st.integers(0, 2**40),
    ttft_s=SECONDS,
    total_s=SECONDS,
    attempts=st.integers(1, 9),
    started_at=SECONDS,
)
SCORES = st.builds(Score, st.floats(0, 1), st.none() | st.booleans(), st.none(), TEXT)
ROW = st.tuples(RESPONSES, SCORES, st.dictionaries(TEXT, JSON, max_size=3), JSON, MAYBE)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(ROW, min_size=1, max_size=20))
def test_every_text_number_and_json_value_comes_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    store = Store.open(tmp_path_factory.mktemp("any") / "store")
    requests = [
        make_request(n, vars={**variables, "input": "x"}, reference=reference, cluster=cluster, metadata=variables)
        for n, (_, _, variables, reference, cluster) in enumerate(rows)
    ]
    expected = []
    with store.begin_run(make_record(), "name: demo", {}, requests) as writer:
        for request, (response, score, *_) in zip(requests, rows, strict=True):
            response = dataclasses.replace(response, key=request.key)
            writer.add_response(request, response)
            writer.add_score(request, response, score, "v1")
            expected.append((request.case, response, score))
        writer.finish("complete")
    assert [(item.case, item.response, item.score) for item in store.items("run1")] == expected


def test_nouns_survive_their_plain_form() -> None:
    assert noun(Verdict, plain(make_verdict())) == make_verdict()
    record = make_record(candidate=dataclasses.replace(CANDIDATE, adapter="a"), ledger=Ledger(2, 1, {"x": 1}))
    assert noun(type(record), plain(record)) == record
    assert noun(Gate, {"alpha": 1, "of a later version": 3}) == Gate(alpha=1.0)


@pytest.mark.parametrize("rows", [1, 3, 7, 1000])
@pytest.mark.parametrize("samples", [1, 4])
def test_stretches_change_no_number(store: Store, monkeypatch: pytest.MonkeyPatch, rows: int, samples: int) -> None:
    """What is read stretch by stretch is what is read at once, and no case falls apart between two stretches."""
    requests = [make_request(n, capability="ab"[n % 2], sample=j) for n in range(12) for j in range(samples)]
    answer_all(store, "run1", requests)
    whole = store.ledger("run1"), store.latencies("run1"), store.capability_means(["run1"]), list(store.items("run1"))
    monkeypatch.setattr("harness.store.queries.STRETCH_ROWS", rows)
    assert (store.ledger("run1"), store.latencies("run1"), store.capability_means(["run1"]), list(store.items("run1"))) == whole
    assert whole[0].planned == len(requests) == sum(mean.n_planned for mean in whole[2]) * samples
    assert whole[1].n == len(requests)
    assert [mean.n_scored for mean in whole[2]] == [6, 6]
