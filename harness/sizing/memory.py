"""Bytes: of weights, of the KV cache, of checkpoints, and of training term by term. All in bytes; GiB is 2**30 of them.

Every term is one line of arithmetic with its source, so that a person can check it. What is exact: weights, gradients, optimiser
states, KV cache, logits. What is an estimate: activations (they depend on the implementation; ours is transformers 5 with
scaled-dot-product attention, which never holds the S x S scores) and everything CUDA and the allocator keep for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.errors import UsageError
from harness.sizing.count import ALL, count, lora_parameters
from harness.sizing.shape import Shape

Method = Literal["full", "lora", "qlora", "dpo", "dpo-full"]
METHODS: tuple[Method, ...] = ("full", "lora", "qlora", "dpo", "dpo-full")
DTYPES = ("fp32", "bf16", "int8", "nf4")
GIB = 1 << 30

# bytes a parameter; Adam keeps two moments (Kingma & Ba 2014): fp32 8, 8-bit 2 (Dettmers et al. 2021, arXiv 2110.02861)
_OPTIMISERS = {"adamw": 8.0, "adamw_8bit": 2.0, "sgd": 0.0}
OPTIMISERS = tuple(_OPTIMISERS)
PRECISIONS = ("amp", "mixed", "bf16", "fp32")
CHUNKS = 8  # parts of a sequence whose logits are held at once by chunked losses


def nf4_bytes(weights: int, *, double: bool = True) -> float:
    """4 bits a weight and a scale for every 64: fp32, or with double quantisation 8 bits and an fp32 one for every 256 of those.

    Dettmers et al. 2023, arXiv 2305.14314, section 3: 0.127 bits a parameter for the scales instead of 0.5. 0.5159 B a weight.
    """
    scales = 1 / 64 + 4 / (64 * 256) if double else 4 / 64
    return weights * (0.5 + scales)


def weight_bytes(shape: Shape, dtype: str) -> float:
    """Weights at rest. int8 (LLM.int8(), arXiv 2208.07339) and nf4 quantise linear layers, experts included; embeddings, lm_head,
    norms, biases and routers stay in 16 bits. int8 keeps an fp32 scale for each output."""
    sizes = count(shape)
    if dtype in ("fp32", "bf16"):
        return sizes.total * (4.0 if dtype == "fp32" else 2.0)
    rest = 2.0 * (sizes.total - sizes.matrices)
    if dtype == "nf4":
        return rest + nf4_bytes(sizes.matrices)
    if dtype == "int8":
        return rest + sizes.matrices + 4.0 * sum(x.outputs * x.count for x in shape.linears if x.name != "gate")
    raise UsageError(f"no dtype {dtype!r}", todo=f"Choose from {', '.join(DTYPES)}")


def simple_rule(parameters: int, bits: int) -> float:
    """M = P x 4 / (32/Q) x 1.2: the rule of thumb for serving, 20 % over the weights at Q bits."""
    return parameters * 4 / (32 / bits) * 1.2


def kv_bytes_per_token(shape: Shape, element: float = 2.0) -> float:
    """2 (keys and values) x layers x KV heads x head size x bytes of a number, for a token that every layer still sees."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * element


def kv_bytes(shape: Shape, length: int, concurrency: int = 1, element: float = 2.0) -> float:
    """The cache of so many requests of so many tokens. Layers with a sliding window keep at most the window's tokens."""
    layer = kv_bytes_per_token(shape, element) / shape.layers
    full = (shape.layers - shape.windowed) * length
    return concurrency * layer * (full + shape.windowed * min(length, shape.window or length))


@dataclass(frozen=True, slots=True)
class Term:
    """One summand of a training's memory. sharded: ZeRO-3 or FSDP divides it by the number of GPUs."""

    name: str
    bytes: float
    formula: str
    sharded: bool = True


@dataclass(frozen=True, slots=True)
class Job:
    """What is trained, and how. batch: sequences (for DPO pairs) a GPU holds at once; length: their tokens.

    precision, of what is trained: amp (fp32 weights under bf16 autocast: what `harness train` does with bf16), mixed (bf16
    weights and gradients, fp32 masters: DeepSpeed), bf16 (everything), fp32. logits: full, or chunked (never held whole).
    """

    method: Method = "lora"
    batch: int = 1
    length: int = 2048
    rank: int = 8
    targets: tuple[str, ...] = (ALL,)
    precision: str = "amp"
    optimiser: str = "adamw"
    checkpointing: bool = True
    logits: str = "full"


def training_terms(shape: Shape, job: Job) -> tuple[Term, ...]:
    """Every term of a job, in the order weights, masters, gradients, optimiser, activations, logits, reference."""
    _check(job)
    whole = job.method in ("full", "dpo-full")
    if whole:
        terms = _trained(count(shape).total, job, "P")
    else:
        dtype = "nf4" if job.method == "qlora" else "fp32" if job.precision == "fp32" else "bf16"
        frozen = Term("weights", weight_bytes(shape, dtype), f"{dtype}, frozen")
        adapter = lora_parameters(shape, job.rank, job.targets)
        terms = [frozen, *(_adapter_terms(adapter, job))]
    return (*terms, *_sequence_terms(shape, job), *_reference(shape, job))


def total(terms: tuple[Term, ...], gpus: int = 1) -> float:
    """Bytes of one GPU when so many share what can be shared."""
    return sum(term.bytes / gpus if term.sharded else term.bytes for term in terms)


def _state(job: Job) -> float:
    """Bytes of optimiser a parameter. PyTorch's AdamW keeps its moments in the parameter's own type."""
    state = _OPTIMISERS[job.optimiser]
    return min(state, 4.0) if job.precision == "bf16" else state


