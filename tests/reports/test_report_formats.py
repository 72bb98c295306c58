"""Terminal, markdown, JUnit and JSON say the same as the page, each in its own form."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.cells import cell_len
from support.reports_fake import Decided, FakeSource, poisoned, seesaw

from harness.model import Outcome
from reports import json_report, junit, markdown, terminal
from reports.nouns import ReportView
from reports.view import build


@pytest.fixture(scope="module")
def view() -> ReportView:
    return build(seesaw(), "cand00000001")


def judged(outcome: Outcome, *, infrastructure: bool = False) -> FakeSource:
    source = seesaw()
    verdict = replace(source.verdicts["cand00000001"].verdict, outcome=outcome, infrastructure=infrastructure)
    source.verdicts["cand00000001"] = Decided(verdict, "base00000001")
    return source


def test_the_terminal_summary_fits_eighty_columns_without_losing_a_figure(view: ReportView) -> None:
    path = "/a/very/long/path" * 8 + "/report.html"
    lines = terminal.render(view, path=path).split("\n")
    assert [line for line in lines if cell_len(line) > 80] == [f"Report: {path}"]
    assert lines[0] == "✕ OPTIMIZE  sft-orders against pocket-base on quickstart"
    text = " ".join("\n".join(lines).split())
    assert "date normalisation protected 95.0% 64.0% −31.0 [−43.0, −19.0] ▼ harmed" in text
    assert "46 planned = 44 scored + 1 unscored (1 truncated) + 1 errored (1 timeout) + 0 skipped" in text


@pytest.mark.parametrize("width", [80, 120])
def test_long_names_give_way_to_figures(width: int) -> None:
    text = terminal.render(build(poisoned("很长的名字 and a very long name " * 5), "cand00000001"), width=width)
    assert max(map(cell_len, text.split("\n"))) <= width
    row = next(line for line in text.split("\n") if line.startswith("date norm") and "95.0%" in line)
    assert "…" in row
    assert " protected  95.0%  64.0%  −31.0 [−43.0, −19.0]  ▼ harmed" in row


def test_colours_only_on_a_terminal(view: ReportView) -> None:
    assert "\x1b[" in terminal.render(view, color=True)
    assert "\x1b" not in terminal.render(view)
    out = io.StringIO()
    terminal.show(view, file=out)
    assert "\x1b" not in out.getvalue()


def test_a_stream_that_knows_only_ascii_gets_plain_letters(view: ReportView) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    terminal.show(view, file=stream)
    assert "x OPTIMIZE" in raw.getvalue().decode("ascii")
    assert "-31.0 [-43.0, -19.0] v harmed" in " ".join(raw.getvalue().decode("ascii").split())


def test_the_other_reports_do_not_load_rich(root: Path) -> None:
    code = "import sys\nfrom reports import html, json_report, junit, markdown, view\nprint('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "False"


def test_junit_maps_what_happened_to_failure_error_and_skipped(view: ReportView) -> None:
    root = ET.fromstring(junit.render(view).encode())
    kinds = {}
    for case in root.iter("testcase"):
        kinds.setdefault(case[0].tag if len(case) else "passed", []).append(
            (case.get("classname"), case[0].get("message") if len(case) else "")
        )
    assert len([k for k in kinds["failure"] if k[0] == "quickstart.date normalisation"]) == 8
    assert ("quickstart.中文改写", "passed at the baseline, fails now") in kinds["failure"]
    assert kinds["failure"][0][0] == "quickstart.verdict"
    assert kinds["error"] == [("quickstart.order to JSON", "errored: timeout"), ("quickstart.中文改写", "unscored: truncated")]
    assert kinds["skipped"] == [("quickstart.polite rewriting", "fails in both runs: no regression")]
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("47", "10", "2", "1")
    assert sum(int(suite.get("tests", "0")) for suite in root) == 47


@pytest.mark.parametrize(
    ("outcome", "infrastructure", "tag"),
    [
        (Outcome.SHIP, False, None),
        (Outcome.OPTIMIZE, False, "failure"),
        (Outcome.INCONCLUSIVE, False, "skipped"),
        (Outcome.INCONCLUSIVE, True, "error"),
    ],
)
def test_the_verdict_is_a_test_of_its_own(outcome: Outcome, infrastructure: bool, tag: str | None) -> None:
    root = ET.fromstring(junit.render(build(judged(outcome, infrastructure=infrastructure), "cand00000001")).encode())
    case = root.find(".//testcase[@name='verdict']")
    assert case is not None
    assert [child.tag for child in case] == ([tag] if tag else [])


def test_a_must_pass_case_that_fails_in_both_runs_is_a_failure() -> None:
    source = seesaw()
    for items in source.stored.values():
        items[:] = [replace(i, case=replace(i.case, must_pass=True)) for i in items]
    root = ET.fromstring(junit.render(build(source, "cand00000001")).encode())
    assert "fails (must pass)" in [failure.get("message") for failure in root.iter("failure")]


def test_json_has_exact_numbers_and_a_version(view: ReportView) -> None:
    data = json.loads(json_report.render(view))
    assert data["schema_version"] == 1
    assert data["outcome"] == "OPTIMIZE"
    row = next(c for c in data["capabilities"] if c["name"] == "date normalisation")
    assert (row["delta"], row["low"], row["high"], row["margin"]) == (-0.31, -0.31 - 0.12, -0.31 + 0.12, 0.05)
    assert row["claims"] == ["harmed", "regressed"]
    assert data["ledgers"][1] == {
        "who": "candidate",
        "run_id": "cand00000001",
        "planned": 46,
        "scored": 44,
        "unscored": {"truncated": 1},
        "errored": {"timeout": 1},
        "skipped": {},
        "closed": True,
    }
    assert data["serving"]["ttft_p95_s"] == {"candidate": 0.055, "baseline": None}
    assert len(data["cases"]) == 46
    assert "sk-never-print-me" not in json_report.render(view)


def test_markdown_has_a_table_row_for_every_capability(view: ReportView) -> None:
    text = markdown.render(view)
    assert text.startswith("## ❌ OPTIMIZE: sft-orders against pocket-base\n")
    row = next(line for line in text.split("\n") if line.startswith("| date normalisation"))
    assert row.startswith("| date normalisation | protected | 95.0% | 64.0% | −31.0 \\[−43.0, −19.0\\] | 5.0 |")
    assert row.endswith("| ▼ harmed: worse by more than 5.0 | 40 | 0 |")
    assert "```text\n2024-01-03\n```" in text


def test_every_format_is_the_same_twice(view: ReportView) -> None:
    again = build(seesaw(), "cand00000001")
    for renderer in (terminal, markdown, junit, json_report):
        assert renderer.render(again) == renderer.render(view)


def test_ship_says_what_the_promise_is_worth_and_what_to_do() -> None:
    view = build(judged(Outcome.SHIP), "cand00000001")
    assert "on any of 2 protected capabilities is at most 5%" in view.lead
    assert view.next_steps == ("Ship it. `harness promote cand00000001` makes it the baseline of the next comparison.",)
