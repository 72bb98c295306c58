"""The store's lock: whoever holds it may open the database. A flock, so the system drops it when its holder dies, kill -9 too.

The file names its holder for the message others see while they wait. flock works between processes of one machine, and on NFS
from Linux 2.6.12 on; a store on a file system without it cannot be shared.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.errors import StoreError

_POLL_S = 0.02
_PATIENCE_S = 2.0  # wait so long before saying that we wait

Notify = Callable[[str], None]


def try_flock(fd: int) -> bool:
    """Take the exclusive lock of an open file if nobody has it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_owner(fd: int) -> None:
    """Name this process in a lock file. Only a courtesy to others: a full disk does not matter here."""
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        command = Path(sys.argv[0] or "python").name
        os.pwrite(fd, json.dumps({"pid": os.getpid(), "command": command}).encode(), 0)


def read_owner(path: Path) -> str:
    """``process 123 (harness)`` as a lock file names it, or ``another process``."""
    try:
        owner = json.loads(path.read_bytes()[:4096])
        return f"process {int(owner['pid'])} ({owner['command']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextlib.contextmanager
def held(path: Path, timeout_s: float, notify: Notify | None = None) -> Iterator[None]:
    """Hold the lock file at path. Raises StoreError naming the holder after timeout_s seconds."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StoreError(f"cannot open the lock: {error.strerror}", where=str(path), todo="Check the permissions") from None
    try:
        _wait(fd, path, timeout_s, notify or logging.getLogger(__name__).warning)
        write_owner(fd)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _wait(fd: int, path: Path, timeout_s: float, notify: Notify) -> None:
    begun, told = time.monotonic(), False
    while not try_flock(fd):
        waited = time.monotonic() - begun
        if waited >= timeout_s:
            raise StoreError(
                f"the store is held by {read_owner(path)} for longer than {timeout_s:g} s",
                where=str(path.parent),
                todo="Wait until it is done, or end it; nothing written so far is lost",
            )
        if waited >= _PATIENCE_S and not told:
            notify(f"waiting for {read_owner(path)}, which holds the store {path.parent}")
            told = True
        time.sleep(_POLL_S)
