"""`accelerate launch` with the shipped FSDP file: two processes train together what one would with twice the batch; one of them
speaks and writes.

On CPUs accelerate takes the file and starts the processes, but shards nothing: they train as DDP does (gloo).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import TrainingError
from training import Recipe, train

ROOT = Path(__file__).parents[2]
BASE = str(ROOT / "suites" / "quickstart" / "models" / "base")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.heavy
def test_two_processes_train_one_adapter(tmp_path: Path) -> None:
    rows = [{"prompt": f"ISO date: 2001/1/{i + 1}", "completion": f"date {i + 1}"} for i in range(16)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    values = {
        "stage": "sft",
        "model_name_or_path": BASE,
        "dataset": "rows.jsonl",
        "output_dir": str(tmp_path / "out"),
        "lora_rank": 4,
        "cutoff_len": 64,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "max_steps": 2,
        "logging_steps": 1,
        "plot_loss": False,
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(values), encoding="utf-8")
    launch = ["launch", "--config_file", str(ROOT / "training" / "recipes" / "fsdp2.json")]
    launch += ["--num_processes", "2", "--main_process_port", str(free_port())]
    train = ["-m", "harness", "train", str(tmp_path / "recipe.yaml"), "--store", str(tmp_path / "store")]
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.accelerate_cli", *launch, *train],
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("16 rows: 2 steps") == 1
    assert done.stderr.count("step 1/2 ") == 1
    assert done.stderr.count("sft on ") == 1
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    log = json.loads((tmp_path / "out" / "log" / "training.json").read_text(encoding="utf-8"))
    assert [line["step"] for line in log["history"] if "loss" in line] == [1.0, 2.0]
    # two processes with four rows each see all sixteen in two steps
    assert [line["epoch"] for line in log["history"] if "loss" in line] == [0.5, 1.0]


def test_an_adapter_is_saved_from_weights_that_were_gathered(tmp_path: Path) -> None:
    """What DeepSpeed and FSDP hand out as the whole state gives the same files as the model itself."""
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from training.lora import save_adapter

    config = Qwen2Config(vocab_size=32, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    config.num_key_value_heads = 1
    model = get_peft_model(Qwen2ForCausalLM(config), LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_adapter(model, tmp_path / "own", base="b")
    for parameter in model.parameters():
        parameter.data.zero_()  # as if this process held nothing of it
    save_adapter(model, tmp_path / "gathered", base="b", weights=state)
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "gathered" / name).read_bytes()


def test_a_reward_model_is_not_trained_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n', encoding="utf-8")
    values = {
        "stage": "rm",
        "model_name_or_path": BASE,
        "dataset": str(tmp_path / "pairs.jsonl"),
        "output_dir": str(tmp_path / "o"),
    }
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(TrainingError, match=r"a reward model is saved merged.*Leave the file out"):
        train(Recipe.model_validate(values))
