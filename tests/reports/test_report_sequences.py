"""The path of a sequential run's evidence in the report: from the stored scores alone, and only where the gate is sequential."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import replace

from support.reports_fake import Decided, FakeSource, poisoned, seesaw

from harness.model import Case, Item, ItemStatus
from reports import html, json_report, markdown, terminal
from reports.view import build


def sequential(source: FakeSource) -> FakeSource:
    decided = source.verdicts["cand00000001"]
    verdict = replace(decided.verdict, gate=replace(decided.verdict.gate, sequential=True))
    source.verdicts["cand00000001"] = Decided(verdict, decided.baseline_run_id)
    return source


def test_each_capability_has_its_path_and_its_sentence() -> None:
    view = build(sequential(seesaw()), "cand00000001")
    by_name = {row.name: row for row in view.evidence}
    assert list(by_name) == ["order to JSON", "date normalisation", "中文改写", "polite rewriting"]
    broke = by_name["date normalisation"]
    assert (broke.n, broke.tone) == (8, "bad")
    assert broke.decided_at is not None
    assert dict(broke.below)[broke.decided_at] >= broke.limit > dict(broke.below)[broke.decided_at - 1]
    assert broke.limit == -math.log10(0.05)
    assert broke.sentence.startswith(f"decided after {broke.decided_at} of 40 cases")
    assert "worse by more than 5.0" in broke.sentence
    assert "the gain is shown" in by_name["order to JSON"].sentence
    assert by_name["polite rewriting"].sentence == "undecided after all 21 cases"


def test_drawn_in_the_page_and_told_on_the_terminal() -> None:
    view = build(sequential(seesaw()), "cand00000001")
    page, out = html.render(view), io.StringIO()
    assert page.count('<svg class="evidence"') == 4
    assert '<section id="evidence">' in page
    coordinates = [float(x) for points in re.findall(r'points="([^"]+)"', page) for x in re.split("[ ,]", points)]
    assert coordinates
    assert all(0.0 <= x <= 300.0 for x in coordinates)
    terminal.show(view, file=out)
    assert re.search(r"date normalisation: decided after \d of 40 cases", out.getvalue())


def test_told_in_json_and_markdown_as_well() -> None:
    view = build(sequential(seesaw()), "cand00000001")
    rows = {row["capability"]: row for row in json_report.as_dict(view)["evidence"]}
    assert list(rows) == [row.name for row in view.evidence]
    broke, shown = rows["date normalisation"], next(row for row in view.evidence if row.name == "date normalisation")
    assert (broke["n"], broke["decided_at"], broke["limit"]) == (shown.n, shown.decided_at, -math.log10(0.05))
    against = dict(map(tuple, broke["against"]))
    assert against[broke["decided_at"]] >= broke["limit"] > against[broke["decided_at"] - 1]
    assert broke["for"][0] == [0, 0.0]
    assert "null" not in json.dumps(broke)
    text = markdown.render(view)
    (line,) = [line for line in text.split("\n") if line.startswith("| date normalisation | ") and "decided after" in line]
    up, down = line.split(" | ")[1].split("<br>")
    assert len(up) == len(down) == 10
    assert down.endswith("\u2588")
    assert up == "\u2581" * 10
    assert "wrong with a chance of at most 5%" in text


def test_a_gate_of_fixed_n_has_no_evidence_in_any_format() -> None:
    view = build(seesaw(), "cand00000001")
    assert json_report.as_dict(view)["evidence"] == []
    assert "| Evidence |" not in markdown.render(view)


def test_what_was_skipped_in_turn_ends_the_path() -> None:
    """From the first case in the random order that one run was not asked, nothing counts, answered or not."""
    from harness.comparison import turn

    source = sequential(seesaw())
    first = min(
        (i.case for i in source.stored["cand00000001"] if i.case.capability == "date normalisation"), key=lambda c: turn(c.id)
    )

    def skip(item: Item) -> Item:
        hit = item.case.id == first.id
        return replace(item, status=ItemStatus.SKIPPED, reason="decided", response=None, score=None) if hit else item

    source.stored["cand00000001"] = [skip(item) for item in source.stored["cand00000001"]]
    row = next(row for row in build(source, "cand00000001").evidence if row.name == "date normalisation")
    assert (row.n, row.decided_at, row.above) == (0, None, ((0, 0.0),))
    assert isinstance(first, Case)


def test_a_gate_of_fixed_n_has_none() -> None:
    view = build(seesaw(), "cand00000001")
    assert view.evidence == ()
    assert "evidence" not in re.findall(r'<section id="(\w+)">', html.render(view))


def test_hostile_names_stay_text() -> None:
    source = sequential(poisoned('"><script>alert(1)</script>'))
    alone = {run: [replace(i, case=replace(i.case, cluster=None)) for i in items] for run, items in source.stored.items()}
    source.stored = alone  # a sequential gate has no clusters
    page = html.render(build(source, "cand00000001"))
    assert page.count('<svg class="evidence"') == 4
    assert page.count("<script>") == 1  # our own
