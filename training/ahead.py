"""Before a training begins: what of its memory is certain, against what the machine has. A run that cannot work ends here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from harness.errors import HarnessError, TrainingError
from harness.sizing import GIB, Job, Method, load_shape, total, training_terms
from training.recipe import Recipe
from training.watch import what_to_turn_down

_ESTIMATED = ("activations", "logits", "reference")


@dataclass(frozen=True, slots=True)
class Ahead:
    """Bytes. certain: weights, gradients and optimiser. expected: with activations and logits. free: on the device."""

    certain: float
    expected: float
    free: float


def job_of(recipe: Recipe) -> Job:
    """What harness.sizing calls this recipe."""
    method: Method = "full" if recipe.finetuning_type == "full" else "qlora" if recipe.quantization_bit else "lora"
    if recipe.stage == "dpo":
        method = "dpo-full" if method == "full" else "dpo" if method == "lora" else method
    return Job(
        method=method,
        batch=recipe.per_device_train_batch_size * (2 if recipe.stage == "rm" else 1),
        length=recipe.cutoff_len,
        rank=recipe.lora_rank,
        targets=recipe.lora_target,
        precision="amp" if recipe.bf16 else "fp32",
        optimiser="adamw_8bit" if "8bit" in recipe.optim else "sgd" if recipe.optim in ("sgd", "adafactor") else "adamw",
        checkpointing=recipe.gradient_checkpointing,
        logits="chunked",  # trl 1.16 never holds them whole
    )


def look_ahead(recipe: Recipe) -> Ahead | None:
    """What a recipe will take on this machine. None where it cannot be told: an unknown family, a base that is not here, or
    several processes that share the weights. Raises TrainingError when even the certain part does not fit."""
    if recipe.deepspeed or int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return None
    try:
        terms = training_terms(load_shape(recipe.model_name_or_path), job_of(recipe))
    except HarnessError:
        return None
    certain = total(tuple(term for term in terms if term.name not in _ESTIMATED))
    ahead = Ahead(certain, total(terms), _free())
    if ahead.certain > ahead.free:
        raise TrainingError(
            f"weights, gradients and optimiser alone take {certain / GIB:.1f} GiB, and {ahead.free / GIB:.1f} are free",
            where=recipe.model_name_or_path,
            todo=what_to_turn_down(recipe),
        )
    return ahead


def _free() -> float:
    """Free bytes of the first GPU, or of this machine."""
    import psutil
    import torch

    if torch.cuda.is_available():
        free: Any = torch.cuda.mem_get_info()[0]
        return float(free)
    return float(psutil.virtual_memory().available)
