"""The loop, real: from the quickstart's damaged candidate to SHIP, unattended but for a kill -9 in the middle of the training."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.loop import Ledger, Step, load
from harness.model import Outcome, Role
from harness.store import Store

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1200)]

GATE, DEV = 5 * 250, 5 * 80


@dataclass
class Looped:
    folder: Path
    code: int
    told: str
    errors: str
    ledger: Ledger


def command(folder: Path) -> list[str]:
    words = ["loop", "suites/quickstart/suite.yaml", "-c", "sft", "--recipe", "training/recipes/quickstart_loop.yaml"]
    return [sys.executable, "-m", "harness", *words, "--store", str(folder / "store"), "--out", str(folder / "out")]


def kill_in_training(folder: Path) -> None:
    """Start the loop and kill -9 it once it trains."""
    ledger = folder / "out" / "loop.json"
    with (folder / "first.log").open("w") as log:
        process = subprocess.Popen(command(folder), cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + 800
        while process.poll() is None and time.monotonic() < deadline:
            found = load(ledger)
            if found and found.begun and found.begun.step is Step.TRAIN:
                break
            time.sleep(0.2)
        assert process.poll() is None, (folder / "first.log").read_text()
        process.kill()
        process.wait()
    time.sleep(12)  # what watches over the training ends it within its grace


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Looped:
    folder = tmp_path_factory.mktemp("loop")
    kill_in_training(folder)
    done = subprocess.run(command(folder), cwd=ROOT, capture_output=True, text=True, timeout=800)
    ledger = load(folder / "out" / "loop.json")
    assert ledger is not None
    return Looped(folder, done.returncode, done.stdout, done.stderr, ledger)


def test_it_goes_from_the_damaged_candidate_to_ship(looped: Looped) -> None:
    assert looped.code == 0, looped.told + looped.errors
    assert looped.ledger.looks[0].outcome is Outcome.OPTIMIZE
    assert looped.ledger.looks[-1].outcome is Outcome.SHIP
    assert "Traceback" not in looped.errors
    assert looped.ledger.looks[-1].better


def test_the_target_is_not_unlearnt_while_the_harms_are_mended(looped: Looped) -> None:
    (target,) = [s for s in looped.ledger.looks[-1].standings if s.role == Role.TARGET]
    assert target.candidate is not None
    assert target.candidate > 0.7


def test_nothing_was_asked_twice_in_spite_of_the_kill(looped: Looped) -> None:
    rounds = len(looped.ledger.looks)
    assert (
        looped.ledger.requests == (rounds + 1) * GATE + rounds * DEV
    )  # the base beside each round's candidate; the last: no dev
    with Store.open(looped.folder / "store", create=False) as store:
        assert all(run.status in ("complete", "partial") and not run.ledger.n_errored for run in store.runs("quickstart"))


def test_only_dev_cases_were_learnt_and_the_weights_lead_back_to_them(looped: Looped) -> None:
    rows = [json.loads(line) for line in (looped.folder / "out" / "round-1" / "sft.jsonl").read_text().splitlines()]
    assert {row["provenance"]["split"] for row in rows} == {"dev"}
    words = ["trainings", "latest", "--store", str(looped.folder / "store")]
    done = subprocess.run([sys.executable, "-m", "harness", *words], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert f"{len(rows):,} rows come of" in done.stdout, done.stdout + done.stderr
