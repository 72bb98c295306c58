"""What kill -9 costs, and what a changed check costs.

    python benchmarks/resume.py [--repeat 3] [--kills 3]

kills: `harness run` is killed several times on its way and then finished. Every request beyond the plan was a repetition; only
those in flight at a kill may be (256 at most each time).
rescoring: the suite's check changes, everything is scored again from the store; the stub counts the requests that this sends.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import common

SAMPLES = 4_000
STORED = (2_000, 20_000)


def kill_and_finish(url: str, kills: int, samples: int = SAMPLES) -> dict[str, int]:
    """One run, killed when it has come about 1/(kills + 1) further each time."""
    with common.workplace() as folder:
        common.write_cases(folder, samples)
        common.write_suite(folder, url)
        before = common.counts(url)["requests"]
        for number in range(1, kills + 1):
            process = common.started(common.run_command(folder), folder)
            _wait_for(url, before + number * samples // (kills + 1), process)
            process.kill()
            process.wait()
        time.sleep(0.2)  # the stub notices
        common.measured(common.run_command(folder), folder)
        common.check_all_scored(folder, samples)
        sent = common.counts(url)["requests"] - before
    return {"planned": samples, "sent": sent, "repeated": sent - samples, "bound": kills * common.CONCURRENCY}


def _wait_for(url: str, requests: int, process: subprocess.Popen[bytes]) -> None:
    while common.counts(url)["requests"] < requests:
        if process.poll() is not None:
            raise SystemExit(f"the run ended before it was killed, with {common.counts(url)['requests']} requests")
        time.sleep(0.02)


def rescore(url: str, samples: int, repeat: int) -> dict[str, Any]:
    with common.workplace() as folder:
        common.write_cases(folder, samples)
        common.write_suite(folder, url)
        common.measured(common.run_command(folder), folder)
        before = common.counts(url)["requests"]
        used = [_rescored(folder, url, samples, tolerance) for tolerance in range(1, repeat + 1)]
        sent = common.counts(url)["requests"] - before
    return {
        "requests": sent,
        "wall_s": common.median([u.wall for u in used]),
        "cpu_s": common.median([u.cpu for u in used]),
    }


def _rescored(folder: Path, url: str, samples: int, tolerance: int) -> common.Usage:
    common.write_suite(folder, url, checks=f"[{{type: numeric, abs_tolerance: {tolerance}}}]")
    used = common.measured(common.run_command(folder), folder)
    common.check_all_scored(folder, samples)
    return used


def measure(repeat: int, kills: int = 3, stored: tuple[int, ...] = STORED) -> dict[str, Any]:
    with common.stub(0.05) as url:
        killed = [kill_and_finish(url, kills) for _ in range(repeat)]
    with common.stub(0) as url:
        rescored = {str(samples): rescore(url, samples, repeat) for samples in stored}
    return {"kills": kills, "killed": killed, "rescored": rescored}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kills", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(measure(options.repeat, options.kills), indent=1))


if __name__ == "__main__":
    main()
