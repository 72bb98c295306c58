"""Sequential runs against a scripted server: fewer requests, the right verdict, resumed to the same one, books closed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Body, Fault, ScriptedServer
from support.suites import write_rows, write_suite

from harness.cli import call as harness
from harness.comparison import DECIDED
from harness.model import Claim, RunRecord, Verdict
from harness.store import Store

N = 300


def number_in(body: Body) -> int:
    return int(re.findall(r"\d+", body["messages"][-1]["content"])[0])


def answer(body: Body) -> str:
    """base and same fail on every 40th; better gains on every third; worse loses on every fourth."""
    n, model = number_in(body), body["model"]
    wrong = (
        n % 40 == 0 or (model == "worse" and n % 4 == 0) or (model == "base" and n % 3 == 0 and "sum" in str(body["messages"]))
    )
    return "wrong" if wrong else f"r{n}"


class Place:
    """A folder with a suite in it, and a store."""

    def __init__(self, folder: Path, server: ScriptedServer, **changes: Any) -> None:
        self.folder, self.server, self.store = folder, server, folder / "store"
        gate = {"sequential": True} | changes.pop("gate", {})
        rows = changes.pop("rows", [{"input": f"date {i}", "reference": f"r{i}"} for i in range(N)])
        write_rows(folder / "dates.jsonl", rows)
        write_rows(folder / "sums.jsonl", [{"input": f"sum {i}", "reference": f"r{i}"} for i in range(N)])
        names = changes.pop("candidates", ["base", "same", "better", "worse"])
        capabilities = {"dates": {"role": "protected", "margin": 0.05, "cases": "dates.jsonl", "checks": ["equals"]}}
        if changes.pop("target", False):
            capabilities["sums"] = {"role": "target", "margin": 0.05, "cases": "sums.jsonl", "checks": ["equals"]}
        suite = {
            "suite": "seq",
            "baseline": "base",
            "candidates": {name: {"endpoint": server.url, "model": name} for name in names},
            "generation": {"concurrency": 8, "retries": 0},
            "capabilities": capabilities,
            "gate": gate,
        }
        self.suite = write_suite(folder, suite | changes)

    def run(self, *arguments: str) -> int:
        html = ["--report", str(self.folder / "report.html")]
        return harness(["run", str(self.suite), "--store", str(self.store), *html, *arguments])

    def verdict(self) -> tuple[RunRecord, RunRecord, Verdict]:
        with Store.open(self.store) as store:
            last = next(record for record in store.runs() if store.verdict(record.id))
            found = store.verdict(last.id)
            assert found is not None
            assert found.baseline_run_id is not None
            return last, store.run(found.baseline_run_id), found.verdict


@contextmanager
def serving(**options: Any) -> Iterator[ScriptedServer]:
    given: dict[str, Any] = {"answer": answer, "models": ("base", "same", "better", "worse")}
    with ScriptedServer(**given | options) as server:
        yield server


def closed(record: RunRecord, planned: int) -> None:
    assert record.ledger.closed
    assert record.ledger.planned == planned
    assert record.status == "complete"


def test_an_equal_candidate_ships_on_a_part_of_the_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        place = Place(tmp_path, server)
        assert place.run("-c", "same") == 0
        asked = server.count
        record, base, verdict = place.verdict()
        assert asked < 0.5 * 2 * N
        assert server.counts["same"] == server.counts["base"] == asked // 2
        assert server.peak_in_flight <= 8
        for one in (record, base):
            closed(one, N)
            assert one.ledger.scored == asked // 2
            assert dict(one.ledger.skipped) == {DECIDED: N - asked // 2}
        comparison = verdict.comparisons[0]
        assert comparison.paired is not None
        assert (comparison.paired.method, comparison.paired.n, comparison.n_planned) == ("sequential", asked // 2, N)
        assert (comparison.missing_candidate, comparison.missing_baseline) == (0, 0)
        assert Claim.NOT_WORSE in comparison.claims
        assert comparison.paired.low >= -0.05
        assert re.search(rf"dates: decided after \d+ of {N} cases", capsys.readouterr().out)
        assert '<svg class="evidence"' in (tmp_path / "report.html").read_text()
        # again: nothing to ask, the same verdict; and explain makes it from the store alone
        assert place.run("-c", "same") == 0
        assert server.count == asked
        assert harness(["explain", "latest", "--store", str(place.store)]) == 0  # the candidate's, not the baseline's
        out = capsys.readouterr().out
        assert f"run {record.id} (same)" in out
        assert "the same verdict as was stored" in out
        # judged as if n had been fixed, a stopped run is a partial one, and says that this is no verdict
        assert harness(["explain", "latest", "--what-if", "sequential=false", "--store", str(place.store)]) == 0
        out = capsys.readouterr().out
        assert "changed after looking; not a verdict" in out
        assert "would be: INCONCLUSIVE" in out
        # the same answers without the sequential gate: everything is asked
    with serving() as server:
        (tmp_path / "fixed").mkdir()
        assert Place(tmp_path / "fixed", server, gate={"sequential": False}).run("-c", "same") == 0
        assert server.count == 2 * N


def test_a_damaged_candidate_is_stopped_early_and_two_candidates_share_a_baseline(tmp_path: Path) -> None:
    with serving() as server:
        place = Place(tmp_path, server, target=True)
        assert place.run("-c", "worse") == 1
        first = server.count
        assert first < 0.4 * 4 * N
        worse, base, verdict = place.verdict()
        closed(worse, 2 * N)
        assert "harmed" in {reason.code for reason in verdict.reasons}
        assert place.run("-c", "better") == 0
        better, base_later, verdict = place.verdict()
        assert better.id != worse.id
        assert base_later.id == base.id
        assert base_later.ledger.scored > base.ledger.scored  # the same run went on
        closed(base_later, 2 * N)
        assert {reason.code for reason in verdict.reasons} == {"not-worse", "target-met"}
        assert server.counts["base"] == base_later.ledger.scored  # nothing was asked twice
        # the earlier verdict is about what its own run was asked, whatever the baseline was asked since
        assert harness(["explain", worse.id, "--store", str(place.store)]) == 0


@pytest.mark.parametrize(("candidate", "kill_at"), [("worse", 25), ("same", 110)])
def test_killed_and_run_again_it_comes_to_the_same_verdict(tmp_path: Path, candidate: str, kill_at: int) -> None:
    """kill -9 in the middle of a batch. Only requests in flight are repeated, and the rounds go the same way."""
    with serving() as server:
        (tmp_path / "whole").mkdir()
        whole = Place(tmp_path / "whole", server, candidates=["base", candidate])
        code = whole.run()
        wanted, base_wanted, verdict = whole.verdict()
        asked = server.count
    with serving(delay=0.02) as server:
        (tmp_path / "cut").mkdir()
        cut = Place(tmp_path / "cut", server, candidates=["base", candidate])
        command = [sys.executable, "-m", "harness", "run", str(cut.suite), "--store", str(cut.store)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: server.count >= kill_at)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        before = server.count
        assert before < asked
        assert cut.run() == code
        got, base_got, again = cut.verdict()
        assert again.comparisons == verdict.comparisons
        assert again.reasons == verdict.reasons
        assert (got.ledger, base_got.ledger) == (wanted.ledger, base_wanted.ledger)
        assert server.count <= asked + 8  # the concurrency
        assert 4 < server.peak_in_flight <= 8  # both runs at once, and no more than the suite allows


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_an_undecided_run_asks_everything_and_stays_undecided(tmp_path: Path) -> None:
    rows = [{"input": f"date {i}", "reference": f"r{i}"} for i in range(40)]
    with serving() as server:
        place = Place(tmp_path, server, rows=rows)
        assert place.run("-c", "same") == 2
        assert server.count == 80
        record, _, verdict = place.verdict()
        closed(record, 40)
        assert record.ledger.n_skipped == 0
        assert "not-shown" in {reason.code for reason in verdict.reasons}


def test_a_failed_must_pass_case_ends_the_run_at_once(tmp_path: Path) -> None:
    """Must-pass cases are asked first; one that fails decides."""
    rows = [{"input": f"date {i}", "reference": f"r{i}", "must_pass": i in (4, 7, 9)} for i in range(N)]
    with serving() as server:
        place = Place(tmp_path, server, rows=rows)
        assert place.run("-c", "worse") == 1
        assert server.count <= 2 * (3 + 16)
        asked = [number_in(seen.body) for seen in server.requests]
        assert sorted(asked[:3]) == [4, 7, 9]
        record, _, verdict = place.verdict()
        closed(record, N)
        assert "must-pass-failed" in {reason.code for reason in verdict.reasons}


def test_answers_that_fail_count_as_missing_and_not_as_decided(tmp_path: Path) -> None:
    """Two requests to the candidate fail for good: within the budget, in their turn, and bounded at their worst."""
    failing: set[int] = set()

    def faults(number: int, body: Body) -> Fault | None:
        if body["model"] == "same" and len(failing) < 2:
            failing.add(number_in(body))
        return Fault.status(400) if body["model"] == "same" and number_in(body) in failing else None

    with serving(faults=faults) as server:
        place = Place(tmp_path, server, gate={"max_error_rate": 0.2})
        assert place.run("-c", "same") == 0
        record, _, verdict = place.verdict()
        closed(record, N)
        comparison = verdict.comparisons[0]
        assert comparison.worst is not None
        assert comparison.paired is not None
        assert record.ledger.n_errored == comparison.missing_candidate == 2
        assert comparison.worst.n == comparison.paired.n + 2
        assert comparison.worst.p_not_worse <= 0.05


def test_a_floor_is_asked_for_until_it_is_shown(tmp_path: Path) -> None:
    with serving() as server:
        place = Place(tmp_path, server, gate={"floors": {"dates": 0.9}})
        assert place.run("-c", "same") == 0
        with_floor = server.count
        _, _, verdict = place.verdict()
        assert {reason.code for reason in verdict.reasons} == {"not-worse", "floor-met"}
    with serving() as server:
        (tmp_path / "without").mkdir()
        Place(tmp_path / "without", server).run("-c", "same")
        assert server.count <= with_floor < 2 * N


def test_against_a_promoted_run_that_stopped_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its answers end where it was decided; what it cannot answer is not asked of the candidate, and nothing ships on less."""
    with serving() as server:
        place = Place(tmp_path, server)
        assert place.run("-c", "worse") == 1
        _, base, _ = place.verdict()
        assert harness(["promote", base.id, "--store", str(place.store)]) == 0
        asked = base.ledger.scored
        before = server.count
        assert place.run("-c", "same", "--baseline", "promoted") == 2
        assert server.count - before == asked
        record, _, verdict = place.verdict()
        closed(record, N)
        assert dict(record.ledger.skipped) == {"baseline-not-asked": N - asked}
        assert {"partial", "not-shown"} <= {reason.code for reason in verdict.reasons}


