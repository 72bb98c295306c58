"""The judges of a run in words: who they are, how far people stand behind them, what they did, and what a person should look at.

What judges wrote and what they are called is foreign text, like everything a model says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.judgestats import SPEAKS, JudgeSummary, PanelSummary, summarise
from harness.model import Estimate, JudgeStanding, RunRecord, Verdict
from reports import words
from reports.nouns import Fact, JudgeView, Tone
from reports.source import ReportSource
from reports.text import UNKNOWN, label, plain, plural, seconds

_DRIFT = 5  # canaries told of
_AMONG_MEMBERS = "Spread over its members"


def remarks(verdict: Verdict | None) -> dict[str, str]:
    """Capability -> what must stand beside every number of it: nothing, unless a judge has made it."""
    found = {label(c.capability): words.remark(c) for c in (verdict.comparisons if verdict else ())}
    return {name: text for name, text in found.items() if text}


def side_remarks(verdict: Verdict | None) -> dict[str, str]:
    """The same for figures that labels do not correct: slices, flips, history."""
    found = {}
    for c in verdict.comparisons if verdict else ():
        if c.n_labelled or c.uncalibrated:
            found[label(c.capability)] = "by the judge alone" if c.n_labelled else words.UNCALIBRATED
    return found


def views(source: ReportSource, run: RunRecord, base: RunRecord | None, verdict: Verdict | None) -> tuple[JudgeView, ...]:
    """One for each judge of the run; nothing is read where it has none."""
    kept = run.provenance.get("judging")
    if not isinstance(kept, Mapping) or not kept.get("judges"):
        return ()
    ours, theirs = summarise(source.judgments(run.id)), summarise(source.judgments(base.id)) if base else {}
    standing = {s.judge: s for c in (verdict.comparisons if verdict else ()) for s in c.judges}
    found = []
    for name, about in kept["judges"].items():
        asked = [label(cap) for cap, names in kept.get("capabilities", {}).items() if name in names]
        mine, other = ours.get(name, JudgeSummary(name)), theirs.get(name, JudgeSummary(name)) if base else None
        who = (name, *about.get("members", ()))
        drift = [*_canaries(who, run), *(_canaries(who, base) if base else ())]
        view = _view(name, about, asked, standing.get(name), mine, other, drift)
        held = [_held(who, one) for one in (run, base) if one]
        found.append(replace(view, facts=(*view.facts, *_canary_facts(*held))))
    return tuple(found)


def _view(
    name: str,
    about: Mapping[str, Any],
    capabilities: Sequence[str],
    standing: JudgeStanding | None,
    ours: JudgeSummary,
    theirs: JudgeSummary | None,
    drift: Sequence[str],
) -> JudgeView:
    calibrated = standing is not None and standing.kappa is not None
    told = _standing(standing)
    warnings = (*dict.fromkeys(drift), *_speaking(ours, "candidate"), *(_speaking(theirs, "baseline") if theirs else ()))
    parts = [f"{plural(ours.n, 'verdict')}, {_share(ours.unparsed)} unreadable or missing"]
    if ours.position is not None:
        parts.append(f"winner changed with the order in {_share(ours.position.value)} of pairs")
    if warnings:
        parts.append(plural(len(warnings), "warning"))
    return JudgeView(
        name=label(name),
        about=_about(about),
        capabilities=tuple(capabilities),
        calibrated=calibrated,
        standing=told,
        facts=tuple(_facts(ours, theirs)),
        warnings=tuple(label(text, 300) for text in warnings),
        tone=Tone.NEUTRAL if calibrated and not warnings else Tone.UNSURE,
        line=f"judge {label(name, 40)}: {told}; {'; '.join(parts)}",
    )


def _about(about: Mapping[str, Any]) -> str:
    models = ", ".join(dict.fromkeys(label(model.get("model", ""), 80) for model in about.get("models", ())))
    rubric = f"rubric {label(about['rubric'], 80)}" if about.get("rubric") else ""
    digest = f"digest {label(about.get('digest', ''), 40)[:12]}"
    return ", ".join(part for part in (label(about.get("kind", ""), 40), models, rubric, digest) if part)


def _standing(standing: JudgeStanding | None) -> str:
    if standing is None or standing.kappa is None:
        return "uncalibrated" if standing else "decides nothing here"
    kappa = standing.kappa
    bounds = f" [{kappa.low:.2f}, {kappa.high:.2f}]" if kappa.low is not None and kappa.high is not None else ""
    return f"agrees with people at kappa {kappa.value:.2f}{bounds} on {plural(standing.n_labels, 'labelled case')}"


def _canaries(who: Sequence[str], run: RunRecord) -> Iterator[str]:
    """Answers of known quality that a judge, or a member of its panel, judged otherwise than they should have been."""
    kept = run.provenance.get("judging")
    moved = [
        canary
        for canary in (kept.get("canaries", ()) if isinstance(kept, Mapping) else ())
        if canary.get("judge") in who and canary.get("state") != "held"
    ]
    yield from (label(canary.get("text", ""), 200) for canary in moved[:_DRIFT])
    if len(moved) > _DRIFT:
        yield f"{len(moved) - _DRIFT} more canaries of judge {label(who[0], 40)} moved"


def _held(who: Sequence[str], run: RunRecord) -> tuple[int, int]:
    """Canaries of a judge and of its members that held in a run, and how many there were."""
    kept = run.provenance.get("judging")
    states = [c.get("state") for c in (kept.get("canaries", ()) if isinstance(kept, Mapping) else ()) if c.get("judge") in who]
    return states.count("held"), len(states)


def _canary_facts(ours: tuple[int, int], theirs: tuple[int, int] = (0, 0)) -> Iterator[Fact]:
    if ours[1] or theirs[1]:
        mine, other = (f"{held} of {of}" if of else UNKNOWN for held, of in (ours, theirs))
        yield Fact("canaries", "Answers of known quality judged as expected", mine, other, mine, other)


def _speaking(summary: JudgeSummary, who: str) -> Iterator[str]:
    """Answers that speak to whoever judges them. The pair's other answer is told of where it was judged itself."""
    count = summary.flags.get(SPEAKS, 0)
    if count:
        kinds = [flag.partition(":")[2] for flag in summary.flags if flag.startswith(f"{SPEAKS}:")]
        why = f" ({', '.join(kinds[:4])})" if kinds else ""
        cases = ", ".join(label(case, 40) for case in summary.speaking)
        more = ", ..." if count > len(summary.speaking) else ""
        verb = "speaks" if count == 1 else "speak"
        yield f"{plural(count, 'answer')} of the {who} {verb} to the judge{why}; read them: {cases}{more}"


