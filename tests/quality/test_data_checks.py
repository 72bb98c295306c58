"""Every data check does on its examples what it says; every code it can find is documented and is found by some example."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import plugs
from harness.quality.checks.base import DataCheckType, Sample, Settings
from harness.quality.examples import Dropped, Example, Kind, Turn
from harness.quality.files import example_of

CHECKS: list[DataCheckType] = [plugs.find("data check", name) for name in plugs.names("data check")]
TRL = plugs.find("data format", "trl")
CASES = [pytest.param(check, sample, id=f"{check.name}-{i}") for check in CHECKS for i, sample in enumerate(check.examples)]


def examples(sample: Sample) -> list[Example]:
    found = [example_of(row, TRL, source="x", line=line) for line, row in enumerate(sample.rows, 1)]
    assert not [row for row in found if isinstance(row, Dropped)]
    return [row for row in found if isinstance(row, Example)]


@pytest.mark.parametrize(("check", "sample"), CASES)
def test_examples(check: DataCheckType, sample: Sample) -> None:
    found = list(check.find(examples(sample), sample.settings))
    assert [(finding.row, finding.code) for finding in found] == list(sample.found), [f.message for f in found]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_code_is_shown_by_an_example(check: DataCheckType) -> None:
    shown = {code for sample in check.examples for _, code in sample.found}
    assert shown == set(check.codes)
    assert any(not sample.found for sample in check.examples)


HARD = [
    "a",
    "1 ",
    "(1) ",
    "a.",
    "a@",
    "{",
    "[",
    "<A",
    '"',
    "`",
    "$a",
    "A1",
    "Ã©",
    "中,",
    "i am sorry ",
    "\n",
    "sk-a",
    "1.",
    "\ud83d",
    "\u2028",
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_no_text_is_too_hard(check: DataCheckType) -> None:
    """20 repeated patterns of 20,000 characters each: a pattern that backtracks would take hours."""
    for pattern in HARD:
        text = (pattern * 20_000)[:20_000]
        turns = (Turn("user", text), Turn("assistant", text))
        list(check.find([Example(Kind.MESSAGES, messages=turns, line=1)], Settings(known={"x": "y"}, language="zh")))


@given(
    st.lists(st.builds(Turn, st.sampled_from(["system", "user", "assistant", "tool"]), st.text(max_size=60)), max_size=5),
    st.text(max_size=60),
)
def test_no_row_breaks_a_check(turns: list[Turn], text: str) -> None:
    side = (Turn("text", text),)
    rows = [
        Example(Kind.MESSAGES, messages=tuple(turns), line=1),
        Example(Kind.PREFERENCE, prompt=side, chosen=side, rejected=(), line=2),
        Example(Kind.PREFERENCE, chosen=tuple(turns), rejected=tuple(turns[:1]), line=3),
        Example(Kind.TEXT, messages=side, line=4),
        Example(Kind.UNPAIRED, prompt=(), completion=tuple(turns), label=False, line=5),
    ]
    for check in CHECKS:
        for finding in check.find(rows):
            assert finding.code in check.codes
            assert finding.message


def test_codes_belong_to_one_check() -> None:
    codes = [code for check in CHECKS for code in check.codes]
    assert len(codes) == len(set(codes))


def test_every_code_and_check_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert [code for check in CHECKS for code in check.codes if f"`{code}`" not in page] == []
    assert [check.name for check in CHECKS if check.name not in page] == []
