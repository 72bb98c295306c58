"""An adapter and its base become one model: safetensors with tokenizer and chat template, served without LoRA.

The sum is made in fp32 and written in bf16 (or fp32); rounding the sum is the only difference from serving the adapter beside its
base. Onto a quantised base nothing is merged: the sum would be of rounded weights that the adapter was not trained to correct.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from training.models import load_base, load_tokenizer, quiet

DTYPES = ("bfloat16", "float32", "float16")
_EXTRA = ("generation_config.json", "chat_template.jinja")


@dataclass(frozen=True, slots=True)
class Merged:
    """path: the model's folder. parameters: of the model."""

    path: Path
    parameters: int
    bytes: int


def merge(adapter: Path, output: Path, *, base: str | None = None, dtype: str = "bfloat16", shard: str = "5GB") -> Merged:
    """Write base + adapter as one model. base: default what the adapter's config names, also looked for beside the adapter.

    Raises TrainingError for an adapter that does not fit, a quantised base, an output folder with something in it.
    """
    import torch

    from training.lora import load_adapter

    settings = _settings(adapter)
    name = base or _base_of(adapter, settings)
    _refuse_quantised(name)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise TrainingError("the folder for the merged model is not empty", where=str(output), todo="Name a new one")
    if settings.get("task_type") == "SEQ_CLS":
        raise TrainingError("this adapter is a reward model's; stage rm writes those merged", where=str(adapter))
    quiet()
    tokenizer = load_tokenizer(name)
    model: Any = load_adapter(load_base(name), str(adapter)).merge_and_unload()
    model = model.to(getattr(torch, dtype))
    model.config.use_cache = True
    model.config.dtype = dtype
    model.save_pretrained(output, max_shard_size=shard)
    tokenizer.save_pretrained(output)
    for extra in _EXTRA:
        if (Path(name) / extra).is_file() and not (output / extra).exists():
            shutil.copyfile(Path(name) / extra, output / extra)
    size = sum(file.stat().st_size for file in output.glob("*.safetensors"))
    return Merged(output, sum(p.numel() for p in model.parameters()), size)


def _settings(adapter: Path) -> dict[str, Any]:
    try:
        settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict) or not (adapter / "adapter_model.safetensors").is_file():
        raise TrainingError("this is no adapter", where=str(adapter), todo="Name a folder with adapter_model.safetensors")
    return settings


def _base_of(adapter: Path, settings: dict[str, Any]) -> str:
    """The base an adapter names: a folder beside it (the quickstart's are), a folder, or a hub id."""
    named = str(settings.get("base_model_name_or_path") or "")
    beside = adapter.resolve().parent / named
    if named and (beside / "config.json").is_file():
        return str(beside)
    if named and ((Path(named) / "config.json").is_file() or named.count("/") == 1):
        return named
    raise TrainingError(f"where the adapter's base {named!r} lies is not known", where=str(adapter), todo="Name it with --base")


def _refuse_quantised(base: str) -> None:
    path = Path(base) / "config.json"
    if not path.is_file():
        return  # a hub id: its config is looked at when it is loaded
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    if isinstance(config, dict) and config.get("quantization_config"):
        raise TrainingError(
            "the base is quantised, and nothing is merged onto a quantised base",
            where=base,
            todo="Merge onto the full-precision base (--base), then quantise the result",
        )
