"""LoRA adapters: their configuration, the check that one fits its base, and how they are written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from training.recipe import Recipe


def lora_settings(recipe: Recipe) -> dict[str, Any]:
    """Recipe -> keyword arguments of peft.LoraConfig."""
    everything = recipe.lora_target == ("all",)
    reward = recipe.stage == "rm"
    return {
        "task_type": "SEQ_CLS" if reward else "CAUSAL_LM",
        "modules_to_save": ["score"] if reward else None,  # the new head learns whole
        "r": recipe.lora_rank,
        "lora_alpha": recipe.alpha,
        "lora_dropout": recipe.lora_dropout,
        "target_modules": "all-linear" if everything else list(recipe.lora_target),
        "use_rslora": recipe.use_rslora,
        "use_dora": recipe.use_dora,
        "bias": "none",
    }


def check_same_adapter(recipe: Recipe, path: str) -> None:
    """Continuing keeps the adapter's own settings, so what a recipe says of them must be the same. Raises TrainingError."""
    try:
        own = json.loads((Path(path) / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # a hub id, or no adapter: loading it says so
    said = {"r": "lora_rank", "lora_alpha": "lora_alpha", "use_rslora": "use_rslora", "use_dora": "use_dora"}
    asked = lora_settings(recipe)
    for name, key in said.items():
        if key in recipe.model_fields_set and own.get(name) is not None and own[name] != asked[name]:
            raise TrainingError(
                f"the adapter to continue from has {key} {own[name]}, the recipe says {asked[name]}",
                where=path,
                todo=f"Write {key}: {own[name]}, or leave adapter_name_or_path out for a new adapter",
            )


def load_adapter(model: Any, path: str) -> Any:
    """The base with a trainable adapter on it. Raises TrainingError when the adapter was made for another base."""
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(model, path, is_trainable=True)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        text = str(error).strip()
        clash = next((line.strip() for line in text.splitlines() if "size mismatch" in line or "not found" in line), "")
        why = clash or (text.splitlines() or ["unknown"])[0]
        raise TrainingError(
            f"the adapter does not fit its base ({why[:300]})", where=path, todo="Give the base that the adapter was trained on"
        ) from None
    # The base in hand, not the name the adapter was saved under: peft would look that up on the hub.
    adapted.peft_config["default"].base_model_name_or_path = model.name_or_path
    return adapted


def save_adapter(model: Any, path: Path, *, base: str, weights: Mapping[str, Any] | None = None) -> None:
    """Write adapter_model.safetensors and adapter_config.json, nothing else, in bf16 and without a path of this machine.

    base: the name written as base_model_name_or_path; a local path is reduced to its last part. weights: the model's state, where
    this process holds a part of it alone.
    """
    import torch

    found = _adapter_weights(model, weights)
    kept = {name: tensor.detach().to(torch.bfloat16).contiguous() for name, tensor in found.items()}
    if any(not math.isfinite(float(tensor.float().abs().max())) for tensor in kept.values()):
        raise TrainingError("the adapter has weights that are not finite", where=str(path), todo="Lower learning_rate")
    path.mkdir(parents=True, exist_ok=True)
    _write_safetensors(kept, path / "adapter_model.safetensors")
    settings = dict(model.peft_config["default"].to_dict())
    settings |= {"base_model_name_or_path": Path(base).name, "inference_mode": True, "revision": None}
    targets = settings.get("target_modules")
    settings["target_modules"] = sorted(targets) if isinstance(targets, set | list | tuple) else targets
    text = json.dumps(settings, indent=2, sort_keys=True, default=_plain)
    (path / "adapter_config.json").write_text(text + "\n", encoding="utf-8")


def _adapter_weights(model: Any, state: Mapping[str, Any] | None = None) -> dict[str, Any]:
    from peft import get_peft_model_state_dict

    return dict(get_peft_model_state_dict(model, state_dict=state, adapter_name="default", save_embedding_layers=False))


def _write_safetensors(weights: dict[str, Any], path: Path) -> None:
    from safetensors.torch import save_file

    save_file(weights, str(path), metadata={"format": "pt"})
    path.chmod(0o644)  # safetensors makes it private; an adapter is shipped and served by others


def _plain(value: Any) -> Any:
    """JSON for what peft's settings hold beside plain values: sets and enums."""
    return sorted(value) if isinstance(value, set | frozenset) else getattr(value, "value", str(value))
