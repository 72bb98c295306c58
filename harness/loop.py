"""``harness loop`` as a state machine: look at the gate, ask the dev split, curate, train, look again, until SHIP or another end.

What the steps do is handed in; here is only what comes next, what it may cost, and a ledger that survives a kill at any moment: a
step is written down when it begins and when it has ended, so the same command goes on with the step that was under way.

Alpha. Every round looks at the same gate cases, so every round is another chance to ship a candidate that should not. Each look
is therefore taken at alpha / rounds: whatever the dependence between looks, the chance that any of them ships a candidate that is
worse by its margin stays at or under alpha (the union bound; Bonferroni). That argument needs that the gate's answers decide only
whether the loop goes on, never what is trained: training data comes of the dev split alone, and nothing here hands a look to a
training. So the number of rounds is fixed before the first look.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from harness.errors import DataError, UsageError
from harness.model import Outcome

FORMAT = 1


class Step(StrEnum):
    GATE = "gate"
    DEV = "dev"
    CURATE = "curate"
    TRAIN = "train"


class Why(StrEnum):
    """Why a loop ended."""

    SHIP = "ship"
    ROUNDS = "rounds"
    REQUESTS = "requests"
    MINUTES = "minutes"
    NO_PROGRESS = "no-progress"
    NOTHING_TO_LEARN = "nothing-to-learn"


@dataclass(frozen=True, slots=True)
class Settings:
    """What one folder's loop is about; with another one it cannot go on. alpha: of the whole loop. recipe, curation: digests."""

    suite: str
    suite_hash: str
    candidate: str
    weights: str
    baseline: str
    recipe: str
    curation: str
    rounds: int
    alpha: float

    @property
    def look_alpha(self) -> float:
        """What one look may spend."""
        return self.alpha / self.rounds


@dataclass(frozen=True, slots=True)
class Budget:
    """None: no limit. requests: to candidates, answers from the store not counted. minutes: spent in steps that have ended."""

    requests: int | None = None
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """One capability at one look. Scores in [0, 1], differences in [-1, 1], None where there is no comparison."""

    capability: str
    role: str
    margin: float
    baseline: float | None
    candidate: float | None
    delta: float | None
    low: float | None
    high: float | None
    claims: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """A verdict of the gate. blocking: capabilities (or codes of gates) that stand in the way. better, worse: targets and
    protected capabilities shown so against the round before, at the suite's alpha. report: relative to the folder."""

    outcome: Outcome
    exit_code: int
    run_id: str
    baseline_run_id: str
    blocking: tuple[str, ...]
    better: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    standings: tuple[Standing, ...] = ()
    report: str = ""


@dataclass(frozen=True, slots=True)
class Weakness:
    """What a capability's dev cases say. sentence: of harness.diagnosis."""

    capability: str
    cases: int
    failing: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Failures:
    """The dev split's run. other_run_id: the baseline's, whose passing answers may be chosen."""

    run_id: str
    other_run_id: str | None
    weaknesses: tuple[Weakness, ...] = ()


@dataclass(frozen=True, slots=True)
class Curated:
    """Training data of a round. learn: rows of the recipe's stage that teach something; 0 ends the loop."""

    learn: int
    pairs: int
    lessons: int
    replay: int
    left: int
    by_capability: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trained:
    """weights: the new candidate's digest. output: its folder, relative to the loop's. figures: of the trainer."""

    weights: str
    output: str
    stage: str
    rows: int
    figures: dict[str, float] = field(default_factory=dict)


Result = Look | Failures | Curated | Trained


@dataclass(frozen=True, slots=True)
class Cost:
    step: Step
    requests: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    """One candidate: its look at the gate and, where that did not ship, what was made of its failures. number: from 1."""

    number: int
    candidate: str
    look: Look | None = None
    failures: Failures | None = None
    curated: Curated | None = None
    trained: Trained | None = None
    costs: tuple[Cost, ...] = ()


_FIELDS = {Step.GATE: "look", Step.DEV: "failures", Step.CURATE: "curated", Step.TRAIN: "trained"}


@dataclass(frozen=True, slots=True)
class Begun:
    """The step under way. to_ask: requests that the store had no answer to when it began for the first time."""

    step: Step
    to_ask: int


@dataclass(frozen=True, slots=True)
class Ledger:
    settings: Settings
    rounds: tuple[Round, ...]
    begun: Begun | None = None
    format: int = FORMAT

    @property
    def now(self) -> Round:
        return self.rounds[-1]

    @property
    def looks(self) -> tuple[Look, ...]:
        return tuple(one.look for one in self.rounds if one.look is not None)

    @property
    def requests(self) -> int:
        return sum(cost.requests for one in self.rounds for cost in one.costs)

    @property
    def seconds(self) -> float:
        return sum(cost.seconds for one in self.rounds for cost in one.costs)


def new_ledger(settings: Settings) -> Ledger:
    return Ledger(settings, (Round(1, settings.candidate),))


@dataclass(frozen=True, slots=True)
class End:
    """exit_code: 0 SHIP; otherwise of the last verdict, 4 where there is none yet."""

    why: Why
    text: str
    exit_code: int


# -- what comes next -------------------------------------------------------------------------------------------------------------


