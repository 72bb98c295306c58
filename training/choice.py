"""Which checkpoint is the best: by the loss on held-out rows, and by the suite's capabilities; the two often disagree.

Both are point estimates for choosing what to put before the gate. They claim nothing: the gate asks its own split and decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Standing:
    """A checkpoint with what is known of it. means: capability -> mean score on the dev split, None where nothing was scored."""

    step: int
    eval_loss: float | None
    means: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a capability counts. role: target, protected or advisory. margin: the loss that would be tolerated."""

    role: str
    margin: float


@dataclass(frozen=True, slots=True)
class Choice:
    """by_loss, by_suite: steps, None where nothing tells. reason: one sentence. kept: whether the suite's choice keeps every
    protected capability within its margin of the baseline."""

    by_loss: int | None
    by_suite: int | None
    kept: bool
    reason: str

    @property
    def agree(self) -> bool:
        return self.by_loss == self.by_suite


def choose(standings: Sequence[Standing], rules: Mapping[str, Rule], baseline: Mapping[str, float | None]) -> Choice:
    """The suite's choice: among the checkpoints that keep every protected capability, the highest mean of the targets; where none
    does, the one whose worst loss is smallest. Ties go to the lower eval loss, then to the earlier step."""
    losses = [s for s in standings if s.eval_loss is not None]
    by_loss = min(losses, key=lambda s: (s.eval_loss or 0.0, s.step)).step if losses else None
    told = [s for s in standings if any(mean is not None for mean in s.means.values())]
    if not told:
        return Choice(by_loss, None, False, "no checkpoint has a score on the dev split")
    whole = [s for s in told if worst_loss(s, rules, baseline)[1] <= 0]
    tie = lambda s: (s.eval_loss if s.eval_loss is not None else 0.0, s.step)  # noqa: E731
    if whole:
        best = min(whole, key=lambda s: (-gain(s, rules), *tie(s)))
        return Choice(by_loss, best.step, True, "the highest targets among those that keep every protected capability")
    best = min(told, key=lambda s: (worst_loss(s, rules, baseline)[1], *tie(s)))
    name, loss = worst_loss(best, rules, baseline)
    reason = f"none keeps every protected capability; this one loses least ({name}, {100 * loss:.1f} points beyond its margin)"
    return Choice(by_loss, best.step, False, reason)


def gain(standing: Standing, rules: Mapping[str, Rule]) -> float:
    """Mean over the targets, over all capabilities where there is no target; what is unscored counts 0."""
    targets = [name for name, rule in rules.items() if rule.role == "target"] or list(rules)
    return sum(standing.means.get(name) or 0.0 for name in targets) / max(1, len(targets))


def worst_loss(standing: Standing, rules: Mapping[str, Rule], baseline: Mapping[str, float | None]) -> tuple[str, float]:
    """(protected capability, how far it lies below baseline - margin) of the worst; 0 or less is kept. Unscored counts 0."""
    found = [("", 0.0)]
    for name, rule in rules.items():
        known = baseline.get(name)
        if rule.role == "protected" and known is not None:
            found.append((name, known - rule.margin - (standing.means.get(name) or 0.0)))
    return max(found, key=lambda item: item[1])
