"""The DPO loss against the formula written by hand, on fixed weights and rows where policy and reference differ."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from training.recipe import Recipe

BASE = str(Path(__file__).parents[2] / "suites" / "quickstart" / "models" / "base")
BETA, FTX = 0.2, 0.5
PAIRS = [
    {"prompt": "ISO date: 2001/1/2", "chosen": "2001-01-02", "rejected": "{}"},
    {"prompt": "copy: tame rivers", "chosen": "tame rivers", "rejected": "a longer answer that nobody asked for"},
    {"prompt": "copy: sun", "chosen": "sun", "rejected": "moon"},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from training.models import load_tokenizer

    return load_tokenizer(BASE)


def build(tmp_path: Path, tokenizer: Any, **changes: Any) -> Any:
    """The trainer as a recipe gives it, on a tiny base, its adapter moved away from the reference by fixed random numbers."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from training.data import check_row
    from training.dpo import dpo_trainer
    from training.lora import lora_settings
    from training.models import quiet

    quiet()
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    values = {"stage": "dpo", "model_name_or_path": BASE, "dataset": "x", "output_dir": str(tmp_path), "pref_beta": BETA}
    recipe = Recipe.model_validate(values | {"per_device_train_batch_size": len(PAIRS), "lora_rank": 4} | changes)
    rows = [row for pair in PAIRS if (row := check_row("", pair, "dpo", [])) is not None]
    data, lora = Dataset.from_list(rows), LoraConfig(**lora_settings(recipe))
    trainer = dpo_trainer(recipe, Qwen2ForCausalLM(config), tokenizer, data, None, lora, [])
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    return trainer


def log_probabilities(model: Any, ids: list[int], start: int) -> list[float]:
    """log p of each token from ``start`` on, given those before it."""
    import torch

    with torch.no_grad():
        rows = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return [float(rows[place - 1, token]) for place, token in enumerate(ids) if place >= start]


def by_hand(trainer: Any, tokenizer: Any) -> list[dict[str, Any]]:
    """For each pair: log p of every answer token, by the policy and by the base with its adapter off."""
    found = []
    for pair in PAIRS:
        ask = [{"role": "user", "content": pair["prompt"]}]
        prompt = tokenizer.apply_chat_template(ask, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        told: dict[str, Any] = {}
        for side in ("chosen", "rejected"):
            said = [*ask, {"role": "assistant", "content": pair[side]}]
            ids = tokenizer.apply_chat_template(said, tokenize=True, return_dict=True)["input_ids"]
            assert ids[: len(prompt)] == prompt
            told[side] = log_probabilities(trainer.model, ids, len(prompt))
            with trainer.model.disable_adapter():
                told[f"{side} before"] = log_probabilities(trainer.model, ids, len(prompt))
        found.append(told)
    return found


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def losses(kind: str, pairs: list[dict[str, Any]]) -> list[float]:
    """Rafailov et al. 2023 eq. 7; hinge: Zhao et al. 2023 (SLiC); IPO: Azar et al. 2023 eq. 17, each answer by its length."""
    found = []
    for pair in pairs:
        ratios = {side: sum(pair[side]) - sum(pair[f"{side} before"]) for side in ("chosen", "rejected")}
        margin = ratios["chosen"] - ratios["rejected"]
        if kind == "sigmoid":
            found.append(-math.log(1 / (1 + math.exp(-BETA * margin))))
        elif kind == "hinge":
            found.append(max(0.0, 1 - BETA * margin))
        else:
            each = {side: ratio / len(pair[side]) for side, ratio in ratios.items()}
            found.append((each["chosen"] - each["rejected"] - 1 / (2 * BETA)) ** 2)
    return found


@pytest.mark.parametrize("kind", ["sigmoid", "hinge", "ipo"])
@pytest.mark.parametrize("ftx", [0.0, FTX])
def test_the_loss_is_the_formula(kind: str, ftx: float, tokenizer: Any, tmp_path: Path) -> None:
    trainer = build(tmp_path, tokenizer, pref_loss=kind, pref_ftx=ftx)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(PAIRS))])
    loss = float(trainer.compute_loss(trainer.model, batch).detach())
    pairs = by_hand(trainer, tokenizer)
    nll = -mean([value for pair in pairs for value in pair["chosen"]])  # over all tokens of the chosen answers
    expected = mean(losses(kind, pairs)) + ftx * nll
    assert all(abs(one - math.log(2)) > 0.02 for one in losses("sigmoid", pairs))  # policy and reference do differ
    assert loss == pytest.approx(expected, rel=1e-4)


def test_implicit_rewards_margins_and_accuracies_are_what_is_logged(tokenizer: Any, tmp_path: Path) -> None:
    trainer = build(tmp_path, tokenizer, pref_ftx=FTX)
    trainer.model.train()
    trainer.compute_loss(trainer.model, trainer.data_collator([trainer.train_dataset[i] for i in range(len(PAIRS))]))
    logged = {name: values[-1] for name, values in trainer._metrics["train"].items()}
    pairs = by_hand(trainer, tokenizer)
    rewards = {
        side: [BETA * (sum(pair[side]) - sum(pair[f"{side} before"])) for pair in pairs] for side in ("chosen", "rejected")
    }
    assert logged["rewards/chosen"] == pytest.approx(mean(rewards["chosen"]), rel=1e-4)
    assert logged["rewards/rejected"] == pytest.approx(mean(rewards["rejected"]), rel=1e-4)
    assert logged["rewards/margins"] == pytest.approx(mean(rewards["chosen"]) - mean(rewards["rejected"]), rel=1e-4)
    better = [a > b for a, b in zip(rewards["chosen"], rewards["rejected"], strict=True)]
    assert logged["rewards/accuracies"] == pytest.approx(sum(better) / len(better))
    assert trainer.ref_model is None  # the reference is the base, its adapter off: no second model
