"""Every check's own examples, found by discovery: a new file in harness/checks is tested on arrival."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import plugs
from harness.checks import CheckType, Example, compile_checks
from harness.checks.base import ABSENT
from harness.model import Case, Response, Score

FOUND: list[CheckType] = [plugs.find("check", name) for name in plugs.names("check")]
HEAVY = {"similar"}  # loads a real model
EXAMPLES = [
    pytest.param(check, example, id=f"{check.name}-{i}", marks=[pytest.mark.heavy] if check.name in HEAVY else [])
    for check in FOUND
    for i, example in enumerate(check.examples)
]
FILES = Path(__file__).parent / "files"  # stands for a suite's folder
RESERVED = {"type", "value", "threshold", "weight", "metric", "all", "any"}


def run(check: CheckType, example: Example, *, negate: bool = False) -> Score:
    spec: dict[str, Any] = {"type": ("not-" if negate else "") + check.name, **example.options}
    if example.value is not ABSENT:
        spec["value"] = example.value
    scorer = compile_checks([spec], on_truncated="score", on_empty="score", root=FILES)
    case = Case("0123456789abcdef", "skill", example.vars, example.reference)
    return scorer.score(case, Response("k", **{"text": example.text, "finish_reason": "stop", **example.response}))


@pytest.mark.parametrize(("check", "example"), EXAMPLES)
def test_example(check: CheckType, example: Example) -> None:
    score = run(check, example)
    assert score.unscored == example.unscored, score
    if example.expected is None:
        assert score.value is None
        assert score.passed is None
    else:
        assert score.value == pytest.approx(example.expected, abs=1e-6), score
        assert score.passed == (score.value >= check.threshold)
    if score.value != 1.0:
        assert score.components[0].explanation, "a lost point needs a word why"


@pytest.mark.parametrize(("check", "example"), EXAMPLES)
def test_example_negated(check: CheckType, example: Example) -> None:
    plain, negated = run(check, example), run(check, example, negate=True)
    assert negated.unscored == plain.unscored
    if plain.value is not None:
        assert negated.value == 1.0 - plain.value
        assert negated.passed is (not plain.passed)
    assert negated.components[0].check == f"not-{check.name}"


@pytest.mark.parametrize("check", FOUND, ids=lambda check: check.name)
def test_every_check_is_documented_and_shows_both_sides(check: CheckType) -> None:
    assert check.summary
    assert check.version >= 1
    assert not check.name.startswith("not-")
    assert not RESERVED & set(check.options.model_fields), "an option would hide a key of the spec"
    values = [example.expected for example in check.examples]
    assert any(value is not None and value >= check.threshold for value in values), "no example passes"
    assert any(value is not None and value < check.threshold for value in values), "no example fails"
