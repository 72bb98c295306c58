"""Which cases people see, in which order: what would move the verdict comes first, and every case has a known chance.

A case belongs to the first of these tiers that it fits, and each tier has a share of the places until it is used up
(harness.statistics.selection says why this may be weighted back to all cases):

    flip        it changed between pass and fail, or is a must-pass case that fails, in a target or protected capability; the
                nearer the capability stands to its margin, the sooner
    unscored    one of its answers has no score
    judges      a judge contradicts another judge or a rule check, or gave no verdict
    rest        all others: a random sample
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.labels import LabelPlan, Pick
from harness.model import CapabilityComparison, Role, RunRecord, digest_of
from harness.statistics import selection
from harness.store.answers import Answer

EFFORT = {"flip": 0.5, "unscored": 0.15, "judges": 0.15, "rest": 0.2}
TIERS = {
    "flip": "changed between pass and fail where it decides",
    "unscored": "with an answer that has no score",
    "judges": "on which judges disagree",
    "rest": "of the others, at random",
}
MOST_PICKS = 5_000  # kept of a plan; nobody labels more
MOST_RANKED = 9  # answers in one ranking: as many as there are digits

Key = tuple[str, str]  # capability, case id


@dataclass(frozen=True, slots=True)
class Subject:
    """The answers to one case: each run's first (what is rated and compared) and all of them (what is ranked)."""

    candidate: Answer
    baseline: Answer | None
    all: tuple[tuple[str, Answer], ...]  # (run id, answer), the candidate's first

    @property
    def distinct(self) -> tuple[tuple[Answer, tuple[str, ...]], ...]:
        """Answers of different words, each with the runs that gave it; at most MOST_RANKED, other runs before more samples."""
        by: dict[str, tuple[Answer, list[str]]] = {}
        for run_id, answer in sorted(self.all, key=lambda pair: pair[1].sample):
            runs = by.setdefault(answer.words, (answer, []))[1]
            if run_id not in runs:
                runs.append(run_id)
        return tuple((answer, tuple(runs)) for answer, runs in itertools.islice(by.values(), MOST_RANKED))


def subjects(runs: Sequence[tuple[str, Iterable[Answer]]], baseline_id: str | None) -> dict[Key, Subject]:
    """Every case that the first of these runs (the candidate) answered, in its order."""
    found: dict[Key, list[tuple[str, Answer]]] = {}
    for number, (run_id, answers) in enumerate(runs):
        for answer in answers:
            key = (answer.capability, answer.case_id)
            if number == 0:
                found.setdefault(key, []).append((run_id, answer))
            elif key in found:
                found[key].append((run_id, answer))
    return {key: _subject(pairs, baseline_id) for key, pairs in found.items()}


def _subject(pairs: Sequence[tuple[str, Answer]], baseline_id: str | None) -> Subject:
    candidate = min((a for run_id, a in pairs if run_id == pairs[0][0]), key=lambda a: a.sample)
    others = [a for run_id, a in pairs if run_id == baseline_id]
    return Subject(candidate, min(others, key=lambda a: a.sample) if others else None, tuple(pairs))


def eligible(kind: str, subject: Subject) -> bool:
    """Whether there is anything to say: two answers of the same words are a tie that nobody need look at."""
    if kind == "pair":
        return subject.baseline is not None and subject.baseline.words != subject.candidate.words
    return kind == "rate" or len(subject.distinct) > 1


def wanted(kind: str, subject: Subject) -> tuple[str, ...]:
    """Ids of the answers that a label of this kind is about, or (rate) that the labels on this case are about."""
    if kind == "rank":
        return tuple(answer.response_id for answer, _ in subject.distinct)
    ours, theirs = subject.candidate, subject.baseline
    both = theirs is not None and theirs.words != ours.words
    return (ours.response_id, theirs.response_id) if theirs is not None and both else (ours.response_id,)


def tier(key: Key, subject: Subject, comparisons: Mapping[str, CapabilityComparison], roles: Mapping[str, str]) -> str:
    ours, theirs = subject.candidate, subject.baseline
    compared = comparisons.get(key[0])
    role = str(compared.role) if compared else roles.get(key[0], Role.ADVISORY)
    if role != Role.ADVISORY:
        flipped = theirs is not None and None not in (ours.passed, theirs.passed) and ours.passed != theirs.passed
        if flipped or (ours.must_pass and ours.passed is False):
            return "flip"
        if compared and key[1] in (*compared.broken, *compared.fixed):
            return "flip"
    answers = [ours, theirs] if theirs else [ours]
    if any(a.value is None and a.reason != "pending" for a in answers):
        return "unscored"
    if any(_contested(a) for a in answers):
        return "judges"
    return "rest"


def _contested(answer: Answer) -> bool:
    said = {part.passed for part in answer.judged}
    return len(said | ({answer.passed} if answer.judged else set())) > 1


def closeness(compared: CapabilityComparison | None) -> float:
    """In (0, 1]: 1 where the bound that decides lies on the margin (or, of a target, on its gain), less the further away it is.

    The distance is counted in half widths of the interval: at one of them the urgency is one half.
    """
    if compared is None or compared.paired is None:
        return 1.0
    p = compared.paired
    edge = p.gain if compared.role is Role.TARGET else -p.margin
    half = max((p.high - p.low) / 2, 1e-6)
    return 1.0 / (1.0 + min(abs(p.low - edge), abs(p.high - edge)) / half)


def make_plan(
    kind: str,
    run: RunRecord,
    baseline: RunRecord | None,
    cases: Mapping[Key, Subject],
    comparisons: Sequence[CapabilityComparison],
    roles: Mapping[str, str],
    *,
    split: str,
    seed: int,
    batch: int,
    also: Sequence[str] = (),
) -> LabelPlan:
    """Draw the order for one kind of label. also: other runs whose answers are ranked with these."""
    by = {c.capability: c for c in comparisons}
    keys = [key for key, subject in cases.items() if eligible(kind, subject)]
    tiers = [tier(key, cases[key], by, roles) for key in keys]
    near = {name: closeness(by.get(name)) for name in {key[0] for key in keys}}
    urgency = [near[key[0]] if t == "flip" else 1.0 for key, t in zip(keys, tiers, strict=True)]
    weights = selection.shares(tiers, EFFORT, urgency)
    draws = selection.uniforms(seed, ["\0".join(key) for key in keys])
    order = selection.order(weights, draws).tolist() if keys else []
    kept, left = order[:MOST_PICKS], order[MOST_PICKS:]
    identity = [run.id, baseline.id if baseline else None, kind, split, seed, sorted(also)]
    return LabelPlan(
        id=digest_of(identity)[:16],
        run_id=run.id,
        baseline_run_id=baseline.id if baseline else None,
        kind=kind,
        split=split,
        seed=seed,
        batch=batch,
        population=len(keys),
        created_at=time.time(),
        picks=tuple(
            Pick(capability, case_id, tiers[i], float(weights[i]), float(draws[i]), wanted(kind, cases[capability, case_id]))
            for i in kept
            for capability, case_id in [keys[i]]
        ),
        rest_rank=float(draws[left[0]] / weights[left[0]]) if left else None,
    )


def mixed(seed: str, count: int) -> tuple[int, ...]:
    """A random order of so many things, the same for the same seed: which side an answer stands on, by case and rater."""
    return tuple(sorted(range(count), key=lambda i: hashlib.blake2b(f"{seed}\0{i}".encode(), digest_size=8).digest()))
