"""How checks look at text: words in any script, text out of JSON values, and text shown inside an explanation."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import regex

from harness.checks.base import BadValue

# Scripts written without spaces between words: there each character counts as a word, as it is usual for Chinese and Japanese.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_TOKEN = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|(?:(?![{_UNSPACED}])[\p{{L}}\p{{N}}\p{{M}}])+", regex.V0)

_ASCII_TOKEN = re.compile(r"[a-z0-9]+")  # what _TOKEN finds in ASCII, ten times as fast


def tokens(text: str) -> list[str]:
    """Lower-cased words; one token per character in scripts without spaces; punctuation and symbols are dropped.

    On ASCII text it gives exactly the tokens of rouge-score's own tokenizer, which knows only a-z and 0-9.
    """
    text = text.lower()
    return _ASCII_TOKEN.findall(text) if text.isascii() else _TOKEN.findall(text)


def as_text(value: Any) -> str:
    """A reference as the text a model would write: strings as they are, everything else as JSON. BadValue for None."""
    if isinstance(value, str):
        return value
    if value is None:
        raise BadValue("there is nothing to compare with: the check has no value and the case no reference")
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadValue(f"{type(value).__name__} {value!r:.60} cannot be written as text: {error}") from error


def alternatives(make: Callable[[Any], Any]) -> Callable[[Any, Any], tuple[Any, ...]]:
    """A ``prepare`` for checks with several right answers: a list means any of them, anything else is the only one."""

    def prepare(value: Any, options: Any) -> tuple[Any, ...]:
        if isinstance(value, list | tuple):
            if not value:
                raise BadValue("an empty list has no right answer")
            return tuple(make(item) for item in value)
        return (make(value),)

    return prepare


def some_text(value: Any) -> str:
    """Text that is not empty: every answer contains or starts with the empty text, so such a check could not fail."""
    if isinstance(value, list | dict):
        raise BadValue(f"one text is needed here, not a {'list' if isinstance(value, list) else 'mapping'}")
    text = as_text(value)
    if not text:
        raise BadValue("the text is empty, so the check could never fail")
    return text


def show(value: Any, limit: int = 80) -> str:
    """A value inside an explanation: quoted, cut, without control characters or lone surrogates (which cannot be stored)."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cut = text[:limit] + "…" if len(text) > limit else text
    return json.dumps(printable(cut), ensure_ascii=False)


def printable(text: str) -> str:
    """The same text, storable as UTF-8: lone surrogates become U+FFFD, control characters except newline and tab spaces."""
    clean = text.encode("utf-8", "replace").decode("utf-8") if any("\ud800" <= c <= "\udfff" for c in text) else text
    return "".join(" " if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 else c for c in clean)


def finite(value: Any) -> float | None:
    """The value as a float when it is a finite real number and no bool, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
