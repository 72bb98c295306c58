"""Files of training rows as `harness curate` writes them, and words that people say of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.quality.files import Source, open_examples
from harness.quality.humancheck import RowPlan, Word
from harness.quality.reviewfile import ReviewFile, beside

_numbers = itertools.count(1)


def pair(number: int, capability: str = "math", source: str = "own", **changes: Any) -> dict[str, Any]:
    row = {
        "prompt": [{"role": "user", "content": f"What is {number} and {number}?"}],
        "chosen": [{"role": "assistant", "content": f"It is {2 * number}."}],
        "rejected": [{"role": "assistant", "content": f"It is {2 * number + 1}."}],
        "provenance": {"capability": capability, "source": source, "case_id": f"case-{number}"},
    }
    return row | changes


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> Source:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return open_examples(path)


def mixed(path: Path, **sizes: int) -> Source:
    """A file with so many pairs of each capability, one after the other."""
    names = [name for name, size in sizes.items() for _ in range(size)]
    return write(path, [pair(i, name) for i, name in enumerate(names)])


def log_of(source: Source) -> ReviewFile:
    return ReviewFile(beside(source.path))


def word(plan: RowPlan, place: int, verdict: str, rater: str = "Ann", **more: Any) -> Word:
    """A word on the row at this place of the drawn order."""
    number = next(_numbers)
    pick = plan.picks[place]
    return Word(f"w{number}", pick.row, pick.line, rater, float(number), verdict, plan=plan.id, **more)
