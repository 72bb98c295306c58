"""The kinds of failure, worked by hand, and their arithmetic under any rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reports_fake import item

from harness.diagnosis import (
    FAILING,
    CapabilityDiagnosis,
    Kind,
    always_failing,
    diagnose,
    format_only,
    passing,
    summarise,
    with_format,
)
from harness.model import ItemStatus, ScoreRow


def rows(case_id: str, *samples: bool | str, capability: str = "cap", cluster: str | None = None) -> list[ScoreRow]:
    """A text is the reason of a sample without a score."""
    return [
        ScoreRow(case_id, capability, j, ItemStatus.UNSCORED, reason=s, cluster=cluster)
        if isinstance(s, str)
        else ScoreRow(case_id, capability, j, ItemStatus.SCORED, float(s), s, cluster=cluster)
        for j, s in enumerate(samples)
    ]


def kinds(found: list[ScoreRow], **more: object) -> dict[str, Kind]:
    return {case.case_id: case.kind for case in diagnose(found, **more)}  # type: ignore[arg-type]


def only(found: list[ScoreRow], **more: object) -> CapabilityDiagnosis:
    greedy = more.get("greedy", ())
    (summary,) = summarise(diagnose(found, greedy=greedy), **more)  # type: ignore[arg-type]
    return summary


MIXED = [
    *rows("good", True, True),
    *rows("never", False, False),
    *rows("half", True, False),
    *rows("gone", "truncated", "truncated"),
    *rows("part", "truncated", False),
]


def test_each_kind_by_hand() -> None:
    warm = {
        "good": Kind.PASSES,
        "never": Kind.ALWAYS,
        "half": Kind.SOMETIMES,
        "gone": Kind.UNSCORED,
        "part": Kind.ALWAYS,  # what was scored fails
    }
    assert kinds(MIXED) == warm
    assert kinds(MIXED, greedy={"cap"}) == warm | {"half": Kind.UNSTABLE}
    assert kinds(MIXED, flipping={("cap", "never"), ("cap", "good")}) == warm | {"never": Kind.UNSTABLE}


def test_format_is_told_only_of_what_always_fails() -> None:
    cases = diagnose(MIXED)
    assert always_failing(cases) == (("cap", "never"), ("cap", "part"))
    rules = {("cap", "never"): "parsed", ("cap", "half"): "normalised", ("cap", "good"): "parsed"}
    told = {case.case_id: (case.kind, case.why) for case in with_format(cases, rules)}
    assert told["never"] == (Kind.FORMAT, "parsed")
    assert told["half"][0] is Kind.SOMETIMES
    assert told["good"][0] is Kind.PASSES


def test_every_sample_must_be_right_but_for_its_form() -> None:
    first = item("a", "cap", "q", "paris", False, reference="Paris")
    wrong = item("a", "cap", "q", "london", False, reference="Paris", sample=1)
    other = item("b", "cap", "q", "It is Paris", False, reference="Paris")
    lost = item("b", "cap", "q", "", None, reference="Paris", sample=1, status=ItemStatus.UNSCORED, reason="empty")
    assert format_only([first, wrong, other, lost]) == {("cap", "b"): "contained"}


def test_one_sample_says_how_many_would_tell() -> None:
    found = only([*rows("a", False), *rows("b", True)])
    assert found.one_look
    assert found.at_1 is None
    assert found.sentence == (
        "1 of 1 case to mend: always or sometimes, one sample each cannot tell; generation.samples: 6 at a temperature above 0 "
        "would show a right answer that comes one time in 4 with 80 % power"
    )
    cold = only(rows("a", False, False), greedy={"cap"})
    assert "samples at temperature 0 cannot tell" in cold.sentence


def test_several_samples_tell() -> None:
    found = only([*rows("a", False, False, False), *rows("b", False, False, False), *rows("c", True, False, False)])
    assert not found.one_look
    assert found.main is Kind.ALWAYS
    assert (
        found.sentence
        == "2 of 3 cases to mend: every one of 3 samples fails; it needs data for the skill, or a better base model"
    )
    assert found.at_1 is not None
    assert found.at_k is not None
    assert found.all_k is not None
    assert (found.at_1.value, found.at_k.value, found.all_k.value) == (pytest.approx(1 / 9), pytest.approx(1 / 3), 0.0)


def test_what_the_baseline_passes_was_lost() -> None:
    before = passing([*rows("a", True), *rows("b", True, False, False), *rows("c", True, False)])
    assert before == {("cap", "a"), ("cap", "c")}
    fails = [*rows("a", False), *rows("c", False), *rows("d", False)]
    found = only(fails, passing_before=before, regressed={"cap"})
    assert found.lost == 2
    assert "the baseline passes 2 of them" in found.sentence
    assert "generation.samples" in only(rows("d", False), passing_before=before, regressed={"cap"}).sentence
    churn = only(fails, passing_before=before)  # at equal accuracy as many cases went the other way: no skill was lost
    assert churn.lost == 2
    assert "generation.samples" in churn.sentence


def test_the_cheapest_remedy_wins_a_tie() -> None:
    cases = with_format(diagnose([*rows("a", False), *rows("b", False)]), {("cap", "b"): "parsed"})
    (found,) = summarise(cases)
    assert found.main is Kind.FORMAT
    assert only(rows("a", True)).sentence == "nothing fails"
    gone = only(rows("a", "truncated"))
    assert gone.main is Kind.UNSCORED
    assert "truncated" in gone.sentence


def test_what_was_never_asked_is_no_failure() -> None:
    """A sequential run leaves most cases out once it is decided."""
    skipped = [ScoreRow("b", "cap", 0, ItemStatus.SKIPPED, reason="decided")]
    errored = [ScoreRow("c", "cap", 0, ItemStatus.ERRORED, reason="timeout")]
    found = only([*rows("a", True), *skipped])
    assert (found.n, found.failing) == (1, 0)
    assert "timeout" in only([*errored, *skipped]).sentence
    assert diagnose(skipped) == ()


def test_scores_without_a_verdict_pass_from_one_half() -> None:
    graded = [ScoreRow("a", "cap", j, ItemStatus.SCORED, value) for j, value in enumerate((0.5, 0.49))]
    assert kinds(graded) == {"a": Kind.SOMETIMES}


_sample = st.one_of(st.booleans(), st.sampled_from(["truncated", "empty"]))
_cases = st.lists(st.lists(_sample, min_size=1, max_size=4), max_size=12)


@given(_cases, st.booleans(), st.randoms(use_true_random=False))
def test_every_case_has_one_kind_and_order_does_not_matter(cases: list[list[bool | str]], cold: bool, random: object) -> None:
    found = [row for i, samples in enumerate(cases) for row in rows(f"{i}", *samples, capability=f"k{i % 2}")]
    greedy = {"k0", "k1"} if cold else set()
    told = summarise(diagnose(found, greedy=greedy), greedy=greedy)
    assert sum(one.n for one in told) == len(cases)
    for one in told:
        assert sum(one.counts.values()) == one.n
        assert one.failing == one.n - one.counts.get(Kind.PASSES, 0)
        assert (one.main in FAILING) == (one.failing > 0)
        assert Kind.SOMETIMES not in one.counts or not cold
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = summarise(diagnose(shuffled, greedy=greedy), greedy=greedy)
    assert {one.capability: (one.n, one.counts, one.at_k) for one in again} == {
        one.capability: (one.n, one.counts, one.at_k) for one in told
    }
