"""numeric: the number in the answer is the expected number.

Which number: the one after the last ``####`` or inside the last ``\\boxed{}`` when there is such a mark (GSM8K's and MATH's
ways to point at the answer), otherwise the last in the text, or the one an own pattern finds. References are read alike, so
GSM8K's ``... #### 18`` and ``A: 18`` work as they are. An answer without a number is unscored ("unparsed"), not wrong, unless
the suite says ``unparsed: wrong``: it says nothing about arithmetic. The comma groups thousands and the point is the decimal one:
1.234,56 is not read as the Germans mean it. Numbers in words or Chinese numerals are not read.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation
from typing import Any, Literal

import regex
from pydantic import Field, field_validator

from harness.checks.base import BadValue, CheckType, Example, Options, Outcome, Seen, unscored, yes_no
from harness.checks.texts import show

# Full-width forms, as Chinese and Japanese input methods write them, and the several minus signs.
_NARROW = str.maketrans("０１２３４５６７８９．，％＋－＄￥−﹣﹢／", "0123456789.,%+-$¥--+/")
_NUMBER = re.compile(
    r"""
    (?P<sign>(?<![\w)\]%.])[-+])?        # a sign, not the minus of "10-5"
    (?:[$€£¥₹]\ ?(?P<late>-)?)?          # -$5, $-5, $ 5; but the dash of "- 5" is a bullet
    (?<![A-Za-z_])(?<!\d)(?<!\d\.)       # not inside a word (x2, H2O) or a number
    (?P<body>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)
    (?P<exp>[eE][-+]?\d+(?![\w.]))?
    (?P<percent>\ ?%)?
    """,
    re.VERBOSE | re.ASCII,
)
_FRACTION = re.compile(
    r"(?P<sign>(?<![\w)\]%.])-)?(?:(?P<whole>\d{1,15}) )?(?<![\d./])(?P<up>\d{1,15}) ?/ ?(?P<down>\d{1,15})(?![\d./])", re.ASCII
)
_MARK = re.compile(r"####|\\boxed\{")
_CONTEXT = Context(prec=60, Emax=999_999_999, Emin=-999_999_999, traps=[])


class NumericOptions(Options):
    """abs_tolerance, rel_tolerance: right when |answer - expected| <= the larger of abs_tolerance and rel_tolerance * |expected|.
    pattern: a regular expression that finds the number's text (its first group, else all of it; the last match counts).
    fractions: read 3/4 and 1 1/2 as one number. percent: what 50 % is, 50 (ignore) or 0.5 (scale), in answer and reference."""

    abs_tolerance: float = Field(0.0, ge=0, allow_inf_nan=False)
    rel_tolerance: float = Field(0.0, ge=0, allow_inf_nan=False)
    pattern: str | None = None
    fractions: bool = False
    percent: Literal["ignore", "scale"] = "ignore"
    unparsed: Literal["unscored", "wrong"] = "unscored"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            regex.compile(pattern or "")
        except regex.error as error:
            raise ValueError(f"the pattern does not parse: {error}") from error
        return pattern


def last_number(text: str, options: NumericOptions) -> Decimal | None:
    """The number a text ends on (see the module's rules), exactly as written, or None."""
    text = text.translate(_NARROW)
    marks = list(_MARK.finditer(text))
    if marks:
        marked = _first(text[marks[-1].end() :], options)
        if marked is not None:
            return marked
    best: tuple[int, Decimal] | None = None
    for found in _NUMBER.finditer(text):
        value = _decimal(found, options)
        if value is not None:
            best = (found.end(), value)
    if options.fractions:
        for found in _FRACTION.finditer(text):
            value = _quotient(found)
            if value is not None and (best is None or found.end() >= best[0]):
                best = (found.end(), value)
    return best[1] if best else None


def _first(text: str, options: NumericOptions) -> Decimal | None:
    fraction = _FRACTION.match(text.lstrip()) if options.fractions else None
    found = _NUMBER.search(text)
    return (_quotient(fraction) if fraction else None) or (_decimal(found, options) if found else None)


def _decimal(found: re.Match[str], options: NumericOptions) -> Decimal | None:
    digits = found["body"].replace(",", "") + (found["exp"] or "")
    try:
        value = Decimal(digits)
    except InvalidOperation:  # an exponent of more digits than any number has
        return None
    if found["percent"] and options.percent == "scale":
        value = value.scaleb(-2, _CONTEXT)
    return value.copy_negate() if "-" in (found["sign"], found["late"]) else value


def _quotient(found: re.Match[str]) -> Decimal | None:
    if int(found["down"]) == 0:
        return None
    value = int(found["whole"] or 0) + _CONTEXT.divide(Decimal(found["up"]), Decimal(found["down"]))
    return -value if found["sign"] else value


def _expected(value: Any, options: NumericOptions) -> tuple[Decimal, ...]:
    if isinstance(value, list):
        if not value:
            raise BadValue("an empty list has no right answer")
        return tuple(number for item in value for number in _expected(item, options))
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = Decimal(repr(value))
        if not number.is_finite():
            raise BadValue(f"{value} is not a number one can compare with")
        return (number,)
    found = last_number(value, options) if isinstance(value, str) else None
    if found is None:
        raise BadValue("the check has no value and the case no reference" if value is None else f"no number in {show(value)}")
    return (found,)


def _judge(seen: Seen, expected: tuple[Decimal, ...], options: NumericOptions) -> Outcome:
    text: str | None = seen.text
    if options.pattern is not None:
        try:
            found = list(regex.finditer(options.pattern, seen.text, timeout=1.0))
        except TimeoutError:
            return unscored("regex-timeout", f"{show(options.pattern)} took longer than 1 s on this answer")
        text = (found[-1][1] if found[-1].re.groups else found[-1][0]) if found else None
    number = last_number(text, options) if text else None
    if number is None:
        why = f"no number found in {show(seen.text[-80:])}"
        return yes_no(False, why) if options.unparsed == "wrong" else unscored("unparsed", why)
    if any(_close(number, right, options) for right in expected):
        return yes_no(True)
    return yes_no(False, f"expected {' or '.join(_short(right) for right in expected)}, got {_short(number)}")


def _close(number: Decimal, right: Decimal, options: NumericOptions) -> bool:
    """Exact in decimal, so that 1.11 is within 0.01 of 1.10 (in binary floating point it is not)."""
    if number == right:
        return True
    relative = _CONTEXT.multiply(Decimal(repr(options.rel_tolerance)), right.copy_abs())
    allowed = max(Decimal(repr(options.abs_tolerance)), relative)
    off = _CONTEXT.subtract(number, right).copy_abs()
    return off.is_finite() and off <= allowed and allowed > 0


def _short(number: Decimal) -> str:
    text = str(number)
    return text if len(text) <= 40 else text[:40] + "…"


CHECKS = (
    CheckType(
        name="numeric",
        version=1,
        summary="The answer's number (after ####, in \\boxed{}, else the last one) is the expected number, within a tolerance.",
        judge=_judge,
        options=NumericOptions,
        prepare=_expected,
        examples=(
            Example("She pays $1,234.50 in all.", 1.0, value=1234.5),
            Example("3 + 4 = 7", 1.0, reference="7"),
            Example("3 + 4 = 8", 0.0, reference="7"),
            Example("The answer is 18.", 1.0, reference="Janet sells 16 - 3 - 4 = <<16-3-4=9>>9 eggs.\n#### 18"),
            Example("#### 18\nI used 3 steps.", 1.0, reference="A: 18"),
            Example(r"\boxed{42} since 6*7", 1.0, value=42),
            Example("It is -5 degrees", 1.0, value=-5),
            Example("10-5", 1.0, value=5),
            Example("- 5", 1.0, value=5),
            Example("$-5", 1.0, value=-5),
            Example("-$3.20", 1.0, value=-3.2),
            Example("about 6.02e23", 1.0, value=6.02e23),
            Example("6.02e23", 0.0, value=6.03e23),
            Example("共３８．５元", 1.0, value=38.5),
            Example("答案是−１，２００。", 1.0, value=-1200),
            Example("1.11", 1.0, value=1.10, options={"abs_tolerance": 0.01}),
            Example("1.12", 0.0, value=1.10, options={"abs_tolerance": 0.01}),
            Example("101", 1.0, value=100, options={"rel_tolerance": 0.01}),
            Example("50%", 1.0, value=50),
            Example("50 %", 1.0, value=0.5, options={"percent": "scale"}),
            Example("It is 3/4", 1.0, value=0.75, options={"fractions": True}),
            Example("It is 3/4", 1.0, value=4),
            Example("1 1/2 cups", 1.0, value=1.5, options={"fractions": True}),
            Example("x = 5 (page 9)", 1.0, value=5, options={"pattern": r"x = (\S+)"}),
            Example("H2O has x2", None, value=2, unscored="unparsed"),
            Example("1,2,3", 1.0, value=3),
            Example("I do not know", None, value=2, unscored="unparsed"),
            Example("I do not know", 0.0, value=2, options={"unparsed": "wrong"}),
            Example("1e99999999999999999999", None, value=2, unscored="unparsed"),
            Example("9" * 10_000, 0.0, value=9),
            Example("7", None, reference="seven", unscored="bad-reference"),
            Example("7", None, reference=True, unscored="bad-reference"),
            Example("7 or 8", 1.0, reference=[7, 8]),
        ),
    ),
)
