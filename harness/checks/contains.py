"""contains and its relatives: the expected text is somewhere in the answer, at its start or at its end.

The ``i`` forms ignore case (Unicode case folding). Both sides are compared in NFC, so that an accent typed in two ways is one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

from harness.checks.base import BadValue, CheckType, Example, Options, Outcome, Seen, yes_no
from harness.checks.texts import show, some_text

Fold = Callable[[str], str]


def _exact(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())


class EdgeOptions(Options):
    """strip: ignore white space around the answer (models often begin or end with some)."""

    ignore_case: bool = False
    strip: bool = True


def _one(fold: Fold) -> Callable[[Any, Any], str]:
    def prepare(value: Any, options: Any) -> str:
        if isinstance(value, list):
            raise BadValue("one text is needed here, not a list: use contains-any or contains-all")
        return fold(some_text(value))

    return prepare


def _many(fold: Fold) -> Callable[[Any, Any], tuple[str, ...]]:
    def prepare(value: Any, options: Any) -> tuple[str, ...]:
        items = value if isinstance(value, list | tuple) else [value]
        if not items:
            raise BadValue("an empty list decides nothing")
        return tuple(fold(some_text(item)) for item in items)

    return prepare


def _contains(fold: Fold) -> Callable[[Seen, str, Any], Outcome]:
    def judge(seen: Seen, expected: str, options: Any) -> Outcome:
        return yes_no(True) if expected in fold(seen.text) else yes_no(False, f"{show(expected)} is not in the answer")

    return judge


def _contains_any(fold: Fold) -> Callable[[Seen, tuple[str, ...], Any], Outcome]:
    def judge(seen: Seen, expected: tuple[str, ...], options: Any) -> Outcome:
        text = fold(seen.text)
        found = next((item for item in expected if item in text), None)
        return (
            yes_no(True, f"found {show(found)}") if found is not None else yes_no(False, f"none of {show(list(expected))} found")
        )

    return judge


def _contains_all(fold: Fold) -> Callable[[Seen, tuple[str, ...], Any], Outcome]:
    def judge(seen: Seen, expected: tuple[str, ...], options: Any) -> Outcome:
        text = fold(seen.text)
        missing = [item for item in expected if item not in text]
        return yes_no(not missing, f"missing: {show(missing)}" if missing else "")

    return judge


def _edge(test: Callable[[str, str], bool], name: str) -> Callable[[Seen, str, EdgeOptions], Outcome]:
    def judge(seen: Seen, expected: str, options: EdgeOptions) -> Outcome:
        fold = _folded if options.ignore_case else _exact
        text = fold(seen.text.strip() if options.strip else seen.text)
        if test(text, fold(expected)):
            return yes_no(True)
        near = seen.text[-80:] if name == "end" else seen.text[:80]
        return yes_no(False, f"the answer does not {name} with {show(expected)}: {show(near)}")

    return judge


CHECKS = (
    CheckType(
        name="contains",
        version=1,
        summary="The expected text is somewhere in the answer.",
        judge=_contains(_exact),
        prepare=_one(_exact),
        examples=(
            Example("It is Paris, of course.", 1.0, value="Paris"),
            Example("It is paris.", 0.0, value="Paris"),
            Example("首都是北京。", 1.0, reference="北京"),
            Example("caf\u00e9", 1.0, value="cafe\u0301"),
            Example("total: 7", 1.0, reference=7),
            Example("abc", None, reference="", unscored="bad-reference"),
        ),
    ),
    CheckType(
        name="icontains",
        version=1,
        summary="The expected text is somewhere in the answer, ignoring case.",
        judge=_contains(_folded),
        prepare=_one(_folded),
        examples=(
            Example("it is PARIS", 1.0, value="Paris"),
            Example("STRASSE", 1.0, value="straße"),
            Example("Rome", 0.0, value="Paris"),
        ),
    ),
    CheckType(
        name="contains-any",
        version=1,
        summary="At least one text of the list is in the answer.",
        judge=_contains_any(_exact),
        prepare=_many(_exact),
        examples=(
            Example("a red car", 1.0, value=["blue", "red"]),
            Example("a Red car", 0.0, value=["blue", "red"]),
            Example("a red car", 1.0, value="{{ vars.colours }}", vars={"colours": ["red"]}),
            Example("a, b", 0.0, value="a,b"),
        ),
    ),
    CheckType(
        name="icontains-any",
        version=1,
        summary="At least one text of the list is in the answer, ignoring case.",
        judge=_contains_any(_folded),
        prepare=_many(_folded),
        examples=(Example("a Red car", 1.0, value=["BLUE", "RED"]), Example("green", 0.0, value=["blue", "red"])),
    ),
    CheckType(
        name="contains-all",
        version=1,
        summary="Every text of the list is in the answer.",
        judge=_contains_all(_exact),
        prepare=_many(_exact),
        examples=(
            Example("red and blue", 1.0, value=["blue", "red"]),
            Example("red", 0.0, value=["blue", "red"]),
            Example("订单号和地址", 1.0, reference=["订单", "地址"]),
        ),
    ),
    CheckType(
        name="icontains-all",
        version=1,
        summary="Every text of the list is in the answer, ignoring case.",
        judge=_contains_all(_folded),
        prepare=_many(_folded),
        examples=(Example("Red and Blue", 1.0, value=["blue", "RED"]), Example("Red", 0.0, value=["blue", "red"])),
    ),
    CheckType(
        name="starts-with",
        version=1,
        summary="The answer starts with the expected text.",
        judge=_edge(str.startswith, "start"),
        options=EdgeOptions,
        prepare=_one(_exact),
        examples=(
            Example("\nYes, indeed", 1.0, value="Yes"),
            Example("\nYes", 0.0, value="Yes", options={"strip": False}),
            Example("yes", 1.0, value="YES", options={"ignore_case": True}),
            Example("No. Yes", 0.0, value="Yes"),
        ),
    ),
    CheckType(
        name="ends-with",
        version=1,
        summary="The answer ends with the expected text.",
        judge=_edge(str.endswith, "end"),
        options=EdgeOptions,
        prepare=_one(_exact),
        examples=(
            Example("Thank you.\n", 1.0, value="you."),
            Example("谢谢！", 1.0, value="！"),
            Example("you. Bye", 0.0, value="you."),
        ),
    ),
)
