"""Parameters, exactly: of a model, of a LoRA adapter on it, and the approximation that people do in their heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.plugs import nearest
from harness.sizing.shape import Linear, Shape

GROUPS = ("embedding", "attention", "mlp", "experts", "router", "norms", "lm_head")
ALL = "all"


@dataclass(frozen=True, slots=True)
class Count:
    """Parameters of a model. parts: by group, in the order of GROUPS, without those that are empty.

    active: those a token passes through (embeddings included, as model cards count them); less than total only with experts.
    lm_head is not among the parts of a model whose embeddings are tied: the matrix is there once. matrices: weights of linear
    layers, experts included and lm_head not: what int8 and nf4 quantise.
    """

    total: int
    active: int
    parts: tuple[tuple[str, int], ...]
    matrices: int


def count(shape: Shape) -> Count:
    """V d (+ V d if untied) + the matrices of each layer with their biases + norms."""
    embedding = shape.vocab * shape.hidden
    parts = dict.fromkeys(GROUPS, 0)
    parts["embedding"], parts["norms"] = embedding, shape.norms
    parts["lm_head"] = (0 if shape.tied else embedding) + (shape.vocab if shape.head_bias else 0)
    idle = 0
    for linear in shape.linears:
        parts[linear.group] += linear.size * linear.count
        idle += linear.size * (linear.count - _active(linear))
    total = sum(parts.values())
    matrices = sum(linear.matrix * linear.count for linear in shape.linears if linear.name != "gate")
    return Count(total, total - idle, tuple((name, size) for name, size in parts.items() if size), matrices)


def _active(linear: Linear) -> int:
    return linear.count if linear.active is None else linear.active


def approximate(shape: Shape) -> int:
    """12 L h^2 + V h: attention 4 h^2 and an MLP of 8 h^2 a layer (Kaplan et al. 2020, arXiv 2001.08361, table 1, d_ff = 4 h).

    Off where heads are grouped, the MLP is gated or its width is not 4 h, and blind to experts.
    """
    return 12 * shape.layers * shape.hidden**2 + shape.vocab * shape.hidden


def adapted(shape: Shape, targets: Sequence[str] = (ALL,)) -> tuple[Linear, ...]:
    """The matrices LoRA is put on; ``all`` means every linear layer but lm_head. Raises UsageError for a name that is none."""
    reachable = [linear for linear in shape.linears if linear.adaptable]
    names = sorted({name for linear in reachable for name in (linear.name, *linear.aliases)})
    for target in targets:
        if target != ALL and target not in names:
            todo = nearest(target, names) or f"This model has {', '.join(names)}, or {ALL}"
            raise UsageError(f"{shape.title} has no linear layer {target!r}", todo=todo)
    return tuple(linear for linear in reachable if ALL in targets or {linear.name, *linear.aliases} & set(targets))


def lora_parameters(shape: Shape, rank: int, targets: Sequence[str] = (ALL,)) -> int:
    """r (in + out) for each adapted matrix (Hu et al. 2021, arXiv 2106.09685, section 4.1)."""
    return sum(rank * linear.rank_factor * (linear.inputs + linear.outputs) * linear.count for linear in adapted(shape, targets))
