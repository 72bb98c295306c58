"""The HTML report: what it must hold, that the same store gives the same bytes, and that nothing in it reaches out."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from support.reports_fake import Decided, seesaw

from harness.errors import UsageError
from harness.model import Outcome, Verdict
from reports import html
from reports.nouns import ReportView, State
from reports.view import build


@pytest.fixture(scope="module")
def view() -> ReportView:
    return build(seesaw(), "cand00000001")


@pytest.fixture(scope="module")
def page(view: ReportView) -> str:
    return html.render(view)


def test_the_verdict_and_its_reasons_come_first_most_blocking_on_top(view: ReportView, page: str) -> None:
    assert [r.blocks for r in view.reasons] == ["OPTIMIZE", "INCONCLUSIVE", ""]
    assert page.index("OPTIMIZE</h1>") < page.index("date normalisation (protected) is worse") < page.index("<h2>Capabilities")
    assert "mix examples of the damaged capabilities" in page


def test_every_capability_has_a_row_with_its_interval_drawn(view: ReportView, page: str) -> None:
    assert page.count('<svg class="forest"') == len(view.capabilities) == 4
    assert "date normalisation: −31.0 [−43.0, −19.0], margin 5.0, harmed: worse by more than 5.0" in page
    assert "▼</span> harmed: worse by more than 5.0" in page
    assert "▲</span> improved" in page
    assert "about 310 cases would decide it (80% power), it has 21" in page


def test_the_seesaw_is_named_and_sorted(view: ReportView, page: str) -> None:
    assert view.seesaw is not None
    assert view.seesaw.shown
    assert [row.name for row in view.seesaw.rows] == ["order to JSON", "中文改写", "polite rewriting", "date normalisation"]
    assert "Seesaw: order to JSON (+62.0) went up while date normalisation (−31.0) went down." in page


def test_broken_capabilities_come_before_fixed_ones_and_differences_are_marked(view: ReportView, page: str) -> None:
    assert [g.capability for g in view.groups] == ["date normalisation", "中文改写", "order to JSON", "polite rewriting"]
    first = view.groups[0].cases[0]
    assert first.state is State.BROKEN
    assert first.reference is not None
    assert first.reference.text == "2024-03-01"
    assert "<del>-01</del>" in page
    assert "<ins>01-</ins>" in page
    assert "<ins>地</ins>" in page  # one sign, not the sentence: Chinese is compared sign by sign


def test_the_ledger_adds_up_in_print(page: str) -> None:
    assert "46 planned = 44 scored + 1 unscored (1 truncated) + 1 errored (1 timeout) + 0 skipped" in page
    assert "no answer in 60 s" in page


def test_secrets_in_settings_never_reach_the_report(view: ReportView, page: str) -> None:
    assert "sk-never-print-me" not in page
    assert "(hidden)" in page
    assert {f.key for f in view.provenance} >= {
        "suite_hash",
        "digest",
        "started",
        "versions.vllm",
        "command",
        "seed",
        "plan.samples",
    }


def test_dates_are_utc(page: str) -> None:
    assert "2026-09-21 14:13:20 UTC" in page


def test_the_same_store_gives_the_same_bytes() -> None:
    backwards = seesaw()
    for items in backwards.stored.values():
        items.reverse()  # a store may give rows in any order
    backwards.records = dict(reversed(backwards.records.items()))
    assert html.render(build(backwards, "cand00000001")) == html.render(build(seesaw(), "cand00000001"))


def test_nothing_points_outside(page: str) -> None:
    assert not re.search(r"""(?:href|src|action|srcset|poster|data)\s*=\s*["']?\s*(?:https?:|//|ftp:|javascript:)""", page, re.I)
    assert not re.search(r"@import|url\(|<link(?! rel=\"icon\" href=\"data:,\")|<iframe|<object|<form|<base", page, re.I)
    assert "default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-" in page


def test_sections_are_files_in_order_and_each_is_in_the_navigation(page: str) -> None:
    names = [name[3:].removesuffix(".html.j2") for name in html.section_names()]
    assert names[:4] == ["verdict", "waivers", "capabilities", "power"]
    # what renders to nothing is left out
    for empty in ("evidence", "waivers", "slices", "history", "training", "people", "judges"):
        names.remove(empty)
    assert re.findall(r'<a href="#(\w+)">', page) == names == re.findall(r'<section id="(\w+)">', page)


def test_a_run_alone_shows_scores_and_failing_cases_without_a_verdict() -> None:
    source = seesaw()
    source.verdicts.clear()
    view = build(source, "cand00000001")
    page = html.render(view)
    assert view.outcome is None
    assert view.headline == "NO VERDICT"
    assert view.seesaw is None
    assert not view.baseline_id
    assert {r.name: r.candidate_shown for r in view.capabilities}["order to JSON"] == "100.0%"
    assert view.groups[0].totals == ((State.FAILED, 8),)
    assert "<svg" not in page
    assert "Cases that fail" in page


def test_a_first_run_with_nothing_to_compare_with_shows_its_own_scores() -> None:
    source = seesaw()
    verdict = source.verdicts["cand00000001"].verdict
    rows = tuple(replace(c, paired=None, baseline_mean=None, n_paired=0, broken=(), fixed=()) for c in verdict.comparisons)
    verdict = replace(verdict, outcome=Outcome.INCONCLUSIVE, comparisons=rows, seesaws=())
    source.verdicts["cand00000001"] = Decided(verdict, None)
    view = build(source, "cand00000001")
    page = html.render(view)
    assert view.outcome is Outcome.INCONCLUSIVE
    assert "14</td>" in page  # cases scored, not cases paired
    assert "<code>harness promote cand00000001</code>" in page
    assert "two one-sided" not in page


def test_a_running_and_a_partial_run_say_so() -> None:
    source = seesaw()
    source.records["cand00000001"] = replace(source.records["cand00000001"], status="partial", plan={"limit": 20})
    assert "This run is partial: a limit or filter was set (plan: limit 20)." in html.render(build(source, "cand00000001"))
    source.verdicts.clear()
    source.records["cand00000001"] = replace(source.records["cand00000001"], status="running", finished_at=None)
    assert build(source, "cand00000001").headline == "STILL RUNNING"


def test_no_cases_at_all_is_a_page_not_a_crash() -> None:
    source = seesaw()
    source.stored = {key: [] for key in source.stored}
    source.verdicts["cand00000001"] = replace(source.verdicts["cand00000001"], verdict=Verdict(Outcome.INCONCLUSIVE, ()))
    page = html.render(build(source, "cand00000001"))
    assert "No case was planned" in page
    assert "0 planned = 0 scored" in page


def test_a_comparison_that_is_not_stored_is_refused() -> None:
    with pytest.raises(UsageError, match="no stored verdict against run cand00000001"):
        build(seesaw(), "cand00000001", "cand00000001")
    assert build(seesaw(), "cand00000001", "base00000001").baseline_id == "base00000001"
