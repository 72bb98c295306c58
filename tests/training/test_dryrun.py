"""The dry run against the real trainers: the same ids, the same labels, the same rows dropped, on the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import TrainingError
from harness.quality.examples import Dropped
from harness.quality.files import open_examples
from training.dryrun import MASKED, DryRun, Fate, TrainerPass, dry_run
from training.recipe import Recipe

ROOT = Path(__file__).parents[2]
BASE = ROOT / "suites/quickstart/models/base"
ASK = {"role": "user", "content": "copy: tame rivers"}
SAY = {"role": "assistant", "content": "tame rivers"}
LONG = {"role": "user", "content": "copy: " + "many words in a long row " * 20}


def row(*turns: dict[str, str]) -> dict[str, Any]:
    return {"messages": list(turns)}


MESSAGES = [
    row(ASK, SAY),
    row({"role": "system", "content": "Be brief."}, ASK, SAY, {"role": "user", "content": "again"}, SAY),
    row(ASK, {"role": "assistant", "content": "word after word " * 30}),  # cut
    row(LONG, SAY),  # nothing of the answer is left: dropped
    row({"role": "user", "content": "中文 \u2028 and é"}, {"role": "assistant", "content": " two  spaces "}),
]
COMPLETIONS = [{"prompt": r["messages"][:-1], "completion": r["messages"][-1:]} for r in MESSAGES]
PAIRS = [
    {"prompt": [ASK], "chosen": [SAY], "rejected": [{"role": "assistant", "content": "TAME RIVERS"}]},
    {
        "prompt": [ASK],
        "chosen": [{"role": "assistant", "content": "a " * 100 + "x"}],
        "rejected": [{"role": "assistant", "content": "a " * 100 + "y"}],
    },
    {"prompt": [LONG], "chosen": [SAY], "rejected": [{"role": "assistant", "content": "no"}]},
]
PLAIN = [
    {"prompt": "copy: tame rivers\n", "completion": " tame rivers"},
    {"prompt": "many words in a long row " * 20, "completion": "x"},
    {"prompt": "", "completion": "only this"},
]
PLAIN_PAIRS = [
    {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    {"prompt": "many words in a long row " * 20, "chosen": "x", "rejected": "y"},
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from training.models import load_tokenizer

    return load_tokenizer(str(BASE))


@pytest.fixture(scope="module")
def model() -> Any:
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=512, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
    )
    return Qwen2ForCausalLM(config)


def recipe(stage: str, tmp_path: Path, **more: Any) -> Recipe:
    values = {
        "stage": stage,
        "model_name_or_path": str(BASE),
        "dataset": ["x.jsonl"],
        "output_dir": str(tmp_path),
        "cutoff_len": 96,
    }
    return Recipe.model_validate(values | more)


def trainer(recipe: Recipe, rows: list[dict[str, Any]], tokenizer: Any, model: Any) -> Any:
    import copy

    from datasets import Dataset

    from training.models import quiet

    quiet()
    lora = None
    if recipe.stage == "dpo":
        from peft import LoraConfig

        from training.dpo import dpo_trainer as build

        lora = LoraConfig(r=2, target_modules=["q_proj"])
    else:
        from training.sft import sft_trainer as build
    return build(recipe, copy.deepcopy(model), tokenizer, Dataset.from_list(rows), None, lora, [])


def kept(fates: list[Fate]) -> list[Fate]:
    return [fate for fate in fates if fate.kept]


@pytest.mark.parametrize(
    ("rows", "dropped"), [(MESSAGES, 1), (COMPLETIONS, 1), (PLAIN, 1)], ids=["messages", "completion", "plain"]
)
def test_sft_rows_are_the_trainers(rows: list[dict[str, Any]], dropped: int, tokenizer: Any, model: Any, tmp_path: Path) -> None:
    plan = recipe("sft", tmp_path)
    run = dry_run(plan, tokenizer, completion="completion" in rows[0])
    fates = [run.fate(row) for row in rows]
    prepared = trainer(plan, rows, tokenizer, model).train_dataset
    assert len(fates) - len(kept(fates)) == dropped
    assert [(fate.kept[0].ids, fate.kept[0].labels) for fate in kept(fates)] == [(r["input_ids"], r["labels"]) for r in prepared]


@pytest.mark.parametrize(("rows", "dropped"), [(PAIRS, 1), (PLAIN_PAIRS, 1)], ids=["messages", "plain"])
def test_dpo_rows_are_the_trainers(rows: list[dict[str, Any]], dropped: int, tokenizer: Any, model: Any, tmp_path: Path) -> None:
    plan = recipe("dpo", tmp_path)
    run = dry_run(plan, tokenizer)
    fates = [run.fate(row) for row in rows]
    real = trainer(plan, rows, tokenizer, model)
    assert len(fates) - len(kept(fates)) == dropped
    batch = real.data_collator([real.train_dataset[i] for i in range(len(real.train_dataset))])
    sides = [fate.kept[0] for fate in kept(fates)] + [fate.kept[1] for fate in kept(fates)]
    for i, side in enumerate(sides):
        size = int(batch["attention_mask"][i].sum())
        assert list(side.ids) == batch["input_ids"][i][:size].tolist()
        assert [int(label != MASKED) for label in side.labels] == batch["completion_mask"][i][:size].tolist()


@pytest.mark.parametrize(("rows", "dropped"), [(PAIRS, 2), (PLAIN_PAIRS, 1)], ids=["messages", "plain"])
def test_reward_rows_are_the_trainers(rows: list[dict[str, Any]], dropped: int, tokenizer: Any, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    from training.models import quiet
    from training.rm import rm_trainer

    quiet()
    config = Qwen2Config(vocab_size=512, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    config.num_key_value_heads, config.num_labels, config.pad_token_id = 1, 1, tokenizer.pad_token_id
    plan = recipe("rm", tmp_path)
    real = rm_trainer(plan, Qwen2ForSequenceClassification(config), tokenizer, Dataset.from_list(rows), None, None, [])
    run = dry_run(plan, tokenizer)
    fates = [run.fate(row) for row in rows]
    assert len(fates) - len(kept(fates)) == dropped
    ours = [[list(side.ids) for side in fate.kept] for fate in kept(fates)]
    assert ours == [[row["chosen_ids"], row["rejected_ids"]] for row in real.train_dataset]


def test_the_collated_batch_learns_as_many_tokens_as_said(tokenizer: Any, model: Any, tmp_path: Path) -> None:
    plan = recipe("sft", tmp_path)
    real = trainer(plan, MESSAGES, tokenizer, model)
    batch = real.data_collator([real.train_dataset[i] for i in range(len(real.train_dataset))])
    run = dry_run(plan, tokenizer)
    assert int((batch["labels"] != MASKED).sum()) == sum(run.fate(row).learnt for row in MESSAGES)


def test_only_the_assistants_words_are_learnt(tokenizer: Any, tmp_path: Path) -> None:
    fate = dry_run(recipe("sft", tmp_path), tokenizer).fate(MESSAGES[1])
    learnt = [label for label in fate.kept[0].labels if label != MASKED]
    assert tokenizer.decode(learnt).count("tame rivers") == 2
    assert "copy" not in tokenizer.decode(learnt)


def test_keep_end_keeps_the_answer(tokenizer: Any) -> None:
    fate = DryRun("sft", {"max_length": 20, "truncation_mode": "keep_end", "assistant_only_loss": True}, tokenizer).fate(
        row(LONG, SAY)
    )
    assert fate.kept
    assert fate.lost == 0
    assert len(fate.kept[0].ids) == 20


def test_packing_drops_nothing(tokenizer: Any, tmp_path: Path) -> None:
    assert dry_run(recipe("sft", tmp_path, packing=True), tokenizer).fate(MESSAGES[3]).kept


def found(
    name: str, stage: str, lines: str, tokenizer: Any, tmp_path: Path, **more: Any
) -> tuple[list[tuple[int, str]], TrainerPass]:
    path = tmp_path / name
    path.write_text(lines, encoding="utf-8")
    once = TrainerPass(recipe(stage, tmp_path, **more), tokenizer)
    told = []
    for example in open_examples(path):
        assert not isinstance(example, Dropped)
        told += [(example.line, item.code) for item in once.see(example)]
    return told, once


def test_the_pass_says_what_becomes_of_each_row(tokenizer: Any, tmp_path: Path) -> None:
    import json

    lines = "".join(json.dumps(r) + "\n" for r in [*MESSAGES, {"prompt": [ASK], "completion": [SAY]}, row(SAY, ASK)])
    told, once = found("sft.jsonl", "sft", lines, tokenizer, tmp_path)
    assert told == [(3, "trainer-cuts"), (4, "trainer-drops"), (6, "trainer-refuses"), (7, "trainer-refuses")]
    assert once.fates == {"whole": 3, "cut": 1, "dropped": 1, "refused": 2}
    assert once.total["kept"] == once.total["learnt"] + once.total["masked"]
    assert once.as_dict()["lengths"]["n"] == 5


def test_pairs_that_the_cut_makes_equal(tokenizer: Any, tmp_path: Path) -> None:
    import json

    told, _ = found("dpo.jsonl", "dpo", "".join(json.dumps(r) + "\n" for r in PAIRS), tokenizer, tmp_path)
    assert told == [(2, "trainer-evens"), (3, "trainer-drops")]


def test_alpaca_rows_are_asked_as_conversations(tokenizer: Any, tmp_path: Path) -> None:
    told, once = found("a.jsonl", "sft", '{"instruction": "copy:", "input": "sun", "output": "sun"}\n', tokenizer, tmp_path)
    assert told == []
    assert once.total["learnt"] > 0


def test_a_template_without_marks_is_refused_with_what_to_do(tokenizer: Any) -> None:
    import copy

    bare = copy.deepcopy(tokenizer)
    bare.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(TrainingError, match="generation"):
        DryRun("sft", {"max_length": 96, "assistant_only_loss": True}, bare)
    assert DryRun("sft", {"max_length": 96, "completion_only_loss": True}, bare).fate(COMPLETIONS[0]).learnt > 0


def test_what_the_template_refuses_is_said(tokenizer: Any) -> None:
    import copy

    strict = copy.deepcopy(tokenizer)
    strict.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(TrainingError, match="roles must alternate"):
        DryRun("sft", {"max_length": 96}, strict).fate(MESSAGES[0])
