"""Capabilities that move against each other: hand-worked pairs, symmetry, and the level in both worlds of changes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from harness.errors import DataError
from harness.statistics.history import MIN_CHECKPOINTS, Movement, bounds, movements


def only(a: list[float | None], b: list[float | None], seed: int = 0) -> Movement:
    (found,) = movements({"a": a, "b": b}, np.random.default_rng(seed))
    return found


UP_AND_DOWN = [0.5, 0.6, 0.45, 0.7, 0.42, 0.75, 0.41]


def test_a_perfect_seesaw() -> None:
    found = only(list(UP_AND_DOWN), [1 - x for x in UP_AND_DOWN])
    assert found.rho == pytest.approx(-1.0)
    assert found.checkpoints == 7
    assert found.p is not None
    # of the 720 orders of 6 changes two give |rho| = 1 (as it is, and reversed); the test that shuffles scores decides
    assert 2 / 720 <= found.p <= 0.05
    assert found.is_against(0.10)
    assert found.low <= -0.9
    assert found.high > -1.0


def test_the_same_direction_is_shown_and_not_against() -> None:
    found = only(list(UP_AND_DOWN), [x / 2 for x in UP_AND_DOWN])
    assert found.rho == pytest.approx(1.0)
    assert found.is_shown(0.10)
    assert not found.is_against(0.10)


def test_rho_is_spearmans_of_the_changes() -> None:
    a, b = [0.1, 0.3, 0.2, 0.5, 0.5, 0.9], [0.4, 0.2, 0.3, 0.3, 0.6, 0.1]
    assert only(list(a), list(b)).rho == pytest.approx(spearmanr(np.diff(a), np.diff(b)).statistic)


def test_the_exact_p_value_by_enumeration() -> None:
    a, b = [0.1, 0.5, 0.2, 0.6, 0.3], [0.9, 0.4, 0.8, 0.5, 0.6]

    def rho(x: list[float], y: list[float]) -> float:
        return abs(float(np.nan_to_num(spearmanr(np.round(x, 9), np.round(y, 9)).statistic)))

    seen = rho(list(np.diff(a)), list(np.diff(b)))
    shares = []
    for x, y in ((a, b), (b, a)):
        scores = [rho(list(np.diff(x)), list(np.diff(order))) for order in itertools.permutations(y)]
        changes = [rho(list(np.diff(x)), list(order)) for order in itertools.permutations(np.diff(y))]
        shares += [sum(r >= seen - 1e-9 for r in found) / len(found) for found in (scores, changes)]
    assert only(list(a), list(b)).p == pytest.approx(max(shares))


@pytest.mark.parametrize("n", range(MIN_CHECKPOINTS))
def test_few_checkpoints_are_undecided(n: int) -> None:
    found = only(list(UP_AND_DOWN[:n]), [1 - x for x in UP_AND_DOWN[:n]])
    assert (found.rho, found.p, found.adjusted) == (None, None, None)
    assert (found.low, found.high) == (-1.0, 1.0)
    assert found.reason == f"{n} checkpoints, and at least 5 are needed"
    assert not found.is_shown(0.99)


def test_five_checkpoints_never_show_anything_at_ten_percent_over_pairs() -> None:
    """24 orders of 4 changes: p is at least 2 / 24 = .083, and a second pair doubles it."""
    five = UP_AND_DOWN[:5]
    found = movements({"a": five, "b": [1 - x for x in five], "c": [0.1, 0.2, 0.2, 0.1, 0.3]}, np.random.default_rng(0))
    assert min(one.p for one in found if one.p is not None) >= 2 / 24
    assert (found[0].low, found[0].high) == (-1.0, 1.0)


def test_missing_scores_pair_what_is_left() -> None:
    gap: list[float | None] = list(UP_AND_DOWN)
    gap[2] = None
    assert only(gap, list(UP_AND_DOWN)).checkpoints == 6
    assert only([None] * 7, list(UP_AND_DOWN)).reason.startswith("0 checkpoints")


def test_a_capability_that_never_changes_is_undecided() -> None:
    assert only([1.0] * 8, [*UP_AND_DOWN, 0.5]).reason == "a always changes by the same"


@pytest.mark.parametrize("bad", [float("nan"), -0.1, 1.1, float("inf")])
def test_bad_scores_are_refused(bad: float) -> None:
    with pytest.raises(DataError):
        only([0.1, 0.2, 0.3, bad, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(DataError):
        movements({"a": [0.1], "b": [0.1, 0.2]}, np.random.default_rng(0))


_scores = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=5, max_size=6)


@settings(max_examples=40, deadline=None)
@given(_scores)
def test_mirroring_one_mirrors_rho_and_keeps_p(pairs: list[tuple[int, int]]) -> None:
    a, b = [x / 20 for x, _ in pairs], [y / 20 for _, y in pairs]
    plain, mirrored, swapped = only(list(a), list(b)), only(list(a), [1 - y for y in b]), only(list(b), list(a))
    assert plain.p == pytest.approx(mirrored.p) if plain.p is not None else mirrored.p is None
    assert plain.p == pytest.approx(swapped.p) if plain.p is not None else swapped.p is None
    if plain.rho is not None and mirrored.rho is not None:
        assert plain.rho == pytest.approx(-mirrored.rho, abs=1e-9)
        assert plain.low == pytest.approx(-mirrored.high, abs=1e-9)
        assert plain.low <= plain.rho <= plain.high


@given(st.floats(-1, 1), st.integers(4, 200))
def test_bounds_hold_rho_and_narrow(rho: float, changes: int) -> None:
    low, high = bounds(rho, changes)
    assert -1.0 <= low <= rho <= high <= 1.0
    wider = bounds(rho, max(4, changes // 2))
    assert high - low <= wider[1] - wider[0] + 1e-9


@pytest.mark.parametrize("memory", [0.0, 0.5, 1.0], ids=["around a level", "between", "wandering"])
@pytest.mark.parametrize("n", [6, 12])
def test_the_level_holds_whatever_scores_do_over_time(memory: float, n: int) -> None:
    """Independent capabilities: p <= .1 at most one time in ten, in both worlds and between them."""
    rng, times = np.random.default_rng(7), 150
    false = 0
    for _ in range(times):
        walks = np.zeros((n, 2))
        for t in range(1, n):
            walks[t] = memory * walks[t - 1] + rng.normal(0, 0.03, 2)
        a, b = np.clip(0.5 + walks, 0, 1).T
        found = only(a.tolist(), b.tolist())
        false += found.p is not None and found.p <= 0.10
    assert false / times <= 0.10 + 3 * (0.1 * 0.9 / times) ** 0.5


def test_the_interval_covers_where_changes_go_back_and_forth() -> None:
    """Independent scores around a level: rho of their changes is 0, and the interval holds it 95 times of 100."""
    rng, times = np.random.default_rng(8), 200
    missed = 0
    for _ in range(times):
        a, b = np.clip(rng.normal(0.5, 0.05, (2, 20)), 0, 1)
        found = only(a.tolist(), b.tolist())
        missed += not found.low <= 0.0 <= found.high
    assert missed / times <= 0.05 + 3 * (0.05 * 0.95 / times) ** 0.5


def test_a_real_seesaw_is_found_among_many_pairs() -> None:
    rng = np.random.default_rng(9)
    swing = rng.normal(0, 0.1, 14)
    scores = {f"still {i}": (0.5 + rng.normal(0, 0.02, 14)).tolist() for i in range(4)}
    scores |= {"up": (0.5 + swing).clip(0, 1).tolist(), "down": (0.5 - swing + rng.normal(0, 0.01, 14)).clip(0, 1).tolist()}
    found = movements(scores, rng)
    assert [(one.first, one.second) for one in found if one.is_against(0.10)] == [("down", "up")]
