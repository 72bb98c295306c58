"""The noise floor: counted by hand, and how often an A/A of fair noise says that it is not fair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from harness.comparison import compare_runs
from harness.model import CapabilityComparison, Claim, Gate, ItemStatus, Role, ScoreRow
from harness.noise import Halves, floor_of, halves
from harness.suite.gatefile import Rule

GATE = Gate()


def rows(values: np.ndarray, capability: str = "dates") -> list[ScoreRow]:
    return [
        ScoreRow(f"{i:016x}", capability, 0, ItemStatus.SCORED, float(v), passed=bool(v >= 0.5)) for i, v in enumerate(values)
    ]


def compared(first: np.ndarray, second: np.ndarray, names: tuple[str, ...] = ("dates",)) -> list[CapabilityComparison]:
    ours = [row for name in names for row in rows(first, name)]
    theirs = [row for name in names for row in rows(second, name)]
    return list(compare_runs(ours, theirs, {name: Rule(Role.PROTECTED, 0.05) for name in names}, GATE))


def flipped(n: int, up: int, down: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.ones(n), np.ones(n)
    second[:up], first[up : up + down] = 0.0, 0.0
    return first, second


def test_by_hand() -> None:
    floor = floor_of(compared(*flipped(500, 4, 2)), GATE.alpha)
    (row,) = floor.rows
    assert (row.n, row.flips, floor.flips, floor.rate) == (500, 6, 6, 6 / 500)
    assert row.low == pytest.approx(beta.ppf(0.025, 6, 495))
    assert row.high == pytest.approx(beta.ppf(0.975, 7, 494))
    assert row.threshold == pytest.approx(1.96 * np.sqrt(6 / 500**2), rel=0.35)  # the exact interval is a careful one
    assert row.threshold > 1.96 * np.sqrt(6 / 500**2)
    assert (row.claims, floor.false) == ((), ())
    assert floor.sentence().startswith("noise floor: 1.2 % of cases flip by themselves [0.4, 2.6]; differences under ")


def test_a_sequential_interval_is_not_taken_for_the_noise() -> None:
    from harness.statistics.sequential import compare_sequential

    first, second = flipped(400, 8, 8)
    (fixed,) = compared(first, second)
    looked = replace(fixed, paired=compare_sequential(first - second, margin=0.05, alpha=0.05))
    assert floor_of([looked], 0.05).rows[0].threshold == pytest.approx(1.959964 * 4 / 400)


def test_no_flip_at_all_still_has_a_floor() -> None:
    floor = floor_of(compared(np.ones(50), np.ones(50)), GATE.alpha)
    assert floor.rows[0].threshold is not None
    assert floor.rows[0].threshold >= 1 / 50
    assert floor.high == pytest.approx(1 - 0.025 ** (1 / 50))


def test_a_shift_is_false_and_stays_so_when_corrected() -> None:
    names = tuple(f"c{i}" for i in range(8))
    chance = floor_of(compared(*flipped(300, 12, 3), names), GATE.alpha)
    assert all(row.claims == (Claim.IMPROVED,) for row in chance.rows)  # each at alpha
    real = floor_of(compared(*flipped(300, 60, 3), names), GATE.alpha)
    assert real.false == names


def test_fair_noise_is_called_false_at_most_at_alpha() -> None:
    """Ten capabilities, 5 % flips either way, 200 A/As."""
    rng, names = np.random.default_rng(5), tuple(f"c{i}" for i in range(10))
    wrong = 0
    for _ in range(200):
        ours, theirs = [], []
        for name in names:
            u = rng.random(60)
            ours += rows(np.where(u < 0.025, 0.0, 1.0), name)
            theirs += rows(np.where(u > 0.975, 0.0, 1.0), name)
        comparisons = compare_runs(ours, theirs, {name: Rule(Role.PROTECTED, 0.05) for name in names}, GATE)
        wrong += bool(floor_of(comparisons, GATE.alpha).false)
    assert wrong / 200 <= 0.05 + 0.045  # and three Monte-Carlo errors


def test_nothing_answered_is_not_measured() -> None:
    nothing = CapabilityComparison("dates", Role.PROTECTED, 0.05, None, None, None)
    floor = floor_of([nothing], GATE.alpha)
    assert (floor.n, floor.rate, floor.low, floor.high) == (0, 0.0, 0.0, 1.0)
    assert floor.sentence() == "noise floor: not measured, no case was answered twice"
    assert floor_of([], GATE.alpha).rows == ()


def test_halves_see_what_the_whole_sees() -> None:
    margins = {"dates": 0.05}
    quiet = halves(rows(np.ones(100)), rows(np.ones(100)), margins, GATE, np.random.default_rng(1))
    assert quiet == {"dates": Halves(0.0, 100, 0)}
    first, second = flipped(100, 40, 0)
    loud = halves(rows(first), rows(second), margins, GATE, np.random.default_rng(1))["dates"]
    assert loud.mean_abs == pytest.approx(0.4)
    assert loud.shown == loud.tried == 100
    few = halves(rows(first[:15]), rows(second[:15]), margins, GATE, np.random.default_rng(1))["dates"]
    assert few.tried == 0


def test_halves_are_those_of_their_generator() -> None:
    first, second = flipped(100, 9, 3)
    once, again, other = (
        halves(rows(first), rows(second), {"dates": 0.05}, GATE, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert once == again
    assert 0 < once["dates"].shown < 100
    assert other["dates"].mean_abs == once["dates"].mean_abs


@given(st.integers(2, 200), st.data())
def test_the_order_of_the_two_does_not_matter(n: int, data: st.DataObject) -> None:
    up = data.draw(st.integers(0, n))
    down = data.draw(st.integers(0, n - up))
    first, second = flipped(n, up, down)
    there, back = floor_of(compared(first, second), GATE.alpha), floor_of(compared(second, first), GATE.alpha)
    assert (there.flips, there.n) == (back.flips, back.n) == (up + down, n)
    assert there.rows[0].threshold == pytest.approx(back.rows[0].threshold, abs=1e-6)
    assert there.low <= there.rate <= there.high
    assert bool(there.false) == bool(back.false)
