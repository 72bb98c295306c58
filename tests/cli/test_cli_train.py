"""``harness train`` and what belongs to it, as commands: the look ahead, refusals before hours are spent, the stored record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.cli import call
from harness.model import Split
from harness.suite import load_suite

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "suites" / "quickstart"
BASE = str(QUICKSTART / "models" / "base")


def write(tmp_path: Path, rows: list[dict[str, Any]] | None = None, **changes: Any) -> str:
    if rows is None:
        origin = [{"case_id": f"c{i % 3}", "run_id": "r1", "pair_id": f"p{i}"} for i in range(12)]
        rows = [{"prompt": f"say {i}", "completion": f"{i} said", "provenance": origin[i]} for i in range(12)]
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
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(values | changes), encoding="utf-8")
    return str(path)


def test_a_training_is_stored_and_leads_back_to_its_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.serving.identity import identify

    recipe, store = write(tmp_path, val_size=2, save_strategy="steps", save_steps=1), str(tmp_path / "store")
    assert call(["train", recipe, "--store", store, "--merge", str(tmp_path / "merged")]) == 0
    shown = capsys.readouterr()
    assert "no gate case is known here" in shown.err
    assert "12 rows, " in shown.err
    assert "step 1/2" in shown.err
    assert "checkpoints by the loss on held-out rows" in shown.out
    assert (tmp_path / "merged" / "model.safetensors").exists()
    assert call(["trainings", "--store", store]) == 0
    assert max(map(len, (listed := capsys.readouterr().out).splitlines())) <= 80
    assert "sft   complete" in listed
    assert call(["trainings", "latest", "--store", store]) == 0
    one = capsys.readouterr().out
    assert "12 rows come of 3 cases, most of:" in one
    assert "c0: 4 rows, asked in r1" in one
    assert "pair p3" not in one
    assert call(["trainings", "latest", "--rows", "--store", store]) == 0
    assert "  rows.jsonl:4  pair p3  case c0  run r1\n" in capsys.readouterr().out
    assert call(["trainings", "--rows", "--store", store]) == 3
    assert "Name it" in capsys.readouterr().err
    digest = identify("x", BASE, root=tmp_path, adapter=str(tmp_path / "out")).digest
    assert call(["trainings", "--weights", digest, "--store", store, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["weights"] == digest
    assert found["recipe"]["learning_rate"] == 5e-5
    assert [point["step"] for point in found["checkpoints"]] == [1, 2]
    assert found["data"][0]["rows"] == 12
    assert call(["trainings", "--weights", found["checkpoints"][0]["weights"], "--store", store]) == 0
    capsys.readouterr()
    assert call(["trainings", "--weights", "0" * 64, "--store", store]) == 3
    assert "no training in this store made these weights" in capsys.readouterr().err
    with_origin = _told(store, digest)
    assert with_origin["training"].endswith("sft on 12 rows, of 3 cases")


def _told(store_dir: str, digest: str) -> dict[str, str]:
    from harness.cli.trained import told
    from harness.store import Store

    with Store.open(store_dir) as store:
        assert told(store, "0" * 64) == {}
        return told(store, digest)


def test_rows_that_repeat_a_gate_case_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = load_suite(QUICKSTART / "suite.yaml")
    case = suite.capabilities["polite"].of(Split.GATE)[0]
    recipe = write(tmp_path, [{"prompt": str(case.vars["input"]), "completion": "x"}] * 3, save_strategy="epoch")
    arguments = ["train", recipe, "--suite", str(QUICKSTART / "suite.yaml"), "--store", str(tmp_path / "store")]
    assert call(arguments) == 3
    error = capsys.readouterr().err
    assert "3 training rows repeat gate cases, row 1 the case" in error
    assert "harness data decontaminate" in error
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_and_does_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": "word " * 200, "completion": "never reached"}, {"prompt": "a", "completion": "b " * 100}]
    recipe = write(tmp_path, [*rows, {"prompt": "a", "completion": "b"}])
    assert call(["train", recipe, "--dry-run", "--store", str(tmp_path / "store")]) == 0
    shown = capsys.readouterr().out
    assert "1 cut (row 2) at cutoff_len, 1 dropped (row 1)" in shown
    assert "GiB are free" in shown
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


def test_a_dry_run_of_a_reward_model_says_which_pairs_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": "say", "chosen": "a", "rejected": "b " * 200}, {"prompt": "say", "chosen": "a", "rejected": "b"}]
    assert call(["train", write(tmp_path, rows, stage="rm"), "--dry-run", "--store", str(tmp_path / "store")]) == 0
    assert "2 pairs, 1 to learn from: 1 dropped (row 1), longer than cutoff_len" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--set", "learning_rate"], "is not KEY=VALUE"),
        (["--set", "larning_rate=1"], "unknown key 'larning_rate' (did you mean learning_rate"),
        (["--merge", "m", "--set", "finetuning_type=full"], "--merge is for LoRA adapters"),
        (["--merge", "m", "--set", "quantization_bit=4"], "nothing is merged onto a quantised base"),
        (["--suite", "s.yaml"], "save_strategy is no"),
        (["--suite", "promoted.yaml", "--set", "save_strategy=epoch"], "the suite names no candidate as its baseline"),
        (["--suite", "gate.yaml", "--set", "save_strategy=epoch"], "no capability has a dev case to ask the checkpoints"),
        (["--set", "output_dir=x", "--set", "dataset=gone.jsonl"], "gone.jsonl"),
    ],
)
def test_wishes_that_cannot_work_are_told_first(
    args: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, baseline in (("promoted", "promoted"), ("gate", "base")):
        rows = "[{input: say 1, reference: '1', split: gate}, {input: say 2, reference: '2', split: gate}]"
        (tmp_path / f"{name}.yaml").write_text(
            f"suite: s\nbaseline: {baseline}\ncandidates: {{base: {{model: {BASE}}}}}\n"
            f"capabilities: {{c: {{role: target, cases: {{rows: {rows}}}, checks: [equals]}}}}\n"
        )
    assert call(["train", write(tmp_path), *args]) == 3
    assert expected in capsys.readouterr().err


def test_a_training_that_fails_is_kept_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.store import Store

    store = tmp_path / "store"
    with Store.open(store):
        pass
    recipe = write(tmp_path, finetuning_type="full", learning_rate=1e30, max_steps=4)
    assert call(["train", recipe, "--store", str(store)]) == 3
    assert "is not a finite number any more" in capsys.readouterr().err
    assert call(["trainings", "latest", "--store", str(store)]) == 0
    shown = capsys.readouterr().out
    assert "failed" in shown
    assert "is not a finite number any more" in shown


def test_merge_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["merge", str(QUICKSTART / "models" / "sft"), "--output", str(tmp_path / "m")]) == 0
    assert "3,412,224 parameters, 6.8 MB" in capsys.readouterr().out
    assert call(["merge", str(tmp_path), "--output", str(tmp_path / "n")]) == 3
    assert "this is no adapter" in capsys.readouterr().err


def test_the_tables_of_two_cuts() -> None:
    from harness.cli.second_cut import lines
    from training.choice import Rule, Standing, choose

    rules = {"order-json": Rule("target", 0.0), "date": Rule("protected", 0.06)}
    standings = [Standing(25, 0.9, {"order-json": 0.5, "date": 0.8}), Standing(50, 0.4, {"order-json": 0.9, "date": None})]
    base = {"order-json": 0.0, "date": 0.83}
    shown = list(lines(standings, rules, base, choose(standings, rules, base)))
    assert shown[0].split() == ["checkpoint", "baseline", "25", "50"]
    assert shown[1].split()[-3:] == ["-", "0.9000", "0.4000"]
    assert shown[3].split()[-3:] == ["83.0", "80.0", "-"]
    assert shown[-3:-1] == [
        "by the loss: step 50",
        "by the suite: step 25: the highest targets among those that keep every protected capability",
    ]
    assert shown[-1].startswith("they disagree")


def test_many_checkpoints_stand_below_one_another() -> None:
    from harness.cli.second_cut import lines
    from training.choice import Rule, Standing, choose

    rules = {"order-json": Rule("target", 0.0)}
    standings = [Standing(100 * n, 1 / n, {"order-json": n / 20}) for n in range(1, 13)]
    shown = list(lines(standings, rules, {"order-json": 0.0}, choose(standings, rules, {"order-json": 0.0})))
    heads = [line.split()[2:] for line in shown if line.startswith("checkpoint")]
    assert [len(head) for head in heads] == [5, 5, 2]
    assert [step for head in heads for step in head] == [str(standing.step) for standing in standings]
    assert max(len(line) for line in shown if not line.startswith(("  mean", "by the suite"))) <= 80
