"""truncation: the answer stops in the middle: a fence or bracket left open, or prose that ends on a comma or a joining word.

A limit of tokens cut it when it was made. A model that learns it learns to stop anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import regex

from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row, learnt_parts
from harness.quality.examples import Example

MIN_CHARS = 80  # shorter answers may well be fragments on purpose
_JOINING = regex.compile(
    r"(?:[,;:(\-–—,、;:(]|\b(?i:and|or|but|the|a|an|of|to|in|with|for|because|that|which|is|are|was|und|oder|der|die|das)"
    r"|的|和|与|以及|因为|但是)\s*$"
)


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    for name, turn in learnt_parts(example):
        text = turn.content.rstrip()
        if not text or turn.tool_calls:
            continue
        if text.count("```") % 2:
            yield Found("open-fence", f"{name} opens a code fence and does not close it")
        elif text[0] in "{[" and len(text) > 20 and _open_json(text):
            yield Found("open-json", f"{name} is JSON that ends too early: ...{text[-30:]!r}")
        elif len(text) >= MIN_CHARS and (" " in text or not text.isascii()) and _JOINING.search(text[-12:]):
            yield Found("cut-off", f"{name} ends in the middle: ...{text[-40:]!r}")


def _open_json(text: str) -> bool:
    """Whether the text is the beginning of JSON and not the whole: the parser fails at the very end."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) or error.msg.startswith("Unterminated string")
    except (ValueError, RecursionError):
        return False
    return False


def _answer(text: str) -> dict[str, object]:
    return {"prompt": "q", "completion": text}


_LONG = "The company was founded in a small town by three engineers who wanted to build better tools for everybody"

DATA_CHECKS = (
    DataCheckType(
        name="truncation",
        version=1,
        summary="Answers end where they end: no code fence or JSON left open, no prose that stops on a comma or a joining word.",
        codes={
            "open-fence": (Level.WARNING, "make the answer again with more tokens, or leave the row out"),
            "open-json": (Level.ERROR, "make the answer again with more tokens, or leave the row out"),
            "cut-off": (Level.WARNING, "make the answer again with more tokens, or leave the row out"),
        },
        start=each_row(_look),
        examples=(
            Sample(
                (_answer("Here:\n```python\nprint(1)"), _answer('{"name": "x", "items": [1, 2')),
                ((1, "open-fence"), (2, "open-json")),
            ),
            Sample(
                (_answer(f"{_LONG}, and"), _answer(f"{_LONG},"), _answer("这家公司由三位工程师创立。" * 8 + "他们, 希望 和")),
                tuple((i, "cut-off") for i in (1, 2, 3)),
            ),
            Sample((_answer(f"{_LONG}."), _answer(_LONG), _answer("x,"), _answer('{"a": 1, "b": [1, 2, 3, 4]}'))),
            Sample((_answer("[see the notes below] This is no JSON at all"), _answer("```\na\n```"))),
        ),
    ),
)
