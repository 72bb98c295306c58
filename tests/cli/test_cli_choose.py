"""`harness choose` against a scripted server: every combination once, what is stored never again, exit codes, page and JSON."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import gates, juries
from support.scripted_server import Body, Fault, ScriptedServer
from support.suites import write_rows, write_suite

from harness.cli import call as harness
from harness.cli.layout import columns_of
from harness.store import Store

N = 50


def answer(body: Body) -> str:
    """`base` is right where the prompt says so or two examples are shown; `sft` always, but it has unlearned the sums."""
    texts = [message["content"] for message in body["messages"]]
    number = int(re.findall(r"\d+", texts[-1])[0])
    knows = body["model"] == "sft" or "ISO" in texts[0] or len(texts) >= 5
    if "date" in texts[-1]:
        return f"r{number}" if knows or number % 5 == 0 else "wrong"
    return "wrong" if body["model"] == "sft" and number % 3 else f"r{number}"


MATRIX: dict[str, Any] = {
    "prompts": {"iso": {"system": "ISO please", "capabilities": ["date"]}, "kind": {"system": "Be kind"}},
    "few_shot": [0, 2],
    "pool": {"date": [{"input": f"date {n}", "output": f"r{n}"} for n in range(1000, 1005)]},
    "goal": 0.8,
}


GONE = {"base": {"endpoint": "http://127.0.0.1:9/v1", "model": "base"}}


class Place:
    def __init__(self, folder: Path, url: str, **changes: Any) -> None:
        self.folder, self.store = folder, folder / "store"
        for name in ("date", "sum"):
            found = [{"input": f"{name} {i}", "reference": f"r{i}", "split": "dev" if i < N else "gate"} for i in range(2 * N)]
            write_rows(folder / f"{name}.jsonl", found)
        suite = {
            "suite": "prompts",
            "baseline": "base",
            "candidates": {name: {"endpoint": url, "model": name} for name in ("base", "sft")},
            "generation": {"concurrency": 8, "retries": 0},
            "capabilities": {
                "date": {"role": "target", "cases": "date.jsonl", "checks": ["equals"]},
                "sum": {"role": "protected", "margin": 0.1, "cases": "sum.jsonl", "checks": ["equals"]},
            },
            "matrix": MATRIX | {"tuned": ["sft"]},
        }
        self.suite = write_suite(folder, suite | changes)

    def __call__(self, *arguments: str) -> int:
        return harness(["choose", str(self.suite), *arguments, "--store", str(self.store)])


def serving(**options: Any) -> ScriptedServer:
    return ScriptedServer(answer=answer, models=("base", "sft"), **options)


@dataclass(frozen=True)
class Full:
    """The whole matrix, asked twice."""

    place: Place
    codes: tuple[int, int]
    asked: int
    asked_again: int
    inputs: set[str]
    out: str
    page: Path
    found: dict[str, Any]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Full:
    folder, out = tmp_path_factory.mktemp("matrix"), io.StringIO()
    page, data = folder / "page.html", folder / "out.json"
    with serving() as server, contextlib.redirect_stdout(out):
        place = Place(folder, server.url)
        first = place("--report", str(page), "--json", str(data))
        asked, said = len(server.requests), out.getvalue()
        second = place()
        inputs = {request.body["messages"][-1]["content"] for request in server.requests}
        return Full(place, (first, second), asked, len(server.requests) - asked, inputs, said, page, json.loads(data.read_text()))


def test_every_combination_is_asked_once(full: Full) -> None:
    """Dates are asked in six ways, sums in two (examples and `iso` are not for them), of two candidates."""
    assert full.codes == (0, 0)
    assert full.asked == 2 * (6 + 2) * N
    assert full.asked_again == 0


def test_the_terminal_tells_the_answer(full: Full) -> None:
    assert full.out.startswith("A PROMPT REACHES IT: base with ")
    assert all(len(line) <= 80 for line in full.out.split("\n") if not line.startswith("report: "))
    assert "Tuning reaches it, too" in full.out
    assert full.out.count("\n* base: ") == 1


def test_the_json_has_every_number(full: Full) -> None:
    found = full.found
    assert (found["schema_version"], found["answer"], found["exit_code"], found["split"]) == (1, "prompt", 0, "dev")
    by_name = {row["name"]: row for row in found["combinations"]}
    ways = ("", "+2-shot", "+iso", "+iso+2-shot", "+kind", "+kind+2-shot")
    assert list(by_name) == [candidate + way for candidate in ("base", "sft") for way in ways]
    (score,) = by_name["base+iso"]["targets"]
    assert (score["mean"], score["n"], score["reach"], score["may_be_best"]) == (1.0, N, "reaches", True)
    assert score["gain"]["low"] > 0.4
    assert by_name["base"]["targets"][0]["gain"] is None
    assert [row["state"] for row in by_name["sft"]["protected"]] == ["lost"]
    assert [row["state"] for row in by_name["base+iso"]["protected"]] == ["kept"]
    assert by_name["base"]["targets"][0]["reach"] == "falls short"
    assert by_name["base"]["ledger"]["planned"] == 2 * N
    page = full.page.read_text()
    assert "A prompt reaches it" in page
    assert by_name["base"]["run"] in page


def test_the_gate_stays_blind_and_runs_are_partial(full: Full) -> None:
    assert {int(text.split()[1]) < N for text in full.inputs} == {True}
    with Store.open(full.place.store, create=False) as store:
        runs = store.runs("prompts")
        assert {run.status for run in runs} == {"partial"}
        assert len(runs) == 12
        assert all(run.ledger.closed and run.ledger.planned == 2 * N for run in runs)


def test_failed_requests_are_asked_again_and_nothing_else_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = {"candidates": ["base"], "prompts": {"iso": {"system": "ISO please"}}, "goal": 0.8}
    with serving(faults=[None] * 30 + [Fault.status(500)] * 20) as server:
        place = Place(tmp_path, server.url, matrix=few)
        assert place() == 4
        assert "CANNOT BE JUDGED" in capsys.readouterr().out
        assert len(server.requests) == 4 * N
        assert place() == 0
        assert len(server.requests) == 4 * N + 20


def test_exit_codes_of_the_other_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = {"candidates": ["base"], "prompts": {"kind": {"system": "Be kind"}}, "goal": 0.8}
    with serving() as server:
        assert Place(tmp_path, server.url, matrix=plain)() == 1
        assert "TUNING IS NEEDED: No combination without tuning reaches the goal" in capsys.readouterr().out
        assert Place(tmp_path, server.url, matrix=plain | {"goal": 0.25})() == 2
        assert "NOT DECIDED: Neither is shown. Nearest: base" in capsys.readouterr().out


def test_a_limit_and_the_gate_split_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        place = Place(tmp_path, server.url, matrix={"candidates": ["base"], "prompts": {"kind": {"system": "K"}}, "goal": 0.8})
        place("--limit", "15", "--split", "gate")
        out = " ".join(capsys.readouterr().out.split())
        assert "A look at 15 cases of each capability at most" in out
        assert "which is no longer a blind test of it" in out
        assert "15 cases:" in out


@pytest.mark.parametrize(
    ("changes", "arguments", "says"),
    [
        ({"matrix": None}, (), "the suite has no matrix"),
        ({}, ("--report", "/dev/null/page.html"), "cannot write the report"),
        ({"candidates": GONE, "matrix": {"prompts": {"kind": {"system": "K"}}, "goal": 1}}, (), "127.0.0.1:9"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], arguments: tuple[str, ...], says: str
) -> None:
    with serving() as server:
        place = Place(tmp_path, server.url, **changes)
        assert place(*arguments) in (3, 4)
    error = capsys.readouterr().err
    assert says in error
    assert "Traceback" not in error


def test_a_target_without_dev_cases_is_found_before_anything_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        place = Place(tmp_path, server.url)
        rows = [{"input": f"date {i}", "reference": f"r{i}"} for i in range(N)]
        write_rows(tmp_path / "date.jsonl", rows)
        assert place() == 3
        assert "the target 'date' has no case in the dev split" in capsys.readouterr().err
        assert server.requests == []


def test_two_names_of_one_model_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        both = {name: {"endpoint": server.url, "model": "base"} for name in ("base", "again")}
        assert Place(tmp_path, server.url, candidates=both, matrix={"goal": 0.8, "tuned": []})() == 3
        assert "are the same model with the same prompt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("role", "trust", "state"), [("target", "false", ""), ("protected", "false", "open"), ("protected", "true", "kept")]
)
def test_a_judge_nobody_held_against_people_is_named_and_shows_no_safety(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], role: str, trust: str, state: str
) -> None:
    matrix = "matrix: {prompts: {nice: {system: Be nice}}, goal: 0.3, candidates: [base]}\n"
    data = tmp_path / "out.json"
    with juries.scripted() as server:
        suite = juries.write_jury(tmp_path, server.url, role=role, extra=matrix, gate=f"{{trust_uncalibrated: {trust}}}")
        if role == "protected":
            suite.write_text(suite.read_text().replace("sums: {role: protected", "sums: {role: target"))
        assert gates.harness(tmp_path, "choose", suite, "--split", "gate", "--json", data) == 0
    assert "Judge uncalibrated: every number of tone is the word of polite." in " ".join(capsys.readouterr().out.split())
    found = json.loads(data.read_text())
    assert found["uncalibrated"] == {"tone": ["polite"]}
    if state:
        (row,) = [row for row in found["combinations"] if row["name"] == "base+nice"]
        assert [p["state"] for p in row["protected"] if p["capability"] == "tone"] == [state]


PAIRWISE = "kind: pairwise, rubric: pairwise-preference"


def test_pairwise_judges_compare_every_combination_with_the_baseline_as_it_is(tmp_path: Path) -> None:
    """The baseline is rude to every other guest unless it is told to be nice; then it wins where it was, and ties elsewhere."""

    def reply(body: Body) -> Any:
        told = body["messages"][0]["content"] == "Be nice"
        return juries.answer(body | {"model": "good"} if told and body["model"] == "bad" else body)

    matrix = "matrix: {prompts: {nice: {system: Be nice}}, goal: 0.6, candidates: [good, bad], tuned: [good]}\n"
    data = tmp_path / "out.json"
    with ScriptedServer(answer=reply, models=juries.MODELS) as server:
        suite = juries.write_jury(tmp_path, server.url, judge=PAIRWISE, role="target", extra=matrix)
        suite.write_text(suite.read_text().replace("baseline: base", "baseline: bad"))
        assert gates.harness(tmp_path, "choose", suite, "--split", "gate", "--json", data) == 0
        asked = server.count
        assert gates.harness(tmp_path, "choose", suite, "--split", "gate", "--json", data) == 0
        assert server.count == asked
    found = json.loads(data.read_text())
    means = {row["name"]: row["targets"][0]["mean"] for row in found["combinations"]}
    assert means == {"bad": 0.5, "bad+nice": 0.75, "good": 0.75, "good+nice": 0.75}
    assert [row["name"] for row in found["combinations"]] == ["good", "good+nice", "bad", "bad+nice"], "in the matrix's order"
    assert found["best"] == "bad+nice"
    assert found["reference"] == "bad"


@pytest.mark.parametrize(
    ("baseline", "todo"),
    [
        ("baseline: base\n", "add 'base' to them"),
        ("", "set baseline to one of good, bad"),
        ("baseline: promoted\n", "set baseline"),
    ],
)
def test_a_pairwise_judge_needs_the_baseline_among_what_is_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], baseline: str, todo: str
) -> None:
    matrix = "matrix: {prompts: {nice: {system: Be nice}}, goal: 0.6, candidates: [good, bad], tuned: [bad]}\n"
    suite = juries.write_jury(tmp_path, "http://127.0.0.1:9/v1", judge=PAIRWISE, role="target", extra=matrix)
    suite.write_text(suite.read_text().replace("baseline: base\n", baseline))
    assert gates.harness(tmp_path, "choose", suite) == 3
    told = capsys.readouterr().err
    assert "the pairwise judge 'polite' of 'tone' compares with the baseline, which the matrix does not try" in told
    assert todo in told


def test_wide_names_fit_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = {"candidates": ["base"], "prompts": {"iso" + "x" * 40: {"system": "ISO please"}}, "goal": 0.8}
    with serving() as server:
        place = Place(tmp_path, server.url, matrix=few)
        suite = json.loads(place.suite.read_text())
        suite["capabilities"]["日期" * 12] = suite["capabilities"].pop("date")
        suite["capabilities"]["保护" * 12] = suite["capabilities"].pop("sum")
        place.suite.write_text(json.dumps(suite, ensure_ascii=False))
        assert place() == 0
    lines = capsys.readouterr().out.split("\n")
    assert max(columns_of(line) for line in lines if not line.startswith("report: ")) <= 80
    assert any("日期" in line for line in lines)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_the_page_in_a_browser(full: Full) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install playwright")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--no-first-run"])
        told: list[str] = []
        for width in (1280, 400):
            tab = browser.new_page(viewport={"width": width, "height": 900})
            tab.on("console", lambda message: told.append(message.text))
            tab.on("requestfailed", lambda request: told.append(request.url))
            tab.goto(full.page.as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.locator("table.combinations tbody tr").count() == 12
            assert tab.locator("svg.forest").first.bounding_box()["height"] >= 20
            assert tab.get_by_text("take this").count() == 1
        browser.close()
    assert told == []
