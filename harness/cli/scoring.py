"""What scores the answers of a command's runs: the rule checks alone, or with the suite's judges beside them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from harness.checks import CheckScorer, compile_checks
from harness.model import Candidate, digest_of
from harness.runner import SCORING, AnyScorer, Plan
from harness.serving.fleet import Fleet
from harness.serving.identity import DigestCache
from harness.store import RunWriter, Store
from harness.suite import Suite

if TYPE_CHECKING:
    from harness.cli.jury import Jury
    from harness.judged import Desk


@dataclass(frozen=True, slots=True)
class RunScoring:
    """One run's scorers. at_once: answers that wait for judges together. afterwards: what the run keeps of its judges."""

    scorers: Mapping[str, AnyScorer]
    at_once: int = SCORING
    afterwards: Callable[[RunWriter], Awaitable[Mapping[str, Any]]] | None = None


@dataclass(frozen=True, slots=True)
class Scoring:
    """The scorers of every run of one command. jury: None where no check names a judge; then nothing of judges is imported."""

    suite: Suite
    checks: Mapping[str, CheckScorer]
    jury: Jury | None = None
    desk: Desk | None = None

    @property
    def digest(self) -> str:
        """Over all that scores, but not over what a pairwise judge compares with: equal for runs that can be compared."""
        if self.jury is None:
            return digest_of({name: scorer.digest for name, scorer in self.checks.items()})
        judges = {name: judge.digest for name, judge in self.jury.judges.items()}
        return digest_of([{name: scorer.digest for name, scorer in self.checks.items()}, judges])

    def of(self, store: Store, plan: Plan, baseline_id: str | None) -> RunScoring:
        """baseline_id: the run that pairwise judges compare this plan's answers with."""
        if self.jury is None or self.desk is None:
            return RunScoring(self.checks)
        from harness.cli import jury as juries

        jury, desk, before = self.jury, self.desk, dict(self.desk.sent)
        others = juries.others_for(store, plan, baseline_id)
        earlier = juries.earlier_canaries(store, plan)
        scorers: dict[str, AnyScorer] = {
            name: jury.scorer(checks, name, desk, others) if checks.judges else checks for name, checks in self.checks.items()
        }
        return RunScoring(
            scorers,
            2 * self.suite.judging.concurrency,
            lambda writer: juries.kept(jury, desk, writer, before, others, earlier),
        )


async def judge_models(
    scoring: Scoring, store: Store, plans: Mapping[str, Plan], to_ask: Collection[str], baseline_id: str | None
) -> list[Candidate]:
    """The judges' models that the harness must serve for these plans; none where all replies are stored.

    to_ask: names of the plans that have something to ask. baseline_id: the run that pairwise judges compare with.
    """
    jury = scoring.jury
    local = [key for key, model in jury.models.items() if model.kind != "endpoint"] if jury else []
    if jury is None or not local:
        return []
    from harness.cli import jury as juries

    needed: set[str] = set()
    for name, plan in plans.items():
        chosen = [n for n in scoring.suite.capabilities if not plan.capabilities or n in plan.capabilities]
        if name in to_ask and any(jury.names(n) for n in chosen):
            needed |= set(local)
        elif not set(local) <= needed:
            others = juries.planned_others(store, plans, plan, baseline_id)
            needed |= (await juries.unasked(jury, store, plan, others, lambda request: None)).models(jury)
    return [jury.models[key] for key in local if key in needed]


def prepare(suite: Suite, store: Store) -> Scoring:
    """Checks compiled and judges identified; nobody is asked yet."""
    checks = {name: _scorer(suite, name) for name in suite.capabilities}
    if not any(scorer.judges for scorer in checks.values()):
        return Scoring(suite, checks)
    from harness.cli.jury import convene

    return Scoring(suite, checks, convene(suite, DigestCache(store.path / "digests.json")))


@contextlib.asynccontextmanager
async def at_work(scoring: Scoring, store: Store, fleet: Fleet) -> AsyncIterator[Scoring]:
    """The same, ready to ask its judges."""
    if scoring.jury is None:
        yield scoring
        return
    from harness.cli import jury as juries

    async with juries.at_work(scoring.jury, store, fleet) as desk:
        yield Scoring(scoring.suite, scoring.checks, scoring.jury, desk)


def _scorer(suite: Suite, name: str) -> CheckScorer:
    c = suite.capabilities[name]
    return compile_checks(
        c.checks,
        score=cast(Any, c.score),  # the suite's models allow only what compile_checks takes
        on_truncated=cast(Any, c.on_truncated),
        on_empty=cast(Any, c.on_empty),
        root=suite.root,
    )
