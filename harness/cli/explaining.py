"""What ``harness explain`` says: the verdict computed again, what differs from the stored one, each number, and one case opened.

A what-if is computed in the same way with a changed gate, marked as such wherever it is shown, and never stored: a margin chosen
after looking at the result has no error rate.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.cli import judging, verdicts
from harness.errors import UsageError
from harness.model import CapabilityComparison, Claim, Gate, Item, PairedComparison, RunRecord, Verdict
from harness.store import Store
from harness.suite.document import Document
from harness.suite.gatefile import GateDocument
from harness.suite.load import gate_of
from harness.suite.parse import parse_file, valid_keys
from reports.text import cut, label, moment

NOT_A_VERDICT = "changed after looking; not a verdict"
_SHOWN = 20  # differences
_LONGEST = 4_000  # characters of one text of an opened case


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict made again. changed: the what-if's changes in words. differences: from the stored verdict, none for a what-if.

    other_gate: where the verdict's gate, roles and margins (which it is made again by) are not those of the run's suite.
    """

    run: RunRecord
    baseline: RunRecord | None
    verdict: Verdict
    decided_at: float
    sides: tuple[verdicts.Side, verdicts.Side | None]
    differences: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    items: tuple[tuple[str, Item], ...] = ()
    other_gate: tuple[str, ...] = ()

    def as_json(self) -> str:
        what_if = {"changes": list(self.changed), "note": NOT_A_VERDICT} if self.changed else None
        code = 0 if self.changed else judging.exit_code(self.verdict)
        stored = {"decided_at": self.decided_at, "same": not self.differences, "differences": list(self.differences)}
        stored["other_gate"] = list(self.other_gate)
        case = [{"who": who, **verdicts.plain(item)} for who, item in self.items]
        return verdicts.as_json(
            self.verdict, *self.sides, code, stored=None if self.changed else stored, what_if=what_if, case=case
        )

    def text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        run, base = self.run, self.baseline
        against = f" against run {base.id} ({label(base.candidate.name)})" if base else ", without a baseline"
        yield f"run {run.id} ({label(run.candidate.name)}){against}"
        yield f"suite {label(run.suite_name)}, hash {run.suite_hash[:12]}"
        yield ""
        if self.changed:
            for change in self.changed:
                yield f"what if: {change}, {NOT_A_VERDICT}"
            yield f"would be: {self.verdict.outcome}"
        else:
            yield f"verdict: {self.verdict.outcome}"
            yield from self._compared()
        if self.other_gate:
            yield "judged by another gate than its suite's (compare --suite), and made again by that one (suite -> verdict):"
            yield from (f"  {label(change, 300)}" for change in self.other_gate[:_SHOWN])
            if len(self.other_gate) > _SHOWN:
                yield f"  and {len(self.other_gate) - _SHOWN} more"
        yield ""
        for reason in self.verdict.reasons:
            argues = f" -> {reason.blocks}" if reason.blocks else ""
            yield f"  [{reason.code}{argues}] {label(reason.text, 600)}"
        for comparison in self.verdict.comparisons:
            yield ""
            yield from _capability(comparison)
        for who, item in self.items:
            yield ""
            yield from _case(who, item)

    def _compared(self) -> Iterator[str]:
        when = moment(self.decided_at)
        if not self.differences:
            yield f"computed again from the store: the same verdict as was stored on {when}, number by number"
            return
        yield f"computed again from the store: NOT what was stored on {when}. What differs (stored -> now):"
        yield from (f"  {label(difference, 300)}" for difference in self.differences[:_SHOWN])
        if len(self.differences) > _SHOWN:
            yield f"  and {len(self.differences) - _SHOWN} more"
        yield "  Another version of the harness, or scores added since, can be why."


def explain(store: Store, reference: str, baseline: str | None, case_id: str | None, changes: Sequence[str] = ()) -> Explanation:
    """Make the stored verdict on a run again. UsageError when there is none, no such case, or a change that makes no sense."""
    run = store.run(reference)
    wanted = store.run(baseline).id if baseline else None
    stored = store.verdict(run.id, wanted)
    if stored is None or (wanted and stored.baseline_run_id != wanted):
        raise UsageError(f"run {run.id} has no stored verdict", todo="harness compare it with a baseline first")
    base = store.run(stored.baseline_run_id) if stored.baseline_run_id else None
    suite_gate, suite_rules = judging.stored_rules(store, run)
    judged = {c.capability: judging.Policy(c.role, c.margin) for c in stored.verdict.comparisons} or suite_rules
    changed, gate, rules = apply_changes(changes, stored.verdict.gate, judged)
    day = datetime.fromtimestamp(stored.decided_at, UTC).date()  # of the decision: a waiver that has expired since held then
    verdict = judging.weigh(store, run, base, gate, rules, day=day)
    runs = [("candidate", run)] + ([("baseline", base)] if base else [])
    sides = [verdicts.Side(record.candidate.name, store.ledger(record.id), run=record.id) for _, record in runs]
    return Explanation(
        run=run,
        baseline=base,
        verdict=verdict,
        decided_at=stored.decided_at,
        sides=(sides[0], sides[1] if base else None),
        differences=() if changed else _between(stored.verdict, verdict),
        changed=changed,
        items=tuple(_items(store, runs, case_id)) if case_id else (),
        other_gate=tuple(_other_gate(suite_gate, suite_rules, stored.verdict.gate, judged)),
    )


