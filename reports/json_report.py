"""The report for machines: JSON with exact numbers and a schema that changes only with ``schema_version``.

Top level: schema_version; run{id, suite, candidate, status}; baseline{id, name} or null; outcome (SHIP, OPTIMIZE, INCONCLUSIVE
or null); infrastructure; reasons[{code, text, capability, blocks}]; next_steps[]; capabilities[{name, role, ...}];
seesaw{shown, up[], down[], sentence} or null; noise (a sentence, or null); power[{capability, n, shows, margin, needed}];
judges[{name, about, capabilities[], calibrated, standing, warnings[], figures{figure: {candidate, baseline}}}];
waivers[{state, capability, case, owner, reason, expires, waived}]; diagnosis[{capability, cases, always, sometimes, unstable,
format, unscored, kind, advice, k, pass_at_1, pass_at_k, pass_all_k}]; flips[{capability, fixed, broken, churn,
negative_flip_rate}]; slices[{capability, field, value, n, baseline, candidate, delta, low, high, seesaw}]; history{checkpoints,
sentence, pairs[], scores{capability: []}} or null; people{raters, looked_at, of, agree, both, disputed, sentence, standing[{name,
beats_average}], marks{mark: n}, marked[{case, capability, mark, rater, comment}]} or null; evidence[{capability, role, n,
n_planned, decided_at, limit, for[[cases, log10 e]], against[[cases, log10 e]], sentence}] of a sequential run, which decides at
limit (160 points a path); ledgers[{who, run_id, planned, scored, unscored{reason: n}, errored{code: n}, skipped{reason: n},
closed}]; serving{figure: {candidate, baseline}}; provenance likewise; cases[{id, capability, state, must_pass, candidate,
baseline, why}]. Scores are in [0, 1], differences in [-1, 1]; what is not known is null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from reports.nouns import (
    CapabilityView,
    DiagnosisView,
    EvidenceView,
    Fact,
    HistoryView,
    JudgeView,
    LedgerView,
    PeopleView,
    ReportView,
    SliceView,
)

SCHEMA_VERSION = 1

_NUMBERS = (
    *("margin", "baseline", "candidate", "delta", "low", "high", "alpha"),
    *("n_planned", "n_paired", "n_clusters", "missing_candidate", "missing_baseline"),
    *("worst_delta", "worst_low", "worst_high", "n_broken", "n_fixed", "n_needed"),
)


def render(view: ReportView) -> str:
    """Indented JSON, keys in a fixed order, one newline at the end."""
    return json.dumps(as_dict(view), ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def as_dict(view: ReportView) -> dict[str, Any]:
    seesaw = view.seesaw
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {"id": view.run_id, "suite": view.suite, "candidate": view.candidate, "status": view.status},
        "baseline": {"id": view.baseline_id, "name": view.baseline_name} if view.baseline_id else None,
        "outcome": view.outcome.value if view.outcome else None,
        "infrastructure": view.infrastructure,
        "reasons": [
            {"code": r.code, "text": r.text, "capability": r.capability or None, "blocks": r.blocks or None} for r in view.reasons
        ],
        "next_steps": list(view.next_steps),
        "capabilities": [_capability(row) | {"remark": view.remarks.get(row.name)} for row in view.capabilities],
        "judges": [_judge(judge) for judge in view.judges],
        "seesaw": {
            "shown": seesaw.shown,
            "up": list(seesaw.shown_up),
            "down": list(seesaw.shown_down),
            "sentence": seesaw.sentence,
        }
        if seesaw
        else None,
        "waivers": [
            {
                "state": w.state,
                "capability": w.capability or None,
                "case": w.case or None,
                "owner": w.owner,
                "reason": w.reason,
                "expires": w.expires,
                "waived": w.waived or None,
            }
            for w in view.waivers
        ],
        "noise": view.noise or None,
        "power": [
            {"capability": p.name, "n": p.n, "shows": _finite(p.shows), "margin": p.margin, "needed": p.needed}
            for p in view.power
        ],
        "diagnosis": [_diagnosis(row) for row in view.diagnosis],
        "flips": [
            {"capability": f.name, "fixed": f.fixed, "broken": f.broken, "churn": f.churn, "negative_flip_rate": f.negative}
            for f in view.flips
        ],
        "slices": [_slice(row) for row in view.slices],
        "history": _history(view.history) if view.history else None,
        "people": _people(view.people) if view.people else None,
        "evidence": [_evidence(row) for row in view.evidence],
        "ledgers": [_ledger(ledger) for ledger in view.ledgers],
        "serving": _facts(view.serving),
        "provenance": _facts(view.provenance),
        "cases": [
            {
                "id": case.id,
                "capability": case.capability,
                "state": case.state.value,
                "must_pass": case.must_pass,
                "candidate": case.candidate,
                "baseline": case.baseline,
                "why": case.why or None,
            }
            for case in view.cases
        ],
    }


def _capability(row: CapabilityView) -> dict[str, Any]:
    numbers = {name: _finite(getattr(row, name)) for name in _NUMBERS}
    return {
        "name": row.name,
        "role": row.role.value,
        **numbers,
        "method": row.method or None,
        "p": {claim: _finite(p) for claim, p in row.p.items()},
        "claims": list(row.claims),
        "must_pass_failed": list(row.must_pass_failed),
        "reason": row.reason or None,
    }


def _judge(judge: JudgeView) -> dict[str, Any]:
    head = {"name": judge.name, "about": judge.about, "capabilities": list(judge.capabilities)}
    standing = {"calibrated": judge.calibrated, "standing": judge.standing, "warnings": list(judge.warnings)}
    return {**head, **standing, "figures": _facts(judge.facts)}


def _diagnosis(row: DiagnosisView) -> dict[str, Any]:
    samples = {"k": row.k, "pass_at_1": row.pass_1, "pass_at_k": row.pass_k, "pass_all_k": row.all_k}
    return {"capability": row.name, "cases": row.n, **dict(row.counts), "kind": row.kind, "advice": row.advice, **samples}


def _slice(row: SliceView) -> dict[str, Any]:
    numbers = {name: _finite(getattr(row, name)) for name in ("baseline", "candidate", "delta", "low", "high")}
    head = {"capability": row.capability, "field": row.field, "value": row.value, "n": row.n}
    return {**head, **numbers, "seesaw": row.seesaw or None}


def _history(past: HistoryView) -> dict[str, Any]:
    return {
        "checkpoints": past.checkpoints,
        "sentence": past.sentence,
        "pairs": list(past.pairs) if past.pairs_shown else [],
        "scores": {row.name: list(row.scores) for row in past.tracks},
    }


def _people(people: PeopleView) -> dict[str, Any]:
    names = ("raters", "looked_at", "of", "agree", "both", "disputed", "sentence")
    marked = [dict(zip(("case", "capability", "mark", "rater", "comment"), row, strict=True)) for row in people.marked]
    counts = {name: getattr(people, name) for name in names}
    standing = [{"name": row.name, "beats_average": _finite(row.beats)} for row in people.standing]
    return {**counts, "standing": standing, "marks": {mark: n for mark, n, _ in people.marks}, "marked": marked}


def _evidence(row: EvidenceView) -> dict[str, Any]:
    numbers = {"n": row.n, "n_planned": row.n_planned, "decided_at": row.decided_at, "limit": row.limit}
    paths = {"for": [list(point) for point in row.above], "against": [list(point) for point in row.below]}
    return {"capability": row.name, "role": row.role.value, **numbers, **paths, "sentence": row.sentence}


def _ledger(ledger: LedgerView) -> dict[str, Any]:
    by = {part.status: part for part in ledger.parts}
    reasons = {status: dict(by[status].reasons) for status in ("unscored", "errored", "skipped")}
    head = {"who": ledger.who, "run_id": ledger.run_id, "planned": ledger.planned, "scored": by["scored"].total}
    return {**head, **reasons, "closed": ledger.closed}


def _facts(facts: Iterable[Fact]) -> dict[str, Any]:
    return {fact.key: {"candidate": _finite(fact.candidate), "baseline": _finite(fact.baseline)} for fact in facts}


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: a number that is neither known nor finite is null."""
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value
