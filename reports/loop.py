"""The page of ``harness loop``: one self-contained file with a section for each round, made as a run's report is.

The ledger in, HTML out. Each round links to the full report of its look at the gate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.loop import Cost, Curated, End, Ledger, Look, Round, Standing, Step, Weakness, Why
from harness.model import Claim, Outcome
from reports import html
from reports.nouns import Tone
from reports.text import UNKNOWN, interval, label, percent, plural, points, seconds

_TONES = {Outcome.SHIP: Tone.GOOD, Outcome.OPTIMIZE: Tone.BAD, Outcome.INCONCLUSIVE: Tone.UNSURE}
_HEADS = {
    Why.SHIP: "SHIP",
    Why.ROUNDS: "All looks are taken",
    Why.REQUESTS: "The requests are spent",
    Why.MINUTES: "The time is spent",
    Why.NO_PROGRESS: "No progress",
    Why.NOTHING_TO_LEARN: "Nothing to learn from",
}
_STEPS = {Step.GATE: "look at the gate", Step.DEV: "dev split", Step.CURATE: "curation", Step.TRAIN: "training"}
_GOOD = {Claim.IMPROVED, Claim.NOT_WORSE, Claim.EQUIVALENT}


@dataclass(frozen=True, slots=True)
class StandingView:
    name: str
    role: str
    tone: Tone
    baseline: str
    candidate: str
    delta: str
    bounds: str
    claims: str
    blocks: bool


@dataclass(frozen=True, slots=True)
class RowsView:
    """One capability's dev cases, and what became of them."""

    name: str
    cases: str
    failing: str
    pairs: str
    lessons: str
    replay: str
    sentence: str


@dataclass(frozen=True, slots=True)
class RoundView:
    """learnt, trained: sentences; empty where the round did not come so far."""

    id: str
    number: int
    candidate: str
    outcome: str
    tone: Tone
    lead: str
    report: str
    standings: tuple[StandingView, ...] = ()
    rows: tuple[RowsView, ...] = ()
    learnt: str = ""
    trained: str = ""
    costs: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LoopView:
    """headline, lead: how it ended, or that it goes on. path: (round, candidate, outcome, tone, what blocks)."""

    title: str
    suite: str
    headline: str
    tone: Tone
    lead: str
    facts: tuple[tuple[str, str], ...]
    note: str
    rounds: tuple[RoundView, ...] = field(default=())
    next_steps: tuple[str, ...] = ()


def build(ledger: Ledger, end: End | None, next_steps: tuple[str, ...] = ()) -> LoopView:
    """end None: it is under way."""
    s, looks = ledger.settings, ledger.looks
    headline = _HEADS[end.why] if end else "Under way"
    tone = Tone.NEUTRAL if end is None else Tone.GOOD if end.why is Why.SHIP else _tone(looks[-1]) if looks else Tone.UNSURE
    doing = f"round {ledger.now.number}, {_STEPS[ledger.begun.step]}" if ledger.begun else f"round {ledger.now.number}"
    return LoopView(
        title=f"{label(s.suite)}: loop from {label(s.candidate)}",
        suite=label(s.suite),
        headline=headline,
        tone=tone,
        lead=label(end.text, 600) if end else doing,
        facts=(
            ("Candidate", f"{label(s.candidate)}, against {label(s.baseline)}"),
            ("Looks at the gate", f"{len(looks)} of at most {s.rounds}"),
            ("Requests sent", f"{ledger.requests:,}"),
            ("Time in steps", seconds(ledger.seconds)),
        ),
        note=alpha_note(ledger),
        rounds=tuple(_round(one) for one in ledger.rounds if one.look is not None or one.costs),
        next_steps=tuple(label(step, 400) for step in next_steps),
    )


def alpha_note(ledger: Ledger) -> str:
    """What looking several times costs, in a sentence."""
    s = ledger.settings
    return (
        f"{plural(len(ledger.looks), 'look')} at the same gate cases of at most {s.rounds}, each at alpha {s.look_alpha:.4g} "
        f"({s.alpha:g} / {s.rounds}): the chance that any round ships a candidate that is worse by a margin stays at or under "
        f"{s.alpha:g}. No gate case was trained on."
    )


def render(view: LoopView) -> str:
    sections = [("verdict", "End", "loop_end.html.j2")]
    return html.page(
        view.title, [*sections, *((one.id, f"Round {one.number}", "loop_round.html.j2") for one in view.rounds)], view=view
    )


def _tone(look: Look) -> Tone:
    return _TONES[look.outcome]


def _round(one: Round) -> RoundView:
    look, curated, trained = one.look, one.curated, one.trained
    learnt = made = ""
    if curated is not None:
        learnt = (
            f"{plural(curated.pairs, 'pair')}, {plural(curated.lessons, 'SFT row')} and {plural(curated.replay, 'replay row')} "
            f"of dev cases; {curated.left:,} left out."
        )
    if trained is not None:
        figures = ", ".join(f"{label(name, 40)} {value:.4g}" for name, value in trained.figures.items())
        made = f"{trained.stage} on {plural(trained.rows, 'row')}, written to {label(trained.output)}" + (
            f": {figures}." if figures else "."
        )
    return RoundView(
        id=f"round-{one.number}",
        number=one.number,
        candidate=label(one.candidate),
        outcome=str(look.outcome) if look else "not looked at",
        tone=_tone(look) if look else Tone.NEUTRAL,
        lead=_lead(look) if look else "",
        report=look.report if look else "",
        standings=tuple(_standing(s, look) for s in look.standings) if look else (),
        rows=_rows(one),
        learnt=learnt,
        trained=made,
        costs=tuple(map(_cost, one.costs)),
    )


def _lead(look: Look) -> str:
    ships = look.outcome is Outcome.SHIP
    parts = ["Everything the gate asks for is shown." if ships else f"In the way: {', '.join(map(label, look.blocking))}."]
    for word, names in (("Better", look.better), ("Worse", look.worse)):
        parts += [f"{word} than in the round before: {', '.join(map(label, names))}."] if names else []
    return " ".join(parts)


def _standing(s: Standing, look: Look) -> StandingView:
    blocks = s.capability in look.blocking
    shown = any(claim in _GOOD for claim in s.claims)
    return StandingView(
        name=label(s.capability),
        role=label(s.role),
        tone=Tone.BAD if blocks else Tone.GOOD if shown else Tone.NEUTRAL,
        baseline=percent(s.baseline),
        candidate=percent(s.candidate),
        delta=points(s.delta),
        bounds=interval(s.low, s.high),
        claims=", ".join(s.claims) or UNKNOWN,
        blocks=blocks,
    )


def _rows(one: Round) -> tuple[RowsView, ...]:
    if one.failures is None:
        return ()
    return tuple(_learnt(w, one.curated) for w in one.failures.weaknesses)


def _learnt(w: Weakness, curated: Curated | None) -> RowsView:
    counts = curated.by_capability.get(w.capability, {}) if curated else {}
    pairs, lessons, replay = (f"{counts.get(name, 0):,}" if curated else UNKNOWN for name in ("pairs", "sft", "replay"))
    return RowsView(label(w.capability), f"{w.cases:,}", f"{w.failing:,}", pairs, lessons, replay, label(w.sentence, 400))


def _cost(cost: Cost) -> tuple[str, str, str]:
    return _STEPS[cost.step], f"{cost.requests:,}", seconds(cost.seconds)
