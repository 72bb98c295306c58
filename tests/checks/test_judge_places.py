"""Judges among the checks of a capability: how they are written, and how what they said makes a score."""

from __future__ import annotations

from typing import Any

import pytest

from harness.checks import Outcome, compile_checks, judges_of, parse_checks
from harness.model import Case, Response, Score

CASE = Case("0123456789abcdef", "skill", {}, "Paris")


def score(checks: list[Any], judged: dict[str, Outcome], text: str = "Paris", **response: Any) -> Score:
    return compile_checks(checks).score(CASE, Response("k", **{"text": text, "finish_reason": "stop", **response}), judged)


def test_a_judge_counts_like_a_check() -> None:
    found = score(
        [{"judge": "tone", "weight": 3}, {"type": "equals", "value": "Rome"}],
        {"tone": Outcome(0.5, "polite enough", passed=True)},
    )
    assert found.value == pytest.approx(3 * 0.5 / 4)
    assert found.passed is False
    assert [(c.check, c.value, c.passed, c.explanation) for c in found.components[:1]] == [
        ("judge tone", 0.5, True, "polite enough")
    ]


def test_threshold_negation_and_metric() -> None:
    judged = {"tone": Outcome(0.7, passed=True)}
    assert score([{"judge": "tone"}], judged).passed is True
    assert score([{"judge": "tone"}], {"tone": Outcome(0.7, passed=False)}).passed is False
    assert score([{"judge": "tone", "threshold": 0.8}], judged).passed is False
    rude = score([{"not-judge": "tone", "metric": "not rude"}], judged)
    assert rude.value == pytest.approx(0.3)
    assert rude.passed is False
    assert rude.components[0].check == "not rude"
    assert score([{"not-judge": "tone"}], judged).components[0].check == "not-judge tone"


def test_a_judge_that_gave_no_verdict_leaves_the_answer_unscored() -> None:
    found = score([{"judge": "tone"}, "equals"], {"tone": Outcome(None, "not JSON", "judge-invalid")})
    assert (found.value, found.unscored) == (None, "judge-invalid")
    assert score([{"judge": "tone", "weight": 0}, "equals"], {"tone": Outcome(None, "", "judge-invalid")}).value == 1.0
    assert score([{"judge": "tone"}], {}).unscored == "judge-not-asked"


def test_inside_a_group_another_member_can_make_up_for_it() -> None:
    checks = [{"any": ["equals", {"judge": "tone"}]}]
    silent = {"tone": Outcome(None, "", "judge-timeout")}
    assert score(checks, silent).value == 1.0
    assert score(checks, silent, text="Rome").unscored == "judge-timeout"
    assert score(checks, {"tone": Outcome(0.9, passed=True)}, text="Rome").value == pytest.approx(0.9)


def test_which_judges_are_needed_and_when_none_is() -> None:
    scorer = compile_checks([{"judge": "a"}, {"all": [{"judge": "b"}, {"any": [{"not-judge": "a"}, "equals"]}]}])
    assert scorer.judges == ("a", "b")
    assert compile_checks(["equals"]).judges == ()
    cut = scorer.unfit(Response("k", text="Par", finish_reason="length"))
    assert cut is not None
    assert cut.unscored == "truncated"
    assert scorer.unfit(Response("k", text="Paris", finish_reason="stop")) is None


def test_every_setting_is_part_of_the_digest() -> None:
    written: list[dict[str, Any]] = [
        {"judge": "a"},
        {"judge": "b"},
        {"not-judge": "a"},
        {"judge": "a", "threshold": 0.7},
        {"judge": "a", "weight": 2},
        {"judge": "a", "metric": "m"},
    ]
    assert len({compile_checks([check]).digest for check in written}) == len(written)


def test_places_and_faults() -> None:
    specs, faults = parse_checks([{"any": ["equals", {"judge": "tone"}]}, {"not-judge": "rude"}], ("checks",))
    assert faults == ()
    assert [(path, spec.name) for path, spec in judges_of(specs)] == [(("checks", 0, "any", 1), "tone"), (("checks", 1), "rude")]
    _, faults = parse_checks(
        [{"judge": "a", "thresold": 1}, {"judge": "a", "not-judge": "b"}, {"judge": ["a"]}, {"judge": "a", "threshold": 2}]
    )
    assert [(fault.path, fault.what.split(",")[0]) for fault in faults] == [
        (("checks", 0, "thresold"), "unknown key 'thresold'"),
        (("checks", 1), "a check names either a `judge` or a `not-judge`"),
        (("checks", 2, "judge"), "Input should be a valid string"),
        (("checks", 3, "threshold"), "Input should be less than or equal to 1"),
    ]
