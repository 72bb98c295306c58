"""Every benchmark, one after the other; the figures go to results/<date>-<name>.json and, as a markdown table, to the terminal.

    python benchmarks/run_all.py [--name NAME] [--repeat 3] [--only client_cpu ...]

Figures that an earlier run of the same date and name has already are kept where ``--only`` leaves them out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import client_cpu
import common
import compare
import data
import memory
import novelty
import resume
import startup

RESULTS = common.HERE / "results"
BENCHMARKS: dict[str, Callable[[int], dict[str, Any]]] = {
    "client_cpu": client_cpu.measure,
    "compare": compare.measure,
    "data": lambda _: data.measure((100_000,)),
    "memory": memory.measure,
    "novelty": novelty.measure,
    "resume": resume.measure,
    "startup": lambda repeat: startup.measure(max(10, repeat)),
}
Row = tuple[str, str]


def machine() -> dict[str, Any]:
    model = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=common.HERE, check=False)
    return {
        "cpu": model[0] if model else platform.processor(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("openai", "aiohttp", "duckdb")},
        "load_average": round(os.getloadavg()[0], 1),
        "commit": commit.stdout.strip(),
    }


def rows(found: dict[str, Any]) -> Iterator[Row]:
    """The markdown table's rows: what was measured, the figure."""
    for name, figure in found.get("client_cpu", {}).items():
        what = name if "alone" in name else f"`harness run`, stream: {name}"
        whole = f"whole command at 2,000: {figure['per_1000']:.2f}, at 8,000: {figure['per_1000_large']:.2f}"
        yield f"client CPU s per 1,000 samples, {what}", f"{figure['marginal']:.2f} ({whole})"
    for size, figure in found.get("memory", {}).items():
        yield f"peak memory, {size}", f"{figure['peak_mb']:.0f} MB"
    if killed := found.get("resume", {}).get("killed"):
        worst = max(killed, key=lambda once: once["repeated"])
        kills = found["resume"]["kills"]
        figure = f"{worst['repeated']} of {worst['planned']:,} ({kills} times {common.CONCURRENCY} in flight)"
        yield f"requests repeated after {kills} kill -9", figure
    for samples, figure in found.get("resume", {}).get("rescored", {}).items():
        what = f"a changed check, {int(samples):,} stored answers"
        yield what, f"{figure['requests']} requests, {figure['cpu_s']:.1f} s CPU, {figure['wall_s']:.1f} s"
    for what, figure in found.get("compare", {}).items():
        times = f"{figure['wall_s']:.2f} s ({figure['cpu_s']:.2f} s CPU), {figure['peak_mb']} MB"
        yield f"`harness compare` of two files, {compare.CAPABILITIES} capabilities, {what}", times
    if novel := found.get("novelty"):
        what = f"ROUGE-L novelty filter, {novel['instructions']:,} instructions ({novel['accepted']:,} accepted), one core"
        yield what, f"{novel['wall_s']:.1f} s ({novel['cpu_s']:.1f} s CPU), {novel['peak_mb']} MB"
    for what, figure in found.get("data", {}).items():
        yield f"`harness data` {what}", f"{figure['rows_per_s']:,} rows a second, {figure['peak_mb']:.0f} MB"
    for command, figure in found.get("startup", {}).items():
        yield f"`{command}`", f"{figure['wall_s']:.2f} s ({figure['cpu_s']:.2f} s CPU)"


def table(found: dict[str, Any]) -> str:
    return "\n".join(["| measured | figure |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows(found))])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", default=f"{os.cpu_count()}-cores")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    options = parser.parse_args()
    path = RESULTS / f"{datetime.datetime.now(datetime.UTC).date()}-{options.name}.json"
    RESULTS.mkdir(exist_ok=True)
    found: dict[str, Any] = {}
    for name in options.only:
        figures = BENCHMARKS[name](options.repeat)
        found = json.loads(path.read_text()) if path.exists() else {}
        found[name] = figures
        found.setdefault("machine", {})[name] = machine()
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{name} done", flush=True)
    print(table(found))
    print(path)


if __name__ == "__main__":
    main()
