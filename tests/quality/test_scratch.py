"""What is seen of the rows lives on disk: answers are a dict's, memory stays, no file is left, and a full disk is told."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import call
from harness.errors import UsageError
from harness.quality.scratch import KeyTable, Scratch, Shelf

NUMBERS = st.integers(-(2**63), 2**63 - 1)
KEYS = st.sampled_from([0, 1, -1, 2**63 - 1, -(2**63), b"", b"\0", b"\0\0", b"a"])


@settings(deadline=None)
@given(st.lists(st.tuples(KEYS, NUMBERS, NUMBERS, st.booleans())))
def test_a_key_table_answers_as_a_dict_does(told: list[tuple[int | bytes, int, int, bool]]) -> None:
    seen, known = KeyTable(), {}
    for key, place, mark, whatever in told:
        assert seen.get(key) == known.get((type(key), key))
        if whatever:
            seen.put(key, place, mark)
            known[type(key), key] = place, mark
        else:
            assert seen.first(key, place, mark) == known.get((type(key), key))
            known.setdefault((type(key), key), (place, mark))


def test_a_shelf_gives_back_what_was_put_there_also_from_disk() -> None:
    shelf = Shelf(cache=1)
    held = [bytes([number]) * (number * 20_000) for number in range(40)]
    assert [shelf.put(each) for each in held] == list(range(40))
    assert len(shelf) == 40
    assert all(shelf.get(number) == held[number] for number in (39, 0, 17, *range(40)))


def alone(code: str, *values: object, **settings: str) -> str:
    """What a process of its own prints: SQLite reads once where temporary files go, and a peak of memory is a process's."""
    command = [sys.executable, "-c", code, *(str(value) for value in values)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **settings})
    assert not done.returncode, done.stderr
    return done.stdout


FILES = """
import sys
from pathlib import Path
from harness.quality.scratch import Shelf

def files():  # the open ones in the folder, unlinked ones too
    links = [link.readlink() for link in list(Path("/proc/self/fd").iterdir()) if link.is_symlink()]
    return sum(str(link).startswith(sys.argv[1]) for link in links)

shelf, told = Shelf(cache=1), []
shelf.put(bytes(10_000))
told.append(files())
for _ in range(40):
    shelf.put(bytes(100_000))
told += [files(), len(list(Path(sys.argv[1]).iterdir())), len(shelf.get(40))]
del shelf
print(*told, files())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open files are read from /proc")
def test_a_small_table_makes_no_file_and_a_large_one_leaves_none(tmp_path: Path) -> None:
    assert alone(FILES, tmp_path, SQLITE_TMPDIR=str(tmp_path)).split() == ["0", "1", "0", "100000", "0"]


def test_a_folder_that_is_not_there_is_passed_over(tmp_path: Path) -> None:
    told = alone(FILES, tmp_path, SQLITE_TMPDIR="/no/such/folder", TMPDIR="/nor/this/one").split()
    assert told == ["0", "0", "0", "100000", "0"]


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """Files of this process may have 1 MB, as if the disk were full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told() -> None:
    shelf = Shelf(cache=1)
    with small_disk(), pytest.raises(UsageError, match=r"cannot grow: .*SQLITE_TMPDIR=FOLDER"):
        deque(shelf.put(bytes(100_000)) for _ in range(100))


@pytest.mark.parametrize(("method", "count", "out"), [("exact", 40_000, False), ("minhash", 10_000, True)])
def test_dedup_says_that_the_disk_is_full_and_leaves_no_half_file(
    method: str, count: int, out: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.quality.scratch._MB", 1)
    monkeypatch.setattr("harness.quality.minhash._WAITING", 4096)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "{i}", "completion": "{i}"}}\n' for i in range(count)))
    written = ["--out", str(tmp_path / "out.jsonl")] if out else []
    with small_disk():
        assert call(["data", "dedup", str(rows), "--method", method, *written]) == 3
    assert "the temporary table of the rows seen so far cannot grow" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_other_faults_than_a_full_disk_are_not_called_one() -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        Scratch().rows("select * from elsewhere")


def test_a_table_of_one_scratch_is_not_anothers() -> None:
    one, other = Scratch("create table a (b)"), Scratch("create table a (b)")
    assert one.insert("insert into a values (?)", (1,))
    assert other.rows("select * from a") == []


MEASURED = """
import resource, sys
from functools import partial
from harness.quality import dedup, minhash, novelty, scratch

scratch._MB, minhash._WAITING, dedup._READ_AHEAD = 64, 4096, 4096  # small, so that few rows show what many would need
dedup.ShelvedNovelty = partial(novelty.ShelvedNovelty, memory=2_000_000)
method, few, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows = (f"{i} " + " ".join(f"w{(i * (k + 3) + i // 10007 * (k * k + 5) + k) % 10007}" for k in range(12)) for i in range(many))
kept = 0
for number, (_, twin) in enumerate(getattr(dedup, method)(rows, str), 1):
    kept += twin is None
    if number == few:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(kept, (after - before) // 1024)
"""


@pytest.mark.parametrize(
    ("method", "few", "many"), [("exact", 20_000, 120_000), ("minhash", 8000, 20_000), ("rouge", 8000, 24_000)]
)
def test_memory_does_not_grow_with_the_rows(method: str, few: int, many: int) -> None:
    """What a row takes on the heap otherwise: exact 150 bytes, minhash 4 KB, rouge 0.6 KB."""
    kept, grown = (int(figure) for figure in alone(MEASURED, method, few, many).split())
    assert kept > many * 0.9
    assert grown <= 5, f"{grown} MB"
