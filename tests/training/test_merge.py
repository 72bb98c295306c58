"""Merged weights answer as base and adapter do; what must not be merged is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.errors import TrainingError
from training.merge import merge

SUITE = Path(__file__).parents[2] / "suites" / "quickstart"
BASE, SFT = SUITE / "models" / "base", SUITE / "models" / "sft"


def prompts(count: int) -> list[str]:
    lines = (SUITE / "cases" / "order-json.jsonl").read_text(encoding="utf-8").splitlines()
    others = (SUITE / "cases" / "date.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["input"] for line in [*lines[: count // 2], *others[: count - count // 2]]]


@pytest.mark.heavy
def test_merged_and_adapter_give_the_same_greedy_answers(tmp_path: Path) -> None:
    from training.pocket.measure import answers, load

    asked = prompts(16)
    merged = merge(SFT, tmp_path / "merged", dtype="float32")
    assert merged.parameters == 3_412_224
    assert merged.bytes == pytest.approx(4 * merged.parameters, rel=0.01)
    by_adapter = answers(*load(BASE, SFT), asked)
    assert answers(*load(tmp_path / "merged"), asked) == by_adapter
    rounded = merge(SFT, tmp_path / "bf16")
    assert rounded.bytes == pytest.approx(2 * merged.parameters, rel=0.01)
    same = sum(a == b for a, b in zip(answers(*load(tmp_path / "bf16"), asked), by_adapter, strict=True))
    assert same >= 13  # rounding to bf16 may move a few
    files = {path.name for path in (tmp_path / "bf16").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"} <= files
    assert not any(path.suffix in (".bin", ".pt") for path in (tmp_path / "bf16").iterdir())


def test_a_quantised_base_is_refused(tmp_path: Path) -> None:
    shutil.copytree(BASE, tmp_path / "base")
    config = json.loads((BASE / "config.json").read_text(encoding="utf-8")) | {"quantization_config": {"load_in_4bit": True}}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(TrainingError, match="nothing is merged onto a quantised base"):
        merge(SFT, tmp_path / "out", base=str(tmp_path / "base"))
    assert not (tmp_path / "out").exists()


def test_what_is_no_adapter_or_has_no_base(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="this is no adapter"):
        merge(BASE, tmp_path / "out")
    lone = tmp_path / "deep" / "lone"
    shutil.copytree(SFT, lone)
    with pytest.raises(TrainingError, match=r"base 'base' lies is not known.*--base"):
        merge(lone, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("", encoding="utf-8")
    with pytest.raises(TrainingError, match="not empty"):
        merge(SFT, tmp_path / "full")
