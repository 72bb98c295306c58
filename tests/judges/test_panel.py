from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.judging import MODEL, FakeAsker, answer, case, verdict

from harness.errors import SuiteError
from harness.model import Candidate, Judgment, Request
from judges import Judge, build, build_all

MEMBERS = {name: {"kind": "pointwise", "rubric": "helpfulness", "model": name} for name in ("ann", "bob", "cyd")}
MODELS = {name: Candidate(name, f"{name}-1", name[0] * 64) for name in MEMBERS} | {"grader": MODEL}


def panel(options: dict[str, Any], others: dict[str, Any] | None = None) -> Judge:
    others = MEMBERS if others is None else others
    spec = build("jury", {"kind": "panel", "members": ["ann", "bob", "cyd"], **options}, root=None, others=others)  # type: ignore[arg-type]
    return spec.bind({key: MODELS[key] for key in spec.models})


def decide(replies: dict[str, Any], **options: Any) -> tuple[Judgment, FakeAsker]:
    asker = FakeAsker(lambda request: replies[request.candidate.name])
    return asyncio.run(panel(options).judge(case(), answer("text"), asker)), asker


def test_the_mean_of_the_members_whose_words_are_kept() -> None:
    judgment, asker = decide({"ann": verdict(5, "Good."), "bob": verdict(4, "Fair."), "cyd": verdict(1, "Bad.")})
    assert (judgment.value, judgment.passed, judgment.mode) == (pytest.approx((1 + 0.75 + 0) / 3), False, "panel")
    assert [(member.judge, member.value) for member in judgment.members] == [("ann", 1.0), ("bob", 0.75), ("cyd", 0.0)]
    assert judgment.values == (1.0, 0.75, 0.0)
    assert judgment.spread == pytest.approx(0.5204165)
    assert "panel-split" in judgment.flags
    assert judgment.explanation == "ann: Good.\n\nbob: Fair.\n\ncyd: Bad."
    assert (judgment.attempts, judgment.prompt_tokens, len(judgment.keys)) == (3, 30, 3)
    assert {request.candidate.name for request in asker.requests} == set(MEMBERS)


def test_the_majority() -> None:
    judgment, _ = decide({"ann": verdict(4), "bob": verdict(4), "cyd": verdict(1)}, combine="majority")
    assert (judgment.value, judgment.passed) == (1.0, True)
    judgment, _ = decide({"ann": verdict(3), "bob": verdict(4), "cyd": verdict(1)}, combine="majority")
    assert (judgment.value, judgment.passed) == (0.0, False)


def test_a_vote_that_is_even_passes_nothing() -> None:
    judgment, _ = decide({"ann": verdict(5), "bob": verdict(1), "cyd": "?"}, combine="majority")
    assert (judgment.value, judgment.passed) == (0.5, False)
    assert {"panel-split", "members-missing"} <= set(judgment.flags)


def test_without_a_quorum_it_is_unscored_with_the_commonest_reason() -> None:
    judgment, _ = decide({"ann": verdict(5), "bob": "?", "cyd": "?"})
    assert (judgment.value, judgment.unscored, judgment.errored) == (None, "judge-invalid-json", False)
    judgment, _ = decide({"ann": verdict(5), "bob": verdict(5), "cyd": {"error": "timeout"}}, quorum=3)
    assert (judgment.value, judgment.unscored, judgment.errored) == (None, "judge-error", True)
    assert len(judgment.members) == 3


def pair(name: str) -> dict[str, Any]:
    return {"kind": "pairwise", "rubric": "pairwise-preference", "model": name}


def test_pairs_are_voted_on_and_a_tie_is_for_neither() -> None:
    def reply(request: Request) -> str:
        first = request.messages[-1].content.index("NEW") < request.messages[-1].content.index("OLD")
        picks = {"ann": "A" if first else "B", "bob": "tie", "cyd": "tie"}
        return json.dumps({"verdict": picks[request.candidate.name]})

    others = {name: pair(name) for name in MEMBERS}
    for combine, value in (("majority", 1.0), ("mean", pytest.approx(2 / 3))):
        jury = panel({"combine": combine}, others)
        judgment = asyncio.run(jury.judge(case(), answer("NEW"), FakeAsker(reply), baseline=answer("OLD")))
        assert (judgment.value, judgment.preference, jury.spec.pairwise) == (value, "candidate", True)


def test_members_may_be_written_in_place_with_models_of_their_own() -> None:
    own = {"kind": "pointwise", "rubric": "helpfulness", "model": {"model": "m", "endpoint": "http://127.0.0.1:9/v1"}}
    spec = build("jury", {"kind": "panel", "members": ["ann", own]}, root=None, others=MEMBERS)  # type: ignore[arg-type]
    assert list(spec.models) == ["ann", "judge:jury/2"]
    assert spec.bind({"ann": MODELS["ann"], "judge:jury/2": MODEL}).digest


def test_the_digest_is_that_of_its_members_and_rule() -> None:
    digests = {panel({}).digest, panel({"combine": "majority"}).digest, panel({"members": ["ann", "bob"]}).digest}
    assert len(digests) == 3
    assert panel({}).digest == panel({"description": "words"}).digest


@pytest.mark.parametrize(
    ("members", "what"),
    [
        (["ann"], "at least 2"),
        (["ann", "dan"], "no judge named 'dan'"),
        (["ann", "jury"], "sit on itself"),
        (["ann", "pairs"], "pairwise and other judges"),
        (["ann", "broken"], "'broken' cannot be used"),
        (["ann", {"kind": "pointwise", "rubric": "none", "model": "ann"}], "no rubric named 'none'"),
        (["ann", "round"], "sit on itself"),
    ],
)
def test_a_panel_that_cannot_sit(members: list[Any], what: str) -> None:
    judges = {
        **MEMBERS,
        "pairs": pair("ann"),
        "broken": {"kind": "pointwise"},
        "round": {"kind": "panel", "members": ["ann", "jury"]},
        "jury": {"kind": "panel", "members": members},
    }
    with pytest.raises(SuiteError) as caught:
        build("jury", judges["jury"], root=None, others=judges)  # type: ignore[arg-type]
    assert what in str(caught.value)


def test_all_judges_of_a_suite_at_once_with_the_places_of_their_faults() -> None:
    judges = {**MEMBERS, "jury": {"kind": "panel", "members": ["ann", "bob"], "quorum": 3}, "odd": {"kind": "poll"}, "no": 3}
    specs, faults = build_all(judges, root=None)  # type: ignore[arg-type]
    assert sorted(specs) == ["ann", "bob", "cyd"]
    assert [fault.path for fault in faults] == [("jury", "quorum"), ("odd", "kind"), ("no",)]
    assert "pointwise" in faults[1].todo
