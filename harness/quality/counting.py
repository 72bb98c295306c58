"""Counting over a stream: lengths with exact quantiles, and lists that keep only their first entries."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

QUANTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass
class Lengths:
    """How often each length came. Memory grows with the distinct lengths only, so quantiles are exact on files of any size."""

    counts: Counter[int] = field(default_factory=Counter)

    def add(self, length: int) -> None:
        self.counts[length] += 1

    @property
    def n(self) -> int:
        return self.counts.total()

    @property
    def total(self) -> int:
        return sum(length * count for length, count in self.counts.items())

    def quantile(self, share: float) -> int | None:
        """The smallest length that at least this share of rows does not exceed; None without rows."""
        left = share * self.n
        for length in sorted(self.counts):
            left -= self.counts[length]
            if left <= 1e-9:
                return length
        return None

    def above(self, limit: int) -> int:
        """Rows longer than the limit."""
        return sum(count for length, count in self.counts.items() if length > limit)

    def bins(self, most: int = 40) -> list[tuple[int, int, int]]:
        """(from, to, rows) of at most so many equally wide bins up to the 99th percentile; the last one holds all beyond."""
        if not self.counts:
            return []
        low, high = min(self.counts), self.quantile(0.99) or 0
        width = max(1, -(-(high - low + 1) // most))
        count = -(-(high - low + 1) // width)
        edges = [(low + i * width, low + (i + 1) * width - 1) for i in range(count)]
        rows = [0] * count
        for length, times in self.counts.items():
            rows[min((length - low) // width, count - 1)] += times
        return [(a, b, n) for (a, b), n in zip(edges, rows, strict=True)]

    def summary(self) -> dict[str, Any]:
        """n, mean, smallest, quantiles, largest; only n when there is nothing."""
        if not self.counts:
            return {"n": 0}
        told: dict[str, Any] = {
            "n": self.n,
            "mean": round(self.total / self.n, 1),
            "min": min(self.counts),
            "max": max(self.counts),
        }
        return told | {f"p{round(100 * share)}": self.quantile(share) for share in QUANTILES}
