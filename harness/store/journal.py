"""The journal: what a run has done that is not in the database yet. Append-only JSON lines, one write() each.

    journal/<run_id>/run.lock          held (flock) by the process that writes the run, for as long as it lives
    journal/<run_id>/<number>.jsonl    segments; all but the last are complete, the last is being written while the lock is held

A written line survives kill -9 at once and a power cut from the next rotation or flush on (fsync). A line that a kill cut short
has no newline at its end: it was never acknowledged and is left out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BusyError, StoreError
from harness.store.lock import read_owner, try_flock, write_owner

SEGMENT_LINES = 5_000
SEGMENT_BYTES = 8 << 20
BATCH_LINES = 2_000
BATCH_BYTES = 4 << 20
VERSION = 1  # of the lines' format; in the segment's name

_LOCK = "run.lock"


def disk_full(where: Path | str) -> StoreError:
    return StoreError(
        "the disk is full",
        where=str(where),
        todo="Free some space and run the same command again: what was done is kept, it goes on from there",
    )


def system_error(error: OSError, where: Path | str) -> StoreError:
    """An OSError as people read it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return disk_full(where)
    return StoreError(f"cannot write: {error.strerror or error}", where=str(where), todo="Check the disk and the permissions")


class JournalWriter:
    """Appends lines to a run's journal. Safe to call from several threads. To be opened while the store's lock is held."""

    def __init__(self, folder: Path) -> None:
        """Claims the run; raises StoreError while another process writes it, or when the disk is full."""
        self.folder = folder
        self._mutex = threading.Lock()
        self._fd, self._lines, self._bytes = -1, 0, 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise system_error(error, folder) from None
        if not try_flock(self._lock):
            os.close(self._lock)
            raise BusyError(
                f"run {folder.name} is being written by {read_owner(folder / _LOCK)}",
                where=str(folder.parent.parent),
                todo="Wait for it, or start a fresh run",
            )
        write_owner(self._lock)
        self._next = 1 + max((segment.number for segment in segments(folder)), default=0)
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def append(self, line: str) -> None:
        """Write one line. When this returns, the line survives the death of this process."""
        data = f"{line}\n".encode()
        with self._mutex:
            if self._fd < 0:
                raise StoreError("the run is closed already", where=str(self.folder))
            if self._lines and (self._lines >= SEGMENT_LINES or self._bytes + len(data) > SEGMENT_BYTES):
                self._rotate()
            self._write(data)
            self._lines += 1
            self._bytes += len(data)

    def flush(self) -> None:
        """Bring what was written to the disk itself, so that it survives a power cut."""
        with self._mutex:
            if self._fd >= 0:
                self._sync()

    def close(self) -> None:
        """Give the run free. The journal stays until it is folded."""
        with self._mutex:
            if self._fd < 0:
                return
            try:
                self._sync()
            finally:
                os.close(self._fd)
                os.close(self._lock)
                self._fd = -1

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            if len(view) < len(data):  # half a line: take it back, so that the next one starts clean
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, self._bytes)
            raise system_error(error, self.folder) from None

    def _open(self) -> None:
        path = self.folder / f"{self._next:08d}.v{VERSION}.jsonl"
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise system_error(error, self.folder) from None
        self._next, self._lines, self._bytes = self._next + 1, 0, 0

    def _rotate(self) -> None:
        self._sync()
        old = self._fd
        self._open()  # when this fails (disk full), the old segment stays in use
        os.close(old)

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise system_error(error, self.folder) from None


@dataclass(frozen=True, slots=True)
class Segment:
    path: Path
    number: int
    version: int

    @property
    def name(self) -> str:
        """Its name in the folded table."""
        return f"{self.path.parent.name}/{self.path.name}"


def segments(folder: Path) -> list[Segment]:
    """The segments of one run, oldest first. Files that are no segments are none of ours."""
    found = []
    for path in folder.glob("*.v*.jsonl"):
        number, _, version = path.name.removesuffix(".jsonl").partition(".v")
        if number.isdecimal() and version.isdecimal():
            found.append(Segment(path, int(number), int(version)))
    return sorted(found, key=lambda segment: segment.number)


def run_folders(root: Path) -> list[Path]:
    """The journal folders of all runs that have one."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[bool]:
    """Hold the run of a folder if no process writes it (yields True), else leave it alone (False)."""
    try:
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield try_flock(fd)
    finally:
        os.close(fd)


def is_live(folder: Path) -> bool:
    """Whether a living process writes this run."""
    if not folder.is_dir():
        return False
    with claim(folder) as free:
        return not free


def remove(folder: Path) -> None:
    """Take an empty journal folder away; to be called with the run claimed."""
    (folder / _LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()


def read_batches(path: Path, offset: int) -> Iterator[tuple[list[bytes], int]]:
    """Complete lines from a byte offset on, in batches that fit in memory, each with the offset behind it.

    A batch is BATCH_LINES lines or BATCH_BYTES, whichever comes first, and at least one line.
    """
    with path.open("rb") as file:
        file.seek(offset)
        lines: list[bytes] = []
        size = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            lines.append(line)
            size += len(line)
            if len(lines) >= BATCH_LINES or size >= BATCH_BYTES:
                offset += size
                yield lines, offset
                lines, size = [], 0
        if lines:
            yield lines, offset + size
