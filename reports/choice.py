"""What the runs of a matrix show, arranged and put into words: for the terminal and for a page of its own.

``harness.choice`` decides what is shown; here nothing is computed but what a reader sees. Scores are in points of 100.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.choice import Answer, Choice, Kept, ProtectedScore, Reach, TargetScore, Tried
from reports import choicewords as words
from reports.choicewords import Said, bounds, hundred
from reports.nouns import Tone
from reports.text import UNKNOWN, interval, label, points, visible

_MARKS = {Reach.REACHES: (Tone.GOOD, "\u25b2"), Reach.SHORT: (Tone.BAD, "\u25bc"), Reach.OPEN: (Tone.UNSURE, "?")}
_KEPT = {Kept.KEPT: Tone.NEUTRAL, Kept.LOST: Tone.BAD, Kept.OPEN: Tone.UNSURE}
_HEADS = {
    Answer.PROMPT: ("A prompt reaches it", Tone.GOOD),
    Answer.TUNING: ("Tuning is needed", Tone.BAD),
    Answer.UNDECIDED: ("Not decided", Tone.UNSURE),
}


@dataclass(frozen=True, slots=True)
class ProtectedView:
    name: str
    mean_shown: str
    state: str
    tone: Tone
    title: str


@dataclass(frozen=True, slots=True)
class CombinationView:
    """One combination on one target. mark: the drawn shape. mean, low, high, goal: exact, for the drawing."""

    candidate: str
    way: str
    tuned: bool
    is_best: bool
    mean: float | None
    low: float
    high: float
    goal: float
    mean_shown: str
    bounds_shown: str
    reach: str
    tone: Tone
    mark: str
    best_shown: str
    gain_shown: str
    gain_bounds: str
    tokens_shown: str
    kept_shown: str
    missing_shown: str
    protected: tuple[ProtectedView, ...]

    @property
    def name(self) -> str:
        return f"{self.candidate}, {self.way}"


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target's table, the highest score first."""

    name: str
    goal_shown: str
    cases: int
    rows: tuple[CombinationView, ...]
    protected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """The stored run behind a combination."""

    name: str
    run_id: str
    scored_shown: str


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """title, headline, lead: the answer. reasons: what else is shown. steps: what to do next."""

    title: str
    suite: str
    headline: str
    lead: str
    tone: Tone
    reasons: tuple[Said, ...]
    next_steps: tuple[str, ...]
    partial: str
    note: str
    targets: tuple[TargetView, ...]
    runs: tuple[RunView, ...]


def build(
    choice: Choice,
    suite: str,
    margins: Mapping[str, float],
    reference: str | None,
    limit: int | None = None,
    uncalibrated: Mapping[str, Sequence[str]] = {},
) -> ChoiceView:
    """margins: of protected capabilities. reference: the candidate they are compared with. limit: cases of each, if limited.

    uncalibrated: capability -> judges behind its scores that nobody held against people.
    """
    headline, tone = _HEADS[choice.answer]
    if choice.failed:
        headline = "Cannot be judged"
    elif choice.best and choice.row(choice.best).combination.is_plain:
        headline = "Good enough as it is"
    return ChoiceView(
        title=f"{label(suite)}: {headline[0].lower()}{headline[1:]}",
        suite=label(suite),
        headline=headline,
        lead=visible(words.lead(choice)),
        tone=tone,
        reasons=tuple(
            Said(visible(said.text), said.tone) for said in (*words.doubts(uncalibrated), *words.reasons(choice, reference))
        ),
        next_steps=tuple(visible(step) for step in words.steps(choice)),
        partial=words.partial(choice, limit),
        note=visible(words.note(choice, margins, reference)),
        targets=tuple(_target(choice, number) for number in range(len(choice.rows[0].targets))),
        runs=tuple(_run(row) for row in choice.rows),
    )


# -- tables ----------------------------------------------------------------------------------------------------------------------


def _target(choice: Choice, number: int) -> TargetView:
    order = sorted(choice.rows, key=lambda row: -(row.targets[number].interval.mean or 0.0))
    score = choice.rows[0].targets[number]
    return TargetView(
        name=label(score.target),
        goal_shown=hundred(score.goal),
        cases=score.interval.n + score.interval.missing,
        rows=tuple(_row(choice, row, row.targets[number]) for row in order),
        protected=tuple(label(p.capability) for p in choice.rows[0].protected),
    )


def _row(choice: Choice, row: Tried, score: TargetScore) -> CombinationView:
    tone, mark = _MARKS[score.reach]
    standing = score.standing
    distance = "may be" if standing.may_be_best else "no"
    unkept = f"{len(row.lost)} lost" if row.lost else f"{len(row.unsure)} open" if row.unsure else "all"
    shown = unkept if row.protected else UNKNOWN
    return CombinationView(
        candidate=label(row.combination.candidate),
        way=label(words.way(row.combination)),
        tuned=row.combination.tuned,
        is_best=row.combination.name == choice.best,
        mean=score.interval.mean,
        low=score.interval.low,
        high=score.interval.high,
        goal=score.goal,
        mean_shown=hundred(score.interval.mean),
        bounds_shown=bounds(score.interval.low, score.interval.high),
        reach=str(score.reach),
        tone=tone,
        mark=mark,
        best_shown=distance,
        gain_shown=points(score.gain.delta) if score.gain else "",
        gain_bounds=interval(score.gain.low, score.gain.high) if score.gain else "",
        tokens_shown=words.tokens(row),
        kept_shown=shown,
        missing_shown=f"{score.interval.missing:,} without a score" if score.interval.missing else "",
        protected=tuple(_protected(p) for p in row.protected),
    )


def _protected(row: ProtectedScore) -> ProtectedView:
    title = (
        f"{points(row.paired.delta)} {interval(row.paired.low, row.paired.high)}" if row.paired else "asked as the reference is"
    )
    return ProtectedView(label(row.capability), hundred(row.mean), str(row.state), _KEPT[row.state], title)


def _run(row: Tried) -> RunView:
    ledger = row.ledger
    shown = f"{ledger.scored:,} of {ledger.planned:,} scored"
    if ledger.n_unscored or ledger.n_errored:
        shown += f", {ledger.n_unscored:,} unscored, {ledger.n_errored:,} errored"
    return RunView(label(words.who(row.combination)), label(row.run_id), shown)
