"""Peak memory of `harness run` by the number of samples: 2,000 to 100,000, by more cases and by more samples of each.

    python benchmarks/memory.py [--repeat 3] [--largest 100000]

Nothing of an answer is kept in memory; the suite's cases are, and the scores while a verdict is made. The stub answers at once.
Peak: the largest resident set the kernel saw in the whole command, report included.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import common

SIZES = ((2_000, 1), (20_000, 1), (2_000, 50), (100_000, 1))  # cases, samples of each
LONG = 50_000  # samples from which on once is enough: the peaks of equal runs differ by some 2 %


def peak_mb(url: str, cases: int, per_case: int) -> float:
    with common.workplace() as folder:
        common.write_cases(folder, cases)
        common.write_suite(folder, url, per_case=per_case)
        peak = common.measured(common.run_command(folder), folder).peak_mb
        common.check_all_scored(folder, cases * per_case)
        return peak


def measure(repeat: int, largest: int = 100_000) -> dict[str, Any]:
    found = {}
    with common.stub(0) as url:
        for cases, per_case in SIZES:
            samples = cases * per_case
            if samples <= largest:
                peaks = [round(peak_mb(url, cases, per_case), 1) for _ in range(1 if samples >= LONG else repeat)]
                found[f"{samples:,} samples of {cases:,} cases"] = {"peak_mb": common.median(peaks), "all": peaks}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--largest", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(measure(options.repeat, options.largest), indent=1))


if __name__ == "__main__":
    main()
