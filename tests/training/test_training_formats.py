"""A training reads LLaMA-Factory's files as they are: alpaca and sharegpt, supervised and preference, JSON and JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from training.data import load_files

USER, SAID, OTHER = (
    {"role": "user", "content": "copy:\nsun"},
    {"role": "assistant", "content": "sun"},
    {"role": "assistant", "content": "moon"},
)
SYSTEM, HI, HO = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "ho"},
)
ALPACA = {"instruction": "copy:", "input": "sun"}
SHAREGPT = {"system": "Be brief.", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}
SIDES = {"chosen": {"from": "gpt", "value": "sun"}, "rejected": {"from": "gpt", "value": "moon"}}
ROWS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "alpaca": ("sft", {**ALPACA, "output": "sun"}, {"messages": [USER, SAID]}),
    "alpaca with a past": (
        "sft",
        {**ALPACA, "output": "sun", "system": "Be brief.", "history": [["hi", "ho"]]},
        {"messages": [SYSTEM, HI, HO, USER, SAID]},
    ),
    "sharegpt": ("sft", SHAREGPT, {"messages": [SYSTEM, HI, HO]}),
    "alpaca preference": (
        "dpo",
        {**ALPACA, "chosen": "sun", "rejected": "moon"},
        {"prompt": [USER], "chosen": [SAID], "rejected": [OTHER]},
    ),
    "sharegpt preference": (
        "rm",
        {"conversations": [{"from": "human", "value": "copy:\nsun"}], **SIDES},
        {"prompt": [USER], "chosen": [SAID], "rejected": [OTHER]},
    ),
}


@pytest.mark.parametrize("ending", ["json", "jsonl"])
@pytest.mark.parametrize("name", ROWS)
def test_rows_become_trls(name: str, ending: str, tmp_path: Path) -> None:
    stage, row, expected = ROWS[name]
    path = tmp_path / f"rows.{ending}"
    path.write_text(json.dumps([row, row]) if ending == "json" else f"{json.dumps(row)}\n" * 2, encoding="utf-8")
    rows, (file,) = load_files([str(path)], stage)
    assert rows == [expected, expected]
    assert (file.path, file.rows) == (str(path), 2)


def test_a_supervised_file_is_no_preference(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({**ALPACA, "output": "sun"}) + "\n", encoding="utf-8")
    with pytest.raises(HarnessError, match="stage dpo needs"):
        load_files([str(path)], "dpo")
