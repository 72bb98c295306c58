"""What the runs of a matrix show, in sentences: the answer, what else is shown, what to do next. Scores are in points of 100."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.choice import Answer, Choice, ProtectedScore, Reach, Tried
from harness.model import Split
from harness.suite import Combination
from reports.nouns import Tone
from reports.text import UNKNOWN, interval, label, plain, plural, points

_NAMED = 6  # combinations in one sentence


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence, and what it says of the combinations."""

    text: str
    tone: Tone


# -- names and numbers -----------------------------------------------------------------------------------------------------------


def way(c: Combination) -> str:
    """How the candidate is asked, without its name."""
    if c.is_plain:
        return "as it is"
    parts = [f"prompt {c.prompt}"] if c.prompt != "default" else []
    return ", ".join([*parts, *([plural(c.shots, "example")] if c.shots else [])])


def who(c: Combination) -> str:
    return f"{c.candidate} {way(c)}" if c.is_plain else f"{c.candidate} with {way(c).replace(', ', ' and ')}"


def hundred(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f}"


def bounds(low: float, high: float) -> str:
    return f"[{hundred(low)}, {hundred(high)}]"


def _scores(row: Tried) -> str:
    """``order-json 98.8, lower bound 91.1, goal 90.0``; for each target."""
    return "; ".join(
        f"{label(s.target)} {hundred(s.interval.mean)}, lower bound {hundred(s.interval.low)}, goal {hundred(s.goal)}"
        for s in row.targets
    )


def _names(rows: Sequence[Tried]) -> str:
    shown = ", ".join(who(row.combination) for row in rows[:_NAMED])
    return shown + (f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else "")


def tokens(row: Tried) -> str:
    return UNKNOWN if row.tokens is None else plain(round(row.tokens))


# -- the answer ------------------------------------------------------------------------------------------------------------------


def lead(choice: Choice) -> str:
    if choice.failed:
        return f"{label(choice.failed, 300)}. That says something of the servers and nothing of prompts."
    asked = choice.untuned
    if choice.answer is Answer.PROMPT:
        best = choice.row(str(choice.best))
        verb = "reaches the goal" if best.combination.is_plain else "reaches it"
        needless = "Tuning is not needed for the target." if not best.combination.tuned else "No further tuning is needed for it."
        return f"{who(best.combination)} {verb}: {_scores(best)}. {needless}"
    if choice.answer is Answer.TUNING:
        return _short(asked)
    return _open(choice, asked)


def _short(asked: Sequence[Tried]) -> str:
    """No combination reaches, or only at a price."""
    kind = "no combination" if asked[0].combination.tuned else "no combination without tuning"
    costly = [row for row in asked if row.reach is Reach.REACHES]
    if costly:
        found = max(costly, key=lambda row: row.mean)
        lost = " and ".join(label(row.capability) for row in found.lost)
        return f"{who(found.combination)} reaches the goal only at the price of {lost}; {kind} reaches it and keeps the rest."
    goals = [score for row in asked for score in row.targets]
    if len(asked[0].targets) == 1:
        top = max(asked, key=lambda row: row.targets[0].interval.high)
        score = top.targets[0]
        what = (
            f"the highest upper bound on {label(score.target)} is {hundred(score.interval.high)} ({who(top.combination)}), "
            f"below the goal of {hundred(goals[0].goal)}"
        )
    else:
        what = "each is shown to fall short of a goal"
    return f"{kind[0].upper()}{kind[1:]} reaches the goal: {what}. Tuning, or a better base, is needed."


def _open(choice: Choice, asked: Sequence[Tried]) -> str:
    rows = [row for row in asked if row.reach is Reach.OPEN and not row.lost]
    nearest = max(rows, key=lambda row: row.mean)
    scores = "; ".join(
        f"{label(s.target)} {hundred(s.interval.mean)} {bounds(s.interval.low, s.interval.high)}, goal {hundred(s.goal)}"
        for s in nearest.targets
    )
    have = nearest.targets[0].interval.n
    why = next((s.interval.reason for s in nearest.targets if s.interval.reason), "")
    if why:
        needs = f"{label(why)[0].upper()}{label(why)[1:]}."
    elif choice.open_cases is None:
        needs = "No affordable number of cases would decide it: the score lies on the goal."
    else:
        needs = f"About {choice.open_cases:,} cases would decide it (80 % power), {max(choice.open_cases - have, 1):,} more."
    return f"Neither is shown. Nearest: {who(nearest.combination)}, {scores}. {needs}"


