"""Two processes train together what one would with twice the accumulation; one of them speaks and writes.

accelerate launch starts several processes on GPUs; on CPUs it starts one, so torch's own launcher stands in (backend: gloo).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BASE = str(Path(__file__).parents[2] / "suites" / "quickstart" / "models" / "base")


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
    launch = ["--nproc_per_node", "2", "--master_port", str(free_port())]
    train = ["-m", "harness", "train", str(tmp_path / "recipe.yaml"), "--store", str(tmp_path / "store")]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *launch, *train],
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
