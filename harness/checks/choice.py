"""choice: the answer picks the right option of a multiple-choice question. How a pick is read: see picking.py.

An answer that picks nothing, or several options, is unscored ("unparsed"), for it is not known what it picked; with
``unparsed: wrong`` it counts 0.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness.checks.base import BadValue, CheckType, Example, Options, Outcome, Seen, unscored, yes_no
from harness.checks.picking import narrow, picked
from harness.checks.texts import show
from harness.model import Case


class ChoiceOptions(Options):
    """choices: the options' texts, or the name of the case's variable that holds them (a list, or a mapping letter -> text).
    labels: the letters, in order (so many of them as there are choices; all of them when the choices are not known)."""

    choices: tuple[str, ...] | str = "choices"
    labels: str = Field("ABCDEFGHIJ", min_length=2, pattern=r"^[A-Z]+$")
    unparsed: Literal["unscored", "wrong"] = "unscored"


def _choices(options: ChoiceOptions, case: Case) -> tuple[str, ...]:
    """The texts of the options, () when they are not known."""
    if isinstance(options.choices, tuple):
        return options.choices
    given = case.vars.get(options.choices)
    if isinstance(given, dict):
        return tuple(str(item) for item in given.values())
    return tuple(str(item) for item in given) if isinstance(given, list | tuple) else ()


def _prepare(value: Any, options: ChoiceOptions) -> Any:
    if value is None or isinstance(value, bool | float | list | dict) or (isinstance(value, str) and not value.strip()):
        raise BadValue("the expected choice is a letter, the number of the option (from 0), or the option's text")
    return value


def _right(value: Any, labels: str, choices: tuple[str, ...]) -> str:
    """The expected letter from a letter ("B", "(B)", "b."), an index from 0, or an option's text. BadValue when it is none."""
    if isinstance(value, int):
        if 0 <= value < len(labels):
            return labels[value]
        raise BadValue(f"there is no option number {value}: they count from 0 to {len(labels) - 1}")
    text = narrow(str(value))
    if text in choices:
        return labels[choices.index(text)]
    letter = text.strip("()[]. :").upper()
    if len(letter) == 1 and letter in labels:
        return letter
    raise BadValue(f"{show(text)} is neither one of the letters {labels} nor the text of an option")


def _expected(value: Any, case: Case, options: ChoiceOptions) -> tuple[str, str, tuple[str, ...]]:
    """(expected letter, letters of this case, texts of its options). BadValue when the reference is none of them."""
    choices = _choices(options, case)
    if len(choices) > len(options.labels):
        raise BadValue(f"there are {len(choices)} options and only {len(options.labels)} letters: set labels")
    labels = options.labels[: len(choices)] if len(choices) > 1 else options.labels
    return _right(value, labels, choices), labels, choices


def _judge(seen: Seen, value: Any, options: ChoiceOptions) -> Outcome:
    right, labels, choices = _expected(value, seen.case, options)
    pick = picked(seen.text, labels, choices)
    if pick is None:
        why = f"no single option is picked in {show(seen.text[-80:])}"
        return yes_no(False, why) if options.unparsed == "wrong" else unscored("unparsed", why)
    return yes_no(pick == right, "" if pick == right else f"expected {right}, picked {pick}")


_COLOURS = {"choices": ["red", "dark red", "blue", "green"]}

CHECKS = (
    CheckType(
        name="choice",
        version=1,
        summary="The option that the answer picks (by letter, statement or option text) is the expected one.",
        judge=_judge,
        options=ChoiceOptions,
        prepare=_prepare,
        suits=_expected,
        examples=(
            Example("B", 1.0, value="B"),
            Example("(B)", 1.0, value="b"),
            Example("B. Because it rains", 1.0, value="B"),
            Example("**C**", 0.0, value="B"),
            Example("Answer: B", 1.0, value="B"),
            Example("The answer is (B).", 1.0, value="B"),
            Example("The correct answer is B because A is too small", 1.0, value="B"),
            Example("The answer is A... no wait, the answer is B.", 1.0, value="B"),
            Example("The answer is A or B.", None, value="B", unscored="unparsed"),
            Example("The answer is a dog", None, value="A", unscored="unparsed"),
            Example("A dog barks. I think so.", None, value="A", unscored="unparsed"),
            Example(r"Hence \boxed{\text{D}}.", 1.0, value="D"),
            Example("答案是B", 1.0, value="B"),
            Example("正确答案为（Ｂ）。", 1.0, value="B"),
            Example("经过分析，选C选项。", 1.0, value="C"),
            Example("故选：D", 0.0, value="C"),
            Example("Reasoning first.\nSo by elimination\nB", 1.0, value="B"),
            Example("Elimination leaves (B), I am sure.", 1.0, value="B"),
            Example("Either (A) or (B)", None, value="B", unscored="unparsed"),
            Example("Dark red.", 1.0, value="dark red", vars=_COLOURS),
            Example("It must be dark red, I think", 1.0, value=1, vars=_COLOURS),
            Example("It is blue, not green", None, value="blue", vars=_COLOURS, unscored="unparsed"),
            Example("It is covered", None, value="red", vars=_COLOURS, unscored="unparsed"),
            Example("红色", 1.0, value="A", options={"choices": ["红色", "蓝色"]}),
            Example("I do not know", 0.0, value="B", options={"unparsed": "wrong"}),
            Example("Answer: E", None, value="B", vars=_COLOURS, unscored="unparsed"),
            Example("B", None, value="E", vars=_COLOURS, unscored="bad-reference"),
            Example("B", None, unscored="bad-reference"),
        ),
    ),
)
