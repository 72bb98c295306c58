"""A sequential gate on score rows: what counts as asked, what missing answers do, and that a verdict's error rate holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from support.suites import SMALL, faults_of, load_small, write_suite

from harness.columns import of_rows
from harness.comparison import DECIDED, column_facts, compare_runs, evidence_sequences, facts, turn
from harness.decision import decide
from harness.errors import DataError
from harness.model import Claim, Floor, Gate, ItemStatus, Outcome, Role, ScoreRow, Split
from harness.statistics.sequential import PairedSequence

GATE = Gate(sequential=True)
ALPHA = GATE.alpha


@dataclass(frozen=True)
class Rule:
    role: Role = Role.PROTECTED
    margin: float = 0.05


def rows(values: Sequence[float], capability: str = "c", cluster: str | None = None) -> list[ScoreRow]:
    """Rows in the random order, so that position i is asked as the i-th."""
    ids = sorted((f"{capability}{i}" for i in range(len(values))), key=turn)
    return [
        ScoreRow(i, capability, 0, ItemStatus.SCORED, float(v), v >= 0.5, cluster=cluster)
        for i, v in zip(ids, values, strict=True)
    ]


def skip(found: list[ScoreRow], start: int, reason: str = DECIDED) -> list[ScoreRow]:
    """All from the start-th on were not asked."""
    gone = [replace(row, status=ItemStatus.SKIPPED, value=None, passed=None, reason=reason) for row in found[start:]]
    return [*found[:start], *gone]


def lose(row: ScoreRow, status: ItemStatus = ItemStatus.ERRORED) -> ScoreRow:
    return replace(row, status=status, value=None, passed=None, reason="timeout")


def test_the_turn_is_the_same_everywhere_and_knows_nothing_of_the_name() -> None:
    assert turn("a").hex() == "b852dabe44948cd3cb16db03f0856cbb"  # runs of other versions and hosts go the same way
    ids = [f"{i:016x}" for i in range(2_000)]
    places = np.argsort([int.from_bytes(turn(i)) / 2**128 for i in ids])
    assert abs(np.corrcoef(places, np.arange(len(ids)))[0, 1]) < 0.07
    assert turn("\ud800") != turn("\ud801")  # half characters are ids, too


def test_what_was_not_asked_is_neither_missing_nor_evidence() -> None:
    good = rows([1.0] * 300)
    stopped = compare_runs(skip(good, 120), skip(good, 100), {"c": Rule()}, GATE)[0]
    alone = compare_runs(good[:100], good[:100], {"c": Rule()}, GATE)[0]
    assert stopped.paired == alone.paired == stopped.worst
    assert (stopped.n_planned, stopped.n_paired, stopped.missing_candidate, stopped.missing_baseline) == (300, 100, 0, 0)
    assert stopped.paired is not None
    assert stopped.paired.method == "sequential"
    verdict = decide((stopped,), GATE, facts(skip(good, 120), skip(good, 100)))
    assert verdict.outcome is Outcome.SHIP
    assert not [reason for reason in verdict.reasons if reason.code == "partial"]


def test_answers_beyond_the_first_gap_do_not_count() -> None:
    """Must-pass cases are asked first: out of turn they are no random sample."""
    found = skip(rows([1.0] * 50 + [0.0] * 50), 30)
    found[70:] = rows([1.0] * 50 + [0.0] * 50)[70:]
    compared = compare_runs(found, rows([1.0] * 100), {"c": Rule()}, GATE)[0]
    assert compared.n_paired == 30
    assert compared.paired is not None
    assert compared.paired.delta == 0.0
    cases, (ours, theirs) = of_rows(found, rows([1.0] * 100), split=Split.GATE)
    for sequential, size in ((True, 30), (False, 60)):  # what a floor is judged by
        assert len(column_facts(cases, ours, theirs, sequential=sequential).candidate_scores["c"]) == size


def test_skipped_for_another_reason_never_ships() -> None:
    good = rows([1.0] * 300)
    cut = skip(good, 150, reason="not-asked")
    compared = compare_runs(cut, good, {"c": Rule()}, GATE)
    assert Claim.NOT_WORSE in compared[0].claims
    verdict = decide(compared, GATE, facts(cut, good))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "partial" in {reason.code for reason in verdict.reasons}


def test_a_gate_of_fixed_n_takes_a_stopped_run_for_what_it_is() -> None:
    good = rows([1.0] * 300)
    fixed = Gate()
    compared = compare_runs(skip(good, 120), skip(good, 120), {"c": Rule()}, fixed)
    assert compared[0].missing_candidate == 180
    verdict = decide(compared, fixed, facts(skip(good, 120), skip(good, 120)))
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_missing_answers_in_turn_are_bounded_at_their_worst() -> None:
    ours, theirs = rows([1.0] * 200), rows([1.0] * 200)
    ours[3], ours[90], theirs[10] = lose(ours[3]), lose(ours[90], ItemStatus.UNSCORED), lose(theirs[10])
    compared = compare_runs(skip(ours, 150), skip(theirs, 150), {"c": Rule()}, GATE)[0]
    assert (compared.missing_candidate, compared.missing_baseline, compared.n_paired) == (2, 1, 147)
    assert compared.paired is not None
    assert compared.worst is not None
    assert (compared.paired.delta, compared.worst.delta) == (0.0, -2 / 150)  # a lost baseline counts 1, as it would have
    assert compared.worst.p_not_worse > compared.paired.p_not_worse


def test_the_order_of_the_rows_is_not_the_order_of_the_evidence() -> None:
    rng = np.random.default_rng(1)
    theirs = rows(list((rng.random(200) < 0.8).astype(float)))
    ours = rows(list((rng.random(200) < 0.7).astype(float)))
    straight = compare_runs(ours, theirs, {"c": Rule()}, GATE)
    Random(2).shuffle(ours)
    Random(3).shuffle(theirs)
    assert compare_runs(ours, theirs, {"c": Rule()}, GATE) == straight


def test_the_comparison_and_the_sequence_agree() -> None:
    ours, theirs = rows([1.0] * 20 + [0.0] * 30 + [1.0] * 100), rows([1.0] * 150)
    compared = compare_runs(ours, theirs, {"c": Rule()}, GATE)[0]
    sequence = PairedSequence(0.05)
    assert sequence.update([0.0] * 20 + [-1.0] * 30 + [0.0] * 100) == "harmed"
    assert Claim.HARMED in compared.claims
    drawn = evidence_sequences(ours, theirs, {"c": Rule()}, GATE)["c"]
    assert (drawn.decided_at, drawn.log_e_below) == (sequence.decided_at, sequence.log_e_harmed)


def test_clusters_are_refused() -> None:
    with pytest.raises(DataError, match="share clusters"):
        compare_runs(rows([1.0] * 9, cluster="doc"), rows([1.0] * 9, cluster="doc"), {"c": Rule()}, GATE)
    alone = [replace(row, cluster=row.case_id) for row in rows([1.0] * 9)]  # one case each: independent
    assert compare_runs(alone, alone, {"c": Rule()}, GATE)[0].n_paired == 9


def test_a_floor_has_bounds_that_hold_wherever_it_stopped() -> None:
    """1.0 on 40 of 40: fixed n shows more than .9 (.05^(1/40) = .928), looking all the time does not yet."""
    good = rows([1.0] * 40)
    for sequential, code in ((False, "floor-met"), (True, "floor-not-shown")):
        gate = Gate(sequential=sequential, floors=(Floor("c", 0.9),))
        verdict = decide(compare_runs(good, good, {"c": Rule()}, gate), gate, facts(good, good))
        assert code in {reason.code for reason in verdict.reasons}


# -- error rates ----------------------------------------------------------------------------------------------------------------


def shipped(truths: Sequence[tuple[Role, float, float]], gate: Gate, runs: int, n: int, seed: int) -> float:
    """Share of runs with a SHIP. truths: role, chance of a gain and of a loss. A look after every case is in each p-value."""
    rng, count = np.random.default_rng(seed), 0
    for _ in range(runs):
        ours: list[ScoreRow] = []
        theirs: list[ScoreRow] = []
        for k, (_, up, down) in enumerate(truths):
            u = rng.random(n)
            a = np.where(u < up, 1.0, np.where(u < up + down, 0.0, 1.0))
            b = np.where(u < up, 0.0, 1.0)
            ours += rows(list(a), f"c{k}")
            theirs += rows(list(b), f"c{k}")
        rules = {f"c{k}": Rule(role) for k, (role, _, _) in enumerate(truths)}
        count += decide(compare_runs(ours, theirs, rules, gate), gate).outcome is Outcome.SHIP
    return count / runs


def test_false_ship_with_one_of_four_protected_at_its_margin() -> None:
    truths = [(Role.PROTECTED, 0.02, 0.07), *[(Role.PROTECTED, 0.02, 0.0)] * 3]
    rate = shipped(truths, GATE, runs=150, n=150, seed=21)
    assert rate <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 150)


@pytest.mark.parametrize("targets", ["all", "any"])
def test_false_ship_when_no_target_gains(targets: str) -> None:
    truths = [*[(Role.TARGET, 0.05, 0.05)] * 3, (Role.PROTECTED, 0.05, 0.0)]
    rate = shipped(truths, replace(GATE, targets=targets), runs=150, n=150, seed=22)
    assert rate <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 150)


def test_a_better_candidate_does_ship() -> None:
    truths = [(Role.TARGET, 0.2, 0.02), (Role.PROTECTED, 0.03, 0.0)]
    assert shipped(truths, GATE, runs=20, n=200, seed=23) > 0.9


# -- the suite ------------------------------------------------------------------------------------------------------------------


def test_the_suite_says_it_and_its_hash_knows_only_of_true(tmp_path: Path) -> None:
    plain, off, on = (
        load_small(tmp_path, **change) for change in ({}, {"gate": {"sequential": False}}, {"gate": {"sequential": True}})
    )
    assert on.gate.sequential
    assert plain.hash == off.hash != on.hash


def test_a_suite_with_clusters_is_refused_at_its_line(tmp_path: Path) -> None:
    cases = [{"input": f"{i} + 1", "reference": i + 1, "cluster": f"d{i // 2}"} for i in range(4)]
    capabilities = {"sums": {"role": "protected", "cases": cases, "checks": ["numeric"]}}
    path = write_suite(tmp_path, SMALL | {"gate": {"sequential": True}, "capabilities": capabilities})
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "sequential" in text)
    (fault,) = faults_of(path)
    assert fault.startswith(f"suite.yaml:{line}: gate.sequential needs independent cases, and cases of 'sums' share clusters")
