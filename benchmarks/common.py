"""What the benchmarks share: the stub, a suite of sums, and a command measured from outside.

Little is imported here: on Linux a child's peak memory is at least that of the process that started it. DuckDB, which the check
of a run's denominator loads, makes that some 75 MB, half of the smallest run's.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
HARNESS = str(Path(sys.executable).with_name("harness"))
CONCURRENCY = 256


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process used from start to end, as the kernel counted it. cpu: user + system, in seconds."""

    cpu: float
    wall: float
    peak_mb: float
    code: int


def started(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    log = (folder / "output.txt").open("ab")
    with log:
        return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def measured(command: Sequence[str], folder: Path, *, codes: Sequence[int] = (0, 1, 2)) -> Usage:
    """Run to the end; its own resources only. Raises when it fails: a benchmark of a failure is none. 0-2 are verdicts."""
    begun = time.perf_counter()
    process = started(command, folder)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = code = os.waitstatus_to_exitcode(status)
    if code not in codes:
        raise SystemExit(f"{' '.join(command)}: exit code {code}\n{(folder / 'output.txt').read_text()[-3000:]}")
    return Usage(used.ru_utime + used.ru_stime, time.perf_counter() - begun, used.ru_maxrss / 1024, code)


@contextlib.contextmanager
def stub(delay: float) -> Iterator[str]:
    """The stub in a process of its own; yields its base address."""
    command = [sys.executable, str(HERE / "stub.py"), "--delay", str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def counts(url: str) -> dict[str, int]:
    """requests: chat requests the stub has had. most_open: the most of them at once."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/counts") as answer:
        return json.load(answer)


def write_cases(folder: Path, samples: int) -> None:
    """Sums, each another one, so that nothing is answered from the cache."""
    with (folder / "cases.jsonl").open("w") as file:
        for number in range(samples):
            first, second = number + 1000, (number * 7919) % 9973
            case = {"input": f"What is {first} + {second}?", "reference": first + second}
            file.write(json.dumps(case) + "\n")


def write_suite(folder: Path, url: str, *, stream: str = "sampled", checks: str = "[{type: numeric}]", per_case: int = 1) -> Path:
    path = folder / "suite.yaml"
    path.write_text(f"""\
suite: benchmark
candidates:
  stub: {{endpoint: "{url}", model: stub}}
prompt: {{system: Answer briefly.}}
generation: {{concurrency: {CONCURRENCY}, max_tokens: 64, samples: {per_case}, stream: {stream}}}
capabilities:
  sums: {{role: target, cases: cases.jsonl, checks: {checks}}}
""")
    return path


def run_command(folder: Path) -> list[str]:
    return [HARNESS, "run", "suite.yaml", "--store", str(folder / "store")]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="harness-bench-") as folder:
        yield Path(folder)


def median(values: Sequence[float]) -> float:
    return round(statistics.median(values), 3)


def check_all_scored(folder: Path, samples: int) -> None:
    """The denominator of the newest run, read from the store: only a run in which all was scored is worth a figure."""
    from harness.store import Store

    store = Store.open(folder / "store")
    ledger = store.runs()[0].ledger
    assert (ledger.planned, ledger.scored) == (samples, samples), ledger
