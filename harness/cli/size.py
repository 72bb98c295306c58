"""``harness size``: parameters, memory and storage of a model, in lines of at most 80 columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.sizing import Gpu, Job, Method, Shape, Term

_METHODS: tuple[Method, ...] = ("full", "lora", "qlora", "dpo")
_TERMS = ("weights", "fp32 masters", "adapter", "gradients", "optimiser", "activations", "logits", "reference")
_DTYPES = ("fp32", "bf16", "int8", "nf4")
_BITS = {"fp32": 32, "bf16": 16, "int8": 8, "nf4": 4}


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be sized. job: its method is replaced by each of the four. gpus: all built-in ones when empty."""

    job: Job
    concurrency: int
    context: int
    cache_bytes: float
    save_total_limit: int
    headroom: float
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True, slots=True)
class _Unit:
    """What the tables count in."""

    name: str
    bytes: int

    def cell(self, size: float) -> str:
        """Ten columns."""
        count = size / self.bytes
        return f"{count:>10,.0f}" if count >= 10_000 else f"{count:>10,.2f}"


@click.command("size")
@click.argument("model", required=False)
@click.option("--list", "list_names", is_flag=True, help="List the built-in shapes.")
@click.option("--rank", type=click.IntRange(1, 4096), default=8, show_default=True, help="LoRA rank.")
@click.option("--target", default="all", show_default=True, help="LoRA targets, comma-separated: names of linear layers, or all.")
@click.option(
    "--batch", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Sequences (DPO: pairs) a GPU holds."
)
@click.option("--length", type=click.IntRange(1, 100_000_000), default=2048, show_default=True, help="Tokens of a training row.")
@click.option(
    "--precision",
    type=click.Choice(["amp", "mixed", "bf16", "fp32"]),
    default="amp",
    show_default=True,
    help="Of what is trained: fp32 under autocast, bf16 with fp32 masters, all bf16, all fp32.",
)
@click.option("--optimiser", type=click.Choice(["adamw", "adamw_8bit", "sgd"]), default="adamw", show_default=True)
@click.option("--chunked-logits", is_flag=True, help="The loss never holds all logits at once (eight chunks).")
@click.option("--concurrency", type=click.IntRange(1, 1_000_000), default=16, show_default=True, help="Requests served at once.")
@click.option("--context", type=click.IntRange(1, 100_000_000), default=8192, show_default=True, help="Tokens of a request.")
@click.option("--kv-dtype", type=click.Choice(["bf16", "fp8"]), default="bf16", show_default=True, help="Of the KV cache.")
@click.option("--save-total-limit", type=click.IntRange(1, 10_000), default=3, show_default=True, help="Checkpoints kept.")
@click.option("--gpu", "gpus", multiple=True, metavar="NAME[=GiB]", help="Only this GPU, or one of your own (repeatable).")
@click.option("--headroom", type=click.FloatRange(0, 0.9), default=0.1, show_default=True, help="Share of a GPU left free.")
@click.option("--check", is_flag=True, help="Count again with transformers on the meta device (needs the train extra).")
@click.option("--json", "as_json", is_flag=True, help="Everything, with each term's formula, as one JSON object. Bytes.")
def command(model: str | None, list_names: bool, check: bool, as_json: bool, **options: Any) -> None:
    """Size MODEL: a directory with a config.json, that file, or a built-in name (--list).

    Exact parameters, weights by type, KV cache, training memory term by term for full, LoRA, QLoRA and DPO with LoRA, checkpoint
    storage, and on how many of which GPUs each fits. Nothing is loaded or downloaded.
    """
    from harness.sizing import load_shape

    if list_names:
        _list()
        return
    if model is None:
        raise click.UsageError("name a model: a directory, a config.json, or one of --list")
    shape, ask = load_shape(model), _ask(options)
    found = as_dict(shape, ask)
    if check:
        found["parameters"]["counted"] = _counted(model)
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for line in lines(shape, ask, found):
        click.echo(line)


