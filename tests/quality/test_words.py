"""Plain ASCII takes a shorter way to its words, and they are the same as by the way of every script."""

from __future__ import annotations

import string

from hypothesis import example, given
from hypothesis import strategies as st

from harness.quality.words import rouge_words, worded, words

OTHER = "é"  # with it a text takes the other way


@given(st.text(st.characters(max_codepoint=127)))
@example(string.printable)
@example("\0\x1f\x7f_a_1__B2-c3")
def test_ascii_has_the_same_words_by_both_ways(text: str) -> None:
    long, short = worded(f"{text} {OTHER}"), worded(text)
    assert (*short.words, OTHER) == long.words
    assert (short.starts, short.ends) == (long.starts[:-1], long.ends[:-1])
    assert words(text) == list(short.words)
    assert words(f"{text} {OTHER}") == [*words(text), OTHER]
    assert [text[start:end].lower() for start, end in zip(short.starts, short.ends, strict=True)] == words(text)


@given(st.text())
def test_words_and_their_places_are_of_one_text(text: str) -> None:
    found = worded(text)
    assert words(text) == list(found.words)
    assert [found.span(place, place).lower() for place in range(len(found.words))] == words(text)


def test_rouge_knows_the_same_words_of_ascii() -> None:
    assert rouge_words(string.printable) == words(string.printable)
