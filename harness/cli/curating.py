"""Runs -> pairs and rows in a folder: what ``harness curate`` and ``harness loop`` share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.cli.scoring import prepare
from harness.curation import Card, Guarded, Left, Lesson, Limits, Pair, Rules, card_text, curate_case, guard, lesson_row, pair_row
from harness.curation.choosing import Scoring, scored_answer
from harness.curation.gather import case_answers
from harness.curation.nouns import TEACHER, Answer, CaseAnswers
from harness.curation.writing import counted
from harness.errors import UsageError
from harness.model import Candidate, Case, Request, Response, Role, RunRecord, Sampling, Score, Split
from harness.quality.leaks import LeakIndex, targets_of
from harness.quality.writers import open_writer
from harness.store import Store
from harness.suite import Suite

FILES = ("pairs.jsonl", "sft.jsonl", "dropped.jsonl", "card.json", "card.md")
_MENDABLE = ("no-better-answer", "tie", "small-margin", "reference-fails", "reference-unchecked")  # a teacher may know better


@dataclass(frozen=True, slots=True)
class Teacher:
    """An endpoint that is asked where nothing else has an answer that passes. key: never stored."""

    endpoint: str
    model: str
    key: str | None = field(default=None, repr=False)
    max_tokens: int = 1024
    concurrency: int = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """replay_targets: replay what works of the targets, too. A candidate that has learnt its target must not unlearn it while its
    harms are mended; the one that begins from the base has nothing there to keep."""

    rules: Rules = field(default_factory=Rules)
    limits: Limits = field(default_factory=Limits)
    teacher: Teacher | None = None
    replay_targets: bool = False

    def as_dict(self) -> dict[str, Any]:
        """What the card tells."""
        rules, limits = asdict(self.rules), asdict(self.limits)
        asked: dict[str, Any] = {"teacher": self.teacher.model} if self.teacher else {}
        asked |= {"replay_targets": True} if self.replay_targets else {}
        return {"sources": ", ".join(rules.pop("sources")), **rules, **limits, **asked}


def curate(store: Store, suite: Suite, run: RunRecord, other: RunRecord | None, settings: Settings) -> tuple[Guarded, Card]:
    """What the dev split of a run gives, guarded against the suite's gate split.

    Raises UsageError for a run of another suite or without dev cases.
    """
    check(suite, run)
    scoring = scoring_of(suite, store)
    gate = [case for capability in suite.capabilities.values() for case in capability.of(Split.GATE)]
    gate_ids = {(case.capability, case.id) for case in gate}
    pairs, lessons, left, unmet = list[Pair](), list[Lesson](), list[Left](), list[tuple[CaseAnswers, Left]]()
    cases = failing = 0
    for found in case_answers(store, run, other):
        cases += 1
        failing += any(answer.passed is False for answer in found.own)
        if (found.case.capability, found.case.id) in gate_ids:
            left.append(Left(found.case, "gate-split", "the suite has it in the gate split now", "case"))
            continue
        results = list(curate_case(found, settings.rules, scoring))
        if settings.teacher and isinstance(results[0], Left) and results[0].code in _MENDABLE:
            unmet.append((found, results[0]))
            continue
        _sort(results, pairs, lessons, left)
    if settings.teacher and unmet:
        taught = asyncio.run(_teach(settings.teacher, [found for found, _ in unmet], scoring))
        alone = Rules((TEACHER,), settings.rules.min_margin)
        for found, reason in unmet:
            answer = taught.get(found.case.id)
            _sort([reason] if answer is None else list(curate_case(found, alone, scoring, answer)), pairs, lessons, left)
    kept = (Role.PROTECTED, Role.TARGET) if settings.replay_targets else (Role.PROTECTED,)
    replayed = frozenset(name for name, c in suite.capabilities.items() if c.role in kept)
    guarded = guard(pairs, lessons, LeakIndex(targets_of(gate)), replayed, settings.limits)
    guarded.left = left + guarded.left
    card = Card(
        suite=suite.name,
        suite_hash=suite.hash,
        run_id=run.id,
        candidate=run.candidate.name,
        other_run_id=other.id if other else None,
        cases=cases,
        failing=failing,
        gate_cases=len(gate),
        settings=settings.as_dict(),
        **counted(guarded),
    )
    return guarded, card


def _sort(results: list[Pair | Lesson | Left], pairs: list[Pair], lessons: list[Lesson], left: list[Left]) -> None:
    for result in results:
        if isinstance(result, Pair):
            pairs.append(result)
        elif isinstance(result, Lesson):
            lessons.append(result)
        else:
            left.append(result)


def check(suite: Suite, run: RunRecord) -> None:
    if run.suite_name != suite.name:
        raise UsageError(
            f"run {run.id} is of the suite {run.suite_name}, this is {suite.name}",
            where=str(suite.path),
            todo="Name the suite that the run is of: its gate cases are what must not be learnt",
        )


def scoring_of(suite: Suite, store: Store) -> Scoring:
    """The suite's rule checks. What judges score stays unscored here: nothing is asked while curating."""
    scorers = prepare(suite, store).checks

    def score(case: Case, response: Response) -> Score:
        scorer = scorers.get(case.capability)
        if scorer is None or scorer.judges:
            return Score(None, None, "judged" if scorer else "no-capability")
        return scorer.score(case, response)

    return score


async def _teach(teacher: Teacher, cases: list[CaseAnswers], scoring: Scoring) -> dict[str, Answer]:
    """Case id -> the teacher's answer, scored; what it did not answer is left out."""
    from harness.client import OpenAIClient

    candidate = Candidate("teacher", teacher.model, "", kind="endpoint", base_url=teacher.endpoint)
    sampling = Sampling(max_tokens=teacher.max_tokens)
    found: dict[str, Answer] = {}
    async with OpenAIClient(teacher.endpoint, api_key=teacher.key, concurrency=teacher.concurrency) as client:
        await client.require_model(teacher.model)
        asked = [client.ask(Request(candidate, one.case, one.messages, sampling)) for one in cases]
        for one, response in zip(cases, await asyncio.gather(*asked), strict=True):
            if response.error is None and response.finish_reason != "length" and response.text.strip():
                found[one.case.id] = scored_answer(one.case, response.text, TEACHER, scoring, model=teacher.model)
    return found


def write(folder: Path, found: Guarded, card: Card) -> None:
    """All files of FILES, each whole or not at all; files without a row are not made, and old ones of that name go."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: Mapping[str, Iterator[Mapping[str, Any]]] = {
        "pairs.jsonl": (pair_row(pair) for pair in found.pairs),
        "sft.jsonl": (lesson_row(row) for row in found.lessons),
        "dropped.jsonl": (left.as_dict() for left in found.left),
    }
    for name, lines in rows.items():
        first = next(lines, None)
        if first is None:
            (folder / name).unlink(missing_ok=True)
            continue
        with open_writer(folder / name, kind=".jsonl") as writer:
            writer.write(dict(first))
            for line in lines:
                writer.write(dict(line))
    (folder / "card.json").write_text(json.dumps(card.as_dict(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "card.md").write_text(card_text(card), encoding="utf-8")
