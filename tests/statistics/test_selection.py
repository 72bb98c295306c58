"""The order of urgency costs no validity: weighted by their chances, the looked-at cases tell of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.statistics.selection import order, probabilities, shares, uniforms

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=30)


@pytest.mark.parametrize("n", [1, 5, 20, 39])
def test_weighted_sums_are_unbiased_wherever_people_stop(n: int) -> None:
    rng = np.random.default_rng(11)
    classes = ["urgent"] * 10 + ["rest"] * 30
    weights = shares(classes, {"urgent": 0.6, "rest": 0.4})
    values = np.concatenate([np.full(10, 0.9), rng.uniform(0, 0.3, 30)])  # the urgent are unlike the rest
    repeats = 8_000
    sums, plain = np.empty(repeats), np.empty(repeats)
    for r in range(repeats):
        draws = 1.0 - rng.uniform(size=40)
        first = order(weights, draws)[:n]
        sums[r] = (values[first] / probabilities(weights, draws, n)[first]).sum()
        plain[r] = 40 * values[first].mean()
    error = sums.std() / np.sqrt(repeats)
    assert abs(sums.mean() - values.sum()) < 4 * error
    assert n == 39 or plain.mean() > 1.2 * values.sum()  # what the weights mend


def test_counts_are_unbiased_too() -> None:
    rng = np.random.default_rng(3)
    weights = np.geomspace(0.1, 10, 12)
    sizes = []
    for _ in range(8_000):
        draws = 1.0 - rng.uniform(size=12)
        first = order(weights, draws)[:4]
        sizes.append((1.0 / probabilities(weights, draws, 4)[first]).sum())
    assert abs(np.mean(sizes) - 12) < 4 * np.std(sizes) / np.sqrt(8_000)


@settings(max_examples=60)
@given(WEIGHTS, st.integers(0, 40), st.integers(0, 1_000))
def test_every_case_has_a_chance_and_more_with_more_places(weights: list[float], n: int, seed: int) -> None:
    draws = uniforms(seed, [str(i) for i in range(len(weights))])
    few, more = probabilities(weights, draws, n), probabilities(weights, draws, n + 1)
    assert np.all(few > 0) and np.all(few <= 1) and np.all(more >= few)  # noqa: PT018
    assert sorted(order(weights, draws).tolist()) == list(range(len(weights)))
    if n >= len(weights):
        assert np.all(few == 1)


def test_the_sample_grows_in_one_order() -> None:
    weights, draws = np.array([1.0, 4.0, 1.0]), np.array([0.9, 0.8, 0.1])
    assert order(weights, draws).tolist() == [2, 1, 0]
    assert probabilities(weights, draws, 1).tolist() == pytest.approx([0.2, 0.8, 0.2])  # by hand: t = 0.8 / 4
    assert probabilities(weights, draws, 2).tolist() == pytest.approx([0.9, 1.0, 0.9])


def test_shares_are_of_effort_not_of_cases() -> None:
    weights = shares(["a", "b", "b", "b"], {"a": 0.5, "b": 0.5, "c": 9.0})
    assert weights.tolist() == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3])
    near = shares(["a", "a", "b"], {"a": 0.8, "b": 0.2}, [3.0, 1.0, 7.0])
    assert near.tolist() == pytest.approx([1.8, 0.6, 0.6])
    assert shares([], {}).tolist() == []


def test_a_cases_number_is_its_own() -> None:
    assert uniforms(1, ["a", "b"])[1] == uniforms(1, ["b"])[0] != uniforms(2, ["b"])[0]
    many = uniforms(0, [str(i) for i in range(20_000)])
    assert many.min() > 0 and many.max() <= 1 and abs(many.mean() - 0.5) < 0.01  # noqa: PT018


@pytest.mark.parametrize(
    ("weights", "draws"),
    [([1.0], [0.0]), ([1.0], [1.1]), ([0.0], [0.5]), ([float("nan")], [0.5]), ([float("inf")], [0.5]), ([1.0, 2.0], [0.5])],
)
def test_a_case_without_a_chance_is_refused(weights: list[float], draws: list[float]) -> None:
    with pytest.raises(DataError):
        order(weights, draws)


def test_a_class_without_a_share_is_refused() -> None:
    with pytest.raises(DataError, match="'b' has no share"):
        shares(["a", "b"], {"a": 1.0})
    with pytest.raises(DataError, match="positive"):
        shares(["a"], {"a": 1.0}, [0.0])
