"""What a server's processes hold, read from the system or from the driver's tool, and None where neither tells."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.serving.memory import held_gb

HOLD = "import sys; block = bytearray(b'x') * {size}; print('ready', flush=True); sys.stdin.read()"


@pytest.fixture
def holder() -> Iterator[int]:
    """A process with a child that holds 64 MB."""
    child = [sys.executable, "-c", HOLD.format(size=64_000_000)]
    lines = ("import subprocess, sys", f"p = subprocess.Popen({child!r}, stdin=-1)", "sys.stdin.read()", "p.communicate()")
    script = "\n".join(lines)
    process = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    yield process.pid
    process.stdin.close()
    process.wait(timeout=30)


def nvidia_smi(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch, *, code: int = 0) -> None:
    tool = folder / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_memory_of_the_machine_is_that_of_all_processes_below(holder: int) -> None:
    held = held_gb(holder, cpu=True)
    assert held is not None
    assert 0.064 < held < 1.0


def test_memory_of_gpus_is_what_the_driver_tells_of_these_processes(
    holder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path, f"{holder}, 1000\n999999999, 5000\n{holder}, 500", monkeypatch)
    assert held_gb(holder, cpu=False) == pytest.approx(1500 * 2**20 / 1e9)


@pytest.mark.parametrize("text", ["", "999999999, 5000", "[N/A], [N/A]", "garbage", "12, [Insufficient Permissions]"])
def test_a_driver_that_does_not_tell_gives_no_figure(
    holder: int, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(tmp_path, text, monkeypatch)
    assert held_gb(holder, cpu=False) is None


def test_no_driver_or_a_failing_one_gives_no_figure(holder: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, f"{holder}, 1000", monkeypatch, code=9)
    assert held_gb(holder, cpu=False) is None
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert held_gb(holder, cpu=False) is None


def test_a_process_that_is_gone_holds_nothing_that_is_known() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert held_gb(done.pid, cpu=True) is None