def _trained(p: int, job: Job, symbol: str) -> list[Term]:
    """Of P trained parameters. mixed: 2 + 2 + 12 bytes, Rajbhandari et al. 2020 (ZeRO), arXiv 1910.02054, section 3.1."""
    state = _state(job)
    by_precision = {
        "amp": [("weights", 2.0, "bf16 copies that autocast makes"), ("fp32 masters", 4.0, "the weights themselves")],
        "mixed": [("weights", 2.0, "bf16"), ("fp32 masters", 4.0, "kept by the optimiser")],
        "bf16": [("weights", 2.0, "bf16")],
        "fp32": [("weights", 4.0, "fp32")],
    }[job.precision]
    gradients = 2.0 if job.precision in ("mixed", "bf16") else 4.0
    rows = [*by_precision, ("gradients", gradients, ""), ("optimiser", state, job.optimiser)]
    return [Term(name, each * p, f"{each:g} x {symbol}" + (f", {why}" if why else "")) for name, each, why in rows if each]


def _adapter_terms(n: int, job: Job) -> list[Term]:
    """The adapter is fp32 (peft's autocast_adapter_dtype) unless everything is bf16."""
    each = 2.0 if job.precision == "bf16" else 4.0
    state = _state(job)
    rows = [("adapter", each, ""), ("gradients", each, ""), ("optimiser", state, f", {job.optimiser}")]
    return [Term(name, size * n, f"{size:g} x adapter{why}") for name, size, why in rows if size]


def _sequence_terms(shape: Shape, job: Job) -> list[Term]:
    """What grows with batch and length. DPO holds chosen and rejected: twice the sequences."""
    tokens = job.batch * job.length * (2 if job.method.startswith("dpo") else 1)
    element = 4.0 if job.precision == "fp32" else 2.0
    layers = [layer_activations(shape, width, element) for width in shape.mlp_widths]
    if job.checkpointing:
        held = element * shape.hidden * shape.layers + max(layers)
        why = "inputs of the layers + one layer"
    else:
        held, why = sum(layers), "all layers"
    logits, how = tokens * shape.vocab * 8.0, "(4 + 4) x tokens x vocabulary"
    if job.logits == "chunked":
        logits, how = logits / CHUNKS, f"{how} / {CHUNKS}"
    return [Term("activations", tokens * held, why, sharded=False), Term("logits", logits, how, sharded=False)]


def layer_activations(shape: Shape, mlp_width: int, element: float = 2.0) -> float:
    """Bytes a token leaves in one layer for the backward pass, counted tensor by tensor as in Korthikanti et al. 2022 (arXiv
    2205.05198, section 4.1), for RMSNorm, rotary embeddings, fused attention and a (gated) MLP, without dropout:

    each norm its fp32 input and its normalised input (4 + c) d (Gemma normalises in fp32: 8 d); the inputs of attention and MLP
    2 c d; queries, keys, values and the attention's output c (2 q + 2 kv); norms of queries and keys (4 + c)(q + kv); gate,
    activated gate, up and their product 4 c f (Phi: one matrix and a GELU written in single steps, 5 c f). c: bytes of a number.
    """
    d, c = shape.hidden, element
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    norm = 8.0 if shape.family.startswith("gemma") else 4 + c
    inputs = (1 if shape.family == "phi" else 2) * c * d
    attention = c * (2 * q + 2 * kv) + (norm * (q + kv) if shape.head_norms else 0)
    return shape.layer_norms * norm * d + inputs + attention + (4 if shape.gated else 5) * c * mlp_width


def _reference(shape: Shape, job: Job) -> list[Term]:
    """DPO's reference. With LoRA it is the base with the adapter off, so no second copy; its log-probabilities are two fp32
    numbers a pair, its logits (bf16 and fp32) live while the policy's are held (Rafailov et al. 2023 for the loss itself)."""
    if not job.method.startswith("dpo"):
        return []
    logits = 2 * job.batch * job.length * shape.vocab * 6.0 / (CHUNKS if job.logits == "chunked" else 1)
    rows = [Term("reference", logits + 8.0 * job.batch, "its logits (2 + 4) and log-probs", sharded=False)]
    if job.method == "dpo-full":
        each = 4.0 if job.precision in ("amp", "fp32") else 2.0
        rows.insert(0, Term("reference copy", each * count(shape).total, f"{each:g} x P, frozen"))
    return rows


def checkpoint_bytes(shape: Shape, job: Job) -> tuple[float, float]:
    """(a checkpoint to resume from, what is shipped at the end). With the optimiser: its states beside the weights as trained, so
    14 B a parameter (mixed: bf16 weights, fp32 masters and moments) or 12 (fp32 weights and moments), of the adapter with LoRA.
    """
    whole = job.method in ("full", "dpo-full")
    n = count(shape).total if whole else lora_parameters(shape, job.rank, job.targets)
    weights = {"amp": 4.0, "fp32": 4.0, "mixed": 6.0 if whole else 4.0, "bf16": 2.0}[job.precision]
    return n * (weights + _state(job)), n * 2.0


def _check(job: Job) -> None:
    choices = (
        ("method", job.method, METHODS),
        ("precision", job.precision, PRECISIONS),
        ("optimiser", job.optimiser, OPTIMISERS),
        ("logits", job.logits, ("full", "chunked")),
    )
    for name, value, known in choices:
        if value not in known:
            raise UsageError(f"no {name} {value!r}", todo=f"Choose from {', '.join(known)}")
    if min(job.batch, job.length, job.rank) < 1:
        raise UsageError("batch, length and rank start from 1")
