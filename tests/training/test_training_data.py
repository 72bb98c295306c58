"""Training rows: shapes, faults with file:line, holding out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SuiteError, TrainingError
from training.data import hold_out, load_rows

ASK = {"role": "user", "content": "2 + 2?"}
SAY = {"role": "assistant", "content": "4"}


def write(tmp_path: Path, *rows: Any, name: str = "rows.jsonl") -> str:
    path = tmp_path / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_messages_prompt_completion_and_strings(tmp_path: Path) -> None:
    assert load_rows([write(tmp_path, {"messages": [ASK, SAY], "from": "case 1"})], "sft") == [{"messages": [ASK, SAY]}]
    assert load_rows([write(tmp_path, {"prompt": "2 + 2?", "completion": "4"})], "sft") == [
        {"prompt": [ASK], "completion": [SAY]}
    ]
    pair = {"prompt": [ASK], "chosen": "4", "rejected": [{"role": "assistant", "content": "5"}]}
    assert load_rows([write(tmp_path, pair)], "dpo")[0]["chosen"] == [SAY]


@pytest.mark.parametrize(
    ("row", "stage", "expected"),
    [
        ("{not json", "sft", "rows.jsonl:2"),
        ([1], "sft", "rows.jsonl:2"),
        (
            {"instruction": "a", "output": "b"},
            "sft",
            "needs {messages} or {prompt, completion}; the row has instruction",
        ),
        ({"messages": []}, "sft", "messages is a list of messages or a string, and not empty"),
        ({"messages": [ASK]}, "sft", "messages must end with an assistant message"),
        (
            {"messages": [ASK, {"role": "assistant", "content": "  "}]},
            "sft",
            "must end with an assistant message that is not empty",
        ),
        ({"messages": [{"role": "robot", "content": "x"}, SAY]}, "sft", "messages[0] needs a role of"),
        ({"messages": [ASK, {"role": "assistant", "content": {"a": 1}}]}, "sft", "messages[1] needs a role of"),
        ({"prompt": "a", "chosen": "b"}, "dpo", "stage dpo needs {prompt, chosen, rejected}"),
        ({"prompt": "a", "chosen": "b", "rejected": 3}, "dpo", "rejected is a list of messages or a string"),
    ],
)
def test_bad_rows_are_named_by_line(tmp_path: Path, row: Any, stage: str, expected: str) -> None:
    good = {"messages": [ASK, SAY]} if stage == "sft" else {"prompt": "a", "chosen": "b", "rejected": "c"}
    with pytest.raises(SuiteError) as caught:
        load_rows([write(tmp_path, good, row)], stage)
    assert len(caught.value.faults) == 1
    assert "rows.jsonl:2" in caught.value.line()
    assert expected in caught.value.line()


def test_many_faults_are_counted_and_shapes_must_agree(tmp_path: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        load_rows([write(tmp_path, *[{"x": i} for i in range(50)])], "sft")
    assert caught.value.faults[-1].what == "and 30 more faults"
    mixed = [write(tmp_path, {"messages": [ASK, SAY]}), write(tmp_path, {"prompt": "a", "completion": "b"}, name="more.jsonl")]
    with pytest.raises(SuiteError, match="use one shape"):
        load_rows(mixed, "sft")


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no rows to train on"):
        load_rows([write(tmp_path)], "sft")
    with pytest.raises(SuiteError, match=r"gone\.jsonl"):
        load_rows([str(tmp_path / "gone.jsonl")], "sft")


@given(n=st.integers(1, 200), val_size=st.floats(0, 0.99), seed=st.integers(0, 9))
def test_hold_out_is_a_partition_and_seeded(n: int, val_size: float, seed: int) -> None:
    rows = [{"messages": [{"role": "user", "content": str(i)}]} for i in range(n)]
    try:
        train, held = hold_out(rows, val_size, seed)
    except TrainingError:
        assert round(n * val_size) >= n
        return
    assert len(held) == round(n * val_size)
    assert sorted(int(row["messages"][0]["content"]) for row in train + held) == list(range(n))
    assert hold_out(rows, val_size, seed) == (train, held)


def test_holding_out_everything_is_refused() -> None:
    with pytest.raises(TrainingError, match="none is left"):
        hold_out([{"messages": []}] * 3, 3, 0)
