"""Is tuning needed for the target, or does a prompt reach it? What the runs of a matrix show, and no more.

Every combination is bounded together with all others (harness.statistics.best), so the one that looks best may be picked from the
same cases. Error rates, each alpha: the answer "a prompt reaches it" (some combination is said to reach every goal and does not,
or to keep what it is said to keep and does not); the answer "tuning is needed" (some combination without tuning does reach every
goal and loses nothing); what may be the best; what prompts gain.

    a combination   reaches when the lower bound of every target (gate.targets any: of one) is at its goal or above,
                    falls short when some target's (any: every target's) upper bound lies below its goal, else it is open
    protected       compared case by case with the reference, the baseline as it is (else the candidate as it is), at
                    alpha / (all these comparisons): kept, lost (harmed by more than the margin), or open

Among those that reach: first those that lost nothing, then those that are shown to keep all, then by score, then the cheaper one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from harness.comparison import Policy, compare_runs
from harness.errors import DataError
from harness.model import Claim, Gate, ItemStatus, Ledger, PairedComparison, Role, ScoreRow, Split
from harness.statistics import claims_of
from harness.statistics.best import MeanInterval, Standing, difference, mean_intervals, standings
from harness.statistics.power import cases_to_place
from harness.suite import Combination, Matrix


class Reach(StrEnum):
    """What is shown of a combination and its goals."""

    REACHES = "reaches"
    SHORT = "falls short"
    OPEN = "open"


class Kept(StrEnum):
    """What is shown of a protected capability beside the reference."""

    KEPT = "kept"
    LOST = "lost"
    OPEN = "open"


class Answer(StrEnum):
    """To: is tuning needed for the target, or does a prompt reach it?"""

    PROMPT = "a prompt reaches it"
    TUNING = "tuning is needed"
    UNDECIDED = "not decided"


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination's run. rows: of both splits, as stored. tokens: of prompt and answer together, a request, on average."""

    combination: Combination
    run_id: str
    rows: Sequence[ScoreRow]
    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Gain:
    """Difference to the candidate as it is; all such bounds of one side hold together."""

    delta: float | None
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TargetScore:
    """A target's score. standing: its distance from the best of the other combinations. gain: None for a candidate as it is."""

    target: str
    goal: float
    interval: MeanInterval
    standing: Standing
    gain: Gain | None = None

    @property
    def reach(self) -> Reach:
        if self.interval.low >= self.goal:
            return Reach.REACHES
        return Reach.SHORT if self.interval.high < self.goal else Reach.OPEN


@dataclass(frozen=True, slots=True)
class ProtectedScore:
    """paired: against the reference; None: it is the reference, or asks this capability as the reference does."""

    capability: str
    mean: float | None
    state: Kept
    paired: PairedComparison | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """What is shown of one combination."""

    combination: Combination
    run_id: str
    reach: Reach
    targets: tuple[TargetScore, ...]
    protected: tuple[ProtectedScore, ...]
    tokens: float | None
    ledger: Ledger

    @property
    def lost(self) -> tuple[ProtectedScore, ...]:
        return tuple(row for row in self.protected if row.state is Kept.LOST)

    @property
    def unsure(self) -> tuple[ProtectedScore, ...]:
        return tuple(row for row in self.protected if row.state is Kept.OPEN)

    @property
    def mean(self) -> float:
        """Of the targets' means, a target without any score counting 0; orders combinations, decides nothing."""
        return sum(row.interval.mean or 0.0 for row in self.targets) / len(self.targets)

    @property
    def may_be_best(self) -> bool:
        return all(row.standing.may_be_best for row in self.targets)


@dataclass(frozen=True, slots=True)
class Choice:
    """rows: as the matrix has them. best: the combination to take, by name; None: none reaches. open_cases: cases a target that
    would about decide; None with UNDECIDED: no affordable number would. failed: why the runs cannot be judged, or empty."""

    rows: tuple[Tried, ...]
    answer: Answer
    best: str | None
    cheapest: str | None
    open_cases: int | None
    alpha: float
    split: Split
    failed: str = ""

    def row(self, name: str) -> Tried:
        return next(row for row in self.rows if row.combination.name == name)

    @property
    def untuned(self) -> tuple[Tried, ...]:
        """Those the question is about; all of them where every candidate is tuned."""
        return tuple(row for row in self.rows if not row.combination.tuned) or self.rows


