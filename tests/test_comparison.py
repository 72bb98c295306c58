"""Rows of two runs become comparisons: pairing, missing scores, flips, must-pass, and hostile or mismatched rows."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from harness.comparison import NO_BASELINE, compare_runs, facts
from harness.errors import DataError
from harness.model import Claim, Gate, ItemStatus, Role, ScoreRow, Split
from harness.statistics import compare_paired


@dataclass(frozen=True)
class Policy:
    role: Role = Role.PROTECTED
    margin: float = 0.1


def row(case: int, value: float | None, *, capability: str = "dates", sample: int = 0, **more) -> ScoreRow:
    status = more.pop("status", ItemStatus.SCORED if value is not None else ItemStatus.UNSCORED)
    reason = None if status is ItemStatus.SCORED else "empty"
    return ScoreRow(f"case{case:04d}", capability, sample, status, value, reason=reason, **more)


def run(values, **more) -> list[ScoreRow]:
    return [row(i, value, **more) for i, value in enumerate(values)]


ONE = {"dates": Policy()}


def test_cases_pair_and_the_numbers_are_those_of_compare_paired():
    ours, theirs = [1.0] * 30 + [0.0] * 10 + [1.0] * 5, [1.0] * 30 + [1.0] * 10 + [0.0] * 5
    (result,) = compare_runs(run(ours), run(theirs), ONE, Gate())
    assert result.paired == compare_paired(ours, theirs, margin=0.1)
    assert result.worst == result.paired
    assert (result.candidate_mean, result.baseline_mean) == pytest.approx((35 / 45, 40 / 45))
    assert (result.n_planned, result.n_paired, result.missing_candidate, result.missing_baseline) == (45, 45, 0, 0)
    assert result.broken == tuple(f"case{i:04d}" for i in range(30, 40))
    assert result.fixed == tuple(f"case{i:04d}" for i in range(40, 45))
    assert result.n_needed is None or result.n_needed > 45


def test_row_order_does_not_matter():
    ours, theirs = run([1.0, 0.0, 0.5] * 12), run([1.0, 1.0, 0.25] * 12)
    first = compare_runs(ours, theirs, ONE, Gate())
    random.Random(1).shuffle(ours)
    random.Random(2).shuffle(theirs)
    assert compare_runs(ours, theirs, ONE, Gate()) == first


def test_missing_scores_do_not_pair_and_are_bounded_by_the_worst_case():
    ours, theirs = [1.0] * 40, [1.0] * 40
    ours[3] = ours[7] = None
    theirs[7] = theirs[9] = None
    (result,) = compare_runs(run(ours), run(theirs), ONE, Gate())
    assert (result.n_planned, result.n_paired, result.missing_candidate, result.missing_baseline) == (40, 37, 2, 2)
    assert result.paired.delta == 0.0
    # case 3: 0 against 1; case 7: 0 against 1; case 9: 1 against 1
    assert result.worst.n == 40
    assert result.worst.delta == pytest.approx(-2 / 40)
    assert result.broken == ()


def test_a_case_counts_only_with_all_its_samples():
    ours = [row(0, 1.0), row(0, 0.5, sample=1), row(1, 1.0), row(1, None, sample=1), row(2, 1.0), row(2, 1.0, sample=1)]
    theirs = [row(i, 1.0, sample=s) for i in range(3) for s in range(2)]
    (result,) = compare_runs(ours, theirs, ONE, Gate())
    assert (result.n_paired, result.missing_candidate) == (2, 1)
    assert result.candidate_mean == pytest.approx((0.75 + 1.0) / 2)


@pytest.mark.parametrize("status", [ItemStatus.ERRORED, ItemStatus.SKIPPED, ItemStatus.UNSCORED])
def test_every_kind_of_missing_is_missing_never_zero(status):
    ours = [*run([1.0] * 10), row(10, None, status=status)]
    (result,) = compare_runs(ours, run([1.0] * 11), ONE, Gate())
    assert result.candidate_mean == 1.0
    assert result.missing_candidate == 1


def test_a_value_beside_a_status_that_has_none_is_not_used():
    ours = [*run([1.0] * 10), replace(row(10, 0.0), status=ItemStatus.ERRORED)]
    (result,) = compare_runs(ours, run([1.0] * 11), ONE, Gate())
    assert result.missing_candidate == 1


def test_passed_decides_flips_before_the_score_does():
    ours = [replace(row(0, 0.9), passed=False), row(1, 0.5), row(2, 0.49)]
    theirs = [replace(row(0, 0.9), passed=True), row(1, 0.1), row(2, 0.9)]
    (result,) = compare_runs(ours, theirs, ONE, Gate())
    assert result.fixed == ("case0001",)
    assert result.broken == ("case0000", "case0002")


def test_must_pass_fails_on_any_sample_and_is_missing_without_a_score():
    ours = [
        row(0, 1.0, must_pass=True),
        row(0, 0.0, sample=1, must_pass=True),
        row(1, None, must_pass=True),
        row(2, 1.0, must_pass=True),
        row(3, 0.0, must_pass=True, sample=0),
        row(3, None, must_pass=True, sample=1),
        row(4, 0.0),
    ]
    (result,) = compare_runs(ours, None, ONE, Gate())
    assert result.must_pass_failed == ("case0000", "case0003")
    assert result.must_pass_missing == ("case0001",)


def test_only_the_asked_split_decides():
    rows = run([1.0] * 12) + [row(100 + i, 0.0, split=Split.DEV) for i in range(12)]
    (gate_side,) = compare_runs(rows, rows, ONE, Gate())
    (dev_side,) = compare_runs(rows, rows, ONE, Gate(), split=Split.DEV)
    assert (gate_side.candidate_mean, dev_side.candidate_mean) == (1.0, 0.0)


def test_clusters_reach_the_statistics_and_min_clusters_comes_from_the_gate():
    rows = [row(i, float(i % 3 == 0), cluster=f"doc{i % 6}") for i in range(60)]
    (result,) = compare_runs(rows, rows, ONE, Gate())
    assert result.paired.method == "undecided"
    assert "6 clusters" in result.reason
    (allowed,) = compare_runs(rows, rows, ONE, Gate(min_clusters=5))
    assert allowed.paired.n_clusters == 6


def test_without_a_baseline_the_means_and_must_pass_are_still_there():
    (result,) = compare_runs(run([1.0, 0.0]), None, ONE, Gate())
    assert (result.paired, result.candidate_mean, result.baseline_mean, result.reason) == (None, 0.5, None, NO_BASELINE)
    assert result.claims == (Claim.UNDECIDED,)


def test_capabilities_keep_their_order_and_an_empty_one_says_so():
    capabilities = {"b": Policy(), "a": Policy(Role.TARGET), "empty": Policy()}
    rows = run([1.0, 0.0], capability="a") + run([1.0, 1.0], capability="b")
    results = compare_runs(rows, rows, capabilities, Gate())
    assert [r.capability for r in results] == ["b", "a", "empty"]
    assert results[2].reason == "no cases planned"
    assert results[2].paired.method == "undecided"


def test_the_gain_of_the_gate_is_tested_for_targets():
    ours, theirs = [1.0] * 80 + [0.0] * 20, [1.0] * 50 + [0.0] * 50
    capabilities = {"dates": Policy(Role.TARGET)}
    (result,) = compare_runs(run(ours), run(theirs), capabilities, Gate(min_gain=0.2))
    assert result.paired.gain == 0.2
    assert result.paired.p_gain > result.paired.p_improved


@pytest.mark.parametrize(
    ("ours", "theirs", "says"),
    [
        (run([1.0, 1.0, 1.0]), run([1.0]), "2 only in the candidate's run .such as case0001, case0002"),
        (run([1.0]), run([1.0, 1.0]), "1 only in the baseline's .such as case0001"),
        ([*run([1.0]), row(0, 1.0)], run([1.0]), "case0000 of 'dates' has sample 0 twice"),
        (run([1.5]), run([1.0]), "is scored 1.5"),
        (run([float("nan")]), run([1.0]), "is scored nan"),
        ([row(0, None, status=ItemStatus.SCORED)], run([1.0]), "is scored None"),
        (run([1.0], capability="other"), run([1.0]), "'other', unknown here. Known: dates"),
        (run([1.0], cluster="a"), run([1.0], cluster="b"), "different clusters"),
        ([row(0, "1.0")], run([1.0]), "is scored '1.0'|not a number"),
    ],
)
def test_rows_that_cannot_be_compared_are_refused(ours, theirs, says):
    with pytest.raises(DataError, match=says):
        compare_runs(ours, theirs, ONE, Gate())


def test_case_ids_are_only_data():
    hostile = ["<script>alert(1)</script>", "'; DROP TABLE cases; --", "../../etc/passwd", "\u202e", "case\n\n0", ""]
    rows = [replace(row(0, 1.0, must_pass=True), case_id=name) for name in hostile]
    flipped = [replace(r, value=0.0) for r in rows]
    (result,) = compare_runs(flipped, rows, ONE, Gate())
    assert set(result.broken) == set(result.must_pass_failed) == set(hostile)


def test_facts_close_the_books_and_keep_complete_case_means():
    rows = [
        row(0, 1.0),
        row(0, 0.5, sample=1),
        row(1, 1.0, cluster="x"),
        row(1, None, sample=1, cluster="x"),
        row(2, None, status=ItemStatus.ERRORED),
        row(3, 0.0, split=Split.DEV),
    ]
    found = facts(rows, run([1.0]), partial=True, partial_reason="--limit 3", ttft_p95_s=0.2)
    assert (found.candidate.planned, found.candidate.scored, found.candidate.n_unscored, found.candidate.n_errored) == (
        5,
        3,
        1,
        1,
    )
    assert found.candidate.closed
    assert found.baseline.planned == 1
    assert found.candidate_scores == {"dates": (0.75,)}
    assert found.candidate_clusters == {"dates": (None,)}
    assert (found.partial, found.partial_reason, found.ttft_p95_s, found.latency_p95_s) == (True, "--limit 3", 0.2, None)
