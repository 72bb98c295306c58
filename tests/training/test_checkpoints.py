"""Checkpoints: kill -9 and go on to the same curve; what is whole, what belongs to which recipe, what is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TrainingError
from training import Recipe, train
from training.checkpoints import best_by_loss, saved_checkpoints, to_resume_from, whole_checkpoints
from training.run import train_loss

BASE = str(Path(__file__).parents[2] / "suites" / "quickstart" / "models" / "base")


def recipe(tmp_path: Path, **changes: Any) -> Recipe:
    data = tmp_path / "rows.jsonl"
    if not data.exists():
        rows = [{"prompt": f"ISO date: 2001/1/{i + 1}", "completion": f"date {i + 1}"} for i in range(24)]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = {
        "stage": "sft",
        "model_name_or_path": BASE,
        "dataset": str(data),
        "output_dir": str(tmp_path / "out"),
        "lora_rank": 4,
        "cutoff_len": 128,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "max_steps": 6,
        "logging_steps": 1,
        "val_size": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "save_total_limit": 2,
        "plot_loss": False,
    }
    return Recipe.model_validate(values | changes)


def checkpoint(folder: Path, step: int, state: str = "{}") -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    if state:
        (path / "trainer_state.json").write_text(state, encoding="utf-8")
    return path


@pytest.mark.heavy
def test_killed_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = train(recipe(tmp_path, output_dir=str(tmp_path / "whole")))
    cut = recipe(tmp_path, output_dir=str(tmp_path / "cut"))
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(cut.model_dump(exclude_unset=True)), encoding="utf-8")
    command = [sys.executable, "-m", "harness", "train", str(file), "--store", str(tmp_path / "store")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if line.startswith("step 3/6"):
                process.kill()
                break
    assert any(line.startswith("step 3/6") for line in seen), seen
    assert [step for step, _ in whole_checkpoints(tmp_path / "cut")] == [2]
    checkpoint(tmp_path / "cut", 4, "")  # as if it had been killed while it wrote the next one
    resumed = train(cut.with_(resume=True))
    curve = [line["loss"] for line in whole.history if "loss" in line]
    assert [line["loss"] for line in resumed.history if "loss" in line] == curve
    assert len(curve) == 6
    one, other = (tmp_path / name / "adapter_model.safetensors" for name in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()
    assert resumed.metrics["train_loss"] == pytest.approx(whole.metrics["train_loss"])
    assert (whole.begun, resumed.begun) == (0, 2)
    other.unlink()  # as if it had been killed after the last checkpoint, before the adapter was written
    again = train(cut.with_(resume=True))
    assert again.begun == again.steps == 6
    assert again.metrics == pytest.approx(resumed.metrics)
    assert one.read_bytes() == other.read_bytes()
    assert [point.step for point in resumed.checkpoints] == [4, 6]  # save_total_limit 2
    assert sum(point.best for point in resumed.checkpoints) == 1
    with pytest.raises(TrainingError, match="holds 2 checkpoints of an earlier training, up to step 6"):
        train(cut)
    with pytest.raises(TrainingError, match=r"another recipe: learning_rate was 5e-05, now it is 0\.01"):
        train(cut.with_(resume=True, learning_rate=0.01))
    data = tmp_path / "rows.jsonl"
    data.write_text(data.read_text(encoding="utf-8").replace("date 3", "date 4"), encoding="utf-8")
    with pytest.raises(TrainingError, match="come of other data"):
        train(cut.with_(resume=True))


def test_the_loss_of_a_resumed_training_is_over_all_its_steps() -> None:
    log = ({"step": 2.0, "loss": 4.0}, {"step": 4.0, "loss": 2.0}, {"step": 5.0, "eval_loss": 9.0}, {"step": 6.0, "loss": 1.0})
    assert train_loss(2.5, 6, 0, log) == 2.5
    assert train_loss(1.0, 6, 4, log) == pytest.approx((8 + 4 + 2) / 6)
    assert train_loss(0.0, 6, 6, log) == pytest.approx((8 + 4 + 2) / 6)
    assert train_loss(1.0, 6, 3, log) == pytest.approx((8 + 3) / 5)  # step 3 was logged by nobody
    assert train_loss(0.0, 1, 1, ()) is None


def test_only_whole_checkpoints_count(tmp_path: Path) -> None:
    checkpoint(tmp_path / "out", 10)
    checkpoint(tmp_path / "out", 9)
    checkpoint(tmp_path / "out", 11, "")
    checkpoint(tmp_path / "out", 12, '{"global_step"')
    checkpoint(tmp_path / "out", 13, "[]")
    (tmp_path / "out" / "checkpoint-x").mkdir()
    assert [step for step, _ in whole_checkpoints(tmp_path / "out")] == [9, 10]
    assert to_resume_from(recipe(tmp_path, resume=True)) == str(tmp_path / "out" / "checkpoint-10")
    assert to_resume_from(recipe(tmp_path, resume=str(tmp_path / "out" / "checkpoint-9"))) == str(
        tmp_path / "out" / "checkpoint-9"
    )
    with pytest.raises(TrainingError, match="no whole checkpoint"):
        to_resume_from(recipe(tmp_path, resume=str(tmp_path / "out" / "checkpoint-11")))


def test_nothing_to_resume_begins_anew(tmp_path: Path) -> None:
    assert to_resume_from(recipe(tmp_path, resume=True)) is None
    assert to_resume_from(recipe(tmp_path)) is None


def test_the_best_is_the_lowest_loss_and_the_earliest_of_equals(tmp_path: Path) -> None:
    assert best_by_loss({30: 0.5, 10: 0.4, 20: 0.4}) == 10
    assert best_by_loss({}) is None
    for step in (1, 2, 3):
        checkpoint(tmp_path, step)
    history = ({"step": 1.0, "eval_loss": 0.9}, {"step": 2.0, "loss": 0.1}, {"step": 3.0, "eval_loss": 0.7})
    found = saved_checkpoints(tmp_path, history)
    assert [(point.step, point.eval_loss, point.best) for point in found] == [(1, 0.9, False), (2, None, False), (3, 0.7, True)]
