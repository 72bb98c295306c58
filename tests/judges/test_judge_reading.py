"""Reading verdicts: any reply is a verdict on the menu or unread with a reason, and expected scores are means of the menu."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.judging import answer, tail

from harness.model import TokenChoice
from judges.reading import REASONS, Unread, expected_score, on_menu, read_line, read_object

MENU = (1, 2, 3, 4, 5)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["score", "verdict", "reasoning"]), inner, max_size=3)
    ),
    max_leaves=6,
)
FINISH = st.sampled_from(["stop", "length", "content_filter", None])


@given(st.text(max_size=60) | ANY_JSON.map(json.dumps), FINISH)
def test_any_reply_is_an_object_or_unread_with_a_known_reason(text: str, finish: str | None) -> None:
    found = read_object(answer(text, finish_reason=finish))
    assert isinstance(found, dict) or (isinstance(found, Unread) and found.reason in REASONS)
    line = read_line(answer(text, finish_reason=finish), "SCORE")
    assert isinstance(line, tuple) or line.reason in REASONS


@given(ANY_JSON)
def test_only_the_menus_own_numbers_are_on_the_menu(value: object) -> None:
    found = on_menu(value, MENU)
    assert found is None or (found in MENU and not isinstance(value, bool) and float(str(value).strip()) == found)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("4", 4), (" 4 ", 4), (4.0, 4), ("4.0", None), ("四", None), ("４", None), ("+4", None), (10**400, None)],
)
def test_numbers_as_texts(text: object, verdict: int | None) -> None:
    assert on_menu(text, MENU) == verdict


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SCORE: 4", ("4", "")),
        ("It is good.\n\n**SCORE: 4**", ("4", "It is good.")),
        ("good\nScore： 4。\n", ("4", "good")),
        ("# SCORE: 4.", ("4", "")),
        ("SCORE: 5\nbut then the answer says\nSCORE: 2", ("2", "SCORE: 5\nbut then the answer says")),
    ],
)
def test_a_text_verdict_is_the_last_line(text: str, expected: tuple[str, str]) -> None:
    assert read_line(answer(text), "SCORE") == expected


@pytest.mark.parametrize("text", ["SCORE: 4\nThank you.", "I give it a SCORE: 4", "SCORE 4", "4", "SCORE:", "MY SCORE: 4"])
def test_a_verdict_elsewhere_is_not_looked_for(text: str) -> None:
    found = read_line(answer(text), "SCORE")
    assert isinstance(found, Unread)
    assert found.reason == "judge-no-verdict"


def test_a_cut_text_is_no_verdict_even_if_its_last_line_looks_like_one() -> None:
    assert read_line(answer("SCORE: 1", finish_reason="length"), "SCORE") == Unread("judge-cut", "SCORE: 1")
    assert read_object(answer('{"score": 1}', finish_reason="length")) == {"score": 1}, "an object that is closed is whole"


def test_a_code_fence_around_the_object_is_allowed_and_nothing_else() -> None:
    assert read_object(answer('```json\n{"score": 3}\n```')) == {"score": 3}
    assert isinstance(read_object(answer('```json\n{"score": 3}\n```\nand ```json\n{"score": 5}\n```')), Unread)


PROBABILITIES = st.lists(st.floats(0.001, 1), min_size=6, max_size=6)


@given(PROBABILITIES)
def test_the_expected_score_is_the_mean_under_renormalised_probabilities(weights: list[float]) -> None:
    total = sum(weights)
    p = [weight / total for weight in weights]
    top = {str(value): math.log(p[value - 1]) for value in MENU} | {"x": math.log(p[5])}
    found = expected_score(tail("3", top), MENU)
    assert found is not None
    assert found.score == pytest.approx(sum(value * p[value - 1] for value in MENU) / sum(p[:5]), abs=1e-9)
    assert found.outside == pytest.approx(p[5], abs=1e-9)
    assert 1 <= found.score <= 5


def test_tokens_that_say_the_same_digit_are_added_up_and_others_left_out() -> None:
    half, quarter, eighth = math.log(0.5), math.log(0.25), math.log(0.125)
    found = expected_score(tail("4", {"4": half, " 4": eighth, ' "5"': quarter, "45": eighth, "4.": -9.0}), MENU)
    assert found is not None
    assert found.score == pytest.approx((0.625 * 4 + 0.25 * 5) / 0.875)
    assert found.outside == pytest.approx(0.125)


def test_the_score_is_found_however_the_tokens_are_cut() -> None:
    top = {"2": math.log(0.9), "1": math.log(0.1)}
    whole = (TokenChoice('{"score', ()), TokenChoice('": ', ()), TokenChoice("2", tuple(top.items())), TokenChoice("}", ()))
    assert expected_score(whole, MENU) == expected_score(tail("2", top), MENU)
    joined = (TokenChoice('"score":', ()), TokenChoice(" 2}", ((" 2}", math.log(0.9)), (" 1}", math.log(0.1)))))
    assert expected_score(joined, MENU) == expected_score(whole, MENU)


@pytest.mark.parametrize(
    ("menu", "tokens"),
    [
        ((0, 10), tail("1", {"1": 0.0})),
        (MENU, ()),
        (MENU, (TokenChoice("4", (("4", 0.0),)),)),
        (MENU, tail("4", {"good": -0.1, "bad": -3.0})),
        (MENU, tail("4", {"4": math.nan, "5": math.inf})),
        (MENU, tail("4", {"4": -9999.0})),
    ],
)
def test_without_the_place_or_the_menus_tokens_there_is_no_expected_score(
    menu: tuple[int, ...], tokens: tuple[TokenChoice, ...]
) -> None:
    assert expected_score(tokens, menu) is None


TOKENS = st.sampled_from(["1", "5", " 3", "9", "x", "", '"2"', "4}", "66", "\ud800"])


@given(st.lists(st.tuples(TOKENS, st.dictionaries(TOKENS, st.floats())), max_size=5))
def test_hostile_tokens_never_make_a_score_that_is_off_the_scale(tokens: list[tuple[str, dict[str, float]]]) -> None:
    found = expected_score([TokenChoice('"score":', ()), *(TokenChoice(t, tuple(top.items())) for t, top in tokens)], MENU)
    assert found is None or (1 <= found.score <= 5 and 0 <= found.outside <= 1)
