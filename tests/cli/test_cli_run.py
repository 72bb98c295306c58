"""`harness run` from suite to exit code, against a scripted server: verdicts, filters, baselines, reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.gates import CASES, harness, scripted, write_gate
from support.scripted_server import Fault

from harness.model import Outcome
from harness.store import Store

PLANNED = 2 * CASES  # per candidate


def test_ship_optimize_inconclusive_have_their_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        assert "SHIP" in capsys.readouterr().out
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        told = capsys.readouterr().out
        assert "OPTIMIZE" in told
        assert "seesaw" in told
        assert "'sums'" in told
        assert "'dates'" in told
        assert harness(tmp_path, "run", suite, "-c", "same") == 2
        assert server.count == 4 * PLANNED


def test_several_candidates_give_the_worst_code_and_share_the_baseline(tmp_path: Path) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good", "-c", "same", "-c", "bad") == 1
        assert server.counts["base"] == PLANNED


def test_running_again_asks_nothing_and_a_changed_check_rescores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        asked = server.count
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        write_gate(tmp_path, server.url, check="contains")
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        assert server.count == asked
        assert "0 to ask" in capsys.readouterr().err
        write_gate(tmp_path, server.url, extra="prompt: {system: be brief}\n")
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        assert server.count == 2 * asked


def test_partial_runs_never_ship(tmp_path: Path) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good", "--limit", 60) == 2
        assert server.count == 4 * 60
        assert harness(tmp_path, "run", suite, "-c", "good", "--capability", "sums") == 2
    with Store.open(tmp_path / "store") as store:
        assert {run.status for run in store.runs()} == {"partial"}


def test_fresh_resume_and_expected_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good", "--resume") == 3
        assert "nothing to resume" in capsys.readouterr().err
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        assert harness(tmp_path, "run", suite, "-c", "good", "--resume") == 0
        assert harness(tmp_path, "run", suite, "-c", "good", "--fresh") == 0
        assert harness(tmp_path, "run", suite, "-c", "good", "--expect-hash", "0" * 64) == 3
        told = capsys.readouterr().err
        assert "the suite's hash is" in told
        assert "This host has other cases" in told
    with Store.open(tmp_path / "store") as store:
        assert sum(run.candidate.name == "good" for run in store.runs()) == 2


def test_a_promoted_run_is_the_next_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good", "--baseline", "promoted") == 2
        assert "promoted yet" in capsys.readouterr().err
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert harness(tmp_path, "promote", "latest") in (0, 3)
        with Store.open(tmp_path / "store") as store:
            runs = {run.candidate.name: run.id for run in store.runs()}
        assert harness(tmp_path, "promote", runs["bad"]) == 3
        assert "--force" in capsys.readouterr().err
        assert harness(tmp_path, "promote", runs["base"]) == 0
        assert harness(tmp_path, "run", suite, "-c", "good", "--baseline", "promoted") == 0
        assert harness(tmp_path, "compare", runs["bad"], runs["base"]) == 1


def test_runs_scored_by_different_checks_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        harness(tmp_path, "run", suite, "-c", "good")
        write_gate(tmp_path, server.url, check="contains")
        harness(tmp_path, "run", suite, "-c", "bad")
    with Store.open(tmp_path / "store") as store:
        runs = {run.candidate.name: run.id for run in store.runs()}
    capsys.readouterr()
    assert harness(tmp_path, "compare", runs["bad"], runs["good"]) == 3
    assert "different checks" in capsys.readouterr().err
    assert harness(tmp_path, "compare", runs["bad"], runs["bad"]) == 3
    assert "candidate and baseline are the same run" in capsys.readouterr().err


def test_every_report_format_is_written(tmp_path: Path) -> None:
    files = {name: tmp_path / "out" / f"r.{name}" for name in ("html", "md", "xml", "json")}
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        words = ["run", suite, "-c", "bad", "--report", files["html"], "--markdown", files["md"]]
        assert harness(tmp_path, *words, "--junit", files["xml"], "--json", files["json"]) == 1
    assert "OPTIMIZE" in files["html"].read_text()
    assert "OPTIMIZE" in files["md"].read_text()
    assert json.loads(files["json"].read_text())["schema_version"] == 1
    tree = ElementTree.parse(files["xml"]).getroot()
    assert len(list(tree.iter("failure"))) >= CASES // 4
    again = tmp_path / "again.html"
    assert harness(tmp_path, "report", "latest", "-o", again) == 0
    assert harness(tmp_path, "export", "latest", tmp_path / "scores.jsonl") == 0
    assert len((tmp_path / "scores.jsonl").read_text().splitlines()) == PLANNED
    assert harness(tmp_path, "export", "latest", tmp_path / "scores.xls") == 3


def test_trouble_on_the_way_is_retried_then_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few 500s recover. A model that always fails is infrastructure (4), and running again asks only what failed."""
    broken = {"yes": True}

    def faults(number: int, body: dict[str, object]) -> Fault | None:
        if body["model"] == "good" and broken["yes"]:
            return Fault.status(400, "no such luck")
        return Fault.status(500) if number == 3 else None

    with scripted(faults=faults) as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good") == 4
        told = capsys.readouterr().out
        assert "0 scored" in told
        assert f"{PLANNED} errored" in told
        broken["yes"] = False
        before = server.counts["base"]
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        assert server.counts["base"] == before


