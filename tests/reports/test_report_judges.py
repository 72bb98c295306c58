"""Judges in the report: figures, standing, warnings, the remark beside every number, and hostile words of all kinds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from support.reports_fake import FakeSource, seesaw

from harness.judgestats import summarise
from harness.model import Estimate, JudgeStanding, Judgment
from harness.store import Asked, StoredJudgment
from reports import html, json_report, markdown, terminal, view

HOSTILE = "<script>alert(1)</script> [click](javascript:alert(2)) `\u202e{{7*7}} @team #1"


def said(
    number: int, value: float | None = 1.0, *, judge: str = "tone", longer: int | None = None, **changes: Any
) -> StoredJudgment:
    case = f"{number:016x}"
    fields: dict[str, Any] = {
        "judge": judge,
        "digest": "d" * 32,
        "case_id": case,
        "value": value,
        "passed": None if value is None else value >= 0.5,
        "mode": "schema",
        "prompt_tokens": 100,
        "completion_tokens": 10,
    }
    made = Judgment(**fields | changes)
    return StoredJudgment("run", case, "math", 0, "r", None, None, made, Asked(2, 1, 0.5), 0.0, longer)


def test_what_judges_did_is_counted() -> None:
    found = summarise(
        [
            said(1),
            said(2, None, unscored="judge-invalid", mode=""),
            said(3, None, unscored="judge-error", errored=True),
            said(4, 0.5, values=(0.0, 1.0), spread=0.7, mode="logprob", outside=0.2, flags=("addresses-the-judge",)),
            said(5, judge="other"),
        ]
    )
    assert list(found) == ["other", "tone"]
    tone = found["tone"]
    assert (tone.n, dict(tone.unscored), tone.errored, tone.unparsed) == (4, {"judge-error": 1, "judge-invalid": 1}, 1, 0.5)
    assert dict(tone.modes) == {"schema": 2, "logprob": 1}
    assert (tone.spread, tone.spread_n, tone.outside) == (0.7, 1, 0.2)
    assert (tone.requests, tone.sent, tone.prompt_tokens, tone.completion_tokens, tone.seconds) == (8, 4, 400, 40, 2.0)
    assert (tone.position, tone.wins) == (None, None)


def test_pairs_have_a_position_bias_and_win_rates_with_and_without_length() -> None:
    def pair(number: int, preference: str, second: str, longer: int) -> StoredJudgment:
        value = {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}[preference if preference == second else "tie"]
        chosen = preference if preference == second else "tie"
        return said(number, value, preference=chosen, orders=((preference, second),), longer=longer)

    pairs = [pair(i, "candidate", "candidate", 50 if i % 5 else -50) for i in range(30)]
    pairs += [pair(i + 30, "baseline", "baseline", -50 if i % 5 else 50) for i in range(10)]
    pairs += [pair(i + 40, "candidate", "baseline", 0) for i in range(10)]
    tone = summarise(pairs)["tone"]
    assert tone.position is not None
    assert tone.position.value == pytest.approx(0.2)
    assert tone.position.low is not None
    assert tone.position.low < 0.2 < (tone.position.high or 0)
    assert tone.wins is not None
    assert tone.wins.value == pytest.approx(0.7)
    assert tone.wins_even is not None
    assert tone.wins_even.value is not None
    assert tone.wins_even.value < 0.69, "a part of the wins is explained by length"


def panel_said(number: int, *words: float | str | None) -> StoredJudgment:
    """A panel's judgment with one word of each member: a value, a preference, or None for no verdict."""

    def member(name: str, word: float | str | None) -> Judgment:
        if isinstance(word, str):
            return said(number, {"candidate": 1.0, "tie": 0.5}.get(word, 0.0), judge=name, preference=word).judgment
        return said(number, word, judge=name, unscored=None if word is not None else "judge-cut").judgment

    members = tuple(member(name, word) for name, word in zip(("ann", "bob", "cyd"), words, strict=False))
    return said(number, 1.0, mode="panel", members=members, spread=0.1)


