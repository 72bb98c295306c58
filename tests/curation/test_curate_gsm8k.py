"""Real answers of two models to GSM8K: where one is wrong and the other right there is a pair, and trl's DPOTrainer takes it."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Body, ScriptedServer

from harness.cli import call

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "gsm8k" / "solutions.jsonl.gz"
POCKET = ROOT / "suites" / "quickstart" / "models" / "base"


def recorded() -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(RECORDED.read_bytes()).decode().splitlines()]


@pytest.fixture(scope="module")
def maths(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both models' recorded solutions, run as they would be on a server, and curated from the small one's failures."""
    folder = tmp_path_factory.mktemp("maths")
    rows = {row["question"]: row for row in recorded()}

    def answer(body: Body) -> str:
        return str(rows[str(body["messages"][-1]["content"])][body["model"]])

    (folder / "cases.jsonl").write_text(
        "".join(json.dumps({"input": row["question"], "reference": row["answer"]}) + "\n" for row in rows.values())
    )
    with ScriptedServer(answer=answer, models=("small", "large")) as server:
        suite = {
            "suite": "maths",
            "baseline": "large",
            "candidates": {name: {"endpoint": server.url, "model": name} for name in ("small", "large")},
            "generation": {"max_tokens": 1024},
            "capabilities": {
                "word problems": {
                    "role": "target",
                    "cases": {"path": "cases.jsonl", "dev_fraction": 0.5},
                    "checks": [{"type": "numeric"}],
                }
            },
        }
        (folder / "suite.yaml").write_text(json.dumps(suite))
        store = ["--store", str(folder / "store")]
        assert call(["run", str(folder / "suite.yaml"), "--split", "dev", *store]) in (1, 2)
    words = ["curate", "--suite", str(folder / "suite.yaml"), "--out", str(folder / "data"), "--sources", "own,other", *store]
    assert call(words) == 0
    return folder


def test_pairs_are_where_one_model_is_right_and_the_other_wrong(maths: Path) -> None:
    by_question = {row["question"]: row for row in recorded()}
    pairs = [json.loads(line) for line in (maths / "data" / "pairs.jsonl").read_text().splitlines()]
    assert len(pairs) > 30
    for pair in pairs:
        row = by_question[pair["prompt"][-1]["content"]]
        assert (row["large_right"], row["small_right"]) == (True, False)  # as the source says, not only our check
        assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == (row["large"], row["small"])
        assert pair["provenance"]["chosen"]["run_id"] != pair["provenance"]["rejected"]["run_id"]
    card = json.loads((maths / "data" / "card.json").read_text())
    left = sum(card["left"].values())
    assert card["failing"] == card["pairs"] + left  # each failure is a pair or has a reason


@pytest.mark.heavy
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed")
def test_the_dpo_trainer_takes_them(maths: Path, tmp_path: Path) -> None:
    from training import Recipe, train

    recipe = Recipe.model_validate(
        {
            "stage": "dpo",
            "model_name_or_path": str(POCKET),
            "dataset": str(maths / "data" / "pairs.jsonl"),
            "output_dir": str(tmp_path / "out"),
            "lora_rank": 4,
            "cutoff_len": 512,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 1,
            "max_steps": 2,
            "logging_steps": 1,
        }
    )
    result = train(recipe)
    assert (result.steps, result.rows) == (2, len((maths / "data" / "pairs.jsonl").read_text().splitlines()))
    assert (tmp_path / "out" / "adapter_model.safetensors").stat().st_size > 0
