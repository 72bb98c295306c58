"""choice: which option of a multiple-choice question the answer picks.

Ways to say it, the strongest first; the first way that names exactly one option decides:
1. a statement: "The answer is (B)", "Answer: B", \\boxed{B}, "正确答案是B", "选B". Of several statements the last counts, because
models correct themselves; "A or B" is no choice. 2. the answer is the letter, or begins or ends with it on a line of its own:
"B", "(B)", "B. because ...". 3. one option's letter, and no other's, stands in brackets: "... so (B) fits". 4. the answer is an
option's text, or contains the text of exactly one option. An answer that picks nothing, or several, is unscored ("unparsed"):
it is not known what was picked. ``unparsed: wrong`` counts it 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase
from typing import Any, Literal

from pydantic import Field

from harness.checks.base import BadValue, CheckType, Example, Options, Outcome, Seen, unscored, yes_no
from harness.checks.texts import show
from harness.model import Case

_WIDE = {ord("Ａ") + i: letter for i, letter in enumerate(ascii_uppercase)}
_WIDE |= {ord("ａ") + i: letter for i, letter in enumerate(ascii_uppercase.lower())}
_WIDE |= {ord("（"): "(", ord("）"): ")", ord("："): ":", ord("．"): "."}


class ChoiceOptions(Options):
    """choices: the options' texts, or the name of the case's variable that holds them (a list, or a mapping letter -> text).
    labels: the letters, in order (so many of them as there are choices; all of them when the choices are not known)."""

    choices: tuple[str, ...] | str = "choices"
    labels: str = Field("ABCDEFGHIJ", min_length=2, pattern=r"^[A-Z]+$")
    unparsed: Literal["unscored", "wrong"] = "unscored"


@dataclass(frozen=True, slots=True)
class _Patterns:
    """The regular expressions for one set of letters."""

    statement: re.Pattern[str]
    either: re.Pattern[str]
    alone: re.Pattern[str]
    bracket: re.Pattern[str]


@lru_cache(maxsize=64)
def _patterns(labels: str) -> _Patterns:
    letter = f"[{labels}{labels.lower()}]"
    # The letter, perhaps wrapped: (B), **B**, "B", option B. After it no further letter, apostrophe or digit may follow.
    wrapped = rf"[\s(\[{{*_`\"'“「《【]*(?:(?:option|choice|选项)\s*)?[\s(\[{{*_`\"'“「《【]*(?P<pick>{letter})(?![A-Za-z0-9'’])"
    # "The answer is a dog": a small letter, or the article A, counts only when the phrase ends there.
    ends = (
        r"(?=[\s*_`\"'”」》】)\]}]*(?:$|[\n.,;:!?。，；：！？)\]}|\u4e00-\u9fff])"
        r"|\s*(?:[-–—]|(?:because|since|as|for|which)\b))"
    )
    english = r"(?:\banswer|\bchoice|\boption)(?:\s+(?:here|to\s+\w+(?:\s+\w+)?))?\s*(?:is|would\s+be|must\s+be|:|=)+\s*:?"
    chinese = r"(?:答案|选项|选择|应选|故选|选)\s*(?:应该|应当|应)?\s*(?:是|为|选)?\s*:?"
    lead = rf"(?:{english}|{chinese}|\\boxed\s*\{{(?:\\text\s*\{{)?)"
    clear = labels.replace("A", "").replace("I", "")  # capitals that are no English words
    statement = re.compile(rf"(?i:{lead}){wrapped}(?:(?<=[{clear}])|{ends})")
    either = re.compile(rf"[\s)\]}}*_`\"'”]*(?:or|and|/|,|&|或者?|和|、)\s*[(\[*_`\"'“]*{letter}(?![A-Za-z0-9'’])")
    after = r"(?:[)\]*_`\"'”]*\s*$|[)\]*_`\"'”]*\s*[.):\]、](?:\s|$|(?=[^\x00-\x7f]))|[)\]*]+\s)"
    alone = re.compile(rf"[\s(\[*_`\"'“]*(?P<pick>{letter}){after}")
    bracket = re.compile(rf"[(\[]\s*(?P<pick>{letter})\s*[)\]]")
    return _Patterns(statement, either, alone, bracket)


def picked(text: str, labels: str, choices: tuple[str, ...]) -> str | None:
    """The letter that a text picks, or None when it picks none or several. Rules: see the module."""
    patterns = _patterns(labels)
    text = text.translate(_WIDE).strip()
    statements = list(patterns.statement.finditer(text))
    if statements:
        last = statements[-1]
        return None if patterns.either.match(text, last.end("pick")) else last["pick"].upper()
    lines = [line for line in text.splitlines() if line.strip()]
    for line in (lines[0], lines[-1]) if lines else ():
        found = patterns.alone.match(line)
        if found and not patterns.either.match(line, found.end("pick")):
            return found["pick"].upper()
    bracketed = {found["pick"].upper() for found in patterns.bracket.finditer(text)}
    if len(bracketed) == 1:
        return bracketed.pop()
    return _by_text(text, labels, choices) if not bracketed else None


def _by_text(text: str, labels: str, choices: tuple[str, ...]) -> str | None:
    """The option whose text the answer is, or the only one that it contains (as whole words). An option inside a longer one
    that is also there ("red" in "dark red") does not count."""
    plain = " ".join(text.casefold().split()).strip(" .。!！\"'")
    options = [" ".join(choice.casefold().split()).strip(" .。") for choice in choices]
    if plain in options and options.count(plain) == 1:
        return labels[options.index(plain)]
    present = [i for i, option in enumerate(options) if option and _has_words(plain, option)]
    longest = [i for i in present if not any(i != j and options[i] in options[j] for j in present)]
    return labels[longest[0]] if len(longest) == 1 else None


def _has_words(text: str, part: str) -> bool:
    before = r"(?<![^\W_])" if part[0].isascii() else ""
    after = r"(?![^\W_])" if part[-1].isascii() else ""
    return re.search(before + re.escape(part) + after, text) is not None


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
    text = str(value).translate(_WIDE).strip()
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
