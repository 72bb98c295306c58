"""`harness compare A.jsonl B.jsonl --json`, the whole command: wall-clock and CPU seconds and peak memory of 1,000,000 scores.

python benchmarks/compare.py [--repeat 5]

100 capabilities of 10,000 cases each; both files have all of them, so two million rows are read. Scores are right or wrong, a
tenth of the cases flip. Variants: the second file in the first one's order (as `harness export` writes them), shuffled, graded
scores, and half the cases.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import common

CAPABILITIES = 100
GOAL_S = 3.0


def write(path: Path, per_capability: int, seed: int, *, shuffled: bool, graded: bool) -> None:
    """One file. The cases' difficulty is the same for every seed, so that only a tenth of them flips."""
    luck = random.Random(seed)
    rows = []
    for number in range(CAPABILITIES * per_capability):
        passes = (number * 2654435761) % 1000 < 650
        if luck.random() < 0.05:
            passes = not passes
        score = round(luck.betavariate(6, 2) if passes else luck.betavariate(2, 6), 4) if graded else float(passes)
        case_id, capability = f"{number * 7919:016x}", f"capability-{number // per_capability:02d}"
        rows.append(f'{{"case_id":"{case_id}","capability":"{capability}","score":{score}}}\n')
    if shuffled:
        luck.shuffle(rows)
    path.write_text("".join(rows))


def measure(repeat: int = 5) -> dict[str, Any]:
    variants = {
        "1,000,000 cases, same order": {"per_capability": 10_000, "shuffled": False, "graded": False},
        "1,000,000 cases, shuffled": {"per_capability": 10_000, "shuffled": True, "graded": False},
        "1,000,000 cases, graded": {"per_capability": 10_000, "shuffled": False, "graded": True},
        "500,000 cases, same order": {"per_capability": 5_000, "shuffled": False, "graded": False},
    }
    found = {}
    for name, settings in variants.items():
        with common.workplace() as folder:
            write(folder / "a.jsonl", settings["per_capability"], 1, shuffled=False, graded=settings["graded"])
            write(folder / "b.jsonl", seed=2, **settings)
            command = [common.HARNESS, "compare", "a.jsonl", "b.jsonl", "--json"]
            used = [common.measured(command, folder) for _ in range(repeat)]
            found[name] = {
                "wall_s": common.median([u.wall for u in used]),
                "best_wall_s": round(min(u.wall for u in used), 3),
                "cpu_s": common.median([u.cpu for u in used]),
                "peak_mb": round(max(u.peak_mb for u in used)),
                "goal_wall_s": GOAL_S,
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=5)
    print(json.dumps(measure(parser.parse_args().repeat), indent=1))


if __name__ == "__main__":
    main()
