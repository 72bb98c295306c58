"""IFD on the pocket model: by hand from its logits, lower where the question decides the answer."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.cli import call
from harness.quality import Example, Kind, Turn
from training.ifd import DifficultyPass, load_pass

BASE = Path(__file__).parents[2] / "suites/quickstart/models/base"


@pytest.fixture(scope="module")
def difficulty() -> DifficultyPass:
    return load_pass(str(BASE))


def row(asked: str, answer: str) -> Example:
    return Example(Kind.MESSAGES, messages=(Turn("user", asked), Turn("assistant", answer)), line=1)


def test_ifd_is_the_ratio_of_two_perplexities_over_the_same_tokens(difficulty: DifficultyPass) -> None:
    import torch

    example = row("ISO date: 14 August 1992", "1992-08-14")
    tokenizer, model = difficulty.tokenizer, difficulty.model
    whole = tokenizer.apply_chat_template(
        [{"role": "user", "content": "ISO date: 14 August 1992"}, {"role": "assistant", "content": "1992-08-14"}],
        return_dict=True,
    )["input_ids"]
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "ISO date: 14 August 1992"}], add_generation_prompt=True, return_dict=True
    )["input_ids"]
    answer = whole[len(asked) :]

    def mean(ids: list[int], first: int) -> float:
        with torch.no_grad():
            logs = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)
        return -sum(float(logs[i - 1, ids[i]]) for i in range(first, len(ids))) / (len(ids) - first)

    expected = math.exp(mean(whole, len(asked) + 1) - mean(answer, 1))
    assert difficulty.ifd(example) == pytest.approx(expected, rel=1e-3)


def test_a_question_that_decides_the_answer_has_a_low_ifd(difficulty: DifficultyPass) -> None:
    right, wrong = (
        difficulty.ifd(row("ISO date: 14 August 1992", "1992-08-14")),
        difficulty.ifd(row("ISO date: 14 August 1992", "2003-11-27")),
    )
    assert right is not None
    assert wrong is not None
    assert right < 0.5
    assert right < wrong


def test_rows_without_a_number_are_counted(difficulty: DifficultyPass) -> None:
    assert difficulty.ifd(row("Hi", "")) is None
    assert difficulty.ifd(row("long " * 2000, "1992-08-14")) is None
    assert difficulty.ifd(Example(Kind.PROMPT, prompt=(Turn("user", "x"),))) is None
    plain = Example(Kind.COMPLETION, prompt=(Turn("text", "ISO date: 14 August"),), completion=(Turn("text", "1992-08-14"),))
    assert difficulty.ifd(plain) is not None


def test_the_command_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prompt": "ISO date: 14 August 1992", "completion": "1992-08-14"},
        {"prompt": "zq", "completion": "ISO date: 14 August 1992"},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert call(["data", "validate", str(path), "--ifd", str(BASE), "--json", "--html", str(tmp_path / "p.html")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ifd"]["rows"] == 2
    assert call(["data", "validate", str(path), "--ifd", str(tmp_path)]) == 3
    assert "cannot load" in capsys.readouterr().err
