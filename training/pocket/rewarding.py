"""How well a reward model orders rankings, and where on its scale an answer that will do lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from training.pocket.rankings import LEVELS, Ranking, conversations
from training.reward import RewardModel

Rewards = list[list[float]]  # of one ranking, group by group


@dataclass(frozen=True, slots=True)
class Ordered:
    """pairs: (better level, worse level) -> share of pairs in [0, 1] that the model orders so; all: of all pairs; n: pairs.

    means: level -> mean reward.
    """

    pairs: dict[tuple[str, str], float]
    all: float
    n: int
    means: dict[str, float]


def rewards_of(model: RewardModel, rankings: Sequence[Ranking]) -> list[Rewards]:
    """The reward of every answer. None is too long for the model: they are all a sentence at most."""
    given = iter(model.rewards(conversations(rankings)))
    return [[[_number(next(given)) for _ in group] for group in ranking.groups] for ranking in rankings]


def _number(reward: float | None) -> float:
    if reward is None:
        raise ValueError("an answer is longer than the reward model reads")
    return reward


def ordered(found: Sequence[Rewards]) -> Ordered:
    hits: dict[tuple[str, str], list[bool]] = {}
    levels: dict[str, list[float]] = {name: [] for name in LEVELS}
    for groups in found:
        for name, group in zip(LEVELS, groups, strict=True):
            levels[name] += group
        for (one, better), (two, worse) in combinations(zip(LEVELS, groups, strict=True), 2):
            hits.setdefault((one, two), []).extend(a > b for a in better for b in worse)
    every = [hit for found_hits in hits.values() for hit in found_hits]
    shares = {pair: sum(found_hits) / len(found_hits) for pair, found_hits in hits.items()}
    return Ordered(shares, sum(every) / len(every), len(every), {name: sum(v) / len(v) for name, v in levels.items()})


def squashing(found: Sequence[Rewards]) -> tuple[float, float]:
    """(center, scale) of a reward judge: the middle between answers that will do and the next best, and a quarter of the gap."""
    means = ordered(found).means
    good, next_best = means[LEVELS[0]], means[LEVELS[1]]
    return (good + next_best) / 2, abs(good - next_best) / 4


def described(path: Path, parts: Sequence[tuple[str, Sequence[Ranking]]]) -> Iterator[str]:
    """What a person who has just built the model wants to know, of named sets of rankings; the first gives center and scale."""
    model = RewardModel.load(path)
    for number, (name, rankings) in enumerate(parts):
        found = rewards_of(model, rankings)
        told = ordered(found)
        worst = min(told.pairs, key=lambda pair: told.pairs[pair])
        means = ", ".join(f"{level} {mean:+.2f}" for level, mean in told.means.items())
        hardest = f"{worst[0]} over {worst[1]} {told.pairs[worst]:.3f}"
        yield f"reward on {name}: {told.all:.3f} of {told.n:,} pairs in order ({hardest}); {means}"
        if number == 0:
            center, scale = squashing(found)
            yield f"  judges: center {center:.2f}, scale {scale:.2f}"
