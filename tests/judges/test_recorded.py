from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.judging import FakeAsker, answer, case, judge

from harness.errors import SuiteError
from harness.model import Judgment
from judges.recorded import response_digest


def write(path: Path, *rows: dict[str, Any]) -> None:
    (path / "verdicts.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def look_up(path: Path, said: str, options: dict[str, Any] | None = None, baseline: str | None = None, **more: Any) -> Judgment:
    def never(request: Any) -> str:
        raise AssertionError("a recorded judge asks nobody")

    grader = judge({"kind": "recorded", "file": "verdicts.jsonl", **(options or {})}, root=path)
    other = None if baseline is None else answer(baseline)
    return asyncio.run(grader.judge(case(**more), answer(said), FakeAsker(never), baseline=other))


def test_verdicts_are_found_by_what_a_row_says_of_the_answer(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"response": "Yes.", "value": 0.2},
        {"case_id": "c1", "response": "Yes.", "value": 0.4, "explanation": "for this case"},
        {"response_digest": response_digest("No."), "passed": True},
        {"prompt": "Really?", "response": "Maybe", "value": 0.9},
    )
    assert look_up(tmp_path, "Yes.").value == 0.4
    assert look_up(tmp_path, "Yes.").explanation == "for this case"
    assert look_up(tmp_path, "Yes.", id="c2").value == 0.2
    assert look_up(tmp_path, "No.").value == 1.0
    assert look_up(tmp_path, "Maybe", text="Really?").value == 0.9
    unknown = look_up(tmp_path, "Maybe")
    assert (unknown.value, unknown.passed, unknown.unscored) == (None, None, "no-record")
    assert look_up(tmp_path, "Yes.").mode == "recorded"


def test_a_scale_is_mapped_and_names_of_fields_may_differ(tmp_path: Path) -> None:
    write(tmp_path, {"answer": "Yes.", "stars": 4, "who": "eve"}, {"answer": "Yes.", "stars": 1, "who": "bob"})
    options = {"fields": {"response": "answer", "value": "stars", "judge": "who"}, "low": 1, "high": 5, "judge": "eve"}
    judgment = look_up(tmp_path, "Yes.", {**options, "threshold": 0.75})
    assert (judgment.value, judgment.raw, judgment.passed) == (0.75, 4.0, True)


def test_several_people_are_averaged_only_if_told(tmp_path: Path) -> None:
    write(tmp_path, {"response": "Yes.", "value": 1}, {"response": "Yes.", "value": 0}, {"response": "Yes.", "value": 1})
    with pytest.raises(SuiteError, match="line 2: another verdict on this answer stands on line 1"):
        look_up(tmp_path, "Yes.")
    judgment = look_up(tmp_path, "Yes.", {"several": "mean"})
    assert judgment.values == (1.0, 0.0, 1.0)
    assert judgment.value == pytest.approx(2 / 3)


def test_preferences(tmp_path: Path) -> None:
    write(tmp_path, {"response": "new", "baseline": "old", "preference": "baseline"})
    options = {"pairwise": True}
    judgment = look_up(tmp_path, "new", options, baseline="old")
    assert (judgment.value, judgment.preference, judgment.passed) == (0.0, "baseline", False)
    assert look_up(tmp_path, "new", options, baseline="other").unscored == "no-record"
    assert look_up(tmp_path, "new", options).unscored == "no-record"


def test_a_row_that_says_there_is_no_verdict(tmp_path: Path) -> None:
    write(tmp_path, {"response": "Yes.", "value": None}, {"response": "No.", "value": 1})
    assert look_up(tmp_path, "Yes.").unscored == "recorded-unscored"


def test_verdicts_of_cases_whatever_the_answer_must_be_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"case_id": "c1", "value": 1})
    with pytest.raises(SuiteError, match="does not say which answer"):
        look_up(tmp_path, "anything")
    assert look_up(tmp_path, "anything", {"any_answer": True}).value == 1.0


def test_csv_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text("response,value,passed\nYes.,0.5,\nNo.,,true\n")
    assert look_up(tmp_path, "Yes.", {"file": "v.csv"}).value == 0.5
    assert look_up(tmp_path, "No.", {"file": "v.csv"}).value == 1.0


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"response": "a", "value": 2}, "not between 0 and 1"),
        ({"response": "a", "value": "good"}, "'good', not a number"),
        ({"response": "a", "value": True}, "not a number"),
        ({"response": "a", "passed": "perhaps"}, "not true or false"),
        ({"response": 5, "value": 1}, "response is not a text"),
        ({"value": 1}, "which answer"),
    ],
)
def test_every_bad_row_is_told_with_its_line(tmp_path: Path, row: dict[str, Any], what: str) -> None:
    write(tmp_path, {"response": "fine", "value": 1}, row, row | {"case_id": "x"})
    with pytest.raises(SuiteError) as caught:
        look_up(tmp_path, "fine")
    assert what in str(caught.value)
    assert [f"line {n}: " in str(caught.value) for n in (2, 3)] == [True, True]
    assert len(caught.value.faults) == 2


def test_a_file_that_is_not_there_or_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no such file"):
        look_up(tmp_path, "x")
    write(tmp_path, {"response": "a", "value": 1, "judge": "eve"})
    with pytest.raises(SuiteError, match="no verdict in it"):
        look_up(tmp_path, "x", {"judge": "bob"})


def test_the_digest_is_that_of_the_verdicts(tmp_path: Path) -> None:
    def digest() -> str:
        return judge({"kind": "recorded", "file": "verdicts.jsonl"}, root=tmp_path).digest

    write(tmp_path, {"response": "a", "value": 1})
    first = digest()
    write(tmp_path, {"response": "a", "value": 1, "note": "changes nothing"})
    assert digest() == first
    write(tmp_path, {"response": "a", "value": 0})
    assert digest() != first