def choose(
    trials: Sequence[Trial],
    matrix: Matrix,
    rules: Mapping[str, Policy],
    gate: Gate,
    reference: str | None,
    split: Split,
    *,
    distrusted: Collection[str] = (),
) -> Choice:
    """What the trials of all of the matrix's combinations show together, on the cases of one split.

    rules: role and margin of each capability. reference: the candidate that protected capabilities are compared with, as it is;
    None, or not in the matrix: each candidate's own. distrusted: capabilities whose judges nobody held against people, which may
    show a loss but not that nothing is lost. DataError when trials planned different cases or a target has none.
    """
    targets = [name for name, rule in rules.items() if rule.role is Role.TARGET]
    tables = {name: _table(name, trials, split) for name in targets}
    protected = [name for name, rule in rules.items() if rule.role is Role.PROTECTED]
    alone = replace(gate, sequential=False, slices=(), floors=(), waivers=())
    scored = _targets(trials, matrix, tables, alone)
    kept = _protected(trials, matrix, {name: rules[name] for name in protected}, alone, reference, split)
    kept = [tuple(_doubted(row) if row.capability in distrusted else row for row in found) for found in kept]
    rows = []
    for k, trial in enumerate(trials):
        ledger = Ledger.of(row for row in trial.rows if row.split is split)
        reach = _reach([row.reach for row in scored[k]], gate.targets)
        rows.append(Tried(trial.combination, trial.run_id, reach, scored[k], kept[k], trial.tokens, ledger))
    return _answered(tuple(rows), gate, split)


# -- scores ----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """A target's scores (combinations, cases), NaN where a case has no score, and the cases' clusters."""

    scores: np.ndarray
    clusters: tuple[str | None, ...]


def _table(target: str, trials: Sequence[Trial], split: Split) -> _Table:
    found = [_case_means(target, trial.rows, split) for trial in trials]
    cases = sorted(found[0])
    if not cases:
        what = f"no case of {target!r} is in the {split} split"
        raise DataError(what, todo="Give it some (dev_fraction, or the rows' split), or ask the other split with --split")
    for trial, means in zip(trials, found, strict=True):
        if sorted(means) != cases:
            raise DataError(f"{trial.combination.name} planned other cases of {target!r}", todo="Ask all combinations alike")
    clusters = {row.case_id: row.cluster for row in trials[0].rows if row.capability == target}
    return _Table(np.array([[means[case] for case in cases] for means in found]), tuple(clusters[case] for case in cases))


def _case_means(capability: str, rows: Sequence[ScoreRow], split: Split) -> dict[str, float]:
    """Case -> mean over its samples; NaN unless every sample is scored, as in harness.comparison."""
    samples: dict[str, list[float]] = {}
    for row in rows:
        if row.capability == capability and row.split is split:
            value = row.value if row.status is ItemStatus.SCORED and row.value is not None else float("nan")
            samples.setdefault(row.case_id, []).append(value)
    return {case: float(np.mean(values)) for case, values in samples.items()}


def _targets(trials: Sequence[Trial], matrix: Matrix, tables: Mapping[str, _Table], gate: Gate) -> list[tuple[TargetScore, ...]]:
    """Alpha is split over targets and, within each, over all ways of asking it (means) or over all changed ones (gains).

    Combinations that ask a target the very same of the same candidate are one way, and share its bounds.
    """
    columns: list[list[TargetScore]] = [[] for _ in trials]
    for name, table in tables.items():
        labels = table.clusters if any(table.clusters) else None
        share = gate.alpha / len(tables)
        ways = _ways(trials, matrix, name)
        first = list(dict.fromkeys(ways))
        asked = table.scores[first]
        intervals = mean_intervals(asked, share, clusters=labels, min_clusters=gate.min_clusters)
        places = standings(asked, share, clusters=labels, min_clusters=gate.min_clusters)
        plain = {trial.combination.candidate: ways[k] for k, trial in enumerate(trials) if trial.combination.is_plain}
        own = {k: plain[trials[k].combination.candidate] for k in first}
        changed = sum(k != own[k] for k in first)
        gains = {
            k: _gain(table.scores[k], table.scores[own[k]], labels, share / changed, gate.min_clusters)
            for k in first
            if k != own[k]
        }
        for k, way in enumerate(ways):
            at = first.index(way)
            place = _placed(places[at], first)
            columns[k].append(TargetScore(name, matrix.goals[name], intervals[at], place, gains.get(way)))
    return [tuple(column) for column in columns]


def _ways(trials: Sequence[Trial], matrix: Matrix, target: str) -> list[int]:
    """For each trial, the first trial that asks the target as it does."""
    known: dict[tuple[str, str], int] = {}
    keys = [(t.combination.candidate, matrix.prompts[t.combination.name, target].digest) for t in trials]
    return [known.setdefault(key, k) for k, key in enumerate(keys)]


def _placed(standing: Standing, first: Sequence[int]) -> Standing:
    """beaten_by as a position among the trials, instead of among those that ask differently."""
    return standing if standing.beaten_by is None else replace(standing, beaten_by=first[standing.beaten_by])


def _gain(ours: np.ndarray, plain: np.ndarray, labels: Sequence[str | None] | None, level: float, min_clusters: int) -> Gain:
    both = ours - plain
    known = both[~np.isnan(both)]
    low, high = difference(ours, plain, level, clusters=labels, min_clusters=min_clusters)
    return Gain(float(known.mean()) if known.size else None, low, high)


