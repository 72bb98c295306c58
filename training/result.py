"""What a training run hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Progress:
    """One log line of a run. loss: mean over the steps since the last line. eta_s: None until the rate is known."""

    step: int
    steps: int
    epoch: float
    loss: float | None
    seconds: float
    eta_s: float | None


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """path: the adapter's directory (the model's, with finetuning_type full).

    metrics: train_loss, and eval_loss when rows were held out; for DPO also the last rewards/accuracies and rewards/margins.
    history: trl's log, one mapping per logged step. rows, held_out, cut: rows trained on, held out, and cut at cutoff_len.
    """

    path: Path
    metrics: Mapping[str, float]
    history: tuple[Mapping[str, float], ...] = ()
    seconds: float = 0.0
    steps: int = 0
    rows: int = 0
    held_out: int = 0
    cut: int = 0
    trainable: int = field(default=0)
