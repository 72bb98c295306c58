"""Build the quickstart from nothing: cases, rows and rankings, base model, adapters, reward model, its labels (`make pocket`).

Everything is seeded: on one machine, with the same libraries and thread count, the digests printed at the end are the same.
Inputs that are not shipped (rows and random weights of base and reader) are written to out/pocket.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from training.checkpoints import LOG
from training.pocket import fresh
from training.pocket.generate import (
    CAPABILITIES,
    DEV_CASES,
    GATE_CASES,
    LEGACY,
    SEED,
    TARGET,
    Row,
    case_lines,
    rows,
    training_line,
    write_jsonl,
)
from training.pocket.measure import Measured, answers, load, measure, table
from training.pocket.rankings import CAPABILITY, label_lines, ranking_line, rankings, reader_rows
from training.result import Progress

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "suites" / "quickstart"
WORK = ROOT / "out" / "pocket"
RECIPES = ROOT / "training" / "recipes"

# How many rows of each skill the base sees. It knows orders in their old schema only: the new one is fine-tuning's to teach.
BASE_ROWS = {LEGACY: 9_000, "date": 5_500, "intent": 2_000, "polite": 9_000, "zh-quantity": 6_300}
TARGET_ROWS, REPLAY_ROWS, TOKENIZER_ROWS = 2_000, 300, 3_000
RANKINGS, READER_ROWS, HELD_RANKINGS = 400, 32_000, 250
READER_SEED = 7
ADAPTERS = ("sft", "repaired")
JUDGED = "courtesy"  # the suite's capability that the reward model scores, and its labels
THREADS = 2  # of torch: sums of floats, and so the digests, depend on it

_MODEL_FILES = (
    *("config.json", "generation_config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
)


def write_cases(suite: Path = SUITE) -> None:
    """suites/quickstart/cases: one file per capability."""
    for capability in CAPABILITIES:
        write_jsonl(suite / "cases" / f"{capability}.jsonl", case_lines(capability))


def write_data() -> None:
    """Everything that is generated and shipped as rows."""
    write_cases()
    write_training_rows()


def write_training_rows(suite: Path = SUITE) -> None:
    """suites/quickstart/train: the target skill alone, old skills to replay beside it, rankings of polite answers."""
    write_jsonl(suite / "train" / f"{TARGET}.jsonl", [training_line(row) for row in rows(TARGET, "train", TARGET_ROWS)])
    replay = [row for name in CAPABILITIES if name != TARGET for row in rows(name, "train", REPLAY_ROWS)]
    write_jsonl(suite / "train" / "replay.jsonl", [training_line(row) for row in replay])
    write_jsonl(suite / "train" / "rankings.jsonl", [ranking_line(ranking) for ranking in rankings("train", RANKINGS)])


def base_rows() -> list[Row]:
    """What the base model is trained on, shuffled."""
    made = [row for name, count in BASE_ROWS.items() for row in rows(name, "train", count, seed=SEED + 1, unique=False)]
    random.Random(SEED).shuffle(made)
    return made


def _tokenizer_texts() -> Iterable[str]:
    for name in (*CAPABILITIES, LEGACY):
        for row in rows(name, "train", TOKENIZER_ROWS, unique=False):
            yield from (row.prompt, row.answer)


def build_base() -> None:
    """Random weights -> out/pocket/base -> suites/quickstart/models/base."""
    from training import load_recipe, train

    write_jsonl(WORK / "base.jsonl", [training_line(row) for row in base_rows()])
    size = fresh.make_fresh(WORK / "fresh", _tokenizer_texts(), seed=SEED)
    print(f"fresh: {size:,} parameters")
    recipe = load_recipe(RECIPES / "quickstart_base.yaml").with_(output_dir=str(WORK / "base"))
    result = train(recipe, progress=_say)
    print(f"base: {result.steps} steps in {result.seconds:.0f} s, loss {result.metrics['train_loss']:.3f}")
    _ship(WORK / "base", "base")


def _ship(made: Path, name: str) -> None:
    """A model's files, and nothing else that training wrote, to suites/quickstart/models/NAME."""
    shipped = SUITE / "models" / name
    shutil.rmtree(shipped, ignore_errors=True)
    shipped.mkdir(parents=True)
    for file in _MODEL_FILES:
        if (made / file).is_file():
            shutil.copyfile(made / file, shipped / file)