def _ask(options: Mapping[str, Any]) -> Ask:
    from harness.sizing import GPUS, Job, parse_gpu

    job = Job(
        batch=options["batch"],
        length=options["length"],
        rank=options["rank"],
        targets=tuple(part.strip() for part in options["target"].split(",") if part.strip()) or ("all",),
        precision=options["precision"],
        optimiser=options["optimiser"],
        logits="chunked" if options["chunked_logits"] else "full",
    )
    return Ask(
        job,
        options["concurrency"],
        options["context"],
        1.0 if options["kv_dtype"] == "fp8" else 2.0,
        options["save_total_limit"],
        options["headroom"],
        tuple(map(parse_gpu, options["gpus"])) or GPUS,
    )


def _list() -> None:
    from harness.sizing import NAMED, count, load_shape

    for name in NAMED:
        shape = load_shape(name)
        sizes = count(shape)
        active = f", {sizes.active:,} active" if shape.moe else ""
        click.echo(f"{name:<20}{sizes.total:>17,}{active}")


def _counted(model: str) -> int:
    """What transformers counts for the same config."""
    from pathlib import Path

    from harness.sizing import NAMED
    from training.metacount import count_on_meta

    path = Path(model).expanduser()
    file = path / "config.json" if path.is_dir() else path
    if file.is_file():
        return count_on_meta(json.loads(file.read_text(encoding="utf-8")))
    name = model.lower().rpartition("/")[2].removesuffix("-instruct").removesuffix("-it")
    return count_on_meta(NAMED[name])


def as_dict(shape: Shape, ask: Ask) -> dict[str, Any]:
    """Everything there is to say, in bytes."""
    from harness import sizing

    sizes = sizing.count(shape)
    adapter = sizing.lora_parameters(shape, ask.job.rank, ask.job.targets)
    cache = sizing.kv_bytes(shape, ask.context, ask.concurrency, ask.cache_bytes)
    weights = {dtype: sizing.weight_bytes(shape, dtype) for dtype in _DTYPES}
    jobs: dict[str, Any] = {}
    for method, job in _jobs(ask.job).items():
        terms = sizing.training_terms(shape, job)
        resume, final = sizing.checkpoint_bytes(shape, job)
        bare = sizing.training_terms(shape, replace(job, checkpointing=False))
        jobs[method] = {
            "terms": [asdict(term) for term in terms],
            "total": sizing.total(terms),
            "activations_without_checkpointing": _bytes(bare, "activations"),
            "total_without_checkpointing": sizing.total(bare),
            "checkpoint": resume,
            "checkpoints_at_most": resume * (ask.save_total_limit + 1),
            "final": final,
        }
    return {
        "model": shape.name,
        "family": shape.family,
        "shape": {key: getattr(shape, key) for key in ("vocab", "hidden", "layers", "heads", "kv_heads", "head_dim", "tied")},
        "parameters": {
            "total": sizes.total,
            "active": sizes.active,
            "parts": dict(sizes.parts),
            "approximation": sizing.approximate(shape),
        },
        "lora": {"rank": ask.job.rank, "targets": list(ask.job.targets), "parameters": adapter},
        "weights": weights,
        "simple_rule": {dtype: sizing.simple_rule(sizes.total, bits) for dtype, bits in _BITS.items()},
        "serving": {
            "kv_bytes_per_token": sizing.kv_bytes_per_token(shape, ask.cache_bytes),
            "concurrency": ask.concurrency,
            "context": ask.context,
            "kv_bytes": cache,
            "total": {dtype: size + cache for dtype, size in weights.items()},
        },
        "training": {"batch": ask.job.batch, "length": ask.job.length, "precision": ask.job.precision, "jobs": jobs},
        "save_total_limit": ask.save_total_limit,
        "headroom": ask.headroom,
        "fits": {gpu.name: {"memory_gib": gpu.memory, **_fits(shape, ask, gpu)} for gpu in ask.gpus},
        "assumptions": list(_assumptions(shape, ask)),
    }


