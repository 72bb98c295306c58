"""equals: the answer is the expected text."""

from __future__ import annotations

import unicodedata
from typing import Literal

from harness.checks.base import CheckType, Example, Options, Outcome, Seen, yes_no
from harness.checks.texts import alternatives, as_text, show


class EqualsOptions(Options):
    """strip: ignore white space around both. normalise: compare in this Unicode form (NFC makes equal what looks the same because
    it is the same; NFKC also full-width forms and ligatures)."""

    ignore_case: bool = False
    strip: bool = True
    normalise: Literal["none", "NFC", "NFKC"] = "NFC"


def _fold(text: str, options: EqualsOptions) -> str:
    if options.normalise != "none":
        text = unicodedata.normalize(options.normalise, text)
    if options.strip:
        text = text.strip()
    return text.casefold() if options.ignore_case else text


def _judge(seen: Seen, expected: tuple[str, ...], options: EqualsOptions) -> Outcome:
    text = _fold(seen.text, options)
    if any(text == _fold(item, options) for item in expected):
        return yes_no(True)
    return yes_no(False, f"expected {' or '.join(show(item) for item in expected)}, got {show(seen.text)}")


CHECKS = (
    CheckType(
        name="equals",
        version=1,
        summary="The answer is the expected text; a list means any of these.",
        judge=_judge,
        options=EqualsOptions,
        prepare=alternatives(as_text),
        examples=(
            Example("Paris", 1.0, value="Paris"),
            Example("  Paris\n", 1.0, reference="Paris"),
            Example(" Paris", 0.0, value="Paris", options={"strip": False}),
            Example("paris", 0.0, value="Paris"),
            Example("STRASSE", 1.0, value="straße", options={"ignore_case": True}),
            Example("cafe\u0301", 1.0, value="caf\u00e9"),
            Example("cafe\u0301", 0.0, value="caf\u00e9", options={"normalise": "none"}),
            Example("１２", 1.0, value="12", options={"normalise": "NFKC"}),
            Example("北京", 1.0, value=["北京", "北京市"]),
            Example("42", 1.0, reference=42),
            Example("true", 1.0, reference=True),
            Example("Hello Ada", 1.0, value="Hello {{ name }}", vars={"name": "Ada"}),
            Example("Hello", None, value="Hello {{ nobody }}", unscored="bad-reference"),
            Example("anything", None, unscored="bad-reference"),
        ),
    ),
)
