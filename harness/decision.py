"""Comparisons + gate -> verdict: SHIP, OPTIMIZE or INCONCLUSIVE, with the reasons a release manager reads.

SHIP needs everything: each protected capability shown not worse (each at alpha: an intersection-union test, so the chance to ship
a candidate that is worse by its margin on any of them stays at or under alpha), the targets' gain shown, every hard gate passed,
the denominator closed, and all of it also with each missing candidate score 0 and each missing baseline score 1. OPTIMIZE needs
something shown against the candidate. Everything else is INCONCLUSIVE, and says what would decide it. It fails closed: what
was not measured never counts for the candidate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date

from harness.comparison import DECIDED, NO_BASELINE
from harness.errors import UsageError
from harness.hardgates import floors, judge_floors, latency, must_pass, remark, served
from harness.model import (
    CapabilityComparison,
    Gate,
    Ledger,
    Outcome,
    PairedComparison,
    Reason,
    Role,
    RunFacts,
    Seesaw,
    SliceComparison,
    Verdict,
)
from harness.statistics import benjamini_hochberg, claims_of, holm
from harness.waivers import active, waive

JUDGE_ERROR = "judge-error"  # why an answer is unscored whose judge could not be asked; running again asks it again
_FIRST = {Outcome.OPTIMIZE: 0, Outcome.INCONCLUSIVE: 1, Outcome.SHIP: 2, None: 3}


def decide(
    comparisons: Iterable[CapabilityComparison],
    gate: Gate,
    facts: RunFacts | None = None,
    *,
    today: date | None = None,
    slices: Sequence[SliceComparison] = (),
) -> Verdict:
    """The verdict over all capabilities. facts: ledgers, floors' scores and latencies; without them, gates on them cannot pass.

    slices: parts of the capabilities; they ask for nothing of their own, but are tested for a seesaw together with them. today:
    the day (UTC) that waivers must hold on; needed when the gate has some. UsageError when comparisons were made at another alpha
    than the gate's, repeat a capability, or the gate is not valid.
    """
    compared = tuple(comparisons)
    _check(compared, gate)
    holding = active(gate.waivers, today)
    seesaw = find_seesaw(compared, gate.fdr, slices)
    broken = list(_infrastructure(facts, gate)) if facts else []
    reasons = [
        *broken,
        *_completeness(compared, gate, facts),
        *_protected(compared, gate),
        *_targets(compared, gate),
        *must_pass(compared, holding.cases),
        *floors(compared, gate, facts),
        *latency(gate, facts),
        *served(gate, facts),
        *judge_floors(compared, gate),
        *(_unscored_budget(facts.candidate, gate) if facts else ()),
        *_seesaw_reasons(compared, slices, seesaw, gate, holding.capabilities),
    ]
    reasons, waivers = waive(reasons, compared, gate.waivers, today)
    return Verdict(
        outcome=Outcome.INCONCLUSIVE if broken else _outcome(reasons),
        reasons=tuple(sorted(reasons, key=lambda reason: (reason not in broken, _FIRST[reason.blocks]))),
        claims={c.capability: claims_of(c.paired) for c in compared},
        seesaws=(seesaw,) if seesaw else (),
        comparisons=compared,
        gate=gate,
        infrastructure=bool(broken),
        waivers=waivers,
        slices=tuple(slices),
    )


def find_seesaw(comparisons: Sequence[CapabilityComparison], fdr: float, slices: Sequence[SliceComparison] = ()) -> Seesaw | None:
    """At least one shown gain and one shown loss among all capabilities and slices: two-sided tests, Benjamini-Hochberg at
    ``fdr`` over all of them."""
    named = [*((c.capability, c.paired) for c in comparisons), *((s.name, s.paired) for s in slices)]
    tested = [(name, paired) for name, paired in named if paired is not None and paired.method != "undecided"]
    adjusted = benjamini_hochberg([min(1.0, 2.0 * min(p.p_improved, p.p_regressed)) for _, p in tested])
    shown = [(name, p.delta) for (name, p), q in zip(tested, adjusted, strict=True) if q <= fdr]
    gains = tuple(name for name, delta in shown if delta > 0.0)
    losses = tuple(name for name, delta in shown if delta < 0.0)
    return Seesaw(gains, losses, fdr) if gains and losses else None


def _check(comparisons: Sequence[CapabilityComparison], gate: Gate) -> None:
    if gate.targets not in ("all", "any"):
        raise UsageError(f"gate.targets is {gate.targets!r}", todo="Use all or any")
    if gate.seesaw not in ("report", "forbid"):
        raise UsageError(f"gate.seesaw is {gate.seesaw!r}", todo="Use report or forbid")
    if not 0.0 < gate.alpha < 0.5 or not 0.0 < gate.fdr < 1.0:
        raise UsageError(f"gate.alpha is {gate.alpha} and gate.fdr {gate.fdr}", todo="Use values such as 0.05 and 0.10")
    names = [c.capability for c in comparisons]
    if len(set(names)) < len(names):
        raise UsageError("a capability is compared twice", todo="Give decide one comparison per capability")
    for c in comparisons:
        if any(p is not None and abs(p.alpha - gate.alpha) > 1e-12 for p in (c.paired, c.worst)):
            raise UsageError(
                f"capability {c.capability!r} was compared at another alpha than the gate's {gate.alpha}",
                todo="Compare again with this gate",
            )


def _outcome(reasons: Sequence[Reason]) -> Outcome:
    argued = {reason.blocks for reason in reasons}
    return next((outcome for outcome in (Outcome.OPTIMIZE, Outcome.INCONCLUSIVE) if outcome in argued), Outcome.SHIP)


def _infrastructure(facts: RunFacts, gate: Gate) -> Iterator[Reason]:
    """Why the run cannot be judged at all (exit code 4), whatever the scores say."""
    for side, ledger in (("candidate", facts.candidate), ("baseline", facts.baseline)):
        if not ledger.closed:
            counted = ledger.scored + ledger.n_unscored + ledger.n_errored + ledger.n_skipped
            text = f"the {side}'s books do not close: {ledger.planned} planned, {counted} accounted for"
            yield Reason("ledger-open", text, blocks=Outcome.INCONCLUSIVE)
        asked = ledger.planned - _spared(ledger, gate)
        if asked and ledger.n_errored / asked > gate.max_error_rate:
            text = (
                f"{ledger.n_errored} of {asked} requests to the {side} failed ({_causes(ledger.errored)}), "
                f"more than the {gate.max_error_rate:.1%} this gate allows: mend the serving and run again"
            )
            yield Reason("error-budget", text, blocks=Outcome.INCONCLUSIVE)
        unasked = ledger.unscored.get(JUDGE_ERROR, 0)
        if asked and unasked / asked > gate.max_error_rate:
            text = (
                f"{unasked} of {asked} answers of the {side} could not be judged because requests to a judge failed, "
                f"more than the {gate.max_error_rate:.1%} this gate allows: mend the judge's serving and run again"
            )
            yield Reason("judge-error-budget", text, blocks=Outcome.INCONCLUSIVE)


def _spared(ledger: Ledger, gate: Gate) -> int:
    """Requests that a sequential run left out because nothing depended on them any more: neither missing nor asked."""
    return ledger.skipped.get(DECIDED, 0) if gate.sequential else 0


def _completeness(comparisons: Sequence[CapabilityComparison], gate: Gate, facts: RunFacts | None) -> Iterator[Reason]:
    """What keeps any verdict from being a SHIP before scores are looked at."""
    inconclusive = Outcome.INCONCLUSIVE
    if (facts is not None and facts.candidate.planned == 0) or (comparisons and not any(c.n_planned for c in comparisons)):
        yield Reason("no-cases", "no case of the gate split was planned, so nothing was compared", blocks=inconclusive)
    if not comparisons or all(c.paired is None and c.reason == NO_BASELINE for c in comparisons):
        text = "there is no baseline to compare with: promote a first run with `harness promote RUN`, then run again"
        yield Reason("no-baseline", text, blocks=inconclusive)
    elif not any(c.role in (Role.TARGET, Role.PROTECTED) for c in comparisons):
        text = "no capability is a target or protected, so nothing could decide: give at least one of them such a role"
        yield Reason("nothing-decides", text, blocks=inconclusive)
    if facts is None:
        return
    if facts.partial:
        why = facts.partial_reason or "limited, filtered or interrupted"
        yield Reason("partial", f"the run is partial ({why}), and a partial run never ships", blocks=inconclusive)
    elif skipped := facts.candidate.n_skipped - _spared(facts.candidate, gate):
        text = f"{skipped} of {facts.candidate.planned} planned requests were never made: run again to finish"
        yield Reason("partial", text, blocks=inconclusive)


def _protected(comparisons: Sequence[CapabilityComparison], gate: Gate) -> Iterator[Reason]:
    for c in comparisons:
        if c.role is not Role.PROTECTED or c.reason == NO_BASELINE:
            continue
        name, paired, worst = f"protected capability {c.capability!r}", c.paired, _worst(c)
        if paired is None or paired.method == "undecided":
            yield _unknown(c, name)
        elif paired.p_harmed <= gate.alpha:
            yield Reason("harmed", f"{name} is harmed: {_numbers(c, paired)}", c.capability, Outcome.OPTIMIZE)
        elif paired.p_not_worse > gate.alpha:
            text = f"{name} is not shown to be not worse: {_numbers(c, paired)}; {_more(c, paired)}"
            yield Reason("not-shown", text, c.capability, Outcome.INCONCLUSIVE)
        elif worst is None or worst.p_not_worse > gate.alpha:
            yield _missing(c, f"{name} is shown not worse")
        elif c.uncalibrated and not gate.trust_uncalibrated:
            yield _untrusted(c, f"{name} is not worse: {_numbers(c, paired)}")
        else:
            yield Reason("not-worse", f"{name} is not worse: {_numbers(c, paired)}", c.capability, Outcome.SHIP)


def _targets(comparisons: Sequence[CapabilityComparison], gate: Gate) -> Iterator[Reason]:
    """all: each target shown to gain, at alpha each. any: at least one, by Holm over the targets."""
    targets = [c for c in comparisons if c.role is Role.TARGET and c.reason != NO_BASELINE]
    measured = [_p_gain(c.paired, gate.min_gain) for c in targets]
    bounded = [_p_gain(_worst(c), gate.min_gain) for c in targets]
    if gate.targets == "any":
        measured, bounded = holm(measured).tolist(), holm(bounded).tolist()
    met = [p <= gate.alpha for p in measured]
    firm = [is_met and p <= gate.alpha for is_met, p in zip(met, bounded, strict=True)]
    enough = gate.targets == "any" and any(firm)
    all_short = all(_is_short(c.paired, gate) for c in targets)
    for c, is_met, is_firm in zip(targets, met, firm, strict=True):
        reason = _target(c, gate, is_met, is_firm)
        if reason.code == "target-short" and gate.targets == "any" and not all_short:
            reason = Reason(reason.code, reason.text, reason.capability, Outcome.INCONCLUSIVE)
        if enough and reason.blocks is not Outcome.SHIP:
            reason = Reason(reason.code, reason.text, reason.capability, None)  # another target carries the requirement
        yield reason


def _target(c: CapabilityComparison, gate: Gate, is_met: bool, is_firm: bool) -> Reason:
    name, paired = f"target capability {c.capability!r}", c.paired
    wanted = f"a gain of {gate.min_gain:.3g}" if gate.min_gain else "a gain"
    if paired is None or paired.method == "undecided":
        return _unknown(c, name)
    if is_firm:
        return Reason("target-met", f"{name} is shown to have {wanted}: {_numbers(c, paired)}", c.capability, Outcome.SHIP)
    if is_met:
        return _missing(c, f"{name} is shown to have {wanted}")
    if _is_short(paired, gate):
        text = f"{name} is shown to fall short of {wanted}: {_numbers(c, paired)}"
        return Reason("target-short", text, c.capability, Outcome.OPTIMIZE)
    text = f"{name} is not shown to have {wanted}: {_numbers(c, paired)}; {_more(c, paired)}"
    return Reason("target-not-shown", text, c.capability, Outcome.INCONCLUSIVE)


def _is_short(paired: PairedComparison | None, gate: Gate) -> bool:
    """H0: delta >= min_gain is rejected."""
    if paired is None or paired.method == "undecided":
        return False
    return paired.p_regressed <= gate.alpha if gate.min_gain == 0.0 else paired.high < gate.min_gain


def _p_gain(paired: PairedComparison | None, gain: float) -> float:
    """p-value of H0: delta <= gain. A comparison made without that gain still has its bound: then alpha or 1."""
    if paired is None or paired.method == "undecided":
        return 1.0
    if gain == 0.0:
        return paired.p_improved
    if paired.gain == gain:
        return paired.p_gain
    return paired.alpha if paired.low >= gain else 1.0


def _unscored_budget(ledger: Ledger, gate: Gate) -> Iterator[Reason]:
    """What the candidate's answers made impossible to score is held against it; what its judges failed to say is not."""
    asked = ledger.planned - _spared(ledger, gate)
    judges = {reason: count for reason, count in ledger.unscored.items() if is_judges(reason)}
    answers = {reason: count for reason, count in ledger.unscored.items() if reason not in judges}
    for counts, code, who, outcome in (
        (answers, "unscored-budget", "could not be scored", Outcome.OPTIMIZE),
        (judges, "judge-budget", "got no verdict from a judge", Outcome.INCONCLUSIVE),
    ):
        count = sum(counts.values())
        if asked and count / asked > gate.max_unscored_rate:
            limit = f"more than the {gate.max_unscored_rate:.1%} this gate allows"
            text = f"{count} of {asked} answers {who} ({_causes(counts)}), {limit}"
            yield Reason(code, text, blocks=outcome)


