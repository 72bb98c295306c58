"""Sequential evidence: its level under a look after every case, how early it decides, and what it refuses. Seeds are fixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, UsageError
from harness.statistics import compare_paired
from harness.statistics.sequential import (
    PairedSequence,
    ThresholdSequence,
    compare_sequential,
    log_evidence,
)

ALPHA = 0.05
LIMIT = math.log(1 / ALPHA)
differences = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=80)


def flips(up: float, down: float, n: int, runs: int, seed: int) -> np.ndarray:
    """(runs, n) differences of binary scores: +1 with chance up, -1 with chance down."""
    u = np.random.default_rng(seed).random((runs, n))
    return (u < up).astype(float) - ((u >= up) & (u < up + down)).astype(float)


def graded(delta: float, spread: float, n: int, runs: int, seed: int) -> np.ndarray:
    """(runs, n) graded differences with mean delta: a Beta laid over [-1, 1]; small spread: most mass near the mean."""
    mean, size = (1 + delta) / 2, 1 / spread
    return 2 * np.random.default_rng(seed).beta(mean * size, (1 - mean) * size, (runs, n)) - 1


def ever(d: np.ndarray, threshold: float) -> tuple[float, float]:
    """Share of runs in which a look after every case ever shows delta > threshold, and ever delta < threshold."""
    above = (log_evidence(d, threshold) >= LIMIT).any(axis=1)
    below = (log_evidence(-d, -threshold) >= LIMIT).any(axis=1)
    return float(above.mean()), float(below.mean())


def monte_carlo(runs: int) -> float:
    return 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("gains", [0.0, 0.01, 0.05, 0.2])
def test_level_at_the_margin_on_both_sides_for_binary_scores(margin, gains):
    """delta = -margin exactly, a look after each of 400 cases: neither "not worse" nor "harmed" is said too often."""
    runs = 1_000
    wrong = ever(flips(gains, gains + margin, 400, runs, seed=11), -margin)
    assert max(wrong) <= ALPHA + monte_carlo(runs)
    assert max(wrong) > 0.0  # a bet that is never won would show nothing


@pytest.mark.parametrize("spread", [0.01, 0.2, 2.0])
def test_level_at_the_margin_for_graded_scores(spread):
    runs = 1_000
    assert max(ever(graded(-0.05, spread, 400, runs, seed=12), -0.05)) <= ALPHA + monte_carlo(runs)


@pytest.mark.parametrize(("up", "down", "threshold"), [(0.08, 0.06, 0.02), (0.05, 0.05, 0.0), (0.02, 0.0, 0.02)])
def test_level_of_a_targets_gain(up, down, threshold):
    runs = 1_000
    assert max(ever(flips(up, down, 400, runs, seed=13), threshold)) <= ALPHA + monte_carlo(runs)


def test_level_when_the_truth_drifts_but_never_leaves_the_hypothesis():
    """Nothing is assumed about equal distributions: each case's mean may depend on what came before, as long as H0 holds."""
    rng, runs = np.random.default_rng(14), 1_500
    d, last = np.zeros((runs, 300)), np.zeros(runs)
    for i in range(300):
        flip = np.where(last < 0, 0.3, 0.02)  # a loss makes the next case wilder
        u = rng.random(runs)
        last = d[:, i] = (u < flip).astype(float) - ((u >= flip) & (u < 2 * flip + 0.05)).astype(float)
    assert ever(d, -0.05)[0] <= ALPHA + monte_carlo(runs)


def test_a_fixed_n_test_on_top_would_exceed_alpha():
    """Why an undecided sequence stays undecided: the same alpha spent twice. Counted at the margin."""
    d = flips(0.05, 0.10, 300, 1_500, seed=15)
    early = (log_evidence(d, -0.05) >= LIMIT).any(axis=1)
    late = np.array([_fixed_n_shows(row) for row in d])
    assert (early | late).mean() > max(early.mean(), late.mean()) + 0.005
    assert (early | late).mean() > ALPHA


