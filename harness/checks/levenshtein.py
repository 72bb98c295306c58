"""levenshtein: how many single-character edits separate the answer from the expected text (rapidfuzz)."""

from __future__ import annotations

from pydantic import Field
from rapidfuzz.distance import Levenshtein

from harness.checks.base import CheckType, Example, Options, Outcome, Seen, unscored, yes_no
from harness.checks.texts import alternatives, as_text

MAX_CHARS = 200_000  # the time grows with the product of both lengths: at this one it is a second


class LevenshteinOptions(Options):
    """max_distance: pass or fail by at most so many edits (as promptfoo's levenshtein does), instead of the similarity."""

    max_distance: int | None = Field(None, ge=0)
    ignore_case: bool = False


def _judge(seen: Seen, expected: tuple[str, ...], options: LevenshteinOptions) -> Outcome:
    text = seen.text.strip()
    if max(len(text), *map(len, expected)) > MAX_CHARS:
        return unscored("too-long", f"texts over {MAX_CHARS} characters are not compared")
    if options.ignore_case:
        text, expected = text.casefold(), tuple(item.casefold() for item in expected)
    stripped = [item.strip() for item in expected]
    if options.max_distance is not None:
        distance = min(Levenshtein.distance(text, item) for item in stripped)
        return yes_no(distance <= options.max_distance, f"{distance} edits, {options.max_distance} allowed")
    similarity, near = max((Levenshtein.normalized_similarity(text, item), item) for item in stripped)
    return Outcome(similarity, f"{Levenshtein.distance(text, near)} edits")


CHECKS = (
    CheckType(
        name="levenshtein",
        version=1,
        summary="1 - edits / length of the longer text (both stripped); passes from 0.8. With max_distance: 1 or 0.",
        judge=_judge,
        options=LevenshteinOptions,
        threshold=0.8,
        prepare=alternatives(as_text),
        examples=(
            Example("kitten", 1.0, value="kitten"),
            Example("sitting", 1 - 3 / 7, value="kitten"),
            Example("sitting", 1.0, value="kitten", options={"max_distance": 3}),
            Example("sitting", 0.0, value="kitten", options={"max_distance": 2}),
            Example("北京市", 2 / 3, value="北京"),
            Example("KITTEN", 1.0, value=["dog", "kitten"], options={"ignore_case": True}),
            Example("", 0.0, value="abc"),
        ),
    ),
)
