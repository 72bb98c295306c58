"""What a verdict must know of capabilities that judges score: who they are, whether people stand behind them, and what a pairwise
judge compared with. All from the store: which judges a run had is kept with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.cli.judge_stored import drawn
from harness.correcting import TIE, Means, correct, ties, truth_of_preferences, truth_of_ratings
from harness.errors import DataError
from harness.labels import Settled, settle
from harness.model import (
    Calibration,
    CapabilityComparison,
    Gate,
    ItemStatus,
    JudgeStanding,
    Label,
    RunRecord,
    ScoreRow,
    Split,
)
from harness.store import Store
from harness.store.labels import LabelStore


@dataclass(frozen=True, slots=True)
class Judging:
    """What a run keeps of its judges (harness.cli.jury). deciding: capability -> the judges whose word makes its scores.

    pairwise: capabilities whose answers were compared with those of run ``baseline``.
    """

    judges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deciding: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pairwise: frozenset[str] = frozenset()
    baseline: str | None = None

    @staticmethod
    def of(run: RunRecord) -> Judging:
        kept = run.provenance.get("judging") or {}
        return Judging(
            kept.get("judges", {}), kept.get("deciding", {}), frozenset(kept.get("pairwise", ())), kept.get("baseline")
        )

    def digest(self, judge: str) -> str:
        return str(self.judges[judge]["digest"])


def check_baseline(candidate: RunRecord, baseline: RunRecord) -> None:
    """Raise DataError when pairwise judges compared the candidate's answers with another run's than the baseline's."""
    judging = Judging.of(candidate)
    if judging.pairwise and judging.baseline != baseline.id:
        with_whom = f"with those of run {judging.baseline}" if judging.baseline else "with no other run's"
        raise DataError(
            f"a pairwise judge compared this run's answers of {', '.join(sorted(judging.pairwise))} {with_whom}",
            where=f"runs {candidate.id} and {baseline.id}",
            todo=f"Judge them against this baseline: harness run ... --baseline {baseline.candidate.name}",
        )


def tied(rows: Iterable[ScoreRow], pairwise: frozenset[str]) -> Iterator[ScoreRow]:
    """A baseline's rows, where each answer ties with itself: what it scored against a baseline before it is another matter."""
    for row in rows:
        scored = row.capability in pairwise and row.status in (ItemStatus.SCORED, ItemStatus.UNSCORED)
        yield replace(row, status=ItemStatus.SCORED, value=TIE, passed=True, reason=None) if scored else row


def with_judges(
    store: Store,
    candidate: RunRecord,
    baseline: RunRecord | None,
    comparisons: Sequence[CapabilityComparison],
    gate: Gate,
    rows: Sequence[Iterable[ScoreRow]],
) -> tuple[CapabilityComparison, ...]:
    """The comparisons with the standing of their judges, and corrected by people's labels where there are enough.

    rows: the score rows of both runs again; read only where people have labelled something.
    """
    judging = Judging.of(candidate)
    if not judging.deciding:
        return tuple(comparisons)
    calibrations = store.calibrations([judging.digest(name) for name in judging.judges])
    standing = {
        name: tuple(_standing(judge, judging.digest(judge), name, calibrations) for judge in judges)
        for name, judges in judging.deciding.items()
    }
    judged = tuple(replace(c, judges=standing.get(c.capability, ())) for c in comparisons)
    if baseline is None:
        return judged
    truths = _truths(store, candidate, baseline, judging)
    if not truths:
        return judged
    means = [_means(side, truths) for side in rows]
    return tuple(
        correct(c, means[0][c.capability], means[1][c.capability], *truths[c.capability], gate) if c.capability in truths else c
        for c in judged
    )


def _standing(judge: str, digest: str, capability: str, calibrations: Sequence[Calibration]) -> JudgeStanding:
    """By what is known of this very judge: on this capability, else on all."""
    mine = [c for c in calibrations if c.digest == digest and c.capability in (capability, "")]
    best = next(iter(sorted(mine, key=lambda c: c.capability == "")), None)
    measured = best is not None and best.kappa.value is not None
    return JudgeStanding(judge, digest, best.kappa if best and measured else None, best.n_labels if best else 0)


Truths = dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


def _truths(store: Store, candidate: RunRecord, baseline: RunRecord, judging: Judging) -> Truths:
    """Capability -> what people said of the candidate's and of the baseline's answers; where both were labelled and one judge
    decides, since a label is about the answer and not about what several judges make of it."""
    labels = LabelStore(store)
    if not labels.labels(candidate.id):
        return {}
    sides = [_by_capability(labels, [matter for _, matter in labels.rated(run.id)]) for run in (candidate, baseline)]
    pairs = _by_capability(labels, settle(label for label in labels.labels(candidate.id) if label.kind == "pair"))
    found: Truths = {}
    for name, judges in judging.deciding.items():
        if len(judges) != 1:
            continue
        if name in judging.pairwise:
            said = truth_of_preferences(one for one in pairs.get(name, ()) if one.baseline_run_id == baseline.id)
            found[name] = (said, ties(said))
        else:
            found[name] = (truth_of_ratings(sides[0].get(name, ())), truth_of_ratings(sides[1].get(name, ())))
    return {name: both for name, both in found.items() if all(both)}


def _by_capability(kept: LabelStore, matters: Sequence[Settled]) -> dict[str, list[Label]]:
    """The labels that count, each with the chance of its case in all that people have looked at."""
    found: dict[str, list[Label]] = {}
    for matter, chance in zip(matters, drawn(kept, matters), strict=True):
        label = matter.final
        if label is not None and label.split is Split.GATE:
            found.setdefault(label.capability, []).append(replace(label, probability=chance))
    return found


def _means(rows: Iterable[ScoreRow], wanted: Mapping[str, Any]) -> dict[str, Means]:
    by: dict[str, list[ScoreRow]] = {name: [] for name in wanted}
    for row in rows:
        if row.capability in by and row.split is Split.GATE:
            by[row.capability].append(row)
    return {name: Means.of(found) for name, found in by.items()}