def _fixed_n_shows(row: np.ndarray) -> bool:
    z = (row.mean() + 0.05) / (row.std(ddof=1) / math.sqrt(row.size))
    return bool(z >= 1.645)


# -- how early ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "up", "down", "goal", "decision"),
    [
        ("equal, 6 % flips", 0.03, 0.03, 0.45, "not_worse"),
        ("better by 3 points", 0.045, 0.015, 0.25, "not_worse"),
        ("better by 3 points, 10 % flips", 0.065, 0.035, 0.30, "not_worse"),
        ("worse by twice the margin, 6 % flips more", 0.03, 0.13, 0.65, "harmed"),
        ("worse by twice the margin, few gains", 0.01, 0.11, 0.55, "harmed"),
        ("the same model", 0.0, 0.0, 0.20, "not_worse"),
    ],
)
def test_share_of_cases_until_decided(name, up, down, goal, decision):
    """m = .05, n = 500; an undecided run counts with all its cases."""
    d = flips(up, down, 500, 1_000, seed=16)
    paths = log_evidence(d, -0.05), log_evidence(-d, 0.05)
    first = [np.where((path >= LIMIT).any(1), (path >= LIMIT).argmax(1) + 1, 501) for path in paths]
    share = np.minimum(np.minimum(*first), 500).mean() / 500
    right = first[0 if decision == "not_worse" else 1] <= 500
    print(f"{name}: decided after {share:.1%} of the cases, rightly in {right.mean():.1%}")
    assert share <= goal
    assert right.mean() >= 0.65


# -- the object -----------------------------------------------------------------------------------------------------------------


@given(differences, st.data())
@settings(max_examples=60, deadline=None)
def test_one_by_one_many_and_any_batches_say_the_same(values, data):
    one, many, batches = PairedSequence(0.1), PairedSequence(0.1), PairedSequence(0.1)
    decided = [one.update(value) for value in values]
    many.update(values)
    rest = values
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batches.update(rest[:size])
        rest = rest[size:]
    for other in (many, batches):
        assert (one.n, one.decision, one.decided_at) == (other.n, other.decision, other.decided_at)
        assert (one.log_e_not_worse, one.log_e_harmed) == (other.log_e_not_worse, other.log_e_harmed)
        assert np.array_equal(one.path.above, other.path.above)
        assert np.array_equal(one.path.below, other.path.below)
    assert decided[-1] == one.decision
    if one.decided_at is not None:
        assert decided.index(one.decision) == one.decided_at - 1


@given(differences)
@settings(max_examples=40, deadline=None)
def test_swapping_the_sides_mirrors_the_evidence(values):
    ours, theirs = ThresholdSequence(-0.1), ThresholdSequence(0.1)
    ours.update(values)
    theirs.update([-value for value in values])
    assert ours.log_e_above == theirs.log_e_below
    assert ours.log_e_below == theirs.log_e_above


def test_evidence_of_one_case_by_hand():
    """One loss of a whole point leaves, of each stake f, the share 1 - f; a second stake is not won back."""
    sequence = PairedSequence(0.05)
    sequence.update(-1)
    from harness.statistics.sequential import _STAKES

    expected = math.log(sum(math.exp(weight) * (1 - stake) for stake, weight in _STAKES))
    assert sequence.log_e_not_worse == pytest.approx(expected)
    assert sum(math.exp(weight) for _, weight in _STAKES) == pytest.approx(1.0)
    assert sequence.path.above[-1] == pytest.approx(expected / math.log(10))


def test_decisions_and_their_place():
    good, bad = PairedSequence(0.05), PairedSequence(0.05)
    assert good.update([0.0] * 500) == "not_worse"
    assert good.decided_at is not None
    assert good.decided_at < 110
    assert bad.update([-1.0]) is None
    assert bad.update([-1.0] * 9) == "harmed"
    assert bad.update([1.0] * 200) == "harmed"  # a decision stays
    assert bad.n == 210
    target = ThresholdSequence(0.02, above="improved", below="not reached")
    assert target.update([0.0, -1.0] * 40) == "not reached"


