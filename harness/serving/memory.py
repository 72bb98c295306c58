"""What a server's processes hold: memory of the GPUs where it runs on them, else of the machine.

vLLM takes its memory at the start (weights, and a key-value cache as large as it is allowed to), so this is what serving a
candidate with these settings takes, not what one request adds. No guess stands in for a figure: what cannot be seen is None.
"""

from __future__ import annotations

import contextlib
import subprocess

import psutil

NVIDIA_SMI = ("nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
TIMEOUT_S = 20.0


def held_gb(pid: int, *, cpu: bool) -> float | None:
    """10^9 bytes that a process and all below it hold; cpu: of the machine's memory, else of all GPUs together."""
    pids = _family(pid)
    return _machine_gb(pids) if cpu else _gpu_gb(pids)


def _family(pid: int) -> set[int]:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return {pid, *(child.pid for child in process.children(recursive=True))}
    return set()


def _machine_gb(pids: set[int]) -> float | None:
    """Shared pages count once for all (PSS); where the system does not tell, resident memory."""
    total = 0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            try:
                total += process.memory_full_info().pss
            except (psutil.AccessDenied, AttributeError):
                total += process.memory_info().rss
    return total / 1e9 if total else None


def _gpu_gb(pids: set[int]) -> float | None:
    """As the driver tells by process id. In a container that hides them nothing matches, and nothing is said."""
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    mib = 0
    for line in done.stdout.splitlines():
        pid, _, used = (part.strip() for part in line.partition(","))
        if pid.isdigit() and used.isdigit() and int(pid) in pids:
            mib += int(used)
    return mib * 2**20 / 1e9 if mib else None
