"""Every data command on hostile files: the broken row is told with its line and kept aside, the rest goes on, nothing is lost."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import ScriptedServer
from support.suites import SMALL, write_suite

from harness import rows
from harness.cli import call
from harness.quality.records import read_records
from harness.rows import BadRow

GOOD = [
    {"instruction": f"Tell me which river runs through town number {i}, please.", "output": "the Mur" if i % 2 else "the Enns"}
    for i in range(24)
]
LINES = [json.dumps(row) for row in GOOD]
CELLS = ["instruction,output", *(f'"{row["instruction"]}",{row["output"]}' for row in GOOD)]


def jsonl(*middle: str | bytes) -> bytes:
    """Twelve good rows, the hostile lines (from line 13 on), twelve more."""
    lines = [*LINES[:12], *middle, *LINES[12:]]
    return b"".join((line if isinstance(line, bytes) else line.encode("utf-8", "surrogatepass")) + b"\n" for line in lines)


def table(*middle: str | bytes, end: bytes = b"\r\n") -> bytes:
    """As CSV; hostile lines are from line 14 on."""
    lines = [*CELLS[:13], *middle, *CELLS[13:]]
    return b"".join((line if isinstance(line, bytes) else line.encode()) + end for line in lines)


def array(*middle: str) -> bytes:
    """As a JSON array, a row on each line; the hostile one on line 14."""
    return ("[\n" + ",\n".join([*LINES[:12], *middle, *LINES[12:]]) + "\n]\n").encode()


DEEP = '{"instruction": ' + "[" * 20_000 + "]" * 20_000 + "}"
# name -> (file, content, lines that cannot be read)
HOSTILE: dict[str, tuple[str, bytes, list[int]]] = {
    "cut short": ("x.jsonl", jsonl('{"instruction": "cut'), [13]),
    "no object": ("x.jsonl", jsonl("[1, 2]", "null"), [13, 14]),
    "byte-order mark": ("x.jsonl", b"\xef\xbb\xbf" + jsonl(), []),
    "CRLF": ("x.jsonl", jsonl().replace(b"\n", b"\r\n"), []),
    "NUL bytes": ("x.jsonl", jsonl("\0\0\0", ""), [13]),
    "not UTF-8": ("x.jsonl", jsonl(b'{"instruction": "\xff\xfe", "output": "x"}'), [13]),
    "deep": ("x.jsonl", jsonl(DEEP), [13]),
    "too long": ("x.jsonl", jsonl("x" * 300_000), [13]),
    "no last line break": ("x.jsonl", jsonl("{").removesuffix(b"\n"), [13]),
    "array": ("x.json", array('{"instruction": "cut'), [14]),
    "array, brackets open": ("x.json", array('{"instruction": ["a", "output": "b"}'), [14]),
    "array, deep": ("x.json", array(DEEP), [14]),
    "array in one line": ("x.json", array('{"a": [}').replace(b"\n", b""), [1]),
    "quotes": ("x.csv", table('"a"b,c'), [14]),
    "quote left open": ("x.csv", table('"open,c'), [14]),
    "cells": ("x.csv", table("a,b,c"), [14]),
    "cell not UTF-8": ("x.csv", table(b"\xff,b", end=b"\n"), [14]),
}


def told(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


Command = Callable[[str, Path], list[str]]
# command -> (its words, whether it keeps good and bad rows, exit code where a row cannot be read)
COMMANDS: dict[str, tuple[Command, bool, int]] = {
    "validate": (lambda file, out: ["validate", file, "--clean", str(out)], True, 1),
    "convert": (lambda file, out: ["convert", file, str(out), "--to", "alpaca"], True, 1),
    "dedup": (lambda file, out: ["dedup", file, "--out", str(out)], True, 0),
    "minhash": (lambda file, out: ["dedup", file, "--method", "minhash", "--threshold", "1", "--out", str(out)], True, 0),
    "rouge": (lambda file, out: ["dedup", file, "--method", "rouge", "--threshold", "1", "--out", str(out)], True, 0),
    "decontaminate": (
        lambda file, out: ["decontaminate", file, "--suite", str(out.parent / "suite.yaml"), "--delete", "--out", str(out)],
        True,
        0,
    ),
    "distribution": (lambda file, out: ["distribution", file], False, 0),
    "label-errors": (lambda file, out: ["label-errors", file], False, 0),
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    capability = {"role": "protected", "cases": [{"input": "How many eggs?", "reference": 1}], "checks": ["numeric"]}
    return write_suite(tmp_path, SMALL | {"capabilities": {"sums": capability}})


@pytest.mark.parametrize("command", COMMANDS)
def test_the_broken_row_is_told_and_kept_and_the_rest_goes_on(
    command: str, suite: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "label-errors":
        pytest.importorskip("cleanlab")
    if command == "minhash":
        pytest.importorskip("datasketch")
    monkeypatch.setattr(rows, "MOST", 100_000)
    words, keeps, code = COMMANDS[command]
    few = ("array", "not UTF-8", "quote left open")  # a model is trained on each
    for what in few if command == "label-errors" else HOSTILE:
        name, content, broken = HOSTILE[what]
        folder = suite.parent / what
        folder.mkdir()
        (folder / "suite.yaml").write_bytes(suite.read_bytes())
        file, out = folder / name, folder / "out.jsonl"
        file.write_bytes(content)
        assert call(["data", *words(str(file), out)]) == (code if broken else 0), what
        shown = capsys.readouterr()
        assert all(f"line {line}" in shown.out for line in broken), (what, shown.out)
        assert "Traceback" not in shown.out + shown.err
        if keeps:
            kept = [row.get("instruction") for row in told(out.read_text(encoding="utf-8"))]
            assert kept == [row["instruction"] for row in GOOD], what
            aside = folder / "out.jsonl.dropped.jsonl"
            left = told(aside.read_text(encoding="utf-8")) if aside.exists() else []
            assert [(row["line"], row["code"]) for row in left] == [(line, "unreadable") for line in broken], what
            assert all(row["reason"] and row["text"] for row in left), what  # what stood there is kept, too
        else:
            assert "24 rows" in shown.out, what


def test_scoring_goes_on_past_a_broken_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.jsonl"
    file.write_bytes(jsonl('{"instruction": "cut', '{"instruction": "half \\ud83d", "output": "half \\ud83d"}'))
    verdict = '{"reason": "fine", "score": 5}'
    with ScriptedServer(lambda body: verdict, models=["judge"]) as server:
        words = ["data", "score", str(file), "--endpoint", server.url, "--model", "judge", "--scores", str(tmp_path / "s.jsonl")]
        call([*words, "--clean", str(tmp_path / "good.jsonl")])
    shown = capsys.readouterr()
    assert "26 rows" in shown.out
    assert "1 unreadable" in shown.out
    assert "line 13: is not JSON" in shown.out
    left = told((tmp_path / "good.jsonl.dropped.jsonl").read_text())
    assert left[0]["text"] == '{"instruction": "cut'
    assert len(told((tmp_path / "good.jsonl").read_text())) + len(left) == 26


def test_half_characters_survive_every_command(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"instruction": "half \ud83d of a pair of things", "output": "half \ud83d"}
    file = suite.parent / "x.jsonl"
    file.write_bytes(jsonl(json.dumps(row)))
    for command in ("convert", "dedup", "minhash", "rouge", "decontaminate"):
        out = suite.parent / f"{command}.jsonl"
        assert call(["data", *COMMANDS[command][0](str(file), out)]) == 0
        assert told(out.read_text())[12]["instruction"] == row["instruction"]
    assert call(["data", "validate", str(file), "--clean", str(suite.parent / "v.jsonl")]) == 1
    (left,) = told((suite.parent / "v.jsonl.dropped.jsonl").read_text())
    assert (left["line"], left["code"], left["row"]) == (13, "surrogate", row)
    assert call(["data", "distribution", str(file)]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_no_file_of_rows_is_one_line_and_exit_code_3(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = suite.parent
    (folder / "folder.jsonl").mkdir()
    (folder / "empty.jsonl").touch()
    (folder / "blank.csv").write_text("\n\n")
    (folder / "none.json").write_text("[]")
    os.mkfifo(folder / "pipe.jsonl")
    faults = {
        "gone.jsonl": "no such file",
        "folder.jsonl": "cannot be loaded",
        "empty.jsonl": "no row that can be read",
        "blank.csv": "no row that can be read",
        "none.json": "no row that can be read",
        "pipe.jsonl": "not a regular file",
    }
    for command, (words, _, _) in COMMANDS.items():
        for name, what in faults.items():
            assert call(["data", *words(str(folder / name), folder / "out.jsonl")]) == 3, (command, name)
            shown = capsys.readouterr()
            assert what in shown.err, (command, name)
            assert len(shown.err.strip().splitlines()) <= 2, (command, name, shown.err)
            assert not list(folder.glob("*out.jsonl*")), (command, name)


def test_seeds_are_settings_every_fault_is_told_and_nothing_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To go on with fewer seeds than were meant would make another run, so here a broken row stops it."""
    (tmp_path / "s.jsonl").write_bytes(jsonl('{"instruction": "cut', "[1]", '{"instruction": ""}'))
    with ScriptedServer(models=["m"]) as server:
        words = ["data", "self-instruct", "--endpoint", server.url, "--model", "m", "--out", str(tmp_path / "o")]
        assert call([*words, "--seeds", str(tmp_path / "s.jsonl")]) == 3
        assert server.count == 0
    shown = capsys.readouterr().err
    assert all(f"s.jsonl:{line}: " in shown for line in (13, 14, 15))
    assert not (tmp_path / "o").exists()


