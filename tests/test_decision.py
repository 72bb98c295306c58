"""The verdict: what ships, what stops, what stays open, and that nothing unmeasured ever ships."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.comparison import NO_BASELINE
from harness.decision import decide, find_seesaw
from harness.errors import UsageError
from harness.model import (
    CapabilityComparison,
    Claim,
    Floor,
    Gate,
    Ledger,
    Outcome,
    Role,
    RunFacts,
    Served,
)
from harness.statistics import cases_to_decide, claims_of, compare_paired

PROTECTED, TARGET, ADVISORY = Role.PROTECTED, Role.TARGET, Role.ADVISORY


def compared(
    name: str, role: Role, gains: int, losses: int, n: int = 300, *, margin: float = 0.05, gain: float = 0.0, **more
) -> CapabilityComparison:
    """gains cases only the candidate passes, losses only the baseline, the rest both."""
    candidate, baseline = np.ones(n), np.ones(n)
    baseline[:gains] = 0.0
    candidate[gains : gains + losses] = 0.0
    result = compare_paired(candidate, baseline, margin=margin, gain=gain)
    fields = {
        "candidate_mean": float(candidate.mean()) if n else None,
        "baseline_mean": float(baseline.mean()) if n else None,
        "paired": result,
        "worst": result,
        "claims": claims_of(result),
        "n_planned": n,
        "n_paired": n,
        "n_needed": cases_to_decide(result, -margin),
        **more,
    }
    return CapabilityComparison(name, role, margin, **fields)


def fine(name: str = "dates") -> CapabilityComparison:
    return compared(name, PROTECTED, 3, 3)


def better(name: str = "extraction") -> CapabilityComparison:
    return compared(name, TARGET, 60, 5)


def broken(name: str = "dates") -> CapabilityComparison:
    return compared(name, PROTECTED, 0, 147)


def whole(n: int = 600, **more) -> RunFacts:
    return RunFacts(candidate=Ledger(n, n), baseline=Ledger(n, n), **more)


def codes(verdict, outcome=...) -> list[str]:
    return [r.code for r in verdict.reasons if outcome is ... or r.blocks is outcome]


def test_a_better_target_and_an_unharmed_protected_capability_ship():
    verdict = decide([better(), fine()], Gate(), whole())
    assert verdict.outcome is Outcome.SHIP
    assert codes(verdict) == ["not-worse", "target-met"]
    assert verdict.claims["extraction"] == (Claim.IMPROVED, Claim.NOT_WORSE)
    assert (verdict.seesaws, verdict.infrastructure) == ((), False)


def test_facts_are_optional_when_no_gate_needs_them():
    assert decide([better(), fine()], Gate()).outcome is Outcome.SHIP


def test_harm_is_told_with_its_numbers():
    verdict = decide([better(), broken()], Gate(), whole())
    assert verdict.outcome is Outcome.OPTIMIZE
    (harm,) = [r for r in verdict.reasons if r.code == "harmed"]
    assert harm.capability == "dates"
    assert harm.text.startswith("protected capability 'dates' is harmed: 1 -> 0.51, -0.490 [-0.5")
    assert "margin 0.05, 300 cases" in harm.text
    assert verdict.seesaws[0].gains == ("extraction",)
    assert verdict.seesaws[0].losses == ("dates",)


def test_not_enough_cases_is_inconclusive_and_says_how_many_and_what_they_cost():
    small = compared("dates", PROTECTED, 3, 3, n=40)
    verdict = decide([better(), small], Gate(), whole())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    (reason,) = [r for r in verdict.reasons if r.blocks is Outcome.INCONCLUSIVE]
    assert reason.capability == "dates"
    assert f"about {small.n_needed} cases would decide it, {small.n_needed - 40} more" in reason.text
    assert f"{2 * (small.n_needed - 40)} requests" in reason.text


def test_a_shown_loss_inside_the_margin_still_ships():
    verdict = decide([compared("dates", PROTECTED, 0, 12, n=1000), better()], Gate(), whole())
    assert verdict.outcome is Outcome.SHIP
    assert Claim.REGRESSED in verdict.claims["dates"]
    assert [r.blocks for r in verdict.reasons if r.code == "seesaw"] == [None]
    assert verdict.seesaws[0].losses == ("dates",)


def test_the_policy_can_forbid_the_seesaw():
    gate = Gate(seesaw="forbid")
    verdict = decide([compared("dates", PROTECTED, 0, 12, n=1000), better()], gate, whole())
    assert verdict.outcome is Outcome.OPTIMIZE
    assert codes(verdict, Outcome.OPTIMIZE) == ["seesaw"]
    assert decide([better(), fine()], gate, whole()).outcome is Outcome.SHIP


def test_advisory_never_blocks_but_takes_part_in_the_seesaw():
    verdict = decide([better(), compared("style", ADVISORY, 0, 150), fine()], Gate(), whole())
    assert verdict.outcome is Outcome.SHIP
    assert verdict.seesaws[0].losses == ("style",)


def test_every_protected_capability_must_pass():
    many = [fine(f"p{i}") for i in range(9)]
    assert decide([better(), *many], Gate(), whole()).outcome is Outcome.SHIP
    unsure = compared("p9", PROTECTED, 3, 3, n=40)
    assert decide([better(), *many, unsure], Gate(), whole()).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("targets", "second", "outcome"),
    [
        ("all", compared("b", TARGET, 5, 5), Outcome.INCONCLUSIVE),
        ("any", compared("b", TARGET, 5, 5), Outcome.SHIP),
        ("all", compared("b", TARGET, 2, 40), Outcome.OPTIMIZE),
        ("any", compared("b", TARGET, 2, 40), Outcome.SHIP),
    ],
)
def test_all_targets_or_any(targets, second, outcome):
    assert decide([better("a"), second, fine()], Gate(targets=targets), whole()).outcome is outcome


def test_any_pays_for_its_choice_with_holm():
    """p between alpha / 2 and alpha: enough for one target, not for the best of two."""
    edge = compared("a", TARGET, 14, 6)
    assert 0.025 < edge.paired.p_improved <= 0.05
    assert decide([edge, fine()], Gate(targets="any"), whole()).outcome is Outcome.SHIP
    assert decide([edge, compared("b", TARGET, 5, 5), fine()], Gate(targets="any"), whole()).outcome is Outcome.INCONCLUSIVE


def test_any_is_lost_only_when_every_target_falls_short():
    down = compared("a", TARGET, 2, 40)
    both = decide([down, compared("b", TARGET, 2, 40), fine()], Gate(targets="any"), whole())
    one = decide([down, compared("b", TARGET, 5, 5), fine()], Gate(targets="any"), whole())
    assert (both.outcome, one.outcome) == (Outcome.OPTIMIZE, Outcome.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("gains", "losses", "outcome"), [(60, 5, Outcome.SHIP), (36, 5, Outcome.INCONCLUSIVE), (8, 5, Outcome.OPTIMIZE)]
)
def test_the_required_gain_is_tested_not_only_estimated(gains, losses, outcome):
    gate = Gate(min_gain=0.1)
    target = compared("a", TARGET, gains, losses, gain=0.1)
    assert decide([target, fine()], gate, whole()).outcome is outcome
    by_bound = compared("a", TARGET, gains, losses)  # compared without that gain: its interval says the same
    assert decide([by_bound, fine()], gate, whole()).outcome is outcome


def test_missing_scores_must_not_carry_the_verdict():
    ok = fine()
    bad_worst = replace(ok, worst=broken().paired, missing_candidate=30, n_paired=270)
    verdict = decide([better(), bad_worst], Gate(), whole())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert codes(verdict, Outcome.INCONCLUSIVE) == ["missing-scores"]
    assert "only without the missing scores (candidate 30, baseline 0 of 300 cases)" in verdict.reasons[0].text
    target = replace(better(), worst=fine().paired, missing_baseline=20)
    assert codes(decide([target, fine()], Gate(), whole()), Outcome.INCONCLUSIVE) == ["missing-scores"]
    unbounded = replace(ok, worst=None, missing_candidate=1)
    assert decide([better(), unbounded], Gate(), whole()).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "facts",
    [
        whole(partial=True, partial_reason="--limit 20"),
        RunFacts(candidate=Ledger(600, 590, skipped={"interrupted": 10}), baseline=Ledger(600, 600)),
    ],
)
def test_a_partial_run_never_ships(facts):
    verdict = decide([better(), fine()], Gate(), facts)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert codes(verdict, Outcome.INCONCLUSIVE) == ["partial"]
    assert decide([better(), broken()], Gate(), facts).outcome is Outcome.OPTIMIZE


@pytest.mark.parametrize("comparisons", [[], [replace(fine(), paired=None, worst=None, baseline_mean=None, reason=NO_BASELINE)]])
def test_without_a_baseline_nothing_ships(comparisons):
    verdict = decide(comparisons, Gate(), whole())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert codes(verdict) == ["no-baseline"]


def test_floors_and_must_pass_are_judged_even_without_a_baseline():
    first = replace(fine(), paired=None, worst=None, reason=NO_BASELINE, must_pass_failed=("case1",))
    assert decide([first], Gate(), whole()).outcome is Outcome.OPTIMIZE


def test_nothing_planned_never_ships():
    empty = compared("dates", PROTECTED, 0, 0, n=0, n_needed=None, candidate_mean=None, baseline_mean=None)
    assert decide([empty], Gate(), RunFacts()).outcome is Outcome.INCONCLUSIVE
    assert "no-cases" in codes(decide([empty], Gate()))
    assert "no-cases" in codes(decide([better(), fine()], Gate(), RunFacts()))


def test_without_target_and_protected_nothing_decides():
    verdict = decide([compared("style", ADVISORY, 50, 0)], Gate(), whole())
    assert (verdict.outcome, codes(verdict)) == (Outcome.INCONCLUSIVE, ["nothing-decides"])


def test_too_many_errors_are_infrastructure_whatever_the_scores():
    sick = RunFacts(candidate=Ledger(600, 570, errored={"timeout": 25, "http-500": 5}), baseline=Ledger(600, 600))
    for comparisons in ([better(), fine()], [better(), broken()]):
        verdict = decide(comparisons, Gate(), sick)
        assert (verdict.outcome, verdict.infrastructure) == (Outcome.INCONCLUSIVE, True)
        assert verdict.reasons[0].code == "error-budget"
        assert "30 of 600 requests to the candidate failed (25 timeout, 5 http-500)" in verdict.reasons[0].text
    base_sick = RunFacts(candidate=sick.baseline, baseline=sick.candidate)
    assert decide([better(), fine()], Gate(), base_sick).infrastructure
    assert decide([better(), fine()], Gate(max_error_rate=0.05), sick).outcome is Outcome.SHIP


def test_books_that_do_not_close_are_infrastructure():
    verdict = decide([better(), fine()], Gate(), RunFacts(candidate=Ledger(600, 599), baseline=Ledger(600, 600)))
    assert (verdict.outcome, verdict.infrastructure, verdict.reasons[0].code) == (Outcome.INCONCLUSIVE, True, "ledger-open")


def test_too_many_unscored_answers_fail_the_gate():
    facts = RunFacts(candidate=Ledger(600, 560, unscored={"truncated": 40}), baseline=Ledger(600, 600))
    verdict = decide([better(), fine()], Gate(), facts)
    assert (verdict.outcome, codes(verdict, Outcome.OPTIMIZE)) == (Outcome.OPTIMIZE, ["unscored-budget"])
    assert "40 of 600 answers could not be scored (40 truncated)" in verdict.reasons[0].text


@pytest.mark.parametrize(
    ("fields", "role", "outcome"),
    [
        ({"must_pass_failed": ("case1", "case2")}, PROTECTED, Outcome.OPTIMIZE),
        ({"must_pass_missing": ("case1",)}, PROTECTED, Outcome.INCONCLUSIVE),
        ({"must_pass_failed": ("case1",)}, ADVISORY, Outcome.SHIP),
    ],
)
def test_must_pass_cases(fields, role, outcome):
    verdict = decide([better(), fine(), compared("safety", role, 2, 2, **fields)], Gate(), whole())
    assert verdict.outcome is outcome
    assert any("case1" in r.text for r in verdict.reasons)


@pytest.mark.parametrize(
    ("scores", "floor", "outcome"),
    [
        ([1.0] * 95 + [0.0] * 5, Floor("dates", 0.88), Outcome.SHIP),
        ([1.0] * 95 + [0.0] * 5, Floor("dates", 0.93), Outcome.INCONCLUSIVE),
        ([1.0] * 95 + [0.0] * 5, Floor("dates", 0.93, point=True), Outcome.SHIP),
        ([1.0] * 95 + [0.0] * 5, Floor("dates", 0.96, point=True), Outcome.OPTIMIZE),
        ([1.0] * 70 + [0.0] * 30, Floor("dates", 0.88), Outcome.OPTIMIZE),
        ([0.9, 0.95, 0.85] * 60, Floor("dates", 0.8), Outcome.SHIP),
        ([0.9, 0.95, 0.85] * 60, Floor("dates", 0.99), Outcome.OPTIMIZE),
        ([], Floor("dates", 0.1), Outcome.INCONCLUSIVE),
    ],
)
def test_floors_are_tests_unless_they_are_points(scores, floor, outcome):
    facts = whole(candidate_scores={"dates": scores})
    assert decide([better(), fine()], Gate(floors=(floor,)), facts).outcome is outcome


def test_a_floor_must_hold_with_missing_scores_at_zero():
    scores = {"dates": [1.0] * 100}
    gate = Gate(floors=(Floor("dates", 0.95),))
    assert decide([better(), fine()], gate, whole(candidate_scores=scores)).outcome is Outcome.SHIP
    holes = replace(fine(), missing_candidate=5)
    verdict = decide([better(), holes], gate, whole(candidate_scores=scores))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "only without 5 missing scores" in verdict.reasons[0].text


def test_a_floor_looks_at_clusters_not_cases():
    scores = {"dates": [1.0] * 95 + [0.0] * 5}
    gate = Gate(floors=(Floor("dates", 0.88),))
    clustered = whole(candidate_scores=scores, candidate_clusters={"dates": [f"doc{i // 20}" for i in range(100)]})
    assert decide([better(), fine()], gate, clustered).outcome is Outcome.INCONCLUSIVE


def test_gates_on_facts_that_were_not_handed_in_never_pass():
    for gate in (Gate(floors=(Floor("dates", 0.1),)), Gate(max_ttft_p95_s=1.0), Gate(max_latency_p95_s=1.0)):
        assert decide([better(), fine()], gate).outcome is Outcome.INCONCLUSIVE
        assert decide([better(), fine()], gate, whole()).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("measured", "outcome"), [(0.4, Outcome.SHIP), (0.6, Outcome.OPTIMIZE), (float("nan"), Outcome.OPTIMIZE)]
)
def test_latency_limits(measured, outcome):
    gate = Gate(max_ttft_p95_s=0.5, max_latency_p95_s=0.5)
    facts = whole(ttft_p95_s=measured, latency_p95_s=measured)
    assert decide([better(), fine()], gate, facts).outcome is outcome


FAST = Served(requests=1_000, seconds=20.0, concurrency=64, memory_gb=10.0)


@pytest.mark.parametrize(
    ("gate", "served", "outcome", "says"),
    [
        ({"max_memory_gb": 12.0}, FAST, Outcome.SHIP, "the server holds 10 GB, within the limit of 12 GB"),
        ({"max_memory_gb": 8.0}, FAST, Outcome.OPTIMIZE, "the server holds 10 GB, above the limit of 8 GB"),
        ({"max_memory_gb": 8.0}, replace(FAST, memory_gb=float("nan")), Outcome.OPTIMIZE, "above the limit"),
        ({"max_memory_gb": 12.0}, replace(FAST, memory_gb=None), Outcome.INCONCLUSIVE, "memory was not measured"),
        ({"max_memory_gb": 12.0}, None, Outcome.INCONCLUSIVE, "memory was not measured"),
        ({"min_requests_per_s": 50.0}, FAST, Outcome.SHIP, "50 answers a second at 64 at once, and the gate wants 50"),
        ({"min_requests_per_s": 51.0}, FAST, Outcome.OPTIMIZE, "50 answers a second at 64 at once, below the 51"),
        ({"min_requests_per_s": 5.0}, None, Outcome.INCONCLUSIVE, "capacity was not measured, and the gate wants 5 a second"),
        ({"min_requests_per_s": 5.0}, replace(FAST, seconds=0.0), Outcome.INCONCLUSIVE, "no request was sent"),
        ({"min_requests_per_s": 5.0}, replace(FAST, concurrency=8), Outcome.INCONCLUSIVE, "was measured at 8 requests at once"),
        ({"min_requests_per_s": 5.0}, replace(FAST, requests=127), Outcome.INCONCLUSIVE, "127 requests do not fill a server"),
        ({"min_requests_per_s": 5.0}, replace(FAST, seconds=float("nan")), Outcome.OPTIMIZE, "below the 5"),
    ],
)
def test_memory_and_capacity_are_hard_gates(gate, served, outcome, says):
    concurrency = {"at_concurrency": 64} if "min_requests_per_s" in gate else {}
    verdict = decide([better(), fine()], Gate(**gate, **concurrency), whole(served=served))
    assert verdict.outcome is outcome
    (reason,) = [r for r in verdict.reasons if r.code in ("memory", "capacity")]
    assert says in reason.text
    assert reason.blocks is outcome


def test_reasons_come_in_the_order_of_what_they_argue_for():
    verdict = decide([better(), fine("ok"), compared("small", PROTECTED, 3, 3, n=40), broken()], Gate(), whole())
    order = [r.blocks for r in verdict.reasons]
    assert order[0] is Outcome.OPTIMIZE
    assert order == sorted(order, key=[Outcome.OPTIMIZE, Outcome.INCONCLUSIVE, Outcome.SHIP, None].index)


def test_an_undecided_capability_holds_the_verdict_up_and_says_why():
    few = compared("dates", PROTECTED, 0, 0, n=1)
    verdict = decide([better(), few], Gate(), whole())
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "one case shows nothing about others" in verdict.reasons[0].text


def test_seesaw_needs_both_directions():
    assert find_seesaw([better(), better("b")], 0.1) is None
    assert find_seesaw([broken(), broken("b")], 0.1) is None
    assert find_seesaw([], 0.1) is None


@pytest.mark.parametrize(
    ("comparisons", "gate", "says"),
    [
        ([fine(), fine()], Gate(), "twice"),
        ([fine()], Gate(alpha=0.01), "another alpha"),
        ([fine()], Gate(targets="some"), "targets"),
        ([fine()], Gate(seesaw="maybe"), "seesaw"),
        ([fine()], Gate(alpha=0.0), "alpha"),
        ([fine()], Gate(fdr=1.5), "fdr"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(comparisons, gate, says):
    with pytest.raises(UsageError, match=says):
        decide(comparisons, gate)
