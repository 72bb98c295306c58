"""Capacity and memory as hard gates, from a suite's key to the exit code: measured by the run itself, kept, and never guessed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Body, ScriptedServer
from support.suites import SMALL, faults_of, write_rows, write_suite

from harness.cli import call as harness
from harness.store import Store
from harness.suite import load_suite

N = 150


def answer(body: Body) -> str:
    n = int(re.findall(r"\d+", body["messages"][-1]["content"])[0])
    return "wrong" if body["model"] == "base" and n % 4 == 0 else f"r{n}"


class Place:
    def __init__(self, folder: Path, url: str, **gate: Any) -> None:
        self.store = folder / "store"
        write_rows(folder / "date.jsonl", [{"input": f"date {i}", "reference": f"r{i}"} for i in range(N)])
        suite = {
            "suite": "capacity",
            "baseline": "base",
            "candidates": {name: {"endpoint": url, "model": name} for name in ("base", "new")},
            "generation": {"concurrency": 4, "retries": 0},
            "capabilities": {"date": {"role": "target", "cases": "date.jsonl", "checks": ["equals"]}},
            "gate": gate,
        }
        self.suite = write_suite(folder, suite)

    def __call__(self, *arguments: str) -> int:
        return harness([*arguments, "--store", str(self.store)])


@pytest.fixture
def server() -> Any:
    with ScriptedServer(answer=answer, models=("base", "new")) as started:
        yield started


def told(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().out.split())


def test_a_run_measures_its_capacity_and_keeps_it(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, server.url, min_requests_per_s=0.01, at_concurrency=4)
    assert place("run", str(place.suite)) == 0
    assert "answers a second at 4 at once, and the gate wants 0.01" in told(capsys)
    with Store.open(place.store, create=False) as store:
        (first,) = [run.provenance["served"] for run in store.runs("capacity") if run.candidate.name == "new"]
    assert (first["requests"], first["concurrency"], first["memory_gb"]) == (N, 4, None)
    assert first["seconds"] > 0.0
    asked = len(server.requests)
    assert place("run", str(place.suite)) == 0  # everything is stored: nothing is measured anew, nothing forgotten
    assert len(server.requests) == asked
    with Store.open(place.store, create=False) as store:
        assert [run.provenance["served"] for run in store.runs("capacity") if run.candidate.name == "new"] == [first]
    capsys.readouterr()
    assert place("explain", "latest") == 0
    assert "the same verdict" in told(capsys)


def test_too_slow_is_optimize(server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path, server.url, min_requests_per_s=1e6, at_concurrency=4)
    assert place("run", str(place.suite)) == 1
    assert "below the 1e+06 that the gate wants" in told(capsys)


def test_another_concurrency_than_stated_measures_nothing(
    server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, server.url, min_requests_per_s=0.01, at_concurrency=4)
    assert place("run", str(place.suite), "--concurrency", "2") == 2
    assert "capacity was measured at 2 requests at once" in told(capsys)


def test_an_endpoints_memory_cannot_be_seen(server: ScriptedServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Place(tmp_path, server.url, max_memory_gb=1000)
    assert place("run", str(place.suite)) == 2
    assert "the server's memory was not measured, and the gate limits it to 1e+03 GB" in told(capsys)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ({"min_requests_per_s": 5}, "gate.min_requests_per_s needs gate.at_concurrency"),
        ({"at_concurrency": 64}, "gate.at_concurrency needs gate.min_requests_per_s"),
        ({"min_requests_per_s": 5, "at_concurrency": 8}, "gate.at_concurrency is 8, and the suite asks 64 at once"),
        ({"min_requests_per_s": 5, "at_concurrency": 64, "sequential": True}, "is not measured in a sequential run"),
        ({"max_memory_gb": 0}, "gate.max_memory_gb: must be greater than 0"),
        ({"min_requests_per_s": True, "at_concurrency": 64}, "a number is needed"),
    ],
)
def test_faults_have_their_line(tmp_path: Path, gate: dict[str, Any], says: str) -> None:
    path = write_suite(tmp_path, SMALL | {"gate": gate})
    first = next(i for i, line in enumerate(path.read_text().split("\n"), 1) if '"gate"' in line)
    found = [fault for fault in faults_of(path) if says in fault]
    assert len(found) == 1
    assert int(found[0].split(":")[1]) >= first


def test_the_hash_knows_only_of_what_is_used(tmp_path: Path) -> None:
    hashes = set()
    for number, gate in enumerate(({}, {"max_memory_gb": 8}, {"min_requests_per_s": 5, "at_concurrency": 64})):
        folder = tmp_path / str(number)
        folder.mkdir()
        hashes.add(load_suite(write_suite(folder, SMALL | {"gate": gate})).hash)
    assert len(hashes) == 3
