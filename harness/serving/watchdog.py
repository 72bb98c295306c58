"""Stands between the harness and a server it started, so that the server never outlives the harness - not even a kill -9 of it.

Run as a script: ``python watchdog.py HARNESS_PID GRACE_SECONDS COMMAND...`` with the harness holding the other end of stdin. The
server runs as a process group of its own. When stdin closes, the harness is no longer our parent, or a signal asks for it, the
group gets SIGINT and after the grace SIGKILL. vLLM's engine and workers are grandchildren: as their subreaper we inherit what is
left of them and end that too. If this process itself is killed, the kernel tells the server (PR_SET_PDEATHSIG).

The standard library only, and nothing of harness: it starts in milliseconds and is there before the server is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
POLL_S = 0.2


def prctl(option: int, value: int) -> None:
    """Does nothing where there is no prctl (not Linux): then the group and the pipe must do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main(argv: list[str]) -> int:
    """Returns the server's exit code (128 + signal when a signal ended it)."""
    parent, grace, command = int(argv[0]), float(argv[1]), argv[2:]
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_before_server, start_new_session=True)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 127
    while server.poll() is None and not asked and os.getppid() == parent and not _stdin_closed():
        pass
    if server.poll() is None:
        _signal_group(server.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(grace)
    _signal_group(server.pid, signal.SIGKILL)
    code = server.wait()
    _end_orphans()
    return code if code >= 0 else 128 - code


def _before_server() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stdin_closed() -> bool:
    """Waits a moment. Anything readable is the end: the harness writes nothing."""
    with contextlib.suppress(InterruptedError):
        return bool(select.select([0], [], [], POLL_S)[0])
    return False


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _end_orphans(patience_s: float = 5.0) -> None:
    """Kills and reaps every process that came to us as orphan, wherever it hid (a child that made its own group, say)."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        for child in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def _children() -> list[int]:
    with contextlib.suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