def is_judges(reason: str) -> bool:
    """Whether an answer is unscored because of its judge, and not because of what it says."""
    return reason.startswith(("judge-", "recorded-")) or reason in ("no-record", "no-baseline")


def _seesaw_reasons(
    comparisons: Sequence[CapabilityComparison],
    slices: Sequence[SliceComparison],
    seesaw: Seesaw | None,
    gate: Gate,
    waived: Collection[str],
) -> Iterator[Reason]:
    """A forbidden seesaw blocks, unless each of its losses is waived; a capability's waiver holds for its slices."""
    if seesaw is None:
        return
    by_name = {c.capability: c.paired for c in comparisons} | {s.name: s.paired for s in slices}
    waived = {*waived, *(s.name for s in slices if s.capability in waived)}
    up, down = (
        ", ".join(f"{name!r} {_delta(paired)}" for name in names if (paired := by_name[name]) is not None)
        for names in (seesaw.gains, seesaw.losses)
    )
    forbidden = gate.seesaw == "forbid" and not set(seesaw.losses) <= set(waived)
    text = f"a seesaw{', which this gate forbids' if forbidden else ''}: up {up}; down {down}"
    yield Reason("seesaw", text, blocks=Outcome.OPTIMIZE if forbidden else None)


def _worst(c: CapabilityComparison) -> PairedComparison | None:
    """The comparison with missing scores at their worst; the plain one only when nothing is missing."""
    return c.worst if c.worst is not None or c.missing_candidate or c.missing_baseline else c.paired