def test_a_panel_tells_how_far_its_members_agree_and_who_stands_apart() -> None:
    rows: list[tuple[float | None, ...]] = [(1.0, 0.75, 0.0), (0.0, 0.25, 1.0), (1.0, 1.0, 0.0), (0.25, 0.0, None)] * 10
    panel = summarise(panel_said(i, *row) for i, row in enumerate(rows))["tone"].panel
    assert panel is not None
    assert panel.alpha.value == pytest.approx(alpha_by_hand(rows))
    assert panel.alpha.low is not None
    assert panel.alpha.low < alpha_by_hand(rows) < (panel.alpha.high or 0)
    ann, bob, cyd = panel.members
    assert [member.judge for member in panel.members] == ["ann", "bob", "cyd"]
    assert (ann.unparsed, cyd.unparsed) == (0.0, 0.25)
    assert ann.agrees.value == pytest.approx((3 * 0.5 + 1.0) / 4), "with one of two, three times; with the one left, once"
    assert bob.agrees.value == ann.agrees.value
    assert cyd.agrees.value == 0.0
    assert ann.agrees.low is not None
    assert summarise([said(1)])["tone"].panel is None


def alpha_by_hand(rows: list[tuple[float | None, ...]]) -> float:
    """Krippendorff 2011, with squared differences: 1 - observed / expected disagreement."""
    units = [[value for value in row if value is not None] for row in rows]
    every = [value for unit in units for value in unit]
    seen = sum(sum((a - b) ** 2 for a in unit for b in unit) / (len(unit) - 1) for unit in units) / len(every)
    expected = sum((a - b) ** 2 for a in every for b in every) / (len(every) * (len(every) - 1))
    return 1 - seen / expected


def test_a_panel_of_pairwise_judges_agrees_on_preferences() -> None:
    rows = [("candidate", "candidate"), ("baseline", "candidate"), ("tie", "tie"), ("baseline", "baseline")] * 5
    panel = summarise(panel_said(i, *row) for i, row in enumerate(rows))["tone"].panel
    assert panel is not None
    assert [member.agrees.value for member in panel.members] == [0.75, 0.75]
    assert panel.alpha.value is not None
    assert 0.5 < panel.alpha.value < 0.75


def test_a_panels_page_names_its_members_and_their_canaries() -> None:
    source = judged()
    for run_id, record in source.records.items():
        kept = dict(record.provenance["judging"])
        kept["judges"] = {"tone": {**kept["judges"]["tone"], "kind": "panel", "members": ["ann", "bob"]}}
        kept["canaries"] = [{"judge": "bob", "canary": "c", "state": "drifted", "text": "canary 'c' of judge 'bob': 0.00"}]
        source.records[run_id] = replace(record, provenance={**record.provenance, "judging": kept})
        source.said[run_id] = [panel_said(i, float(i % 2), float(i % 3 == 0)) for i in range(30)]
    [judge] = built(source).judges
    assert judge.warnings == ("canary 'c' of judge 'bob': 0.00",)
    facts = {fact.key: fact for fact in judge.facts}
    assert facts["alpha"].label == "Its members agree (Krippendorff's alpha)"
    assert re.fullmatch(r"-?0\.\d\d \[-?\d\.\d\d, \d\.\d\d\]", facts["alpha"].candidate_shown)
    assert facts["member.ann.agrees"].candidate_shown.startswith("50.0% [")
    assert facts["spread"].label == "Spread over its members"
    assert "ann says what other members say" in html.render(built(source))


def judged(**changes: Any) -> FakeSource:
    """The small comparison, one capability of it by a judge."""
    source = seesaw()
    [(key, decided)] = list(source.verdicts.items())
    first, *rest = decided.verdict.comparisons
    standing = JudgeStanding("tone", "d" * 32, **changes.pop("standing", {}))
    comparison = replace(first, judges=(standing,), **changes)
    source.verdicts[key] = replace(decided, verdict=replace(decided.verdict, comparisons=(comparison, *rest)))
    about = {
        "digest": "d" * 32,
        "kind": "pointwise",
        "models": [{"name": "judge:tone", "model": HOSTILE, "digest": "m"}],
        "rubric": HOSTILE,
    }
    canary = {"judge": "tone", "canary": "c", "state": "drifted", "text": f"canary {HOSTILE}"}
    kept = {
        "judges": {"tone": about},
        "capabilities": {first.capability: ["tone"]},
        "canaries": [canary, {**canary, "state": "held", "text": "all is well"}],
    }
    for run_id, record in source.records.items():
        source.records[run_id] = replace(record, provenance={**record.provenance, "judging": kept})
        source.said[run_id] = [said(i, flags=("addresses-the-judge", "addresses-the-judge:asks-for-a-score")) for i in range(3)]
    return source


