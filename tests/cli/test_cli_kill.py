"""Nothing is lost and nothing is done twice: kill -9, Ctrl-C and SIGTERM in the middle of a run, then the same command again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.gates import CASES, harness, scripted, write_gate
from support.scripted_server import ScriptedServer

from harness.model import ScoreRow
from harness.store import Store

PLANNED = 2 * 2 * CASES
CONCURRENCY = 8
GENERATION = f"{{concurrency: {CONCURRENCY}}}"


def start(suite: Path, store: Path, *, interrupt: signal.Handlers = signal.SIG_DFL) -> subprocess.Popen[str]:
    """The command with a known answer to SIGINT: a shell that started these tests in the background would hand down "ignore"."""
    command = [sys.executable, "-m", "harness", "run", str(suite), "-c", "bad", "--store", str(store)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, interrupt),
    )


def when_asked(server: ScriptedServer, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while server.count < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be disturbed"


def rows(store: Path) -> list[list[ScoreRow]]:
    with Store.open(store) as opened:
        runs = sorted(opened.runs(), key=lambda run: run.candidate.name)
        assert all(run.status == "complete" and run.ledger.closed for run in runs)
        return [list(opened.score_rows(run.id)) for run in runs]


def test_kill_9_and_again_gives_the_same_table(tmp_path: Path) -> None:
    with scripted(delay=0.03) as server:
        suite = write_gate(tmp_path, server.url, generation=GENERATION)
        undisturbed = start(suite, tmp_path / "calm")
        assert undisturbed.wait() == 1, undisturbed.communicate()
        before = server.count
        assert before == PLANNED
        kills = (60, 170, 330)
        for count in kills:
            process = start(suite, tmp_path / "killed")
            when_asked(server, before + count, process)
            process.kill()
            process.communicate()
        process = start(suite, tmp_path / "killed")
        _, told = process.communicate()
        assert process.returncode == 1, told
        repeated = server.count - before - PLANNED
    assert 0 <= repeated <= len(kills) * CONCURRENCY
    assert rows(tmp_path / "killed") == rows(tmp_path / "calm")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    with scripted(delay=0.03) as server:
        suite = write_gate(tmp_path, server.url, generation=GENERATION)
        process = start(suite, tmp_path / "store")
        when_asked(server, 50, process)
        process.send_signal(number)
        _, told = process.communicate(timeout=20)
        assert process.returncode == 4
        assert "running the same command again continues it" in told
        assert "Traceback" not in told
        with Store.open(tmp_path / "store") as store:
            assert [run.status for run in store.runs()] == ["interrupted"]
            assert store.runs()[0].ledger.closed
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert server.count <= PLANNED + CONCURRENCY


def test_a_job_in_the_background_is_not_stopped_by_ctrl_c_at_the_terminal(tmp_path: Path) -> None:
    """`harness run ... &` in a script inherits an ignored SIGINT, and that is respected: it goes on to its verdict."""
    with scripted(delay=0.03) as server:
        suite = write_gate(tmp_path, server.url, generation=GENERATION)
        process = start(suite, tmp_path / "store", interrupt=signal.SIG_IGN)
        when_asked(server, 50, process)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1, told
        assert server.count == PLANNED


def test_a_server_that_dies_is_infrastructure_and_goes_on(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    with scripted(delay=0.02) as server:
        write_gate(tmp_path, server.url, generation=f"{{concurrency: {CONCURRENCY}, retries: 0, timeout: 5}}")
        process = start(suite, tmp_path / "store")
        when_asked(server, 100, process)
        server.stop()
        _, told = process.communicate(timeout=60)
        assert process.returncode == 4, told
        assert "Traceback" not in told
    with scripted() as server:
        write_gate(tmp_path, server.url, generation=GENERATION)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
