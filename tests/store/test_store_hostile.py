"""Model output and names are data: no text breaks the store or means anything to it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.runs import CANDIDATE, make_record, make_request, make_requests, make_response, make_score

from harness.errors import StoreError, UsageError
from harness.store import Store
from harness.store.rows import clean

HOSTILE = [
    "'); DROP TABLE runs; --",
    '"; DELETE FROM items; SELECT "',
    "$run ? {} %s \\ \\u0000 \\n",
    "a\x00b\x00",
    "line\u2028para\u2029next\x85\r\n\x0b\x0c\x1c\x1e",
    "\ufeff\uffff\U0010ffff 😀 👩‍👩‍👧 ‮evil",
    '=HYPERLINK("http://x")',
    '{"t":"f","status":"complete"}\n{"t":"b"}',
    "",
]


def test_hostile_texts_are_data(tmp_path: Path) -> None:
    store = Store.open(tmp_path / 'it\'s a "store"; --')
    for number, text in enumerate(HOSTILE):
        run_id = f"run{number}"
        candidate = replace(CANDIDATE, name=text, digest=text)
        request = make_request(
            number, capability=text, cluster=text, candidate=candidate, vars={"input": text, text: text}, reference=text
        )
        response = make_response(request, text, thinking=text, finish_reason=text)
        with store.begin_run(make_record(run_id, suite_name=text, candidate=candidate), text, {text: text}, [request]) as writer:
            writer.add_response(request, response)
            writer.add_score(request, response, replace(make_score(), explanation=text), text)
            assert writer.done(text) == {(request.case.id, 0)}
            writer.finish("complete", {text: text})
        [item] = store.items(run_id, capability=text)
        assert (item.case, item.response, item.messages) == (request.case, response, request.messages)
        record = store.run(run_id, text)
        assert (record.suite_name, record.candidate, record.provenance) == (text, candidate, {text: text})
        store.promote(run_id)
        found = store.promoted(text)
        assert found is not None
        assert found.id == run_id
    assert len(store.runs()) == len(HOSTILE)
    with pytest.raises(UsageError, match="no run"):
        store.run("' OR 1=1 --")


def test_lone_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    request = make_request(1, vars={"input": "\udc80"})
    response = make_response(replace(request, messages=()), "x\ud800y\udfff", key="k")
    request_key_response = replace(response, key=request.key)
    with store.begin_run(make_record(suite_name="\ud83d"), "src \ud83d", {}, [request]) as writer:
        writer.add_response(request, request_key_response)
        writer.add_score(request, request_key_response, replace(make_score(), explanation="\ud800"), "v1")
        writer.finish("complete")
    [item] = store.items("run1")
    assert item.response is not None
    assert item.score is not None
    assert (item.response.text, item.case.vars["input"], item.score.explanation) == ("x\ufffdy\ufffd", "\ufffd", "\ufffd")
    assert store.run("run1").suite_name == "\ufffd"
    assert clean("plain é 😀") == "plain é 😀"


def test_ten_megabytes_come_back(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    small, big = make_requests(2)
    text = "é\x00😀 x" * 1_250_000
    with store.begin_run(make_record(), "", {}, [small, big]) as writer:
        writer.add_response(big, make_response(big, text))
        writer.add_response(small, make_response(small, "s"))
        writer.finish("complete")
    assert [
        item.response.text == expected for item, expected in zip(store.items("run1"), ("s", text), strict=True) if item.response
    ] == [
        True,
        True,
    ]


def export(tmp_path: Path, kind: str, form: str) -> Path:
    store = Store.open(tmp_path / "store")
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", 'plain "quoted", text\nnext', "ok"]
    requests = list(make_requests(len(texts) + 1, cluster="=c"))
    with store.begin_run(make_record(), "", {}, requests) as writer:
        for request, text in zip(requests, texts, strict=False):
            response = make_response(request, text)
            writer.add_response(request, response)
            writer.add_score(request, response, make_score(0.5), "v1")
        writer.finish("complete")
    path = tmp_path / f"it's; out.{form}"
    assert store.export("run1", kind, path, form) == len(texts) + 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, "store"]
    return path


def test_csv_is_safe_to_open_in_a_spreadsheet(tmp_path: Path) -> None:
    with export(tmp_path, "responses", "csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows[:7]] == ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", 'plain "quoted", text\nnext', "ok"]
    assert rows[7]["status"] == "skipped"


def test_scores_have_the_shape_that_compare_reads(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in export(tmp_path, "scores", "jsonl").read_text(encoding="utf-8").splitlines()]
    first = {key: rows[0][key] for key in ("case_id", "capability", "score", "cluster")}
    assert first == {"case_id": f"{0:016x}", "capability": "math", "score": 0.5, "cluster": "=c"}
    assert (rows[7]["score"], rows[7]["status"], rows[7]["reason"]) == (None, "skipped", "not-asked")


def test_items_hold_everything(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in export(tmp_path, "items", "jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[1]["messages"] == [{"role": "user", "content": "What is 1 + 1?"}]
    assert (rows[1]["vars"], rows[1]["reference"], rows[1]["text"]) == ({"input": "What is 1 + 1?"}, "2", "+1")
    assert rows[1]["checks"][0]["check"] == "equals"
    assert rows[1]["checks"][0]["value"] == 0.5


def test_parquet_reads_elsewhere(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(export(tmp_path, "items", "parquet"))
    assert table.column("text").to_pylist()[0] == "=1+1"
    assert json.loads(table.column("messages").to_pylist()[0])[0]["role"] == "user"
    assert table.column("score").to_pylist() == [0.5] * 7 + [None]


def test_exports_say_what_is_wrong(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    store.begin_run(make_record(), "", {}, make_requests(1)).close()
    with pytest.raises(UsageError, match=r"unknown export 'secrets'.*scores"):
        store.export("run1", "secrets", tmp_path / "x", "csv")
    with pytest.raises(UsageError, match=r"unknown format 'xls'.*parquet"):
        store.export("run1", "scores", tmp_path / "x", "xls")
    with pytest.raises(UsageError, match="folder does not exist"):
        store.export("run1", "scores", tmp_path / "no" / "x", "csv")
    with pytest.raises(UsageError, match="no run 'run7'"):
        store.export("run7", "scores", tmp_path / "x", "csv")
    (tmp_path / "taken").mkdir()
    with pytest.raises(StoreError, match="cannot write the export"):
        store.export("run1", "scores", tmp_path / "taken", "csv")
