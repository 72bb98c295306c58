"""pass@k, pass^k and flips against hand-worked examples, enumeration of all subsets, and simulation of the interval."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError, UsageError
from harness.statistics import clopper_pearson_lower, clopper_pearson_upper
from harness.statistics.sampling import flip_rates, pass_all_k, pass_at_k, pass_rates, samples_to_tell


def test_hand_worked() -> None:
    assert pass_at_k(5, 2, 1) == pytest.approx(2 / 5)
    assert pass_at_k(5, 2, 3) == pytest.approx(1 - 1 / 10)  # one of the C(5,3) = 10 subsets holds none of the two
    assert pass_all_k(5, 3, 2) == pytest.approx(3 / 10)  # C(3,2) of C(5,2)
    assert pass_all_k(5, 1, 2) == 0.0
    assert pass_at_k(4, 0, 4) == 0.0
    assert pass_at_k(4, 1, 4) == 1.0


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_it_is_the_average_over_all_subsets(counts: tuple[int, int, int]) -> None:
    n, c, k = counts
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
    assert pass_all_k(n, c, k) == pytest.approx(sum(map(all, subsets)) / len(subsets))


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))), st.floats(0, 1))
def test_unbiased(counts: tuple[int, int], p: float) -> None:
    """The expectation over c ~ Binomial(n, p) is exactly 1 - (1-p)^k and p^k."""
    n, k = counts
    chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    assert sum(w * pass_at_k(n, c, k) for c, w in enumerate(chance)) == pytest.approx(1 - (1 - p) ** k)
    assert sum(w * pass_all_k(n, c, k) for c, w in enumerate(chance)) == pytest.approx(p**k)


@given(st.integers(2, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_more_tries_never_pass_less(counts: tuple[int, int]) -> None:
    n, c = counts
    at = [pass_at_k(n, c, k) for k in range(1, n + 1)]
    every = [pass_all_k(n, c, k) for k in range(1, n + 1)]
    assert at == sorted(at)
    assert every == sorted(every, reverse=True)
    assert at[0] == pytest.approx(every[0])


def test_a_thousand_samples_do_not_overflow() -> None:
    assert 0.0 < pass_at_k(1000, 3, 500) < 1.0
    assert pass_all_k(1000, 999, 500) == pytest.approx(0.5)


def test_single_samples_give_clopper_pearson() -> None:
    rate = pass_rates([(1, 1)] * 18 + [(1, 0)] * 2, 1)
    assert rate.value == pytest.approx(0.9)
    assert rate.low == pytest.approx(clopper_pearson_lower(18, 20, 0.025))
    assert rate.high == pytest.approx(clopper_pearson_upper(18, 20, 0.025))


def test_cases_of_too_few_samples_are_counted_out() -> None:
    rate = pass_rates([(4, 4), (4, 0), (2, 2)], 3)
    assert (rate.value, rate.n, rate.left_out) == (0.5, 2, 1)
    nothing = pass_rates([(1, 1)], 3)
    assert (nothing.value, nothing.low, nothing.reason) == (None, None, "no case has 3 samples")
    assert pass_rates([], 1).value is None


def test_few_clusters_give_no_interval() -> None:
    counts = [(4, i % 5) for i in range(40)]
    few = pass_rates(counts, 2, clusters=[i % 3 for i in range(40)])
    assert few.value is not None
    assert few.low is None
    assert "3 clusters" in few.reason
    alone, many = pass_rates(counts, 2), pass_rates(counts, 2, clusters=[i // 4 for i in range(40)])
    assert alone.value == many.value
    assert many.n_clusters == 10


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_flips_mirror_and_ignore_order(pairs: list[tuple[bool, bool]], random: object) -> None:
    before, after = [a for a, _ in pairs], [b for _, b in pairs]
    flips, back = flip_rates(before, after), flip_rates(after, before)
    assert (flips.fixed, flips.broken) == (back.broken, back.fixed)
    assert flips.churn == back.churn
    assert flips.churn.value == pytest.approx((flips.fixed + flips.broken) / len(pairs))
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert flip_rates([a for a, _ in shuffled], [b for _, b in shuffled]) == flips


def test_negative_flip_rate_by_hand() -> None:
    flips = flip_rates([True, True, True, False, False], [True, False, True, True, False])
    assert (flips.fixed, flips.broken) == (1, 1)
    assert flips.negative.value == pytest.approx(1 / 5)  # of all cases, not of those that passed
    assert flips.churn.value == pytest.approx(2 / 5)
    assert flip_rates([], []).churn.reason == "no case was scored in both runs"


def test_the_interval_covers() -> None:
    """200 cases-worth of simulations: pass@3 of 5 samples whose chances differ from case to case."""
    rng = np.random.default_rng(20)
    truth, missed, times = np.mean([1 - (1 - p) ** 3 for p in np.linspace(0.05, 0.6, 40)]), 0, 200
    for _ in range(times):
        p = rng.choice(np.linspace(0.05, 0.6, 40), 60)
        rate = pass_rates([(5, int(c)) for c in rng.binomial(5, p)], 3)
        assert rate.low is not None
        assert rate.high is not None
        missed += not rate.low <= truth <= rate.high
    assert missed / times <= 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5


@pytest.mark.parametrize("counts", [(3, 4, 1), (3, -1, 1), (-1, 0, 1), (2.5, 1, 1), (True, 1, 1)])
def test_impossible_counts(counts: tuple[int, int, int]) -> None:
    with pytest.raises(DataError):
        pass_at_k(*counts)
    with pytest.raises(DataError):
        pass_rates([(counts[0], counts[1])], 1)


def test_impossible_k() -> None:
    with pytest.raises(UsageError):
        pass_at_k(3, 1, 0)
    with pytest.raises(DataError, match="samples"):
        pass_at_k(3, 1, 4)
    with pytest.raises(DataError):
        pass_rates([(1, 1)], 1, clusters=["a", "b"])
    with pytest.raises(DataError):
        flip_rates([True], [])


def test_samples_to_tell() -> None:
    assert samples_to_tell(0.25, 0.8) == 6  # .75^6 = .178 < .2 < .237 = .75^5
    assert samples_to_tell(0.5, 0.75) == 2  # exactly: .5^2 = .25
    with pytest.raises(UsageError):
        samples_to_tell(0.0)
