"""Real training on the shipped pocket base: a few steps of SFT and DPO, continuing, and everything that must be refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.errors import SuiteError, TrainingError
from training import Recipe, TrainingResult, load_recipe, train
from training.result import Progress

SUITE = Path(__file__).parents[2] / "suites" / "quickstart"
BASE = str(SUITE / "models" / "base")
SFT = str(SUITE / "models" / "sft")


def recipe(tmp_path: Path, rows: list[dict[str, Any]], **changes: Any) -> Recipe:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = {
        "stage": "sft",
        "model_name_or_path": BASE,
        "dataset": str(data),
        "output_dir": str(tmp_path / "out"),
        "lora_rank": 4,
        "cutoff_len": 128,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-3,
        "max_steps": 6,
        "logging_steps": 2,
    }
    return Recipe.model_validate(values | changes)


def sft_rows(count: int = 24) -> list[dict[str, Any]]:
    return [{"prompt": f"ISO date: 2001/1/{i + 1}", "completion": f"date {i + 1}"} for i in range(count)]


def dpo_rows(count: int = 24) -> list[dict[str, Any]]:
    return [{"prompt": f"ISO date: 2001/1/{i + 1}", "chosen": f"2001-01-{i + 1:02d}", "rejected": "{}"} for i in range(count)]


def weights(path: str | Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(str(Path(path) / "adapter_model.safetensors"))


@pytest.mark.heavy
def test_sft_lowers_the_loss_and_writes_a_clean_adapter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[Progress] = []
    result = train(recipe(tmp_path, sft_rows(), max_steps=20, val_size=0.25), progress=lines.append)
    assert isinstance(result, TrainingResult)
    assert (result.rows, result.held_out, result.steps, result.cut) == (18, 6, 20, 0)
    losses = [line.loss for line in lines if line.loss is not None]
    assert losses[-1] < 0.85 * losses[0]
    assert lines[-1].eta_s == 0
    assert lines[-1].note.startswith("eval loss")
    assert capsys.readouterr().out == ""  # nobody else speaks
    assert {path.name for path in (result.path / "log").iterdir()} == {"training.json", "curves.svg", "curves.html", "curves.png"}
    assert math.isfinite(result.metrics["eval_loss"])
    assert {path.name for path in result.path.iterdir()} == {"adapter_model.safetensors", "adapter_config.json", "log"}
    assert str(tmp_path) not in (result.path / "adapter_config.json").read_text(encoding="utf-8")
    assert all(str(tensor.dtype) == "torch.bfloat16" for tensor in weights(result.path).values())
    assert result.trainable == sum(tensor.numel() for tensor in weights(result.path).values())


@pytest.mark.heavy
def test_same_recipe_same_adapter_and_another_seed_another(tmp_path: Path) -> None:
    def digest(name: str, seed: int) -> bytes:
        train(recipe(tmp_path, sft_rows(), output_dir=str(tmp_path / name), seed=seed))
        return (tmp_path / name / "adapter_model.safetensors").read_bytes()

    first = digest("a", 1)
    assert digest("b", 1) == first
    assert digest("c", 2) != first


@pytest.mark.heavy
@pytest.mark.filterwarnings("error:Unable to fetch remote file")
def test_dpo_prefers_the_chosen_and_continues_an_adapter(tmp_path: Path) -> None:
    more = {"stage": "dpo", "adapter_name_or_path": SFT, "lora_rank": 16, "pref_beta": 0.2, "pref_ftx": 0.3, "max_steps": 12}
    result = train(recipe(tmp_path, dpo_rows(), **more))
    assert result.metrics["rewards/margins"] > 0
    logged = {"rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "learning_rate"}
    assert all(logged <= line.keys() for line in result.history if "loss" in line)
    assert {path.name for path in result.path.iterdir()} == {"adapter_model.safetensors", "adapter_config.json", "log"}
    before, after = weights(SFT), weights(result.path)
    assert before.keys() == after.keys()
    assert any(not before[key].equal(after[key]) for key in before)


@pytest.mark.heavy
def test_ftx_loss_is_the_formula_on_paper(tmp_path: Path) -> None:
    """First step of a new adapter: policy = reference, so DPO's term is exactly log 2 and the rest is ftx * NLL(chosen)."""
    import torch

    rows = dpo_rows(4)
    result = train(recipe(tmp_path, rows, stage="dpo", pref_ftx=0.5, max_steps=1, logging_steps=1))
    from training.models import load_base, load_tokenizer

    model, tokenizer = load_base(BASE).eval(), load_tokenizer(BASE)
    total, count = 0.0, 0
    for row in rows:
        ask = [{"role": "user", "content": row["prompt"]}]
        prompt = tokenizer.apply_chat_template(ask, add_generation_prompt=True, tokenize=True, return_dict=True)["input_ids"]
        answer = tokenizer(row["chosen"] + tokenizer.eos_token)["input_ids"]
        with torch.no_grad():
            logp = model(torch.tensor([prompt + answer])).logits.log_softmax(-1)
        for place, token in enumerate(answer, start=len(prompt)):
            total, count = total - float(logp[0, place - 1, token]), count + 1
    assert result.history[0]["loss"] == pytest.approx(math.log(2) + 0.5 * total / count, rel=1e-3)


