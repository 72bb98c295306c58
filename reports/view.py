"""The store, read once into a frozen ReportView. All arranging, cutting and wording happens on the way; renderers only render."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.model import (
    CapabilityComparison,
    ItemStatus,
    Label,
    Ledger,
    Role,
    RunRecord,
    ScoreRow,
    SliceComparison,
    Split,
    Verdict,
)
from reports import diagnosis, evidence, history, judges, people, power, sequences, slices, trainings, words
from reports.evidence import Limits
from reports.nouns import CapabilityView, CaseGroup, CaseLine, EvidenceView, Fact, LedgerPart, LedgerView, PeopleView, ReportView
from reports.source import ReportSource
from reports.text import (
    UNKNOWN,
    address,
    interval,
    is_secret,
    label,
    moment,
    percent,
    plain,
    plural,
    points,
    seconds,
)

if TYPE_CHECKING:
    from harness.store.trainings import Training

__all__ = ["Limits", "ReportSource", "ReportView", "build"]

_MAX_FACTS = 80
_SERVING = ("work", "server", "served")  # provenance keys that are figures of generation and of the model server
_ELSEWHERE = (*_SERVING, "judging")  # provenance keys that have a section of their own

# Figures that the store's query gives, in the order shown.
_TIMINGS = {
    "n": "Answers",
    "n_cached": "Answers from an earlier run",
    "prompt_tokens": "Prompt tokens",
    "completion_tokens": "Completion tokens",
    "total_p50_s": "Latency p50",
    "total_p95_s": "Latency p95",
    "ttft_p50_s": "Time to first token p50",
    "ttft_p95_s": "Time to first token p95",
    "tpot_p50_s": "Time per output token p50",
    "tpot_p95_s": "Time per output token p95",
}


def build(
    source: ReportSource,
    run_id: str,
    baseline_id: str | None = None,
    *,
    limits: Limits | None = None,
    asked: Sequence[SliceComparison] | None = None,
    labels: Sequence[Label] = (),
    training: tuple[Training, int | None, int] | None = None,
) -> ReportView:
    """The report of one run, compared as its stored verdict compared it.

    baseline_id: insist on the comparison with this run; UsageError when the stored verdict is about another one. asked: slices
    that were made for this report, instead of those of the verdict. labels: what people said of this run, with its history.
    training: the one that its candidate came of, the step if that is one of its checkpoints, and how many cases its rows come of.
    """
    limits = limits or Limits()
    run = source.run(run_id)
    wanted = source.run(baseline_id).id if baseline_id else None
    decided = source.verdict(run.id, wanted)
    if wanted and (decided is None or decided.baseline_run_id != wanted):
        raise UsageError(f"run {run.id} has no stored verdict against run {wanted}", todo="Compare the two runs first")
    verdict = decided.verdict if decided else None
    base = source.run(decided.baseline_run_id) if decided and decided.baseline_run_id else None
    runs = [("candidate", run)] + ([("baseline", base)] if base else [])
    missing = {r.id: [row for row in _examined(source, r.id) if row.status is not ItemStatus.SCORED] for _, r in runs}
    comparisons = verdict.comparisons if verdict else ()
    lines = evidence.case_lines(_examined(source, run.id), _examined(source, base.id) if base else (), comparisons)
    roles = {c.capability: c.role for c in comparisons}
    capabilities = tuple(_compared(c) for c in comparisons) if base else _alone(lines, roles)
    cases = diagnosis.cases(source, run, _examined(source, run.id), limits)
    opened = evidence.groups(source, run.id, base.id if base else None, lines, roles, limits)
    opened = people.beside(opened, labels, run, base)
    examples, more = evidence.troubles(source, [(who, record.id) for who, record in runs], missing, limits)
    headline, lead, tone = words.lead(run, verdict)
    return ReportView(
        title=words.title(run, verdict),
        run_id=label(run.id),
        baseline_id=label(base.id) if base else "",
        suite=label(run.suite_name),
        candidate=label(run.candidate.name),
        baseline_name=label(base.candidate.name) if base else "",
        status=label(run.status),
        outcome=verdict.outcome if verdict else None,
        infrastructure=verdict.infrastructure if verdict else False,
        tone=tone,
        headline=headline,
        lead=lead,
        reasons=words.reasons(verdict) if verdict else (),
        waivers=words.waivers(verdict) if verdict else (),
        power=power.rows(verdict) if verdict and base else (),
        noise=power.noise(source.noise(run.suite_name)),
        next_steps=words.next_steps(run, verdict, capabilities),
        partial=_partial(run),
        capabilities=capabilities,
        interval_note=words.interval_note(verdict) if verdict and base else "Scores in percent.",
        seesaw=words.seesaw(verdict, capabilities) if verdict else None,
        groups=opened,
        opened_note=_opened_note(run, opened),
        ledgers=tuple(_ledger(who, record, source.ledger(record.id)) for who, record in reversed(runs)),
        troubles=examples,
        troubles_left_out=more,
        serving=_serving(source, run, base),
        provenance=_provenance(run, base),
        cases=evidence.packed(_clean(line) for line in lines),
        evidence=_sequences(source, verdict, run, base) if verdict and base else (),
        evidence_risk=f"{100 * verdict.gate.alpha:g}%" if verdict else "",
        diagnosis=diagnosis.views(source, run, cases, lines, comparisons, limits, has_baseline=base is not None),
        flips=diagnosis.flips(verdict, cases, lines) if verdict and base else (),
        slices=slices.views(verdict, asked) if verdict and base else (),
        slices_note=slices.note(verdict, asked) if verdict and base else "",
        history=history.view(source, run, verdict.gate.fdr) if verdict else None,
        judges=judges.views(source, run, base, verdict),
        remarks=judges.remarks(verdict),
        side_remarks=judges.side_remarks(verdict),
        people=_people(source, labels, run, base, lines),
        training=trainings.view(*training) if training else None,
    )


def _people(
    source: ReportSource, labels: Sequence[Label], run: RunRecord, base: RunRecord | None, lines: Sequence[CaseLine]
) -> PeopleView | None:
    if not labels:
        return None
    names = {one.id: one.candidate.name for one in source.runs(run.suite_name)}
    return people.view(labels, run, base, source.score_rows(run.id), lines, names)


def _examined(source: ReportSource, run_id: str) -> Iterator[ScoreRow]:
    """The gate split, which is what a verdict is about; of a run over dev cases alone, these. Read anew, never held."""
    found = False
    for row in source.score_rows(run_id):
        if row.split is Split.GATE:
            found = True
            yield row
    if not found:
        yield from source.score_rows(run_id)


def _sequences(source: ReportSource, verdict: Verdict, run: RunRecord, base: RunRecord) -> tuple[EvidenceView, ...]:
    if not verdict.gate.sequential:
        return ()
    return sequences.evidence(verdict, tuple(_examined(source, run.id)), tuple(_examined(source, base.id)))


def _clean(line: CaseLine) -> CaseLine:
    name, capability = label(line.id), label(line.capability)
    if (name, capability) == (line.id, line.capability):
        return line
    return CaseLine(name, capability, line.state, line.must_pass, line.candidate, line.baseline, line.why)


def _partial(run: RunRecord) -> str:
    if run.status == "complete":
        return ""
    plan = ", ".join(f"{label(k, 40)} {label(v, 80)}" for k, v in sorted(run.plan.items()) if v not in (None, (), [], {}, ""))
    if run.plan.get("aa"):
        return "This is an A/A run: the baseline asked again, with other seeds and in another order. It never ships."
    known = {"running": "still running", "interrupted": "interrupted before its end", "partial": "a limit or filter was set"}
    return f"This run is partial: {known.get(run.status, label(run.status))}" + (f" (plan: {plan})." if plan else ".")


# -- capabilities ----------------------------------------------------------------------------------------------------------------


def _compared(c: CapabilityComparison) -> CapabilityView:
    paired, worst = c.paired, c.worst
    claims, tone, mark = words.strongest(c.claims)
    p = {} if paired is None else {
        "improved": paired.p_improved, "not_worse": paired.p_not_worse, "regressed": paired.p_regressed, "harmed": paired.p_harmed
    }  # fmt: skip
    return CapabilityView(
        name=label(c.capability),
        short=label(c.capability, 32),
        role=c.role,
        margin=c.margin,
        baseline=c.baseline_mean,
        candidate=c.candidate_mean,
        delta=paired.delta if paired else None,
        low=paired.low if paired else None,
        high=paired.high if paired else None,
        alpha=paired.alpha if paired else None,
        method=label(paired.method, 40) if paired else "",
        p=p,
        n_planned=c.n_planned,
        n_paired=c.n_paired,
        n_clusters=paired.n_clusters if paired else 0,
        missing_candidate=c.missing_candidate,
        missing_baseline=c.missing_baseline,
        worst_delta=worst.delta if worst else None,
        worst_low=worst.low if worst else None,
        worst_high=worst.high if worst else None,
        claims=tuple(claim.value for claim in claims),
        tone=tone,
        mark=mark,
        n_broken=len(c.broken),
        n_fixed=len(c.fixed),
        must_pass_failed=tuple(label(i) for i in c.must_pass_failed),
        n_needed=c.n_needed,
        reason=label(c.reason, 300),
        baseline_shown=percent(c.baseline_mean),
        candidate_shown=percent(c.candidate_mean),
        delta_shown=points(paired.delta) if paired else UNKNOWN,
        interval_shown=interval(paired.low, paired.high) if paired else "",
        margin_shown=f"{100 * c.margin:.1f}",
        n_shown=_n_shown(c),
        missing_shown=_missing_shown(c),
        claims_shown=words.claims_in_words(claims, c.margin),
        note=words.note(c),
    )


def _n_shown(c: CapabilityComparison) -> str:
    clusters = c.paired.n_clusters if c.paired else 0
    return f"{c.n_paired:,}" + (f" in {plural(clusters, 'cluster')}" if 0 < clusters < c.n_paired else "")


def _missing_shown(c: CapabilityComparison) -> str:
    parts = [f"{n:,} {who}" for n, who in ((c.missing_candidate, "candidate"), (c.missing_baseline, "baseline")) if n]
    return ", ".join(parts) or "0"


def _alone(lines: Sequence[CaseLine], roles: Mapping[str, Role]) -> tuple[CapabilityView, ...]:
    """The table of a run without a baseline: mean of the case means, and how many cases have one."""
    values: dict[str, list[float]] = {}
    planned: dict[str, int] = {}
    for line in lines:
        planned[line.capability] = planned.get(line.capability, 0) + 1
        found = values.setdefault(line.capability, [])
        if line.candidate is not None:
            found.append(line.candidate)
    return tuple(_row_alone(name, roles.get(name, Role.ADVISORY), found, planned[name]) for name, found in values.items())


def _row_alone(name: str, role: Role, values: Sequence[float], planned: int) -> CapabilityView:
    mean = sum(values) / len(values) if values else None
    missing = planned - len(values)
    return CapabilityView(
        name=label(name),
        short=label(name, 32),
        role=role,
        candidate=mean,
        n_planned=planned,
        n_paired=len(values),
        missing_candidate=missing,
        candidate_shown=percent(mean),
        n_shown=f"{len(values):,}",
        missing_shown=f"{missing:,}",
    )


def _opened_note(run: RunRecord, groups: Sequence[CaseGroup]) -> str:
    left = sum(group.left_out for group in groups)
    if not left:
        return ""
    more = plural(left, "more case")
    return f"{more} not opened here to keep this file small; `harness export {label(run.id)}` writes all of them."


# -- ledger ----------------------------------------------------------------------------------------------------------------------


def _ledger(who: str, run: RunRecord, ledger: Ledger) -> LedgerView:
    parts = (
        LedgerPart("scored", ledger.scored, ()),
        LedgerPart("unscored", ledger.n_unscored, _counts(ledger.unscored)),
        LedgerPart("errored", ledger.n_errored, _counts(ledger.errored)),
        LedgerPart("skipped", ledger.n_skipped, _counts(ledger.skipped)),
    )
    terms = " + ".join(f"{part.total:,} {part.status}{_in_words(part.reasons)}" for part in parts)
    sign = "=" if ledger.closed else "\u2260"
    return LedgerView(who, label(run.id), ledger.planned, parts, ledger.closed, f"{ledger.planned:,} planned {sign} {terms}")


def _counts(reasons: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(((label(r, 60), n) for r, n in reasons.items()), key=lambda pair: (-pair[1], pair[0])))


def _in_words(reasons: Sequence[tuple[str, int]]) -> str:
    if not reasons:
        return ""
    shown = [f"{n:,} {reason}" for reason, n in reasons[:6]]
    more = sum(n for _, n in reasons[6:])
    return " (" + ", ".join(shown + ([f"{more:,} others"] if more else [])) + ")"


# -- facts -----------------------------------------------------------------------------------------------------------------------


def _serving(source: ReportSource, run: RunRecord, base: RunRecord | None) -> tuple[Fact, ...]:
    ours, theirs = source.latencies(run.id), source.latencies(base.id) if base else None
    found = [_fact(key, name, getattr(ours, key, None), getattr(theirs, key, None)) for key, name in _TIMINGS.items()]
    for key in _SERVING:
        found += _flat_facts(key, run.provenance.get(key), base.provenance.get(key) if base else None)
    return tuple(found[:_MAX_FACTS])


def _provenance(run: RunRecord, base: RunRecord | None) -> tuple[Fact, ...]:
    def both(key: str, name: str, take: Any) -> Fact:
        return _fact(key, name, take(run), take(base) if base else None)

    facts = [
        both("run", "Run", lambda r: r.id),
        both("status", "Status", lambda r: r.status),
        both("suite", "Suite", lambda r: r.suite_name),
        both("suite_hash", "Suite hash", lambda r: r.suite_hash),
        both("candidate", "Candidate", lambda r: r.candidate.name),
        both("model", "Model", lambda r: r.candidate.model),
        both("digest", "Digest", lambda r: r.candidate.digest),
        both(
            "kind",
            "Identity",
            lambda r: "weights" if r.candidate.kind == "local" else "the endpoint's word (address, model, revision)",
        ),
        both("base", "Base", lambda r: r.candidate.base),
        both("adapter", "Adapter", lambda r: r.candidate.adapter),
        both("address", "Address", lambda r: address(r.candidate.base_url) if r.candidate.base_url else None),
        both("prompt", "Prompt digest", lambda r: r.candidate.prompt.digest[:16]),
        both("started", "Started", lambda r: moment(r.started_at or None)),
        both("finished", "Finished", lambda r: moment(r.finished_at)),
        both("duration", "Duration", lambda r: seconds(r.finished_at - r.started_at) if r.finished_at and r.started_at else None),
    ]
    plan = {"plan": dict(run.plan)}, {"plan": dict(base.plan)} if base else {}
    rest = [{k: v for k, v in r.provenance.items() if k not in _ELSEWHERE} if r else {} for r in (run, base)]
    facts += _flat_facts("", {**plan[0], **rest[0]}, {**plan[1], **rest[1]})
    return tuple(f for f in facts if f.candidate is not None or f.baseline is not None)[:_MAX_FACTS]


def _flat_facts(prefix: str, ours: object, theirs: object) -> list[Fact]:
    a, b = dict(_flat(prefix, ours)), dict(_flat(prefix, theirs))
    return [
        _fact(key, label(key.replace(".", ": ").replace("_", " "), 80), a.get(key), b.get(key)) for key in sorted(set(a) | set(b))
    ]


def _flat(prefix: str, value: object) -> Iterator[tuple[str, object]]:
    """Nested settings as dotted keys; secrets never leave."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{prefix}.{key}" if prefix else str(key)
            if is_secret(str(key)):
                yield name, "(hidden)"
            else:
                yield from _flat(name, inner)
    elif isinstance(value, (list, tuple)) and prefix:
        yield prefix, " ".join(str(part) for part in value)
    elif value is not None and prefix:
        yield prefix, value


def _fact(key: str, name: str, ours: object, theirs: object) -> Fact:
    return Fact(label(key, 80), name, _exact(ours), _exact(theirs), _shown(key, ours), _shown(key, theirs))


def _exact(value: object) -> float | int | str | None:
    return value if value is None or isinstance(value, (int, float)) else label(value, 400)


def _shown(key: str, value: object) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return seconds(float(value)) if key.endswith(("_s", ".seconds")) else plain(value)
    return label(value, 400)
