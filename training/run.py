"""recipe -> adapter: the one path every training takes, the pocket model's included."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from training.ahead import look_ahead
from training.checkpoints import check_same_training, saved_checkpoints, step_of, to_resume_from, write_log
from training.data import Row, hold_out, load_files
from training.models import base_of, load_tokenizer, quiet
from training.recipe import Recipe
from training.result import DataFile, History, Report, TrainingResult
from training.watch import NothingLeft, callbacks, memory_trouble, not_finite

_KEPT = ("eval_loss", "rewards/accuracies", "rewards/margins", "accuracy", "margin", "eval_accuracy", "eval_rewards/accuracies")


def train(recipe: Recipe, *, progress: Report | None = None) -> TrainingResult:
    """Train as the recipe says and write the adapter (or model) to its output_dir.

    Raises SuiteError for rows of the wrong shape and TrainingError for what cannot work: no data, rows that are all longer than
    cutoff_len, no memory, an adapter that does not fit its base, a loss that is not finite. No adapter is written when it raises.
    """
    started = time.perf_counter()
    loaded, files = load_files(recipe.dataset, recipe.stage, limit=recipe.max_samples)
    rows, held = hold_out(loaded, recipe.val_size, recipe.seed)
    resume = to_resume_from(recipe)
    begun = step_of(resume) if resume else 0  # now: save_total_limit may remove it on the way
    if resume:
        check_same_training(recipe, files)
    look_ahead(recipe)
    _refuse_sharded(recipe)
    quiet()
    tokenizer = load_tokenizer(recipe.model_name_or_path, recipe.chat_template)
    cut = _count_cut(rows, tokenizer, recipe)
    with memory_trouble(recipe):
        trainer = _trainer(recipe, tokenizer, rows, held, progress)
        if trainer.is_world_process_zero():
            write_log(recipe, files)
        told = _run(trainer, resume)
    steps = int(trainer.state.global_step)
    history = tuple({k: float(v) for k, v in line.items()} for line in trainer.state.log_history)
    if not math.isfinite(told):
        raise not_finite(recipe, steps)
    main = bool(trainer.is_world_process_zero())
    path = Path(recipe.output_dir)
    metrics = _metrics(train_loss(told, steps, begun, history), history)
    trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    whole = _gathered(trainer)
    if main:
        _save(recipe, trainer, tokenizer, path, whole)
        _write_logs(recipe, files, history, metrics)
    return TrainingResult(
        path=path,
        metrics=metrics,
        history=history,
        seconds=time.perf_counter() - started,
        steps=steps,
        begun=begun,
        rows=len(rows),
        held_out=len(held),
        cut=cut,
        trainable=trainable,
        checkpoints=saved_checkpoints(path, history),
        data=files,
        main=main,
    )


def _trainer(recipe: Recipe, tokenizer: Any, rows: list[Row], held: list[Row], progress: Report | None) -> Any:
    from datasets import Dataset

    if recipe.adapter_name_or_path:
        from training.lora import check_same_adapter, load_adapter

        check_same_adapter(recipe, recipe.adapter_name_or_path)
        model, lora = load_adapter(base_of(recipe), recipe.adapter_name_or_path), None
    elif recipe.finetuning_type == "lora":
        from peft import LoraConfig

        from training.lora import lora_settings

        model, lora = base_of(recipe), LoraConfig(**lora_settings(recipe))
    else:
        model, lora = base_of(recipe), None
    if recipe.stage == "dpo":
        from training.dpo import dpo_trainer as build
    elif recipe.stage == "rm":
        from training.rm import rm_trainer as build
    else:
        from training.sft import sft_trainer as build
    train_set, held_set = Dataset.from_list(rows), Dataset.from_list(held) if held else None
    watching = callbacks(recipe, progress, evaluate=held_set is not None)
    try:
        return _quietened(build(recipe, model, tokenizer, train_set, held_set, lora, watching))
    except (ValueError, ImportError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" in str(error):
            raise
        text = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(f"the trainer refuses the recipe: {text[0]}", where=recipe.output_dir) from error


def _run(trainer: Any, resume: str | None) -> float:
    """Train to the end; the mean loss of the steps that were done now, 0 where none was left."""
    try:
        return float(trainer.train(resume_from_checkpoint=resume).training_loss)
    except NothingLeft:
        if trainer.args.load_best_model_at_end and trainer.state.best_model_checkpoint is not None:
            trainer._load_best_model()
        return 0.0


def _quietened(trainer: Any) -> Any:
    """Without transformers' own printing of every log line, and without trl's model card among the files."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.create_model_card = lambda *_, **__: None
    return trainer


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