def built(source: FakeSource) -> view.ReportView:
    return view.build(source, next(iter(source.verdicts)))


def test_an_uncalibrated_judge_stands_beside_every_number_of_its_own() -> None:
    page = built(judged())
    name = page.capabilities[0].name
    assert page.remarks == {name: "judge uncalibrated"}
    shown = html.render(page)
    assert shown.count("judge uncalibrated") >= 3, "table, gains and losses, diagnosis"
    assert "judge uncalibrated" in terminal.render(page)
    assert f"{name} *" in terminal.render(page)
    assert "(judge uncalibrated)" in markdown.render(page)
    told = json.loads(json_report.render(page))
    assert told["capabilities"][0]["remark"] == "judge uncalibrated"
    assert told["capabilities"][1]["remark"] is None
    assert told["judges"][0]["calibrated"] is False
    assert told["judges"][0]["figures"]["n"] == {"candidate": 3, "baseline": 3}


def test_a_calibrated_judge_tells_its_kappa_and_a_corrected_number_what_it_was() -> None:
    kappa = {"kappa": Estimate(0.72, 0.6, 0.84, 60), "n_labels": 60}
    calibrated = built(judged(standing=kappa))
    assert calibrated.remarks == {}
    assert "agrees with people at kappa 0.72 [0.60, 0.84] on 60 labelled cases" in html.render(calibrated)
    source = judged(n_labelled=60)
    first = next(iter(source.verdicts.values())).verdict.comparisons[0]
    corrected = built(judged(n_labelled=60, uncorrected=first.paired))
    assert next(iter(corrected.remarks.values())).startswith("corrected by 60 labelled cases, ")
    assert list(corrected.side_remarks.values()) == ["by the judge alone"]


def test_warnings_name_canaries_that_moved_and_answers_that_speak_to_the_judge() -> None:
    [judge] = built(judged()).judges
    assert len(judge.warnings) == 3
    assert judge.warnings[0].startswith("canary")
    named = ", ".join(f"{i:016x}" for i in range(3))
    assert judge.warnings[1] == f"3 answers of the candidate speak to the judge (asks-for-a-score); read them: {named}"
    assert "all is well" not in " ".join(judge.warnings)


def test_rewards_and_canaries_are_told_of_both_runs() -> None:
    source = judged()
    for number, run_id in enumerate(source.records):
        raws = (1.5, 0.5, None) if number else (-2.0, -3.0, None)
        source.said[run_id] = [
            said(i, raw and 0.5, raw=raw, mode="reward" if raw else "", unscored=None if raw else "judge-no-verdict")
            for i, raw in enumerate(raws)
        ]
    [judge] = built(source).judges
    facts = {fact.key: fact for fact in judge.facts}
    assert {facts["reward"].candidate, facts["reward"].baseline} == {1.0, -2.5}
    assert {facts["reward"].candidate_shown, facts["reward"].baseline_shown} == {"+1.00", "-2.50"}
    assert facts["canaries"].candidate_shown == "1 of 2"
    assert "Mean reward, on the model&#39;s own scale" in html.render(built(source))
    assert "reward" not in {fact.key for fact in built(judged()).judges[0].facts}, "a rubric's grades are no rewards"


def test_hostile_words_stay_words_in_every_format() -> None:
    page = built(judged())
    for text in (html.render(page), markdown.render(page), terminal.render(page)):
        assert "<script>alert(1)" not in text
        assert "\u202e" not in text
    assert not re.search(r"(?<!\\)\]\(javascript:", markdown.render(page)), "no link"
    assert "{{7*7}}" in html.render(page), "nothing renders it a second time"


def test_a_run_without_judges_reads_no_judgments() -> None:
    class Unread(FakeSource):
        def judgments(self, run_id: str, /) -> Any:
            raise AssertionError("nobody judged")

    plain = seesaw()
    source = Unread(**{name: getattr(plain, name) for name in FakeSource.__dataclass_fields__})
    page = built(source)
    assert page.judges == ()
    assert "Judges" not in html.render(page)
