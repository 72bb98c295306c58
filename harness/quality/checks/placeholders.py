"""placeholders: a template was never filled in: {{name}}, {name}, <NAME>, [Your Name], TODO, lorem ipsum.

Code is full of braces and brackets that mean what they say, so single braces and angle brackets count only outside of code and
only when they hold nothing but a name. What is learnt is an error; the same in a question only a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

import regex

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row, hinted, learnt_parts, parts
from harness.quality.examples import Example

_CODE = regex.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\$\$?[^$\n]+\$\$?", regex.DOTALL)
_SURE = regex.compile(
    r"\{\{\s*[\p{L}_][\p{L}\p{N}_. -]{0,40}\s*\}\}"
    r"|\[(?i:your|insert|enter|add|company|customer|client|recipient|sender|first|last)[ _-]?"
    r"(?i:name|company|address|email|date|phone|title|here|text)(?: \w+){0,3}\]"
    r"|\b(?i:lorem ipsum)\b"
    r"|<(?:YOUR|INSERT)[_ ][A-Z_ ]{2,40}>"
)
_LIKELY = regex.compile(
    r"(?<![\\\w${}^_])\{[a-z][a-z0-9]*(?:_[a-z0-9]+)*\}(?!\})"
    r"|<(?!(?:DOCTYPE|HTML|HEAD|BODY|DIV|SPAN|BR|HR|UL|OL|LI|TABLE|TR|TD|TH|IMG|PRE|CODE|TITLE|META|LINK|FORM|INPUT|SCRIPT|STYLE)>)"
    r"[A-Z]{2,}(?:_[A-Z]+)*>"
    r"|(?<!\w)(?:TODO|FIXME|TBD|XXX)(?!\w)"
)
_HINTS = ("{", "<", "[", "TODO", "FIXME", "TBD", "XXX", "orem ", "OREM ")  # without one of them nothing matches


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    for name, turn in parts(example):
        text = turn.content
        if not hinted(text, _HINTS):
            continue
        bare = _CODE.sub(" ", text) if "`" in text or "$" in text else text
        sure, likely = _SURE.search(bare), _LIKELY.search(bare)
        learnt = bool(sure or likely) and name in dict(learnt_parts(example))
        if sure and learnt:
            yield Found("placeholder", f"{name} has the placeholder {sure.group()[:60]!r}")
        elif likely and learnt:
            yield Found("placeholder-likely", f"{name} has what looks like a placeholder: {likely.group()[:60]!r}")
        elif sure:
            yield Found("placeholder-asked", f"{name} has the placeholder {sure.group()[:60]!r}")


def _answer(text: str) -> dict[str, object]:
    return {"prompt": "Who are you?", "completion": text}


DATA_CHECKS = (
    DataCheckType(
        name="placeholders",
        version=1,
        summary="No template slot is left unfilled: {{name}}, {name}, <NAME>, [Your Name], TODO, lorem ipsum.",
        codes={
            "placeholder": (Level.ERROR, "fill it in"),
            "placeholder-likely": (Level.WARNING, "fill it in, or put it in a code fence if it is meant so"),
            "placeholder-asked": (Level.WARNING, "fill it in, unless the question is about templates"),
        },
        start=each_row(_look),
        examples=(
            Sample(
                (_answer("I am {{name}}, made by {{ author }}."), _answer("Dear [Your Name],")),
                ((1, "placeholder"), (2, "placeholder")),
            ),
            Sample((_answer("我是{{姓名}}。"), _answer("Lorem ipsum dolor")), ((1, "placeholder"), (2, "placeholder"))),
            Sample(
                (_answer("Hello {first_name}!"), _answer("Call <PHONE> now"), _answer("TODO")),
                tuple((i, "placeholder-likely") for i in (1, 2, 3)),
            ),
            Sample(({"prompt": "Hi {{name}}", "completion": "Hi"},), ((1, "placeholder-asked"),)),
            Sample((_answer("```python\nprint(f'{name}')\n```"), _answer("use `{name}` or `{{name}}`"))),
            Sample((_answer(r"\frac{a}{b} and $x_{i}$ and {\"a\": 1}"), _answer("a set {a, b}, a <b>bold</b> word, <DIV>"))),
            Sample((_answer("see [1] and [the docs](x), my todo list"), _answer("function f() { return x }"))),
        ),
    ),
)