def build_adapters() -> None:
    """The adapters, each by its recipe, to suites/quickstart/models/NAME."""
    from training import load_recipe, train

    for name in ADAPTERS:
        target = SUITE / "models" / name
        shutil.rmtree(target, ignore_errors=True)
        result = train(load_recipe(RECIPES / f"quickstart_{name}.yaml").with_(output_dir=str(target)), progress=_say)
        shutil.rmtree(target / LOG)  # an adapter that ships is its two files
        print(
            f"{name}: {result.rows} rows, {result.steps} steps in {result.seconds:.0f} s, loss {result.metrics['train_loss']:.3f}"
        )


def build_reward() -> None:
    """Random weights -> a reader of polite requests -> suites/quickstart/models/reward, from the shipped rankings."""
    from training import load_recipe, train
    from training.pocket.rewarding import described

    write_jsonl(WORK / "reader.jsonl", [training_line(row) for row in reader_rows(READER_ROWS)])
    size = fresh.make_reader(WORK / "reader_fresh", SUITE / "models" / "base", seed=READER_SEED)
    print(f"reader: {size:,} parameters")
    for name, stage in (("reader", "quickstart_reader"), ("reward", "quickstart_reward")):
        recipe = load_recipe(RECIPES / f"{stage}.yaml").with_(output_dir=str(WORK / name))
        result = train(recipe, progress=_say)
        print(
            f"{name}: {result.rows} rows, {result.steps} steps in {result.seconds:.0f} s, loss {result.metrics['train_loss']:.3f}"
        )
    _ship(WORK / "reward", "reward")
    parts = [("train", rankings("train", RANKINGS))]
    parts += [(part, rankings(part, HELD_RANKINGS)) for part in ("dev", "gate")]
    print("\n".join(described(SUITE / "models" / "reward", parts)))


def write_labels() -> None:
    """suites/quickstart/labels: what base and candidates really answer to polite dev cases, rated by rule."""
    from harness.cases import CaseSource, load_cases

    asked = rows(CAPABILITY, "dev", DEV_CASES)
    base = SUITE / "models" / "base"
    found = {
        name: answers(*load(base, None if name == "base" else SUITE / "models" / name), [row.prompt for row in asked])
        for name in ("base", *ADAPTERS)
    }
    assert all(finished for said in found.values() for _, finished in said), "an answer that never ended is no answer to rate"
    source = CaseSource(path=f"cases/{CAPABILITY}.jsonl")
    known = load_cases(source, JUDGED, SUITE, lambda *path: "")
    ids = {str(case.vars["input"]): case.id for case in known.cases}
    said = {name: [text for text, _ in given] for name, given in found.items()}
    write_jsonl(SUITE / "labels" / f"{JUDGED}.jsonl", label_lines(asked, ids, said))


def measure_all(count: int = GATE_CASES) -> dict[str, dict[str, Measured]]:
    """Exact match of every candidate on the gate cases."""
    asked = [row for name in CAPABILITIES for row in rows(name, "gate", count)]
    base = SUITE / "models" / "base"
    found = {"base": measure(*load(base), asked)}
    made = [name for name in ADAPTERS if (SUITE / "models" / name).is_dir()]
    return found | {name: measure(*load(base, SUITE / "models" / name), asked) for name in made}


def digests() -> dict[str, str]:
    """sha256 (first 16 hex digits) of every shipped weights file."""
    files = sorted((SUITE / "models").rglob("*.safetensors"))
    return {str(path.relative_to(SUITE)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files}


def _say(line: Progress) -> None:
    left = f", {line.eta_s:.0f} s left" if line.eta_s is not None else ""
    print(f"  step {line.step}/{line.steps} loss {line.loss:.4f}{left}", flush=True)


def main() -> None:
    """Build all, or with --only one stage; then print the table and the digests."""
    import torch

    parser = argparse.ArgumentParser(description=main.__doc__)
    stages = {
        "data": write_data,
        "base": build_base,
        "adapters": build_adapters,
        "reward": build_reward,
        "labels": write_labels,
    }
    parser.add_argument("--only", choices=(*stages, "table"), help="one stage instead of all")
    only = parser.parse_args().only
    torch.set_num_threads(THREADS)
    started = time.perf_counter()
    for name, stage in stages.items():
        if only in (None, name):
            stage()
    if only not in ("data", "reward", "labels"):
        print(table(measure_all()))
    if only not in ("data", "labels"):
        print("\n".join(f"{digest}  {name}" for name, digest in digests().items()))
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