def _protected(
    trials: Sequence[Trial], matrix: Matrix, rules: Mapping[str, Policy], gate: Gate, reference: str | None, split: Split
) -> list[tuple[ProtectedScore, ...]]:
    """Each at alpha / (all comparisons that are made). What asks the very same of the same candidate loses nothing."""
    plain = {trial.combination.candidate: trial for trial in trials if trial.combination.is_plain}
    pairs = [(trial, plain.get(reference or "") or plain[trial.combination.candidate]) for trial in trials]
    changed = [[name for name in rules if not _asks_the_same(trial, base, name, matrix)] for trial, base in pairs]
    level = replace(gate, alpha=gate.alpha / max(sum(map(len, changed)), 1))
    return [_beside(trial, base, rules, set(names), level, split) for (trial, base), names in zip(pairs, changed, strict=True)]


def _doubted(row: ProtectedScore) -> ProtectedScore:
    return replace(row, state=Kept.OPEN) if row.state is Kept.KEPT and row.paired else row


def _asks_the_same(trial: Trial, base: Trial, capability: str, matrix: Matrix) -> bool:
    ours, theirs = trial.combination, base.combination
    same = matrix.prompts[ours.name, capability] == matrix.prompts[theirs.name, capability]
    return same and ours.candidate == theirs.candidate


def _beside(
    trial: Trial, base: Trial, rules: Mapping[str, Policy], changed: Collection[str], gate: Gate, split: Split
) -> tuple[ProtectedScore, ...]:
    rows = [row for row in trial.rows if row.capability in rules]
    theirs = [row for row in base.rows if row.capability in rules]
    out = []
    for c in compare_runs(rows, theirs, rules, gate, split=split):
        if c.capability not in changed:
            out.append(ProtectedScore(c.capability, c.candidate_mean, Kept.KEPT))
            continue
        state = Kept.OPEN
        if Claim.HARMED in c.claims:
            state = Kept.LOST
        elif Claim.NOT_WORSE in c.claims and (c.worst is None or Claim.NOT_WORSE in claims_of(c.worst)):
            state = Kept.KEPT
        out.append(ProtectedScore(c.capability, c.candidate_mean, state, c.paired))
    return tuple(out)


# -- the answer ------------------------------------------------------------------------------------------------------------------


def _reach(found: Sequence[Reach], targets: str) -> Reach:
    enough, hopeless = (any, all) if targets == "any" else (all, any)
    if enough(reach is Reach.REACHES for reach in found):
        return Reach.REACHES
    return Reach.SHORT if hopeless(reach is Reach.SHORT for reach in found) else Reach.OPEN


def _answered(rows: tuple[Tried, ...], gate: Gate, split: Split) -> Choice:
    asked = tuple(row for row in rows if not row.combination.tuned) or rows
    reaching = [row for row in asked if row.reach is Reach.REACHES and not row.lost]
    order = sorted(reaching, key=_preference)
    best = order[0] if order else None
    cheapest = min(reaching, key=lambda row: (row.tokens is None, row.tokens), default=None)
    answer, cases = Answer.UNDECIDED, None
    if best is not None:
        answer = Answer.PROMPT
    elif all(row.reach is Reach.SHORT or row.lost for row in asked):
        answer = Answer.TUNING
    else:
        cases = _cases([row for row in asked if row.reach is Reach.OPEN and not row.lost])
    failed = _failed(rows, gate)
    return Choice(
        rows=rows,
        answer=Answer.UNDECIDED if failed else answer,
        best=best.combination.name if best and not failed else None,
        cheapest=cheapest.combination.name if cheapest and not failed else None,
        open_cases=cases,
        alpha=gate.alpha,
        split=split,
        failed=failed,
    )


def _preference(row: Tried) -> tuple[bool, float, float]:
    return bool(row.unsure), -round(row.mean, 9), row.tokens if row.tokens is not None else float("inf")


def _failed(rows: Sequence[Tried], gate: Gate) -> str:
    """Too many requests without an answer say something of the servers, and nothing of prompts."""
    for row in rows:
        planned, errored = row.ledger.planned, row.ledger.n_errored
        if errored > gate.max_error_rate * planned:
            return f"{errored:,} of {planned:,} requests of {row.combination.name} failed, more than gate.max_error_rate allows"
    return ""


def _cases(rows: Sequence[Tried]) -> int | None:
    """About how many cases a target would decide: the least that show one to reach, else what shows the last to fall short."""
    above = [row for row in rows if all((score.interval.mean or 0.0) > score.goal for score in row.targets)]
    needs = [[_needed(score) for score in row.targets] for row in above]
    reach = [max(n for n in row if n is not None) for row in needs if None not in row]
    if above:
        return min(reach, default=None)
    short = [min((n for score in row.targets if (n := _needed(score)) is not None), default=None) for row in rows]
    return None if None in short else max((n for n in short if n is not None), default=None)


def _needed(score: TargetScore) -> int | None:
    i = score.interval
    if i.mean is None or i.reason:
        return None
    if score.reach is Reach.REACHES and i.mean > score.goal:
        return i.n
    return cases_to_place(i.mean, i.low, i.high, i.n, score.goal, level=i.level)