def test_values_that_json_cannot_say_lose_no_row(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    columns: dict[str, Sequence[Any]] = {
        "instruction": [f"What is number {i} of them?" for i in range(6)],
        "output": [f"It is {i}." for i in range(6)],
        "score": [1.0, float("nan"), 1.0, 1.0, 1.0, 1.0],
        "blob": [None, None, None, b"\xff\0", None, None],
    }
    file = tmp_path / "x.parquet"
    pa.parquet.write_table(pa.table(columns), file)
    for words in (["validate", str(file), "--clean"], ["dedup", str(file), "--out"], ["convert", str(file)]):
        out = tmp_path / f"{words[0]}.jsonl"
        call(["data", *words, str(out)])
        left = told((tmp_path / f"{words[0]}.jsonl.dropped.jsonl").read_text())
        assert [(row["line"], row["code"]) for row in left] == [(2, "not-json"), (4, "not-json")], words
        assert "number 1" in left[0]["text"]
        assert len(told(out.read_text())) == 4


def test_a_parquet_file_that_lies_about_its_columns(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    columns = {"prompt": ["a", "b", "c"], "completion": ["1", "2", "3"], "id": ["1", "[1", "[" * 5000 + "]" * 5000]}
    lying = pa.table(columns).replace_schema_metadata({b"seesaw_json": b'["id"]'})
    pa.parquet.write_table(lying, tmp_path / "x.parquet")
    found = list(read_records(tmp_path / "x.parquet"))
    assert found[0] == (1, {"prompt": "a", "completion": "1", "id": 1})
    assert [entry.line for entry in found if isinstance(entry, BadRow)] == [2, 3]


def test_a_quote_left_open_costs_one_row_wherever_it_stands(tmp_path: Path) -> None:
    """Also where many are open, and where cells rightly hold line breaks."""
    lines = ["a,b", '"x,1', "y,2", '"two\nlines",3', '"z"z,4', "w,5", '"v,6']
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    found = list(read_records(tmp_path / "x.csv"))
    rows_read = [(entry[0], entry[1]["a"]) for entry in found if not isinstance(entry, BadRow)]
    assert [entry.line for entry in found if isinstance(entry, BadRow)] == [2, 6, 8]
    assert rows_read == [(3, "y"), (4, "two\nlines"), (7, "w")]


@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "x.csv"])
def test_files_stream(name: str, tmp_path: Path) -> None:
    """32 MB of rows pass through a few; a line beyond the limit is told and not held."""
    row = {"prompt": "p" * 1000, "completion": "c" * 1000}
    line = json.dumps(row)
    path = tmp_path / name
    with path.open("w") as file:
        if name.endswith(".jsonl"):
            file.writelines(f"{line}\n" for _ in range(16_000))
            file.write("x" * (rows.MOST + 10) + "\n" + line + "\n")
        elif name.endswith(".json"):
            file.write("[\n" + f"{line},\n" * 16_000 + line + "\n]")
        else:
            file.write("prompt,completion\n" + f"{row['prompt']},{row['completion']}\n" * 16_001)
    count, bad = 0, []
    tracemalloc.start()
    try:
        for number, entry in enumerate(read_records(path)):
            count += not isinstance(entry, BadRow)
            bad += [entry] if isinstance(entry, BadRow) else []
            if number == 15_999:
                peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12_000_000
    assert count == 16_001
    assert [(entry.line, entry.what) for entry in bad] == ([(16_001, "is longer than 64 MiB")] if name == "x.jsonl" else [])