def next_move(ledger: Ledger, budget: Budget) -> Step | End:
    """The next step, or why there is none. Requests are looked at when it is known how many the step needs (over_requests)."""
    now, rounds = ledger.now, ledger.settings.rounds
    if now.look is not None:
        if now.look.outcome is Outcome.SHIP:
            return End(Why.SHIP, f"round {now.number}: {now.candidate} ships", 0)
        if stuck(ledger):
            blocked = ", ".join(now.look.blocking)
            what = f"the same stands in the way as in the round before ({blocked}), and nothing got better beyond noise"
            return _end(ledger, Why.NO_PROGRESS, what)
        if now.number >= rounds:
            return _end(ledger, Why.ROUNDS, f"all {rounds} looks at the gate are taken")
    step = _undone(now)
    if now.curated is not None and now.curated.learn == 0:
        return _end(ledger, Why.NOTHING_TO_LEARN, "the dev split gives nothing to learn from: see dropped.jsonl")
    if budget.minutes is not None and ledger.seconds >= 60 * budget.minutes:
        return _end(ledger, Why.MINUTES, f"{ledger.seconds / 60:.1f} of {budget.minutes:g} minutes are spent")
    return step


def stuck(ledger: Ledger) -> bool:
    """Whether the last training made no difference that can be shown: the same capabilities block, and none is shown better."""
    if len(ledger.looks) < 2:
        return False
    before, last = ledger.looks[-2:]
    return set(before.blocking) == set(last.blocking) and not last.better


def over_requests(ledger: Ledger, budget: Budget, to_ask: int) -> End | None:
    """The end where a step that asks so many would go beyond the budget: it is not begun at all."""
    if budget.requests is None or ledger.requests + to_ask <= budget.requests:
        return None
    what = f"{ledger.requests:,} of {budget.requests:,} requests are spent, and the next step needs {to_ask:,}"
    return _end(ledger, Why.REQUESTS, what)


def _undone(now: Round) -> Step:
    return next(step for step, name in _FIELDS.items() if getattr(now, name) is None)


def _end(ledger: Ledger, why: Why, text: str) -> End:
    looks = ledger.looks
    return End(why, text, looks[-1].exit_code if looks else 4)


# -- doing it --------------------------------------------------------------------------------------------------------------------


class Work(Protocol):
    """The real steps. Each may be called again after a kill in the middle of it, and then goes on."""

    def to_ask(self, ledger: Ledger, step: Step) -> int:
        """Requests that the step would send now."""
        ...

    def do(self, ledger: Ledger, step: Step) -> Result:
        """Raises what stops it; nothing is written down of it then."""
        ...


def run_loop(
    ledger: Ledger,
    budget: Budget,
    work: Work,
    save: Callable[[Ledger], None],
    *,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Ledger, End]:
    """Step after step until the end. save: keeps the ledger, called before and after each step."""
    while True:
        step = next_move(ledger, budget)
        if isinstance(step, End):
            return ledger, step
        to_ask = work.to_ask(ledger, step)
        if end := over_requests(ledger, budget, to_ask):
            return ledger, end
        if ledger.begun is None or ledger.begun.step is not step:
            ledger = replace(ledger, begun=Begun(step, to_ask))
            save(ledger)
        started = clock()
        result = work.do(ledger, step)
        seconds = clock() - started
        ledger = finished(ledger, step, result, seconds, work.to_ask(ledger, step))
        save(ledger)


def finished(ledger: Ledger, step: Step, result: Result, seconds: float, left: int) -> Ledger:
    """The ledger with a step's result. left: requests still without an answer, which it therefore did not spend.

    A training opens the next round.
    """
    to_ask = ledger.begun.to_ask if ledger.begun else 0
    cost = Cost(step, max(0, to_ask - left), round(seconds, 3))
    now = replace(ledger.now, **{_FIELDS[step]: result}, costs=(*ledger.now.costs, cost))  # type: ignore[arg-type]
    rounds = (*ledger.rounds[:-1], now)
    if step is Step.TRAIN:
        rounds = (*rounds, next_round(ledger))
    return replace(ledger, rounds=rounds, begun=None)


def next_round(ledger: Ledger) -> Round:
    """The round of what this one trains."""
    return Round(ledger.now.number + 1, f"{ledger.settings.candidate}-r{ledger.now.number}")


# -- on disk ---------------------------------------------------------------------------------------------------------------------


def save(path: Path, ledger: Ledger) -> None:
    """Replace the file as a whole: a reader, or a kill, finds the old one or the new one."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(asdict(ledger), file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        what, todo = f"cannot keep the ledger: {error.strerror}", "Mend that; the same command goes on from the last step kept"
        raise DataError(what, where=str(path), todo=todo) from None


def load(path: Path) -> Ledger | None:
    """The ledger of a folder, None where there is none. DataError when it cannot be read."""
    try:
        ledger = TypeAdapter(Ledger).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as error:
        raise _damaged(path, str(error).splitlines()[0]) from None
    if not ledger.rounds or ledger.format != FORMAT:
        raise _damaged(path, "no rounds" if ledger.format == FORMAT else f"its format is {ledger.format}, not {FORMAT}")
    return ledger


def _damaged(path: Path, why: str) -> DataError:
    todo = "Begin anew in another --out: answers that the store holds are not asked for again"
    return DataError(f"this is no ledger of a loop that can be gone on with ({why})", where=str(path), todo=todo)


def opened(path: Path, settings: Settings) -> Ledger:
    """The ledger to go on with, or a new one. UsageError when the folder's loop is another one: its alpha is spent on that."""
    ledger = load(path)
    if ledger is None:
        return new_ledger(settings)
    for one in fields(Settings):
        before, now = getattr(ledger.settings, one.name), getattr(settings, one.name)
        if before != now:
            shown = f": it was {before}, now it is {now}" if one.name in ("candidate", "baseline", "rounds", "alpha") else ""
            raise UsageError(
                f"the loop in this folder has another {_NAMES.get(one.name, one.name)}{shown}",
                where=str(path.parent),
                todo="Give the old one to go on, or another --out to begin anew",
            )
    return ledger


_NAMES = {"suite_hash": "suite (its cases, checks or gate have changed)", "weights": "model behind the candidate's name"}
_NAMES["rounds"] = "number of rounds, which alpha was shared out by"