def test_cases_that_share_clusters_are_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"input": f"date {i}", "reference": f"r{i}", "cluster": f"doc{i // 2}"} for i in range(N)]
    with serving() as server:
        place = Place(tmp_path, server, rows=rows)
        assert place.run("-c", "same") == 3
        assert server.count == 0
    assert "cases of 'dates' share clusters" in capsys.readouterr().err


def test_score_files_go_through_the_same_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = {"a": lambda i: i % 40 != 0, "b": lambda i: i % 41 != 0}
    for name, passes in scores.items():
        write_rows(
            tmp_path / f"{name}.jsonl", [{"case_id": f"c{i}", "capability": "d", "score": int(passes(i))} for i in range(N)]
        )
    (tmp_path / "gate.yaml").write_text("gate: {sequential: true}\n")
    files = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    assert harness(["compare", *files, "--gate", str(tmp_path / "gate.yaml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["comparisons"][0]["paired"]["method"] == "sequential"
    assert told["gate"]["sequential"] is True


def test_without_a_baseline_everything_is_asked(tmp_path: Path) -> None:
    """There is nothing to decide sequentially."""
    with serving() as server:
        place = Place(tmp_path, server, candidates=["same"], baseline=None)
        assert place.run() == 2
        assert server.count == N


def test_a_dead_server_leaves_both_runs_to_be_continued(tmp_path: Path) -> None:
    def faults(number: int, body: Body) -> Fault | None:
        return Fault.reset() if number >= 40 and server.count < 10_000 and not mended else None

    mended: list[bool] = []
    with serving(faults=faults) as server:
        place = Place(tmp_path, server)
        assert place.run("-c", "same") == 4  # nearly everything failed: not judged
        record, _, verdict = place.verdict()
        assert verdict.infrastructure
        assert record.ledger.closed
        mended.append(True)
        assert place.run("-c", "same") == 0  # what failed is asked again
        record, _, _ = place.verdict()
        assert record.ledger.n_errored == 0
        closed(record, N)