# -- what else is shown ----------------------------------------------------------------------------------------------------------


def reasons(choice: Choice, reference: str | None) -> Iterator[Said]:
    if choice.best is not None:
        best = choice.row(choice.best)
        yield from _of_the_best(choice, best, reference)
    yield from _tuned(choice)
    for number, score in enumerate(choice.rows[0].targets):
        yield _best_candidate(choice, number, score.target)
        for candidate in dict.fromkeys(row.combination.candidate for row in choice.rows):
            if found := _gain(choice, candidate, number):
                yield found
    costly = [row for row in choice.rows if row.reach is Reach.REACHES and row.lost]
    if costly:
        yield Said(f"Reach the goal, and lose a protected capability: {_names(costly)}.", Tone.BAD)


def doubts(uncalibrated: Mapping[str, Sequence[str]]) -> Iterator[Said]:
    for capability, judges in uncalibrated.items():
        told = ", ".join(label(judge) for judge in judges)
        text = f"Judge uncalibrated: every number of {label(capability)} is the word of {told}."
        yield Said(f"{text} Label some cases (harness review) and run harness judge calibrate.", Tone.UNSURE)


def _of_the_best(choice: Choice, best: Tried, reference: str | None) -> Iterator[Said]:
    if best.protected and not best.unsure:
        names = ", ".join(label(row.capability) for row in best.protected)
        yield Said(f"It keeps what is protected: {names}.", Tone.GOOD)
    if best.unsure:
        told = ", ".join(f"{label(row.capability)}{_beside(row)}" for row in best.unsure)
        yield Said(f"Not shown to be kept, nor lost: {told}. The gate decides that.", Tone.UNSURE)
    if choice.cheapest != choice.best:
        cheap = choice.row(str(choice.cheapest))
        text = (
            f"Cheapest that reaches it: {who(cheap.combination)}, {tokens(cheap)} tokens a request instead of {tokens(best)} "
            f"({_scores(cheap)})."
        )
        yield Said(text, Tone.NEUTRAL)


def _beside(row: ProtectedScore) -> str:
    return f" {points(row.paired.delta)} {interval(row.paired.low, row.paired.high)}" if row.paired else ""


def _tuned(choice: Choice) -> Iterator[Said]:
    tuned = [row for row in choice.rows if row.combination.tuned]
    if not tuned or len(tuned) == len(choice.rows):
        return
    reaching = sorted((row for row in tuned if row.reach is Reach.REACHES), key=lambda row: (bool(row.lost), -row.mean))
    if not reaching:
        yield Said("Of the tuned candidates none is shown to reach the goal.", Tone.UNSURE)
        return
    first = reaching[0]
    lost = ", ".join(label(row.capability) for row in first.lost)
    price = f", at the price of {lost}" if lost else ""
    also = "Tuning reaches it, too" if choice.answer is Answer.PROMPT else "Tuning reaches it"
    yield Said(f"{also}: {who(first.combination)} ({_scores(first)}){price}.", Tone.BAD if lost else Tone.GOOD)


def _best_candidate(choice: Choice, number: int, target: str) -> Said:
    """By the candidates' best combinations; one that no combination may be best of is shown to be worse."""
    order = sorted(choice.rows, key=lambda row: (-(row.targets[number].interval.mean or 0.0), bool(row.lost)))
    candidates = list(dict.fromkeys(row.combination.candidate for row in order))
    may = {row.combination.candidate for row in choice.rows if row.targets[number].standing.may_be_best}
    first = next(name for name in candidates if name in may)
    rivals = [name for name in candidates if name in may and name != first]
    worse = [name for name in candidates if name not in may]
    top = next(row for row in order if row.combination.candidate == first)
    parts = [f"Best on {label(target)}: {who(top.combination)}, {hundred(top.targets[number].interval.mean)}"]
    ways = [row for row in order if row.combination.candidate == first and row.targets[number].standing.may_be_best]
    equal = len(ways) - (top in ways)
    if equal:
        parts.append(f"{plural(equal, 'other way', 'other ways')} to ask {first} cannot be told from it")
    if rivals:
        parts.append(
            f"neither can the best of {', '.join(rivals)}" if equal else f"the best of {', '.join(rivals)} cannot be told from it"
        )
    if worse:
        parts.append(f"shown to be worse, however asked: {', '.join(worse)}")
    return Said("; ".join(parts) + ".", Tone.NEUTRAL)


