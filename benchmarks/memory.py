"""Peak memory of `harness run` by the number of samples. It should be flat: nothing may grow with the plan but the store.

    python benchmarks/memory.py [--repeat 3] [SAMPLES ...]      # default 2000 20000 100000

The stub answers at once. Peak: the largest resident set the kernel saw in the whole command, report included.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import common

SIZES = (2_000, 20_000, 100_000)


def peak_mb(url: str, samples: int) -> float:
    with common.workplace() as folder:
        common.write_cases(folder, samples)
        common.write_suite(folder, url)
        peak = common.measured(common.run_command(folder), folder).peak_mb
        common.check_all_scored(folder, samples)
        return peak


def measure(repeat: int, sizes: tuple[int, ...] = SIZES) -> dict[str, Any]:
    found = {}
    with common.stub(0) as url:
        for samples in sizes:
            peaks = [round(peak_mb(url, samples), 1) for _ in range(repeat)]
            found[str(samples)] = {"peak_mb": common.median(peaks), "all": peaks}
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", type=int, nargs="*", default=SIZES)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(measure(options.repeat, tuple(options.samples)), indent=1))


if __name__ == "__main__":
    main()