def _unknown(c: CapabilityComparison, name: str) -> Reason:
    why = (c.paired.reason if c.paired else c.reason) or "it was not compared"
    return Reason("undecided", f"nothing can be said about {name}: {why}", c.capability, Outcome.INCONCLUSIVE)


def _missing(c: CapabilityComparison, claim: str) -> Reason:
    text = (
        f"{claim}, but only without the missing scores (candidate {c.missing_candidate}, baseline {c.missing_baseline} of "
        f"{c.n_planned} cases): with each at its worst it does not hold. Run again to fill them in"
    )
    return Reason("missing-scores", text, c.capability, Outcome.INCONCLUSIVE)


def _untrusted(c: CapabilityComparison, claim: str) -> Reason:
    names = ", ".join(repr(name) for name in c.uncalibrated)
    text = (
        f"{claim}; but that is the word of {names}, and a judge that was never held against people can block, not pass: "
        "label some cases (harness review) and run harness judge calibrate, or set gate.trust_uncalibrated"
    )
    return Reason("judge-uncalibrated", text, c.capability, Outcome.INCONCLUSIVE)


def _numbers(c: CapabilityComparison, paired: PairedComparison) -> str:
    means = ""
    if c.baseline_mean is not None and c.candidate_mean is not None:
        means = f"{c.baseline_mean:.3g} -> {c.candidate_mean:.3g}, "
    return f"{means}{_delta(paired)}, margin {c.margin:.3g}, {paired.n} cases{remark(c)}"


def _delta(paired: PairedComparison | None) -> str:
    return "" if paired is None else f"{paired.delta:+.3f} [{paired.low:+.3f}, {paired.high:+.3f}]"


def _more(c: CapabilityComparison, paired: PairedComparison) -> str:
    if c.n_needed is None:
        return "the truth seems to lie so near the limit that no affordable number of cases would decide it"
    extra = max(c.n_needed - paired.n, 1)
    return f"about {c.n_needed} cases would decide it, {extra} more, which is {2 * extra} requests (both models, per sample)"


def _causes(counts: Mapping[str, int]) -> str:
    items = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {cause}" for cause, count in items[:3]) or "no cause recorded"
