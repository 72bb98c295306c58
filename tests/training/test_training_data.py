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


def test_a_ranking_is_all_its_pairs_and_ties_are_none(tmp_path: Path) -> None:
    ranking = {"prompt": "q", "ranking": [["a", "b"], ["c"], [[{"role": "assistant", "content": "d"}]]], "rater": "ann"}
    for stage in ("rm", "dpo"):
        rows = load_rows([write(tmp_path, ranking)], stage)
        pairs = [(row["chosen"][-1]["content"], row["rejected"][-1]["content"]) for row in rows]
        assert sorted(pairs) == [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]
        assert all(row["prompt"] == [{"role": "user", "content": "q"}] for row in rows)
    mixed = load_rows([write(tmp_path, ranking, {"prompt": "q", "chosen": "x", "rejected": "y"})], "rm")
    assert len(mixed) == 6


@given(st.lists(st.integers(1, 3), min_size=2, max_size=5))
def test_a_ranking_gives_a_pair_for_every_two_that_do_not_tie(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    groups = [[f"{place}.{number}" for number in range(size)] for place, size in enumerate(sizes)]
    path = write(tmp_path_factory.mktemp("ranking"), {"prompt": "q", "ranking": groups})
    pairs = {(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in load_rows([path], "rm")}
    assert len(pairs) == (sum(sizes) ** 2 - sum(size**2 for size in sizes)) // 2
    assert all(better[0] < worse[0] for better, worse in pairs)


@pytest.mark.parametrize(
    ("ranking", "stage", "expected"),
    [
        ([["a"]], "rm", "rows.jsonl:1: ranking is a list of groups of answers"),
        ([["a"], []], "rm", "ranking is a list of groups of answers"),
        (["a", "b"], "rm", "ranking is a list of groups of answers"),
        ({"a": 1}, "dpo", "ranking is a list of groups of answers"),
        ([["a"], ["b", "a"]], "rm", "names an answer twice"),
        ([["a"], [3]], "rm", "rejected is a list of messages or a string"),
        ([["a"], ["b"]], "sft", "stage sft needs"),
    ],
)
def test_rankings_that_are_none(tmp_path: Path, ranking: Any, stage: str, expected: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_rows([write(tmp_path, {"prompt": "q", "ranking": ranking})], stage)
    assert expected in caught.value.line()
