"""Two stored runs -> comparisons -> verdict -> store. Used by run and compare, and by whatever judges later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from harness.cli.judged_capabilities import Judging, check_baseline, tied, with_judges
from harness.cli.options import today
from harness.columns import of_rows
from harness.comparison import column_facts, compare_columns
from harness.decision import decide
from harness.errors import DataError
from harness.model import Gate, Outcome, Role, RunRecord, ScoreRow, Served, SliceComparison, Split, Verdict
from harness.slices import compare_slices
from harness.store import Store
from harness.store.rows import noun

EXIT = {Outcome.SHIP: 0, Outcome.OPTIMIZE: 1, Outcome.INCONCLUSIVE: 2}
SEVERITY = (0, 2, 1, 3, 4)  # of exit codes, for one command that judges several candidates: the worst one counts


@dataclass(frozen=True, slots=True)
class Policy:
    """Role and margin of one capability; what a comparison needs to know of a suite."""

    role: Role
    margin: float


def stored_rules(store: Store, run: RunRecord) -> tuple[Gate, dict[str, Policy]]:
    """Gate, roles and margins of the suite version that a run was made with, from the store alone."""
    found = store.suite(run.suite_hash)
    if found is None:
        raise DataError("the store does not know this run's suite", where=f"run {run.id}", todo="Run the suite again")
    content: Mapping[str, Any] = json.loads(found[1])
    gate = noun(Gate, content["gate"])
    return gate, {name: Policy(Role(c["role"]), c["margin"]) for name, c in content["capabilities"].items()}


def check_comparable(candidate: RunRecord, baseline: RunRecord) -> None:
    """Raise DataError unless both runs are of one suite and were scored by the same checks (their cases: compare_runs looks)."""
    where = f"runs {candidate.id} and {baseline.id}"
    if candidate.suite_name != baseline.suite_name:
        what = f"they are of two suites, {candidate.suite_name} and {baseline.suite_name}"
        raise DataError(what, where=where, todo="Compare two runs of one suite")
    if candidate.provenance.get("checks") != baseline.provenance.get("checks"):
        raise DataError(
            f"they were scored by different checks (suite hashes {candidate.suite_hash[:12]} and {baseline.suite_hash[:12]})",
            where=where,
            todo="Run the baseline on the same suite: stored responses are scored again without a request",
        )


def judge(store: Store, candidate: RunRecord, baseline: RunRecord | None, gate: Gate, rules: Mapping[str, Policy]) -> Verdict:
    """Compare, decide and store the verdict."""
    verdict = weigh(store, candidate, baseline, gate, rules, day=today())
    store.save_verdict(candidate.id, baseline.id if baseline else None, verdict)
    return verdict


def weigh(
    store: Store, candidate: RunRecord, baseline: RunRecord | None, gate: Gate, rules: Mapping[str, Policy], *, day: date
) -> Verdict:
    """Compare and decide; nothing is stored. day: on which waivers must hold."""
    if baseline:
        check_comparable(candidate, baseline)
        check_baseline(candidate, baseline)
    split = Split(candidate.plan.get("split") or Split.GATE)
    asked = {name: rule for name, rule in rules.items() if not _filter(candidate) or name in _filter(candidate)}
    rows = [store.score_rows(candidate.id)] if baseline is None else _rows(store, candidate, baseline)
    cases, columns = of_rows(*rows, split=split)
    ours, theirs = columns[0], columns[1] if baseline else None
    compared = compare_columns(cases, ours, theirs, asked, gate)
    again = () if baseline is None else _rows(store, candidate, baseline)
    comparisons = with_judges(store, candidate, baseline, compared, gate, again)
    slices = sliced(store, candidate, baseline, gate, asked, gate.slices, split=split) if baseline else ()
    times = store.latencies(candidate.id)
    partial = "; ".join(filter(None, (_partial("candidate", candidate), _partial("baseline", baseline))))
    seen = replace(
        column_facts(cases, ours, theirs, sequential=gate.sequential),
        partial=bool(partial),
        partial_reason=partial,
        ttft_p95_s=times.ttft_p95_s,
        latency_p95_s=times.total_p95_s,
        tpot_p95_s=times.tpot_p95_s,
        served=_served(candidate),
    )
    return decide(comparisons, gate, seen, today=day, slices=slices)


def _served(run: RunRecord) -> Served | None:
    """What the run measured of its serving; None where it sent no request of its own."""
    found = run.provenance.get("served")
    return noun(Served, found) if found else None


def sliced(
    store: Store,
    candidate: RunRecord,
    baseline: RunRecord,
    gate: Gate,
    rules: Mapping[str, Policy],
    fields: Sequence[str],
    *,
    split: Split = Split.GATE,
) -> tuple[SliceComparison, ...]:
    """The two runs by the values of these metadata fields; nothing is read where none is asked for."""
    if not fields:
        return ()
    metadata = store.case_metadata(candidate.id)
    ours, theirs = _rows(store, candidate, baseline)
    return compare_slices(ours, theirs, metadata, fields, rules, gate, split=split)


def _rows(store: Store, candidate: RunRecord, baseline: RunRecord) -> list[Iterator[ScoreRow]]:
    """The rows of both. A candidate that was asked less (a limit, a filter) is compared on what it was asked: it never ships, and
    so a look at twenty cases against a complete promoted baseline is no error."""
    ours, theirs = store.score_rows(candidate.id), store.score_rows(baseline.id)
    if pairwise := Judging.of(candidate).pairwise:
        theirs = tied(theirs, pairwise)
    if not candidate.plan.get("partial_reason"):
        return [ours, theirs]
    asked = {(row.capability, row.case_id) for row in store.score_rows(candidate.id)}
    return [ours, (row for row in theirs if (row.capability, row.case_id) in asked)]


def _filter(run: RunRecord) -> list[str]:
    return list(run.plan.get("capabilities") or [])


def _partial(who: str, run: RunRecord | None) -> str:
    if run is None or run.status == "complete":
        return ""
    reason = run.plan.get("partial_reason")
    return f"the {who}'s run is {run.status}" + (f" ({reason})" if reason else "")


def exit_code(verdict: Verdict) -> int:
    return 4 if verdict.infrastructure else EXIT[verdict.outcome]


def worst(codes: list[int]) -> int:
    return max(codes, key=SEVERITY.index, default=4)
