"""Words of a text, and where they stand in it: what duplicates, leaks and n-grams are counted in.

Two ways to cut a text, because two things must hold. ``words`` keeps every letter of every script, one word per character where
a script puts no spaces between words: harness.checks.texts.tokens, with positions. ``rouge_words`` gives Latin text exactly the
words of rouge-score, which knows a-z and 0-9 only, so that a ROUGE-L decision is rouge-score's; other scripts, which rouge-score
drops altogether, get the words of ``words``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import regex

# Scripts without spaces between words, as in harness.checks.texts; the long-vowel mark of Japanese belongs to no script.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|(?:(?![{_UNSPACED}])[\p{{L}}\p{{N}}\p{{M}}])+", regex.V0)
_OTHER = rf"(?![{_UNSPACED}\p{{Latin}}\p{{Common}}\p{{Inherited}}])\p{{L}}"
_ROUGE_WORD = regex.compile(rf"[a-z0-9]+|[{_UNSPACED}\u30fc]\p{{M}}*|{_OTHER}(?:{_OTHER}|\p{{M}}|(?![0-9])\p{{Nd}})*", regex.V0)
_ASCII_WORD = regex.compile(r"[a-z0-9]+", regex.V0)


@dataclass(frozen=True, slots=True)
class Worded:
    """A text (NFKC) with its lower-cased words; ``starts[i]:ends[i]`` is where word i stands in ``text``."""

    text: str
    words: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def span(self, first: int, last: int) -> str:
        """The text as written from word ``first`` to word ``last``, both included."""
        return self.text[self.starts[first] : self.ends[last]]


def worded(text: str) -> Worded:
    """The words of a text and where they stand. Full-width and composed letters are made one (NFKC) first."""
    plain = unicodedata.normalize("NFKC", text)
    found = list(_ASCII_WORD.finditer(plain.lower()) if plain.isascii() else _WORD.finditer(plain))  # the same, sooner
    return Worded(
        plain,
        tuple(match.group().lower() for match in found),
        tuple(match.start() for match in found),
        tuple(match.end() for match in found),
    )


def words(text: str) -> list[str]:
    """The lower-cased words alone."""
    if text.isascii():  # the same words, three times as fast
        return _ASCII_WORD.findall(text.lower())
    return [word.lower() for word in _WORD.findall(unicodedata.normalize("NFKC", text))]


def rouge_words(text: str) -> list[str]:
    """What ROUGE-L counts: rouge-score's words (default tokenizer, no stemmer) on Latin text, Unicode words for other scripts."""
    lowered = text.lower()
    return (_ASCII_WORD if lowered.isascii() else _ROUGE_WORD).findall(lowered)


def shingles(found: Sequence[str], size: int) -> frozenset[str]:
    """The sets of ``size`` words in a row, joined by a space; a shorter text is one shingle, an empty one has none."""
    if len(found) <= size:
        return frozenset([" ".join(found)] if found else ())
    return frozenset(" ".join(found[i : i + size]) for i in range(len(found) - size + 1))
