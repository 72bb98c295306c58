"""What the trainers have in common: recipe -> keyword arguments of transformers.TrainingArguments."""

from __future__ import annotations

from typing import Any

from training.recipe import Recipe


def has_gpu() -> bool:
    """Whether torch sees an accelerator; without one transformers must be told to use the CPU before it allows bf16."""
    import torch

    return bool(torch.accelerator.is_available())


def common_settings(recipe: Recipe, *, evaluate: bool = False, cpu: bool = True) -> dict[str, Any]:
    """Keyword arguments shared by SFTConfig, DPOConfig and RewardConfig.

    evaluate: rows were held out; their eval_loss then chooses among the saved checkpoints. cpu: there is no accelerator.
    """
    settings: dict[str, Any] = {
        "output_dir": recipe.output_dir,
        "per_device_train_batch_size": recipe.per_device_train_batch_size,
        "per_device_eval_batch_size": recipe.per_device_eval_batch_size or recipe.per_device_train_batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation_steps,
        "learning_rate": recipe.learning_rate,
        "num_train_epochs": recipe.num_train_epochs,
        "max_steps": recipe.max_steps,
        "lr_scheduler_type": recipe.lr_scheduler_type,
        "warmup_steps": recipe.warmup_steps or recipe.warmup_ratio,  # transformers 5: below 1 it is a share of all steps
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": recipe.max_grad_norm,
        "optim": recipe.optim,
        "bf16": recipe.bf16,
        "use_cpu": cpu,
        "gradient_checkpointing": recipe.gradient_checkpointing,
        "deepspeed": recipe.deepspeed,
        "seed": recipe.seed,
        "logging_steps": recipe.logging_steps,
        "logging_nan_inf_filter": False,  # a NaN loss must be seen, not averaged away
        "save_strategy": recipe.save_strategy,
        "save_steps": recipe.save_steps,
        "save_total_limit": recipe.save_total_limit,
        "dataloader_pin_memory": not cpu,
        "disable_tqdm": True,  # our own progress is reported
        "report_to": recipe.report_to,
    }
    if evaluate and recipe.evaluation != "no":
        settings["eval_strategy"] = recipe.evaluation
        settings["eval_steps"] = recipe.eval_steps or recipe.save_steps
        settings |= {"metric_for_best_model": "eval_loss", "greater_is_better": False}
        settings["load_best_model_at_end"] = recipe.save_strategy != "no"
    return settings
