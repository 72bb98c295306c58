"""Labels are as safe as responses: kill -9, cut and damaged lines, several people, a run that is being written meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest
from support import label_writer
from support.people import make_label, two_runs
from support.runs import make_record, make_requests, make_response

from harness.errors import StoreError
from harness.labels import LabelPlan, Pick
from harness.model import Label, Split
from harness.store import Store
from harness.store.answers import answers, given
from harness.store.labels import LabelStore


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def start(folder: Path, rater: str, log: Path) -> subprocess.Popen[bytes]:
    root = Path(label_writer.__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, label_writer.__file__, str(folder), rater, str(log)], env=os.environ | {"PYTHONPATH": str(root)}
    )


def wait_for(log: Path, lines: int, process: subprocess.Popen[bytes]) -> list[str]:
    for _ in range(6_000):
        found = log.read_text().splitlines() if log.exists() else []
        if len(found) >= lines:
            return found
        assert process.poll() is None, "the writer ended by itself"
        time.sleep(0.01)
    raise AssertionError("the writer does not come on")


def test_a_label_comes_back_whole_and_the_journal_is_cleared_away(store: Store) -> None:
    people = LabelStore(store)
    label = make_label(
        "rank",
        responses=("a", "b", "c"),
        sides=("run1", "run1,base", "base"),
        ranking=(("b",), ("a", "c")),
        marks=("check-wrong",),
        comment="<b>'; DROP TABLE labels;\u2028\U0001f600",
        seconds=3.25,
        probability=0.125,
        plan="p",
        blind=False,
        split=Split.DEV,
    )
    with people.writer() as writer:
        writer.add(label)
        assert people.labels() == [label]  # also while it is being written
        assert people.labels() == [label]
        writer.add(second := make_label(rater="Bob"))
    assert people.labels() == LabelStore(Store.open(store.path)).labels() == [label, second]
    assert list((store.path / "labels").iterdir()) == []


def test_kill_9_loses_no_label_that_was_acknowledged(store: Store, tmp_path: Path) -> None:
    logs = {rater: tmp_path / rater for rater in ("Ann", "Bob")}
    for round_ in (1, 2):
        processes = {rater: start(store.path, rater, log) for rater, log in logs.items()}
        people = LabelStore(store)
        for rater, process in processes.items():
            wait_for(logs[rater], 10 * round_, process)
            people.labels()  # somebody reads meanwhile
            process.send_signal(signal.SIGKILL)
            process.wait()
        found = people.labels()
        acknowledged = [line for log in logs.values() for line in log.read_text().splitlines()]
        assert len(found) == len({label.id for label in found})  # none is there twice
        names = sorted(label.case_id for label in found)
        assert set(acknowledged) <= set(names)
        assert len(names) <= len(acknowledged) + 2 * round_  # at most the one in flight of each
        assert list((store.path / "labels").iterdir()) == []


def test_people_label_while_a_run_is_being_written_and_the_store_is_held(store: Store) -> None:
    requests = list(make_requests(3))
    people = LabelStore(store)
    with store.begin_run(make_record(), "", {}, requests) as run, people.writer() as writer:
        run.add_response(requests[0], make_response(requests[0]))
        with duckdb.connect(str(store.path / "store.duckdb")):  # nobody else can open the database now
            writer.add(label := make_label())
            run.add_response(requests[1], make_response(requests[1]))
        assert people.labels() == [label]
        assert store.ledger("run1").planned == 3
        assert people.labels() == [label]  # folding the run's journal did not touch ours


def test_cut_and_damaged_lines_are_left_out_and_told(store: Store) -> None:
    people = LabelStore(store)
    with people.writer() as writer:
        labels = [make_label() for _ in range(5)]
        for label in labels:
            writer.add(label)
    [segment] = (store.path / "labels").glob("*/*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[1] = b'{"id": 7}\n'
    lines[2] = b"\xff\n"
    lines[3] = lines[3].replace(b'"kind":"rate"', b'"kind":"evil"')
    segment.write_bytes(b"".join(lines)[:-5])
    assert people.labels() == [labels[0]]
    assert [note.split(": ")[1] for note in people.notes] == [
        "3 damaged labels are left out",
        "a last label was cut short by a crash and is left out",
    ]


def test_folding_twice_changes_nothing(store: Store) -> None:
    people = LabelStore(store)
    with people.writer() as writer:
        writer.add(make_label())
    [segment] = (store.path / "labels").glob("*/*.jsonl")
    copy = segment.read_bytes()
    before = people.labels()
    segment.parent.mkdir()
    segment.write_bytes(copy)
    assert people.labels() == before


def test_a_journal_of_a_newer_version_is_left_alone(store: Store) -> None:
    path = store.path / "labels/s/00000001.v9.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("{}\n")
    with pytest.raises(StoreError, match="version 9"):
        LabelStore(store).labels()
    assert path.exists()


def plan(**changes: object) -> LabelPlan:
    picks = (Pick("math", "c1", "flip", 2.0, 0.25, ("r1", "r2")), Pick("math", "c2", "rest", 0.5, 0.75))
    values: dict[str, object] = {"picks": picks, "rest_rank": 2.5} | changes
    return LabelPlan("p", "run1", None, "rate", "gate", 7, 20, 3, 5.0, **values)  # type: ignore[arg-type]


def test_a_plan_is_made_once_and_kept_as_soon_as_somebody_labels_by_it(store: Store) -> None:
    people = LabelStore(store)
    assert people.keep_plan(plan()) == plan()
    other = plan(picks=(), rest_rank=None)
    assert people.keep_plan(other) == plan()
    assert people.keep_plan(other, renew=True) == other
    assert people.plans("run1") == [other]
    with people.writer() as writer:
        writer.add(make_label(plan="p"))
    assert people.keep_plan(plan(), renew=True) == other
    assert people.plans("run2") == []


def test_answers_of_two_runs_and_labels_that_hold_for_both(store: Store) -> None:
    two_runs(store, {1: "right", 2: "wrong one"}, {1: "right", 2: "wrong"}, split=Split.GATE)
    ours, theirs = (answers(store, run_id, "gate") for run_id in ("cand1", "base1"))
    assert [a.passed for a in ours] == [True, False]
    assert [a.words == b.words for a, b in zip(ours, theirs, strict=True)] == [True, False]
    assert answers(store, "cand1", "dev") == []
    got = given(store, ["cand1", "base1"], "math", ours[1].case_id)
    assert [(g.run_id, g.item.response.text if g.item.response else "") for g in got] == [
        ("cand1", "wrong"),
        ("base1", "wrong one"),
    ]
    assert [g.response_id for g in got] == [ours[1].response_id, theirs[1].response_id]
    assert given(store, ["cand1"], "math", "nobody's") == []
    people = LabelStore(store)
    same = make_label(run_id="cand1", case_id=ours[0].case_id, responses=(ours[0].response_id,), sides=("cand1,base1",))
    hers = make_label(run_id="cand1", case_id=ours[1].case_id, responses=(theirs[1].response_id,), sides=("base1",), passed=False)
    with people.writer() as writer:
        writer.add_many([same, hers, make_label(run_id="other")])
    assert people.labels("cand1") == [same, hers]
    assert people.labels("base1") == [same, hers]
    assert people.labels("base") == []  # no beginning of an id

    def told(run_id: str) -> list[tuple[int, str, bool | None]]:
        return [(n, m.labels[0].case_id, m.final.passed if m.final else None) for n, m in people.rated(run_id)]

    assert told("cand1") == [(0, ours[0].case_id, True)]
    assert told("base1") == [(0, ours[0].case_id, True), (0, ours[1].case_id, False)]


def test_a_label_is_not_lost_by_its_type(store: Store) -> None:
    label: Label = make_label("mark", marks=("accept-change",), baseline_run_id="base")
    with LabelStore(store).writer() as writer:
        writer.add(label)
    assert LabelStore(store).labels("run1") == [label]
