"""Slices from suite to report: `gate.slices`, `harness report --slice`, explain, and several samples in the diagnosis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.gates import MODELS, harness
from support.scripted_server import Body, ScriptedServer

HOSTILE = "</td><script>alert(1)</script>"


def answer(body: Body) -> str:
    """tuned: gains on even numbers (en) what it loses on odd ones (zh)."""
    text, model = str(body["messages"][-1]["content"]), body["model"]
    n = int(text.split()[-1])
    if model == "bad":
        return str(n) if n % 2 == 0 or n >= 40 else "0"
    return str(n) if n % 2 == 1 or n >= 40 else f"The number is {n}." if n % 4 == 0 else "0"


def write(folder: Path, url: str, gate: str = "{slices: [lang]}") -> Path:
    rows = [
        {
            "input": f"say {n}",
            "reference": str(n),
            "metadata": {
                "lang": "en" if n % 2 == 0 else "zh",
                "tags": [HOSTILE, str(n % 5)] if n % 3 else None,
                "deep": {"x": n},
            },
        }
        for n in range(120)
    ]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    candidates = ", ".join(f"{name}: {{endpoint: '{url}', model: {name}}}" for name in ("base", "bad"))
    path = folder / "suite.yaml"
    path.write_text(
        f"suite: sliced\nbaseline: base\ncandidates: {{{candidates}}}\ngate: {gate}\n"
        "capabilities:\n  say: {role: protected, margin: 0.1, cases: cases.jsonl, checks: [equals]}\n"
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("sliced")
    with ScriptedServer(answer=answer, models=MODELS) as server:
        harness(folder, "run", write(folder, server.url), "--json", folder / "report.json")
    return folder


def test_a_seesaw_between_languages_that_the_average_hides(folder: Path) -> None:
    found = json.loads((folder / "report.json").read_text())
    (capability,) = found["capabilities"]
    assert capability["delta"] == pytest.approx(0.0)
    slices = {one["value"]: one for one in found["slices"]}
    assert {value: (one["n"], one["seesaw"]) for value, one in slices.items()} == {"en": (60, "up"), "zh": (60, "down")}
    assert slices["en"]["delta"] == pytest.approx(20 / 60)
    assert (found["seesaw"]["up"], found["seesaw"]["down"]) == (["say [lang: en]"], ["say [lang: zh]"])
    assert [r["blocks"] for r in found["reasons"] if r["code"] == "seesaw"] == [None]
    (flips,) = found["flips"]
    assert (flips["fixed"], flips["broken"]) == (20, 20)
    assert flips["negative_flip_rate"] == pytest.approx(20 / 120)


def test_the_diagnosis_of_the_baseline_knows_a_format_failure(folder: Path, capsys: Any) -> None:
    assert harness(folder, "runs") == 0
    base = next(line.split()[0] for line in capsys.readouterr().out.splitlines() if " base " in line)
    assert harness(folder, "report", base, "-o", folder / "base.json") == 0
    (row,) = json.loads((folder / "base.json").read_text())["diagnosis"]
    assert (row["format"], row["always"]) == (10, 10)  # "The number is 4." is right but for its form; "0" is wrong
    assert row["kind"] == "format"


def test_explain_makes_the_same_slices_again(folder: Path, capsys: Any) -> None:
    assert harness(folder, "explain", "latest") == 0
    assert "the same verdict as was stored" in capsys.readouterr().out


def test_slices_that_are_asked_for_afterwards(folder: Path, capsys: Any) -> None:
    page, table = folder / "tags.html", folder / "tags.json"
    assert harness(folder, "report", "latest", "--slice", "tags", "--slice", "deep.x", "-o", page, "-o", table) == 0
    found = json.loads(table.read_text())["slices"]
    tags = {one["value"]: one["n"] for one in found if one["field"] == "tags"}
    assert tags == {HOSTILE: 80, "(none)": 40, "0": 16, "1": 16, "2": 16, "3": 16, "4": 16}
    assert [(one["value"], one["low"]) for one in found if one["field"] == "deep.x"] == [("120 rare values", None)]
    assert {one["seesaw"] for one in found} == {None}
    assert "<script>alert" not in page.read_text()
    assert harness(folder, "report", "latest", "--slice", "lnag") == 3
    assert "There are: deep, deep.x, lang, tags" in capsys.readouterr().err


def test_a_forbidden_seesaw_counts_slices(tmp_path: Path) -> None:
    with ScriptedServer(answer=answer, models=MODELS) as server:
        allowed = harness(tmp_path, "run", write(tmp_path, server.url), "-c", "bad")
        forbidden = harness(tmp_path, "run", write(tmp_path, server.url, "{slices: [lang], seesaw: forbid}"), "-c", "bad")
    assert (allowed, forbidden) == (0, 1)


def test_score_files_have_no_slices(tmp_path: Path, capsys: Any) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"case_id": "1", "capability": "x", "score": 1}\n')
    (tmp_path / "gate.yaml").write_text("gate: {slices: [lang]}\n")
    assert harness(tmp_path, "compare", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--gate", tmp_path / "gate.yaml") == 3
    assert "gate.yaml:1: score files have no metadata" in capsys.readouterr().err
