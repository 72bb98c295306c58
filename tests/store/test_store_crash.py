"""kill -9, full disks, cut lines, several processes: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import store_writer
from support.runs import make_record, make_requests, make_response, make_score

from harness.errors import StoreError
from harness.model import ItemStatus
from harness.store import Store, journal


def start(folder: Path, run_id: str, samples: int, log: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, store_writer.__file__, str(folder), run_id, str(samples), str(log), *options]
    root = Path(store_writer.__file__).parents[2]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(root)})


def lines_of(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def wait_for_lines(process: subprocess.Popen[bytes], log: Path, count: int) -> None:
    for _ in range(6_000):
        if len(lines_of(log)) >= count:
            return
        assert process.poll() is None, "the writer ended by itself"
        time.sleep(0.01)
    raise AssertionError("the writer does not come on")


def test_kill_9_again_and_again_loses_nothing(tmp_path: Path) -> None:
    samples, rng = 2_000, random.Random(7)
    folder, log = tmp_path / "store", tmp_path / "log"
    for _ in range(4):
        process = start(folder, "run1", samples, log)
        wait_for_lines(process, log, len(lines_of(log)) + 1)
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged = [line for line in lines_of(log) if line != "begun"]
        with Store.open(folder) as store:
            items = list(store.items("run1"))
            there = {item.case.id for item in items if item.response is not None}
            assert store.run("run1").status == "interrupted"
        assert len(items) == samples
        assert set(acknowledged) <= there
        assert len(there) <= len(acknowledged) + 4  # at most one a kill was written and not acknowledged
        assert len(acknowledged) == len(set(acknowledged))  # nothing was done twice
        assert all(item.response.text.startswith(f"run1 {item.case.id} ") for item in items if item.response)
    assert start(folder, "run1", samples, log, "--finish").wait() == 0
    store = Store.open(folder)
    assert store.run("run1").ledger.scored == samples
    counts = store._with(
        lambda c: [c.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("items", "answers", "responses", "scores")]
    )
    assert counts == [(samples,)] * 4
    assert list((folder / "journal").iterdir()) == []
    assert store.notes == [] or all("cut short" in note for note in store.notes)


def test_kill_9_while_planning_shows_no_half_run(tmp_path: Path) -> None:
    folder, log = tmp_path / "store", tmp_path / "log"
    store = Store.open(folder)
    process = start(folder, "run1", 60_000, log)
    while not list(folder.glob("journal/run1/*.jsonl")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert lines_of(log) == []
    assert store.runs() == []
    assert start(folder, "run1", 100, log, "--finish").wait() == 0
    assert store.run("run1").ledger.scored >= 100


def test_two_runs_at_once_and_a_report_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = Store.open(folder)
    logs = {run_id: tmp_path / run_id for run_id in ("run1", "run2")}
    processes = [start(folder, run_id, 3_000, log, "--finish") for run_id, log in logs.items()]
    seen: dict[str, int] = dict.fromkeys(logs, 0)
    looks = 0
    while any(process.poll() is None for process in processes):
        for record in store.runs():
            assert record.ledger.planned == 3_000
            assert record.ledger.closed
            assert record.ledger.scored >= seen[record.id]  # what was seen once stays
            seen[record.id] = record.ledger.scored
            looks += 1
        time.sleep(0.02)
    assert [process.wait() for process in processes] == [0, 0]
    assert looks > 0
    for run_id in logs:
        items = list(store.items(run_id))
        assert [item.status for item in items] == [ItemStatus.SCORED] * 3_000
        assert all(item.response and item.response.text.startswith(run_id) for item in items)


def test_a_cut_line_and_a_damaged_line_are_left_out_and_told(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    requests = list(make_requests(4))
    writer = store.begin_run(make_record(), "", {}, requests)
    for request in requests:
        writer.add_response(request, make_response(request))
    writer.close()
    [segment] = (tmp_path / "store/journal/run1").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[-3] = b'{"t":"r","case_id":' + b"\0" * 30 + b"\n"
    lines[-2] = b"\xff\xfe\n"
    segment.write_bytes(b"".join(lines)[:-10])
    assert [row.status for row in store.score_rows("run1")] == [ItemStatus.UNSCORED] + [ItemStatus.SKIPPED] * 3
    assert sorted(note.split(":")[1].strip()[:20] for note in store.notes) == [
        "2 damaged lines of 0",
        f"a last line of {len(lines[-1]) - 10} b",
    ]
    with store.begin_run(make_record(), "", {}, requests) as writer:  # goes on with what is missing
        for request in requests[1:]:
            writer.add_response(request, make_response(request))
        writer.finish("complete")
    assert [item.response for item in store.items("run1")] == [make_response(request) for request in requests]


def test_folding_twice_changes_nothing(tmp_path: Path) -> None:
    """As after a crash between the commit and the removal of the segment, or a restored backup."""
    store = Store.open(tmp_path / "store")
    requests = list(make_requests(3))
    writer = store.begin_run(make_record(), "", {}, requests)
    for request in requests:
        writer.add_response(request, make_response(request))
        writer.add_score(request, make_response(request), make_score(), "v1")
    writer.close()
    [segment] = (tmp_path / "store/journal/run1").glob("*.jsonl")
    copy = segment.read_bytes()
    before = list(store.items("run1"))
    assert not segment.exists()
    segment.parent.mkdir()
    segment.write_bytes(copy)
    assert list(store.items("run1")) == before
    assert store._with(lambda c: c.execute("SELECT count(*) FROM responses").fetchone()) == (3,)


def test_a_full_disk_while_a_run_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path / "store")
    first, second = make_requests(2)
    writer = store.begin_run(make_record(), "", {}, [first, second])
    writer.add_response(first, make_response(first))
    real, calls = os.write, []

    def full(fd: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return real(fd, data[:20])  # some of it fits
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match=r"the disk is full\. Free some space"):
        writer.add_response(second, make_response(second))
    monkeypatch.setattr(os, "write", real)
    assert len(calls) == 2
    writer.add_response(second, make_response(second))  # space again: it goes on
    writer.finish("complete")
    assert [item.response for item in store.items("run1")] == [make_response(first), make_response(second)]
    assert store.notes == []


FULL_DISK = """
import resource, signal, sys
from harness.errors import StoreError
from harness.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # writing behind this fails as on a full disk
try:
    Store.open(sys.argv[1]).runs()
