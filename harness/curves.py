"""What a training's log says in curves: loss, rewards, accuracies, learning rate over steps. Points only; others draw them, the
training beside its adapter and the report of a run from the store.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Point = tuple[float, float]  # step, value

# panel -> (name in trl's log, name for people); a panel without any of its series is left out
PANELS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "loss": (("loss", "training"), ("eval_loss", "held out")),
    "rewards": (("rewards/chosen", "chosen"), ("rewards/rejected", "rejected"), ("rewards/margins", "margin")),
    "reward": (("min_reward", "lowest"), ("mean_reward", "mean"), ("max_reward", "highest"), ("margin", "margin")),
    "accuracy": (
        ("rewards/accuracies", "training"),
        ("accuracy", "training"),
        ("eval_rewards/accuracies", "held out"),
        ("eval_accuracy", "held out"),
    ),
    "learning rate": (("learning_rate", "learning rate"),),
}


@dataclass(frozen=True, slots=True)
class Panel:
    """title; series: (name, points in the order of the log) each, none of them empty."""

    title: str
    series: tuple[tuple[str, tuple[Point, ...]], ...]

    @property
    def steps(self) -> tuple[float, float]:
        """First and last step; apart even where there is one alone."""
        found = [step for _, points in self.series for step, _ in points]
        return min(found), max(max(found), min(found) + 1)

    @property
    def values(self) -> tuple[float, float]:
        """Lowest and highest value; apart even where all are the same."""
        found = [value for _, points in self.series for _, value in points]
        low, high = min(found), max(found)
        if high - low < 1e-12 * max(1.0, abs(high)):
            pad = abs(high) * 0.1 or 1.0
            return low - pad, high + pad
        return low, high


def panels(history: Iterable[Mapping[str, object]]) -> tuple[Panel, ...]:
    """The panels a log has something for. What is no finite number is left out."""
    lines = list(history)
    found = []
    for title, wanted in PANELS.items():
        series = [(name, _points(lines, key)) for key, name in wanted]
        if kept := tuple((name, points) for name, points in series if points):
            found.append(Panel(title, kept))
    return tuple(found)


def _points(lines: Sequence[Mapping[str, object]], key: str) -> tuple[Point, ...]:
    pairs = ((_number(line.get("step")), _number(line.get(key))) for line in lines)
    return tuple((step, value) for step, value in pairs if step is not None and value is not None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def thinned(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """At most ``most`` points with the lowest and the highest of every stretch kept, so that no peak is lost."""
    if len(points) <= most:
        return tuple(points)
    stretches = max(1, most // 2)
    kept: set[int] = set()
    for part in range(stretches):
        stretch = range(part * len(points) // stretches, (part + 1) * len(points) // stretches)
        kept |= {min(stretch, key=lambda i: points[i][1]), max(stretch, key=lambda i: points[i][1])}
    return tuple(points[i] for i in sorted(kept))
