"""Does a LoRA adapter fit its base? Answered from two JSON files and safetensors headers, before a server is started for it.

vLLM's own error for a wrong adapter comes late and says a shape, or nothing at all: an adapter whose module names match no module
of the base is served as if it were the base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.serving.tensors import Shape, folder_shapes, shapes

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    """What serving needs to know. rank: the largest of any module. trained_on: the base the adapter's config names."""

    rank: int
    modules: tuple[str, ...]
    trained_on: str


def read_config(adapter: Path) -> dict[str, Any]:
    """adapter_config.json. Raises UsageError when the folder is no PEFT LoRA adapter in safetensors."""
    if not adapter.is_dir():
        raise UsageError("no such directory", where=str(adapter), todo="name the folder of a PEFT adapter")
    if not (adapter / WEIGHTS).is_file():
        pickled = sorted(path.name for path in adapter.glob("adapter_model.*") if path.suffix in (".bin", ".pt", ".pth"))
        if pickled:
            raise UsageError(
                f"{pickled[0]} is a pickle, which runs code when it is loaded", where=str(adapter), todo="save it as safetensors"
            )
        raise UsageError(f"no {WEIGHTS} in it", where=str(adapter), todo="name the folder of a PEFT adapter")
    try:
        config = json.loads((adapter / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"no readable {CONFIG}: {error}", where=str(adapter)) from error
    if not isinstance(config, dict):
        raise UsageError(f"{CONFIG} is not an object", where=str(adapter))
    return config


def check_adapter(adapter: Path, base: Path | None) -> AdapterFacts:
    """Raises UsageError unless vLLM can serve ``adapter`` on ``base`` (None: it is not on this machine, not compared)."""
    config = read_config(adapter)
    _refuse_unserved(config, adapter)
    trained_on = str(config.get("base_model_name_or_path") or "")
    pairs = _pairs(shapes(adapter / WEIGHTS), adapter)
    rank = _check_ranks(pairs, config, adapter)
    _check_targets(pairs, config, adapter)
    if base is not None:
        _check_fit(pairs, base, adapter, trained_on, transposed=bool(config.get("fan_in_fan_out")))
    return AdapterFacts(rank, tuple(sorted({module.rpartition(".")[2] for module in pairs})), trained_on)


def _refuse_unserved(config: Mapping[str, Any], adapter: Path) -> None:
    """Kinds of adapter that vLLM does not serve."""
    kind = config.get("peft_type")
    what = ""
    if kind != "LORA":
        what = f"a {kind} adapter, not LoRA"
    elif config.get("use_dora"):
        what = "a DoRA adapter"
    elif config.get("bias") not in (None, "none"):
        what = f"an adapter that trained biases (bias: {config['bias']})"
    elif config.get("modules_to_save"):
        what = f"an adapter with whole modules in it ({', '.join(map(str, config['modules_to_save']))})"
    if what:
        raise UsageError(
            f"{what} cannot be served by vLLM", where=str(adapter), todo="merge it into its base and name the result as model"
        )


def _pairs(tensors: Mapping[str, Shape], adapter: Path) -> dict[str, tuple[Shape, Shape]]:
    """Module -> shapes of its A (rank, in) and B (out, rank). Embedding adapters are left to the server."""
    sides: dict[str, dict[str, Shape]] = {}
    for name, shape in tensors.items():
        for side in ("A", "B"):
            stem, found, _ = name.partition(f".lora_{side}.")
            if found and len(shape) == 2:
                sides.setdefault(stem.removeprefix(_PREFIX), {})[side] = shape
    for module, found_sides in sides.items():
        if len(found_sides) != 2:
            raise UsageError(f"half an adapter: {module} has lora_{''.join(found_sides)} only", where=str(adapter / WEIGHTS))
    if not sides and not any("lora_embedding" in name for name in tensors):
        raise UsageError("no LoRA weights in it", where=str(adapter / WEIGHTS), todo="train again or copy it again")
    return {module: (both["A"], both["B"]) for module, both in sides.items()}


def _check_ranks(pairs: Mapping[str, tuple[Shape, Shape]], config: Mapping[str, Any], adapter: Path) -> int:
    rank = config.get("r")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise UsageError(f"r is {rank!r}, not a rank", where=str(adapter / CONFIG))
    for module, (a, b) in pairs.items():
        if a[0] != b[1] or (a[0] != rank and not config.get("rank_pattern")):
            raise UsageError(
                f"{CONFIG} says r = {rank}, the weights of {module} have rank {a[0]} (A) and {b[1]} (B)",
                where=str(adapter),
                todo="use config and weights of the same training",
            )
    return max((a[0] for a, _ in pairs.values()), default=rank)


def _check_targets(pairs: Mapping[str, Any], config: Mapping[str, Any], adapter: Path) -> None:
    """Every module the config names has weights; a pattern or "all-linear" names none in particular."""
    targets = config.get("target_modules")
    missing = [
        str(target)
        for target in (targets if isinstance(targets, list) else ())
        if not any(module == target or module.endswith(f".{target}") for module in pairs)
    ]
    if pairs and missing:
        raise UsageError(
            f"{CONFIG} names target modules without weights: {', '.join(sorted(missing))}",
            where=str(adapter),
            todo="use config and weights of the same training",
        )


def _check_fit(pairs: Mapping[str, tuple[Shape, Shape]], base: Path, adapter: Path, trained_on: str, *, transposed: bool) -> None:
    tensors = folder_shapes(base)
    quantized = "quantization_config" in _json(base / "config.json")
    by_suffix = {_suffix(name): name for name in tensors}
    where, hint = str(adapter), f"; its config says it was trained on {trained_on!r}" if trained_on else ""
    todo = f"name the base it was trained on{hint}"
    for module, (a, b) in pairs.items():
        name = _base_tensor(module, tensors, by_suffix)
        if name is None:
            raise UsageError(f"the adapter does not fit its base {base}: the base has no module {module}", where=where, todo=todo)
        shape = tensors[name]
        if quantized or len(shape) != 2 or not name.endswith(".weight"):
            continue  # packed weights have shapes of their own
        have = shape[::-1] if transposed else shape
        if have != (b[0], a[1]):
            raise UsageError(
                f"the adapter does not fit its base {base}: {module} is {have[0]} x {have[1]}, the adapter wants {b[0]} x {a[1]}",
                where=where,
                todo=todo,
            )


def _base_tensor(module: str, tensors: Mapping[str, Shape], by_suffix: Mapping[str, str]) -> str | None:
    """The base's tensor of a module. Checkpoints may wrap names (``language_model.``), so what follows ``layers.`` counts too."""
    for kind in ("weight", "qweight", "weight_packed"):
        name = f"{module}.{kind}"
        if name in tensors:
            return name
        if _suffix(name) in by_suffix:
            return by_suffix[_suffix(name)]
    if module.rpartition(".")[2] == "lm_head":  # tied to the embeddings
        return next((name for name in tensors if name.endswith("embed_tokens.weight")), None)
    return None


def _suffix(name: str) -> str:
    _, found, rest = name.partition("layers.")
    return found + rest if found else name


def _json(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, Mapping) else {}