def _gathered(trainer: Any) -> Mapping[str, Any] | None:
    """All weights, where processes hold parts of them (DeepSpeed, FSDP): every process must ask. None: each holds them all."""
    if trainer.is_deepspeed_enabled:
        return dict(trainer.accelerator.get_state_dict(trainer.deepspeed))
    return dict(trainer.accelerator.get_state_dict(trainer.model)) if trainer.is_fsdp_enabled else None


def _refuse_sharded(recipe: Recipe) -> None:
    """What several processes with parts of the weights each cannot write at the end."""
    by_file = any(os.environ.get(f"ACCELERATE_USE_{name}", "").lower() == "true" for name in ("FSDP", "DEEPSPEED"))
    if recipe.stage == "rm" and (recipe.deepspeed or by_file):
        raise TrainingError(
            "a reward model is saved merged, and weights that are parted by DeepSpeed or FSDP are not merged",
            where=recipe.output_dir,
            todo="Leave the file out: accelerate launch without one trains it on several GPUs (DDP)",
        )


def _save(recipe: Recipe, trainer: Any, tokenizer: Any, path: Path, whole: Mapping[str, Any] | None) -> None:
    model = trainer.accelerator.unwrap_model(trainer.model)
    if recipe.stage == "rm":
        from training.rm import save_reward_model

        save_reward_model(model, tokenizer, path)
        return
    if recipe.finetuning_type == "lora":
        from training.lora import save_adapter

        save_adapter(model, path, base=recipe.model_name_or_path, weights=whole)
        return
    import torch

    model.config.use_cache = True
    if whole is None:
        model.to(torch.bfloat16).save_pretrained(path)
    else:
        model.config.dtype = "bfloat16"
        model.save_pretrained(path, state_dict={name: tensor.to(torch.bfloat16) for name, tensor in whole.items()})
    tokenizer.save_pretrained(path)


def _write_logs(recipe: Recipe, files: tuple[DataFile, ...], history: History, metrics: dict[str, float]) -> None:
    """How it went, in the log folder: figures as JSON, curves as pictures."""
    from training.checkpoints import LOG

    write_log(recipe, files, metrics=metrics, history=history)
    if recipe.plot_loss:
        from training.curves import draw_curves

        draw_curves(history, Path(recipe.output_dir) / LOG, title=f"{recipe.stage} on {Path(recipe.model_name_or_path).name}")


def train_loss(told: float, steps: int, begun: int, history: History) -> float | None:
    """The mean loss over all steps, those before a resumption too; None where nothing is known.

    told: the trainer's own, which is the mean of its own steps: of a resumption at step ``begun`` those since then, 0 where none
    was left. The steps before come from the log, whose lines are means since the line before.
    """
    if not begun:
        return float(told)
    before = [(int(line["step"]), line["loss"]) for line in history if "loss" in line and line["step"] <= begun]
    starts = [0, *(step for step, _ in before)]
    logged = sum(loss * (step - start) for (step, loss), start in zip(before, starts, strict=False))
    known = starts[-1] + steps - begun
    return (logged + told * (steps - begun)) / known if known else None


def _metrics(loss: float | None, history: History) -> dict[str, float]:
    """train_loss, the last eval_loss, and the last preference figures."""
    last = {key: value for line in history for key, value in line.items() if key in _KEPT}
    return ({} if loss is None else {"train_loss": loss}) | last
