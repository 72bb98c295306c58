"""FILE.review.jsonl: only added to, safe against kills and other writers, checked when read; the sample is found again."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rowreview import log_of, mixed, pair, word, write

from harness.errors import DataError, StoreError
from harness.quality.examples import Example
from harness.quality.files import open_examples
from harness.quality.humancheck import Word, current
from harness.quality.reviewfile import ReviewFile, accepted_rows, beside, digest_of_file, plan_for, rows_of


def test_a_plan_and_words_come_back_as_they_were(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", math=10, safety=5)
    log = log_of(source)
    plan = plan_for(log, source, sample=6)
    said = word(plan, 0, "accept", comment="gut\u2028\u202e \ud800 \U0001f600", seconds=1.5)
    log.add_word(said)
    log.add_word(Word("u1", said.row, said.line, "Ann", 99.0, undoes=said.id))
    again = log_of(source)
    assert again.plans == {plan.id: plan}
    assert again.words == log.words == [said, Word("u1", said.row, said.line, "Ann", 99.0, undoes=said.id)]
    lines = beside(source.path).read_bytes().split(b"\n")
    assert len(lines) == 4
    assert lines[-1] == b""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["say", "undo"]), st.integers(0, 2), st.sampled_from(["accept", "reject", "skip"]))))
def test_what_counts_is_the_last_word_not_taken_back(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    words: list[Word] = []
    stack: list[Word] = []
    for number, (what, row, verdict) in enumerate(steps):
        if what == "say":
            stack.append(Word(f"{number}", f"row{row}", row, "Ann", float(number), verdict))
            words.append(stack[-1])
        elif stack:
            gone = stack.pop()
            words.append(Word(f"{number}", gone.row, gone.line, "Ann", float(number), undoes=gone.id))
    expected = {}
    for said in stack:
        expected[said.row, "Ann"] = said
    assert current(words) == expected


def test_the_same_settings_find_their_sample_and_the_last_one_goes_on(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", math=30, safety=30)
    log = log_of(source)
    first = plan_for(log, source, sample=10, seed=3, by=())
    assert first.strata == {"all rows": 60}
    size = log.path.stat().st_size
    assert plan_for(log, source) == first  # what was not said is as it was
    assert plan_for(log_of(source), source, sample=10) == first
    assert log.path.stat().st_size == size
    second = plan_for(log, source, sample=12, by=("capability",))
    assert (second.seed, second.sample, len(second.strata)) == (3, 12, 2)
    assert plan_for(log_of(source), source) == second
    assert plan_for(log, source, sample=10, by=()) == first  # asked for again, it is the latest again
    assert plan_for(log_of(source), source) == first
    assert set(rows_of(source, first)) == {pick.row for pick in first.picks}


def test_a_changed_file_gets_a_new_sample_and_old_words_stay_with_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    source = mixed(path, math=10)
    log = log_of(source)
    plan = plan_for(log, source, sample=10)
    log.add_word(word(plan, 0, "accept"))
    write(path, [pair(i) for i in range(9, -1, -1)])
    with pytest.raises(DataError, match="no longer the row"):
        rows_of(open_examples(path), plan)
    turned = plan_for(log, open_examples(path))
    assert turned.id != plan.id
    assert plan.picks[0].row in {pick.row for pick in turned.picks}
    [kept] = accepted_rows(open_examples(path), log)
    assert kept.line == 11 - plan.picks[0].line


def test_accepted_rows_are_written_as_they_were_read(tmp_path: Path) -> None:
    source = write(tmp_path / "f.jsonl", [pair(i) | {"own column": [i]} for i in range(6)])
    log = log_of(source)
    plan = plan_for(log, source, sample=6)
    for place, verdict in enumerate(["accept", "reject", "other", "skip", "accept"]):
        log.add_word(word(plan, place, verdict))
    log.add_word(word(plan, 4, "reject", "Bob"))
    [row] = accepted_rows(source, log)
    assert isinstance(row, Example)
    assert row.line == plan.picks[0].line
    assert row.raw["own column"] == [row.line - 1]


@pytest.mark.parametrize("cut", [2, 20, 60])
def test_a_line_that_a_kill_cut_short_is_skipped_counted_and_written_past(tmp_path: Path, cut: int) -> None:
    source = mixed(tmp_path / "f.jsonl", math=5)
    log = log_of(source)
    plan = plan_for(log, source, sample=5)
    log.add_word(word(plan, 0, "accept"))
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-cut])
    again = log_of(source)
    assert again.words == []
    again.add_word(word(plan, 1, "reject"))
    assert [w.verdict for w in again.words] == ["reject"]
    assert [w.verdict for w in log_of(source).words] == ["reject"]
    assert (log_of(source).damaged, log_of(source).plans) == (1, {plan.id: plan})


def test_many_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", math=5)
    plan = plan_for(log_of(source), source, sample=5)

    def write_some(rater: str) -> None:
        mine = log_of(source)
        for _ in range(20):
            mine.add_word(word(plan, 0, "accept", rater, comment="x" * 500))

    threads = [threading.Thread(target=write_some, args=(f"rater {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = log_of(source)
    assert len(found.words) == 80
    assert found.damaged == 0
    assert len(current(found.words)) == 4


GOOD = {"what": "word", "id": "a", "row": "r", "line": 1, "rater": "Ann", "created_at": 1.0, "verdict": "accept"}
PLAN = {
    "what": "plan",
    "id": "p",
    "file": "f",
    "by": [],
    "seed": 0,
    "sample": 1,
    "strata": {"s": 1},
    "unread": 0,
    "picks": [[1, "r", "s"]],
}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "not a line of a review"),
        ({}, "'what' is missing"),
        ({"what": "else"}, "neither a plan nor a word"),
        (GOOD | {"verdict": "perhaps"}, "'perhaps' is none of accept, reject, other, skip"),
        (GOOD | {"verdict": None}, "None is none of"),
        (GOOD | {"rater": " "}, "1 to 60 characters"),
        (GOOD | {"rater": "x" * 61}, "1 to 60 characters"),
        (GOOD | {"rater": 7}, "not a text"),
        (GOOD | {"comment": "x" * 10_001}, "at most 10,000 characters"),
        (GOOD | {"line": True}, "not a count"),
        (GOOD | {"created_at": float("nan")}, "not a time"),
        (GOOD | {"seconds": -1}, "not a time"),
        ({key: value for key, value in GOOD.items() if key != "row"}, "'row' is missing"),
        (PLAN | {"picks": [[1, "r", "elsewhere"]]}, "'elsewhere', which has no rows"),
        (PLAN | {"picks": [[1]]}, "not a line of a review"),
        (PLAN | {"strata": {"s": -1}}, "not a count"),
        (PLAN | {"strata": 3}, "not a line of a review"),
    ],
)
def test_what_is_no_line_of_a_review_is_refused_with_its_place(tmp_path: Path, record: Any, message: str) -> None:
    path = tmp_path / "f.jsonl.review.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n" + json.dumps(PLAN) + "\n" + json.dumps(record) + "\n")
    with pytest.raises(DataError, match=r"review\.jsonl:4: not a line of a review") as caught:
        ReviewFile(path)
    assert message in str(caught.value)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    source = mixed(tmp_path / "f.jsonl", math=3)
    log = log_of(source)
    log.path.mkdir()
    with pytest.raises(StoreError, match=r"f\.jsonl\.review\.jsonl: cannot be written"):
        plan_for(log, source, sample=3)
    with pytest.raises(StoreError, match="cannot be read"):
        log_of(source)


def test_the_digest_of_a_folder_sees_names_and_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a").write_text("1")
    one = digest_of_file(folder)
    (folder / "b").write_text("")
    assert digest_of_file(folder) != one
    with pytest.raises(DataError, match="cannot be read"):
        digest_of_file(tmp_path / "nothing")