@pytest.mark.heavy
def test_dpo_holds_no_second_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference of a new adapter is the base with the adapter off; of a continued one a frozen copy of that adapter."""
    import trl

    made: list[Any] = []
    begin = trl.DPOTrainer.train
    monkeypatch.setattr(trl.DPOTrainer, "train", lambda self, *a, **k: made.append(self) or begin(self, *a, **k))
    train(recipe(tmp_path, dpo_rows(4), stage="dpo", max_steps=1))
    train(
        recipe(
            tmp_path,
            dpo_rows(4),
            stage="dpo",
            max_steps=1,
            adapter_name_or_path=SFT,
            lora_rank=16,
            output_dir=str(tmp_path / "b"),
        )
    )
    new, continued = made
    assert new.ref_model is None
    assert continued.ref_model is None
    assert set(new.model.peft_config) == {"default"}
    assert set(continued.model.peft_config) == {"default", "ref"}


@pytest.mark.heavy
def test_resume_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 3, "save_total_limit": 1, "logging_steps": 1}
    train(recipe(tmp_path, sft_rows(), max_steps=3, **saving))
    lines: list[Progress] = []
    result = train(recipe(tmp_path, sft_rows(), max_steps=6, resume=True, **saving), progress=lines.append)
    assert result.steps == 6
    assert [line.step for line in lines] == [4, 5, 6]


@pytest.mark.heavy
def test_full_training_writes_a_model(tmp_path: Path) -> None:
    result = train(recipe(tmp_path, sft_rows(), finetuning_type="full", max_steps=1))
    assert {"model.safetensors", "tokenizer.json", "config.json"} <= {path.name for path in result.path.iterdir()}


def test_loss_that_is_not_finite_stops_and_saves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="not a finite number"):
        train(recipe(tmp_path, sft_rows(), finetuning_type="full", learning_rate=1e30, logging_steps=1))
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_rows_longer_than_the_cutoff(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="all 24 rows are longer than cutoff_len 8"):
        train(recipe(tmp_path, sft_rows(), cutoff_len=8))


def test_empty_and_wrong_rows(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no rows"):
        train(recipe(tmp_path, []))
    with pytest.raises(SuiteError, match="stage dpo needs"):
        train(recipe(tmp_path, sft_rows(), stage="dpo"))


def test_adapter_that_does_not_fit_its_base(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    other = tmp_path / "other"
    other.mkdir()
    (other / "adapter_config.json").write_text((Path(SFT) / "adapter_config.json").read_text(encoding="utf-8"), encoding="utf-8")
    save_file(
        {key: tensor[:, :-1].contiguous() for key, tensor in weights(SFT).items()}, str(other / "adapter_model.safetensors")
    )
    with pytest.raises(TrainingError, match="does not fit its base"):
        train(recipe(tmp_path, sft_rows(), adapter_name_or_path=str(other), lora_rank=16))


def test_base_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="cannot load the base"):
        train(recipe(tmp_path, sft_rows(), model_name_or_path=str(tmp_path / "nowhere")))


def test_a_damaged_base_is_told_in_a_line(tmp_path: Path) -> None:
    """Weights that are cut off, of another shape or not there, a config.json that contradicts itself: never random numbers."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(f"{BASE}/model.safetensors")
    config = json.loads(Path(BASE, "config.json").read_text(encoding="utf-8"))
    odd = tmp_path / "odd"

    def said(weights: dict[str, Any] | bytes = tensors, **changes: Any) -> str:
        shutil.copytree(BASE, odd)
        (odd / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
        if isinstance(weights, bytes):
            (odd / "model.safetensors").write_bytes(weights)
        else:
            save_file(weights, str(odd / "model.safetensors"), metadata={"format": "pt"})
        with pytest.raises(TrainingError) as caught:
            train(recipe(tmp_path, sft_rows(), model_name_or_path=str(odd)))
        shutil.rmtree(odd)
        return caught.value.line()

    assert "cannot load the base (" in said(Path(BASE, "model.safetensors").read_bytes()[:100_000])
    assert "other shapes than config.json says" in said(intermediate_size=512)
    lost = "model.layers.1.mlp.up_proj.weight"
    assert f"the base lacks 1 of its weights, {lost} first" in said({k: v for k, v in tensors.items() if k != lost})
    assert "cannot load the base's tokenizer (ValueError: `num_hidden_layers` (7) must be" in said(num_hidden_layers=7)


def test_an_adapter_of_another_rank_is_not_continued(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has lora_rank 16, the recipe says 64"):
        train(recipe(tmp_path, sft_rows(), adapter_name_or_path=SFT, lora_rank=64))


def test_quantisation_without_its_library_or_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="quantization_bit 4 cannot work here"):
        train(recipe(tmp_path, sft_rows(), quantization_bit=4))


def test_memory_that_cannot_do_is_told_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import ahead

    monkeypatch.setattr(ahead, "_free", lambda: 10e6)
    with pytest.raises(TrainingError, match=r"alone take 0\.1 GiB, and 0\.0 are free"):
        train(recipe(tmp_path, sft_rows(), finetuning_type="full"))


def test_memory_that_runs_out_says_what_to_turn_down(tmp_path: Path) -> None:
    from training.watch import memory_trouble

    made = recipe(tmp_path, sft_rows(), per_device_train_batch_size=8)
    with (
        pytest.raises(TrainingError, match=r"Set gradient_checkpointing: true, lower per_device_train_batch_size \(now 8\)"),
        memory_trouble(made),
    ):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
    with pytest.raises(RuntimeError, match="another"), memory_trouble(made):
        raise RuntimeError("another")


@pytest.mark.heavy
def test_the_well_known_dpo_recipe_runs_on_the_pocket_model(tmp_path: Path) -> None:
    """bf16, checkpointing, all seven projections, evaluation: all as shipped but for the size."""
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in dpo_rows(40)), encoding="utf-8")
    smaller = {"lora_rank": "16", "lora_alpha": "32", "cutoff_len": "128", "gradient_accumulation_steps": "1", "max_steps": "2"}
    here = {"model_name_or_path": BASE, "adapter_name_or_path": SFT, "dataset": str(data), "output_dir": str(tmp_path / "out")}
    each = {"logging_steps": "1", "eval_steps": "2", "save_steps": "2", "deepspeed": "null"}
    shipped = Path(__file__).parents[2] / "training" / "recipes" / "dpo_lora.yaml"
    result = train(load_recipe(shipped, smaller | here | each))
    assert (result.rows, result.held_out, result.steps) == (38, 2, 2)
    assert [(point.step, point.best) for point in result.checkpoints] == [(2, True)]
    assert result.history[0]["rewards/margins"] == 0  # the policy begins as its reference
    assert math.isfinite(result.metrics["eval_loss"])


@pytest.mark.heavy
def test_command_trains_and_prints_the_path(tmp_path: Path) -> None:
    from harness.cli.train import command

    made = recipe(tmp_path, sft_rows())
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(made.model_dump(exclude_none=True)), encoding="utf-8")
    done = CliRunner().invoke(
        command, [str(path), "--output", str(tmp_path / "elsewhere"), "--store", str(tmp_path / "store")], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "train_loss" in done.stdout
    assert done.stdout.strip().endswith(str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere" / "adapter_model.safetensors").exists()
    assert load_recipe(path).output_dir == made.output_dir
