"""Labels that look wrong: planted ones are found, right ones are mostly left alone, and files without classes are said to be."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path
from typing import Any

import pytest
from support.rowreview import write

from harness.cli import call
from harness.cli.layout import columns_of
from harness.errors import DataError, UsageError
from harness.quality.files import open_examples
from harness.quality.labelhints import label_hints

needs = pytest.mark.skipif(
    importlib.util.find_spec("cleanlab") is None, reason="no cleanlab: pip install 'seesaw-harness[labels]'"
)

GOOD = ("a lovely film", "wonderful acting", "I adored it", "great fun", "charming and warm", "a delight")
BAD = ("a dreadful film", "terrible acting", "I hated it", "so boring", "cold and clumsy", "a waste of time")


def reviews(rows: int = 120, wrong: tuple[int, ...] = (7, 20, 51, 88)) -> list[dict[str, Any]]:
    """Film reviews and their class as the answer; some of the labels are turned round. Line of row i: i + 1."""
    dice = random.Random(5)
    found = []
    for i in range(rows):
        positive = i % 2 == 0
        text = ", ".join(dice.sample(GOOD if positive else BAD, 3))
        label = "positive" if positive != (i in wrong) else "negative"
        found.append({"instruction": f"What is the sentiment of: {text}?", "input": "", "output": label})
    return found


@needs
def test_planted_errors_are_found_and_told_with_the_likelier_class(tmp_path: Path) -> None:
    found = label_hints(write(tmp_path / "f.jsonl", reviews()))
    assert (found.rows, found.left, found.more) == (120, 0, False)
    assert found.accuracy > 0.9
    lines = [hint.line for hint in found.hints]
    assert {8, 21, 52, 89} <= set(lines)
    assert len(lines) <= 8
    assert all(hint.p_likelier > hint.p_given and hint.given != hint.likelier for hint in found.hints)
    first = next(hint for hint in found.hints if hint.line == 8)
    assert (first.given, first.likelier) == ("positive", "negative")
    assert label_hints(write(tmp_path / "f.jsonl", reviews())) == found


@needs
def test_a_column_and_kto_labels_are_classes_too(tmp_path: Path) -> None:
    rows = [{"prompt": row["instruction"], "completion": "ok", "sentiment": row["output"]} for row in reviews()]
    by_column = label_hints(write(tmp_path / "f.jsonl", rows), column="sentiment")
    assert {8, 21, 52, 89} <= {hint.line for hint in by_column.hints}
    rows = [{"prompt": "Review it.", "completion": row["instruction"], "label": row["output"] == "positive"} for row in reviews()]
    kto = label_hints(write(tmp_path / "g.jsonl", rows))
    assert set(kto.classes) == {"bad", "good"}
    assert {8, 21, 52, 89} <= {hint.line for hint in kto.hints}


@needs
def test_rows_without_a_class_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    rare = [{"instruction": "odd", "input": "", "output": "mixed"}] * 4 + [{"instruction": "x", "input": "", "output": "y" * 61}]
    write(path, [*reviews(60), *rare])
    with path.open("a") as stream:
        stream.write("{broken\n")
    found = label_hints(open_examples(path))
    assert (found.rows, found.left, found.unread.rows) == (60, 5, 1)


@needs
def test_a_file_without_classes_is_said_to_be_one(tmp_path: Path) -> None:
    free = [{"instruction": f"q{i}", "input": "", "output": f"answer number {i}"} for i in range(40)]
    with pytest.raises(DataError, match=r"0 classes of at least 5 rows \(40 different labels\)"):
        label_hints(write(tmp_path / "f.jsonl", free))
    with pytest.raises(DataError, match="0 classes"):
        label_hints(write(tmp_path / "f.jsonl", reviews(40)), column="no such column")
    with pytest.raises(DataError, match="1 classes"):
        label_hints(write(tmp_path / "f.jsonl", reviews(40)[::2]))


@needs
def test_the_command_in_eighty_columns_as_json_and_as_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = reviews()
    rows[7]["instruction"] += " \x1b[31m\u202e" + "\u4e2d" * 90
    source, out = write(tmp_path / "f.jsonl", rows), tmp_path / "out.jsonl"
    assert call(["data", "label-errors", str(source.path), "--show", "2", "--findings", str(out)]) == 0
    text = capsys.readouterr().out
    assert all(columns_of(line) <= 80 for line in text.splitlines())
    assert "120 rows of 2 classes" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert text.count("\n  line ") == 2
    assert "  and " in text
    assert text.count("likelier 'negative'") + text.count("likelier 'positive'") == 2
    assert call(["data", "label-errors", str(source.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [json.loads(line) for line in out.read_text().splitlines()] == found["hints"]
    assert call(["data", "label-errors", str(source.path), "--label", "nothing"]) == 3
    assert f"{source.path}: 0 classes" in capsys.readouterr().err


def test_without_cleanlab_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cleanlab" else real(name))
    with pytest.raises(UsageError, match=r"need cleanlab, which is not installed\. pip install 'seesaw-harness\[labels\]'"):
        label_hints(write(tmp_path / "f.jsonl", reviews(20)))
