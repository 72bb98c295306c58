"""What a model is made of, read from its config.json: every matrix with its sizes, without loading a weight.

Families: Llama, Mistral, Qwen2, Qwen3, Gemma 1 to 3 (the text part of the multimodal ones), Phi and Phi-3, Mixtral, Qwen2-MoE
and Qwen3-MoE, as transformers 5 builds them; tests count the same shapes on PyTorch's meta device. A config that leaves a key out
means that family's default, so the few that real configs leave out are in _DEFAULTS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.sizing.named import NAMED

_DENSE = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "phi")
_MOE = ("mixtral", "qwen2_moe", "qwen3_moe")
FAMILIES = (*_DENSE, *_MOE)
_TITLES = {
    "llama": "Llama",
    "mistral": "Mistral",
    "qwen2": "Qwen2",
    "qwen3": "Qwen3",
    "gemma": "Gemma",
    "gemma2": "Gemma 2",
    "gemma3_text": "Gemma 3",
    "phi3": "Phi-3",
    "phi": "Phi",
    "mixtral": "Mixtral",
    "qwen2_moe": "Qwen2-MoE",
    "qwen3_moe": "Qwen3-MoE",
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gemma": {"head_dim": 256, "tie_word_embeddings": True, "vocab_size": 256000},
    "gemma2": {"head_dim": 256, "tie_word_embeddings": True, "vocab_size": 256000, "sliding_window": 4096},
    "gemma3_text": {
        "head_dim": 256,
        "tie_word_embeddings": True,
        "vocab_size": 262208,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "sliding_window": 4096,
    },
    "qwen3": {"head_dim": 128},
    "mistral": {"num_key_value_heads": 8},
    "mixtral": {"num_key_value_heads": 8, "num_local_experts": 8, "num_experts_per_tok": 2},
    "qwen2_moe": {"num_experts_per_tok": 4},
}
_MOST = 1 << 40  # no real size is near it; keeps nonsense from becoming numbers of a thousand digits


@dataclass(frozen=True, slots=True)
class Linear:
    """One kind of matrix: outputs x inputs (and a bias), count of them in the model, of which a token passes through ``active``.

    name: the module's, as LoRA targets name it; aliases: other names that target it. group: attention, mlp, experts or router.
    adaptable: LoRA reaches it with `all`. rank_factor: two matrices that are stored as one get twice the rank.
    """

    name: str
    inputs: int
    outputs: int
    count: int
    group: str
    bias: bool = False
    active: int | None = None
    adaptable: bool = True
    rank_factor: int = 1
    aliases: tuple[str, ...] = ()

    @property
    def matrix(self) -> int:
        """Weights of one matrix, without its bias."""
        return self.inputs * self.outputs

    @property
    def size(self) -> int:
        """Parameters of one, with its bias."""
        return self.matrix + (self.outputs if self.bias else 0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder's sizes. norms: parameters of all norms. layer_norms: norms of width ``hidden`` in a layer; head_norms: whether
    queries and keys are normalised as well. mlp_widths: per layer, the intermediate width a token passes through. gated: MLP of
    three matrices. window, windowed: tokens that sliding layers look back, and how many layers do (0: none).
    """

    name: str
    family: str
    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    linears: tuple[Linear, ...]
    norms: int
    layer_norms: int
    mlp_widths: tuple[int, ...]
    gated: bool = True
    head_norms: bool = False
    head_bias: bool = False
    window: int = 0
    windowed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return _TITLES[self.family]

    @property
    def moe(self) -> bool:
        return self.family in _MOE


def load_shape(model: str) -> Shape:
    """A directory, a config.json, or one of the built-in names. Raises UsageError for what is none of them or odd."""
    path = Path(model).expanduser()
    file = path / "config.json" if path.is_dir() else path
    if not file.is_file():
        name = model.lower().rpartition("/")[2].removesuffix("-instruct").removesuffix("-it")
        if name in NAMED:
            return shape_of(NAMED[name], name)
        near = get_close_matches(name, NAMED, n=3, cutoff=0.6)
        todo = f"did you mean {' or '.join(near)}? " * bool(near) + "`harness size --list` shows the built-in names"
        raise UsageError("no config.json there, and no built-in shape of this name", where=model, todo=todo)
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read it ({type(error).__name__})", where=str(file), todo="Name a model's config.json") from None
    if not isinstance(config, dict):
        raise UsageError("a model's configuration is a JSON object", where=str(file), todo="Name a model's config.json")
    return shape_of(config, file.resolve().parent.name, where=str(file))


