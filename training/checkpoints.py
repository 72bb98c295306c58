"""Checkpoints of a run: which are whole, which belongs to which recipe, and which is the best by eval_loss."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from training.recipe import Recipe
from training.result import Checkpoint, DataFile, History

LOG = "log"  # the folder beside an adapter's two files that tells how it was trained
STATE = "trainer_state.json"  # transformers writes it last: a checkpoint that has it is whole
_NAME = re.compile(r"checkpoint-(\d+)")
# What may change between a run and its continuation: when it ends, and what is looked at and kept on the way.
_FREE = {
    "max_steps",
    "num_train_epochs",
    "logging_steps",
    "eval_strategy",
    "eval_steps",
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "early_stopping_steps",
    "plot_loss",
    "report_to",
    "resume",
    "output_dir",
    "dataset",  # told apart by content
    "per_device_eval_batch_size",
}


def whole_checkpoints(path: Path) -> list[tuple[int, Path]]:
    """(step, folder) of the checkpoints that were written to the end, in order."""
    found = []
    for folder in path.glob("checkpoint-*") if path.is_dir() else ():
        match = _NAME.fullmatch(folder.name)
        if match and _state(folder) is not None:
            found.append((int(match[1]), folder))
    return sorted(found)


def _state(folder: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def step_of(checkpoint: str) -> int:
    """The step a checkpoint was saved at."""
    return int((_state(Path(checkpoint)) or {}).get("global_step", 0))


def to_resume_from(recipe: Recipe) -> str | None:
    """The checkpoint a recipe goes on from: the one it names, or the last whole one in output_dir, if there is one.

    Raises TrainingError for a named one that is none, and for checkpoints in the way of a training that begins anew.
    """
    found = whole_checkpoints(Path(recipe.output_dir))
    if isinstance(recipe.resume, str):
        named = Path(recipe.resume)
        if _state(named) is None:
            raise TrainingError("this is no whole checkpoint", where=recipe.resume, todo="Name a checkpoint-N folder")
        return str(named)
    if recipe.resume:
        return str(found[-1][1]) if found else None
    if found:
        raise TrainingError(
            f"output_dir holds {len(found)} checkpoints of an earlier training, up to step {found[-1][0]}",
            where=recipe.output_dir,
            todo="Write resume: true to go on with it, or another output_dir, or delete them",
        )
    return None


def check_same_training(recipe: Recipe, data: Iterable[DataFile]) -> None:
    """Before going on: what was trained so far came of this recipe and this data. Raises TrainingError saying what differs."""
    try:
        earlier = json.loads((Path(recipe.output_dir) / LOG / "training.json").read_text(encoding="utf-8"))
        settings, files = dict(earlier["recipe"]), [file["sha256"] for file in earlier["data"]]
    except (OSError, ValueError, KeyError, TypeError):
        return  # not ours, or older: nothing to compare with
    now = recipe.model_dump(mode="json")
    differing = [key for key in now if key not in _FREE and key in settings and settings[key] != now[key]]
    if differing:
        key = differing[0]
        raise TrainingError(
            f"the checkpoints come of another recipe: {key} was {settings[key]}, now it is {now[key]}",
            where=recipe.output_dir,
            todo="Write the old value, or begin anew in another output_dir",
        )
    if files != [file.sha256 for file in data]:
        raise TrainingError(
            "the checkpoints come of other data: a file's content has changed",
            where=recipe.output_dir,
            todo="Begin anew in another output_dir",
        )


def write_log(recipe: Recipe, data: Iterable[DataFile], **more: Any) -> None:
    """log/training.json beside the adapter: recipe, data digests, and what came of it."""
    folder = Path(recipe.output_dir) / LOG
    folder.mkdir(parents=True, exist_ok=True)
    content = {"recipe": recipe.model_dump(mode="json"), "data": [asdict(file) for file in data], **more}
    (folder / "training.json").write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")


def saved_checkpoints(path: Path, history: History) -> tuple[Checkpoint, ...]:
    """Those still on disk, each with the eval_loss measured at its step."""
    losses = {int(line["step"]): float(line["eval_loss"]) for line in history if "eval_loss" in line and "step" in line}
    found = [(step, folder, losses.get(step)) for step, folder in whole_checkpoints(path)]
    best = best_by_loss({step: loss for step, _, loss in found if loss is not None})
    return tuple(Checkpoint(step, folder, loss, step == best) for step, folder, loss in found)


def best_by_loss(losses: Mapping[int, float]) -> int | None:
    """The step with the lowest loss, the earliest of equals."""
    return min(losses, key=lambda step: (losses[step], step)) if losses else None
