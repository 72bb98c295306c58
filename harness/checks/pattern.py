"""regex: a pattern is found in the answer.

The ``regex`` package is used instead of ``re`` because it can stop: a pattern with nested repeats may need years on the wrong
text, and the text is a model's.
"""

from __future__ import annotations

from typing import Any

import regex
from pydantic import Field

from harness.checks.base import BadValue, CheckType, Example, Options, Outcome, Seen, unscored, yes_no
from harness.checks.texts import show, some_text


class RegexOptions(Options):
    """full: the pattern must match the whole answer (white space around it aside). multiline: ^ and $ also match at lines;
    dotall: the dot matches newlines. timeout_s: seconds after which the response is unscored ("regex-timeout")."""

    ignore_case: bool = False
    full: bool = False
    multiline: bool = False
    dotall: bool = False
    timeout_s: float = Field(1.0, gt=0, le=60, allow_inf_nan=False)


def _prepare(value: Any, options: RegexOptions) -> Any:
    flags = regex.V0
    flags |= regex.IGNORECASE if options.ignore_case else 0
    flags |= regex.MULTILINE if options.multiline else 0
    flags |= regex.DOTALL if options.dotall else 0
    try:
        return regex.compile(some_text(value), flags)
    except regex.error as error:
        raise BadValue(f"the pattern does not parse: {error}") from error


def _judge(seen: Seen, pattern: Any, options: RegexOptions) -> Outcome:
    try:
        if options.full:
            found = pattern.fullmatch(seen.text.strip(), timeout=options.timeout_s)
        else:
            found = pattern.search(seen.text, timeout=options.timeout_s)
    except TimeoutError:
        return unscored("regex-timeout", f"{show(pattern.pattern)} took longer than {options.timeout_s} s on this answer")
    return yes_no(True, f"found {show(found.group())}") if found else yes_no(False, f"{show(pattern.pattern)} is not found")


CHECKS = (
    CheckType(
        name="regex",
        version=1,
        summary="A regular expression (Python syntax, with Unicode classes such as \\p{Han}) is found in the answer.",
        judge=_judge,
        options=RegexOptions,
        prepare=_prepare,
        examples=(
            Example("Order #1234 is on its way", 1.0, value=r"#\d{4}"),
            Example("Order 12", 0.0, value=r"#\d{4}"),
            Example(" 12 \n", 1.0, value=r"\d+", options={"full": True}),
            Example("12 apples", 0.0, value=r"\d+", options={"full": True}),
            Example("YES", 1.0, value="yes", options={"ignore_case": True}),
            Example("你好 world", 1.0, value=r"^\p{Han}+"),
            Example("2024-05-01", 1.0, value="^{{ year }}-", vars={"year": 2024}),
            Example("a" * 40 + "!", None, value="^(a|a)*$", options={"timeout_s": 0.05}, unscored="regex-timeout"),
            Example("x", None, reference="(", unscored="bad-reference"),
        ),
    ),
)
