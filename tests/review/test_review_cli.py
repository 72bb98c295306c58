"""The command: a real server that is entered, labelled at, killed and started again; files out and in; messages for people."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import duckdb
import pytest
from support.people import make_label
from support.review_desk import BEFORE, NOW, make_store, start_review

from harness.cli import call
from harness.labels import as_row
from harness.model import Label, Split
from harness.store import Store
from harness.store.labels import LabelStore

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store", {"before": BEFORE, "now": NOW}).path


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address that it printed."""
    command = [sys.executable, "-m", "harness", "review", "cand1", "--baseline", "base1", "--store", str(folder), *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "stop with Ctrl-C" in line:
                break
        address = next((line.strip() for line in lines if line.strip().startswith("http://")), "")
        assert address, (lines, process.stderr.read() if process.stderr else "")
        yield process, address
    finally:
        process.kill()
        process.communicate()


class Caller:
    """A browser as far as needed: keeps the cookie."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        answer = urllib.request.urlopen(address)
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]

    def get(self, path: str) -> tuple[str, str]:
        """(path it ended at, text)."""
        answer = urllib.request.urlopen(urllib.request.Request(self.origin + path, headers={"Cookie": self.cookie}))
        return urlsplit(answer.url).path, answer.read().decode()

    def send(self, path: str, **fields: str) -> None:
        headers = {"Cookie": self.cookie, "Origin": self.origin}
        urllib.request.urlopen(urllib.request.Request(self.origin + path, urlencode(fields).encode(), headers)).read()


def test_labelled_killed_and_gone_on_with(folder: Path) -> None:
    with running(folder, "--rater", "Ann") as (process, address):
        caller = Caller(address)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(caller.origin)
        for _ in range(3):
            path, _ = caller.get("/rate")
            caller.send(path, passed="pass")
        expected, _ = caller.get("/rate")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(LabelStore(Store.open(folder)).labels()) == 3
    with running(folder, "--rater", "Ann") as (process, address):
        caller = Caller(address)
        assert caller.get("/rate")[0] == expected
        assert "3 of 10 answers by you" in caller.get("/")[1]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "3 labels by Ann count" in out
    token = address.partition("token=")[2]
    assert len(token) > 40
    assert token not in out + err  # printed once, in the address, and logged nowhere
    assert err == ""


def test_it_listens_on_this_machine_alone_and_a_taken_port_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert call(["review", "cand1", "--store", str(folder), "--port", str(port)]) == 3
        assert f"127.0.0.1:{port}: port {port} is taken. End what listens there" in capsys.readouterr().err
    assert call(["review", "cand1", "--store", str(folder), "--host", "0.0.0.0"]) == 3
    assert "is not one of '127.0.0.1', '::1'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nosuch"], "there is no run 'nosuch'. Nearest:"),
        (["cand1", "--baseline", "nosuch"], "there is no run 'nosuch'"),
        (["cand1", "--also", "nosuch"], "there is no run 'nosuch'"),
        (["cand1", "--split", "dev"], "has no answer on the dev split"),
        (["cand1", "--rater", "x" * 61], "a rater's name has 1 to 60 characters"),
        (["cand1", "--rater", " "], "a rater's name has 1 to 60 characters"),
    ],
)
def test_what_cannot_be_reviewed_is_said(
    folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["review", *options, "--store", str(folder)]) == 3
    assert message in capsys.readouterr().err


def test_a_store_of_a_newer_version_and_no_store(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with duckdb.connect(str(folder / "store.duckdb")) as connection:
        connection.execute("INSERT INTO migrations VALUES (999, 'future', 0)")
    assert call(["review", "cand1", "--store", str(folder)]) == 3
    assert "the store is of version 999" in capsys.readouterr().err
    assert call(["review", "--store", str(tmp_path / "none")]) == 3
    assert "there is no store here" in capsys.readouterr().err


def some_labels(folder: Path) -> list[Label]:
    review = start_review(folder)
    tasks = [task for key in review.cases for task in review.tasks("rate", key, "Ann")]
    for task in tasks[:2]:
        review.say(task, "Ann", passed=True, comment="\u2028 <b>")
    review.say(tasks[0], "Bob", passed=False)
    review.undo("Bob")
    review.say(tasks[1], "Bob", passed=False)
    review.mark(next(iter(review.cases)), "Bob", ["check-wrong"], "")
    review.close()
    return LabelStore(Store.open(folder)).labels()


def test_labels_go_out_and_come_into_another_store_with_their_history(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = some_labels(folder)
    file = tmp_path / "labels.jsonl"
    assert call(["review", "cand1", "--store", str(folder), "--export", str(file)]) == 0
    assert f"wrote 6 labels to {file}" in capsys.readouterr().out
    assert [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]] == [
        json.loads(json.dumps(as_row(label))) for label in labels
    ]
    other = make_store(tmp_path / "other", {"before": BEFORE, "now": NOW}).path
    for expected in ("6 new labels, 0 already there", "0 new labels, 6 already there"):
        assert call(["review", "cand1", "--store", str(other), "--import", str(file)]) == 0
        assert expected in capsys.readouterr().out
    assert LabelStore(Store.open(other)).labels() == labels


def test_status_tells_who_labelled_what(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["review", "cand1", "--store", str(folder), "--status"]) == 0
    assert "0 count, 0 in the history" in capsys.readouterr().out
    some_labels(folder)
    assert call(["review", "cand1", "--store", str(folder), "--status"]) == 0
    out = capsys.readouterr().out
    assert "4 count, 6 in the history" in out
    assert [line.split() for line in out.splitlines() if line.startswith("  Bob")] == [["Bob", "1", "0", "0", "1"]]
    assert "1 thing by several people: 0 agreed, 1 disputed, 0 adjudicated" in out
    assert "marks: 1 check-wrong" in out
    assert max(map(len, out.splitlines())) <= 80


def test_rows_of_another_tool_need_little(folder: Path, tmp_path: Path) -> None:
    case = f"{1:016x}"
    row = {"capability": "math", "case_id": case, "kind": "rate", "rater": "tool", "passed": True, "responses": ["r"]}
    file = tmp_path / "labels.jsonl"
    file.write_text(json.dumps(row) + "\n")
    assert call(["review", "cand1", "--store", str(folder), "--import", str(file)]) == 0
    [label] = LabelStore(Store.open(folder)).labels()
    assert (label.run_id, label.split, label.passed) == ("cand1", Split.GATE, True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", ":2: is not JSON"),
        ("[1]", ":2: "),
        (json.dumps(as_row(make_label(case_id="nobody's")) | {"run_id": "cand1"}), ":2: run cand1 has no case"),
        (json.dumps(as_row(make_label(case_id="nobody's")) | {"run_id": "other"}), ":2: run cand1 has no case"),
        (json.dumps(as_row(make_label(split=Split.DEV)) | {"run_id": "cand1"}), ":2: says split dev, the run says gate"),
        (json.dumps(as_row(make_label()) | {"rating": 9}), ":2: rating 9"),
        (json.dumps(as_row(make_label()) | {"x": 9}), ":2: unknown field 'x'"),
    ],
)
def test_a_wrong_row_is_said_with_its_line_and_nothing_is_imported(
    folder: Path, tmp_path: Path, row: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text(json.dumps(as_row(make_label()) | {"run_id": "cand1"}) + "\n" + row + "\n")
    assert call(["review", "cand1", "--store", str(folder), "--import", str(file)]) == 3
    assert f"{file}{message}" in capsys.readouterr().err
    assert LabelStore(Store.open(folder)).labels() == []


def test_files_that_cannot_be_read_or_written(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["review", "cand1", "--store", str(folder), "--import", str(tmp_path / "none.jsonl")]) == 3
    assert "no such file" in capsys.readouterr().err
    assert call(["review", "cand1", "--store", str(folder), "--export", str(tmp_path / "no" / "where.jsonl")]) == 3
    assert "cannot write the labels" in capsys.readouterr().err


def test_without_its_packages_it_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert call(["review", "cand1", "--store", str(folder)]) == 3
    assert "pip install 'seesaw-harness[review]'" in capsys.readouterr().err
