"""harness data dedup: what is kept, what goes aside and why, and what a person reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from support.suites import write_rows

from harness.cli import call
from harness.quality.novelty import Match, ShelvedNovelty

ROWS = [
    {"prompt": "Name three fruits.", "completion": "Apple, pear, plum."},
    {"prompt": "name THREE  fruits.", "completion": "apple, pear, plum."},
    {"prompt": "Name three fruits, please.", "completion": "Apple, pear, plum."},
    {"prompt": "Name three fruits.", "completion": "Kiwi, fig, lime."},
]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_exact_keeps_the_first_and_every_other_row_with_the_line_it_repeats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows(tmp_path / "train.jsonl", ROWS)
    assert call(["data", "dedup", str(file), "--out", str(tmp_path / "kept.jsonl")]) == 0
    assert lines(tmp_path / "kept.jsonl") == [ROWS[0], ROWS[2], ROWS[3]]
    (gone,) = lines(tmp_path / "kept.jsonl.dropped.jsonl")
    assert (gone["line"], gone["code"], gone["nearest"], gone["similarity"]) == (2, "duplicate-exact", f"{file}:1", 1.0)
    assert gone["reason"] == "repeats line 1: the same text but for case and spacing"
    assert gone["row"] == ROWS[1]
    out = capsys.readouterr().out
    assert "3 kept, 1 dropped (exact)" in out
    assert "line 2 repeats line 1" in out
    assert all(len(line) <= 80 for line in out.splitlines() if str(tmp_path) not in line)


def test_by_input_looks_at_the_prompt_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_rows(tmp_path / "train.jsonl", ROWS)
    assert call(["data", "dedup", str(file), "--by", "input", "--method", "rouge", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kept"], told["dropped"], told["output"]) == (1, {"duplicate-rouge": 3}, None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.jsonl"]


def test_a_malformed_line_goes_aside_with_its_number_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_rows(tmp_path / "train.jsonl", ROWS[:2])
    file.write_text(file.read_text() + '{"prompt": \n' + json.dumps(ROWS[0]) + "\n")
    aside = tmp_path / "aside.jsonl"
    assert call(["data", "dedup", str(file), "--out", str(tmp_path / "k.jsonl"), "--dropped", str(aside)]) == 0
    assert [(row["line"], row["code"]) for row in lines(aside)] == [
        (2, "duplicate-exact"),
        (3, "unreadable"),
        (4, "duplicate-exact"),
    ]
    assert "1 kept, 3 dropped (exact): 2 duplicate-exact, 1 unreadable" in capsys.readouterr().out


def test_hostile_text_does_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"prompt": "\x1b[2J\u202e evil \ud800", "completion": "x"}
    file = write_rows(tmp_path / "train.jsonl", [row, row])
    assert call(["data", "dedup", str(file)]) == 0
    out = capsys.readouterr().out
    assert "1 kept, 1 dropped" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_a_threshold_that_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_rows(tmp_path / "train.jsonl", ROWS)
    assert call(["data", "dedup", str(file), "--method", "minhash", "--threshold", "7"]) == 3
    assert call(["data", "dedup", str(file), "--threshold", "0.5"]) == 3
    assert "exact has no threshold" in capsys.readouterr().err


class Watched(ShelvedNovelty):
    """Shelves early, and remembers how many rows are read ahead."""

    ahead: ClassVar[list[int]] = []

    def __init__(self, *, threshold: float) -> None:
        super().__init__(threshold=threshold, memory=20_000)

    def older(self, texts: Sequence[str]) -> list[Match | None]:
        self.ahead.append(len(texts))
        return super().older(texts)


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr("harness.quality.dedup.ShelvedNovelty", Watched)
    Watched.ahead.clear()
    return Watched.ahead


def test_what_goes_aside_keeps_the_order_of_the_file_where_rows_are_read_ahead(tmp_path: Path, ahead: list[int]) -> None:
    rows = [json.dumps({"prompt": f"q{i} x{i} y{i}", "completion": f"a{i} b{i}"}) for i in range(300)]
    for place in range(290, 0, -20):
        rows[place:place] = [rows[place - 1], '{"prompt": ']
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(rows) + "\n")
    assert call(["data", "dedup", str(file), "--method", "rouge", "--out", str(tmp_path / "k.jsonl")]) == 0
    gone = [(row["line"], row["code"], row.get("nearest")) for row in lines(tmp_path / "k.jsonl.dropped.jsonl")]
    again = [number for number, row in enumerate(rows, 1) if rows.index(row) < number - 1]
    assert [line for line, _, _ in gone] == sorted({*again, rows.index('{"prompt": ') + 1})
    assert all(near == (f"{file}:{line - 1}" if code == "duplicate-rouge" else None) for line, code, near in gone)
    assert [row["prompt"] for row in lines(tmp_path / "k.jsonl")] == [f"q{i} x{i} y{i}" for i in range(300)]
    assert max(ahead) > 20


def test_fewer_rows_are_read_ahead_where_they_are_large(
    tmp_path: Path, ahead: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By instruction: the answers, which nobody compares, take memory as well."""
    monkeypatch.setattr("harness.quality.dedup._READ_AHEAD_HELD", 50_000)
    rows = [{"prompt": f"q{i} x{i} y{i}", "completion": "x" * 5000} for i in range(300)]
    file = write_rows(tmp_path / "train.jsonl", rows)
    assert call(["data", "dedup", str(file), "--method", "rouge", "--by", "instruction", "--json"]) == 0
    assert 1 < max(ahead) <= 10
    assert sum(ahead) == 300
