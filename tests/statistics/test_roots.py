"""The root finder against scipy's, and where there is no root."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from harness.statistics.roots import crossing

FUNCTIONS = (
    lambda x, r: x - r,
    lambda x, r: (x - r) ** 3,
    lambda x, r: math.expm1(5 * (x - r)),
    lambda x, r: math.atan(1000 * (x - r)),
    lambda x, r: -1.0 if x < r else 1.0,  # a step has no zero, only a crossing
)


@given(root=st.floats(-0.99, 0.99), which=st.integers(0, len(FUNCTIONS) - 1), sign=st.sampled_from((1, -1)))
def test_finds_what_brent_finds(root: float, which: int, sign: int) -> None:
    def f(x: float) -> float:
        return sign * FUNCTIONS[which](x, root)

    found = crossing(f, -1.0, 1.0, xtol=1e-10)
    wide = 1e-4 if which == 1 else 1e-9  # a cube is flat about its zero: in floating point all of it is zero there
    assert abs(found - root) <= wide
    if which != 1:  # on which brentq gives up
        assert abs(found - brentq(f, -1.0, 1.0, xtol=1e-12)) <= 2 * wide


@given(root=st.floats(-0.99, 0.99), which=st.integers(0, len(FUNCTIONS) - 1))
def test_takes_few_steps(root: float, which: int) -> None:
    calls = 0

    def f(x: float) -> float:
        nonlocal calls
        calls += 1
        return FUNCTIONS[which](x, root)

    crossing(f, -1.0, 1.0, xtol=1e-12)
    assert calls <= 140


def test_an_end_may_be_the_root() -> None:
    assert crossing(lambda x: x, 0.0, 1.0, xtol=1e-9) == 0.0
    assert crossing(lambda x: x - 1.0, 0.0, 1.0, xtol=1e-9) == 1.0


@pytest.mark.parametrize("f", [lambda x: x + 2.0, lambda x: math.nan])
def test_no_change_of_sign_is_an_error(f) -> None:
    with pytest.raises(ValueError, match="no change of sign"):
        crossing(f, 0.0, 1.0, xtol=1e-9)
