"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290), with the chosen answer's SFT loss added if asked.

The loss is ``pref_loss(beta) + pref_ftx * NLL(chosen)``; trl calls the two terms loss_type ["sigmoid", "sft"] with weights
[1, ftx]. Its "sft" term is the mean over the chosen answers' tokens. No second model is held: with a new adapter the reference is
the base (adapter switched off), with a continued one it is a frozen copy of that adapter alone.
"""

from __future__ import annotations

from typing import Any

from training.recipe import Recipe
from training.settings import common_settings, has_gpu


def dpo_settings(recipe: Recipe, **more: Any) -> dict[str, Any]:
    """Recipe -> keyword arguments of trl.DPOConfig."""
    with_sft = recipe.pref_ftx > 0
    return {
        **common_settings(recipe, **more),
        "max_length": recipe.cutoff_len,
        "beta": recipe.pref_beta,
        "label_smoothing": recipe.dpo_label_smoothing,
        "loss_type": [recipe.pref_loss, "sft"] if with_sft else [recipe.pref_loss],
        "loss_weights": [1.0, recipe.pref_ftx] if with_sft else None,
    }


def dpo_trainer(recipe: Recipe, model: Any, tokenizer: Any, train: Any, held_out: Any, lora: Any, callbacks: list[Any]) -> Any:
    """The trainer, ready to start; arguments as sft_trainer's."""
    from trl import DPOConfig, DPOTrainer

    return DPOTrainer(
        model=model,
        args=DPOConfig(**dpo_settings(recipe, evaluate=held_out is not None, cpu=not has_gpu())),
        train_dataset=train,
        eval_dataset=held_out,
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=callbacks,
    )
