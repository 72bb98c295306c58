"""A reward model from pairs: one number for a conversation, trained so that the chosen answer's is higher.

The loss is -log sigmoid(r_chosen - r_rejected) (Bradley-Terry; Ouyang et al. 2022, arXiv 2203.02155, eq. 1), with
``center_rewards_coefficient`` x (r_chosen + r_rejected)^2 added if asked (Eisenstein et al. 2023, arXiv 2312.09244). Rankings
come as their pairs. With LoRA the new head is trained whole beside the adapter, and both are merged into what is written: one
sequence-classification checkpoint, which vLLM's pooling server and training.reward read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.recipe import Recipe
from training.settings import common_settings, has_gpu


def rm_settings(recipe: Recipe, **more: Any) -> dict[str, Any]:
    """Recipe -> keyword arguments of trl.RewardConfig."""
    return {
        **common_settings(recipe, **more),
        "max_length": recipe.cutoff_len,
        "center_rewards_coefficient": recipe.center_rewards_coefficient,
    }


def rm_trainer(recipe: Recipe, model: Any, tokenizer: Any, train: Any, held_out: Any, lora: Any, callbacks: list[Any]) -> Any:
    """The trainer, ready to start; arguments as sft_trainer's. model: a sequence-classification model with one label."""
    from trl import RewardConfig, RewardTrainer

    return RewardTrainer(
        model=model,
        args=RewardConfig(**rm_settings(recipe, evaluate=held_out is not None, cpu=not has_gpu())),
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=callbacks,
    )


def save_reward_model(model: Any, tokenizer: Any, path: Path) -> None:
    """The whole model with its head, in bf16, adapter merged."""
    import torch

    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model = model.to(torch.bfloat16)
    model.config.dtype = "bfloat16"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