def _gain(choice: Choice, candidate: str, number: int) -> Said | None:
    changed = [row for row in choice.rows if row.combination.candidate == candidate and row.targets[number].gain]
    if not changed:
        return None
    top = max(changed, key=lambda row: row.targets[number].interval.mean or 0.0)
    score = top.targets[number]
    assert score.gain is not None
    gain = f"{points(score.gain.delta)} {interval(score.gain.low, score.gain.high)}"
    target = f" on {label(score.target)}" if len(choice.rows[0].targets) > 1 else ""
    head = f"What asking otherwise gives {candidate}{target}"
    if score.gain.low > 0.0:
        return Said(f"{head}: {gain}, with {way(top.combination)}.", Tone.GOOD)
    if all(gain_of.high < 0.0 for row in changed if (gain_of := row.targets[number].gain)):
        text = f"{head}: nothing; every change is shown to make it worse, the least one by {gain} ({way(top.combination)})."
        return Said(text, Tone.BAD)
    return Said(f"{head}: nothing that is shown; at best {gain}, with {way(top.combination)}.", Tone.UNSURE)


def steps(choice: Choice) -> Iterator[str]:
    if choice.failed:
        yield "Mend the server or the limits and run the same command again: what is stored is not asked again."
    elif choice.answer is Answer.PROMPT and choice.best:
        best = choice.row(choice.best)
        if best.combination.is_plain:
            yield "Nothing has to change for the target; `harness run` guards it from now on."
        else:
            place = f"candidates: {best.combination.candidate}: prompt:"
            yield f"Write it into the suite (`{place}`) and let the gate decide, on cases that chose nothing: `harness run`."
        yield f"Read its answers first: `harness report {best.run_id}`."
    elif choice.answer is Answer.TUNING:
        nearest = max(choice.untuned, key=lambda row: row.mean)
        ready = [row for row in choice.rows if row.combination.tuned and row.reach is Reach.REACHES and not row.lost]
        if ready:
            yield f"Let the gate judge what tuning made: `harness run SUITE -c {ready[0].combination.candidate}`."
        yield f"See why the nearest one fails: `harness report {nearest.run_id}`. What fails always needs data or a better base."
        if not ready:
            yield "Then tune (`harness train`), and ask the checkpoint here again as one more candidate."
    else:
        yield "Add cases of the target and run the same command again: what is stored is not asked again."
        yield "Fewer combinations share alpha among fewer: leave out what is far from the goal."
    if choice.split is Split.GATE:
        yield "These were gate cases: whatever was chosen here has seen the gate, which is no longer a blind test of it."


def partial(choice: Choice, limit: int | None) -> str:
    return f"A look at {plural(limit, 'case')} of each capability at most; the bounds count what was asked." if limit else ""


def note(choice: Choice, margins: Mapping[str, float], reference: str | None) -> str:
    level, k = f"{100 * (1 - choice.alpha):g} %", len(choice.rows)
    text = (
        f"Scores in points of 100, on the {choice.split} split. The lower bounds of all {k} combinations hold together with "
        f"{level}, and so do the upper ones: the best may be picked by its score, and its bound still holds."
    )
    if margins:
        told = ", ".join(f"{label(name)} {100 * margin:g}" for name, margin in margins.items())
        beside = f"{reference} as it is" if reference else "the same candidate as it is"
        text += f" Kept: shown not to be worse than {beside} by more than the margin ({told}); lost: shown to be."
    return text
