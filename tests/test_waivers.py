"""Waivers: what they let pass, what nothing lets pass, and that none of them goes unmentioned."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.suites import SMALL, faults_of, load_small, write_rows, write_suite

from harness.cli import call as harness
from harness.decision import decide
from harness.errors import SuiteError, UsageError
from harness.model import CapabilityComparison, Claim, Floor, Gate, Ledger, Outcome, Role, RunFacts, Verdict, Waiver
from harness.statistics import claims_of, compare_paired
from harness.suite.gatefile import read_gate

TODAY = date(2026, 11, 24)
FULL = RunFacts(candidate=Ledger(300, 300), baseline=Ledger(300, 300))


def compared(
    name: str, gains: int, losses: int, *, role: Role = Role.PROTECTED, n: int = 300, **more: Any
) -> CapabilityComparison:
    """gains cases only the candidate passes, losses only the baseline, the rest both."""
    candidate, baseline = np.ones(n), np.ones(n)
    baseline[:gains] = 0.0
    candidate[gains : gains + losses] = 0.0
    result = compare_paired(candidate, baseline, margin=0.05)
    fields = {"paired": result, "worst": result, "claims": claims_of(result), "n_planned": n, "n_paired": n} | more
    return CapabilityComparison(name, role, 0.05, float(candidate.mean()), float(baseline.mean()), **fields)


def waiver(day: str = "2026-12-31", *, capability: str | None = None, case: str | None = None) -> Waiver:
    return Waiver("Ann", "known, mended in December", day, capability, case)


def verdict(*comparisons: CapabilityComparison, waivers: tuple[Waiver, ...], facts: RunFacts = FULL, **gate: Any) -> Verdict:
    return decide(comparisons, Gate(waivers=waivers, **gate), facts, today=TODAY)


def codes(found: Verdict) -> list[str]:
    return [reason.code for reason in found.reasons]


HARMED, FINE = compared("dates", 0, 120), compared("sums", 2, 2)


def test_a_waived_harm_does_not_block_and_is_told() -> None:
    assert decide([HARMED, FINE], Gate(), FULL).outcome is Outcome.OPTIMIZE
    found = verdict(HARMED, FINE, waivers=(waiver(capability="dates"),))
    assert found.outcome is Outcome.SHIP
    reason = next(r for r in found.reasons if r.code == "waived")
    assert (reason.capability, reason.blocks) == ("dates", None)
    for part in ("harmed", "Ann", "2026-12-31", "known, mended in December"):
        assert part in reason.text
    assert [(use.state, bool(use.waived)) for use in found.waivers] == [("used", True)]
    assert Claim.HARMED in found.claims["dates"]  # what is shown stays shown


def test_what_is_not_shown_is_waived_with_it() -> None:
    """Else a candidate that is shown to be harmed would ship, and one that only may be would not."""
    unsure = compared("dates", 5, 14)
    assert decide([unsure, FINE], Gate(), FULL).outcome is Outcome.INCONCLUSIVE
    assert verdict(unsure, FINE, waivers=(waiver(capability="dates"),)).outcome is Outcome.SHIP


def test_it_holds_through_its_last_day_and_then_counts_as_absent() -> None:
    last = verdict(HARMED, FINE, waivers=(waiver(TODAY.isoformat(), capability="dates"),))
    assert (last.outcome, last.waivers[0].state) == (Outcome.SHIP, "used")
    over = verdict(HARMED, FINE, waivers=(waiver((TODAY - timedelta(days=1)).isoformat(), capability="dates"),))
    assert (over.outcome, over.waivers[0].state) == (Outcome.OPTIMIZE, "expired")
    assert {"harmed", "waiver-expired"} <= set(codes(over))


def test_an_unused_one_is_reported() -> None:
    found = verdict(FINE, waivers=(waiver(capability="sums"), waiver(case="f" * 16)))
    assert found.outcome is Outcome.SHIP
    assert [use.state for use in found.waivers] == ["unused", "unused"]
    assert codes(found).count("waiver-unused") == 2


def test_a_must_pass_case_is_waived_alone() -> None:
    both = compared("sums", 2, 2, must_pass_failed=("aa", "bb"), must_pass_missing=("cc",))
    one = verdict(both, waivers=(waiver(case="aa"),))
    assert one.outcome is Outcome.OPTIMIZE
    failed = next(r for r in one.reasons if r.code == "must-pass-failed")
    assert failed.text.startswith("1 must-pass cases")
    assert "aa" not in failed.text
    three = verdict(both, waivers=(waiver(case="aa"), waiver(case="bb"), waiver(case="cc")))
    assert three.outcome is Outcome.SHIP
    assert [use.state for use in three.waivers] == ["used"] * 3


def test_a_capability_does_not_cover_its_must_pass_cases() -> None:
    broken = replace(HARMED, must_pass_failed=("aa",))
    found = verdict(broken, FINE, waivers=(waiver(capability="dates"),))
    assert found.outcome is Outcome.OPTIMIZE
    assert {"must-pass-failed", "waived"} <= set(codes(found))


@pytest.mark.parametrize(
    ("facts", "gate", "outcome"),
    [
        (replace(FULL, partial=True), {}, Outcome.INCONCLUSIVE),
        (replace(FULL, candidate=Ledger(300, 200)), {}, Outcome.INCONCLUSIVE),  # books that do not close
        (replace(FULL, candidate=Ledger(300, 200, errored={"timeout": 100})), {}, Outcome.INCONCLUSIVE),
        (replace(FULL, baseline=Ledger(300, 200, errored={"timeout": 100})), {}, Outcome.INCONCLUSIVE),
        (replace(FULL, candidate=Ledger(300, 200, unscored={"truncated": 100})), {}, Outcome.OPTIMIZE),
        (replace(FULL, candidate=Ledger(300, 200, skipped={"limit": 100})), {}, Outcome.INCONCLUSIVE),
        (FULL, {"max_ttft_p95_s": 1.0}, Outcome.INCONCLUSIVE),
        (replace(FULL, tpot_p95_s=0.2), {"max_tpot_p95_s": 0.1}, Outcome.OPTIMIZE),
        (replace(FULL, candidate_scores={"dates": [0.0] * 300}), {"floors": (Floor("dates", 0.5),)}, Outcome.OPTIMIZE),
    ],
)
def test_nothing_else_can_be_waived(facts: RunFacts, gate: dict[str, Any], outcome: Outcome) -> None:
    found = verdict(HARMED, FINE, waivers=(waiver(capability="dates"), waiver(capability="sums")), facts=facts, **gate)
    assert found.outcome is outcome


def test_what_was_never_measured_is_not_waived() -> None:
    nothing = CapabilityComparison("dates", Role.PROTECTED, 0.05, None, None, None, claims=(Claim.UNDECIDED,), n_planned=300)
    assert verdict(nothing, FINE, waivers=(waiver(capability="dates"),)).outcome is Outcome.INCONCLUSIVE


def test_a_target_is_not_waived() -> None:
    short = compared("gain", 0, 120, role=Role.TARGET)
    found = verdict(short, FINE, waivers=(waiver(capability="gain"),))
    assert (found.outcome, found.waivers[0].state) == (Outcome.OPTIMIZE, "unused")


def test_a_forbidden_seesaw_passes_when_all_its_losses_are_waived() -> None:
    up, other = compared("gain", 120, 0, role=Role.TARGET), compared("names", 0, 14)
    one = verdict(up, HARMED, other, waivers=(waiver(capability="dates"),), seesaw="forbid")
    assert one.seesaws[0].losses == ("dates", "names")
    assert any(r.code == "seesaw" and r.blocks is Outcome.OPTIMIZE for r in one.reasons)
    both = verdict(up, HARMED, other, waivers=(waiver(capability="dates"), waiver(capability="names")), seesaw="forbid")
    assert both.outcome is Outcome.SHIP
    assert "seesaw" in codes(both)


def test_the_day_has_to_be_given_and_dates_to_be_dates() -> None:
    with pytest.raises(UsageError, match="which day"):
        decide([FINE], Gate(waivers=(waiver(capability="sums"),)), FULL)
    for bad in (waiver("soon", capability="sums"), waiver(), waiver(capability="sums", case="aa")):
        with pytest.raises(UsageError):
            verdict(FINE, waivers=(bad,))


names = st.sampled_from(["dates", "sums", "names", "nowhere"])
days = st.dates(date(2026, 11, 1), date(2026, 12, 31)).map(date.isoformat)
some = st.lists(st.builds(lambda name, day: waiver(day, capability=name), names, days), max_size=5).map(tuple)


@given(some, st.booleans())
def test_waivers_never_hurt_and_each_is_accounted_for(waivers: tuple[Waiver, ...], partial: bool) -> None:
    comparisons = (HARMED, FINE, compared("names", 5, 14))
    facts = replace(FULL, partial=partial)
    plain = decide(comparisons, Gate(), facts)
    found = decide(comparisons, Gate(waivers=waivers), facts, today=TODAY)
    assert [use.waiver for use in found.waivers] == list(waivers)
    assert sum(code in ("waived", "waiver-expired", "waiver-unused") for code in codes(found)) == len(waivers)
    order = [Outcome.OPTIMIZE, Outcome.INCONCLUSIVE, Outcome.SHIP]
    assert order.index(found.outcome) >= order.index(plain.outcome)
    assert not (partial and found.outcome is Outcome.SHIP)
    blocked = {r.capability for r in plain.reasons if r.blocks in order[:2]} - {None}
    let_go = blocked - {r.capability for r in found.reasons if r.blocks in order[:2]}
    assert let_go == {w.capability for w in waivers if w.expires >= TODAY.isoformat()} & blocked


# -- in a suite ------------------------------------------------------------------------------------------------------------------

CASES = [{"input": "1 + 1", "reference": 2, "must_pass": True}, {"input": "1 + 2", "reference": 3}]


def test_a_suite_has_them_in_its_gate_and_its_hash(tmp_path: Path) -> None:
    plain = load_small(tmp_path)
    row = {"capability": "sums", "owner": " Ann ", "reason": "known", "expires": "2026-12-31"}
    suite = load_small(tmp_path, waivers=[row])
    assert suite.gate.waivers == (Waiver("Ann", "known", "2026-12-31", "sums"),)
    assert load_small(tmp_path, waivers=[]).hash == plain.hash
    hashes = {load_small(tmp_path, waivers=[row | {key: text}]).hash for key, text in (("owner", "Bob"), ("reason", "so"))}
    assert len(hashes | {plain.hash, suite.hash}) == 4


def test_every_fault_has_its_line(tmp_path: Path) -> None:
    capabilities = {
        "sums": SMALL["capabilities"]["sums"] | {"cases": CASES},
        "extra": SMALL["capabilities"]["sums"] | {"role": "advisory"},
    }
    must, other = (case.id for case in load_small(tmp_path, capabilities=capabilities).capabilities["sums"].cases)
    head = "".join(line + "\n" for line in write_suite(tmp_path, SMALL | {"capabilities": capabilities}).read_text().split("\n"))
    rows = [
        "{capability: sumz, owner: Ann, reason: r, expires: 2026-12-31}",
        "{capability: extra, owner: Ann, reason: r, expires: 2026-12-31}",
        f"{{case: {other!r}, owner: Ann, reason: r, expires: 2026-12-31}}",
        "{case: 'ffffffffffffffff', owner: Ann, reason: r, expires: 2026-12-31}",
        f"{{case: {must!r}, owner: Ann, reason: r, expires: 2026-02-30}}",
        "{capability: sums, reason: r, expires: 2026-12-31}",
        "{capability: sums, owner: '  ', reason: r, expires: 2026-12-31}",
        "{owner: Ann, reason: r, expires: 2026-12-31}",
        f"{{capability: sums, case: {must!r}, owner: Ann, reason: r, expires: 2026-12-31}}",
        "{case: 1234567890123456, owner: Ann, reason: r, expires: 1798675200}",
        "{case: 'a<b>', owner: Ann, reason: r, expires: 2026-12-31, until: x}",
        "nonsense",
    ]
    document = head.rstrip().removesuffix("}").rstrip() + ',\n "waivers": [\n' + ",\n".join(rows) + "\n]}\n"
    path = write_suite(tmp_path, document)
    first = document.split("\n").index(' "waivers": [') + 2
    found = faults_of(path)
    by_row = {n: [f for f in found if f.startswith(f"suite.yaml:{first + n}:")] for n in range(len(rows))}
    assert all(by_row.values()), by_row
    for number, words in {
        0: "no capability", 1: "only a protected", 2: "not must-pass", 3: "not in the suite", 4: "a date such as",
        5: "'owner' is missing",
        6: "owner", 7: "either a capability or a case", 9: "in quotes", 10: "unknown key 'until'", 11: "mapping",
    }.items():  # fmt: skip
        assert any(words in fault for fault in by_row[number]), (number, by_row[number])
    assert any("waived twice" in fault for fault in found)


def test_in_a_gate_file(tmp_path: Path) -> None:
    path = tmp_path / "gate.yaml"
    rule = "owner: Ann, reason: r, expires: 2026-12-31"
    path.write_text(f"waivers: [{{capability: dates, {rule}}}]\n")
    assert read_gate(path).gate.waivers == (Waiver("Ann", "r", "2026-12-31", "dates"),)
    with pytest.raises(SuiteError, match=r"gate.yaml:1: the waived capability 'dates' has no scores"):
        read_gate(path).rules_for(["sums"])
    path.write_text(f"\nwaivers:\n- {{case: abc, {rule}}}\n")
    with pytest.raises(SuiteError, match=r"gate.yaml:3: score files have no must-pass"):
        read_gate(path).rules_for(["sums"])


def test_score_files_are_compared_with_waivers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sides = []
    for name, worse in (("a", 3), ("b", 10**9)):
        rows = ({"case_id": f"q{i}", "capability": "dates", "score": float(i % worse != 0)} for i in range(1, 300))
        sides.append(str(write_rows(tmp_path / f"{name}.jsonl", rows)))
    gate = tmp_path / "gate.yaml"
    gate.write_text("{}\n")
    assert harness(["compare", *sides, "--gate", str(gate)]) == 1
    gate.write_text("waivers:\n- {capability: dates, owner: Ann, reason: known, expires: 2999-12-31}\n")
    capsys.readouterr()
    assert harness(["compare", *sides, "--gate", str(gate), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["waivers"][0]["state"] == "used"
    assert told["waivers"][0]["waiver"]["owner"] == "Ann"
    assert [reason["code"] for reason in told["reasons"]] == ["waived"]
    gate.write_text(gate.read_text().replace("2999", "2019"))
    assert harness(["compare", *sides, "--gate", str(gate)]) == 1
    assert "expired on 2019-12-31" in " ".join(capsys.readouterr().out.split())
