"""Drawing the invisible, cutting with a count, numbers in words, and marking differences."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import diff
from reports.text import address, cut, interval, is_secret, label, moment, points, seconds, signed, visible

anything = st.text(st.characters(codec=None), max_size=200)


@given(anything)
def test_visible_text_is_encodable_idempotent_and_obeys_nothing(text: str) -> None:
    shown = visible(text)
    shown.encode("utf-8")
    assert visible(shown) == shown
    assert all(c in "\n\t" or (ord(c) >= 0x20 and not 0x7F <= ord(c) <= 0x9F) for c in shown)


def test_what_is_invisible_is_drawn_and_emoji_stay_whole() -> None:
    assert visible("a\x00\x1b[31m\u202eb\r\nc") == "a␀␛[31m⟨U+202E⟩b\nc"
    assert visible("👩\u200d👧") == "👩\u200d👧"


@given(anything, st.integers(1, 50))
def test_a_cut_counts_what_it_leaves_out(text: str, limit: int) -> None:
    assert cut(text, limit).left_out == max(0, len(text) - limit)


@given(anything)
def test_a_label_is_one_short_line(text: str) -> None:
    shown = label(text, 40)
    assert len(shown) <= 40
    assert "\n" not in shown


@pytest.mark.parametrize(("value", "shown"), [(0.031, "+3.1"), (-0.0004, "0.0"), (0.0, "0.0"), (-0.31, "−31.0"), (None, "–")])
def test_points(value: float | None, shown: str) -> None:
    assert points(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.00042, "0.42 ms"),
        (0.31, "310 ms"),
        (0.9999, "1.00 s"),
        (83.4, "83.40 s"),
        (119.999, "120.00 s"),
        (125, "2 min 05 s"),
        (7260, "2 h 01 min"),
    ],
)
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


def test_other_words() -> None:
    assert interval(None, 0.1) == ""
    assert interval(-0.05, 0.1) == "[−5.0, +10.0]"
    assert signed(-2.5, 0) == "−2"
    assert moment(0.0) == "1970-01-01 00:00:00 UTC"
    assert moment(1e30) == "–"
    assert address("https://user:pw@host:8000/v1?key=s#f") == "https://host:8000/v1"
    assert address("http://[bad") == "(unreadable address)"
    assert [key for key in ("api_key", "max_tokens", "hf_token", "completion_tokens", "password") if is_secret(key)] == [
        "api_key",
        "hf_token",
        "password",
    ]


@given(st.text("ab \n中文", max_size=60), st.text("ab \n中文", max_size=60))
def test_segments_joined_are_the_answers(a: str, b: str) -> None:
    marked = diff.mark(a, b)
    assert "".join(s.text for s in marked.baseline) == a
    assert "".join(s.text for s in marked.candidate) == b
    assert {s.kind for s in marked.baseline} <= {"same", "del"}
    assert {s.kind for s in marked.candidate} <= {"same", "ins"}
    same = ["".join("".join(s.text for s in side if s.kind == "same").split()) for side in (marked.baseline, marked.candidate)]
    assert marked.note or same[0] == same[1]


def test_differences_are_marked_by_word_and_by_sign() -> None:
    marked = diff.mark("the cat sat on the mat", "the dog sat on the mat")
    assert [(s.kind, s.text) for s in marked.candidate] == [("same", "the "), ("ins", "dog"), ("same", " sat on the mat")]
    marked = diff.mark("请您尽快回复我", "请您尽快答复我")
    assert [(s.kind, s.text) for s in marked.candidate] == [("same", "请您尽快"), ("ins", "答"), ("same", "复我")]


def test_unlike_texts_are_shown_whole_and_degenerate_loops_are_quick() -> None:
    assert diff.mark("one two three", "vier fünf sechs").note == "the answers share too little for marks to help"
    started = time.perf_counter()
    diff.mark("a b " * 750, "b a a " * 500)
    assert time.perf_counter() - started < 1.0
