"""Who is better than whom, from what people or a judge said of pairs and rankings -> outcomes that can be ranked.

A labelled pair is one outcome between the makers of its answers; a ranking becomes all its pairs, which together weigh one.
Outcomes on one case (or of one cluster) are not independent. See harness.statistics.ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

from harness.calibration import FIRST, SECOND, TIE, LabelledCase, judge_says, people_say
from harness.labels import Settled
from harness.model import Estimate, Judgment, Label
from harness.statistics.ranking import Outcome, Standings, bradley_terry, outcomes_of_ranking, win_rate, win_rates

_SHARES = {FIRST: 1.0, TIE: 0.5, SECOND: 0.0}
_PREFERENCES = {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}


@dataclass(frozen=True, slots=True)
class Comparison:
    """An outcome, and by how many characters the first answer is longer, None where that is not known."""

    outcome: Outcome
    longer: int | None = None


@dataclass(frozen=True, slots=True)
class Duel:
    """Two candidates by themselves. wins: share that first won; at_equal_length: the same if answers were of one length, over the
    comparisons whose lengths are known. longer: characters by which first's answers are longer, on average."""

    first: str
    second: str
    n: int
    wins: Estimate
    at_equal_length: Estimate
    longer: float | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """Everybody's standing, and every two that were compared. left_out: why -> comparisons that say nothing."""

    standings: Standings
    duels: tuple[Duel, ...]
    left_out: Mapping[str, int]


def of_cases(cases: Iterable[LabelledCase], *, by_judge: bool = False) -> tuple[list[Comparison], dict[str, int]]:
    """Comparisons by people's verdicts (or the judge's), and why -> cases that give none."""
    found: list[Comparison] = []
    left_out: dict[str, int] = {}
    for case in cases:
        said = judge_says(case)[0] if by_judge else people_say(case)
        why = "no verdict" if said is None else "" if len(set(case.makers)) == 2 else "who answered is not known"
        if said is None or why:
            left_out[why] = left_out.get(why, 0) + 1
            continue
        longer = case.lengths[0] - case.lengths[1] if len(case.lengths) == 2 else None
        outcome = Outcome(case.makers[0], case.makers[1], _SHARES[said], cluster=case.cluster)
        found.append(Comparison(outcome, longer))
    return found, left_out


def of_labels(settled: Iterable[Settled], names: Mapping[str, str]) -> tuple[list[Comparison], dict[str, int]]:
    """Comparisons of a review's choices and rankings. names: run id -> what its candidate is called; other runs take no part."""
    found: list[Comparison] = []
    left_out: dict[str, int] = {}
    for matter in settled:
        label = matter.final
        if label is None:
            left_out["people disagree"] = left_out.get("people disagree", 0) + 1
        else:
            cluster = f"{label.capability}/{label.case_id}"
            found.extend(Comparison(outcome) for outcome in _of_label(label, names, cluster))
    return found, left_out


def _of_label(label: Label, names: Mapping[str, str], cluster: str) -> list[Outcome]:
    if label.preference is not None:
        two = names.get(label.run_id), names.get(label.baseline_run_id or "")
        if two[0] is None or two[1] is None or two[0] == two[1]:
            return []
        return [Outcome(two[0], two[1], _PREFERENCES[label.preference], cluster=cluster)]
    runs = {answer: side.split(",") for answer, side in zip(label.responses, label.sides, strict=False)}
    groups: list[list[str]] = []
    once: set[str] = set()
    for group in label.ranking:  # a candidate that gave several of the answers counts where its best one stands
        here = {names[run] for answer in group for run in runs.get(answer, ()) if run in names} - once
        groups.append(sorted(here))
        once |= here
    return outcomes_of_ranking(groups, cluster=cluster)


class Compared(Protocol):
    """A pairwise judge's word on an answer and the other run's; harness.store.StoredJudgment is one."""

    @property
    def run_id(self) -> str: ...
    @property
    def baseline_run_id(self) -> str | None: ...
    @property
    def capability(self) -> str: ...
    @property
    def case_id(self) -> str: ...
    @property
    def cluster(self) -> str | None: ...
    @property
    def longer(self) -> int | None: ...
    @property
    def judgment(self) -> Judgment: ...


def of_judgments(given: Iterable[Compared], names: Mapping[str, str]) -> tuple[list[Comparison], dict[str, int]]:
    """Comparisons of several runs with their baselines by one judge. names: run id -> what its candidate is called."""
    found: list[Comparison] = []
    left_out: dict[str, int] = {}
    for one in given:
        two, said = (names.get(one.run_id), names.get(one.baseline_run_id or "")), one.judgment
        if said.value is None or two[0] is None or two[1] is None or two[0] == two[1]:
            why = said.unscored or "no verdict" if said.value is None else "who answered is not known"
            left_out[why] = left_out.get(why, 0) + 1
            continue
        cluster = one.cluster or f"{one.capability}/{one.case_id}"
        found.append(Comparison(Outcome(two[0], two[1], said.value, cluster=cluster), one.longer))
    return found, left_out


def field_of(comparisons: Sequence[Comparison], left_out: Mapping[str, int]) -> Field:
    """Rank all, and every two that met at least once."""
    standings = bradley_terry([one.outcome for one in comparisons])
    names = [one.name for one in standings.strengths] or sorted(
        {n for c in comparisons for n in (c.outcome.first, c.outcome.second)}
    )
    duels = [duel for a, b in combinations(names, 2) if (duel := _duel(a, b, comparisons)) is not None]
    return Field(standings, tuple(duels), left_out)


def _duel(a: str, b: str, comparisons: Sequence[Comparison]) -> Duel | None:
    met = [(one, one.outcome.first == a) for one in comparisons if {one.outcome.first, one.outcome.second} == {a, b}]
    if not met:
        return None
    shares = [one.outcome.share if is_first else 1.0 - one.outcome.share for one, is_first in met]
    clusters = [one.outcome.cluster for one, _ in met]
    known = [(i, one.longer if is_first else -one.longer) for i, (one, is_first) in enumerate(met) if one.longer is not None]
    raw = win_rate(shares, clusters=clusters)
    if not known:
        return Duel(a, b, len(met), raw, Estimate(None, reason="lengths are not known"))
    places, lengths = [i for i, _ in known], [longer for _, longer in known]
    even = win_rates([shares[i] for i in places], lengths, clusters=[clusters[i] for i in places]).at_equal_length
    return Duel(a, b, len(met), raw, even, sum(lengths) / len(lengths))
