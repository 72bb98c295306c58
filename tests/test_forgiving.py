"""Format failure or wrong answer: a table worked by hand, and answers that must not crash or be forgiven."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports_fake import item

from harness.forgiving import forgiven
from harness.model import CheckResult, Item, ItemStatus, Score


def failed(answer: str, reference: Any, *checks: tuple[str, bool]) -> Item:
    made = item("a" * 16, "cap", "q", answer, False, reference=reference)
    parts = tuple(CheckResult(name, 1, float(ok), ok) for name, ok in checks or (("equals", False),))
    return Item(made.case, 0, ItemStatus.SCORED, None, (), made.response, Score(0.0, False, None, "", parts))


@pytest.mark.parametrize(
    ("answer", "reference", "rule"),
    [
        ("paris.", "Paris", "normalised"),
        ("  “PARIS”\n", "Paris", "normalised"),
        ("**Paris**", "Paris", "normalised"),
        ("ＡＢＣ", "abc", "normalised"),
        ("London", "Paris", None),
        ("-5", "5", None),
        ("a < b", "a > b", None),
        ("35", "3.5", None),
        ("The capital is Paris.", "Paris", "contained"),
        ("Paris is the capital", "Paris", "contained"),
        ("Is it Paris or Lyon?", "Paris", None),  # a single word must be the first or the last
        ("No, I will not", "no", "contained"),
        ("It is not so", "no", None),
        ("I could say: New York, of course", "New York", "contained"),
        ("New Yorkers", "New York", None),
        ("答案是北京市", "北京", "contained"),
        ("2 + 2 = 4", "4", "contained"),
        ("2 + 2 = 4", "2", None),  # the last number is the answer
        ("It costs 1,234.50 dollars", 1234.5, "contained"),
        ('{"answer": "Paris"}', "Paris", "parsed"),
        ('Sure: {"answer": "Paris", "sure": true}', "Paris", None),
        ('```json\n{"Item": "Tea", "Quantity": "3"}\n```', {"item": "tea", "quantity": 3}, "parsed"),
        ('{"item": "tea", "quantity": "4"}', {"item": "tea", "quantity": 3}, None),
        ('{"item":"tea"}', '{"item": "Tea"}', "parsed"),
        ("[1, 2]", [2, 1], None),
        ('{"a": true}', {"a": "true"}, "parsed"),
        ("Lyon", ["Paris", "lyon"], "normalised"),
        ("", "Paris", None),
        ("...", "...", None),  # nothing is left of the reference: nothing can be recognised
        ("anything", None, None),
    ],
)
def test_by_hand(answer: str, reference: Any, rule: str | None) -> None:
    assert forgiven(failed(answer, reference)) == rule


def test_form_failed_while_content_passed() -> None:
    assert forgiven(failed("It is Paris, you know", "Paris", ("word-count", False), ("contains", True))) == "checked"
    assert forgiven(failed("x", None, ("is-json", False), ("numeric", True))) == "checked"
    assert forgiven(failed("x", None, ("is-json", False))) is None
    assert forgiven(failed('Yes: {"a": 1}', {"a": 1}, ("is-json", False), ("all(is-json, json-equals)", False))) == "parsed"


@pytest.mark.parametrize("check", ["numeric", "rouge-l", "similar", "not-contains", "judge", "my metric", "python"])
def test_other_checks_that_fail_are_not_forgiven(check: str) -> None:
    assert forgiven(failed("paris", "Paris", ("equals", False), (check, False))) is None
    assert forgiven(failed("paris", "Paris", ("equals", False), (check, True))) == "normalised"


def test_only_scored_failures_are_looked_at() -> None:
    good = item("a" * 16, "cap", "q", "Paris", True, reference="Paris")
    assert forgiven(good) is None
    missing = item("a" * 16, "cap", "q", "paris", None, reference="Paris", status=ItemStatus.UNSCORED, reason="truncated")
    assert forgiven(missing) is None


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.text(max_size=60), _json)
def test_any_answer_and_reference_get_a_rule_or_none(answer: str, reference: Any) -> None:
    assert forgiven(failed(answer, reference)) in (None, "normalised", "parsed", "contained")


@pytest.mark.parametrize(
    "answer", ["[" * 100_000, '{"a":' * 20_000, "(" * 100_000, "a " * 50_000, "9" * 60_000, "\x00\u202e" * 30_000]
)
def test_long_and_nested_answers_are_read_in_moderate_time(answer: str) -> None:
    assert forgiven(failed(answer, "New York")) is None
    assert forgiven(failed(answer, {"a": [1]})) is None
