"""repeats: rows that say exactly what an earlier row says, and the same question answered in two ways.

Exactly means: the same words but for white space at the ends and Unicode's composed forms. Near duplicates are
``harness data dedup``'s work. Two 64-bit digests with their lines are kept of each row, on disk beyond some tens of MB; the
chance of a false match among a million rows is 3e-8.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings
from harness.quality.examples import Example, Kind, Turn, Turns
from harness.quality.scratch import KeyTable


def digest(*sides: Turns) -> int:
    """64 bits of the roles and words of some turns, as a signed number."""
    hashed = blake2b(digest_size=8)
    for side in sides:
        for turn in side:
            text = turn.text.strip()
            if not text.isascii():
                text = unicodedata.normalize("NFC", text)
            hashed.update(f"{turn.role}\0{text}\1".encode("utf-8", "surrogatepass"))
        hashed.update(b"\2")
    return int.from_bytes(hashed.digest(), signed=True)


@dataclass
class _Pass:
    rows: KeyTable = field(default_factory=KeyTable)  # digest of the whole row -> line
    asked: KeyTable = field(default_factory=KeyTable)  # digest of the question -> line where it was first answered

    def see(self, example: Example) -> Iterator[Found]:
        asked = example.asked
        whole = digest(
            asked, example.answer, example.refused, () if example.label is None else (Turn("label", str(example.label)),)
        )
        if (first := self.rows.first(whole, example.line)) and first[0] != example.line:
            yield Found("duplicate", f"says the same as line {first[0]}")
            return
        if not asked or example.kind in (Kind.PROMPT, Kind.UNPAIRED):
            return
        if (before := self.asked.first(digest(asked), example.line)) and before[0] != example.line:
            if example.kind is Kind.PREFERENCE:
                yield Found("same-question", f"has the question of line {before[0]}, with another pair")
            else:
                yield Found("conflict", f"answers the question of line {before[0]} in another way")

    def end(self) -> Iterator[Found]:
        return iter(())


def _start(settings: Settings) -> _Pass:
    return _Pass()


def _row(prompt: str, completion: str) -> dict[str, object]:
    return {"prompt": prompt, "completion": completion}


DATA_CHECKS = (
    DataCheckType(
        name="repeats",
        version=1,
        summary="No row repeats another one word for word; no question has two different answers.",
        codes={
            "duplicate": (Level.ERROR, "keep one of them; harness data dedup finds near ones too"),
            "conflict": (Level.WARNING, "decide which answer is right"),
            "same-question": (Level.NOTE, "several pairs for one question weigh more than one"),
        },
        start=_start,
        examples=(
            Sample((_row("a", "b"), _row("a", "b"), _row("a ", " b\n")), ((2, "duplicate"), (3, "duplicate"))),
            Sample((_row("caf\u00e9", "b"), _row("cafe\u0301", "b")), ((2, "duplicate"),)),
            Sample((_row("a", "b"), _row("a", "c"), _row("A", "b")), ((2, "conflict"),)),
            Sample((_row("ab", "c"), _row("a", "bc"))),
            Sample(({"prompt": "a", "completion": "b", "label": True}, {"prompt": "a", "completion": "b", "label": False})),
            Sample(
                ({"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "chosen": "b", "rejected": "d"}),
                ((2, "same-question"),),
            ),
        ),
    ),
)
