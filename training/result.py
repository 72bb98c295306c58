"""What a training run hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

History = tuple[Mapping[str, float], ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """One log line of a run. loss: mean over the steps since the last line. eta_s: None until the rate is known.

    note: further figures of the line, for people (rewards and accuracies of DPO).
    """

    step: int
    steps: int
    epoch: float
    loss: float | None
    seconds: float
    eta_s: float | None
    note: str = ""


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One that was saved and is still there. eval_loss: None where nothing was held out. best: the lowest eval_loss."""

    step: int
    path: Path
    eval_loss: float | None
    best: bool = False


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that was trained on. sha256: hex digits over its bytes. rows: taken from it, held out ones included."""

    path: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """path: the adapter's directory (the model's, with finetuning_type full and stage rm).

    metrics: train_loss, and eval_loss when rows were held out; for DPO also the last rewards/accuracies and rewards/margins, for
    rm accuracy and margin. history: trl's log, one mapping per logged step. rows, held_out, cut: rows trained on, held out, and
    cut at cutoff_len (rm: left out). begun: the step it was resumed at. main: whether this process is the one of several that
    writes.
    """

    path: Path
    metrics: Mapping[str, float]
    history: History = ()
    seconds: float = 0.0
    steps: int = 0
    begun: int = 0
    rows: int = 0
    held_out: int = 0
    cut: int = 0
    trainable: int = field(default=0)
    checkpoints: tuple[Checkpoint, ...] = ()
    data: tuple[DataFile, ...] = ()
    main: bool = True
