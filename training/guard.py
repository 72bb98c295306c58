"""Training data must not hold what the gate will ask: rows that repeat a gate case are refused before anything is loaded.

Refused is a row that shares at least SHARED of a case's words in one run, or nearly all its three-word shingles. What is less
alike is counted and shown, not refused: tasks of one template share most of their words (of GSM8K's 1,319 test questions, 80
share eight words in a row with a training question), and a person decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import TrainingError
from harness.model import Case
from harness.quality.leaks import Leak, LeakIndex, targets_of
from training.data import Row
from training.recipe import Recipe

SHARED = 0.9


@dataclass(frozen=True, slots=True)
class Guarded:
    """cases: gate cases held against the rows. similar: rows that resemble one without repeating it; worst: the most alike."""

    cases: int
    similar: int = 0
    worst: Leak | None = None


def refuse_leaks(recipe: Recipe, rows: Iterable[Row], cases: Iterable[Case], *, shared: float = SHARED) -> Guarded:
    """Raises TrainingError naming the first rows that repeat a case; otherwise says how much resembles one."""
    known = list(cases)
    index = LeakIndex(targets_of(known))
    refused: list[Leak] = []
    similar, worst = 0, None
    for number, row in enumerate(rows):
        texts = {message["content"] for messages in row.values() for message in messages if message["role"] != "system"}
        leaks = [leak for text in sorted(texts) for leak in index.find(text, number)]
        if not leaks:
            continue
        leak = max(leaks, key=lambda leak: leak.alike)
        if leak.alike >= shared:
            refused.append(leak)
        else:
            similar += 1
            worst = leak if worst is None or leak.alike > worst.alike else worst
    if refused:
        first = refused[0]
        raise TrainingError(
            f"{len(refused)} training rows repeat gate cases, row {first.row + 1} the case {first.target.id} ({first.how}: "
            f"{first.span[:80]!r})",
            where=", ".join(recipe.dataset),
            todo="Take them out: `harness data decontaminate` does; what the gate asks must not be learnt",
        )
    return Guarded(len(known), similar, worst)
