"""preference: chosen and rejected say something, and not the same; over the file, chosen is not simply the longer one.

A reward learnt from pairs in which length decides is a reward for length (Singhal et al. 2023, arXiv 2310.03716). The share of
pairs in which chosen is longer is told with its Wilson interval; it is a finding when the interval lies above 0.6.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings
from harness.quality.examples import Example, Kind, joined

MIN_PAIRS = 30
MOST = 0.6


@dataclass
class _Pass:
    longer: int = 0
    shorter: int = 0

    def see(self, example: Example) -> Iterator[Found]:
        if example.kind is not Kind.PREFERENCE:
            return
        chosen, rejected = joined(example.answer), joined(example.refused)
        if not rejected.strip():
            yield Found("empty-rejected", "the rejected answer is empty")
        if chosen == rejected:
            yield Found("identical-pair", "chosen and rejected are the same")
        elif "".join(chosen.split()) == "".join(rejected.split()):
            yield Found("white-space-pair", "chosen and rejected differ in white space only")
        self.longer += len(chosen) > len(rejected)
        self.shorter += len(chosen) < len(rejected)

    def end(self) -> Iterator[Found]:
        n = self.longer + self.shorter
        if n < MIN_PAIRS:
            return
        low, high = wilson(self.longer, n)
        if low > MOST:
            yield Found(
                "length-bias",
                f"chosen is longer than rejected in {self.longer:,} of {n:,} pairs ({self.longer / n:.0%}, "
                f"95% interval {low:.0%} to {high:.0%}): what is learnt may be length",
            )


def wilson(count: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927)."""
    share, denominator = count / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / denominator
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / denominator
    return middle - half, middle + half


def _start(settings: Settings) -> _Pass:
    return _Pass()


def _pair(chosen: str, rejected: str) -> dict[str, object]:
    return {"prompt": "q", "chosen": chosen, "rejected": rejected}


DATA_CHECKS = (
    DataCheckType(
        name="preference",
        version=1,
        summary="Chosen and rejected are not empty and not the same; chosen is not just the longer one, pair after pair.",
        codes={
            "identical-pair": (Level.ERROR, "leave the pair out: its gradient is noise"),
            "white-space-pair": (Level.ERROR, "leave the pair out, or find out which differs"),
            "empty-rejected": (Level.ERROR, "leave the pair out: nothing is refused"),
            "length-bias": (Level.WARNING, "add pairs in which the shorter answer is chosen, or control for length"),
        },
        start=_start,
        examples=(
            Sample((_pair(" blue.", " green."),)),
            Sample(
                (_pair("a", "a"), _pair("a b", "a  b\n"), _pair("a", "")),
                ((1, "identical-pair"), (2, "white-space-pair"), (3, "empty-rejected")),
            ),
            Sample(tuple(_pair("long answer", "short") for _ in range(30)), ((0, "length-bias"),)),
            Sample(tuple(_pair("long answer", "short") for _ in range(29))),
            Sample(tuple(_pair("ab", "b") if i % 2 else _pair("b", "ab") for i in range(60))),
            Sample(({"prompt": "q", "completion": "a"},)),
        ),
    ),
)
