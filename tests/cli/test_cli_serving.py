"""`harness run` with checkpoints that it serves itself, by a stand-in for vLLM; the real one is in tests/test_quickstart.py."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import sys
import time
from pathlib import Path

import pytest
import yaml
from support.gates import harness
from support.suites import write_rows, write_suite
from support.tiny_model import write_adapter, write_fake_base

from harness.cli import pipeline
from harness.serving import vllm
from harness.serving.fleet import serve_candidates
from harness.serving.vllm import free_port
from harness.store import Store

FAKE = (sys.executable, str(Path(__file__).parent.parent / "support" / "fake_vllm.py"))
N = 60


def write(folder: Path, *, dies_at: int = 0, mode: str = "ok", log: str = "") -> Path:
    """Base and adapter answer with the prompt; every reference is the prompt."""
    env = {"FAKE_MODE": mode, "FAKE_DIR": str(folder), "FAKE_DIES_AT": str(dies_at), "FAKE_LOG": log}
    write_rows(folder / "cases.jsonl", [{"input": f"q{i}", "reference": f"q{i}"} for i in range(N)])
    suite = {
        "suite": "served",
        "baseline": "base",
        "candidates": {"base": {"model": "./model"}, "sft": {"model": "./model", "adapter": "./adapter"}},
        "generation": {"concurrency": 4, "retries": 0, "stream": "never"},
        "capabilities": {"echo": {"role": "protected", "margin": 0.1, "cases": "cases.jsonl", "checks": ["equals"]}},
        "serve": {"env": env, "startup_timeout": 20},
    }
    return write_suite(folder, suite)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a base and an adapter, and the stand-in in vLLM's place."""
    write_fake_base(tmp_path / "model")
    write_adapter(tmp_path / "adapter", layers=1, hidden=8, intermediate=16)
    monkeypatch.setattr(pipeline, "serve_candidates", functools.partial(serve_candidates, program=FAKE))
    return tmp_path


def two_free_ports() -> int:
    """The first of two neighbours that are free at this moment."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port + 1)):
            return port


def asked(folder: Path) -> list[str]:
    return (folder / "asked").read_text().splitlines()


def gone(folder: Path) -> bool:
    """Whether the server and its two children have ended."""
    pids, deadline = (folder / "pids").read_text().split(), time.monotonic() + 5

    def alive(pid: str) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_one_server_for_base_and_adapter_and_none_when_all_is_answered(served: Path) -> None:
    suite = write(served)
    assert harness(served, "run", suite) == 0
    assert asked(served) == ["base"] * N + ["sft"] * N
    assert gone(served)
    with Store.open(served / "store") as store:
        assert store.run("latest").provenance["server"]["generation_tokens"] == 12
    (served / "pids").unlink()
    assert harness(served, "run", suite) == 0
    assert not (served / "pids").exists()
    # another adapter under the same name is another candidate
    write_adapter(served / "adapter", layers=1, hidden=8, intermediate=16, seed=2)
    assert harness(served, "run", suite) == 0
    assert asked(served) == ["base"] * N + ["sft"] * 2 * N


def test_a_judges_own_model_is_served_beside_the_candidates_on_the_next_port(
    served: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the suite names the port; and again only if something is to be judged."""
    write_fake_base(served / "reward", hidden=12)
    suite = yaml.safe_load(write(served).read_text())
    suite["judges"] = {"nice": {"kind": "reward", "model": {"model": "./reward"}}}
    suite["capabilities"]["echo"]["checks"].append({"judge": "nice", "weight": 0})
    suite["serve"]["port"] = port = two_free_ports()
    monkeypatch.setattr(vllm, "free_port", lambda: pytest.fail("a port was named"))
    path = write_suite(served, suite)
    assert harness(served, "run", path) == 0
    told = capsys.readouterr().err
    assert told.count("vLLM is ready") == 2
    assert "judge:nice" in told
    assert json.loads((served / "seen.json").read_text())["argv"][5:7] == [str(port + 1), "--served-model-name"]
    assert gone(served)
    with Store.open(served / "store") as store:
        assert [one.judgment.raw for one in store.judgments(store.run("latest").id)] == [1.5] * N
    assert harness(served, "run", path) == 0
    assert "vLLM" not in capsys.readouterr().err


def test_a_server_that_dies_mid_run_says_why_and_the_run_goes_on(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The requests that met the dead server are asked again, the others are not; its log says what happened."""
    assert harness(served, "run", write(served, dies_at=N + 20)) == 4
    told = capsys.readouterr()
    assert "the engine fell over" in told.err
    assert "Traceback" not in told.err
    assert gone(served)
    with Store.open(served / "store") as store:
        record = store.runs()[0]
        assert (record.candidate.name, record.status) == ("sft", "interrupted")
        assert record.ledger.closed
    assert harness(served, "run", write(served)) == 0
    assert asked(served).count("base") == N
    assert N <= asked(served).count("sft") <= N + 4  # those in flight


def test_a_server_that_does_not_start_says_why(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cause = "ValueError: To serve at least one request with the models's max seq len, (2.0 GiB KV cache is needed"
    assert harness(served, "run", write(served, mode="crash", log=cause)) == 4
    told = capsys.readouterr().err
    assert "KV cache" in told
    assert "Traceback" not in told
    assert harness(served, "run", write(served)) == 0
