"""What must hold for any scores: invariances, agreement of p-values and bounds, and intervals that never vanish."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import claims_of, compare_paired
from harness.statistics.betting import Bets

_LEVELS = st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0])
_BITS = st.sampled_from([0.0, 1.0])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    n = draw(st.integers(2, 60))
    score = draw(st.sampled_from([_BITS, _LEVELS, st.floats(0.0, 1.0)]))
    candidate = draw(st.lists(score, min_size=n, max_size=n))
    baseline = draw(st.lists(score, min_size=n, max_size=n))
    clusters = draw(st.none() | st.lists(st.sampled_from("abcdefghijklmnop"), min_size=n, max_size=n))
    return np.array(candidate), np.array(baseline), clusters


@given(pairs(), st.floats(0.005, 0.6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_order_of_cases_does_not_matter(data, margin, random):
    candidate, baseline, clusters = data
    order = list(range(len(candidate)))
    random.shuffle(order)
    shuffled = None if clusters is None else [clusters[i] for i in order]
    first = compare_paired(candidate, baseline, margin=margin, clusters=clusters)
    second = compare_paired(candidate[order], baseline[order], margin=margin, clusters=shuffled)
    for name in ("delta", "low", "high", "p_improved", "p_not_worse", "p_regressed", "p_harmed"):
        assert getattr(first, name) == pytest.approx(getattr(second, name), abs=1e-9)
    assert first.method == second.method


@given(pairs(), st.floats(0.005, 0.6))
@settings(max_examples=150, deadline=None)
def test_swapping_the_sides_mirrors_the_result(data, margin):
    candidate, baseline, clusters = data
    ours = compare_paired(candidate, baseline, margin=margin, clusters=clusters)
    theirs = compare_paired(baseline, candidate, margin=margin, clusters=clusters)
    assert (ours.delta, ours.low, ours.high) == pytest.approx((-theirs.delta, -theirs.high, -theirs.low), abs=1e-9)
    assert ours.p_improved == pytest.approx(theirs.p_regressed, abs=1e-9)
    assert ours.method == theirs.method


@given(pairs(), st.floats(0.005, 0.6))
@settings(max_examples=200, deadline=None)
def test_interval_holds_the_estimate_and_never_vanishes(data, margin):
    candidate, baseline, clusters = data
    result = compare_paired(candidate, baseline, margin=margin, clusters=clusters)
    assert -1.0 <= result.low <= result.delta <= result.high <= 1.0
    assert result.high - result.low > 1e-6
    assert all(0.0 <= p <= 1.0 for p in (result.p_improved, result.p_not_worse, result.p_regressed, result.p_harmed))


@given(pairs(), st.floats(0.005, 0.6))
@settings(max_examples=200, deadline=None)
def test_p_values_and_bounds_say_the_same(data, margin):
    candidate, baseline, clusters = data
    r = compare_paired(candidate, baseline, margin=margin, clusters=clusters)
    if r.method == "undecided":
        return
    for p, bound, value in (
        (r.p_improved, r.low, 0.0),
        (r.p_not_worse, r.low, -margin),
        (r.p_regressed, -r.high, 0.0),
        (r.p_harmed, -r.high, margin),
    ):
        if abs(bound - value) > 1e-6:
            assert (p <= r.alpha) == (bound > value)


@given(pairs(), st.floats(0.01, 0.3), st.floats(0.01, 0.3))
@settings(max_examples=150, deadline=None)
def test_a_larger_margin_never_unsays_not_worse_and_never_adds_harm(data, margin, more):
    candidate, baseline, clusters = data
    small = compare_paired(candidate, baseline, margin=margin, clusters=clusters)
    large = compare_paired(candidate, baseline, margin=margin + more, clusters=clusters)
    assert (small.p_not_worse <= small.alpha) <= (large.p_not_worse <= large.alpha)
    assert (large.p_harmed <= large.alpha) <= (small.p_harmed <= small.alpha)


@given(st.integers(2, 300), st.data())
@settings(max_examples=60, deadline=None)
def test_one_more_gain_never_lowers_the_lower_bound(n, data):
    losses = data.draw(st.integers(0, n - 1))
    gains = data.draw(st.integers(0, n - 1 - losses))
    from harness.statistics import exact

    assert exact.lower_bound(gains + 1, losses, n, 0.05) >= exact.lower_bound(gains, losses, n, 0.05) - 1e-6


@pytest.mark.parametrize("clusters", [None, np.repeat(np.arange(20), 3)])
@pytest.mark.parametrize("kind", ["all ties", "all won", "all lost", "constant shift", "one flip"])
@pytest.mark.parametrize("binary", [None, False])
def test_degenerate_data_never_gives_a_certain_answer(kind, clusters, binary):
    candidate, baseline = np.full(60, 0.5), np.full(60, 0.5)
    if kind == "all ties":
        candidate, baseline = np.ones(60), np.ones(60)
    elif kind == "all won":
        candidate, baseline = np.ones(60), np.zeros(60)
    elif kind == "all lost":
        candidate, baseline = np.zeros(60), np.ones(60)
    elif kind == "constant shift":
        candidate = np.full(60, 0.6)
    else:
        candidate, baseline = np.ones(60), np.ones(60)
        candidate[0] = 0.0
    result = compare_paired(candidate, baseline, margin=0.02, clusters=clusters, binary=binary)
    assert result.method in ("tango-exact", "betting")
    assert result.high - result.low > 0.01
    if kind in ("all ties", "one flip"):
        assert "not worse" not in claims_of(result)  # sixty cases cannot show a margin of two points


@pytest.mark.parametrize(
    ("n", "clusters", "says"),
    [
        (0, None, "no case was scored"),
        (1, None, "one case"),
        (40, ["a"] * 20 + ["b"] * 20, "2 clusters"),
        (200, ["big"] * 190 + [str(i) for i in range(10)], "unequal size"),
    ],
)
def test_too_little_is_undecided_and_says_why(n, clusters, says):
    result = compare_paired(np.ones(n), np.zeros(n), margin=0.1, clusters=clusters)
    assert result.method == "undecided"
    assert says in result.reason
    assert (result.low, result.high, result.p_not_worse, result.p_harmed) == (-1.0, 1.0, 1.0, 1.0)


def test_fewer_clusters_are_accepted_when_the_suite_says_so():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20)
    candidate = np.clip(0.5 + rng.normal(0, 0.02, 120), 0, 1)
    assert compare_paired(candidate, np.full(120, 0.5), margin=0.1, clusters=labels).method == "undecided"
    assert compare_paired(candidate, np.full(120, 0.5), margin=0.1, clusters=labels, min_clusters=5).method != "undecided"


def test_clusters_of_one_and_missing_labels_are_independent_cases():
    candidate, baseline = np.array([1.0, 0.0, 1.0] * 10), np.array([1.0, 1.0, 0.0] * 10)
    alone = compare_paired(candidate, baseline, margin=0.1)
    assert compare_paired(candidate, baseline, margin=0.1, clusters=[None] * 30) == alone
    assert compare_paired(candidate, baseline, margin=0.1, clusters=list(range(30))) == alone


def test_bigger_n_switches_the_method_without_a_jump():
    def at(n: int):
        candidate = np.ones(n)
        candidate[: n // 25] = 0.0
        baseline = np.ones(n)
        baseline[n // 2 : n // 2 + n // 50] = 0.0
        return compare_paired(candidate, baseline, margin=0.05)

    small, large = at(500), at(502)
    assert (small.method, large.method) == ("tango-exact", "tango")
    assert small.low == pytest.approx(large.low, abs=0.002)
    assert small.high == pytest.approx(large.high, abs=0.002)


def test_betting_bound_rises_toward_the_mean():
    rng = np.random.default_rng(5)
    values = rng.beta(2, 5, 4000)
    bounds = [Bets.on(values[:n]).lower_bound(0.05) for n in (10, 100, 1000, 4000)]
    assert bounds == sorted(bounds)
    assert 0.0 < values.mean() - bounds[-1] < 0.02
