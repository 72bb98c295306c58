"""What watches a training while it runs: progress with the time left, and the first loss that is not finite stops it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import TrainingError
from training.recipe import Recipe
from training.result import Progress, Report

# what a progress line shows beside the loss, in this order: (trl's name, short name)
_NOTES = (
    ("rewards/accuracies", "accuracy"),
    ("rewards/margins", "margin"),
    ("accuracy", "accuracy"),
    ("margin", "margin"),
    ("eval_loss", "eval loss"),
)


class NothingLeft(Exception):
    """A training was resumed at its last step: transformers would look whether it has ended only after one step more."""


def callbacks(recipe: Recipe, progress: Report | None, *, evaluate: bool) -> list[Any]:
    """The callbacks of a trainer."""
    found = [_watch(recipe, progress)]
    if recipe.early_stopping_steps and evaluate:
        from transformers import EarlyStoppingCallback

        found.append(EarlyStoppingCallback(early_stopping_patience=recipe.early_stopping_steps))
    return found


def _watch(recipe: Recipe, progress: Report | None) -> Any:
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = time.perf_counter()
            self.first = state.global_step

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step >= state.max_steps:
                raise NothingLeft

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            logs = logs or {}
            loss = logs.get("loss")
            for name in ("loss", "eval_loss", "grad_norm"):
                if name in logs and not math.isfinite(float(logs[name])):
                    raise not_finite(recipe, state.global_step, name)
            if progress is None or not state.is_world_process_zero or (loss is None and "eval_loss" not in logs):
                return
            seconds, done = time.perf_counter() - self.started, state.global_step - self.first
            eta = seconds / done * (state.max_steps - state.global_step) if done else None
            loss = None if loss is None else float(loss)
            progress(Progress(state.global_step, state.max_steps, state.epoch or 0.0, loss, seconds, eta, note(logs)))

    return Watch()


def note(logs: Mapping[str, Any]) -> str:
    """``accuracy 0.75, margin 0.31`` of what a log line has."""
    return ", ".join(f"{short} {float(logs[name]):.4g}" for name, short in _NOTES if name in logs)


def not_finite(recipe: Recipe, step: int, name: str = "loss") -> TrainingError:
    """The error for a loss, or a gradient, that is not a number any more."""
    what = {"loss": "the loss", "eval_loss": "the loss on held-out rows", "grad_norm": "the gradient"}[name]
    return TrainingError(
        f"{what} is not a finite number any more at step {step}",
        where=recipe.output_dir,
        todo=f"Lower learning_rate (now {recipe.learning_rate:g}) or look at the data; nothing was saved",
    )


@contextlib.contextmanager
def memory_trouble(recipe: Recipe) -> Iterator[None]:
    """Running out of memory, on a GPU or the CPU, as an error that says what to turn down."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = str(error).lower()
        ran_out = isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in text or "out of memory" in text
        if not ran_out:
            raise
        raise TrainingError("the memory ran out", where=recipe.output_dir, todo=what_to_turn_down(recipe)) from error


def what_to_turn_down(recipe: Recipe) -> str:
    """The settings of a recipe that would save memory, the cheapest first."""
    ways = []
    if not recipe.gradient_checkpointing:
        ways.append("set gradient_checkpointing: true")
    if recipe.per_device_train_batch_size > 1:
        ways.append(f"lower per_device_train_batch_size (now {recipe.per_device_train_batch_size})")
    ways.append(f"lower cutoff_len (now {recipe.cutoff_len})")
    if recipe.finetuning_type == "full":
        ways.append("train a LoRA adapter")
    elif recipe.quantization_bit is None:
        ways.append("set quantization_bit: 4")
    text = ", ".join(ways)
    return f"{text[0].upper()}{text[1:]}; `harness size` shows what takes how much"
