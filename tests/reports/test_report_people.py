"""What people said stands beside the cases and in one sentence, in every format; it is foreign text like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.people import make_label
from support.reports_fake import seesaw
from support.review_desk import BEFORE, NOW, make_store
from test_report_hostile import ATTACKS, assert_harmless

from harness.cli.outputs import view_of
from harness.model import Label
from harness.store.labels import LabelStore
from reports import html, json_report, junit, markdown, terminal
from reports.evidence import Limits
from reports.nouns import ReportView
from reports.view import build

CASE = {"run_id": "cand00000001", "baseline_run_id": "base00000001", "capability": "date normalisation"}
BASE = "base00000001"


def label(kind: str = "rate", case: int = 1, **changes: Any) -> Label:
    side = {"sides": ("cand00000001",)} if kind == "rate" else {}
    return make_label(kind, **(CASE | {"case_id": f"{case:016x}"} | side | changes))


def some() -> list[Label]:
    return [
        label(passed=False, rating=2, comment="day and month are swapped"),
        label(rater="Bob", passed=True),
        label(case=2, passed=True),  # the score says fail
        label(case=3, passed=False),
        label(case=3, rater="Bob", passed=False),
        label(case=3, passed=True, sides=("base00000001",), responses=("b",)),
        label("pair", case=4, preference="baseline"),
        label("pair", case=5, preference="tie"),
        label("mark", case=2, marks=("check-wrong",), comment="both formats are fine"),
        label("rank", case=6, responses=("a", "b", "c"), sides=(CASE["run_id"], BASE, "other1"), ranking=(("b",), ("a", "c"))),
        label(case=7, passed=None),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def view() -> ReportView:
    return build(seesaw(), "cand00000001", labels=some())


def test_one_sentence_says_how_many_cases_people_looked_at(view: ReportView) -> None:
    people = view.people
    assert people
    assert (people.raters, people.looked_at, people.of, people.disputed) == (2, 7, len(view.cases), 1)
    assert (people.agree, people.both) == (1, 2)  # case 3 agrees, case 2 does not, case 1 is disputed
    assert people.sentence == (
        f"2 people looked at 7 of {len(view.cases)} cases. On 1 of 2 answers of the candidate they say what the score says. "
        "They contradict each other on 1 thing; nobody has decided yet."
    )
    assert people.choices.startswith("Of 2 comparisons, 0 went to the candidate, 1 to the baseline, 1 to neither")
    assert people.marks == (("check-wrong", 1, "1 time: the check is wrong"),)


def test_labels_stand_beside_their_case(view: ReportView) -> None:
    [group] = [g for g in view.groups if g.capability == "date normalisation"]
    said = {case.id[-1]: [(one.rater, one.said) for one in case.people] for case in group.cases}
    assert said["1"] == [("Ann", "candidate: fail 2 of 5"), ("Bob", "candidate: pass")]
    assert said["2"] == [("Ann", "candidate: pass"), ("Ann", "the check is wrong")]
    assert ("Ann", "baseline: pass") in said["3"]
    assert said["4"] == [("Ann", "the baseline's is better")]
    assert said["5"] == [("Ann", "a tie")]
    assert said["6"] == [("Ann", "ranked: baseline > candidate = other1")]
    assert said["7"] == [("Ann", "cannot tell")]
    assert said["8"] == []
    page = html.render(view)
    assert "day and month are swapped" in page
    assert 'id="people"' in page


def test_every_format_tells(view: ReportView) -> None:
    found = json.loads(json_report.render(view))["people"]
    assert (found["looked_at"], found["agree"], found["both"], found["marks"]) == (7, 1, 2, {"check-wrong": 1})
    assert found["marked"][0]["comment"] == "both formats are fine"
    assert "2 people looked at 7 of" in markdown.render(view)
    assert "2 people looked at 7 of" in " ".join(terminal.render(view).split())


def test_without_labels_nothing_is_said(view: ReportView) -> None:
    alone = build(seesaw(), "cand00000001")
    assert alone.people is None
    assert json.loads(json_report.render(alone))["people"] is None
    for text in (html.render(alone), markdown.render(alone)):
        assert "looked at" not in text
    undone = label()
    taken_back = label(supersedes=undone.id, withdrawn=True, passed=None)
    assert build(seesaw(), "cand00000001", labels=[undone, taken_back]).people is None


def test_labels_of_cases_that_are_not_in_the_report_do_not_count() -> None:
    people = build(seesaw(), "cand00000001", labels=[label(case=9_999), label(case=1)]).people
    assert people
    assert people.looked_at == 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_people_write_is_data(attack: str) -> None:
    name = attack[:60] if attack[:60].strip() else "x"
    labels = [
        label(comment=attack, rater=name),
        label("mark", marks=("check-wrong",), comment=attack, rater=name),
        label("rank", case=2, responses=("a", "b"), sides=(attack, attack), ranking=(("a",), ("b",)), rater=name),
    ]
    view = build(seesaw(), "cand00000001", labels=labels, limits=Limits(broken=3))
    assert_harmless(html.render(view))
    markdown.render(view)
    junit.render(view)
    json.loads(json_report.render(view))


def test_the_store_hands_them_to_the_report(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"before": BEFORE, "now": NOW})
    with LabelStore(store).writer() as writer:
        writer.add(make_label(run_id="cand1", case_id=f"{1:016x}", sides=("cand1",)))
    people = view_of(store, "cand1").people
    assert people
    assert (people.looked_at, people.of, people.agree, people.both) == (1, 5, 1, 1)


def test_choices_and_rankings_make_a_standing() -> None:
    few = build(seesaw(), "cand00000001", labels=[label("pair", preference="candidate")]).people
    assert few
    assert (few.standing, few.standing_note.partition(":")[0]) == ((), "Nobody can be ranked")  # the baseline never won
    wins = ["candidate"] * 14 + ["baseline"] * 4 + ["tie"] * 2
    labels = [label("pair", case=n, preference=won) for n, won in enumerate(wins, 1)]
    view = build(seesaw(), "cand00000001", labels=labels)
    assert view.people
    first, second = view.people.standing
    assert (first.name, second.name) == ("sft-orders", "pocket-base")
    assert first.beats
    assert second.beats
    # by hand: 15 of 20 wins are log-odds of log 3 between the two, half of that against their average
    assert first.beats == pytest.approx(3**0.5 / (1 + 3**0.5), abs=1e-6)
    assert first.beats + second.beats == pytest.approx(1)
    assert "Bradley-Terry over 20 comparisons on 20 cases" in html.render(view)
    assert json.loads(json_report.render(view))["people"]["standing"][0]["name"] == "sft-orders"
