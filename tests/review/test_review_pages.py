"""What people do in the pages: rate, compare, rank, mark, undo, adjudicate; what is stored of it, and what the next one sees."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.people import make_label
from support.review_desk import BEFORE, NOW, Person, desk, make_store, sit_down, start_review

from harness.labels import looked_at
from harness.model import Split
from harness.store import Store, journal
from harness.store.labels import LabelStore
from reports.review.session import Review, Settings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def stored(review: Review) -> list[Any]:
    return LabelStore(Store.open(review._store.store.path)).labels()


def whose(text: str) -> str:
    return "candidate" if "now" in text or "new" in text else "baseline"


def test_rating_goes_through_every_answer_once_and_is_stored_blind(folder: Path) -> None:
    with desk(folder, batch=3) as (review, ann):
        paths = []
        while (path := ann.next_path("rate")) != "/rate":
            text = ann.shown(path)["A"]
            paths.append(path)
            page = ann.get(path).text
            assert not any(word in page for word in ("Candidate", "Baseline", "cand1", "base1", "as expected"))
            said = {"passed": "pass" if text.startswith("right") else "fail", "rating": "4", "comment": f"about {text}"}
            assert ann.send_form(path, **said).status_code == 200
        assert len(paths) == len(set(paths)) == 10  # two answers to each of five cases
        found = stored(review)
    assert [label.kind for label in found] == ["rate"] * 10
    assert all(label.blind and label.rating == 4 and label.split is Split.GATE for label in found)
    assert all(label.comment.startswith("about " + ("right" if label.passed else "wrong")) for label in found)
    assert {side for label in found for side in label.sides} == {"cand1", "base1"}
    assert all(label.probability and 0 < label.probability <= 1 for label in found)
    assert [x.probability for x in found[-4:]] == [1.0] * 4  # in the last batch nothing is left out
    assert min(x.probability for x in found) < 1


def test_a_form_without_a_choice_is_asked_again_and_nothing_is_stored(folder: Path) -> None:
    with desk(folder) as (review, ann):
        for kind, bad in (
            ("rate", {"rating": "6"}),
            ("rate", {"passed": "maybe"}),
            ("pair", {"choice": "C"}),
            ("rank", {"place-A": "1"}),
            ("rank", {"place-A": "1", "place-B": "0"}),
            ("rank", {"place-A": "1", "place-B": "1e0"}),
        ):
            path = ann.next_path(kind)
            assert 'class="problem" role="alert" hidden' in ann.get(path).text
            answer = ann.send_form(path, comment="kept, though", **bad)
            assert answer.status_code == 422
            assert 'class="problem" role="alert" >' in answer.text
            assert ">kept, though</textarea>" in answer.text
        assert stored(review) == []


def test_the_saved_line_tells_what_the_checks_said_only_afterwards(folder: Path) -> None:
    with desk(folder) as (_, ann):
        path = ann.next_path("rate")
        assert "checks" not in ann.get(path).text.split('<dialog id="help"')[0].replace("what the checks said", "")
        right = ann.shown(path)["A"].startswith("right")
        agrees = ann.send_form(path, passed="pass" if right else "fail").text
        assert "suite&#39;s checks agree" in agrees
        path = ann.next_path("rate")
        right = ann.shown(path)["A"].startswith("right")
        assert f"checks say {'pass' if right else 'fail'}" in ann.send_form(path, passed="fail" if right else "pass").text


def test_people_are_told_what_the_judge_of_a_capability_goes_by(folder: Path) -> None:
    """Judges of single answers where answers are rated, pairwise ones where they are compared; what rubrics say is data."""
    evil = "<b>kind</b>{{7*7}}"
    judges = {
        "tone": {"pairwise": False, "asks": [{"task": f"Grade {evil}", "lines": ["5: warm", "1: cold"]}]},
        "old": {"pairwise": False},
        "pick": {"pairwise": True, "asks": [{"task": "Pick the kinder one", "lines": []}]},
        "elsewhere": {"pairwise": False, "asks": [{"task": "Not here", "lines": []}]},
    }
    kept = {"judges": judges, "capabilities": {"math": ["tone", "old", "pick"], "other": ["elsewhere"]}}
    with desk(folder) as (review, person):
        assert "The judge goes by" not in person.get(person.next_path("rate")).text
        review.run = replace(review.run, provenance={**review.run.provenance, "judging": kept})
        rated, compared, ranked = (person.get(person.next_path(kind)).text for kind in ("rate", "pair", "rank"))
    assert "Grade &lt;b&gt;kind&lt;/b&gt;{{7*7}}" in rated
    assert '<li dir="auto">5: warm</li>' in rated
    assert "<td>what the judge goes by</td>" in rated
    assert "Pick the kinder one" not in rated
    assert "Not here" not in rated + compared + ranked
    for text in (compared, ranked):
        assert "Pick the kinder one" in text
        assert "Grade" not in text


def test_sides_of_a_comparison_are_hidden_mixed_and_resolved(folder: Path) -> None:
    with desk(folder) as (review, ann):
        candidate_left = 0
        while (path := ann.next_path("pair")) != "/pair":
            page, shown = ann.get(path).text, ann.shown(path)
            assert set(shown) == {"A", "B"}
            ids = [subject.candidate.response_id for subject in review.cases.values()]
            assert not any(word in page for word in ("cand1", "base1", *ids))
            candidate_left += whose(shown["A"]) == "candidate"
            better = next(letter for letter in "AB" if whose(shown[letter]) == "candidate")
            ann.send_form(path, choice=better)
            assert re.search(rf'value="{better}"[^>]*checked', ann.get(path).text)  # comes back as it was chosen
        found = stored(review)
    assert [label.preference for label in found] == ["candidate"] * len(found)
    assert 0 < candidate_left < len(found)
    assert {tuple(label.sides) for label in found} == {("cand1", "base1"), ("base1", "cand1")}
    assert all(x.responses[x.sides.index("cand1")] == review.cases[x.capability, x.case_id].candidate.response_id for x in found)


def test_two_raters_see_sides_of_their_own(folder: Path) -> None:
    with desk(folder, before={i: f"old {i}" for i in range(40)}, now={i: f"new {i}" for i in range(40)}) as (review, _):
        left = {rater: [review.tasks("pair", key, rater)[0].sides[0] for key in review.cases] for rater in ("Ann", "Bob")}
        assert left["Ann"] != left["Bob"]
        assert left["Ann"] == [review.tasks("pair", key, "Ann")[0].sides[0] for key in review.cases]


def test_a_ranking_with_a_tie(folder: Path) -> None:
    with desk(folder) as (review, ann):
        path = ann.next_path("rank")
        shown = ann.shown(path)
        assert set(shown) == {"A", "B"}
        ann.send_form(path, **{"place-A": "1", "place-B": "1"})
        [tied] = stored(review)
        assert tied.ranking == (tied.responses,)
        ann.send_form(path, **{"place-A": "7", "place-B": "2"})  # places need not be dense
        edit = stored(review)[-1]
        assert edit.ranking == ((edit.responses[1],), (edit.responses[0],))
        assert edit.supersedes == tied.id
        page = ann.get(path).text
        assert re.search(r'name="place-A"[^>]*value="2"', page)
        assert len(stored(review)) == 2


def test_answers_of_other_runs_are_ranked_too_and_equal_words_stand_once(folder: Path) -> None:
    start_review(folder, before={1: "one", 2: "same"}, now={1: "two", 2: "same"}).close()
    store = Store.open(folder)
    base = store.run("base1")
    review = Review.begin(store, store.run("cand1"), None, Settings(also=(base.id,)))
    tasks = {key[1]: review.tasks("rank", key, "Ann") for key in review.cases}
    assert [len(found) for found in tasks.values()] == [1, 0]
    assert sorted(tasks[f"{1:016x}"][0].sides) == ["base1", "cand1"]
    review.close()


def test_the_same_words_are_rated_once_for_both_runs(folder: Path) -> None:
    with desk(folder, before={1: "right"}, now={1: "right"}) as (review, ann):
        ann.send_form(ann.next_path("rate"), passed="pass")
        assert ann.get("/rate").url.path == "/rate"
        [label] = stored(review)
        assert label.sides == ("cand1,base1",)
        assert "Nothing to compare" in ann.get("/pair").text
        people = LabelStore(Store.open(folder))
        assert len(people.rated("base1")) == len(people.rated("cand1")) == 1


def test_undo_brings_back_what_was_before_and_loses_nothing(folder: Path) -> None:
    with desk(folder) as (review, ann):
        path = ann.next_path("rate")
        ann.send_form(path, passed="pass", comment="first")
        ann.send_form(path, passed="fail", comment="second")
        assert str(ann.send_form("/undo").url.path) == path
        assert re.search(r'value="pass"[^>]*checked', ann.get(path).text)
        assert "first" in ann.get(path).text
        ann.send_form("/undo")
        assert ann.next_path("rate") == path  # as if nothing had been said
        assert ann.send_form("/undo").url.path == "/"  # nothing left
        assert [(x.passed, x.withdrawn) for x in stored(review)] == [(True, False), (False, False), (False, True), (True, True)]
        token = path.split("/")[2]
        history = ann.get(f"/case/{token}").text
        assert history.count("counts no longer") == 4
        assert "first" in history
        assert "second" in history


def test_cannot_tell_is_stored_and_is_no_fail(folder: Path) -> None:
    with desk(folder) as (review, ann):
        path = ann.next_path("rate")
        ann.send_form(path, do="skip", passed="fail")
        assert ann.next_path("rate") != path
        [label] = stored(review)
        assert (label.passed, label.rating) == (None, None)
        assert "cannot tell" in ann.get("/").text


def test_opening_a_case_tells_all_and_ends_blindness(folder: Path) -> None:
    with desk(folder) as (review, ann):
        path = ann.next_path("rate")
        token = path.split("/")[2]
        page = ann.get(f"/case/{token}").text
        assert "Baseline" in page
        assert "Candidate" in page
        assert "as expected" in page  # what the check said
        ann.send_form(path, passed="pass")
        other = ann.next_path("pair")
        if token in other:
            other = next(t.path for key in review.cases for t in review.tasks("pair", key, "Ann") if token not in t.path)
        ann.send_form(other, choice="tie")
        assert [label.blind for label in stored(review)] == [False, True]


def test_marks_are_kept_changed_and_remembered(folder: Path) -> None:
    with desk(folder) as (review, ann):
        token = ann.next_path("rate").split("/")[2]
        ann.send_form(
            f"/case/{token}", comment="reference is out of date", **{"check-wrong": "1", "accept-change": "1", "evil": "1"}
        )
        page = ann.get(f"/case/{token}").text
        assert re.search(r'name="check-wrong"[^>]*checked', page)
        assert not re.search(r'name="judge-wrong"[^>]*checked', page)
        ann.send_form(f"/case/{token}", **{"judge-wrong": "1"})
        first, second = stored(review)
        assert first.marks == ("check-wrong", "accept-change")
        assert (second.marks, second.supersedes, second.comment) == (("judge-wrong",), first.id, "")
        assert review.next_task("rate", "Ann") is not None  # a mark is no rating


def test_a_review_goes_on_where_it_stopped(folder: Path) -> None:
    with desk(folder, batch=2) as (review, ann):
        for _ in range(3):
            ann.send_form(ann.next_path("rate"), passed="pass")
        expected, picks = ann.next_path("rate"), review.plans["rate"].picks
    with desk(folder, batch=2) as (review, ann):
        assert ann.next_path("rate") == expected
        assert review.plans["rate"].picks == picks
        assert "3 of 4 answers by you" in ann.get("/").text
        bob = sit_down(review, "Bob")
        assert "0 of 4 answers by you" in bob.get("/").text


def rate_all(person: Person, verdict: str) -> None:
    while (path := person.next_path("rate")) != "/rate":
        person.send_form(path, passed=verdict)


def test_what_raters_disagree_on_is_adjudicated_and_opens_again(folder: Path) -> None:
    with desk(folder, before={1: "right"}, now={1: "wrong"}) as (review, ann):
        bob, cho = sit_down(review, "Bob"), sit_down(review, "Cho")
        rate_all(ann, "pass")
        rate_all(bob, "pass")
        assert "Nobody contradicts anybody" in ann.get("/adjudicate").text
        path = next(t.path for key in review.cases for t in review.tasks("rate", key, "Bob"))
        bob.send_form(path, passed="fail", comment="no, it is not")
        listed = cho.get("/adjudicate").text
        assert "Ann, Bob" in listed
        [link] = re.findall(r'href="(/adjudicate/rate/[^"]+)"', listed)
        page = cho.get(link).text
        assert "no, it is not" in page
        assert "1 to decide" in page
        assert "labelled so far" not in page
        assert re.search(r"<bdi>Ann</bdi></b>: pass", page)
        assert re.search(r"<bdi>Bob</bdi></b>: fail", page)
        cho.send_form(link, passed="fail")
        assert "Nobody contradicts anybody" in cho.get("/adjudicate").text
        decided = stored(review)[-1]
        assert (decided.adjudicates, decided.passed, decided.rater) == (True, False, "Cho")
        assert cho.next_path("rate") != "/rate"  # adjudicating is no rating of one's own
        about = decided.responses
        again = next(t.path for key in review.cases for t in review.tasks("rate", key, "Ann") if t.responses == about)
        ann.send_form(again, passed="pass")  # said anew after it was decided
        assert "Ann, Bob" in cho.get("/adjudicate").text


def test_who_adjudicates_a_comparison_stays_blind(folder: Path) -> None:
    with desk(folder, before={i: f"old {i}" for i in range(6)}, now={i: f"new {i}" for i in range(6)}) as (review, ann):
        bob, cho = sit_down(review, "Bob"), sit_down(review, "Cho")
        for key in review.cases:
            for person, name, want in ((ann, "Ann", "cand1"), (bob, "Bob", "base1")):
                [task] = review.tasks("pair", key, name)
                person.send_form(task.path, choice="AB"[task.sides.index(want)])
        for key in review.cases:
            [task] = review.tasks("pair", key, "Cho")
            page = cho.get(f"/adjudicate{task.path}").text
            assert not any(word in page for word in ("cand1", "base1", "candidate is better"))
            assert f"<bdi>Ann</bdi></b>: {'AB'[task.sides.index('cand1')]} is better" in page
            assert f"<bdi>Bob</bdi></b>: {'AB'[task.sides.index('base1')]} is better" in page


def test_another_process_labels_meanwhile(folder: Path) -> None:
    with desk(folder) as (ours, ann), desk(folder, "Bob") as (theirs, bob):
        path = ann.next_path("rate")
        ann.send_form(path, passed="pass")
        task = next(
            t for key in theirs.cases for t in theirs.tasks("rate", key, "Bob") if ours.labels()[0].responses == t.responses
        )
        bob.send_form(task.path, passed="fail")
        ours._look_again = 0.0  # a few seconds later
        assert "Ann, Bob" in ann.get("/adjudicate").text
        assert len(stored(ours)) == 2


def test_the_name_can_be_changed_in_the_page(folder: Path) -> None:
    with desk(folder) as (review, ann):
        answer = ann.send_form("/rater", name="Zo\u00eb Li")
        assert "Zo\u00eb Li" in answer.text
        ann.send_form(ann.next_path("rate"), passed="pass")
        assert stored(review)[0].rater == "Zo\u00eb Li"


@pytest.mark.parametrize(
    ("opened", "seconds", "low", "high"),
    [
        (-10.0, "4.5", 4.5, 4.5),
        (-10.0, "99", 9.9, 60),
        (-10.0, "", 9.9, 60),
        (-1e6, "nan", 3_600, 3_600),
        (-1e6, "1e6", 3_600, 3_600),
    ],
)
def test_time_spent_is_what_the_page_counted_and_never_more_than_passed(
    folder: Path, opened: float, seconds: str, low: float, high: float
) -> None:
    with desk(folder) as (review, ann):
        ann.send_form(ann.next_path("rate"), passed="pass", opened=str(time.time() + opened), seconds=seconds)
        spent = stored(review)[0].seconds
        assert low <= spent <= high


def test_labels_on_another_split_say_so(folder: Path) -> None:
    store = make_store(folder, {"before": BEFORE, "now": NOW, "split": Split.DEV})
    review = Review.begin(store, store.run("cand1"), store.run("base1"), Settings(Split.DEV))
    ann = sit_down(review)
    assert "may become training rows" in ann.get("/").text
    ann.send_form(ann.next_path("rate"), passed="pass")
    assert stored(review)[0].split is Split.DEV
    review.close()


def test_the_sample_so_far_has_the_chances_of_where_people_stopped(folder: Path) -> None:
    before = {i: f"right {i}" for i in range(30)}
    with desk(folder, before=before, now={i: f"wrong {i}" if i < 6 else f"right, {i}" for i in range(30)}, batch=5) as (
        review,
        ann,
    ):
        for _ in range(15):  # of the eighth case one answer of two
            ann.send_form(ann.next_path("rate"), passed="pass")
        plan = review.plans["rate"]
        found = looked_at(plan, stored(review))
        assert list(found) == [(p.capability, p.case_id) for p in plan.picks[:7]]
        assert found == plan.probabilities(7)
        label = stored(review)[-1]  # in the second batch of five
        assert label.probability == plan.probabilities(10)[label.capability, label.case_id]
        assert "7 of 30 cases looked at" in ann.get("/").text


def test_a_store_without_answers_is_refused(folder: Path) -> None:
    start_review(folder).close()
    store = Store.open(folder)
    with pytest.raises(Exception, match="no answer on the dev split"):
        Review.begin(store, store.run("cand1"), None, Settings(Split.DEV))


def test_a_label_that_cannot_be_stored_is_said_and_not_shown_as_saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(folder) as (review, ann):
        path = ann.next_path("rate")

        def full(self: object, line: str) -> None:
            raise journal.disk_full(folder)

        monkeypatch.setattr(journal.JournalWriter, "append", full)
        answer = ann.send_form(path, passed="pass")
        assert answer.status_code == 503
        assert "the disk is full" in answer.text
        monkeypatch.undo()
        assert ann.next_path("rate") == path
        assert stored(review) == []


def test_who_marked_a_case_is_no_longer_blind_to_it_not_even_tomorrow(folder: Path) -> None:
    with desk(folder) as (review, ann):
        path = ann.next_path("rate")
        ann.send_form(f"/case/{path.split('/')[2]}", **{"judge-wrong": "1"})
    with desk(folder) as (review, ann):
        ann.send_form(path, passed="pass")
        assert [(x.kind, x.blind) for x in stored(review)] == [("mark", False), ("rate", False)]


def test_labels_are_read_again_only_when_somebody_else_may_have_labelled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with desk(folder) as (review, ann):
        ann.get("/")
        review._look_again = 0.0
        ann.get("/")  # settled: reading itself may have folded something
        read: list[str | None] = []
        real = LabelStore.labels
        monkeypatch.setattr(LabelStore, "labels", lambda self, run_id=None: read.append(run_id) or real(self, run_id))
        ann.send_form(ann.next_path("rate"), passed="pass")
        review._look_again = 0.0
        ann.get("/")
        assert read == []
        with LabelStore(Store.open(folder)).writer() as writer:
            writer.add(make_label(run_id="cand1", rater="Bob"))
        review._look_again = 0.0
        assert "<bdi>Bob</bdi>" in ann.get("/").text
        assert read == ["cand1"]