def _other_gate(
    suite: Gate, suite_rules: Mapping[str, judging.Policy], gate: Gate, rules: Mapping[str, judging.Policy]
) -> Iterator[str]:
    """Where a verdict's gate, roles and margins are not the suite's. A run of less than the suite has fewer capabilities."""
    yield from differences(verdicts.plain(suite), verdicts.plain(gate))
    for name, rule in rules.items():
        own = suite_rules.get(name)
        if own is None:
            yield f"{name}: no capability of the suite -> {rule.role}, margin {rule.margin:g}"
            continue
        for part in ("role", "margin"):
            if getattr(own, part) != getattr(rule, part):
                yield f"{part} of {name}: {_show(getattr(own, part))} -> {_show(getattr(rule, part))}"


def _between(stored: Verdict, now: Verdict) -> tuple[str, ...]:
    """What differs, causes before their effects: the outcome, the gate, then the rest."""
    found = differences(verdicts.plain(stored), verdicts.plain(now))
    order = ("outcome", "infrastructure", "gate", "comparisons")

    def rank(difference: str) -> int:
        head = re.split(r"[.\[:]", difference, maxsplit=1)[0]
        return order.index(head) if head in order else len(order)

    return tuple(sorted(found, key=rank))


def differences(stored: Any, now: Any, path: str = "") -> Iterator[str]:
    """Where two plain values differ, ``path: stored -> now``; numbers count as equal to nine digits."""
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        for key in [*stored, *(key for key in now if key not in stored)]:
            yield from differences(stored.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(stored, list) and isinstance(now, list) and len(stored) == len(now):
        for number, (one, other) in enumerate(zip(stored, now, strict=True)):
            name = one.get("capability") or one.get("code") if isinstance(one, Mapping) else None
            yield from differences(one, other, f"{path}[{name or number}]")
    elif isinstance(stored, float) and isinstance(now, int | float):
        if not math.isclose(stored, now, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{path}: {stored!r} -> {now!r}"
    elif stored != now:
        yield f"{path}: {_short(stored)} -> {_short(now)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else text[:119] + "\u2026"


# -- what if ---------------------------------------------------------------------------------------------------------------------


def apply_changes(
    changes: Sequence[str], gate: Gate, rules: Mapping[str, judging.Policy]
) -> tuple[tuple[str, ...], Gate, dict[str, judging.Policy]]:
    """The gate and rules with ``key=value`` changes, checked by the same model as a gate file; what changed, in words."""
    data: dict[str, Any] = {"gate": {}, "capabilities": {n: {"role": str(r.role), "margin": r.margin} for n, r in rules.items()}}
    for change in changes:
        key, found, written = change.partition("=")
        name, _, part = key.rpartition(".")
        value = _scalar(written)
        if not found:
            raise UsageError(f"{change!r} is no change", where="--what-if", todo="Write KEY=VALUE, such as margin=0.03")
        if part in ("margin", "role") and (name in rules or not name):
            for capability in [name] if name else rules:
                data["capabilities"][capability][part] = value
        elif key in _gate_keys():
            data["gate"][key] = value
        else:
            known = ", ".join(["margin", "CAPABILITY.margin", "CAPABILITY.role", *_gate_keys()])
            raise UsageError(
                f"{key!r} cannot be changed", where="--what-if", todo=f"Known: {known}; capabilities: {', '.join(rules)}"
            )
    document = Document(Path("--what-if"), "", data, {}, {})
    spec, faults = parse_file(GateDocument, data, document)
    if spec is None:
        raise UsageError("; ".join(fault.what for fault in faults), where="--what-if")
    made = gate_of(spec.gate)
    fields = [_field(key) for key in data["gate"]]
    new_rules = {name: judging.Policy(item.role, item.margin) for name, item in spec.capabilities.items()}
    new_gate = replace(gate, **{field: getattr(made, field) for field in fields})
    words = [f"{field} {_show(getattr(gate, field))} -> {_show(getattr(made, field))}" for field in fields]
    for name, rule in rules.items():
        for part in ("role", "margin"):
            old, new = getattr(rule, part), getattr(new_rules[name], part)
            if old != new:
                words.append(f"{part} of {label(name)} {_show(old)} -> {_show(new)}")
    return tuple(words or (["nothing"] if changes else [])), new_gate, new_rules


def _gate_keys() -> list[str]:
    return [key for key in valid_keys(("gate",), GateDocument) if key != "floors"]


def _field(key: str) -> str:
    """The Gate's field of a gate file's key: times are named with their unit there."""
    return key if key in Gate.__slots__ else f"{key}_s"


def _scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


# -- numbers ---------------------------------------------------------------------------------------------------------------------


def _capability(c: CapabilityComparison) -> Iterator[str]:
    yield f"{label(c.capability)}: {c.role}, margin {c.margin:g}"
    missing = f", missing {c.missing_candidate} (candidate) and {c.missing_baseline} (baseline)"
    paired = c.paired
    if paired is None:
        mean = "no score" if c.candidate_mean is None else f"mean {c.candidate_mean:.4f}"
        yield f"  {c.n_planned} cases, {mean}; {label(c.reason, 300)}"
        return
    clusters = f" in {paired.n_clusters} clusters" if paired.n_clusters != paired.n else ""
    yield f"  cases    {c.n_paired} paired of {c.n_planned}{clusters}{missing}"
    if c.baseline_mean is not None and c.candidate_mean is not None:
        yield f"  means    baseline {c.baseline_mean:.4f} -> candidate {c.candidate_mean:.4f}"
    yield f"  delta    {_interval(paired)} by {paired.method}, each bound at {paired.alpha:g}"
    yield (
        f"  p        improved {_p(paired.p_improved)}, not worse {_p(paired.p_not_worse)}, "
        f"regressed {_p(paired.p_regressed)}, harmed {_p(paired.p_harmed)}"
    )
    if paired.gain:
        yield f"  gain     of {paired.gain:g} wanted: p {_p(paired.p_gain)}"
    yield f"  claims   {', '.join(c.claims)}"
    yield f"  flips    {len(c.fixed)} fixed, {len(c.broken)} broken"
    if c.worst is not None and (c.missing_candidate or c.missing_baseline):
        yield f"  at worst {_interval(c.worst)} with every missing score against the candidate"
    if c.n_needed is not None:
        yield f"  needs    about {c.n_needed} cases to be decided (80 % power), {max(c.n_needed - c.n_paired, 1)} more"
    elif Claim.UNDECIDED in c.claims:
        yield "  needs    more than any affordable number of cases"
    if c.reason:
        yield f"  because  {label(c.reason, 300)}"


def _interval(paired: PairedComparison) -> str:
    return f"{paired.delta:+.4f} [{paired.low:+.4f}, {paired.high:+.4f}]"


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


# -- one case --------------------------------------------------------------------------------------------------------------------


def _items(store: Store, runs: Sequence[tuple[str, RunRecord]], case_id: str) -> Iterator[tuple[str, Item]]:
    """Every sample of the case in both runs, the baseline's first."""
    ids = sorted({row.case_id for _, run in runs for row in store.score_rows(run.id)})
    matches = [i for i in ids if i == case_id] or [i for i in ids if case_id and i.startswith(case_id)]
    if len(matches) != 1:
        what = f"{case_id!r} fits {len(matches)} cases" if matches else f"no case {case_id!r} in run {runs[0][1].id}"
        raise UsageError(what, where="--case", todo=f"Such as: {', '.join(matches[:5] or ids[:5])}")
    for who, run in reversed(runs):
        yield from ((who, item) for item in store.items(run.id, case_ids=matches))


def _case(who: str, item: Item) -> Iterator[str]:
    case, response, score = item.case, item.response, item.score
    yield f"case {label(case.id)} of {label(case.capability)}, {who}, sample {item.sample} ({label(case.source)})"
    for message in item.messages:
        yield from _block(f"{message.role}:", message.content)
    if case.reference is not None:
        reference = case.reference
        yield from _block("reference:", reference if isinstance(reference, str) else json.dumps(reference, ensure_ascii=False))
    if response is not None and response.thinking:
        yield from _block("thinking:", response.thinking)
    if response is not None and response.error:
        yield f"  error {label(response.error)}: {label(response.error_message or '', 300)}"
    elif response is not None:
        yield from _block(f"answer (finished: {label(response.finish_reason or 'unknown', 40)}):", response.text)
    yield f"  {item.status}" + (f", {label(item.reason)}" if item.reason else "") + _value(score.value if score else None)
    for part in score.components if score else ():
        result = "unscored" if part.value is None else f"{part.value:g}"
        why = label(part.explanation or part.unscored or "", 300)
        yield f"    {label(part.check, 60)} v{part.version}: {result}" + (f" - {why}" if why else "")


def _value(value: float | None) -> str:
    return "" if value is None else f" {value:g}"


def _block(head: str, text: str) -> Iterator[str]:
    shown = cut(text, _LONGEST)
    yield f"  {head}"
    yield from (f"    | {line}" for line in shown.text.split("\n"))
    if shown.left_out:
        yield f"    | ({shown.left_out} characters more)"