def test_a_stricter_level_for_one_side_decides_later():
    plain, strict = ThresholdSequence(0.0), ThresholdSequence(0.0, alpha_above=0.001)
    for sequence in (plain, strict):
        sequence.update([1.0] * 50)
    assert plain.decided_at < strict.decided_at


def test_nothing_seen_is_nothing_decided():
    sequence = PairedSequence(0.05)
    assert sequence.update([]) is None
    assert (sequence.n, sequence.log_e_not_worse, sequence.log_e_harmed, sequence.path.above.size) == (0, 0.0, 0.0, 0)


@pytest.mark.parametrize(
    "wrong", [math.nan, math.inf, 1.01, -1.5, [0.0, math.nan], "0.5", ["a"], None, [None], [[0.0, 1.0]], [0.1, 2], 1j]
)
def test_bad_differences_are_refused_and_count_nothing(wrong):
    sequence = PairedSequence(0.05)
    sequence.update([0.0, 1.0])
    before = sequence.log_e_not_worse
    with pytest.raises(DataError):
        sequence.update(wrong)
    assert (sequence.n, sequence.log_e_not_worse) == (2, before)


@pytest.mark.parametrize(("margin", "alpha"), [(0, 0.05), (-0.1, 0.05), (1, 0.05), (math.nan, 0.05), (0.05, 0), (0.05, 0.5)])
def test_bad_settings_are_refused(margin, alpha):
    with pytest.raises(UsageError):
        PairedSequence(margin, alpha)
    with pytest.raises(UsageError):
        compare_sequential([0.0, 0.0], margin=margin, alpha=alpha)


# -- the comparison -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("up", "down"), [(0.03, 0.03), (0.0, 0.02), (0.3, 0.25), (0.2, 0.0)])
def test_the_interval_holds_at_the_moment_of_stopping(up, down):
    """Stop when "not worse" or "harmed" is shown, the worst moment to be believed: does each bound hold at 1 - alpha?"""
    runs, delta = 150, up - down
    low_missed = high_missed = 0
    for d in flips(up, down, 250, runs, seed=17):
        sequence = PairedSequence(0.05)
        sequence.update(d)
        c = compare_sequential(d[: sequence.decided_at], margin=0.05)
        low_missed += c.low > delta
        high_missed += c.high < delta
    assert max(low_missed, high_missed) / runs <= ALPHA + monte_carlo(runs)


@given(differences)
@settings(max_examples=40, deadline=None)
def test_claims_bounds_and_sequence_agree(values):
    c = compare_sequential(values, margin=0.1, gain=0.2)
    sequence = PairedSequence(0.1)
    decision = sequence.update(values)
    assert (decision is not None) == (c.p_not_worse <= ALPHA or c.p_harmed <= ALPHA)
    assert -1 <= c.low <= c.delta <= c.high <= 1
    assert c.method == "sequential"
    assert c.p_not_worse <= c.p_improved <= c.p_gain  # the more is claimed, the less is shown
    if c.low < c.delta:  # not cut at the estimate
        assert (c.p_not_worse <= ALPHA) == (c.low >= -0.1 - 1e-6)
    mirrored = compare_sequential([-value for value in values], margin=0.1)
    assert (mirrored.delta, mirrored.low, mirrored.high) == pytest.approx((-c.delta, -c.high, -c.low), abs=1e-6)


def test_no_pairs_are_undecided():
    c = compare_sequential([], margin=0.05)
    assert (c.method, c.low, c.high, c.p_not_worse, c.n) == ("undecided", -1, 1, 1, 0)
    assert c.reason


def test_anytime_bounds_are_wider_than_those_of_fixed_n():
    """What looking at any time costs; were it narrower, something would be wrong."""
    rng = np.random.default_rng(18)
    baseline = (rng.random(400) < 0.7).astype(float)
    candidate = np.where(rng.random(400) < 0.06, 1 - baseline, baseline)
    fixed = compare_paired(candidate, baseline, margin=0.05)
    anytime = compare_sequential(candidate - baseline, margin=0.05)
    assert anytime.low < fixed.low < fixed.high < anytime.high
