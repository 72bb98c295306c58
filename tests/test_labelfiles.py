"""Files of labels and verdicts: every shape read, mixed types, faults by line, hostile content as data."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.people import make_label
from support.suites import write_rows

from harness.calibration import LabelledCase, Ruling, Said
from harness.errors import SuiteError
from harness.labelfiles import MAX_FAULTS, LabelFile, holds_rulings, judges_of, read_labels, read_rulings
from harness.labels import as_row


def labels(folder: Path, *rows: dict[str, Any]) -> LabelFile:
    return read_labels(write_rows(folder / "labels.jsonl", rows))


def rulings(folder: Path, kind: str, *rows: dict[str, Any]) -> dict[str, dict[str, list[Ruling]]]:
    return read_rulings(write_rows(folder / "judged.jsonl", rows), kind)


def faults(folder: Path, *rows: dict[str, Any]) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        labels(folder, *rows)
    return [fault.line().replace(str(folder), "") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        *[(word, "1") for word in (1, "1", 1.0, "A", "a>b", "candidate", "Output_1", " first ")],
        *[(word, "2") for word in (2, "2", "2.0", "B", "B>A", "baseline", "output_2")],
        *[(word, "tie") for word in (0, "0", "Tie", "tie", "TIE", 1.5, "a=b", "draw")],
    ],
)
def test_a_preference_may_be_written_in_many_ways(tmp_path: Path, word: Any, verdict: str) -> None:
    found = labels(tmp_path, {"case_id": "c", "preference": word})
    assert found == LabelFile("pairwise", (LabelledCase("c", (Said("person", verdict),)),))
    judged = rulings(tmp_path, "pairwise", {"case_id": "c", "preference": word, "swapped": True, "judge": "j"})
    assert judged == {"j": {"c": [Ruling(verdict, swapped=True)]}}


@pytest.mark.parametrize("word", ["garbage", 3, -1, True, [1], {"a": 1}, "1 or 2", "NaN", 1e400])
def test_off_the_menu_a_label_is_a_fault_and_a_verdict_is_counted(tmp_path: Path, word: Any) -> None:
    text = json.dumps({"case_id": "c", "preference": word}).replace("Infinity", '"inf"')
    (tmp_path / "odd.jsonl").write_text(text)
    with pytest.raises(SuiteError) as caught:
        read_labels(tmp_path / "odd.jsonl")
    assert "odd.jsonl:1" in caught.value.line()
    ((ruling,),) = [by_case["c"] for by_case in read_rulings(tmp_path / "odd.jsonl", "pairwise").values()]
    assert ruling.verdict is None
    assert ruling.reason.startswith("off the menu: ")


def test_several_raters_weights_clusters_and_lengths(tmp_path: Path) -> None:
    row = {"case_id": "c", "probability": 0.25, "cluster": "d", "output_1": "four", "output_2": "sixsix", "generator_1": "m"}
    found = labels(
        tmp_path, {**row, "rater": "Ann", "preference": 1, "generator_2": "n"}, {"case_id": "c", "rater": "Bo", "preference": 2}
    )
    assert found.cases == (
        LabelledCase("c", (Said("Ann", "1"), Said("Bo", "2")), (), 0.25, "d", lengths=(4, 6), makers=("m", "n")),
    )


@pytest.mark.parametrize(
    ("row", "verdict", "score"),
    [
        ({"passed": True}, "pass", None),
        ({"passed": "no"}, "fail", None),
        ({"label": 0}, "fail", None),
        ({"rating": 5}, "pass", 1.0),
        ({"rating": "2"}, "fail", 0.25),
        ({"value": 0.5}, "pass", 0.5),
        ({"score": 0.49}, "fail", 0.49),
        ({"rating": 4, "passed": False}, "fail", 0.75),
    ],
)
def test_single_answers_pass_or_fail(tmp_path: Path, row: dict[str, Any], verdict: str, score: float | None) -> None:
    found = labels(tmp_path, {"case_id": 7, **row})
    assert found == LabelFile("pointwise", (LabelledCase("7", (Said("person", verdict, score),)),))
    judged = rulings(
        tmp_path, "pointwise", {"case_id": "7", **row, "prompt_tokens": 90, "completion_tokens": "10", "seconds": 0.5}
    )
    assert judged["judged"]["7"] == [Ruling(verdict, score, tokens=100, seconds=0.5)]


def test_two_answers_to_one_case_are_two_things(tmp_path: Path) -> None:
    found = labels(tmp_path, *({"case_id": "c", "candidate": who, "passed": who == "new"} for who in ("old", "new")))
    assert [(case.id, case.people[0].verdict) for case in found.cases] == [("c of old", "fail"), ("c of new", "pass")]


def test_a_judge_that_said_nothing_is_counted_with_its_reason(tmp_path: Path) -> None:
    rows = ({"case_id": "a", "value": None, "unscored": "judge-refused"}, {"case_id": "b"}, {"case_id": "c", "value": 7})
    found = rulings(tmp_path, "pointwise", *rows)["judged"]
    assert [found[key][0].reason for key in "abc"] == ["judge-refused", "no verdict", "off the menu: 7"]


def test_stored_judgments_keep_both_orders(tmp_path: Path) -> None:
    row = {"case_id": "c", "judge": "tone", "preference": "tie", "orders": [["candidate", "baseline"]], "prompt_tokens": 50}
    assert rulings(tmp_path, "pairwise", row)["tone"]["c"] == [
        Ruling("1", swapped=False, tokens=50),
        Ruling("2", swapped=True, tokens=0, seconds=0.0),
    ]


def test_labels_of_a_review_count_as_a_review_counts_them(tmp_path: Path) -> None:
    """The latest word of each rater; what was taken back does not count; an adjudicator ends a dispute."""
    first = make_label(passed=False)
    changed = make_label(passed=True, supersedes=first.id)
    other = make_label(rater="Bo", passed=False)
    judge = make_label(rater="Cy", passed=False, adjudicates=True)
    elsewhere = make_label(case_id="f" * 16, responses=("b",), rating=4, passed=None, probability=0.5)
    found = labels(tmp_path, *map(as_row, (first, changed, other, elsewhere)))
    assert [(case.id, case.people) for case in found.cases] == [
        (f"{1:016x} a", (Said("Ann", "pass"), Said("Bo", "fail"))),
        (f"{'f' * 16} b", (Said("Ann", "pass", 0.75),)),
    ]
    assert found.cases[1].probability == 0.5
    settled = labels(tmp_path, *map(as_row, (first, changed, other, judge)))
    assert [case.people for case in settled.cases] == [(Said("Cy", "fail"),)]


def test_a_ranking_of_both_runs_answers_is_a_preference(tmp_path: Path) -> None:
    ranked = make_label(
        "rank",
        baseline_run_id="base",
        responses=("x", "y", "z"),
        sides=("base", "run1", "run0"),
        ranking=(("z",), ("y",), ("x",)),
    )
    tied = replace(ranked, id="e" * 32, case_id="2" * 16, ranking=(("x", "y"), ("z",)))
    lone = replace(ranked, id="d" * 32, case_id="3" * 16, sides=("base", "run8", "run0"))
    found = labels(tmp_path, *map(as_row, (ranked, tied, lone)))
    assert [(case.id[:1], case.people[0].verdict) for case in found.cases] == [("0", "1"), ("2", "tie")]


def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        {"case_id": "a", "preference": 1},
        {"preference": 1},
        {"case_id": "b"},
        {"case_id": "c", "passed": True},
        {"case_id": "d", "preference": "maybe"},
        {"case_id": "e", "preference": 2, "probability": 0},
    )
    assert found == [
        "/labels.jsonl:2: names no case: it has neither case_id nor input, output_1 and output_2",
        "/labels.jsonl:3: holds no label: neither preference nor passed, rating, value or label",
        "/labels.jsonl:4: labels a single answer among labels of pairs",
        "/labels.jsonl:5: 'maybe' is no label of this kind",
        "/labels.jsonl:6: probability 0 is not in (0, 1]",
    ]
    assert len(faults(tmp_path, *[{"case_id": "a"}] * 50)) == MAX_FAULTS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("none.jsonl", None),
        ("empty.jsonl", b""),
        ("list.json", b"[]"),
        ("list.json", b"[1, 2]"),
        ("broken.json", b'[{"case_id": '),
        ("utf16.jsonl", '{"case_id": "a", "preference": 1}'.encode("utf-16")),
        ("latin.jsonl", b'{"case_id": "\xff", "preference": 1}'),
        ("twice.jsonl", b'{"case_id": "a", "case_id": "b", "preference": 1}'),
        ("nan.jsonl", b'{"case_id": "a", "value": NaN}'),
        ("deep.jsonl", b"[" * 100_000),
        ("file.xml", b"<a/>"),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for read in (read_labels, lambda p: read_rulings(p, "pairwise")):
        with pytest.raises(SuiteError) as caught:
            read(path)
        assert name in caught.value.line()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(
    [
        "case_id",
        "idx",
        "preference",
        "winner",
        "label",
        "passed",
        "rating",
        "value",
        "rater",
        "probability",
        "orders",
        "results",
        "annotator1",
        "gpt_result",
        "input",
        "output_1",
        "output_2",
        "cluster",
        "swapped",
        "unscored",
        "tokens",
        "created_at",
        "responses",
        "kind",
        "generator_1",
        "generator_2",
        "seconds",
        "judge",
        "response_id",
        "candidate",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.dictionaries(KEYS, ANYTHING, max_size=8), max_size=4), st.sampled_from(["pairwise", "pointwise"]))
def test_any_rows_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], kind: str) -> None:
    path = write_rows(tmp_path_factory.mktemp("any") / "rows.jsonl", rows)
    for read in (read_labels, lambda p: read_rulings(p, kind)):
        with contextlib.suppress(SuiteError):
            read(path)


def test_the_judge_is_named_by_the_row_or_by_where_the_file_lies(tmp_path: Path) -> None:
    folder = tmp_path / "evaluators" / "GPT-4" / "Swap"
    folder.mkdir(parents=True)
    path = write_rows(folder / "result.jsonl", [{"case_id": "a", "winner": 1}])
    one, other = (
        read_rulings(path, "pairwise"),
        rulings(tmp_path, "pairwise", {"case_id": "a", "winner": 2, "judge": "GPT-4/Swap"}),
    )
    assert list(judges_of([one, other])) == ["GPT-4/Swap", "GPT-4/Swap #2"]
    assert judges_of([one, other])["GPT-4/Swap #2"]["a"][0].verdict == "2"


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    row = {"input": "q", "output_1": "a", "output_2": "b", "label": 2}
    alone = write_rows(tmp_path / "alone.jsonl", [row])
    both = write_rows(tmp_path / "both.jsonl", [{**row, "results": [{"swap = False": {"winner": "1"}}]}])
    assert not holds_rulings(alone)
    assert holds_rulings(both)
    (joined,) = read_labels(both).judged_by(read_rulings(both, "pairwise")["both"])
    assert joined.rulings == (Ruling("1", swapped=False), Ruling(None, reason="no verdict", swapped=True))
    assert joined.lengths == (1, 1)
