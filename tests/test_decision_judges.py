"""Judges in the verdict: an uncalibrated one can block but not pass; what judges fail to say is nothing against a candidate."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from harness.decision import decide
from harness.model import (
    CapabilityComparison,
    Estimate,
    Floor,
    Gate,
    JudgeStanding,
    Ledger,
    Outcome,
    Role,
    RunFacts,
    Verdict,
    Waiver,
)
from harness.statistics import claims_of, compare_paired

DIGEST = "d" * 32
STRANGER = JudgeStanding("tone", DIGEST)


def known(kappa: float = 0.8, low: float | None = 0.7) -> JudgeStanding:
    return JudgeStanding("tone", DIGEST, Estimate(kappa, low, 0.9, 60), 60)


def judged(standing: JudgeStanding, losses: int = 3, role: Role = Role.PROTECTED, **more: Any) -> CapabilityComparison:
    candidate, baseline = np.ones(300), np.ones(300)
    candidate[:losses] = 0.0
    baseline[3:6] = 0.0
    paired = compare_paired(candidate, baseline, margin=0.05)
    fields: dict[str, Any] = {"paired": paired, "worst": paired, "claims": claims_of(paired), "n_planned": 300, "n_paired": 300}
    return CapabilityComparison("tone", role, 0.05, 0.99, 0.99, judges=(standing,), **fields | more)


def decided(comparison: CapabilityComparison, facts: RunFacts | None = None, **gate: Any) -> Verdict:
    return decide([comparison], Gate(**gate), facts or whole(), today=date(2026, 1, 1))


def whole(**unscored: int) -> RunFacts:
    reasons = {name.replace("_", "-"): count for name, count in unscored.items()}
    return RunFacts(candidate=Ledger(300, 300 - sum(reasons.values()), reasons), baseline=Ledger(300, 300))


def blocking(verdict: Verdict) -> dict[str, Outcome | None]:
    return {reason.code: reason.blocks for reason in verdict.reasons}


def test_an_uncalibrated_judge_cannot_pass_a_protected_capability_and_says_what_would() -> None:
    verdict = decided(judged(STRANGER))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    [reason] = [one for one in verdict.reasons if one.code == "judge-uncalibrated"]
    assert "'tone'" in reason.text
    assert "can block, not pass" in reason.text
    assert "harness judge calibrate" in reason.text
    assert "(judge uncalibrated)" in reason.text


@pytest.mark.parametrize("losses", [60, 300])
def test_it_can_block(losses: int) -> None:
    verdict = decided(judged(STRANGER, losses))
    assert verdict.outcome is Outcome.OPTIMIZE
    assert "(judge uncalibrated)" in verdict.reasons[0].text


def test_trust_calibration_or_labels_let_it_pass() -> None:
    assert decided(judged(STRANGER), trust_uncalibrated=True).outcome is Outcome.SHIP
    assert "judge uncalibrated" in decided(judged(STRANGER), trust_uncalibrated=True).reasons[0].text, "it stays said"
    ship = decided(judged(known()))
    assert ship.outcome is Outcome.SHIP
    assert "uncalibrated" not in ship.reasons[0].text
    corrected = decided(judged(STRANGER, n_labelled=60))
    assert corrected.outcome is Outcome.SHIP
    assert "corrected by 60 labelled cases" in corrected.reasons[0].text


def test_a_judge_that_is_only_reported_or_of_a_target_keeps_nobody_back() -> None:
    assert decided(judged(STRANGER, role=Role.ADVISORY)).outcome is Outcome.INCONCLUSIVE, "nothing decides"
    target = judged(STRANGER, losses=0, role=Role.TARGET)
    better = replace(target, paired=compare_paired(np.ones(300), np.r_[np.zeros(60), np.ones(240)], margin=0.05), worst=None)
    assert decided(better).outcome is Outcome.SHIP
    assert "(judge uncalibrated)" in decided(better).reasons[0].text


def test_a_floor_says_who_stands_behind_it() -> None:
    facts = replace(whole(), candidate_scores={"tone": [1.0] * 300})
    verdict = decided(judged(STRANGER), facts, floors=(Floor("tone", 0.5),))
    assert any(reason.code == "floor-met" and "judge uncalibrated" in reason.text for reason in verdict.reasons)


def test_a_waiver_of_the_capability_waives_the_doubt_about_its_judge() -> None:
    waiver = Waiver("Ann", "we know", "2026-12-31", capability="tone")
    assert decided(judged(STRANGER), waivers=(waiver,)).outcome is Outcome.SHIP


@pytest.mark.parametrize(
    ("standing", "outcome"),
    [
        (STRANGER, Outcome.INCONCLUSIVE),
        (known(0.8, 0.7), Outcome.SHIP),
        (known(0.8, 0.55), Outcome.INCONCLUSIVE),
        (known(0.3, 0.1), Outcome.INCONCLUSIVE),
        (known(0.8, None), Outcome.SHIP),
    ],
)
def test_the_lower_bound_of_kappa_must_reach_the_gates(standing: JudgeStanding, outcome: Outcome) -> None:
    """A judge that agrees too little says nothing against the candidate: it is the instrument that fails."""
    verdict = decided(judged(standing), min_kappa=0.6, trust_uncalibrated=True)
    assert verdict.outcome is outcome
    assert "judge-kappa" in blocking(verdict)


def test_one_judge_of_several_capabilities_is_asked_for_its_kappa_once() -> None:
    two = [judged(known()), replace(judged(known()), capability="style")]
    verdict = decide(two, Gate(min_kappa=0.6), whole())
    assert [reason.code for reason in verdict.reasons].count("judge-kappa") == 1


def test_verdicts_that_a_judge_does_not_give_are_counted_apart_from_answers_that_cannot_be_scored() -> None:
    facts = whole(judge_invalid_json=20, judge_refused=5, no_record=5)
    verdict = decided(judged(known()), facts)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert blocking(verdict)["judge-budget"] is Outcome.INCONCLUSIVE
    assert "unscored-budget" not in blocking(verdict)
    assert blocking(decided(judged(known()), whole(truncated=30)))["unscored-budget"] is Outcome.OPTIMIZE
    both = blocking(decided(judged(known()), whole(truncated=10, judge_refused=10)))
    assert "judge-budget" not in both
    assert "unscored-budget" not in both


def test_a_judge_that_could_not_be_asked_is_infrastructure() -> None:
    verdict = decided(judged(known()), whole(judge_error=30))
    assert verdict.infrastructure
    assert blocking(verdict)["judge-error-budget"] is Outcome.INCONCLUSIVE
    assert not decided(judged(known()), whole(judge_error=3)).infrastructure
    broken = replace(whole(), baseline=Ledger(300, 270, {"judge-error": 30}))
    assert decided(judged(known()), broken).infrastructure, "of either side"
