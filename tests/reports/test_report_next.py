"""What to do next, slices, flips and checkpoints in every format."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.reports_fake import rich, seesaw
from test_report_hostile import ATTACKS, assert_harmless

from harness.model import Outcome, Verdict
from reports import html, json_report, junit, markdown, terminal
from reports.evidence import Limits
from reports.nouns import ReportView
from reports.text import label
from reports.view import build


@pytest.fixture(scope="module")
def view() -> ReportView:
    return build(rich(), "cand00000001")


def test_every_kind_is_counted_and_the_cheapest_remedy_named(view: ReportView) -> None:
    target, protected = view.diagnosis
    assert (target.name, target.n, target.failing) == ("orders", 25, 19)
    assert dict(target.counts) == {"always": 6, "sometimes": 6, "unstable": 0, "format": 6, "unscored": 1}
    assert target.advice.startswith("6 of 19 cases to mend: right but for the form of the answer")
    assert target.k == 3
    assert target.pass_k == pytest.approx(12 / 24)  # passes and sometimes
    assert target.pass_1 == pytest.approx((6 * 3 + 6 * 1) / 72)
    assert target.all_k == pytest.approx(6 / 24)
    assert target.pass_k_shown.startswith("50.0% [")
    assert protected.note == "the baseline passes 6 of those that always fail"


def test_at_temperature_0_disagreement_is_decoding() -> None:
    source = rich()
    source.suites["a" * 64] = ("", json.dumps({"capabilities": {"orders ": {"temperature": 0}, "dates ": {"temperature": 0.0}}}))
    counts = dict(build(source, "cand00000001").diagnosis[0].counts)
    assert (counts["sometimes"], counts["unstable"]) == (0, 6)


def test_what_flipped_in_the_noise_floor_is_unstable() -> None:
    source = rich()
    decided = source.verdicts["cand00000001"]
    first = next(i.case for i in source.stored["cand00000001"] if i.messages[-1].content == "always 0")
    twice = replace(decided.verdict.comparisons[0], fixed=(first.id,), broken=())
    source.twice = replace(decided, verdict=replace(decided.verdict, comparisons=(twice,)))
    counts = dict(build(source, "cand00000001").diagnosis[0].counts)
    assert (counts["always"], counts["unstable"]) == (5, 1)


def test_answers_that_were_not_read_are_told() -> None:
    limited = build(rich(), "cand00000001", limits=Limits(diagnosed=4))
    rows = [dict(row.counts) for row in limited.diagnosis]
    # capabilities in turn: two cases of each are looked at, and those always fail in more than form
    assert [row["format"] for row in rows] == [0, 0]
    assert [row["always"] for row in rows] == [12, 12]
    assert "of 10 failing cases the form was not looked at" in limited.diagnosis[0].note


def test_flips_have_intervals_of_cases(view: ReportView) -> None:
    orders, dates = view.flips
    assert (orders.fixed, orders.broken, orders.churn) == (0, 0, 0.0)
    assert orders.churn_shown.startswith("0.0% [0.0, ")
    assert (dates.broken, dates.negative) == (18, 0.75)
    assert "[" in dates.negative_shown
    rows = {row.name: row for row in build(seesaw(), "cand00000001").flips}
    assert rows["date normalisation"].note == "no interval: samples are missing"  # it says 40 cases were paired, and there are 8
    assert rows["polite rewriting"].note == ""


def test_slices_and_what_was_asked_for_afterwards(view: ReportView) -> None:
    assert [(row.value, row.seesaw, row.n_shown) for row in view.slices] == [
        ("en", "up", "40"),
        ("zh", "down", "40"),
        ("fr", "", "4"),
    ]
    assert view.slices[2].note == "3 values of few cases each; undecided: 4 paired cases"
    assert view.slices[2].interval_shown == ""
    verdict = rich().verdicts["cand00000001"].verdict
    asked = build(rich(), "cand00000001", asked=verdict.slices)
    assert [row.seesaw for row in asked.slices] == ["", "", ""]
    assert "asked for after the run" in asked.slices_note


def test_checkpoints_up_to_this_run(view: ReportView) -> None:
    past = view.history
    assert past is not None
    assert past.checkpoints == 9
    assert past.is_against
    assert past.sentence.startswith("1 of 1 pair moves against each other over 9 checkpoints")
    early = build(replace_verdict(rich(), "past00000003"), "past00000003")
    assert early.history is not None
    assert early.history.checkpoints == 4  # later runs do not change an earlier report
    assert "undecided: 4 checkpoints" in early.history.sentence
    assert build(seesaw(), "cand00000001").history is None


def replace_verdict(source, run_id: str):  # type: ignore[no-untyped-def]
    source.verdicts[run_id] = replace(source.verdicts["cand00000001"], verdict=Verdict(Outcome.SHIP, ()), baseline_run_id=None)
    source.stored[run_id] = source.stored["base00000001"]
    return source


def test_the_terminal_gets_three_lines_at_most(view: ReportView) -> None:
    text = terminal.render(view, width=80)
    assert "orders: 6 of 19 cases to mend" in text
    assert "Look at the slices that moved, in the report: orders [lang: en]" in text
    assert "moves against each other" in " ".join(text.split())
    bare = terminal.render(replace(view, diagnosis=(), slices=(), history=None), width=80)
    told = [line for line in text.splitlines() if line.lstrip().startswith("- ")]
    assert len(told) - len([line for line in bare.splitlines() if line.lstrip().startswith("- ")]) == 3
    assert max(map(len, text.splitlines())) <= 80


def test_every_format_tells_it(view: ReportView) -> None:
    page = html.render(view)
    for name in ("diagnosis", "slices", "history"):
        assert f'<section id="{name}">' in page
    assert page.count('class="trail"') == 4  # two cells, two drawings
    told = markdown.render(view)
    assert "**Why cases fail:**" in told
    assert "| orders, lang: zh | 40 |" in told
    found = json.loads(json_report.render(view))
    assert found["diagnosis"][0] | {"cases": 25, "format": 6, "kind": "format", "k": 3} == found["diagnosis"][0]
    assert found["slices"][1]["seesaw"] == "down"
    assert found["history"]["checkpoints"] == 9
    assert len(found["history"]["scores"]["orders"]) == 9
    assert found["flips"][1]["negative_flip_rate"] == 0.75
    junit.render(view)


@pytest.mark.parametrize("attack", [*ATTACKS, "W" * 5000, "None", "[]", "{'a': 1}"])
def test_hostile_names_fields_and_values_stay_text(attack: str) -> None:
    view = build(rich(attack), "cand00000001")
    assert_harmless(html.render(view))
    json.loads(json_report.render(view))
    junit.render(view)
    markdown.render(view)
    for row in view.slices:
        assert len(row.value) <= 100
        assert row.value == label(row.value, 100)
    assert "\x1b" not in terminal.render(view, width=80)
