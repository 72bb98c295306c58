"""repetition: the answer is caught in a loop, the usual way a damaged checkpoint fails.

Four signs, each with its limit: the same phrase again and again at the end; a large share of repeated n-grams; a large share of
repeated lines; text that compresses too well (which also sees loops inside one word or of punctuation). Loops mostly end at
max_tokens, so give the capability ``on_truncated: score`` for this check to see them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pydantic import Field

from harness.checks.base import CheckType, Example, Options, Outcome, Seen, Takes, yes_no
from harness.checks.texts import tokens

MIN_WORDS = 30  # shares of a shorter text mean nothing
MIN_LINES = 8
MIN_BYTES = 200
MAX_PERIOD = 60  # longest phrase, in words, that is looked for at the end
TAIL = 2000  # words at the end that are looked at


class RepetitionOptions(Options):
    """n: words per n-gram. max_ngrams, max_lines: share of n-grams, lines that were there before. max_tail: times a phrase may
    stand in a row at the end. max_compression: bytes / compressed bytes (prose 2 to 3, lists and tables up to 8)."""

    n: int = Field(4, ge=1, le=20)
    max_ngrams: float = Field(0.5, ge=0, le=1)
    max_lines: float = Field(0.5, ge=0, le=1)
    max_tail: int = Field(6, ge=2)
    max_compression: float = Field(12.0, ge=1)


def _repeated(items: Sequence[object]) -> float:
    """Share of the items that are there for a second or later time."""
    return 1 - len(set(items)) / len(items) if items else 0.0


def _tail(words: list[str], least: int) -> int:
    """How many times in a row, at most, one phrase of up to MAX_PERIOD words stands at the end; 1 where it is under ``least``."""
    words, most = words[-TAIL:][::-1], 1
    for period in range(1, min(MAX_PERIOD, len(words) // least) + 1):
        if words[period] != words[0]:
            continue
        same = period
        while same < len(words) and words[same] == words[same - period]:
            same += 1
        if (times := same // period) >= least:
            most = max(most, times)
    return most


def _repeated_grams(words: list[str], options: RepetitionOptions) -> float:
    """Share of repeated n-grams; 0 where it surely is within the limit: a gram that ends on a new word is new, too."""
    count = len(words) - options.n + 1
    if len(set(words)) - options.n + 1 >= (1 - options.max_ngrams) * count:
        return 0.0
    return _repeated(list(zip(*(words[i:] for i in range(options.n)), strict=False)))


def _judge(seen: Seen, expected: None, options: RepetitionOptions) -> Outcome:
    words = tokens(seen.text)
    lines = [line.strip() for line in seen.text.splitlines() if line.strip()]
    raw = seen.text.encode("utf-8", "replace")
    found = []
    if (times := _tail(words, options.max_tail + 1)) > options.max_tail:
        found.append(f"ends on a phrase {times} times in a row")
    if len(words) >= MIN_WORDS and (share := _repeated_grams(words, options)) > options.max_ngrams:
        found.append(f"{share:.0%} of its {options.n}-grams are repeated")
    if len(lines) >= MIN_LINES and (share := _repeated(lines)) > options.max_lines:
        found.append(f"{share:.0%} of its lines are repeated")
    if len(raw) >= MIN_BYTES and (ratio := len(raw) / len(zlib.compress(raw, 6))) > options.max_compression:
        found.append(f"compresses {ratio:.0f} times")
    return yes_no(not found, "; ".join(found))


CHECKS = (
    CheckType(
        name="repetition",
        version=1,
        summary="The answer is not a degenerate loop (not- turns it round: the answer is one).",
        judge=_judge,
        options=RepetitionOptions,
        takes=Takes.NOTHING,
        examples=(
            Example("A plain answer that says one thing once.", 1.0),
            Example("Ha ha ha, very good!", 1.0),
            Example("I think that I think that " * 20, 0.0),
            Example("A fine start, then " + "and so on " * 10, 0.0),
            Example("好的好的好的好的好的好的好的好的", 0.0),
            Example("a" * 1000, 0.0),
            Example("!" * 1000, 0.0),
            Example("\n".join(f"{i}. item number {i * 37 % 101}" for i in range(40)), 1.0),
            Example("\n".join(["the same old line", "another one here"] * 10), 0.0),
            Example("", 1.0),
        ),
    ),
)
