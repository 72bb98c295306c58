"""word-count: the answer has a number of words between two limits."""

from __future__ import annotations

from pydantic import Field, model_validator

from harness.checks.base import CheckType, Example, Options, Outcome, Seen, Takes, yes_no
from harness.checks.texts import tokens


class WordCountOptions(Options):
    """min, max: limits, both included, at least one of them. In Chinese, Japanese and other scripts without spaces each character
    counts as one word; punctuation never counts."""

    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _limits(self) -> WordCountOptions:
        if self.min is None and self.max is None:
            raise ValueError("min or max is needed")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


def _judge(seen: Seen, expected: None, options: WordCountOptions) -> Outcome:
    count = len(tokens(seen.text))
    low = options.min is None or count >= options.min
    high = options.max is None or count <= options.max
    return yes_no(low and high, f"{count} words")


CHECKS = (
    CheckType(
        name="word-count",
        version=1,
        summary="The answer has at least `min` and at most `max` words (characters in Chinese and Japanese).",
        judge=_judge,
        options=WordCountOptions,
        takes=Takes.NOTHING,
        examples=(
            Example("one two three", 1.0, options={"min": 3, "max": 3}),
            Example("one, two - three!", 1.0, options={"max": 3}),
            Example("one two", 0.0, options={"min": 3}),
            Example("今天天气很好。", 1.0, options={"min": 6, "max": 6}),
            Example("我用 Python 写", 1.0, options={"min": 4, "max": 4}),
            Example("", 0.0, options={"min": 1}),
        ),
    ),
)