def shape_of(config: Mapping[str, Any], name: str, *, where: str = "") -> Shape:
    """A config.json's content as a Shape."""
    notes = []
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        tied = {key: config[key] for key in ("tie_word_embeddings",) if key in config}
        kind = str(inner.get("model_type") or f"{config.get('model_type')}_text")
        config = tied | dict(inner) | {"model_type": kind}
        notes.append("the text part alone: what sees pictures or hears is not counted")
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise UsageError(
            f"the family {family[:60]!r} is not known", where=where or name, todo="Known model_types: " + ", ".join(FAMILIES)
        )
    if config.get("quantization_config"):
        notes.append("the stored weights are quantised; parameters are counted as before that")
    return _Reader(config, family, where or name).shape(name, tuple(notes))


class _Reader:
    """Takes checked numbers out of one config."""

    def __init__(self, config: Mapping[str, Any], family: str, where: str) -> None:
        self.config = {**_DEFAULTS.get(family, {}), **{k: v for k, v in config.items() if v is not None}}
        self.family, self.where = family, where

    def number(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        value = self.config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
            problem = "is missing" if value is None else f"must be a whole number from {least}"
            raise UsageError(f"{key} {problem}", where=self.where, todo="Give the model's own config.json")
        return value

    def shape(self, name: str, notes: tuple[str, ...]) -> Shape:
        hidden, layers = self.number("hidden_size"), self.number("num_hidden_layers")
        if layers > 100_000:
            raise UsageError("num_hidden_layers is no real number of layers", where=self.where)
        heads = self.number("num_attention_heads")
        kv_heads = self.number("num_key_value_heads", heads)
        head_dim = self.number("head_dim", hidden // heads or 1)
        linears = [*self._attention(hidden, layers, heads * head_dim, kv_heads * head_dim), *self._mlp(hidden, layers)]
        head_norms = self.family in ("qwen3", "qwen3_moe", "gemma3_text") or bool(self.config.get("qk_layernorm"))
        layer_norms = {"gemma2": 4, "gemma3_text": 4, "phi": 1}.get(self.family, 2)
        per_norm = 2 if self.family == "phi" else 1  # LayerNorm has a bias, RMSNorm has none
        norms = per_norm * (hidden * (layer_norms * layers + 1) + (2 * head_dim * layers if head_norms else 0))
        return Shape(
            name=name,
            family=self.family,
            vocab=self.number("vocab_size"),
            hidden=hidden,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            tied=bool(self.config.get("tie_word_embeddings", False)),
            linears=tuple(linears),
            norms=norms,
            layer_norms=layer_norms,
            mlp_widths=self._widths(layers),
            gated=self.family != "phi",
            head_norms=head_norms,
            head_bias=self.family == "phi",
            window=self._window()[0],
            windowed=self._window()[1],
            notes=notes,
        )

    def _attention(self, hidden: int, layers: int, q: int, kv: int) -> list[Linear]:
        everywhere = bool(self.config.get("attention_bias", False)) and self.family != "mistral"
        qkv = everywhere or self.family in ("qwen2", "phi") or (self.family == "qwen2_moe" and self.config.get("qkv_bias", True))
        if self.family == "phi3":
            return [
                Linear("qkv_proj", hidden, q + 2 * kv, layers, "attention"),
                Linear("o_proj", q, hidden, layers, "attention"),
            ]
        out = "dense" if self.family == "phi" else "o_proj"
        return [
            Linear("q_proj", hidden, q, layers, "attention", bool(qkv)),
            Linear("k_proj", hidden, kv, layers, "attention", bool(qkv)),
            Linear("v_proj", hidden, kv, layers, "attention", bool(qkv)),
            Linear(out, q, hidden, layers, "attention", everywhere or self.family == "phi"),
        ]

    def _mlp(self, hidden: int, layers: int) -> list[Linear]:
        if self.family in _MOE:
            return self._experts(hidden, layers)
        width = self.number("intermediate_size")
        if self.family == "phi":
            return [Linear("fc1", hidden, width, layers, "mlp", True), Linear("fc2", width, hidden, layers, "mlp", True)]
        if self.family == "phi3":
            return [
                Linear("gate_up_proj", hidden, 2 * width, layers, "mlp"),
                Linear("down_proj", width, hidden, layers, "mlp"),
            ]
        return _gated(hidden, width, layers, "mlp", self.family == "llama" and bool(self.config.get("mlp_bias", False)))

    def _experts(self, hidden: int, layers: int) -> list[Linear]:
        experts, used, width = self._expert_numbers()
        sparse = len(self._sparse(layers))
        all_of_them, active = sparse * experts, sparse * used
        fused = ("w1", "w3") if self.family == "mixtral" else ("gate_proj", "up_proj")
        down = ("w2",) if self.family == "mixtral" else ("down_proj",)
        # transformers 5 keeps the experts of a layer as one parameter. peft 0.21 adapts those of Mixtral and Qwen3-MoE, not of
        # Qwen2-MoE; and of Qwen3-MoE then not the MLPs of layers without experts.
        reach = self.family != "qwen2_moe"
        gate_up = Linear("experts.gate_up_proj", hidden, 2 * width, all_of_them, "experts", False, active, reach, 2, fused)
        made = [
            gate_up,
            Linear("experts.down_proj", width, hidden, all_of_them, "experts", False, active, reach, 1, down),
            Linear("gate", hidden, experts, sparse, "router", adaptable=reach),
        ]
        if self.family == "qwen2_moe":
            shared = self.number("shared_expert_intermediate_size")
            made += [*_gated(hidden, shared, sparse, "mlp"), Linear("shared_expert_gate", hidden, 1, sparse, "router")]
        if sparse < layers:
            dense = _gated(hidden, self.number("intermediate_size"), layers - sparse, "mlp")
            made += [replace(linear, adaptable=not reach) for linear in dense]
        return made

    def _expert_numbers(self) -> tuple[int, int, int]:
        """(experts of a layer, experts a token passes through, their width)."""
        key = "num_local_experts" if "num_local_experts" in self.config else "num_experts"
        experts, used = self.number(key), self.number("num_experts_per_tok")
        if used > experts:
            raise UsageError(f"num_experts_per_tok is more than the {experts} experts", where=self.where)
        return experts, used, self.number("intermediate_size" if self.family == "mixtral" else "moe_intermediate_size")

    def _sparse(self, layers: int) -> list[int]:
        """The layers that have experts (transformers: not in mlp_only_layers, and (i + 1) a multiple of decoder_sparse_step)."""
        if self.family == "mixtral":
            return list(range(layers))
        step = self.number("decoder_sparse_step", 1)
        dense = self.config.get("mlp_only_layers") or []
        dense = dense if isinstance(dense, list) else []
        return [i for i in range(layers) if i not in dense and (i + 1) % step == 0]

    def _widths(self, layers: int) -> tuple[int, ...]:
        if self.family not in _MOE:
            return (self.number("intermediate_size"),) * layers
        _, used, width = self._expert_numbers()
        active = used * width + (self.number("shared_expert_intermediate_size") if self.family == "qwen2_moe" else 0)
        sparse = set(self._sparse(layers))
        return tuple(active if i in sparse else self.number("intermediate_size") for i in range(layers))

    def _window(self) -> tuple[int, int]:
        """(tokens, layers) of sliding-window attention."""
        window, layers = self.config.get("sliding_window"), self.number("num_hidden_layers")
        if not isinstance(window, int) or isinstance(window, bool) or window < 1:
            return 0, 0
        kinds = self.config.get("layer_types")
        if isinstance(kinds, list):
            return window, min(layers, sum(kind == "sliding_attention" for kind in kinds))
        if self.family == "gemma2":
            return window, (layers + 1) // 2
        if self.family == "gemma3_text":
            return window, layers - layers // self.number("sliding_window_pattern", 6)
        if self.family.startswith("qwen"):
            first = self.number("max_window_layers", layers, least=0)
            return (window, max(0, layers - first)) if self.config.get("use_sliding_window") else (0, 0)
        return (window, layers) if self.family in ("mistral", "mixtral", "phi3") else (0, 0)


def _gated(hidden: int, width: int, count: int, group: str, bias: bool = False) -> list[Linear]:
    return [
        Linear("gate_proj", hidden, width, count, group, bias),
        Linear("up_proj", hidden, width, count, group, bias),
        Linear("down_proj", width, hidden, count, group, bias),
    ]
