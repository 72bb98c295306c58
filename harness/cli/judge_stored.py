"""A stored run's judgments beside people's labels -> labelled cases, one sample for each judge and capability."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.calibration import LabelledCase, Ruling
from harness.errors import UsageError
from harness.labels import Settled, looked_at, settle
from harness.model import Label
from harness.store.labels import LabelStore

if TYPE_CHECKING:
    from harness.model import Judgment
    from harness.store import Store
    from harness.store.judged import StoredJudgment

_PAGE = 1000
_NAMED = {"candidate": "1", "baseline": "2", "tie": "tie"}

Place = tuple[str, int]  # case id, sample


@dataclass(frozen=True, slots=True)
class JudgedCases:
    """One judge on one capability ('' all of a file's): what people and the judge said."""

    judge: str
    digest: str
    kind: str
    capability: str
    cases: tuple[LabelledCase, ...]


def judged_cases(store: Store, run_id: str, labels: Path | None, *, only: str | None, pass_at: float) -> Iterator[JudgedCases]:
    """Every judge of the run, and every member of a panel (PANEL/MEMBER), on every capability that has labels. UsageError when
    nothing can be held against people."""
    run = store.run(run_id)
    by_judge: dict[tuple[str, str, str], list[StoredJudgment]] = {}
    for stored in store.judgments(run.id, only.partition("/")[0] if only else None):
        for one in _with_members(stored):
            if only in (None, one.judgment.judge, stored.judgment.judge):
                by_judge.setdefault((one.judgment.judge, one.judgment.digest, one.capability), []).append(one)
    if not by_judge:
        who = f"no judge {only!r}" if only else "no judge"
        raise UsageError(f"run {run.id} has {who}", todo="Name a run of a suite with judges: harness runs")
    people = _people_of_file(labels, pass_at) if labels is not None else _people_of_run(store, run.id, pass_at)
    clusters = {(row.case_id, row.sample): row.cluster for row in store.score_rows(run.id)}
    found = False
    for (judge, digest, capability), judgments in by_judge.items():
        kind = "pairwise" if any(j.baseline_run_id for j in judgments) else "pointwise"
        cases = tuple(_labelled(store, run.id, judgments, people.get(kind, {}), clusters))
        if cases:
            found = True
            yield JudgedCases(judge, digest, kind, capability, cases)
    if not found:
        raise UsageError(
            f"nobody has labelled what the judges of run {run.id} judged",
            todo=f"Label some cases (harness review {run.id}), or name a file with --labels",
        )


def _with_members(stored: StoredJudgment) -> Iterator[StoredJudgment]:
    """The judgment and, of a panel's, what each member said, under both names. Of seconds only the panel's are known."""
    yield stored
    panel = stored.judgment.judge
    for said in stored.judgment.members:
        name = said.judge if said.judge.startswith(f"{panel}/") else f"{panel}/{said.judge}"
        asked = replace(stored.asked, requests=said.attempts, sent=0, seconds=0.0)
        yield from _with_members(replace(stored, judgment=replace(said, judge=name), asked=asked))


def drawn(kept: LabelStore, matters: Sequence[Settled]) -> list[float | None]:
    """The chance with which each thing's case is in the sample that people have looked at by now, None where it was not drawn.

    What stands in a label is the chance in its own sitting: over several sittings those do not make one sample (harness.labels).
    A label whose plan is not here keeps what it has. One label that was drawn speaks for all on the thing, an adjudicator's too.
    """
    chances: dict[str, Mapping[tuple[str, str], float]] = {}
    for run_id in {label.run_id for matter in matters for label in matter.labels if label.plan}:
        said = kept.labels(run_id)
        chances |= {plan.id: looked_at(plan, said) for plan in kept.plans(run_id)}

    def of(label: Label) -> float | None:
        known = chances.get(label.plan or "")
        return label.probability if known is None else known.get((label.capability, label.case_id))

    return [next((chance for label in matter.labels if (chance := of(label)) is not None), None) for matter in matters]


def _people_of_run(store: Store, run_id: str, pass_at: float) -> dict[str, dict[Place, LabelledCase]]:
    """kind -> (case, sample) -> what people said in reviews, with the chance the case was drawn with."""
    from harness.labelfiles import said_by

    kept = LabelStore(store)
    pairs = settle(label for label in kept.labels(run_id) if label.kind in ("pair", "rank") and label.run_id == run_id)
    found: dict[str, dict[Place, LabelledCase]] = {"pointwise": {}, "pairwise": {}}
    told = [("pointwise", sample, matter) for sample, matter in kept.rated(run_id)]
    told += [("pairwise", matter.labels[0].sample, matter) for matter in pairs]
    for (kind, sample, matter), chance in zip(told, drawn(kept, [matter for _, _, matter in told]), strict=True):
        if people := said_by(matter, kind, pass_at):
            case_id = matter.labels[0].case_id
            found[kind].setdefault((case_id, sample), LabelledCase(f"{case_id} {sample}", people, probability=chance))
    return found


def _people_of_file(path: Path, pass_at: float) -> dict[str, dict[Place, LabelledCase]]:
    from harness.labelfiles import read_labels

    found = read_labels(path, pass_at=pass_at)
    return {found.kind: {(case.id.partition(" ")[0], -1): case for case in found.cases}}


def _labelled(
    store: Store,
    run_id: str,
    judgments: Sequence[StoredJudgment],
    people: Mapping[Place, LabelledCase],
    clusters: Mapping[Place, str | None],
) -> Iterator[LabelledCase]:
    """People's cases that this judge was to judge. A file's labels (sample -1) are about every sample of their case."""
    names = {run: store.run(run).candidate.name for run in {run_id, *(j.baseline_run_id for j in judgments)} if run}
    wanted = [(j, case) for j in judgments if (case := people.get((j.case_id, j.sample)) or people.get((j.case_id, -1)))]
    lengths = _lengths(store, run_id, [j for j, _ in wanted])
    for stored, case in wanted:
        place = stored.case_id, stored.sample
        yield replace(
            case,
            id=f"{place[0]} {place[1]}",
            rulings=_rulings(stored),
            cluster=clusters.get(place),
            lengths=lengths.get(place, ()),
            makers=(names[run_id], names[stored.baseline_run_id]) if stored.baseline_run_id else (),
        )


def _rulings(stored: StoredJudgment) -> tuple[Ruling, ...]:
    said: Judgment = stored.judgment
    tokens, seconds = said.prompt_tokens + said.completion_tokens, stored.asked.seconds or None
    spent = (tokens, seconds) if stored.asked.requests else (None, None)
    if stored.baseline_run_id is None:
        verdict = None if said.passed is None else "pass" if said.passed else "fail"
        return (Ruling(verdict, said.value, said.unscored or "", None, *spent),)
    both = [pair for pair in said.orders if None not in pair] if said.preference is not None else []
    if not both:
        return (Ruling(_NAMED.get(said.preference or ""), None, said.unscored or "", None, *spent),)
    words = [(word, swapped) for pair in both for word, swapped in zip(pair, (False, True), strict=True)]
    return tuple(
        Ruling(_NAMED[word or ""], None, "", swapped, *(spent if i == 0 else (None, None)))
        for i, (word, swapped) in enumerate(words)
    )


def _lengths(store: Store, run_id: str, judgments: Sequence[StoredJudgment]) -> dict[Place, tuple[int, ...]]:
    """Characters of the answers that were judged: one each, two of a pair."""
    found: dict[Place, tuple[int, ...]] = {}
    for start in range(0, len(judgments), _PAGE):
        page = judgments[start : start + _PAGE]
        places = [(j.case_id, j.sample) for j in page]
        ours = store.answers(run_id, places)
        others = {run: store.answers(run, places) for run in {j.baseline_run_id for j in page} if run}
        for judged in page:
            place = judged.case_id, judged.sample
            sides = [ours, *([others[judged.baseline_run_id]] if judged.baseline_run_id else [])]
            if all(place in side for side in sides):
                found[place] = tuple(len(side[place].text) for side in sides)
    return found
