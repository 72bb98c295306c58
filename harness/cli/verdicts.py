"""A verdict as one JSON object: what ``harness compare --json`` and ``harness explain --json`` print.

    schema_version  1; it changes when a key changes its meaning or goes
    candidate       {name, run}, or {name, file, rows, left_out}; left_out: rows of the dev split, which decide nothing
    baseline        the same, or null
    outcome         SHIP | OPTIMIZE | INCONCLUSIVE
    exit_code       0 ship, 1 optimize, 2 inconclusive, 4 infrastructure
    infrastructure  true: too much failed for reasons that are not the candidate's
    reasons         [{code, text, capability, blocks}]; blocks: the outcome it argues for, or null
    claims          {capability: [improved | not worse | equivalent | regressed | harmed | undecided]}
    comparisons     one per capability: capability, role, margin, candidate_mean, baseline_mean, claims, n_planned, n_paired,
                    missing_candidate, missing_baseline, fixed[], broken[] (case ids), must_pass_failed[], must_pass_missing[],
                    n_needed, reason, and paired and worst: {delta, low, high, n, n_clusters, method, margin, alpha, p_improved,
                    p_not_worse, p_regressed, p_harmed, gain, p_gain, reason} or null
    seesaws         [{gains[], losses[], fdr}]
    ledgers         {candidate, baseline}: {planned, scored, unscored, errored, skipped (reason -> count), closed}
    gate            the policy, every key
    waivers         [{waiver: {owner, reason, expires, capability, case}, state: used | unused | expired, waived}]

Scores are in [0, 1], differences in [-1, 1] candidate minus baseline; what is not known is null.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.model import Ledger, Verdict

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that were compared: a run of a store, or a score file."""

    name: str
    ledger: Ledger
    run: str | None = None
    file: str | None = None
    left_out: int = 0

    def as_dict(self) -> dict[str, Any]:
        if self.file is None:
            return {"name": self.name, "run": self.run}
        return {"name": self.name, "file": self.file, "rows": self.ledger.planned, "left_out": self.left_out}


def as_dict(verdict: Verdict, candidate: Side, baseline: Side | None, exit_code: int) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "candidate": candidate.as_dict(),
        "baseline": baseline.as_dict() if baseline else None,
        "outcome": verdict.outcome.value,
        "exit_code": exit_code,
        "infrastructure": verdict.infrastructure,
        "reasons": [plain(reason) for reason in verdict.reasons],
        "claims": plain(verdict.claims),
        "comparisons": [plain(comparison) for comparison in verdict.comparisons],
        "seesaws": [plain(seesaw) for seesaw in verdict.seesaws],
        "ledgers": {
            "candidate": _ledger(candidate.ledger),
            "baseline": _ledger(baseline.ledger) if baseline else None,
        },
        "gate": plain(verdict.gate),
        "waivers": [plain(use) for use in verdict.waivers],
    }


def as_json(verdict: Verdict, candidate: Side, baseline: Side | None, exit_code: int, **more: Any) -> str:
    """The same as text. more: further keys at its end."""
    return json.dumps(as_dict(verdict, candidate, baseline, exit_code) | more, ensure_ascii=False, allow_nan=False)


def _ledger(ledger: Ledger) -> dict[str, Any]:
    found: dict[str, Any] = plain(ledger)
    return found | {"closed": ledger.closed}


def plain(value: Any) -> Any:
    """A noun as JSON-able values: an object of its fields, tuples lists; enums are texts already."""
    if value is None or isinstance(value, str | int | float):
        return value
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if value and isinstance(value[0], str):
        return list(value)  # case ids, by the hundred thousand
    return [plain(item) for item in value]
