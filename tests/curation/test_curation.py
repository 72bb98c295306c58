"""Choosing and guarding, without a store: what makes a pair, and what keeps one out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.curation import Answer, CaseAnswers, Guarded, Left, Lesson, Limits, Pair, Rules, curate_case, guard, pair_row
from harness.curation.nouns import OTHER, OWN, PERSON, REFERENCE, SOURCES, TEACHER
from harness.curation.people import preferences
from harness.curation.writing import Card, card_text, counted
from harness.model import Case, Label, Message, Response, Score, Split
from harness.quality.leaks import LeakIndex, Target, targets_of

NOBODY = LeakIndex([])


def a_case(
    number: int = 1, *, capability: str = "dates", reference: Any = None, split: Split = Split.DEV, text: str = ""
) -> Case:
    text = text or f"Rewrite entry {number} of ledger {number * 7} in plain words"
    return Case(f"{number:016x}", capability, {"input": text}, reference, split=split)


def answer(text: str, value: float | None, origin: str = OWN, run: str = "r1") -> Answer:
    return Answer(text, origin, value, None if value is None else value >= 0.5, run, f"key of {text}", 0)


def answers(case: Case, own: list[Answer], other: list[Answer] = [], **more: Any) -> CaseAnswers:  # noqa: B006 - never changed
    return CaseAnswers(case, (Message("user", str(case.vars["input"])),), tuple(own), tuple(other), **more)


def accepts(*texts: str) -> Any:
    def score(case: Case, response: Response) -> Score:
        right = response.text in texts
        return Score(float(right), right)

    return score


def one(found: CaseAnswers, rules: Rules = Rules(), scoring: Any = None, taught: Answer | None = None) -> Pair | Left:
    first = next(iter(curate_case(found, rules, scoring or accepts(), taught)))
    assert not isinstance(first, Lesson)
    return first


def a_pair(number: int, chosen: str = "the right words", rejected: str = "wrong words", **case: Any) -> Pair:
    made = a_case(number, **case)
    return Pair(made, (Message("user", str(made.vars["input"])),), answer(chosen, 1.0, OTHER), answer(rejected, 0.0), OTHER)


def a_lesson(number: int, *, replay: bool = False, **case: Any) -> Lesson:
    made = a_case(number, **case)
    return Lesson(made, (Message("user", str(made.vars["input"])),), answer(f"answer {number}", 1.0), replay)


# -- choosing --------------------------------------------------------------------------------------------------------------------


def test_sources_are_tried_in_order() -> None:
    case = a_case(reference="right")
    found = answers(case, [answer("wrong", 0.0), answer("mine", 1.0)], [answer("theirs", 1.0, OTHER, "r2")])
    assert one(found).source == OWN  # type: ignore[union-attr]
    assert one(found, Rules((OTHER, OWN))).source == OTHER  # type: ignore[union-attr]
    assert one(found, Rules((REFERENCE,)), accepts("right")).source == REFERENCE  # type: ignore[union-attr]
    taught = answer("taught", 1.0, TEACHER)
    assert one(found, Rules((TEACHER,)), taught=taught).chosen is taught  # type: ignore[union-attr]


def test_the_worst_failure_is_rejected_and_the_best_answer_chosen() -> None:
    own = [answer("bad", 0.2), answer("worst", 0.1), answer("good", 0.8), answer("best", 0.9)]
    pair = one(answers(a_case(), own))
    assert isinstance(pair, Pair)
    assert (pair.chosen.text, pair.rejected.text, round(pair.margin or 0, 6)) == ("best", "worst", 0.8)


@pytest.mark.parametrize(
    ("own", "other", "rules", "code"),
    [
        ([answer("wrong", 0.0)], [], Rules(), "no-better-answer"),
        ([answer("same  words", 0.4)], [answer("same words", 0.9, OTHER)], Rules(), "tie"),
        ([answer("nearly", 0.45)], [answer("just", 0.5, OTHER)], Rules(), "small-margin"),
        ([answer("wrong", 0.0)], [answer("also wrong", 0.4, OTHER)], Rules(), "no-better-answer"),
        ([answer("unscored", None)], [answer("fine", 1.0, OTHER)], Rules(), "no-answer"),
        ([answer("  ", 0.0)], [answer("fine", 1.0, OTHER)], Rules(), "no-answer"),
        ([], [answer("fine", 1.0, OTHER)], Rules(), "no-answer"),
    ],
)
def test_no_pair_has_its_reason(own: list[Answer], other: list[Answer], rules: Rules, code: str) -> None:
    found = one(answers(a_case(), own, other), rules)
    assert isinstance(found, Left)
    assert found.code == code
    assert found.why


@pytest.mark.parametrize(
    ("reference", "right", "chosen"),
    [("text", "text", "text"), (42, "42", "42"), (["a", "b"], "b", "b"), ({"k": "ä"}, '{"k": "ä"}', '{"k": "ä"}')],
)
def test_a_reference_is_said_in_a_form_that_the_checks_accept(reference: Any, right: str, chosen: str) -> None:
    found = one(answers(a_case(reference=reference), [answer("wrong", 0.0)]), Rules(), accepts(right))
    assert isinstance(found, Pair)
    assert (found.chosen.text, found.source) == (chosen, REFERENCE)


@pytest.mark.parametrize("reference", [None, True, "", "   "])
def test_what_is_no_reference_is_none(reference: Any) -> None:
    found = one(answers(a_case(reference=reference), [answer("wrong", 0.0)]), Rules(), accepts("", "   ", "true"))
    assert isinstance(found, Left)


def test_a_reference_that_its_checks_refuse_or_cannot_score() -> None:
    found = answers(a_case(reference="ref"), [answer("wrong", 0.0)])
    assert one(found).code == "reference-fails"  # type: ignore[union-attr]
    unscored = lambda case, response: Score(None, None, "judged")  # noqa: E731
    assert one(found, Rules(), unscored).code == "reference-unchecked"  # type: ignore[union-attr]
    taken = one(found, Rules(unchecked=True), unscored)
    assert isinstance(taken, Pair)
    assert taken.margin is None


def test_what_works_is_replay() -> None:
    assert [*curate_case(answers(a_case(), [answer("fine", 1.0)]), Rules(), accepts())] == [
        Lesson(a_case(), (Message("user", "Rewrite entry 1 of ledger 7 in plain words"),), answer("fine", 1.0), True)
    ]


def test_a_gate_case_is_never_looked_at() -> None:
    with pytest.raises(ValueError, match="only dev cases"):
        list(curate_case(answers(a_case(split=Split.GATE), [answer("wrong", 0.0)]), Rules(), accepts()))


scores = st.none() | st.floats(0, 1)
texts = st.sampled_from(["a", "b", "b ", "c", "", "d d"])


@given(
    own=st.lists(st.tuples(texts, scores), max_size=4),
    other=st.lists(st.tuples(texts, scores), max_size=3),
    sources=st.lists(st.sampled_from([s for s in SOURCES if s != PERSON]), min_size=1, max_size=4, unique=True),
    margin=st.sampled_from([0.01, 0.1, 0.5]),
)
def test_whatever_comes_a_pair_is_never_a_tie(own: Any, other: Any, sources: list[str], margin: float) -> None:
    found = answers(a_case(reference="c"), [answer(t, v) for t, v in own], [answer(t, v, OTHER, "r2") for t, v in other])
    results = list(curate_case(found, Rules(tuple(sources), margin), accepts("c")))
    assert results
    for pair in (result for result in results if isinstance(result, Pair)):
        assert pair.chosen.words != pair.rejected.words
        assert pair.chosen.passed
        assert pair.rejected.passed is False
        assert pair.margin is not None
        assert pair.margin >= margin
        assert pair.rejected.value == min(v for t, v in own if t.strip() and v is not None)


# -- guards ----------------------------------------------------------------------------------------------------------------------


def codes(found: Guarded) -> list[str]:
    return [left.code for left in found.left]


def test_lengths_and_doubles() -> None:
    long = a_pair(1, chosen="word " * 60)
    short = a_pair(2, chosen="yes", rejected="no, I am not")
    twice = a_pair(2, chosen="Yes", rejected="no, I am  not")
    found = guard([long, short, twice], [], NOBODY, frozenset(), Limits())
    assert found.pairs == [short]
    assert codes(found) == ["length", "duplicate"]
    assert "the chosen answer has 300 characters" in found.left[0].why
    assert found.left[1].more["of_case_id"] == short.case.id


def test_near_duplicates_go_and_templates_stay() -> None:
    words = " ".join(f"word{i}" for i in range(60))
    first, near = a_pair(1, text=words), a_pair(2, text=words + " more")
    templated = [a_pair(i, text=f"Write the date of day {i} in month {i % 12} as numbers") for i in range(3, 9)]
    found = guard([first, near, *templated], [], NOBODY, frozenset(), Limits())
    assert codes(found) == ["near-duplicate"]
    assert len(found.pairs) == 7
    assert guard([first, near], [], NOBODY, frozenset(), Limits(alike=None)).left == []


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("Tell me how many apples Mary has left after she gave four of them to John", True),
        ("please: TELL ME how many apples mary has left, after she gave four of them to John. thanks", True),
        ("Mary has left after she gave four of them to John", True),  # a part of the gate's text and nothing else
        ("Tell me how many pears Susan bought on the market when it rained", False),
    ],
)
def test_what_repeats_the_gate_is_refused_wherever_it_stands(text: str, leaks: bool) -> None:
    gate = LeakIndex([Target("f" * 16, "Tell me how many apples Mary has left after she gave four of them to John")], n=8)
    asked = guard([a_pair(1, text=text)], [a_lesson(2, text=text)], gate, frozenset(), Limits())
    said = guard(
        [a_pair(1, chosen=text, rejected="I do not know this, but I could look it up for you")], [], gate, frozenset(), Limits()
    )
    for found, count in ((asked, 2), (said, 1)):
        assert codes(found) == (["gate-leak"] * count if leaks else [])
        assert all(left.more["gate_case_id"] == "f" * 16 for left in found.left)


def test_answers_repeat_the_gate_as_well_as_prompts() -> None:
    """Also the rejected one: its words are learnt about, too; and a gate case's reference, which the judge is shown."""
    secret = "The library closes at seven in the evening, but on Fridays it stays open until nine for the reading circle"
    gate = LeakIndex(targets_of([a_case(99, reference={"facts": [secret]}, split=Split.GATE)]))
    other = "I would rather not say anything about that today, and nor would anybody else here in this room, I am afraid"
    for pair in (a_pair(1, chosen=secret, rejected=other), a_pair(1, chosen=other, rejected=secret)):
        assert codes(guard([pair], [], gate, frozenset(), Limits())) == ["gate-leak"]
    for replay in (True, False):
        lesson = replace(a_lesson(2, replay=replay), answer=answer(secret, 1.0))
        found = guard([], [lesson], gate, frozenset({"dates"}), Limits())
        assert codes(found) == ["gate-leak"]
        assert "repeats the reference of gate case" in found.left[0].why
    assert codes(guard([a_pair(1, chosen=other, rejected=other[:80])], [], gate, frozenset(), Limits())) == []


