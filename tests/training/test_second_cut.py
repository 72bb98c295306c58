"""Real: checkpoints are asked the suite's capabilities through vLLM, and an adapter answers there as its merged model does.

The cases, the base, the rows and the recipe are the quickstart's; cases are taken from the beginning of its files. fp32
throughout: then base + adapter and the merged sum are one arithmetic but for its order. docs/training.md says what bf16 does.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.pocket import BASE, CHECKS, write_suite

from harness.store import Store
from harness.store.trainings import trainings

ROOT = Path(__file__).parents[2]
CASES = 24  # of each split of each capability

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]


@dataclass(frozen=True)
class Trained:
    folder: Path
    told: str
    errors: str

    @property
    def last(self) -> Path:
        return self.folder / "out" / "checkpoint-36"


def harness(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("second-cut")
    suite = str(write_suite(folder, "choosing", {"base": {"model": BASE}}, dev=CASES, gate=CASES, dtype="float32"))
    changes = ["max_samples=416", "val_size=32", "save_strategy=epoch", "logging_steps=6"]
    sets = [word for change in changes for word in ("--set", change)]
    recipe = str(ROOT / "training" / "recipes" / "quickstart_sft.yaml")
    done = harness("train", recipe, "--suite", suite, "--output", str(folder / "out"), "--store", str(folder / "store"), *sets)
    assert done.returncode == 0, done.stdout + done.stderr
    return Trained(folder, done.stdout, done.stderr)


def test_both_tables_are_printed_and_whether_they_agree(trained: Trained) -> None:
    lines = trained.told.splitlines()
    assert "vLLM is ready" in trained.errors
    assert "no row repeats one of 72 gate cases" in trained.errors
    first = lines.index("checkpoints by the loss on held-out rows")
    assert [line.split()[1] for line in lines[first + 1 : first + 4]] == ["12", "24", "36"]
    losses = [line.split()[2] for line in lines[first + 1 : first + 4]]
    assert float(losses[0]) > float(losses[2])  # it learns
    by_loss = next(line.split()[1] for line in lines[first + 1 : first + 4] if "best, and what was written" in line)
    table = next(i for i, line in enumerate(lines) if line.startswith("checkpoint  "))
    assert lines[table].split() == ["checkpoint", "baseline", "12", "24", "36"]
    assert lines[table + 1].split()[-4:] == ["-", *losses]
    rows = {line.split()[0]: [float(x) for x in line.split()[-4:]] for line in lines[table + 2 : table + 5]}
    assert set(rows) == set(CHECKS)
    assert rows["date"][0] > 80  # the base's own skill, in points
    assert all(0 <= mean <= 100 for means in rows.values() for mean in means)
    assert f"by the loss: step {by_loss}" in lines
    by_suite = next(line.split()[4].rstrip(":") for line in lines if line.startswith("by the suite: step "))
    agree = "both agree" if by_loss == by_suite else "they disagree: what was written is the choice by the loss"
    assert agree in lines
    assert max(map(len, lines[:-1])) <= 80
    assert lines[-1] == str(trained.folder / "out")


def test_what_was_asked_is_stored_and_leads_back_to_the_training(trained: Trained) -> None:
    with Store.open(trained.folder / "store", create=False) as store:
        (made,) = trainings(store)
        runs = {run.candidate.name: run for run in store.runs("choosing")}
        assert set(runs) == {"base", "step-12", "step-24", "step-36"}
        for run in runs.values():
            assert run.ledger.planned == CASES * len(CHECKS)
            assert run.ledger.closed
            assert run.ledger.n_errored == 0
        assert [runs[f"step-{point.step}"].candidate.digest for point in made.checkpoints] == [
            point.weights for point in made.checkpoints
        ]
        first, last = (
            {item.response.text for item in store.items(runs[name].id) if item.response} for name in ("base", "step-36")
        )
        assert first != last
        assert str(runs["step-24"].provenance["training"]).endswith("at step 24")
    page = trained.folder / "step.html"
    done = harness("report", runs["step-24"].id, "--store", str(trained.folder / "store"), "-o", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    assert "as it stood at step 24." in text
    assert text.count('<svg class="curve"') == 2  # loss, learning rate


def test_an_adapter_and_its_merged_model_give_the_same_answers(trained: Trained) -> None:
    """The adapter's answers are those that the second cut has stored: only the merged model is asked."""
    folder, merged = trained.folder, trained.folder / "merged"
    assert harness("merge", str(trained.last), "--output", str(merged), "--dtype", "float32").returncode == 0
    candidates = {"adapter": {"model": BASE, "adapter": trained.last}, "merged": {"model": merged}}
    suite = str(write_suite(folder, "merging", candidates, dev=CASES, gate=CASES, dtype="float32"))
    done = harness("run", suite, "--split", "dev", "--store", str(folder / "store"))
    assert done.returncode in (1, 2), done.stdout + done.stderr  # dev cases decide nothing
    assert "adapter: 72 requests planned, 72 answered in the store, 0 to ask" in done.stderr
    assert "merged: 72 requests planned, 0 answered in the store, 72 to ask" in done.stderr
    with Store.open(folder / "store", create=False) as store:
        runs = {run.candidate.name: run.id for run in store.runs("merging")}
        said = {
            name: {item.case.id: item.response.text for item in store.items(run_id) if item.response}
            for name, run_id in runs.items()
        }
    assert len(said["adapter"]) == CASES * len(CHECKS)
    assert len(set(said["adapter"].values())) > CASES  # a model that always says the same would prove nothing
    assert said["merged"] == said["adapter"]
