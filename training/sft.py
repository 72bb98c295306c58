"""Supervised fine-tuning: trl's SFTTrainer with the loss on the assistant's words only."""

from __future__ import annotations

from typing import Any

from training.recipe import Recipe
from training.settings import common_settings, has_gpu


def sft_settings(recipe: Recipe, *, completion: bool, **more: Any) -> dict[str, Any]:
    """Recipe -> keyword arguments of trl.SFTConfig. completion: the rows are prompt + completion, not messages."""
    return {
        **common_settings(recipe, **more),
        "max_length": recipe.cutoff_len,
        "packing": recipe.packing,
        # Prompt-completion rows learn the completion; messages every assistant turn (the template needs {% generation %}).
        "completion_only_loss": True if completion else None,
        "assistant_only_loss": not completion,
        "loss_type": "nll",
    }


def sft_trainer(recipe: Recipe, model: Any, tokenizer: Any, train: Any, held_out: Any, lora: Any, callbacks: list[Any]) -> Any:
    """The trainer, ready to start. train, held_out: datasets.Dataset, held_out may be None. lora: LoraConfig or None."""
    from trl import SFTConfig, SFTTrainer

    completion = "completion" in train.column_names
    return SFTTrainer(
        model=model,
        args=SFTConfig(**sft_settings(recipe, completion=completion, evaluate=held_out is not None, cpu=not has_gpu())),
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=callbacks,
    )
