"""recipe -> adapter: the one path every training takes, the pocket model's included."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from training.data import Row, hold_out, load_rows
from training.recipe import Recipe
from training.result import Progress, Report, TrainingResult


def train(recipe: Recipe, *, progress: Report | None = None) -> TrainingResult:
    """Train as the recipe says and write the adapter (or model) to its output_dir.

    Raises SuiteError for rows of the wrong shape and TrainingError for what cannot work: no data, rows that are all longer than
    cutoff_len, an adapter that does not fit its base, a loss that is not finite. Nothing is written when it raises.
    """
    started = time.perf_counter()
    rows, held = hold_out(load_rows(recipe.dataset, recipe.stage, limit=recipe.max_samples), recipe.val_size, recipe.seed)
    _quiet()
    tokenizer = load_tokenizer(recipe.model_name_or_path)
    cut = _count_cut(rows, tokenizer, recipe)
    trainer = _trainer(recipe, tokenizer, rows, held, progress)
    outcome = trainer.train(resume_from_checkpoint=_checkpoint(recipe))
    history = tuple({k: float(v) for k, v in line.items()} for line in trainer.state.log_history)
    if not math.isfinite(outcome.training_loss):
        raise _not_finite(recipe, outcome.global_step)
    path = Path(recipe.output_dir)
    _save(recipe, trainer, tokenizer, path)
    return TrainingResult(
        path=path,
        metrics=_metrics(outcome.training_loss, history),
        history=history,
        seconds=time.perf_counter() - started,
        steps=outcome.global_step,
        rows=len(rows),
        held_out=len(held),
        cut=cut,
        trainable=sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
    )


def load_tokenizer(name: str) -> Any:
    """The base's tokenizer; it must have a chat template, because rows are conversations."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"cannot load the base's tokenizer ({str(error).splitlines()[0]})", where=name, todo="Check model_name_or_path"
        ) from None
    if not tokenizer.chat_template:
        raise TrainingError("the base has no chat template", where=name, todo="Use an instruction-tuned base or add a template")
    return tokenizer


def load_base(name: str) -> Any:
    """The base in float32, from safetensors only."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"cannot load the base ({str(error).splitlines()[0]})", where=name, todo="Check model_name_or_path"
        ) from None


def _trainer(recipe: Recipe, tokenizer: Any, rows: list[Row], held: list[Row], progress: Report | None) -> Any:
    from datasets import Dataset

    model, lora = load_base(recipe.model_name_or_path), None
    if recipe.adapter_name_or_path:
        from training.lora import load_adapter

        model = load_adapter(model, recipe.adapter_name_or_path)
    elif recipe.finetuning_type == "lora":
        from peft import LoraConfig

        from training.lora import lora_settings

        lora = LoraConfig(**lora_settings(recipe))
    if recipe.stage == "dpo":
        from training.dpo import dpo_trainer as build
    else:
        from training.sft import sft_trainer as build
    train_set, held_set = Dataset.from_list(rows), Dataset.from_list(held) if held else None
    try:
        return build(recipe, model, tokenizer, train_set, held_set, lora, [_watch(recipe, progress)])
    except ValueError as error:
        raise TrainingError(f"the trainer refuses the recipe: {str(error).splitlines()[0]}", where=recipe.output_dir) from error


def _watch(recipe: Recipe, progress: Report | None) -> Any:
    """A callback that reports progress and stops the run at the first loss that is not finite."""
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = time.perf_counter()
            self.first = state.global_step

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is None:
                return
            if not math.isfinite(float(loss)):
                raise _not_finite(recipe, state.global_step)
            if progress:
                seconds, done = time.perf_counter() - self.started, state.global_step - self.first
                eta = seconds / done * (state.max_steps - state.global_step) if done else None
                progress(Progress(state.global_step, state.max_steps, state.epoch or 0.0, float(loss), seconds, eta))

    return Watch()


def _not_finite(recipe: Recipe, step: int) -> TrainingError:
    return TrainingError(
        f"the loss is not a finite number any more at step {step}",
        where=recipe.output_dir,
        todo=f"Lower learning_rate (now {recipe.learning_rate:g}) or look at the data; nothing was saved",
    )


def _count_cut(rows: list[Row], tokenizer: Any, recipe: Recipe) -> int:
    """Rows longer than cutoff_len (they are cut, and reported); all of them is an error."""
    longer = sum(_length(row, tokenizer) > recipe.cutoff_len for row in rows)
    if longer == len(rows):
        raise TrainingError(
            f"all {len(rows)} rows are longer than cutoff_len {recipe.cutoff_len} tokens",
            where=", ".join(recipe.dataset),
            todo="Raise cutoff_len",
        )
    return longer


def _length(row: Row, tokenizer: Any) -> int:
    """Tokens of the longest conversation in a row."""
    answers = [row[key] for key in ("messages", "completion", "chosen", "rejected") if key in row]
    texts = [tokenizer.apply_chat_template(row.get("prompt", []) + answer, tokenize=False) for answer in answers]
    return max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def _checkpoint(recipe: Recipe) -> str | None:
    """The last checkpoint when the recipe resumes and there is one."""
    from transformers.trainer_utils import get_last_checkpoint

    path = Path(recipe.output_dir)
    return get_last_checkpoint(str(path)) if recipe.resume and path.is_dir() else None


def _save(recipe: Recipe, trainer: Any, tokenizer: Any, path: Path) -> None:
    if recipe.finetuning_type == "lora":
        from training.lora import save_adapter

        save_adapter(trainer.model, path, base=recipe.model_name_or_path)
        return
    import torch

    model = trainer.model.to(torch.bfloat16)
    model.config.use_cache = True
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)


def _metrics(train_loss: float, history: tuple[dict[str, float], ...]) -> dict[str, float]:
    """train_loss, the last eval_loss, and the last preference figures."""
    wanted = ("eval_loss", "rewards/accuracies", "rewards/margins")
    last = {key: value for line in history for key, value in line.items() if key in wanted}
    return {"train_loss": float(train_loss), **last}


def _quiet() -> None:
    """No progress bars or advisory logs of the libraries: ours is the only voice. Offline unless the user says otherwise."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
