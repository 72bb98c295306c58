"""Two runs asked side by side, batch by batch, until what they show is decided (``gate.sequential``).

Every capability's cases are asked in their random order (harness.comparison.turn), the same for both runs, and a case counts when
both have answered. After each round the very comparison and decision that make the final verdict look at what was asked: a
capability is left alone once its part is decided, and the run ends when the verdict is. What was not asked is recorded as
skipped, "decided", so the denominator stays closed. Looking often costs nothing: harness.statistics.sequential.

Must-pass cases are asked first, whatever their turn, since each of them can decide alone; as evidence about a mean they count
only in their turn. The rounds depend on the plan alone, so a run that was interrupted goes the same way again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import takewhile

from harness.columns import of_rows
from harness.comparison import DECIDED, Policy, column_facts, compare_columns, turn
from harness.decision import decide
from harness.model import Case, Claim, ItemStatus, Ledger, Outcome, Request, Role, Score, ScoreRow, Split, Verdict
from harness.runner import OpenRun, Plan
from harness.store import Store

ROUNDS = 25  # at most so many looks at a capability; more would ask a little less and wait more often for the last of a batch
SMALLEST_BATCH = 16  # cases
BASELINE_STOPPED = "baseline-not-asked"  # why a case is skipped that a stored baseline has no answer to

# Reasons of a verdict that more answers can change.
_OPEN = frozenset({"not-shown", "target-not-shown", "undecided", "missing-scores", "floor-not-shown"})

Key = tuple[str, int]  # case id, sample


class _Side:
    """One run: what was planned, what has come in so far. run None: a stored baseline that nothing can be asked of any more."""

    def __init__(self, plan: Plan, run: OpenRun | None, stored: Mapping[Key, ScoreRow]) -> None:
        self.run, self.stored = run, stored
        self.samples = {name: capability.samples for name, capability in plan.suite.capabilities.items()}
        rows = (_row(case, sample) for case in plan.cases() for sample in range(self.samples[case.capability]))
        self.rows = {(row.case_id, row.sample): row for row in rows}
        self.came: dict[Key, ScoreRow] = {}
        if run is not None:
            run.follow = self._follow

    def _follow(self, request: Request, score: Score | None) -> None:
        key = (request.case.id, request.sample)
        self.came[key] = _scored(self.rows[key], score)

    async def ask(self, cases: Sequence[Case]) -> None:
        """Ask these cases; afterwards their rows say what came of it. Answers of earlier processes count from now on, too."""
        keys = [(case.id, sample) for case in cases for sample in range(self.samples[case.capability])]
        if self.run is not None:
            await self.run.work(self.run.plan.requests(cases), len(keys))
        for key in keys:
            self.rows[key] = self.came.get(key) or self.stored.get(key) or self.rows[key]

    def can_answer(self, case: Case) -> bool:
        return self.run is not None or all((case.id, sample) in self.stored for sample in range(self.samples[case.capability]))

    def skip(self, cases: Iterable[Case], reason: str) -> None:
        if self.run is not None:
            for request in self.run.plan.requests(cases):
                self.run.writer.skip(request, reason)


def _row(case: Case, sample: int) -> ScoreRow:
    return ScoreRow(
        case.id,
        case.capability,
        sample,
        ItemStatus.SKIPPED,
        reason=DECIDED,
        cluster=case.cluster,
        split=case.split,
        must_pass=case.must_pass,
    )


def _scored(row: ScoreRow, score: Score | None) -> ScoreRow:
    if score is None:
        return replace(row, status=ItemStatus.ERRORED, reason="error")
    if score.value is None:
        return replace(row, status=ItemStatus.UNSCORED, reason=score.unscored)
    return replace(row, status=ItemStatus.SCORED, value=score.value, passed=score.passed, reason=None)


@dataclass(slots=True)
class _Queue:
    """One capability's cases in their order. end: how many can be asked; fewer than all where a stored baseline's answers end.
    at: how many were taken."""

    cases: list[Case]
    end: int
    at: int = 0

    def take(self) -> list[Case]:
        size = max(SMALLEST_BATCH, -(-len(self.cases) // ROUNDS))
        taken = self.cases[self.at : min(self.at + size, self.end)]
        self.at += len(taken)
        return taken

    @property
    def is_short(self) -> bool:
        return self.end < len(self.cases)

    @property
    def left(self) -> list[Case]:
        return self.cases[self.at :]


class SequentialRun:
    """The rounds of one candidate against one baseline.

    theirs: the baseline's run, open too, or the rows of a stored one. today: the day (UTC) that the gate's waivers must hold on.
    """

    def __init__(self, ours: OpenRun, theirs: OpenRun | Sequence[ScoreRow], store: Store, today: date) -> None:
        self.today = today
        self.plan, self.suite, self.gate = ours.plan, ours.plan.suite, ours.plan.suite.gate
        self.split = self.plan.split or Split.GATE
        every = list(self.plan.cases())
        self.together = isinstance(theirs, OpenRun) and min(ours.concurrency, theirs.concurrency) > 1
        self.candidate = _Side(self.plan, ours, _done(ours, store))
        if isinstance(theirs, OpenRun):
            self.baseline = _Side(self.plan, theirs, _done(theirs, store))
            if self.together:
                ours.concurrency, theirs.concurrency = ours.concurrency // 2, theirs.concurrency // 2
        else:
            stored = {(row.case_id, row.sample): row for row in theirs if row.status is not ItemStatus.SKIPPED}
            self.baseline = _Side(self.plan, None, stored)
        names = dict.fromkeys(case.capability for case in every)
        self.rules: dict[str, Policy] = {name: self.suite.capabilities[name] for name in names}
        self.must_pass = [case for case in every if case.must_pass]
        self.queues = {name: self._queue(name, every) for name in names}

    async def until_decided(self) -> None:
        """Ask, look, ask again; then record what did not have to be asked. Raises what stopped it."""
        await self._ask(self.must_pass)
        wanted = set(self.queues)
        while batch := [case for name, queue in self.queues.items() if name in wanted for case in queue.take()]:
            await self._ask([case for case in batch if not case.must_pass])
            wanted = await asyncio.to_thread(self._undecided)
        await asyncio.to_thread(self._skip_rest, wanted)

    async def _ask(self, cases: Sequence[Case]) -> None:
        """Of both runs, each with half of the requests that may be under way (one after the other where that is one)."""
        if not cases:
            return
        sides = (self.baseline, self.candidate)
        if not self.together:
            for side in sides:
                await side.ask(cases)
            return
        tasks = [asyncio.create_task(side.ask(cases)) for side in sides]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _undecided(self) -> set[str]:
        """The capabilities that more cases are needed of; none when the verdict stands."""
        verdict = self._look()
        if verdict.outcome is not Outcome.INCONCLUSIVE:
            return set()
        open_ = {
            reason.capability for reason in verdict.reasons if reason.code in _OPEN and reason.blocks is Outcome.INCONCLUSIVE
        }
        waived = {waiver.capability for waiver in self.gate.waivers}  # they block nothing, but what is waived should be known
        reported = {
            c.capability
            for c in verdict.comparisons
            if (c.role is Role.ADVISORY or c.capability in waived) and not _placed(c.claims)
        }
        return {name for name in self.queues if name in open_ | reported}

    def _look(self) -> Verdict:
        """The verdict, were the asking to stop now. Budgets and times wait for the end: a few answers say little of either."""
        rows = (self.candidate.rows.values(), self.baseline.rows.values())
        cases, (ours, theirs) = of_rows(*rows, split=self.split)
        timeless = replace(self.gate, max_ttft_p95_s=None, max_latency_p95_s=None, max_tpot_p95_s=None, max_memory_gb=None)
        gate = replace(timeless, max_error_rate=1.0, max_unscored_rate=1.0)
        floors = [floor.capability for floor in gate.floors]
        facts = replace(
            column_facts(cases, ours, theirs, only=floors, sequential=True), candidate=_NOTHING_AMISS, baseline=_NOTHING_AMISS
        )
        return decide(compare_columns(cases, ours, theirs, self.rules, gate), gate, facts, today=self.today)

    def _skip_rest(self, wanted: set[str]) -> None:
        """wanted: capabilities that ended undecided, all of them out of cases."""
        for name, queue in self.queues.items():
            left = [case for case in queue.left if not case.must_pass]
            reason = BASELINE_STOPPED if queue.is_short and name in wanted else DECIDED
            for side in (self.candidate, self.baseline):
                side.skip(left, reason)

    def _queue(self, name: str, every: Sequence[Case]) -> _Queue:
        cases = sorted((case for case in every if case.capability == name), key=lambda case: turn(case.id))
        return _Queue(cases, sum(1 for _ in takewhile(self.baseline.can_answer, cases)))


_NOTHING_AMISS = Ledger(planned=1, scored=1)


def _placed(claims: Sequence[Claim]) -> bool:
    return Claim.NOT_WORSE in claims or Claim.HARMED in claims


def _done(run: OpenRun, store: Store) -> dict[Key, ScoreRow]:
    """What the store holds of a run that need not be asked again."""
    if not run.done:
        return {}
    return {key: row for row in store.score_rows(run.writer.run_id) if (key := (row.case_id, row.sample)) in run.done}
