"""Reward models: trained on pairs they tell chosen from rejected, are saved as one classifier, and are read back as such."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TrainingError
from training import Recipe, train
from training.reward import RewardModel

BASE = str(Path(__file__).parents[2] / "suites" / "quickstart" / "models" / "base")


def recipe(tmp_path: Path, **changes: Any) -> Recipe:
    rows = [{"prompt": f"ISO date: 2001/1/{i + 1}", "chosen": f"2001-01-{i + 1:02d}", "rejected": "{}"} for i in range(16)]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = {
        "stage": "rm",
        "model_name_or_path": BASE,
        "dataset": str(data),
        "output_dir": str(tmp_path / "rm"),
        "lora_rank": 4,
        "cutoff_len": 128,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "learning_rate": 2e-3,
        "max_steps": 6,
        "logging_steps": 1,
        "plot_loss": False,
    }
    return Recipe.model_validate(values | changes)


def talk(day: int, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"ISO date: 2001/1/{day}"}, {"role": "assistant", "content": answer}]


@pytest.mark.heavy
def test_it_learns_is_saved_whole_and_scores(tmp_path: Path) -> None:
    result = train(recipe(tmp_path))
    losses = [line["loss"] for line in result.history if "loss" in line]
    assert losses[-1] < 0.6 * losses[0]
    assert {"accuracy", "margin"} <= result.metrics.keys()
    config = json.loads((result.path / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen2ForSequenceClassification"]
    assert len(config["id2label"]) == 1
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {path.name for path in result.path.iterdir()}
    assert not (result.path / "adapter_config.json").exists()  # merged: one checkpoint that a server reads
    assert str(tmp_path) not in (result.path / "config.json").read_text(encoding="utf-8")
    model = RewardModel.load(result.path)
    good, bad = model.rewards([talk(20, "2001-01-20"), talk(20, "{}")])
    assert good is not None
    assert bad is not None
    assert good > bad
    alone = model.rewards([talk(20, "2001-01-20")])[0]
    assert alone == pytest.approx(good, abs=1e-4)  # padding changes nothing
    assert model.rewards([talk(1, "x" * 5000), talk(20, "2001-01-20")])[0] is None
    assert model.rewards([]) == []


@pytest.mark.heavy
def test_the_first_loss_is_bradley_terry_on_paper(tmp_path: Path) -> None:
    """-log sigmoid(r_chosen - r_rejected) + c (r_chosen + r_rejected)^2, rewards computed here with the same new head."""
    import torch

    made = recipe(tmp_path, max_steps=1, per_device_train_batch_size=16, center_rewards_coefficient=0.5, learning_rate=1e-9)
    made = made.with_(finetuning_type="full", lora_rank=8)
    result = train(made)
    model = RewardModel.load(result.path)
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    sides = {key: model.rewards([talk(i + 1, row[key]) for i, row in enumerate(rows)]) for key in ("chosen", "rejected")}
    chosen, rejected = (torch.tensor([float(r or 0.0) for r in sides[key]]) for key in ("chosen", "rejected"))
    expected = -torch.nn.functional.logsigmoid(chosen - rejected).mean() + 0.5 * ((chosen + rejected) ** 2).mean()
    assert result.history[0]["loss"] == pytest.approx(float(expected), rel=0.02)  # the head was saved in bf16
    assert math.isfinite(float(expected))


def test_what_is_no_reward_model(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no reward model \(Qwen2ForCausalLM"):
        RewardModel.load(BASE)
    with pytest.raises(TrainingError, match="this is no model"):
        RewardModel.load(tmp_path)
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(TrainingError, match="this is no model"):
        RewardModel.load(tmp_path)
