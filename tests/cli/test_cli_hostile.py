"""Hostile servers and a guarded network: what comes in is data, and nothing goes out that the suite does not name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pyarrow.parquet import read_metadata
from support.gates import CASES, answer, harness, scripted, write_gate
from support.scripted_server import Body, Fault

from harness.store import Store

TEXTS = (
    "\x1b[2J\x1b]0;owned\x07\x00",
    "\ud800 lone \udfff surrogates",
    "x" * 1_000_000,
    "</script><script>alert(1)</script>{{ 7 * 7 }}",
    "",
    "```json\n{",
    "\u202eevil\u2066",
    "9" * 5_000,
    "'; DROP TABLE runs; --\r\n=cmd|' /C calc'!A0",
)
BODIES = (
    Fault.body("not json"),
    Fault.body({"choices": []}),
    Fault.body([1]),
    Fault.body(b"\xff\xfe"),
    Fault.body({"choices": [{"message": {"content": 12}}]}),
    Fault.body("null"),
)
# As sitecustomize it is imported before anything else; it writes down every address and lets only loopback through.
GUARD = """
import os, socket
real, lookup = socket.socket.connect, socket.getaddrinfo
def note(host):
    with open(os.environ["GUARD_LOG"], "a") as file:
        file.write(str(host) + "\\n")
    if host not in ("127.0.0.1", "::1", "localhost"):
        raise OSError("guarded: " + str(host))
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        note(address[0])
    return real(self, address)
def getaddrinfo(host, *rest, **more):
    note(host)
    return lookup(host, *rest, **more)
socket.socket.connect, socket.getaddrinfo = connect, getaddrinfo
socket.socket.connect_ex = lambda self, address: connect(self, address) or 0
"""


def test_hostile_answers_reach_every_file_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hostile(body: Body) -> str:
        return TEXTS[int(re.findall(r"\d+", body["messages"][-1]["content"])[0]) % len(TEXTS)]

    forms = {"report": "html", "markdown": "md", "junit": "xml", "json": "json"}
    files = {option: tmp_path / f"r.{ending}" for option, ending in forms.items()}
    words = [word for option, path in files.items() for word in (f"--{option}", path)]
    with scripted(answer=hostile) as server:
        suite = write_gate(tmp_path, server.url, cases=2 * len(TEXTS))
        code = harness(tmp_path, "run", suite, "-c", "good", *words)
    assert code in (1, 2)  # empty answers are over the unscored budget; nothing passes
    told = capsys.readouterr()
    for text in (told.out, told.err, *(path.read_text() for path in files.values())):
        assert not {"\x1b", "\x00", "\x07"} & set(text)
    assert "<script>alert" not in files["report"].read_text()
    assert "49" not in re.findall(r"alert\(1\).{0,40}", files["report"].read_text())
    assert files["report"].stat().st_size < 3_000_000  # a megabyte of x is cut, and said to be
    ElementTree.parse(files["junit"])
    json.loads(files["json"].read_text())
    with Store.open(tmp_path / "store") as store:
        runs = store.runs()
        assert all(run.status == "complete" and run.ledger.closed for run in runs)
        assert all(dict(run.ledger.unscored) == {"empty": 4} for run in runs)
    for form in ("jsonl", "csv", "parquet"):
        for kind in ("scores", "responses", "items"):
            path = tmp_path / f"{kind}.{form}"
            assert harness(tmp_path, "export", "latest", path, "--kind", kind) == 0
            assert str(path) in capsys.readouterr().out
    for kind in ("scores", "responses", "items"):
        assert read_metadata(tmp_path / f"{kind}.parquet").num_rows == 4 * len(TEXTS)
        lines = (tmp_path / f"{kind}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len([json.loads(line) for line in lines]) == 4 * len(TEXTS)


def test_bodies_that_are_no_answer_are_errors_and_alone_asked_again(tmp_path: Path) -> None:
    """Within the budget they do not stop the verdict, and they are never a score."""
    with scripted(faults=lambda number, body: BODIES[number] if number < len(BODIES) else None) as server:
        suite = write_gate(tmp_path, server.url, extra="gate: {max_error_rate: 0.03}\n")
        code = harness(tmp_path, "run", suite, "-c", "good")
        assert code == 0
        assert server.count == 4 * CASES
        with Store.open(tmp_path / "store") as store:
            base = next(run for run in store.runs() if run.candidate.name == "base")
            assert dict(base.ledger.errored) == {"bad-response": len(BODIES)}
            assert base.ledger.closed
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        assert server.count == 4 * CASES + len(BODIES)


def test_a_burst_of_trouble_recovers(tmp_path: Path) -> None:
    def burst(number: int, body: Body) -> Fault | None:
        if 20 <= number < 32:
            return (Fault.status(503), Fault.status(429, retry_after="0"), Fault.reset(), Fault.cut())[number % 4]
        return None

    with scripted(faults=burst) as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good") == 0
        assert server.count == 4 * CASES + 12
    with Store.open(tmp_path / "store") as store:
        assert all(run.ledger.scored == run.ledger.planned for run in store.runs())
        assert sum(run.provenance["work"]["retries"] for run in store.runs()) == 12


def test_nothing_leaves_the_machine(tmp_path: Path) -> None:
    """Run, report, compare and explain in processes of their own: no address but the endpoint's, not even a name looked up."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(GUARD)
    log = tmp_path / "guard.log"
    switches = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "DO_NOT_TRACK", "VLLM_NO_USAGE_STATS")
    env = {key: value for key, value in os.environ.items() if key not in switches}  # a user has not set them
    path = os.pathsep.join([str(tmp_path / "guard"), env.get("PYTHONPATH", "")])
    env |= {
        "GUARD_LOG": str(log),
        "PYTHONPATH": path,
        "http_proxy": "http://192.0.2.1:3128",
        "HTTP_PROXY": "http://192.0.2.1:3128",
    }

    def call(*commands: list[object]) -> list[int]:
        """Exit codes of several commands in one process."""
        lines = [[*map(str, words), "--store", str(tmp_path / "store")] for words in commands]
        script = "import json, sys; from harness.cli import call; print(json.dumps([call(w) for w in json.loads(sys.argv[1])]))"
        done = subprocess.run([sys.executable, "-c", script, json.dumps(lines)], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout.splitlines()[-1]))

    with scripted(answer=answer) as server:
        suite = write_gate(tmp_path, server.url, cases=60)
        assert call(["run", suite, "-c", "good"]) == [0]
        assert set(log.read_text().split()) == {"127.0.0.1"}
        log.write_text("")
        asked = server.count
        assert (
            call(["report", "latest"], ["explain", "latest"], ["runs"], ["validate", suite], ["run", suite, "-c", "good"])
            == [0] * 5
        )
        assert log.read_text() == ""
        assert server.count == asked