def _jobs(job: Job) -> dict[str, Job]:
    """The job by each method."""
    return {method: replace(job, method=method) for method in _METHODS}


def _bytes(terms: tuple[Term, ...], name: str) -> float:
    return sum(term.bytes for term in terms if term.name == name)


def _fits(shape: Shape, ask: Ask, gpu: Gpu) -> dict[str, int | None]:
    """Job -> how many of this GPU, None when even the most do not do."""
    from harness import sizing

    cache = sizing.kv_bytes(shape, ask.context, ask.concurrency, ask.cache_bytes)
    serve: dict[str, Callable[[int], float]] = {
        f"serve {dtype}": lambda n, size=sizing.weight_bytes(shape, dtype): (size + cache) / n  # type: ignore[misc]
        for dtype in ("bf16", "nf4")
    }
    train: dict[str, Callable[[int], float]] = {
        method: lambda n, terms=sizing.training_terms(shape, job): sizing.total(terms, n)  # type: ignore[misc]
        for method, job in _jobs(ask.job).items()
    }
    return {name: sizing.needed(gpu, ask.headroom, on_each) for name, on_each in (serve | train).items()}


def lines(shape: Shape, ask: Ask, found: Mapping[str, Any]) -> Iterator[str]:
    from harness.cli.layout import fit

    heads = f"{shape.heads} heads, {shape.kv_heads} for keys and values, of {shape.head_dim}"
    yield f"{fit(shape.name, 40).rstrip()}: {shape.title}, {shape.layers} layers, hidden size {shape.hidden:,}"
    yield f"  {heads}; vocabulary {shape.vocab:,}{', tied' if shape.tied else ''}"
    unit = _Unit("MiB", 1 << 20) if found["weights"]["fp32"] < 2 << 30 else _Unit("GiB", 1 << 30)
    yield from _parameters(shape, ask, found)
    yield from _weights(found, unit)
    yield from _training(ask, found["training"]["jobs"], unit)
    yield from _gpus(ask, found["fits"])
    for text in found["assumptions"]:
        yield from _wrapped(text)


def _parameters(shape: Shape, ask: Ask, found: Mapping[str, Any]) -> Iterator[str]:
    sizes, lora = found["parameters"], found["lora"]
    yield ""
    yield f"{'parameters':<28}{sizes['total']:>18,}  exact, from the configuration"
    for name, size in sizes["parts"].items():
        yield f"  {name:<26}{size:>18,}"
    if shape.moe:
        yield f"{'active for a token':<28}{sizes['active']:>18,}  {100 * sizes['active'] / sizes['total']:.1f} % of all"
    if "counted" in sizes:
        same = "the same" if sizes["counted"] == sizes["total"] else "NOT the same: please report it"
        yield f"{'counted by transformers':<28}{sizes['counted']:>18,}  {same}"
    off = 100 * (found["parameters"]["approximation"] / sizes["total"] - 1)
    yield f"{'12 L h^2 + V h':<28}{sizes['approximation']:>18,}  an approximation, {off:+.1f} %"
    name = f"LoRA of rank {ask.job.rank}"
    share = 100 * lora["parameters"] / sizes["total"]
    yield f"{name:<28}{lora['parameters']:>18,}  {share:.2f} %, on {_short(', '.join(lora['targets']), 24)}"


def _weights(found: Mapping[str, Any], unit: _Unit) -> Iterator[str]:
    serving = found["serving"]
    yield ""
    yield f"{unit.name:<28}" + "".join(f"{dtype:>10}" for dtype in _DTYPES)
    yield f"{'weights':<28}" + "".join(unit.cell(found["weights"][dtype]) for dtype in _DTYPES)
    yield f"{'weights and KV cache':<28}" + "".join(unit.cell(serving["total"][dtype]) for dtype in _DTYPES)
    yield f"{'P x 4 / (32/Q) x 1.2':<28}" + "".join(unit.cell(found["simple_rule"][dtype]) for dtype in _DTYPES)
    yield "  the last line is the rule of thumb: weights at Q bits and a fifth more"
    requests = f"{serving['concurrency']:,} requests of {serving['context']:,} tokens"
    cache = f"KV cache: {serving['kv_bytes_per_token']:,.0f} bytes a token, {_size(serving['kv_bytes'])} for {requests}"
    yield from _wrapped(cache, "")


