"""What the store costs: client CPU per 1,000 samples, time to fold, memory, size on disk.

    python benchmarks/store.py [SAMPLES ...]      # default 2000 20000 100000

Each size runs in a process of its own: plan, then for every sample one response of about 700 characters and one score with
two check results, at full speed; then finish, read every item, and every score row. Writes one JSON line per size.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.model import Candidate, Case, CheckResult, Message, Request, Response, RunRecord, Sampling, Score

CANDIDATE = Candidate("base", "base", "0" * 64)
TEXT = "the answer follows from the second line of the order which names three boxes of tea and a late delivery to the gate"
WORDS = TEXT.split()


def text_of(number: int, words: int) -> str:
    """Text that compresses about as real answers do."""
    return " ".join(WORDS[(number * 7 + i * i) % len(WORDS)] + str((number * i) % 97) for i in range(words))


def requests(n: int) -> Iterator[Request]:
    for number in range(n):
        question = text_of(number, 40)
        case = Case(f"{number:016x}", "math", {"input": question}, str(number), source=f"cases.jsonl:{number + 1}")
        yield Request(CANDIDATE, case, (Message("system", "Be brief."), Message("user", question)), Sampling())


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class Stage:
    """CPU seconds of this process since the last call."""

    def __init__(self) -> None:
        self.cpu = time.process_time()

    def __call__(self) -> float:
        now = time.process_time()
        spent, self.cpu = now - self.cpu, now
        return round(spent, 3)


def measure(n: int, folder: str) -> dict[str, Any]:
    from harness.store import Store

    stage, out = Stage(), {"samples": n, "rss_imported_mb": round(rss_mb(), 1)}
    store = Store.open(Path(folder) / "store")
    record = RunRecord("run1", "bench", "h" * 64, CANDIDATE, "running", started_at=time.time())
    out["cpu_open"] = stage()
    out["cpu_building_requests"] = _consume(requests(n), stage)
    writer = store.begin_run(record, "name: bench", {}, requests(n))
    out["cpu_plan"] = round(stage() - out["cpu_building_requests"], 3)
    parts = (CheckResult("numeric", 1, 1.0, True, "17 equals 17"), CheckResult("word-count", 1, 1.0, True, "120 words"))
    score = Score(1.0, True, None, "both pass", parts)
    write = 0.0
    for number, request in enumerate(requests(n)):
        response = Response(request.key, text_of(number, 80), None, "stop", 80, 120, 0.05, 0.5, 1, time.time())
        begun = time.process_time()
        writer.add_response(request, response)
        writer.add_score(request, response, score, "digest")
        write += time.process_time() - begun
    out["cpu_write"] = round(write, 3)
    out["rss_written_mb"] = round(rss_mb(), 1)
    stage()
    begun = time.perf_counter()
    writer.finish("complete")
    out["cpu_fold"], out["fold_s"] = stage(), round(time.perf_counter() - begun, 2)
    out["cpu_per_1000"] = round(1000 * (out["cpu_plan"] + out["cpu_write"] + out["cpu_fold"]) / n, 4)
    out["rss_peak_run_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    out["store_mb"] = round(sum(f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()) / 2**20, 1)
    assert sum(1 for _ in store.score_rows("run1")) == n
    out["cpu_read_score_rows"] = stage()
    assert sum(1 for _ in store.items("run1")) == n
    out["cpu_read_items"] = stage()
    out["rss_peak_all_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return out


def _consume(made: Iterator[Request], stage: Stage) -> float:
    for _ in made:
        pass
    return stage()


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(int(sys.argv[2]), folder)))
        return
    for n in sys.argv[1:] or ["2000", "20000", "100000"]:
        subprocess.run([sys.executable, __file__, "--one", n], check=True)


if __name__ == "__main__":
    main()