except StoreError as error:
    print(error.line())
"""


def test_a_full_disk_while_folding(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    store = Store.open(folder)
    requests = list(make_requests(300))
    rng = random.Random(1)
    texts = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=2_000)) for _ in requests]
    with store.begin_run(make_record(), "", {}, requests) as writer:
        for request, text in zip(requests, texts, strict=True):
            writer.add_response(request, make_response(request, text))
    root = Path(store_writer.__file__).parents[2]
    command = [sys.executable, "-c", FULL_DISK, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(root)})
    assert "the disk is full. Free some space" in done.stdout, done.stdout + done.stderr
    assert [item.response.text for item in store.items("run1") if item.response] == texts


def test_rotation_keeps_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_LINES", 7)
    monkeypatch.setattr(journal, "BATCH_LINES", 3)
    store = Store.open(tmp_path / "store")
    requests = list(make_requests(40))
    with store.begin_run(make_record(), "", {}, requests) as writer:
        for number, request in enumerate(requests):
            writer.add_response(request, make_response(request))
            if number % 11 == 0:
                assert store.ledger("run1").n_unscored == number + 1
        assert len(list((tmp_path / "store/journal/run1").glob("*.jsonl"))) >= 1
        writer.finish("complete")
    assert [item.response for item in store.items("run1")] == [make_response(request) for request in requests]
    with pytest.raises(StoreError, match="closed already"):
        writer.skip(requests[0], "late")