def _facts(ours: JudgeSummary, theirs: JudgeSummary | None) -> Iterator[Fact]:
    """Only figures that one of the two runs has."""
    panel = ours.panel or (theirs.panel if theirs else None)
    for key, name in _FIGURES:
        name = _AMONG_MEMBERS if panel and key == "spread" else name
        mine, other = _figure(ours, key), _figure(theirs, key) if theirs else (None, "")
        if mine[0] is not None or other[0] is not None:
            yield Fact(key, name, mine[0], other[0], mine[1], other[1])
    yield from _panel_facts(ours.panel, theirs.panel if theirs else None)
    for kind, said, counts, others in (
        ("unscored", "No verdict: ", ours.unscored, theirs.unscored if theirs else {}),
        ("mode", "Read as ", ours.modes, theirs.modes if theirs else {}),
        ("flag", "Noticed: ", ours.flags, theirs.flags if theirs else {}),
    ):
        for reason in dict.fromkeys([*counts, *others]):
            if ":" not in reason:  # such a flag's kind is told of in the warning
                name = label(reason, 60)
                yield _count(f"{kind}.{name}", said + name, _times(ours, counts, reason), _times(theirs, others, reason))


def _panel_facts(ours: PanelSummary | None, theirs: PanelSummary | None) -> Iterator[Fact]:
    """How far a panel's members agree with one another, and which of them stands apart."""
    if not (panel := ours or theirs):
        return
    yield _estimates("alpha", "Its members agree (Krippendorff's alpha)", *(p.alpha if p else None for p in (ours, theirs)))
    for index, member in enumerate(panel.members):
        name = label(member.judge, 40)
        mine, other = (p.members[index] if p else None for p in (ours, theirs))
        agrees = (one.agrees if one else None for one in (mine, other))
        yield _estimates(f"member.{name}.agrees", f"{name} says what other members say", *agrees, share=True)
        if any(one and one.unparsed for one in (mine, other)):
            ours_missing, theirs_missing = (one.unparsed if one else None for one in (mine, other))
            shown = _share(ours_missing), _share(theirs_missing)
            yield Fact(f"member.{name}.unparsed", f"{name} without a verdict", ours_missing, theirs_missing, *shown)


def _estimates(key: str, name: str, ours: Estimate | None, theirs: Estimate | None, *, share: bool = False) -> Fact:
    mine, other = (one.value if one else None for one in (ours, theirs))
    return Fact(key, name, mine, other, _with_interval(ours, share=share), _with_interval(theirs, share=share))


def _with_interval(found: Estimate | None, *, share: bool) -> str:
    if found is None or found.value is None:
        return UNKNOWN
    scale, digits = (100.0, 1) if share else (1.0, 2)
    low, high = found.low, found.high
    bounds = "" if low is None or high is None else f" [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
    return f"{scale * found.value:.{digits}f}{'%' if share else ''}{bounds}"


def _times(summary: JudgeSummary | None, counts: Mapping[str, int], reason: str) -> int | None:
    return counts.get(reason, 0) if summary and summary.n else None


def _count(key: str, name: str, ours: int | None, theirs: int | None) -> Fact:
    shown = [UNKNOWN if count is None else f"{count:,}" for count in (ours, theirs)]
    return Fact(key, name, ours, theirs, *shown)


_FIGURES = (
    ("n", "Answers to judge"),
    ("unparsed", "Without a verdict"),
    ("wins", "Win rate against the baseline, a tie is half"),
    ("wins_even", "Win rate if answers were of one length"),
    ("position", "Winner changed with the order"),
    ("reward", "Mean reward, on the model's own scale"),
    ("spread", "Spread over its own samples (test against retest)"),
    ("outside", "Largest probability outside the menu"),
    ("sent", "Questions really asked"),
    ("stored", "Replies that were stored before"),
    ("prompt_tokens", "Prompt tokens of all replies"),
    ("completion_tokens", "Verdict tokens of all replies"),
    ("seconds", "Seconds of all replies, waiting included"),
)


def _figure(summary: JudgeSummary, key: str) -> tuple[float | int | None, str]:
    """A figure and how it is shown; None: there is none."""
    if key == "stored":
        return (summary.requests - summary.sent, f"{summary.requests - summary.sent:,}") if summary.n else (None, UNKNOWN)
    value = getattr(summary, key)
    if value is None or (not summary.n and key != "n"):
        return None, UNKNOWN
    if isinstance(value, Estimate):
        return value.value, _with_interval(value, share=True)
    if key in ("unparsed", "outside"):
        return value, _share(value)
    if key == "reward":
        return value, f"{value:+.2f}"
    if key == "seconds":
        return round(value, 3), seconds(value)
    if key == "spread":
        return value, f"{plain(float(value))} over {plural(summary.spread_n, 'answer')}"
    return value, f"{value:,}"


def _share(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.1f}%"
