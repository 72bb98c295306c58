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
    assert any(line.startswith("recipe.yaml:1: stage: must be 'sft', 'dpo' or 'rm'") for line in found)
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

    recipe = load_recipe(RECIPES / "dpo_lora.yaml").with_(bf16=False, deepspeed=None, output_dir="out/unused")
    config = DPOConfig(**dpo_settings(recipe, evaluate=True))
    assert (config.beta, config.loss_type, config.loss_weights) == (0.2, ["sigmoid", "sft"], [1.0, 0.5])
    assert (config.max_length, config.learning_rate, config.lr_scheduler_type) == (2048, 1e-5, "cosine")
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (1, 16)
    assert config.warmup_steps == 0.1
    assert (config.num_train_epochs, recipe.val_size) == (20, 0.05)
    assert load_recipe(RECIPES / "dpo_lora.yaml").deepspeed == str(RECIPES / "ds_zero3.json")
    assert recipe.adapter_name_or_path == "out/sft_lora"
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pref_beta: 0.5\n", "recipe.yaml:5: pref_beta works with stage dpo only"),
        ("center_rewards_coefficient: 0.1\n", "recipe.yaml:5: center_rewards_coefficient works with stage rm only"),
        ("finetuning_type: full\nuse_dora: true\n", "recipe.yaml:6: use_dora works with finetuning_type lora only"),
        ("finetuning_type: full\nquantization_bit: 4\n", "recipe.yaml:6: quantization_bit works with finetuning_type lora only"),
        ("quantization_type: fp4\n", "recipe.yaml:5: quantization_type says nothing without quantization_bit"),
        ("quantization_bit: 3\n", "recipe.yaml:5: quantization_bit: must be 4 or 8"),
        ("warmup_ratio: 0.1\nwarmup_steps: 5\n", "recipe.yaml:6: give warmup_ratio or warmup_steps, not both"),
        ("eval_strategy: steps\n", "recipe.yaml:5: eval_strategy needs rows to look at: set val_size"),
        ("early_stopping_steps: 2\n", "recipe.yaml:5: early_stopping_steps needs rows to look at"),
        (
            "val_size: 0.1\neval_strategy: epoch\nsave_strategy: steps\n",
            "recipe.yaml:6: save_strategy steps needs the same eval_strategy",
        ),
        (
            "val_size: 0.1\neval_steps: 30\nsave_strategy: steps\nsave_steps: 50\n",
            "recipe.yaml:8: save_steps must be a multiple of eval_steps 30",
        ),
        ("template: qwen\n", "recipe.yaml:5: chat_template: 'qwen' is no file"),
        ("template: a.jinja\nchat_template: b.jinja\n", "recipe.yaml:5: template and chat_template mean the same"),
        ("lora_rnk: 3\n", "did you mean lora_rank"),
        ("report_to: nowhere\n", "recipe.yaml:5: report_to: must be"),
        ("pref_los: ipo\n", "did you mean pref_loss"),
    ],
)
def test_keys_that_contradict_are_named_with_their_line(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(faults(tmp_path, GOOD + text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dpo_label_smoothing: 0.1\n", "trl smooths labels with pref_loss robust or exo_pair or aot only"),
        ("pref_loss: simpo\n", "pref_loss: must be 'sigmoid'"),
    ],
)
def test_dpo_contradictions(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in "\n".join(faults(tmp_path, GOOD.replace("sft", "dpo") + text))


def test_a_reward_model_begins_from_a_full_precision_base(tmp_path: Path) -> None:
    found = "\n".join(faults(tmp_path, GOOD.replace("sft", "rm") + "quantization_bit: 4\nadapter_name_or_path: a\n"))
    assert "nothing is merged onto a quantised base" in found
    assert "an adapter of a language model has no reward head" in found


def test_several_contradictions_come_at_once(tmp_path: Path) -> None:
    assert len(faults(tmp_path, GOOD + "pref_beta: 0.5\npref_ftx: 1\nquantization_type: fp4\n")) == 3


def test_other_names_and_the_defaults_of_stages(tmp_path: Path) -> None:
    (tmp_path / "chat.jinja").write_text("x", encoding="utf-8")
    made = load_recipe(write(tmp_path, GOOD + "template: chat.jinja\nresume_from_checkpoint: true\npref_beta: 0.1\n"))
    assert made.chat_template == str(tmp_path / "chat.jinja")
    assert made.resume is True
    assert load_recipe(write(tmp_path, GOOD + "template: default\n")).chat_template is None


def test_values_from_the_command_line_win_and_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "recipes"
    folder.mkdir()
    (tmp_path / "base").mkdir()
    path = write(folder, GOOD + "deepspeed: zero.json\n")
    made = load_recipe(path, {"learning_rate": "1e-4", "model_name_or_path": "base", "deepspeed": "null", "dataset": "x.jsonl"})
    assert (made.learning_rate, made.model_name_or_path, made.deepspeed) == (1e-4, str(tmp_path / "base"), None)
    assert made.dataset == (str(tmp_path / "x.jsonl"),)
    assert load_recipe(path).deepspeed == str(folder / "zero.json")
    with pytest.raises(SuiteError, match=r"--set: unknown key 'larning_rate' \(did you mean learning_rate"):
        load_recipe(path, {"larning_rate": "1"})
    with pytest.raises(SuiteError, match="--set: pref_ftx works with stage dpo only"):
        load_recipe(path, {"pref_ftx": "1"})
    with pytest.raises(SuiteError, match="--set"):
        load_recipe(path, {"seed": "[1"})


def test_every_key_is_documented_with_what_it_becomes() -> None:
    """docs/training.md has one row a key, and says what trl, peft or transformers call it."""
    import re

    page = (RECIPES.parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+)\|", page, re.MULTILINE))
    assert set(rows) == set(Recipe.model_fields)
    assert all(text.strip() for text in rows.values())


def test_what_the_table_says_of_trl_is_so() -> None:
    """Every `Config.name` of the table is a field of that class."""
    import re

    import peft
    import transformers
    import trl

    page = (RECIPES.parents[1] / "docs" / "training.md").read_text(encoding="utf-8")
    homes = {
        "SFTConfig": trl.SFTConfig,
        "DPOConfig": trl.DPOConfig,
        "RewardConfig": trl.RewardConfig,
        "LoraConfig": peft.LoraConfig,
        "TrainingArguments": transformers.TrainingArguments,
    }
    named = re.findall(r"`(\w+Config|TrainingArguments)\.(\w+)`", page)
    assert len(named) > 30
    for home, field in named:
        assert home in homes or home == "BitsAndBytesConfig", home
        if home in homes:
            assert field in {name for kind in homes[home].__mro__ for name in getattr(kind, "__annotations__", {})}, (home, field)


def test_each_key_reaches_the_trainer() -> None:
    """A value that no default has, for every key that TrainingArguments knows under some name."""
    values = {
        "per_device_train_batch_size": 3,
        "per_device_eval_batch_size": 5,
        "gradient_accumulation_steps": 7,
        "learning_rate": 0.0123,
        "num_train_epochs": 4.5,
        "max_steps": 77,
        "lr_scheduler_type": "polynomial",
        "weight_decay": 0.21,
        "max_grad_norm": 0.3,
        "optim": "adafactor",
        "seed": 99,
        "gradient_checkpointing": True,
        "logging_steps": 13,
        "save_steps": 17,
        "save_total_limit": 19,
        "report_to": "tensorboard",
        "save_strategy": "steps",
    }
    recipe = Recipe(stage="sft", model_name_or_path="m", dataset="a.jsonl", output_dir="o", val_size=0.1, **values)
    settings = common_settings(recipe, evaluate=True)
    assert {key: settings[key] for key in values} == values
    assert (settings["eval_strategy"], settings["eval_steps"], settings["load_best_model_at_end"]) == ("steps", 17, True)
    assert common_settings(recipe.with_(warmup_steps=9))["warmup_steps"] == 9
    assert common_settings(recipe.with_(warmup_ratio=0.07))["warmup_steps"] == 0.07
    assert common_settings(recipe.with_(deepspeed="z.json"))["deepspeed"] == "z.json"
    lora = lora_settings(recipe.with_(use_dora=True, use_rslora=True, lora_dropout=0.5))
    assert (lora["use_dora"], lora["use_rslora"], lora["lora_dropout"]) == (True, True, 0.5)


def test_rm_maps_to_trl() -> None:
    from trl import RewardConfig

    from training.rm import rm_settings

    recipe = Recipe(
        stage="rm", model_name_or_path="m", dataset="a.jsonl", output_dir="o", cutoff_len=99, center_rewards_coefficient=0.02
    )
    config = RewardConfig(**rm_settings(recipe))
    assert (config.max_length, config.center_rewards_coefficient) == (99, 0.02)
    lora = lora_settings(recipe)
    assert (lora["task_type"], lora["modules_to_save"]) == ("SEQ_CLS", ["score"])
