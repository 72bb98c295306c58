"""Marks what differs between two answers, word by word, and sign by sign where a script has no spaces.

The longest common subsequence of tokens (rapidfuzz's bit-parallel Indel distance: 3,000 tokens a side take milliseconds, where
difflib is quadratic at best and can be cubic on a degenerate loop) with two mercies for the reader: blanks that agree by accident
between two changes are joined to the changes, and texts that share little are shown whole instead of as confetti.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel

from reports.nouns import Segment

# One token: a word, a run of white space, or a single other sign. Han, kana, Thai, Lao, Khmer and Burmese signs stand alone.
_ALONE = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_TOKEN = re.compile(rf"[^\W{_ALONE}]+|\s+|.", re.DOTALL)
_MIN_SHARED = 0.25  # under this share of common tokens marks say nothing
_MAX_SEGMENTS = 300


@dataclass(frozen=True, slots=True)
class Marked:
    """Both texts in segments (their texts joined are the inputs), and a word on how they compare."""

    baseline: tuple[Segment, ...]
    candidate: tuple[Segment, ...]
    note: str


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text)


def whole(text: str) -> tuple[Segment, ...]:
    """A text without marks."""
    return (Segment("same", text),) if text else ()


def mark(baseline: str, candidate: str) -> Marked:
    """Segments of both answers: ``same`` in both, ``del`` only in the baseline's, ``ins`` only in the candidate's."""
    if baseline == candidate:
        return Marked(whole(baseline), whole(candidate), "the answers are identical")
    left, right = tokens(baseline), tokens(candidate)
    if not left or not right:
        return Marked(whole(baseline), whole(candidate), "one answer is empty")
    blocks = _join_accidents([(op.tag == "equal", left[op.src_start : op.src_end], right[op.dest_start : op.dest_end]) for op in
                              Indel.opcodes(left, right)])  # fmt: skip
    shared = sum(len("".join(a).strip()) for equal, a, _ in blocks if equal)
    if shared < _MIN_SHARED * min(len(baseline), len(candidate)) or len(blocks) > _MAX_SEGMENTS:
        return Marked(whole(baseline), whole(candidate), "the answers share too little for marks to help")
    return Marked(_side(blocks, 1, "del"), _side(blocks, 2, "ins"), "")


_Block = tuple[bool, list[str], list[str]]


def _join_accidents(blocks: Sequence[_Block]) -> list[_Block]:
    """Neighbouring changes become one, and so do changes parted only by white space."""
    joined: list[_Block] = []
    for position, (equal, left, right) in enumerate(blocks):
        inside = 0 < position < len(blocks) - 1
        same = equal and not (inside and not "".join(left).strip())
        if joined and joined[-1][0] == same:
            joined[-1] = (same, joined[-1][1] + left, joined[-1][2] + right)
        else:
            joined.append((same, list(left), list(right)))
    return joined


def _side(blocks: Sequence[_Block], side: int, kind: str) -> tuple[Segment, ...]:
    found = ((("same" if block[0] else kind), "".join(block[side])) for block in blocks)  # type: ignore[arg-type]
    return tuple(Segment(k, text) for k, text in found if text)