def _training(ask: Ask, jobs: Mapping[str, Any], unit: _Unit) -> Iterator[str]:
    yield ""
    head = f"training {ask.job.batch:,} x {ask.job.length:,} tokens, {unit.name}"
    yield f"{head:<36}" + "".join(f"{name:>10}" for name in ("full", "LoRA", "QLoRA", "DPO LoRA"))
    for term in _TERMS:
        row = [sum(t["bytes"] for t in jobs[method]["terms"] if t["name"] == term) for method in _METHODS]
        if any(row):
            yield f"  {term:<34}" + "".join(unit.cell(size) if size else f"{'-':>10}" for size in row)
    rows = {
        "total": "total",
        "  activations, no checkpointing": "activations_without_checkpointing",
        "total, no checkpointing": "total_without_checkpointing",
        "disk: a checkpoint to resume from": "checkpoint",
        f"disk: at most {ask.save_total_limit} + 1 of them": "checkpoints_at_most",
        "disk: what is shipped, bf16": "final",
    }
    for name, key in rows.items():
        yield f"{name:<36}" + "".join(unit.cell(jobs[method][key]) for method in _METHODS)


def _gpus(ask: Ask, fits: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield ""
    jobs = ("serve bf16", "serve nf4", "full", "lora", "qlora", "dpo")
    yield f"{'GPUs needed':<16}" + "".join(f"{name:>10}" for name in ("serve", "serve nf4", "full", "LoRA", "QLoRA", "DPO LoRA"))
    for name, row in fits.items():
        yield f"  {_short(name, 13):<14}" + "".join(f"{row[job] or '-':>10}" for job in jobs)


def _assumptions(shape: Shape, ask: Ask) -> Iterator[str]:
    """What the figures rest on; each a sentence."""
    from harness.sizing.gpus import MOST_GPUS

    precision = {
        "amp": "what is trained is fp32 under bf16 autocast, as harness train does with bf16",
        "mixed": "what is trained is bf16 with fp32 masters, as DeepSpeed does",
        "bf16": "what is trained is bf16 throughout",
        "fp32": "everything is fp32",
    }[ask.job.precision]
    yield f"Training: {precision}; {ask.job.optimiser}; the total is with gradient checkpointing. Activations are an estimate."
    yield "LoRA and DPO hold a frozen bf16 base, QLoRA an nf4 one (double quantised); DPO's reference is the bare base."
    yield "int8 and nf4 are for linear layers; embeddings, lm_head and norms stay in 16 bits."
    yield (
        f"GPUs: {100 * ask.headroom:.0f} % of each stay free; several share weights, gradients, optimiser and cache evenly "
        f"(ZeRO-3, FSDP, tensor parallel), activations and logits they do not; - is more than {MOST_GPUS}."
    )
    if shape.windowed:
        yield f"{shape.windowed} of {shape.layers} layers look back {shape.window:,} tokens; a longer request's cache grows less."
    if shape.moe:
        reached = any(linear.group == "experts" and linear.adaptable for linear in shape.linears)
        yield f"LoRA on all {'adapts every expert and the router' if reached else 'leaves the experts alone'}, as peft 0.21 does."
    for note in shape.notes:
        yield note[0].upper() + note[1:] + "."


def _size(size: float) -> str:
    return f"{size / (1 << 30):,.2f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):,.2f} MiB"


def _short(text: str, width: int) -> str:
    from harness.cli.layout import fit

    return fit(text, width).rstrip()


def _wrapped(text: str, bullet: str = "* ") -> list[str]:
    import textwrap

    return textwrap.wrap(text, 80, initial_indent=bullet, subsequent_indent="  ", break_long_words=False)
