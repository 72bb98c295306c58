"""leak: a row asks what a case of the suite asks, word for word but for case, punctuation and white space.

Exact matches only: near ones and n-grams are ``harness data decontaminate``'s work. Who trains on the gate measures memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from harness.checks.texts import tokens
from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row, parts
from harness.quality.examples import Example

MIN_WORDS = 4  # shorter texts ("hi", "42") prove nothing


def digest(text: str) -> str | None:
    """What a text is known by, None when it is too short to prove anything."""
    words = tokens(text)
    return blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=12).hexdigest() if len(words) >= MIN_WORDS else None


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    for name, turn in parts(example):
        if turn.role == "system":
            continue
        key = digest(turn.content)
        if key is not None and key in settings.known:
            yield Found("leak", f"{name} is {settings.known[key]}")
            return


_CASE = "How many moons does the planet Mars have?"

DATA_CHECKS = (
    DataCheckType(
        name="leak",
        version=1,
        summary="No row repeats a case of the suite given with --suite.",
        codes={"leak": (Level.ERROR, "leave the row out: it is in the suite that decides")},
        start=each_row(_look),
        wants=lambda settings: bool(settings.known),
        examples=(
            Sample(
                (
                    {"prompt": "how many moons does the planet mars have", "completion": "Two."},
                    {"prompt": "How many moons?", "completion": "x"},
                ),
                ((1, "leak"),),
                Settings(known={str(digest(_CASE)): "the case c1"}),
            ),
            Sample(({"prompt": _CASE, "completion": "Two."},)),
        ),
    ),
)
