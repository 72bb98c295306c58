"""Which option a text picks: the ways models say it, and the ways they do not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checks.picking import picked

PICKS = [
    ("The answer is: (C) 12", "C"),
    ("Answer: **B**", "B"),
    ("**Answer:** B", "B"),
    ("Answer:\nB", "B"),
    ("Option B is correct", "B"),
    ("(B) is right.", "B"),
    ("B is the best choice here", "B"),
    ("I choose B", "B"),
    ("I'd go with option C.", "C"),
    ("The correct answer to the question is C", "C"),
    ("answer: b) foo", "B"),
    ("The answer is A because it is", "A"),
    ("the answer is a", "A"),
    ("Final Answer: \\boxed{A}", "A"),
    ("<answer>B</answer>", "B"),
    ("(A) is wrong, (B) is right", "B"),
    ("A: 5\nB: 6\nAnswer: B", "B"),
    ("The answer is A. Wait: the answer is D", "D"),
    ("D\n\nExplanation: as (A) fails", "D"),
    ("Let me think about it.\nTherefore, B.", "B"),
    ("So: B", "B"),
    ("答：B", "B"),
    ("D. 42, since (D) is the sum", "D"),
    ("答案为：**B**", "B"),
    ("本题选 A", "A"),
    ("正确选项是（Ｄ）", "D"),
    ("正确答案是：C. 北京", "C"),
]
NO_PICKS = [
    "The answer is A or B",
    "答案是A和B",
    "Neither A nor B or C is clear",
    "A or B is correct",
    "The answer is a matter of taste",
    "A dog has four legs.",
    "I do not know.",
    "A) red\nB) blue\nThe sky is blue",
    "(A) fails, (B) may do",
    "The answer is E",
    "The answer isn't known",
    "B-vitamins are good",
    "Sob",
    "",
]


@pytest.mark.parametrize(("text", "letter"), PICKS)
def test_pick(text: str, letter: str) -> None:
    assert picked(text, "ABCD") == letter


@pytest.mark.parametrize("text", NO_PICKS)
def test_no_pick(text: str) -> None:
    assert picked(text, "ABCD") is None


@given(st.text(max_size=60), st.sampled_from("ABCD"))
def test_a_last_statement_decides_whatever_came_before(noise: str, letter: str) -> None:
    assert picked(f"{noise}\nThe answer is ({letter}).", "ABCD") == letter


@pytest.mark.parametrize(
    "text", ["(" * 50_000, " " * 50_000 + "x", "answer is " * 10_000, "A" * 50_000, "(A\n" * 20_000, "*" * 50_000 + "B"]
)
def test_hostile_texts_do_not_take_long(text: str) -> None:
    started = time.process_time()
    picked(text, "ABCD", ("yes", "no"))
    assert time.process_time() - started < 2
