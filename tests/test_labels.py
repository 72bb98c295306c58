"""Labels: the history decides what counts, disagreement is found, a sample is a sample, gate cases never train."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.people import make_label

from harness.errors import DataError
from harness.labels import (
    KINDS,
    LabelPlan,
    Pick,
    as_row,
    current,
    differ,
    fault_of,
    from_row,
    is_skip,
    looked_at,
    settle,
    trainable,
)
from harness.model import Label, Split

PAIR: dict[str, object] = {"kind": "pair", "passed": None, "responses": ("a", "b")}
RANK = PAIR | {"kind": "rank"}


def test_an_edit_counts_and_an_undo_brings_back_what_was_before() -> None:
    first = make_label()
    edit = make_label(passed=False, supersedes=first.id)
    assert current([first, edit]) == [edit]
    undo = make_label(supersedes=edit.id, withdrawn=True, passed=None)
    assert current([first, edit, undo]) == [first]
    again = make_label(supersedes=first.id, withdrawn=True, passed=None)
    assert current([first, edit, undo, again]) == []
    assert current([undo, again, edit, first]) == []  # the order of arrival does not matter, times do


def test_each_rater_and_each_answer_has_a_label_of_its_own() -> None:
    labels = [
        make_label(),
        make_label(rater="Bob"),
        make_label(responses=("b",)),
        make_label(kind="mark", marks=("check-wrong",)),
    ]
    assert current(labels) == labels


def test_a_disagreement_is_open_until_somebody_adjudicates() -> None:
    ann, bob = make_label(), make_label(rater="Bob", passed=False)
    [matter] = settle([ann, bob])
    assert (matter.state, matter.final) == ("disputed", None)
    judge = make_label(rater="Cho", passed=False, adjudicates=True)
    [matter] = settle([ann, bob, judge])
    assert (matter.state, matter.final) == ("adjudicated", judge)
    late = make_label(rater="Dan", passed=True)
    assert settle([ann, bob, judge, late])[0].state == "disputed"  # open again
    bob_now = make_label(rater="Bob", passed=True, supersedes=bob.id)
    assert settle([ann, bob, bob_now])[0].state == "agreed"
    assert settle([ann])[0].state == "one"


def test_who_cannot_tell_and_who_marks_disagree_with_nobody() -> None:
    skip = make_label(rater="Bob", passed=None)
    assert is_skip(skip)
    mark = make_label(kind="mark", rater="Bob", comment="hm")
    assert not is_skip(mark)
    assert settle([make_label(), skip, mark])[0].state == "one"


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"passed": True}, {"passed": True}, False),
        ({"passed": None, "rating": 3}, {"passed": None, "rating": 4}, False),
        ({"passed": None, "rating": 3}, {"passed": None, "rating": 5}, True),
        ({"passed": True, "rating": None}, {"passed": None, "rating": 1}, False),
        (PAIR | {"preference": "tie"}, PAIR | {"preference": "baseline"}, True),
        (RANK | {"ranking": (("a",), ("b",))}, RANK | {"ranking": (("b",), ("a",))}, True),
        (RANK | {"ranking": (("a",), ("b",))}, RANK | {"ranking": (("a", "b"),)}, False),
    ],
)
def test_what_is_a_disagreement(a: dict[str, object], b: dict[str, object], expected: bool) -> None:
    one, other = make_label(**a), make_label(rater="Bob", **b)  # type: ignore[arg-type]
    assert differ(one, other) is differ(other, one) is expected


def plan_of(n: int, batch: int = 2) -> LabelPlan:
    picks = tuple(Pick("math", f"{i:016x}", "rest", 1.0, (i + 1) / 10) for i in range(n))
    return LabelPlan("p", "run1", None, "rate", "gate", 0, batch, n, 0.0, picks)


def test_the_sample_ends_at_the_first_case_nobody_looked_at() -> None:
    labels = [make_label(case_id=f"{i:016x}", responses=(str(i),)) for i in (0, 1, 3)]
    found = looked_at(plan_of(5), labels)
    assert found == {("math", f"{0:016x}"): pytest.approx(0.3), ("math", f"{1:016x}"): pytest.approx(0.3)}
    assert set(looked_at(plan_of(2), labels).values()) == {1.0}  # nothing is left: no weights
    assert looked_at(plan_of(5), [make_label(kind="mark", case_id=f"{0:016x}")]) == {}


def test_a_case_is_looked_at_when_all_of_its_answers_are() -> None:
    picks = tuple(dataclasses.replace(pick, answers=(f"c{i}", f"b{i}")) for i, pick in enumerate(plan_of(3).picks))
    plan = dataclasses.replace(plan_of(3), picks=picks)
    baseline = [make_label(case_id=pick.case_id, responses=(pick.answers[1],), run_id="earlier") for pick in picks]
    assert looked_at(plan, baseline) == {}  # what was said of the baseline in another review is half of it
    first = make_label(case_id=picks[0].case_id, responses=("c0",), passed=None)  # "cannot tell"
    assert list(looked_at(plan, [*baseline, first])) == [("math", picks[0].case_id)]
    pair = dataclasses.replace(plan, kind="pair")
    chosen = make_label("pair", case_id=picks[0].case_id, responses=("b0", "c0"))
    assert len(looked_at(pair, [chosen])) == 1
    assert looked_at(pair, [dataclasses.replace(chosen, run_id="earlier")]) == {}


def test_a_plan_that_was_cut_off_keeps_its_chances() -> None:
    whole = plan_of(6)
    short = dataclasses.replace(whole, picks=whole.picks[:3], rest_rank=0.4)
    for n in (1, 2, 3):
        assert short.probabilities(n) == pytest.approx(whole.probabilities(n))
    assert short.probabilities(9) == pytest.approx(whole.probabilities(3))


def test_gate_cases_never_train() -> None:
    gate, dev = make_label(), make_label(split=Split.DEV, case_id="d" * 16)
    assert trainable([gate, dev]) == [dev]


TEXT = st.text(max_size=20)
IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


@st.composite
def labels(draw: st.DrawFn) -> Label:
    kind = draw(st.sampled_from(KINDS))
    n = {"rate": 1, "pair": 2, "mark": 0}.get(kind) if kind != "rank" else draw(st.integers(2, 5))
    responses = tuple(f"r{i}" for i in range(n or 0))
    values: dict[str, object] = {}
    if kind == "rate":
        values = {"passed": draw(st.none() | st.booleans()), "rating": draw(st.none() | st.integers(1, 5))}
    elif kind == "pair":
        values = {"preference": draw(st.sampled_from(["candidate", "baseline", "tie", None]))}
    elif kind == "rank":
        cut = draw(st.integers(1, n))
        values = {"ranking": tuple(group for group in (responses[:cut], responses[cut:]) if group)}
    return Label(
        id=draw(IDS), run_id="r", capability=draw(TEXT), case_id=draw(TEXT), split=draw(st.sampled_from(Split)), kind=kind,
        rater=draw(st.text(min_size=1, max_size=60).filter(str.strip)), created_at=draw(st.floats(0, 1e10)),
        responses=responses, sides=draw(st.sampled_from([(), responses])), comment=draw(TEXT),
        marks=tuple(draw(st.lists(st.sampled_from(["check-wrong", "judge-wrong"]), unique=True))),
        seconds=draw(st.none() | st.floats(0, 1e5)), probability=draw(st.none() | st.floats(0.001, 1)), **values,  # type: ignore[arg-type]
    )  # fmt: skip


@given(labels())
def test_a_label_comes_back_from_its_row(label: Label) -> None:
    assert fault_of(label) is None
    assert from_row(json.loads(json.dumps(as_row(label))), where="x") == label


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "vote"}, "kind 'vote'"),
        ({"rater": "  "}, "a rater's name"),
        ({"rater": "x" * 61}, "a rater's name"),
        ({"rating": 6}, "rating 6"),
        ({"rating": 2.0}, "rating is not of the right type"),
        ({"rating": True}, "rating is not of the right type"),
        ({"passed": 1}, "passed is not of the right type"),
        ({"preference": "tie"}, "value of a pair label"),
        ({"marks": ["fine"]}, "mark 'fine'"),
        ({"comment": "x" * 10_001}, "comment has more than 10,000"),
        ({"probability": 0}, "not in"),
        ({"probability": math.nan}, "probability is not of the right type"),
        ({"created_at": math.inf}, "created_at is not of the right type"),
        ({"created_at": 10**400}, "too large"),
        ({"seconds": -1}, "a time"),
        ({"responses": ["a", "b"]}, "about 1 of responses"),
        ({"sides": ["x", "y"]}, "not of one length"),
        ({"split": "train"}, "'train' is not a valid Split"),
        ({"id": "../../etc"}, "32 hex"),
        ({"withdrawn": True}, "supersedes names no label"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"case_id": None}, "case_id is missing"),
        ({"kind": "rank", "passed": None, "responses": ["a", "b"], "ranking": [["a"]]}, "each of responses once"),
        ({"kind": "rank", "passed": None, "responses": ["a", "b"], "ranking": [["a", "a"], ["b"]]}, "each of responses once"),
        ({"kind": "rank", "passed": None, "responses": ["a"], "ranking": "a"}, "ranking is not of the right type"),
    ],
)
def test_what_is_no_label_is_refused_with_its_place(change: dict[str, object], what: str) -> None:
    row = as_row(make_label()) | change
    with pytest.raises(DataError, match=what) as caught:
        from_row(row, where="labels.jsonl:3")
    assert str(caught.value).startswith("labels.jsonl:3: ")


def test_a_row_of_another_tool_gets_what_it_leaves_out_and_always_the_same_id() -> None:
    row = {"capability": "math", "case_id": "c", "kind": "rate", "rater": "Ann", "passed": True, "responses": ["a"]}
    defaults = {"run_id": "run1", "split": "gate", "created_at": 5.0}
    one, later = (from_row(row, where="x", defaults=defaults | {"created_at": t}) for t in (5.0, 6.0))
    assert one.id == later.id
    assert one.id != from_row(row | {"passed": False}, where="x", defaults=defaults).id


@given(st.lists(st.sampled_from(["pass", "fail", "undo"]), max_size=12))
def test_saying_and_undoing_is_a_stack_whose_history_stays(moves: list[str]) -> None:
    history: list[Label] = []
    stack: list[bool] = []
    for move in moves:
        counting = current(history)
        if move == "undo":
            if counting:
                history.append(make_label(supersedes=counting[-1].id, withdrawn=True, passed=None))
                stack.pop()
        else:
            earlier = counting[-1].id if counting else None
            history.append(make_label(passed=move == "pass", supersedes=earlier))
            stack.append(move == "pass")
        assert [label.passed for label in current(history)] == stack[-1:]
    assert len(history) == sum(move != "undo" for move in moves) + sum(label.withdrawn for label in history)