def test_the_gate_is_found_exactly_by_n_grams_and_nearly() -> None:
    """A short case inside a longer text; a long run of a case; a case with a word changed in the middle, where no run is long."""
    short = "How many eggs does the brown hen lay"
    long = " ".join(f"word{i}" for i in range(80))
    gate = LeakIndex([Target("a" * 16, short), Target("b" * 16, long)])
    ways = {
        "exact": f"Dear friend, please tell me at once: {short}? I have to know it before the market opens tomorrow",
        "ngram": " ".join(long.split()[:76]),
        "near": long.replace("word40", "changed"),
    }
    for how, text in ways.items():
        found = guard([a_pair(1, text=text)], [], gate, frozenset(), Limits())
        assert codes(found) == ["gate-leak"], how
    assert found.left[0].more["gate_case_id"] == "b" * 16
    half = guard(
        [a_pair(1, text=" ".join([*long.split()[:40], *(f"other{i}" for i in range(40))]))], [], gate, frozenset(), Limits()
    )
    assert (codes(half), half.similar) == ([], 1), "what resembles the gate is told and kept"


def test_no_capability_drowns_the_others() -> None:
    many = [a_pair(i, capability="many") for i in range(40)]
    few = [a_pair(i, capability="few") for i in range(100, 104)]
    found = guard([*many, *few], [], NOBODY, frozenset(), Limits(balance=2.0))
    assert {name: sum(p.case.capability == name for p in found.pairs) for name in ("many", "few")} == {"many": 8, "few": 4}
    assert codes(found) == ["balance"] * 32
    again = guard([*reversed(many), *few], [], NOBODY, frozenset(), Limits(balance=2.0))
    assert {p.id for p in found.pairs} == {p.id for p in again.pairs}  # chosen by content, not by place
    other = guard([*many, *few], [], NOBODY, frozenset(), Limits(balance=2.0, seed=1))
    assert {p.id for p in found.pairs} != {p.id for p in other.pairs}


