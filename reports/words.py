"""Verdicts and claims in words: what they mean and what to do next. Sentences only; the decision was made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import CapabilityComparison, Claim, Outcome, Reason, Role, RunRecord, Verdict, WaiverUse
from harness.waivers import CODES
from reports.nouns import CapabilityView, ReasonView, SeesawView, Tone, WaiverView
from reports.text import LABEL_CHARS, interval, label, plural, points

# Strongest first: the first claim that a capability shows gives its row its colour and mark.
_STRENGTH = (Claim.HARMED, Claim.REGRESSED, Claim.IMPROVED, Claim.EQUIVALENT, Claim.NOT_WORSE, Claim.UNDECIDED)
_TONE = {
    Claim.HARMED: (Tone.BAD, "\u25bc"),
    Claim.REGRESSED: (Tone.BAD, "\u25bd"),
    Claim.IMPROVED: (Tone.GOOD, "\u25b2"),
    Claim.EQUIVALENT: (Tone.NEUTRAL, "="),
    Claim.NOT_WORSE: (Tone.NEUTRAL, "\u2265"),
    Claim.UNDECIDED: (Tone.UNSURE, "?"),
}
OUTCOME_TONE = {Outcome.SHIP: Tone.GOOD, Outcome.OPTIMIZE: Tone.BAD, Outcome.INCONCLUSIVE: Tone.UNSURE}
_RANK = {Outcome.OPTIMIZE: 0, Outcome.INCONCLUSIVE: 1}
UNCALIBRATED = "judge uncalibrated"
_FREE = {"seesaw": Tone.UNSURE}  # reasons that block nothing and still are no good news


def strongest(claims: Sequence[Claim]) -> tuple[tuple[Claim, ...], Tone, str]:
    """The claims strongest first, with the tone and the mark of the first."""
    ordered = tuple(claim for claim in _STRENGTH if claim in claims) or (Claim.UNDECIDED,)
    return ordered, *_TONE[ordered[0]]


def remark(comparison: CapabilityComparison) -> str:
    """What must stand beside every number that a judge has made; nothing of rule checks."""
    if comparison.n_labelled:
        alone = f", {points(comparison.uncorrected.delta)} by the judge alone" if comparison.uncorrected else ""
        return f"corrected by {plural(comparison.n_labelled, 'labelled case')}{alone}"
    return UNCALIBRATED if comparison.uncalibrated else ""


def claims_in_words(claims: Sequence[Claim], margin: float) -> str:
    """``harmed: worse by more than the margin of 5.0``; what the strongest claim means."""
    bound = f"{100 * margin:.1f}"
    first = claims[0]
    if first is Claim.REGRESSED and Claim.NOT_WORSE in claims:
        return f"regressed, but by less than {bound}"
    return {
        Claim.HARMED: f"harmed: worse by more than {bound}",
        Claim.REGRESSED: "regressed",
        Claim.IMPROVED: "improved",
        Claim.EQUIVALENT: f"equivalent within \u00b1{bound}",
        Claim.NOT_WORSE: f"not worse by {bound}",
        Claim.UNDECIDED: "undecided",
    }[first]


def note(comparison: CapabilityComparison) -> str:
    """Why a capability is undecided and what would decide it; how far missing scores could move it."""
    parts = [label(comparison.reason, 300)] if comparison.reason else []
    paired = comparison.paired
    if paired and paired.reason and paired.reason != comparison.reason:
        parts.append(label(paired.reason, 300))
    if comparison.n_needed is not None:
        parts.append(f"about {plural(comparison.n_needed, 'case')} would decide it (80% power), it has {comparison.n_paired:,}")
    if comparison.worst and (comparison.missing_candidate or comparison.missing_baseline):
        worst = comparison.worst
        parts.append(
            f"with every missing score counted against the candidate: {points(worst.delta)} {interval(worst.low, worst.high)}"
        )
    return "; ".join(parts)


def reasons(verdict: Verdict) -> tuple[ReasonView, ...]:
    """The most blocking first; otherwise in the order that the decision gave them. Waivers are told of on their own."""
    told = [r for r in verdict.reasons if r.code not in CODES]
    ordered = sorted(told, key=lambda r: _RANK.get(r.blocks, 2) if r.blocks else 2)
    return tuple(_reason(reason) for reason in ordered)


def waivers(verdict: Verdict) -> tuple[WaiverView, ...]:
    """Those that were used first, then expired and unused ones: all of them, however many."""
    order = ("used", "expired", "unused")
    return tuple(_waiver(use) for use in sorted(verdict.waivers, key=lambda use: order.index(use.state)))


def _waiver(use: WaiverUse) -> WaiverView:
    waiver = use.waiver
    owner, why, day = label(waiver.owner, 80), label(waiver.reason, 300), label(waiver.expires, 20)
    capability, case = label(waiver.capability or ""), label(waiver.case or "")
    about = f"case {case}" if case else capability
    waived = label(use.waived, 400)
    line = {
        "used": f"waived by {owner} until {day} ({why}): {waived}",
        "expired": f"expired on {day}, no longer counts: the waiver of {owner} for {about} ({why})",
        "unused": f"not needed: the waiver of {owner} for {about}, until {day} ({why})",
    }[use.state]
    return WaiverView(use.state, capability, case, owner, why, day, waived, line)


def _reason(reason: Reason) -> ReasonView:
    blocks = reason.blocks.value if reason.blocks and reason.blocks in _RANK else ""
    tone = OUTCOME_TONE[reason.blocks] if reason.blocks and blocks else _FREE.get(reason.code, Tone.GOOD)
    return ReasonView(label(reason.code, 60), label(reason.text, 600), label(reason.capability or ""), blocks, tone)


def lead(run: RunRecord, verdict: Verdict | None) -> tuple[str, str, Tone]:
    """Headline, the sentence under it, and the tone."""
    if verdict is None:
        if run.status == "running":
            return "STILL RUNNING", "The run goes on; this is what is stored so far. There is no verdict yet.", Tone.UNSURE
        return "NO VERDICT", "This run has not been compared with a baseline: scores are shown, nothing is decided.", Tone.UNSURE
    if verdict.infrastructure:
        text = "The run cannot be judged as it stands: too much of it failed for reasons that are not the candidate's."
        return verdict.outcome.value, text, Tone.UNSURE
    waived = {use.waiver.capability for use in verdict.waivers if use.state != "expired"}  # of these nothing is promised
    protected = [c for c in verdict.comparisons if c.role is Role.PROTECTED and c.capability not in waived]
    risk = f"{100 * verdict.gate.alpha:g}%"
    of = plural(len(protected), "protected capability", "protected capabilities")
    safe = f"; the chance of a SHIP for a candidate that is worse by its margin on any of {of}"
    sentence = {
        Outcome.SHIP: f"Everything that had to be shown is shown{safe} is at most {risk}."
        if protected
        else "All that had to be shown is.",
        Outcome.OPTIMIZE: "Something is shown against this candidate. Do not ship it.",
        Outcome.INCONCLUSIVE: "Nothing is shown against this candidate, but not enough is shown for it.",
    }[verdict.outcome]
    return verdict.outcome.value, sentence, OUTCOME_TONE[verdict.outcome]


def next_steps(run: RunRecord, verdict: Verdict | None, rows: Sequence[CapabilityView]) -> tuple[str, ...]:
    """What a person does now, one step a line."""
    if verdict is None:
        if run.status == "running":
            return ("Wait for the run to end, then make this report again.",)
        return ("To get a verdict, compare this run with a baseline: name one in the suite, or `harness promote` a run.",)
    if verdict.infrastructure:
        return ("Look at the errors below, mend the server, and run the same command again: it goes on where it stopped.",)
    if verdict.outcome is Outcome.SHIP:
        return (f"Ship it. `harness promote {label(run.id)}` makes it the baseline of the next comparison.",)
    steps = []
    if rows and not any(c.paired for c in verdict.comparisons) and verdict.outcome is Outcome.INCONCLUSIVE:
        steps.append(f"If this run is to be the baseline, `harness promote {label(run.id)}`; then run the candidate.")
    if verdict.outcome is Outcome.OPTIMIZE:
        bad = [row for row in rows if row.tone is Tone.BAD]
        for row in bad[:5]:
            steps.append(f"Read what broke in {row.name} ({plural(row.n_broken, 'case')}), and train against it.")
        if any(row.tone is Tone.GOOD for row in rows) and bad:
            steps.append("The gains came with losses: mix examples of the damaged capabilities into the next training set.")
    had = {row.name: row.n_planned if verdict.gate.sequential else row.n_paired for row in rows}  # not: what was left unasked
    short = [row for row in rows if row.n_needed is not None and row.n_needed > had[row.name]]
    for row in short[:5]:
        steps.append(f"Add cases to {row.name}: it has {had[row.name]:,}, about {row.n_needed:,} would decide it.")
    if run.status != "complete":
        steps.append("Run the whole suite: a partial run never gives a SHIP.")
    return tuple(steps) or ("Read the reasons above, most blocking first.",)


def seesaw(verdict: Verdict, rows: Sequence[CapabilityView]) -> SeesawView | None:
    """The gains and losses of one comparison, sorted, with the sentence that names the seesaw."""
    drawn = tuple(sorted((r for r in rows if r.delta is not None), key=lambda r: (-(r.delta or 0.0), r.name)))
    if not drawn:
        return None
    up = tuple(label(name) for s in verdict.seesaws for name in s.gains)
    down = tuple(label(name) for s in verdict.seesaws for name in s.losses)
    by_name = {row.name: row for row in drawn}
    if up and down:
        text = f"Seesaw: {_named(up, by_name)} went up while {_named(down, by_name)} went down."
    elif up or down:
        text = f"No seesaw: {_named(up or down, by_name)} went {'up' if up else 'down'}, nothing is shown to go the other way."
    else:
        text = "No seesaw is shown: there is no capability shown to go up together with one shown to go down."
    fdr = verdict.seesaws[0].fdr if verdict.seesaws else verdict.gate.fdr
    text += f" (False discovery rate {100 * fdr:g}%, Benjamini-Hochberg.)"
    return SeesawView(bool(up and down), text, up, down, drawn)


def _named(names: Sequence[str], rows: dict[str, CapabilityView]) -> str:
    shown = [f"{name} ({rows[name].delta_shown})" if name in rows else name for name in names[:6]]
    more = len(names) - len(shown)
    if more:
        shown.append(f"{more} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def interval_note(verdict: Verdict) -> str:
    alpha = verdict.gate.alpha
    if verdict.gate.sequential:
        return (
            "Scores in percent of the cases that were asked, differences in percentage points. The run stopped when it was "
            f"decided; each bound of the interval holds at {100 * (1 - alpha):g}% wherever it had stopped, and is wider for it. "
            "A capability is not worse when its lower bound has passed minus its margin."
        )
    bounds = f"two one-sided {100 * (1 - alpha):g}% bounds (together {100 * (1 - 2 * alpha):g}%)"
    return (
        f"Scores in percent, differences in percentage points. The interval is made of {bounds}; "
        "a capability is not worse when its lower bound is above minus its margin."
    )


def title(run: RunRecord, verdict: Verdict | None) -> str:
    head = verdict.outcome.value if verdict else ("running" if run.status == "running" else "run")
    return label(f"{head}: {run.candidate.name} on {run.suite_name}", LABEL_CHARS)
