"""What a run's judges did, counted from its judgments: verdicts and how they were read, what is missing, bias, spread, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from harness.model import Estimate, Judgment
from harness.statistics import agreement, ranking

REWARD = "reward"  # a Judgment's mode
SPEAKS = "addresses-the-judge"  # the flag of an answer that speaks to whoever judges it
_NAMED = 5  # cases of such answers
_DRAWS = 4_000_000  # of units, in alpha's bootstrap: beyond 2,000 answers fewer draws do


class Asked(Protocol):
    """What a judgment cost; see harness.store.judged."""

    @property
    def requests(self) -> int: ...
    @property
    def sent(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Given(Protocol):
    """A judgment with what it cost; harness.store.StoredJudgment is one. longer: of a pair, characters by which the first answer
    is the longer one. cluster: cases that share it are not independent."""

    @property
    def case_id(self) -> str: ...
    @property
    def cluster(self) -> str | None: ...
    @property
    def longer(self) -> int | None: ...
    @property
    def judgment(self) -> Judgment: ...
    @property
    def asked(self) -> Asked: ...


@dataclass(frozen=True, slots=True)
class MemberSummary:
    """One member of a panel. unparsed: share of answers it gave no verdict on. agrees: share of the other members' verdicts that
    were its own, on average over the answers that it and another one judged."""

    judge: str
    unparsed: float
    agrees: Estimate


@dataclass(frozen=True, slots=True)
class PanelSummary:
    """How far a panel's members agree. alpha: Krippendorff's, of their values (interval) or of what they preferred (nominal)."""

    alpha: Estimate
    members: tuple[MemberSummary, ...]


@dataclass(frozen=True, slots=True)
class JudgeSummary:
    """One judge in one run. n: answers it was to judge. unscored: reason -> answers without a verdict; errored: those of them
    whose requests failed. modes, flags: how the verdict was read, what was noticed -> answers.

    position: share of pairs, judged in both orders, whose winner changed with the order; None for a judge of single answers.
    wins, wins_even: of pairs, share that the candidate won (a tie is half), and the same if answers were of one length.
    spread: mean standard deviation over several samples of the judge (test against retest), None with one; of a panel over its
    members, and panel says how far they agree. outside: the largest share of probability that lay outside the menu. requests:
    replies its verdicts rest on; sent: those really asked for by this run, the others were stored. seconds: of all of them.
    tokens: of all of them, retries included. reward: mean raw reward, of a reward model alone: it has no scale, but two runs' can
    be held against each other. speaking: the first cases whose answers speak to the judge.
    """

    judge: str
    n: int = 0
    unscored: Mapping[str, int] = field(default_factory=dict)
    errored: int = 0
    modes: Mapping[str, int] = field(default_factory=dict)
    flags: Mapping[str, int] = field(default_factory=dict)
    position: Estimate | None = None
    wins: Estimate | None = None
    wins_even: Estimate | None = None
    spread: float | None = None
    spread_n: int = 0
    outside: float | None = None
    requests: int = 0
    sent: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    panel: PanelSummary | None = None
    reward: float | None = None
    speaking: tuple[str, ...] = ()

    @property
    def unparsed(self) -> float | None:
        """Share of answers without a verdict, whatever the reason."""
        return sum(self.unscored.values()) / self.n if self.n else None


class _Members:
    """What a panel's members said, one row an answer."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.pairwise = False
        self.values: list[list[float | str | None]] = []
        self.verdicts: list[list[bool | str | None]] = []
        self.clusters: list[str] = []

    def add(self, members: Iterable[Judgment], cluster: str) -> None:
        said = list(members)
        self.names = self.names or [one.judge for one in said]
        self.pairwise |= any(one.preference is not None for one in said)
        self.values.append([one.value if one.preference is None else one.preference for one in said])
        self.verdicts.append([one.passed if one.preference is None else one.preference for one in said])
        self.clusters.append(cluster)

    def summary(self) -> PanelSummary:
        alpha = agreement.krippendorff_alpha(
            self.values,
            np.random.default_rng(0),
            metric="nominal" if self.pairwise else "interval",
            clusters=self.clusters,
            draws=min(2_000, max(200, _DRAWS // len(self.values))),
        )
        return PanelSummary(alpha, tuple(self._member(index, name) for index, name in enumerate(self.names)))

    def _member(self, index: int, name: str) -> MemberSummary:
        shares, clusters = [], []
        for row, cluster in zip(self.verdicts, self.clusters, strict=True):
            others = [verdict for other, verdict in enumerate(row) if other != index and verdict is not None]
            if row[index] is not None and others:
                shares.append(sum(verdict == row[index] for verdict in others) / len(others))
                clusters.append(cluster)
        unread = sum(row[index] is None for row in self.verdicts)
        return MemberSummary(
            name, unread / len(self.verdicts), agreement.difference(shares, [0.0] * len(shares), clusters=clusters)
        )


class _Count:
    """One judge's judgments, added up: no judgment is kept."""

    def __init__(self) -> None:
        self.n = self.errored = self.requests = self.sent = self.prompt = self.completion = 0
        self.unscored: Counter[str] = Counter()
        self.modes: Counter[str] = Counter()
        self.flags: Counter[str] = Counter()
        self.turned: list[bool] = []
        self.pairs: list[tuple[float, int, str]] = []
        self.members = _Members()
        self.speaking: list[str] = []
        self.spread = self.seconds = 0.0
        self.spreads = 0
        self.outside: float | None = None
        self.reward, self.rewards = 0.0, 0

    def add(self, given: Given) -> None:
        said, asked = given.judgment, given.asked
        self.n += 1
        if said.value is None:
            self.unscored[said.unscored or "unknown"] += 1
        self.errored += said.errored
        if said.mode:
            self.modes[said.mode] += 1
        self.flags.update(said.flags)
        if SPEAKS in said.flags and len(self.speaking) < _NAMED and given.case_id not in self.speaking:
            self.speaking.append(given.case_id)
        if said.mode == REWARD and said.raw is not None:
            self.reward, self.rewards = self.reward + said.raw, self.rewards + 1
        self.turned += [first != second for first, second in said.orders if first and second]
        if said.preference is not None and said.value is not None:
            self.pairs.append((said.value, given.longer or 0, given.cluster or given.case_id))
        if said.members:
            self.members.add(said.members, given.cluster or given.case_id)
        if said.spread is not None:
            self.spread, self.spreads = self.spread + said.spread, self.spreads + 1
        if said.outside is not None:
            self.outside = max(self.outside or 0.0, said.outside)
        self.requests, self.sent, self.seconds = (
            self.requests + asked.requests,
            self.sent + asked.sent,
            self.seconds + asked.seconds,
        )
        self.prompt, self.completion = self.prompt + said.prompt_tokens, self.completion + said.completion_tokens

    def summary(self, judge: str) -> JudgeSummary:
        shares, longer, clusters = zip(*self.pairs, strict=True) if self.pairs else ((), (), ())
        won = ranking.win_rates(shares, longer, clusters=clusters) if self.pairs else None
        return JudgeSummary(
            judge=judge,
            n=self.n,
            unscored=_most(self.unscored),
            errored=self.errored,
            modes=_most(self.modes),
            flags=_most(self.flags),
            position=agreement.share(self.turned) if self.turned else None,
            wins=won.raw if won else None,
            wins_even=won.at_equal_length if won else None,
            spread=self.spread / self.spreads if self.spreads else None,
            spread_n=self.spreads,
            outside=self.outside,
            requests=self.requests,
            sent=self.sent,
            prompt_tokens=self.prompt,
            completion_tokens=self.completion,
            seconds=self.seconds,
            panel=self.members.summary() if self.members.names else None,
            speaking=tuple(self.speaking),
            reward=self.reward / self.rewards if self.rewards else None,
        )


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first, equal ones by name."""
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def summarise(judgments: Iterable[Given]) -> dict[str, JudgeSummary]:
    """Judge -> what it did; read once, nothing is kept."""
    found: dict[str, _Count] = {}
    for given in judgments:
        found.setdefault(given.judgment.judge, _Count()).add(given)
    return {name: count.summary(name) for name, count in sorted(found.items())}
