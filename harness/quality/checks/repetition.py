"""repetition: the answer is a loop, as the rule check of the same name sees it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.base import Seen
from harness.checks.repetition import CHECKS, RepetitionOptions
from harness.model import Case, Response
from harness.quality.checks.base import DataCheckType, Found, Level, Sample, Settings, each_row, learnt_parts
from harness.quality.examples import Example

_CASE, _RESPONSE, _OPTIONS = Case("", "", {}), Response(""), RepetitionOptions.model_validate({})
_MIN_CHARS = 40  # nothing shorter is a loop


def _look(example: Example, settings: Settings) -> Iterator[Found]:
    for name, turn in learnt_parts(example):
        if len(turn.content) >= _MIN_CHARS:
            seen = CHECKS[0].judge(Seen(turn.content, _CASE, _RESPONSE), None, _OPTIONS)
            if seen.value == 0.0:
                yield Found("repetition", f"{name} {seen.explanation}")


DATA_CHECKS = (
    DataCheckType(
        name="repetition",
        version=1,
        summary="Answers are no loops: no phrase again and again at the end, few repeated n-grams and lines.",
        codes={"repetition": (Level.ERROR, "leave the row out: loops are learnt at once")},
        start=each_row(_look),
        examples=(
            Sample(({"prompt": "q", "completion": "I think that " * 20},), ((1, "repetition"),)),
            Sample(({"prompt": "q", "completion": "好的" * 40},), ((1, "repetition"),)),
            Sample(({"prompt": "ha " * 50, "completion": "A plain answer that says one thing once, and no more."},)),
            Sample(({"prompt": "q", "chosen": "good", "rejected": "bad " * 30},)),
        ),
    ),
)