def test_hostile_answers_end_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2J\x00</script><img src=x onerror=alert(1)>\u202e'; DROP TABLE runs; --"
    with scripted(answer=lambda body: evil) as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        code = harness(tmp_path, "run", suite, "-c", "good", "--report", tmp_path / "r.html")
    assert code in (1, 2)
    assert "\x1b[2J" not in capsys.readouterr().out
    page = (tmp_path / "r.html").read_text()
    assert "<img" not in page
    with Store.open(tmp_path / "store") as store:
        assert all(run.ledger.closed for run in store.runs())


def test_a_secret_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The server echoes the key in its errors; the store, the reports and the output do not hold it."""
    key = "sk-very-secret-1234567890"
    monkeypatch.setenv("GATE_KEY", key)

    def faults(number: int, body: object) -> Fault | None:
        return Fault.status(400, f"bad key {key}") if number % 7 == 0 else None

    with scripted(faults=faults, api_key=key) as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        suite.write_text(suite.read_text().replace("model: ", "api_key: '${GATE_KEY}', model: "))
        harness(tmp_path, "run", suite, "-c", "good", "--json", tmp_path / "r.json")
        assert server.requests[0].headers["authorization"].endswith(key)
    told = capsys.readouterr()
    assert key not in told.out + told.err
    held = [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]
    assert held == []


def test_two_runs_and_a_report_at_once(tmp_path: Path) -> None:
    with scripted(delay=0.02) as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "same") == 2
        command = [sys.executable, "-m", "harness", "run", str(suite), "--store", str(tmp_path / "store"), "-c"]
        running = [
            subprocess.Popen([*command, name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for name in ("good", "bad")
        ]
        while any(process.poll() is None for process in running):
            assert harness(tmp_path, "runs") == 0
            assert harness(tmp_path, "report", "latest") == 0
            time.sleep(0.2)
        codes = [process.wait() for process in running]
    assert codes == [0, 1], [process.stderr.read() for process in running if process.stderr]
    with Store.open(tmp_path / "store") as store:
        assert all(run.status == "complete" and run.ledger.closed for run in store.runs())
        verdicts = {run.candidate.name: found.verdict.outcome for run in store.runs() if (found := store.verdict(run.id))}
    assert verdicts == {"same": Outcome.INCONCLUSIVE, "good": Outcome.SHIP, "bad": Outcome.OPTIMIZE}


def test_help_is_instant() -> None:
    best = 9.0
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "harness", "--help"], check=True, capture_output=True, env=os.environ)
        best = min(best, time.perf_counter() - began)
    assert best < 0.3
