"""What would move the verdict comes first, every case has a chance, and sides are mixed for each case and rater."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from support.runs import make_record

from harness.labels import looked_at
from harness.model import CapabilityComparison, CheckResult, PairedComparison, Role
from harness.store.answers import Answer
from reports.review import queue
from reports.review.queue import Key, Subject, closeness, eligible, make_plan, mixed, subjects, tier


def answer(number: int, passed: bool | None, *, words: str = "", capability: str = "math", **more: Any) -> Answer:
    value = None if passed is None else float(passed)
    values: dict[str, Any] = {"reason": None, "must_pass": False} | more
    return Answer(capability, f"c{number}", 0, f"r{number}{words}", words, value, passed, **values)


def both(number: int, before: bool | None, now: bool | None, **more: Any) -> tuple[Key, Subject]:
    ours, theirs = answer(number, now, words="new", **more), answer(number, before, words="old", **more)
    return (ours.capability, ours.case_id), Subject(ours, theirs, (("cand", ours), ("base", theirs)))


def compared(name: str, role: Role, low: float, high: float, margin: float = 0.05) -> CapabilityComparison:
    paired = PairedComparison((low + high) / 2, low, high, 100, 100, "tango", margin, 0.05, 0.5, 0.5, 0.5, 0.5)
    return CapabilityComparison(name, role, margin, 0.5, 0.5, paired)


def judged(*passed: bool | None) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(f"judge j{i}", 1, None if p is None else float(p), p) for i, p in enumerate(passed))


@pytest.mark.parametrize(
    ("case", "role", "expected"),
    [
        (both(1, True, False), Role.PROTECTED, "flip"),
        (both(1, False, True), Role.TARGET, "flip"),
        (both(1, False, True), Role.ADVISORY, "rest"),
        (both(1, True, True), Role.PROTECTED, "rest"),
        (both(1, False, False, must_pass=True), Role.PROTECTED, "flip"),
        (both(1, True, None), Role.PROTECTED, "unscored"),
        (both(1, True, None, reason="pending"), Role.PROTECTED, "rest"),
        (both(1, True, True, judged=judged(True, False)), Role.PROTECTED, "judges"),
        (both(1, True, True, judged=judged(False)), Role.PROTECTED, "judges"),  # against what the rules say
        (both(1, True, True, judged=judged(None)), Role.PROTECTED, "judges"),
        (both(1, True, True, judged=judged(True, True)), Role.PROTECTED, "rest"),
    ],
)
def test_each_case_has_a_tier(case: tuple[Key, Subject], role: Role, expected: str) -> None:
    assert tier(*case, {}, {"math": role}) == expected
    assert tier(*case, {"math": compared("math", role, -0.1, 0.1)}, {}) == expected


def test_what_a_verdict_calls_a_flip_is_one() -> None:
    key, subject = both(1, True, True)  # of several samples, say
    row = dataclasses.replace(compared("math", Role.TARGET, 0, 1), broken=("c1",))
    assert tier(key, subject, {"math": row}, {}) == "flip"


def test_the_nearer_the_margin_the_more_urgent() -> None:
    on_it = closeness(compared("a", Role.PROTECTED, -0.05, 0.05))
    half_width_away = closeness(compared("a", Role.PROTECTED, 0.0, 0.1))
    far = closeness(compared("a", Role.PROTECTED, 0.4, 0.5))
    assert (on_it, half_width_away) == (pytest.approx(1.0), pytest.approx(0.5))
    assert 0 < far < 0.2
    assert closeness(None) == 1.0
    assert closeness(compared("a", Role.TARGET, 0.0, 0.1)) == pytest.approx(1.0)  # a target's edge is its gain


def plan(cases: dict[Key, Subject], kind: str = "rate", **more: Any) -> Any:
    options: dict[str, Any] = {"split": "gate", "seed": 0, "batch": 10} | more
    rows, roles = options.pop("rows", []), dict.fromkeys(["math", "near"], "protected")
    return make_plan(kind, make_record("cand"), make_record("base"), cases, rows, roles, **options)


def test_flips_lead_and_a_random_sample_is_among_them() -> None:
    cases = dict([both(i, True, i >= 30) for i in range(1_000)])
    made = plan(cases)
    assert made.population == len(made.picks) == 1_000
    first = [pick.tier for pick in made.picks[:40]]
    assert first.count("flip") > 20  # of 30 flips among a thousand cases
    assert first.count("rest") > 3
    chances = made.probabilities(40)
    assert all(0 < p <= 1 for p in chances.values())
    flips = {chances[p.capability, p.case_id] for p in made.picks[:40] if p.tier == "flip"}
    rest = {chances[p.capability, p.case_id] for p in made.picks[:40] if p.tier == "rest"}
    assert min(flips) > 10 * max(rest)


def test_flips_near_their_margin_come_before_flips_far_from_it() -> None:
    cases = dict([both(i, True, False) for i in range(200)] + [both(i, True, False, capability="near") for i in range(200)])
    rows = [compared("math", Role.PROTECTED, 0.4, 0.5), compared("near", Role.PROTECTED, -0.05, 0.05)]
    first = [pick.capability for pick in plan(cases, rows=rows).picks[:100]]
    assert first.count("near") > 2 * first.count("math")


def test_the_order_is_the_seeds_and_its_own_for_each_kind() -> None:
    cases = dict([both(i, True, True) for i in range(50)])
    one, again, other = plan(cases), plan(cases), plan(cases, seed=1)
    assert (one.picks, one.id) == (again.picks, again.id)
    assert one.picks != other.picks
    assert len({one.id, other.id, plan(cases, "pair").id, plan(cases, split="dev").id, plan(cases, also=("x",)).id}) == 5


def test_a_case_that_is_gone_leaves_the_others_where_they_were() -> None:
    cases = dict([both(i, True, True) for i in range(50)])
    before = [pick.case_id for pick in plan(cases).picks]
    after = [pick.case_id for pick in plan({key: s for key, s in cases.items() if key[1] != "c7"}).picks]
    assert after == [case for case in before if case != "c7"]


def test_of_very_many_cases_the_first_are_kept_with_their_chances(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = dict([both(i, True, i % 9 > 0) for i in range(300)])
    whole = plan(cases)
    monkeypatch.setattr(queue, "MOST_PICKS", 40)
    short = plan(cases)
    assert short.picks == whole.picks[:40]
    assert short.population == 300
    for n in (1, 20, 40):
        assert short.probabilities(n) == pytest.approx(whole.probabilities(n))
    assert looked_at(short, []) == {}


def test_same_words_need_no_comparison_and_one_place_in_a_ranking() -> None:
    one, two = answer(1, True, words="same"), answer(1, True, words="same")
    other = dataclasses.replace(answer(1, True, words="else"), sample=1)
    subject = Subject(one, two, (("cand", one), ("base", two)))
    assert not eligible("pair", subject)
    assert not eligible("rank", subject)
    assert eligible("rate", subject)
    more = dataclasses.replace(subject, all=(*subject.all, ("cand", other)))
    assert [(a.words, runs) for a, runs in more.distinct] == [("same", ("cand", "base")), ("else", ("cand",))]
    assert eligible("rank", more)


def test_a_run_alone_is_rated_only() -> None:
    [(key, subject)] = subjects([("cand", [answer(1, True)])], None).items()
    assert [kind for kind in ("rate", "pair", "rank") if eligible(kind, subject)] == ["rate"]
    assert tier(key, subject, {}, {}) == "rest"


def test_cases_that_the_candidate_did_not_answer_are_not_shown() -> None:
    assert list(subjects([("cand", [answer(1, True)]), ("base", [answer(1, True), answer(2, True)])], "base")) == [("math", "c1")]


def test_sides_are_mixed_evenly_and_always_alike_for_one_rater() -> None:
    first = [mixed(f"{i}", 2)[0] for i in range(2_000)]
    assert 850 < sum(first) < 1_150
    assert [mixed(f"{i}", 2)[0] for i in range(2_000)] == first
    assert sorted(mixed("x", 9)) == list(range(9))
    assert len({mixed(f"{i}", 3) for i in range(200)}) == 6
