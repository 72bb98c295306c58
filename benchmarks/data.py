"""`harness data validate`, `convert`, `distribution`, `dedup` and `decontaminate` on large files: rows a second and peak memory.

    python benchmarks/data.py [--rows 100000 1000000]

Rows are made up: a question of some 60 characters in English or Chinese, an answer of some 250, one line in 10,000 broken and one
row in 1,000 a repetition. Peak: the largest resident set the kernel saw in the whole command.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import common

ROWS = (100_000, 1_000_000)
SUITE = Path(__file__).resolve().parents[1] / "suites/gsm8k/suite.yaml"
WORDS = (
    "the",
    "of",
    "to",
    "and",
    "in",
    "for",
    "with",
    "order",
    "price",
    "by",
    "small",
    "from",
    "at",
    "as",
    "green",
    "be",
    "it",
    "or",
    "are",
)
SIGNS = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法"


def line(number: int, dice: random.Random) -> str:
    if number % 10_000 == 9_999:
        return '{"instruction": "broken'
    seed = number - 1 if number % 1_000 == 500 else number
    dice.seed(seed)
    chinese = seed % 4 == 0

    def text(size: int) -> str:
        if chinese:
            return "".join(dice.choices(SIGNS, k=size)) + "。"
        return " ".join(dice.choices(WORDS, k=size // 4)) + f" {seed}."

    row = {"instruction": text(60), "input": "", "output": text(250)}
    return json.dumps(row, ensure_ascii=False)


def write_rows(path: Path, rows: int) -> None:
    dice = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(line(number, dice) + "\n")


def commands(rows: int) -> Iterator[tuple[str, list[str]]]:
    data = [common.HARNESS, "data"]
    yield "validate", [*data, "validate", "rows.jsonl", "--clean", "clean.jsonl", "--findings", "findings.jsonl"]
    yield "convert to Parquet", [*data, "convert", "rows.jsonl", "rows.parquet", "--to", "trl"]
    yield "convert JSON array", [*data, "convert", "rows.jsonl", "rows.json", "--to", "sharegpt"]
    yield "distribution", [*data, "distribution", "rows.jsonl"]
    yield "dedup, exact", [*data, "dedup", "rows.jsonl", "--out", "kept.jsonl"]
    yield "dedup, minhash", [*data, "dedup", "rows.jsonl", "--method", "minhash", "--out", "kept.jsonl"]
    yield "decontaminate, 1,319 cases", [*data, "decontaminate", "rows.jsonl", "--suite", str(SUITE), "--json"]


def measure(sizes: tuple[int, ...] = ROWS) -> dict[str, Any]:
    found = {}
    for rows in sizes:
        with common.workplace() as folder:
            write_rows(folder / "rows.jsonl", rows)
            for name, command in commands(rows):
                used = common.measured(command, folder)
                found[f"{name}, {rows:,} rows"] = {
                    "rows_per_s": round(rows / used.wall),
                    "wall_s": round(used.wall, 1),
                    "peak_mb": round(used.peak_mb, 1),
                }
                print(name, f"{rows:,}", found[f"{name}, {rows:,} rows"], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    print(json.dumps(measure(tuple(parser.parse_args().rows)), indent=1))


if __name__ == "__main__":
    main()
