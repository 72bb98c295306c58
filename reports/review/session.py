"""One review: two runs, their plans and labels, and what is next for whom.

Knows no HTTP. All methods may be called from any thread. Labels of this process are known at once, those of others after the next
``refresh``; what people say is written without waiting for the store's lock.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import labels as people
from harness.errors import UsageError
from harness.labels import LabelPlan, Settled, Thing, thing
from harness.model import CapabilityComparison, Label, RunRecord, Split
from harness.store import Store, answers
from harness.store.answers import Given
from harness.store.labels import LabelStore, LabelWriter
from reports.review import queue
from reports.review.queue import Key, Subject

KINDS = ("rate", "pair", "rank")
_FRESH_S = 3.0  # labels of others are looked for so often
_REMEMBERED = 8  # cases
_LONGEST_S = 3_600.0  # nobody thinks longer about one label


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to label, as one rater sees it. token names the case in addresses; number: which answer of it (rate).

    responses: ids in the order shown; sides: the runs that gave each.
    """

    kind: str
    token: str
    number: int
    capability: str
    case_id: str
    position: int | None  # in the plan, None: not drawn
    responses: tuple[str, ...]
    sides: tuple[str, ...]
    sample: int

    @property
    def path(self) -> str:
        return f"/{self.kind}/{self.token}" + (f"/{self.number}" if self.kind == "rate" else "")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a rater stands in one kind of label. total: tasks of the batches begun so far. left_s: None until one was timed."""

    kind: str
    done: int
    total: int
    batch: int
    cases: int
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Settings:
    """How the sample is drawn. also: ids of further runs whose answers are ranked with these two."""

    split: Split = Split.GATE
    seed: int = 0
    batch: int = 50
    also: tuple[str, ...] = ()


class Review:
    """Made by ``begin``; ``close`` gives the journal of labels back."""

    def __init__(
        self,
        store: LabelStore,
        writer: LabelWriter,
        runs: Sequence[RunRecord],
        baseline: RunRecord | None,
        plans: Mapping[str, LabelPlan],
        cases: Mapping[Key, Subject],
        comparisons: Sequence[CapabilityComparison],
        clock: Callable[[], float],
    ) -> None:
        self.run, self.baseline, self.runs = runs[0], baseline, tuple(runs)
        self.plans, self.cases, self.comparisons = plans, cases, tuple(comparisons)
        self._store, self._writer, self._clock = store, writer, clock
        self._tokens = {_token(key): key for key in cases}
        self._positions = {k: {(p.capability, p.case_id): i for i, p in enumerate(plan.picks)} for k, plan in plans.items()}
        self._chances: dict[tuple[str, int], dict[Key, float]] = {}
        self._opened: set[tuple[str, str]] = set()  # (rater, token): no longer blind
        self._mutex, self._refreshing = threading.RLock(), threading.Lock()
        self._labels: list[Label] = []
        self._read: dict[Key, list[Given]] = {}
        self._current: list[Label] | None = None  # of _labels, once it was asked for
        self._look_again = 0.0  # by the monotonic clock
        self._signature: object = None
        self._last_time = 0.0

    @classmethod
    def begin(
        cls,
        store: Store,
        run: RunRecord,
        baseline: RunRecord | None,
        settings: Settings,
        comparisons: Sequence[CapabilityComparison] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> Review:
        """Draw the plans, or find those that were drawn before. Raises UsageError when nobody could say anything of this run."""
        runs = [run, *([baseline] if baseline else []), *(store.run(name) for name in settings.also)]
        found = [(r.id, answers.answers(store, r.id, settings.split)) for r in {r.id: r for r in runs}.values()]
        cases = queue.subjects(found, baseline.id if baseline else None)
        if not cases:
            raise UsageError(
                f"run {run.id} has no answer on the {settings.split} split", todo="Name another run, or another --split"
            )
        people_store, roles = LabelStore(store), answers.roles(store, run.suite_hash)
        plans = {}
        for kind in KINDS:
            plan = queue.make_plan(
                kind, run, baseline, cases, comparisons, roles,
                split=str(settings.split), seed=settings.seed, batch=settings.batch, also=settings.also,
            )  # fmt: skip
            plans[kind] = people_store.keep_plan(plan, renew=True)
        review = cls(people_store, people_store.writer(), runs, baseline, plans, cases, comparisons, clock)
        review.refresh()  # what was said before is known before anything more is said
        return review

    def close(self) -> None:
        self._writer.close()

    # -- what is there ------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Look for labels of other people; not more often than every few seconds, and never twice at once."""
        if time.monotonic() < self._look_again or not self._refreshing.acquire(blocking=False):
            return
        try:
            begun, signature = time.monotonic(), self._store.signature(self._writer)
            if signature != self._signature:
                found = self._store.labels(self.run.id)
                ids = {label.id for label in found}
                with self._mutex:  # what was said meanwhile stays
                    self._labels = [*found, *(label for label in self._labels if label.id not in ids)]
                    self._current = None
                self._signature = signature  # as it was before reading: what came meanwhile is looked for once more
            self._look_again = time.monotonic() + max(_FRESH_S, 10 * (time.monotonic() - begun))
        finally:
            self._refreshing.release()

    def labels(self) -> list[Label]:
        """All labels known that concern this run, with their history."""
        with self._mutex:
            return list(self._labels)

    def current(self) -> list[Label]:
        """The labels that count."""
        with self._mutex:
            if self._current is None:
                self._current = people.current(self._labels)
            return self._current

    def raters(self) -> list[str]:
        return sorted({label.rater for label in self.current()})

    def case_of(self, token: str) -> Key | None:
        return self._tokens.get(token)

    def token_of(self, key: Key) -> str:
        return _token(key)

    def given(self, key: Key) -> list[Given]:
        """All answers to a case, of all runs. The last few cases are remembered: one is shown several times in a row."""
        with self._mutex:
            if (found := self._read.get(key)) is not None:
                return found
        found = answers.given(self._store.store, list(dict.fromkeys(run.id for run in self.runs)), *key)
        with self._mutex:
            self._read[key] = found
            while len(self._read) > _REMEMBERED:
                del self._read[next(iter(self._read))]
        return found

    def tasks(self, kind: str, key: Key, rater: str) -> tuple[Task, ...]:
        """What there is to label of a case, in the order (and on the sides) that this rater sees."""
        subject = self.cases[key]
        if not queue.eligible(kind, subject):
            return ()
        seed = "\0".join([str(self.plans[kind].seed), kind, rater, *key])
        if kind == "rank":
            shown = [subject.distinct[i] for i in queue.mixed(seed, len(subject.distinct))]
            return (self._task(kind, key, 0, [a.response_id for a, _ in shown], [",".join(ids) for _, ids in shown], 0),)
        pair = [(subject.candidate, self.run.id)]
        if subject.baseline and self.baseline:
            pair.append((subject.baseline, self.baseline.id))
        if kind == "rate" and len(pair) == 2 and pair[0][0].words == pair[1][0].words:
            pair = [(subject.candidate, f"{self.run.id},{pair[1][1]}")]  # the same words need one rating
        pair = [pair[i] for i in queue.mixed(seed, len(pair))]
        if kind == "pair":
            ids, sides = [a.response_id for a, _ in pair], [run_id for _, run_id in pair]
            return (self._task(kind, key, 0, ids, sides, subject.candidate.sample),)
        return tuple(self._task(kind, key, n, [a.response_id], [side], a.sample) for n, (a, side) in enumerate(pair))

    def _task(self, kind: str, key: Key, number: int, responses: list[str], sides: list[str], sample: int) -> Task:
        position = self._positions[kind].get(key)
        return Task(kind, _token(key), number, *key, position, tuple(responses), tuple(sides), sample)

    def about(self, task: Task) -> Thing:
        """What labels on this task are known by, whoever gave them."""
        return thing(self._blank(task, ""))

    def next_task(self, kind: str, rater: str) -> Task | None:
        """The first thing that this rater has not labelled yet, in the plan's order."""
        done = self._done(rater)
        return next((task for task in self._queue(kind, rater) if self.about(task) not in done), None)

    def _queue(self, kind: str, rater: str) -> Iterator[Task]:
        for pick in self.plans[kind].picks:
            if (pick.capability, pick.case_id) in self.cases:
                yield from self.tasks(kind, (pick.capability, pick.case_id), rater)

    def _done(self, rater: str) -> set[Thing]:
        return {thing(label) for label in self.current() if label.rater == rater and not label.adjudicates}

    def progress(self, kind: str, rater: str) -> Progress:
        plan, done = self.plans[kind], self._done(rater)
        n_done = total = batches = 0
        for start in range(0, len(plan.picks), plan.batch):
            keys = [(p.capability, p.case_id) for p in plan.picks[start : start + plan.batch]]
            tasks = [task for key in keys if key in self.cases for task in self.tasks(kind, key, rater)]
            n = sum(self.about(task) in done for task in tasks)
            n_done, total, batches = n_done + n, total + len(tasks), batches + 1
            if n < len(tasks):
                break
        spent = [x.seconds for x in self.labels() if x.rater == rater and x.kind == kind and x.seconds and not x.withdrawn][-20:]
        left = statistics.median(spent) * (total - n_done) if spent else None
        return Progress(kind, n_done, total, batches, min(batches * plan.batch, len(plan.picks)), left)

    def looked_at(self, kind: str) -> int:
        """Cases that make the sample so far: the first of the plan without a gap."""
        return len(people.looked_at(self.plans[kind], self.labels()))

    def settled(self) -> list[Settled]:
        """What people said of the cases under review, thing by thing."""
        return [matter for matter in people.settle(self.labels()) if matter.thing[1:3] in self.cases]

    def disputed(self) -> list[Settled]:
        """What people disagree on and nobody has adjudicated."""
        return [matter for matter in self.settled() if matter.state == "disputed"]

    def last(self, rater: str) -> Label | None:
        """The rater's last word in this review that still counts."""
        mine = [label for label in self.current() if label.rater == rater and label.run_id == self.run.id]
        return max(mine, key=lambda label: label.created_at, default=None)

    def earlier(self, task: Task, rater: str, *, adjudicates: bool = False) -> Label | None:
        """What this rater said of it before, if it counts."""
        about = self.about(task)
        mine = (x for x in self.current() if x.rater == rater and x.adjudicates is adjudicates)
        return next((label for label in mine if thing(label) == about), None)

    # -- what people do -----------------------------------------------------------------------------------------------------

    def open_case(self, key: Key, rater: str) -> None:
        """From now on this rater is not blind to this case."""
        with self._mutex:
            self._opened.add((rater, _token(key)))

    def say(self, task: Task, rater: str, *, seconds: float | None = None, adjudicates: bool = False, **said: Any) -> Label:
        """Store what a rater said of a task; it takes the place of what they said before. said: fields of Label."""
        with self._mutex:
            earlier = self.earlier(task, rater, adjudicates=adjudicates)
            label = dataclasses.replace(
                self._blank(task, rater),
                blind=(rater, task.token) not in self._opened and self.marked((task.capability, task.case_id), rater) is None,
                seconds=None if seconds is None else min(max(seconds, 0.0), _LONGEST_S),
                plan=self.plans[task.kind].id,
                probability=self._chance(task),
                supersedes=earlier.id if earlier else None,
                adjudicates=adjudicates,
                **said,
            )
            return self._add(label)

    def mark(self, key: Key, rater: str, marks: Sequence[str], comment: str) -> Label:
        """Store a rater's marks on a case; they take the place of the ones before."""
        with self._mutex:
            earlier = self.marked(key, rater)
            label = self._blank(Task("mark", _token(key), 0, *key, None, (), (), 0), rater)
            supersedes = earlier.id if earlier else None
            return self._add(dataclasses.replace(label, marks=tuple(marks), comment=comment, blind=False, supersedes=supersedes))

    def marked(self, key: Key, rater: str) -> Label | None:
        found = (x for x in self.current() if x.kind == "mark" and (x.capability, x.case_id) == key)
        return next((label for label in found if label.rater == rater and label.run_id == self.run.id), None)

    def undo(self, rater: str) -> Label | None:
        """Take the rater's last word back; what it had taken the place of counts again. Returns what was taken back."""
        with self._mutex:
            last = self.last(rater)
            if last is None:
                return None
            self._add(dataclasses.replace(last, id=secrets.token_hex(16), created_at=self._now(), supersedes=last.id,
                                          withdrawn=True, comment="", marks=(), seconds=None))  # fmt: skip
            return last

    def _add(self, label: Label) -> Label:
        if fault := people.fault_of(label):
            raise UsageError(fault)
        self._writer.add(label)
        self._labels.append(label)
        self._current = None
        return label

    def _blank(self, task: Task, rater: str) -> Label:
        return Label(
            id=secrets.token_hex(16),
            run_id=self.run.id,
            capability=task.capability,
            case_id=task.case_id,
            split=Split(self.plans["rate"].split),
            kind=task.kind,
            rater=rater,
            created_at=self._now() if rater else 0.0,
            baseline_run_id=self.baseline.id if self.baseline else None,
            sample=task.sample,
            responses=task.responses,
            sides=task.sides,
        )

    def _now(self) -> float:
        """Later than every label of this process, even where the clock is set back."""
        self._last_time = max(self._clock(), self._last_time + 1e-6)
        return self._last_time

    def _chance(self, task: Task) -> float | None:
        """The chance of the case in the batch that it belongs to."""
        if task.position is None:
            return None
        plan = self.plans[task.kind]
        n = (task.position // plan.batch + 1) * plan.batch
        chances = self._chances.setdefault((task.kind, n), plan.probabilities(n))
        return chances[task.capability, task.case_id]


def _token(key: Key) -> str:
    """A name for a case in addresses: it says nothing of its text, and nothing else fits it."""
    return hashlib.blake2b("\0".join(key).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
