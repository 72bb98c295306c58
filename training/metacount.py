"""Parameters counted by transformers itself, on PyTorch's meta device: shapes without memory. The check on harness.sizing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import TrainingError


def meta_model(config: Mapping[str, Any]) -> Any:
    """The model a config.json describes, as shapes alone. Code that a repository brings along is never run."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        config = {"tie_word_embeddings": config.get("tie_word_embeddings", True), **inner}
    kind = str(config["model_type"])
    try:
        settings = AutoConfig.for_model(kind, **{k: v for k, v in config.items() if k not in ("model_type", "auto_map")})
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(settings)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = (str(error).splitlines() or ["unknown"])[0]
        raise TrainingError(f"transformers cannot build this shape ({why[:200]})", where=kind) from None


def count_on_meta(config: Mapping[str, Any]) -> int:
    """Parameters of the model; a tied matrix counts once."""
    model = meta_model(config)
    model.tie_weights()
    return sum(parameter.numel() for parameter in model.parameters())
