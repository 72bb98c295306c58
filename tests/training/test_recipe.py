"""Recipes: every fault at once with file:line, defaults, paths, and what the trainers are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.errors import SuiteError
from training.dpo import dpo_settings
from training.lora import lora_settings
from training.recipe import Recipe, load_recipe
from training.settings import common_settings
from training.sft import sft_settings

RECIPES = Path(__file__).parents[2] / "training" / "recipes"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_recipe(write(tmp_path, text))
    return [fault.line().replace(str(tmp_path) + "/", "") for fault in caught.value.faults]


GOOD = "stage: sft\nmodel_name_or_path: base\ndataset: rows.jsonl\noutput_dir: out\n"


def test_every_fault_at_once_with_its_line(tmp_path: Path) -> None:
    text = "stage: sfft\ndataset: a.jsonl\nlora_rnk: 3\nlearning_rate: 0\nlora_dropout: true\n"
    found = faults(tmp_path, text)
    assert any(line.startswith("recipe.yaml:1: stage: must be 'sft' or 'dpo'") for line in found)
    assert any(line.startswith("recipe.yaml:3: unknown key 'lora_rnk' (did you mean lora_rank") for line in found)
    assert any(line.startswith("recipe.yaml:4: learning_rate: must be greater than 0") for line in found)
    assert any(line.startswith("recipe.yaml:5: lora_dropout: a number is needed") for line in found)
    assert any("'model_name_or_path' is missing" in line for line in found)
    assert any("'output_dir' is missing" in line for line in found)
    assert len(found) == 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD + "stage: dpo\n", "recipe.yaml:5: the key 'stage' stands twice, first in line 1"),
        (GOOD + "seed: !!python/object:os.system {}\n", "recipe.yaml:5: the tag"),
        ("- a list\n", "recipe.yaml:1: a recipe is a mapping"),
        ("stage: [sft\n", "recipe.yaml"),
        ("", "recipe.yaml:1: is empty"),
        (GOOD + "packing: true\npref_ftx: 0.5\n", "pref_ftx works with stage dpo only"),
        (GOOD.replace("sft", "dpo") + "packing: true\n", "packing works with stage sft only"),
        (GOOD + "finetuning_type: full\nadapter_name_or_path: a\n", "cannot continue"),
        (GOOD.replace("rows.jsonl", "[]"), "recipe.yaml:3: dataset"),
        (GOOD + "warmup_ratio: .nan\n", "recipe.yaml:5: warmup_ratio"),
        (GOOD + "lora_rank: 0\n", "recipe.yaml:5: lora_rank"),
    ],
)
def test_one_fault(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(faults(tmp_path, text))


def test_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="YAML file"):
        load_recipe(tmp_path / "no.yaml")


def test_paths_are_beside_the_recipe_and_hub_ids_stay(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    local = load_recipe(write(tmp_path, GOOD))
    assert local.model_name_or_path == str(tmp_path / "base")
    assert local.dataset == (str(tmp_path / "rows.jsonl"),)
    assert local.output_dir == "out"
    hub = load_recipe(write(tmp_path, GOOD.replace("base", "Qwen/Qwen2.5-0.5B-Instruct")))
    assert hub.model_name_or_path == "Qwen/Qwen2.5-0.5B-Instruct"
    missing = load_recipe(write(tmp_path, GOOD.replace("base", "./models/base")))
    assert missing.model_name_or_path == str(tmp_path / "models" / "base")


def test_lists_may_be_comma_separated_and_alpha_follows_rank() -> None:
    recipe = Recipe(
        stage="sft", model_name_or_path="m", dataset="a.jsonl, b.jsonl", output_dir="o", lora_target="q_proj,v_proj", lora_rank=24
    )
    assert recipe.dataset == ("a.jsonl", "b.jsonl")
    assert lora_settings(recipe)["target_modules"] == ["q_proj", "v_proj"]
    assert lora_settings(recipe)["lora_alpha"] == 48


def test_changed_values_are_checked_again() -> None:
    recipe = Recipe(stage="sft", model_name_or_path="m", dataset="a.jsonl", output_dir="o")
    assert recipe.with_(seed=3).seed == 3
    with pytest.raises(ValidationError):
        recipe.with_(seed=-1)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_load(path: Path) -> None:
    assert load_recipe(path).output_dir.startswith("out/")


def test_known_dpo_recipe_maps_to_trl() -> None:
    from trl import DPOConfig

    recipe = load_recipe(RECIPES / "dpo_lora.yaml").with_(bf16=False, output_dir="out/unused")
    config = DPOConfig(**dpo_settings(recipe, evaluate=True))
    assert (config.beta, config.loss_type, config.loss_weights) == (0.2, ["sigmoid", "sft"], [1.0, 0.5])
    assert (config.max_length, config.learning_rate, config.lr_scheduler_type) == (2048, 1e-5, "cosine")
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (1, 16)
    assert config.warmup_steps == 0.1
    assert config.gradient_checkpointing
    assert (config.load_best_model_at_end, config.metric_for_best_model, config.greater_is_better) == (True, "eval_loss", False)
    assert config.report_to in ([], ["none"])
    lora = lora_settings(recipe)
    assert (lora["r"], lora["lora_alpha"], len(lora["target_modules"])) == (64, 16, 7)


def test_plain_dpo_has_one_loss() -> None:
    recipe = Recipe(stage="dpo", model_name_or_path="m", dataset="a.jsonl", output_dir="o", pref_loss="ipo")
    settings = dpo_settings(recipe)
    assert (settings["loss_type"], settings["loss_weights"]) == (["ipo"], None)


def test_sft_maps_to_trl() -> None:
    from trl import SFTConfig

    recipe = Recipe(stage="sft", model_name_or_path="m", dataset="a.jsonl", output_dir="o", cutoff_len=77, packing=True, seed=5)
    messages = SFTConfig(**sft_settings(recipe, completion=False))
    assert (messages.max_length, messages.packing, messages.seed, messages.assistant_only_loss) == (77, True, 5, True)
    completion = SFTConfig(**sft_settings(recipe, completion=True))
    assert (completion.completion_only_loss, completion.assistant_only_loss) == (True, False)


def test_loss_that_is_not_finite_is_not_hidden_by_the_trainer() -> None:
    recipe = Recipe(stage="sft", model_name_or_path="m", dataset="a.jsonl", output_dir="o")
    assert common_settings(recipe)["logging_nan_inf_filter"] is False
