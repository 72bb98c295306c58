"""Words wrapped by columns of a terminal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.layout import columns_of, wrap


def test_words_go_where_they_fit() -> None:
    assert wrap("  left out: one two", 12, indent="    ") == ["  left out:", "    one two"]
    assert wrap("", 10) == [""]
    assert wrap("abcdefgh", 3, indent=" ") == ["abc", " de", " fg", " h"]
    assert wrap("中文字 x", 4) == ["中文", "字 x"]


@settings(deadline=None)
@given(st.text(alphabet="ab 中\u0301", max_size=60), st.integers(6, 20), st.integers(0, 3))
def test_no_letter_is_lost_and_no_line_too_long(text: str, width: int, indent: int) -> None:
    lines = wrap(text, width, indent=" " * indent)
    assert all(columns_of(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
