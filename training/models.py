"""Bases, tokenizers and what they are loaded as. safetensors only, and no code that comes with a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from training.recipe import Recipe


def load_tokenizer(name: str, chat_template: str | None = None) -> Any:
    """The base's tokenizer; it must have a chat template, because rows are conversations. chat_template: a file instead."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as error:  # a damaged file has many kinds of it
        raise TrainingError(
            f"cannot load the base's tokenizer ({_first_line(error)})", where=name, todo="Check model_name_or_path"
        ) from None
    if chat_template:
        try:
            tokenizer.chat_template = Path(chat_template).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise TrainingError(f"cannot read the chat template ({error})", where=chat_template) from None
    if not tokenizer.chat_template:
        raise TrainingError(
            "the base has no chat template", where=name, todo="Use an instruction-tuned base, or give a chat_template"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(name: str, *, dtype: str = "float32", quantization: Any = None, reward: bool = False) -> Any:
    """The base from safetensors. dtype: float32 or bfloat16. reward: with a head of one number instead of the vocabulary's."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    more: dict[str, Any] = {"quantization_config": quantization} if quantization is not None else {}
    kind: Any = AutoModelForCausalLM
    if reward:
        kind, more = AutoModelForSequenceClassification, {"num_labels": 1}
        torch.manual_seed(0)  # the new head's weights
    try:
        model, told = kind.from_pretrained(
            name, dtype=getattr(torch, dtype), use_safetensors=True, output_loading_info=True, **more
        )
    except Exception as error:  # a damaged file has many kinds of it
        text = str(error).lower()
        if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in text):
            raise  # training.watch says what to turn down
        shapes = "its weights have other shapes than config.json says" if "ignore_mismatched_sizes" in text else ""
        what = f"cannot load the base ({shapes or _first_line(error)})"
        raise TrainingError(what, where=name, todo="Check model_name_or_path") from None
    if lacking := sorted(key for key in told["missing_keys"] if not (reward and key.startswith("score"))):
        # transformers would go on with random numbers in their place
        what = f"the base lacks {len(lacking)} of its weights, {lacking[0]} first"
        raise TrainingError(what, where=name, todo="Check model_name_or_path: the folder is not whole")
    return model


def base_of(recipe: Recipe) -> Any:
    """The base as a recipe trains it: a frozen one under LoRA in bf16 where bf16 is asked for; one that learns always in fp32
    (with bf16 the arithmetic runs in bf16 under autocast: LLaMA-Factory's way, which `harness size` calls amp)."""
    frozen = recipe.finetuning_type == "lora" and recipe.bf16
    dtype = "bfloat16" if frozen or recipe.quantization_bit else "float32"
    return load_base(recipe.model_name_or_path, dtype=dtype, quantization=_quantization(recipe), reward=recipe.stage == "rm")


def _quantization(recipe: Recipe) -> Any:
    """transformers.BitsAndBytesConfig of a QLoRA recipe. Raises TrainingError where it cannot work, before anything is loaded."""
    if recipe.quantization_bit is None:
        return None
    from importlib.util import find_spec

    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None or not torch.accelerator.is_available():
        missing = "bitsandbytes is not installed" if find_spec("bitsandbytes") is None else "there is no GPU"
        raise TrainingError(
            f"quantization_bit {recipe.quantization_bit} cannot work here: {missing}",
            where=recipe.model_name_or_path,
            todo="Install it on a machine with a GPU, or leave quantization_bit out",
        )
    if recipe.quantization_bit == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=recipe.quantization_type,
        bnb_4bit_use_double_quant=recipe.double_quantization,
        bnb_4bit_compute_dtype=torch.bfloat16 if recipe.bf16 else torch.float32,
    )


def _first_line(error: Exception) -> str:
    """What it says; of an error with a headline of its own, what is below it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.endswith(":")), type(error).__name__)[:300]


def quiet() -> None:
    """No progress bars or advisory logs of the libraries: ours is the only voice. No telemetry unless the user says otherwise."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
