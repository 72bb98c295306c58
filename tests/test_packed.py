"""A packed sequence is the tuple it was made of, only smaller."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cases import packed
from harness.model import Case, Split
from harness.packed import TOGETHER, Packed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CASES = st.builds(
    Case,
    id=st.text("0123456789abcdef", min_size=16, max_size=16),
    capability=st.text(min_size=1, max_size=5),
    vars=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    reference=JSON,
    cluster=st.none() | st.text(max_size=4),
    split=st.sampled_from(Split),
    must_pass=st.booleans(),
    metadata=st.dictionaries(st.text(max_size=5), JSON, max_size=2),
    source=st.text(max_size=9),
)


def same(number: int) -> Any:
    return number


@given(st.lists(CASES, max_size=8))
def test_cases_come_back_as_they_were(cases: list[Case]) -> None:
    found = packed(cases)
    assert tuple(found) == tuple(cases)
    assert all(isinstance(case.split, Split) for case in found)
    assert found == tuple(cases)


@pytest.mark.parametrize("length", [0, 1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER + 7])
@pytest.mark.parametrize(
    "cut", [slice(None), slice(3), slice(-5, None), slice(400, 900, 7), slice(None, None, -1), slice(9_000, None), slice(None, 0)]
)
def test_is_the_tuple(length: int, cut: slice) -> None:
    numbers = tuple(range(length))
    found = Packed(numbers, same, same)
    assert (len(found), tuple(found), found[cut], bool(found)) == (length, numbers, numbers[cut], bool(numbers))
    assert [found[i] for i in range(-length, length, 251)] == [numbers[i] for i in range(-length, length, 251)]
    for outside in (length, -length - 1):
        with pytest.raises(IndexError):
            found[outside]


def test_differs_from_another_tuple() -> None:
    found = Packed((1, 2), same, same)
    assert found != (1, 3)
    assert found != (1,)
    assert found != [1, 2]


def test_is_small() -> None:
    def cases() -> Any:
        return (
            Case(f"{i:016x}", "sums", {"input": f"What is {i} + {i * 7919 % 9973}?"}, i, source=f"cases.jsonl:{i}")
            for i in range(20_000)
        )

    def size(make: Any) -> int:
        tracemalloc.start()
        kept = make(cases())
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(kept) == 20_000
        return size

    assert size(packed) * 8 < size(tuple)
