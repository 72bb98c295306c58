"""Texts of any script in columns of a terminal."""

from __future__ import annotations

import unicodedata

from reports.text import label


def fit(text: str, width: int) -> str:
    """The text on so many terminal columns: cut with an ellipsis, filled with spaces; wide letters take two."""
    shown = label(text)
    if columns_of(shown) > width:
        while columns_of(shown) > width - 1:
            shown = shown[:-1]
        shown += "\u2026"
    return shown + " " * (width - columns_of(shown))


def columns_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text
    )


def wrap(text: str, width: int, *, indent: str = "") -> list[str]:
    """The text's words on lines of so many columns, all but the first indented; a word that is too long is broken."""
    lines, line = [], " " * min(len(text) - len(text.lstrip(" ")), width // 2)
    for word in text.split():
        spaced = f"{line} {word}" if line.strip() else f"{line}{word}"
        if columns_of(spaced) <= width:
            line = spaced
            continue
        if line.strip():
            lines.append(line)
            line = indent
        for letter in word:
            if columns_of(line + letter) > width:
                lines.append(line)
                line = indent
            line += letter
    return [*lines, line] if line.strip() or not lines else lines
