"""Stored runs -> the dev cases of one with all that was answered to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.curation.nouns import OTHER, OWN, Answer, CaseAnswers
from harness.curation.people import preferences
from harness.errors import UsageError
from harness.model import Case, Item, Label, RunRecord, Split
from harness.store import Store
from harness.store.answers import given
from harness.store.labels import LabelStore

Key = tuple[str, str]  # capability, case id


def dev_cases(store: Store, run: RunRecord) -> list[Key]:
    """The dev cases of a run, in its order; UsageError when it has none."""
    found = list(dict.fromkeys((r.capability, r.case_id) for r in store.score_rows(run.id) if r.split is Split.DEV))
    if not found:
        raise UsageError(
            "this run asked no case of the dev split, and nothing else may become training data",
            where=f"run {run.id} ({run.suite_name}, {run.candidate.name})",
            todo=f"harness run SUITE -c {run.candidate.name} --split dev",
        )
    return found


def case_answers(store: Store, run: RunRecord, other: RunRecord | None) -> Iterator[CaseAnswers]:
    """Every dev case of the run, in its order, with both runs' answers and what people said of them."""
    wanted = dev_cases(store, run)
    theirs = dict(_by_case(store, other, wanted)) if other else {}
    labels: dict[Key, list[Label]] = {}
    for label in LabelStore(store).labels(run.id):
        if label.split is Split.DEV:
            labels.setdefault((label.capability, label.case_id), []).append(label)
    for key, items in _by_case(store, run, wanted):
        case = items[0].case
        people = _preferred(store, [run, *([other] if other else [])], case, labels.get(key, []))
        yield CaseAnswers(
            case=case,
            messages=items[0].messages,
            own=tuple(answer_of(item, OWN, run.id) for item in items if item.response),
            other=tuple(answer_of(item, OTHER, other.id) for item in theirs.get(key, ()) if item.response) if other else (),
            preferred=people,
            suite_hash=run.suite_hash,
        )


def _by_case(store: Store, run: RunRecord, wanted: Sequence[Key]) -> Iterator[tuple[Key, list[Item]]]:
    """The run's items of these cases, case by case: the plan keeps a case's samples together."""
    keys, now, items = set(wanted), None, list[Item]()
    for item in store.items(run.id, case_ids=sorted({case_id for _, case_id in wanted})):
        key = (item.case.capability, item.case.id)
        if key not in keys or item.case.split is not Split.DEV:
            continue
        if now is not None and key != now:
            yield now, items
            items = []
        now = key
        items.append(item)
    if now is not None:
        yield now, items


def answer_of(item: Item, origin: str, run_id: str) -> Answer:
    """A stored answer with its score. Failed requests have no response and are never handed in."""
    assert item.response is not None
    score = item.score
    checks = tuple({"check": p.check, "version": p.version, "score": p.value} for p in score.components) if score else ()
    value, passed = (score.value, score.passed) if score else (None, None)
    return Answer(item.response.text, origin, value, passed, run_id, item.response.key, item.sample, checks=checks)


def _preferred(
    store: Store, runs: Sequence[RunRecord], case: Case, labels: Sequence[Label]
) -> tuple[tuple[Answer, Answer, str], ...]:
    if not labels:
        return ()
    answers = {
        one.response_id: answer_of(one.item, OWN if one.run_id == runs[0].id else OTHER, one.run_id)
        for one in reversed(given(store, [run.id for run in runs], case.capability, case.id))  # the candidate's wins a tie
        if one.response_id and one.item.response
    }
    return tuple(preferences(labels, answers, runs[0].id))