def test_replay_is_for_protected_skills_and_has_its_share() -> None:
    teach = [a_lesson(i, capability="target") for i in range(10)]
    replay = [a_lesson(100 + i, replay=True, capability="a" if i < 30 else "b") for i in range(35)]
    alien = [a_lesson(300, replay=True, capability="target")]
    found = guard([], [*teach, *replay, *alien], NOBODY, frozenset({"a", "b"}), Limits(replay=0.8))
    kept = [row for row in found.lessons if row.replay]
    assert {name: sum(row.case.capability == name for row in kept) for name in ("a", "b")} == {"a": 4, "b": 4}  # in turns
    assert len(found.lessons) == 18
    assert codes(found) == ["replay-share"] * 27
    assert guard([], [*teach, *replay], NOBODY, frozenset({"a", "b"}), Limits(replay=0.0)).lessons == teach


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc"), texts, texts), max_size=25))
def test_every_pair_is_kept_or_left_with_a_reason(rows: Any) -> None:
    pairs = [a_pair(n, capability=c, chosen=x, rejected=y) for n, c, x, y in rows]
    found = guard(pairs, [], NOBODY, frozenset(), Limits())
    assert len(found.pairs) + len(found.left) == len(pairs)
    assert all(left.why and left.code for left in found.left)
    assert len({pair.id for pair in found.pairs}) == len(found.pairs)


