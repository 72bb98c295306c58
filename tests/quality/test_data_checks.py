"""Every data check does on its examples what it says; every code it can find is documented and is found by some example."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import plugs
from harness.quality.checks.base import DataCheckType, Sample
from harness.quality.examples import Dropped, Example
from harness.quality.files import example_of

CHECKS: list[DataCheckType] = [plugs.find("data check", name) for name in plugs.names("data check")]
TRL = plugs.find("data format", "trl")
CASES = [pytest.param(check, sample, id=f"{check.name}-{i}") for check in CHECKS for i, sample in enumerate(check.examples)]


def examples(sample: Sample) -> list[Example]:
    found = [example_of(row, TRL, source="x", line=line) for line, row in enumerate(sample.rows, 1)]
    assert not [row for row in found if isinstance(row, Dropped)]
    return [row for row in found if isinstance(row, Example)]


@pytest.mark.parametrize(("check", "sample"), CASES)
def test_examples(check: DataCheckType, sample: Sample) -> None:
    found = list(check.find(examples(sample), sample.settings))
    assert [(finding.row, finding.code) for finding in found] == list(sample.found), [f.message for f in found]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_code_is_shown_by_an_example(check: DataCheckType) -> None:
    shown = {code for sample in check.examples for _, code in sample.found}
    assert shown == set(check.codes)
    assert any(not sample.found for sample in check.examples)


def test_codes_belong_to_one_check() -> None:
    codes = [code for check in CHECKS for code in check.codes]
    assert len(codes) == len(set(codes))


def test_every_code_and_check_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert [code for check in CHECKS for code in check.codes if f"`{code}`" not in page] == []
    assert [check.name for check in CHECKS if check.name not in page] == []
