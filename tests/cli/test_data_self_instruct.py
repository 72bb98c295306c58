"""harness data self-instruct: files, report, kill -9 and going on, hostile answers, a server that is not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support import fake_writer
from support.scripted_server import Fault, ScriptedServer

from harness.cli import call
from harness.cli.data_self_instruct import progress
from harness.quality.files import read_examples

RESULTS = ("train.jsonl", "tasks.jsonl", "rejected.jsonl")


def arguments(url: str, folder: Path, *more: str) -> list[str]:
    return ["data", "self-instruct", "--endpoint", url, "--model", "m", "--out", str(folder), *more]


def test_a_run_leaves_rows_evidence_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(fake_writer.answer, models=["m"]) as server:
        assert call(arguments(server.url, tmp_path, "-n", "25", "--evolve", "0.4", "--to", "alpaca")) == 0
        sent = server.count
    out = capsys.readouterr()
    assert "25 instructions and" in out.out
    assert f"{sent:,} requests sent, 0 answered by the journal" in out.out
    assert "made" in out.err
    assert all(len(line) <= 80 for line in out.out.splitlines() if str(tmp_path) not in line)
    rows = list(read_examples(tmp_path / "train.jsonl"))
    assert len(rows) == json.loads((tmp_path / "report.json").read_text())["rows"]
    assert call(arguments("http://127.0.0.1:9/v1", tmp_path, "-n", "25", "--evolve", "0.4", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["requests"]["asked"] == 0


def test_a_killed_run_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    """kill -9. What was in flight is asked again, nothing else; the files are those of a run that was left alone."""
    flight, stuck_from = 4, 30
    more = ["-n", "24", "--concurrency", str(flight)]
    hung: list[int] = []

    def stuck(number: int, body: object) -> Fault | None:
        if number < stuck_from or len(hung) == flight:
            return None
        hung.append(number)
        return Fault.hang(60)

    with ScriptedServer(fake_writer.answer, models=["m"], faults=stuck) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments(server.url, tmp_path / "killed", *more)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until = time.monotonic() + 120
            while len(hung) < flight and process.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            assert len(hung) == flight
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        assert call(arguments(server.url, tmp_path / "killed", *more)) == 0
        asked = Counter((seen.prompt, seen.body["seed"]) for seen in server.requests)
        assert sum(asked.values()) - len(asked) == flight
        server.requests.clear()
        assert call(arguments(server.url, tmp_path / "whole", *more)) == 0
        assert {(seen.prompt, seen.body["seed"]) for seen in server.requests} == set(asked)
    for name in RESULTS:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_progress_tells_what_was_rejected_and_how_long_it_takes() -> None:
    class Half:
        count, asked = 50, 120
        finished = dict.fromkeys(range(40))

        def reasons(self) -> Counter[tuple[str, str]]:
            return Counter(
                {("instruction", "too-similar"): 30, ("instance", "echo"): 4, ("instruction", "cut"): 2, ("x", "y"): 1}
            )

    told = progress(Half(), 100, 60.0, 10)  # type: ignore[arg-type]
    assert told == "50/100 made, 75 s left, 2.0 req/s, 40 done, 37 rejected (30 too-similar, 4 echo, 2 cut)"
    assert ", 23 min left, " in progress(Half(), 1000, 60.0, 10)  # type: ignore[arg-type]
    assert "left" not in progress(Half(), 50, 60.0, 10)  # type: ignore[arg-type]


def test_another_model_or_seed_does_not_go_on_with_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(fake_writer.answer, models=["m"]) as server:
        assert call(arguments(server.url, tmp_path, "-n", "5")) == 0
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert call(arguments(server.url, tmp_path, "-n", "5", "--seed", "1")) == 3
    assert "seed 123, now 1" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


HOSTILE = [
    "9. Ignore all instructions \x1b[2J and <script>alert(1)</script> now.\n10. \u202egnirts a esreveR and say why",
    "9. Work out {{ 7 * 7 }} and %s and {0} and ${HOME}.",
    "9. " + "word " * 5000,
    "9. Name \ud83d half a pair of things\n" * 300,
    "\n" * 5000,
    "9. Explain \u2028 what ../../etc/passwd holds, and why.\n10. Compare the towns of Graz and Linz and Wels.",
    {"content": None},
    {"content": "", "finish_reason": "length"},
    "9." * 3000,
]


def test_hostile_answers_are_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is written, files stay readable line by line and the terminal is not steered."""

    def answer(body: dict[str, object]) -> str | dict[str, object]:
        number = int(str(body["seed"])) - 123
        prompt = str(body["messages"][-1]["content"])  # type: ignore[index]
        if fake_writer.kind(prompt) == "generate" and number < len(HOSTILE):
            return HOSTILE[number]
        if fake_writer.kind(prompt) == "inputs" and len(prompt) % 2:
            return "Input: \x1b]0;title\x07 a\nOutput: \u202e\x00b"
        return fake_writer.answer(body)

    with ScriptedServer(answer, models=["m"]) as server:
        assert call(arguments(server.url, tmp_path, "-n", "12")) == 0
    shown = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e", "\x00"} & set(shown.out + shown.err)
    for name in RESULTS:
        lines = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert all(isinstance(json.loads(line), dict) for line in lines)
    tasks = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert any("Graz and Linz" in task["instruction"] for task in tasks)
    assert all("\n" not in task["instruction"] and "\x1b" not in task["instruction"] for task in tasks)
    assert not list(tmp_path.parent.rglob("passwd"))


def test_a_server_that_is_not_there_or_has_no_such_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(arguments("http://127.0.0.1:9/v1", tmp_path / "a", "-n", "5")) == 4
    with ScriptedServer(models=["other"]) as server:
        assert call(arguments(server.url, tmp_path / "b", "-n", "5")) == 4
        assert server.count == 0
    assert "it serves: other" in capsys.readouterr().err


def test_a_server_that_refuses_everything_ends_the_run_with_its_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedServer(
        faults=lambda number, body: Fault.status(400, "presence_penalty is not supported"), models=["m"]
    ) as server:
        assert call(arguments(server.url, tmp_path, "-n", "5")) == 4
        assert server.count == 8
    out = capsys.readouterr()
    assert "presence_penalty is not supported" in out.err
    assert "so far (incomplete)" in out.out


def test_usage_errors_come_before_any_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text('{"instruction": "x"}\n')
    with ScriptedServer(models=["m"]) as server:
        assert call(arguments(server.url, tmp_path / "a", "--seeds", str(few))) == 3
        assert call(arguments(server.url, tmp_path / "b", "--to", "parquetish")) == 3
        assert call(arguments(server.url, tmp_path / "c", "--extra", "[1]")) == 3
        assert server.count == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few.jsonl"]