# -- people ----------------------------------------------------------------------------------------------------------------------


def label(kind: str, rater: str = "Ann", split: Split = Split.DEV, at: float = 1.0, **more: Any) -> Label:
    return Label(f"{kind}{rater}{at}", "r1", "dates", "0" * 16, split, kind, rater, at, baseline_run_id="r2", **more)


def test_people_prefer() -> None:
    known = {"x": answer("from x", 0.0), "y": answer("from y", 1.0, OTHER, "r2"), "z": answer("from z", 0.5, OTHER, "r2")}
    shown: dict[str, Any] = {"responses": ("x", "y"), "sides": ("r1", "r2")}
    rank = label("rank", responses=("x", "y", "z"), ranking=(("z",), ("y", "x")))
    assert preferences([rank], known, "r1") == [(known["z"], known["x"], "Ann")]  # the candidate's own is the worse one
    assert preferences([label("pair", preference="baseline", **shown)], known, "r1") == [(known["y"], known["x"], "Ann")]
    assert preferences([label("pair", preference="candidate", **shown)], known, "r1") == [(known["x"], known["y"], "Ann")]
    rated = [label("rate", responses=(name,), rating=rating, at=float(rating)) for name, rating in (("x", 1), ("y", 5))]
    assert preferences(rated, known, "r1") == [(known["y"], known["x"], "Ann")]


def test_ties_disputes_gate_labels_and_unknown_answers_teach_nothing() -> None:
    known = {"x": answer("from x", 0.0), "y": answer("from y", 1.0, OTHER, "r2")}
    shown: dict[str, Any] = {"responses": ("x", "y"), "sides": ("r1", "r2")}
    tie = label("pair", preference="tie", **shown)
    dispute = [
        label("pair", "Ann", preference="candidate", **shown),
        label("pair", "Bob", preference="baseline", at=2.0, **shown),
    ]
    gate = label("pair", split=Split.GATE, preference="baseline", **shown)
    strange = label("rank", responses=("q", "y"), ranking=(("q",), ("y",)))
    for labels in ([tie], dispute, [gate], [strange], []):
        assert preferences(labels, known, "r1") == []


def test_a_person_beats_the_checks() -> None:
    better, worse = answer("people like it", 0.0), answer("checks like it", 1.0)
    found = answers(a_case(), [worse, better], preferred=((better, worse, "Ann, Bob"),))
    pair = one(found)
    assert isinstance(pair, Pair)
    assert (pair.source, pair.chosen, pair.rejected, pair.raters) == (PERSON, better, worse, "Ann, Bob")
    assert pair_row(pair)["provenance"]["raters"] == "Ann, Bob"


def test_lengths_of_both_sides_are_on_the_card() -> None:
    pairs = [a_pair(1, "longer one", "short"), a_pair(2, "the same", "as long!"), a_pair(3, "x" * 30, "y" * 10)]
    found = guard(pairs, [], NOBODY, frozenset(), Limits())
    told = counted(found)
    assert told["lengths"] == {"chosen_median": 10.0, "rejected_median": 8.0, "chosen_longer": round(2.5 / 3, 4)}
    text = card_text(Card("s", "h" * 64, "r1", "c", None, 3, 3, 0, {}, **told))
    assert "chosen 10 characters (median), rejected 8; the chosen answer is the longer one in 83 % of the pairs" in text


# -- the card --------------------------------------------------------------------------------------------------------------------


def test_a_hostile_name_stays_one_cell_of_the_card() -> None:
    hostile = "x|y\n# <script>alert(1)</script> [a](javascript:1) `c`"
    found = guard([a_pair(1, capability=hostile)], [], NOBODY, frozenset(), Limits())
    card = Card(hostile, "h" * 64, "r1", hostile, None, 1, 1, 0, {"sources": hostile}, **counted(found))
    text = card_text(card)
    assert "\n# <" not in text.replace("# Training", "")
    (row,) = [line for line in text.splitlines() if line.startswith("| x")]
    assert row.replace("\\|", "").count("|") == 5
    assert "<script" not in text.replace("\\<", "")
