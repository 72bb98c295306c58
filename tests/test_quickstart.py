"""The main job, real: `harness demo` serves the pocket model and its adapters with vLLM and judges both candidates."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.model import Claim, Outcome, Role
from harness.store import Store

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.CompletedProcess[str], Store]]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "harness", "demo", "--store", str(folder / "store")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850)
    with Store.open(folder / "store", create=False) as store:
        yield done, store


def test_the_demo_refuses_one_candidate_and_ships_the_other(demo: tuple[subprocess.CompletedProcess[str], Store]) -> None:
    done, _ = demo
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"OPTIMIZE\s+sft against base", done.stdout)
    assert re.search(r"SHIP\s+repaired against base", done.stdout)
    assert "exit code 1" in done.stdout
    assert "exit code 0" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_verdicts_rest_on_a_real_seesaw(demo: tuple[subprocess.CompletedProcess[str], Store]) -> None:
    _, store = demo
    by_name = {run.candidate.name: run for run in store.runs("quickstart")}
    assert set(by_name) == {"base", "sft", "repaired"}
    damaged = store.verdict(by_name["sft"].id)
    repaired = store.verdict(by_name["repaired"].id)
    assert damaged is not None
    assert repaired is not None
    assert damaged.verdict.outcome is Outcome.OPTIMIZE
    (seesaw,) = damaged.verdict.seesaws
    assert "order-json" in seesaw.gains
    assert seesaw.losses
    assert repaired.verdict.outcome is Outcome.SHIP
    for row in repaired.verdict.comparisons:
        if row.role is Role.TARGET:
            assert Claim.IMPROVED in row.claims
        elif row.role is Role.PROTECTED:
            assert {Claim.NOT_WORSE, Claim.EQUIVALENT, Claim.IMPROVED} & set(row.claims)


def test_the_denominator_is_closed_and_nothing_failed(demo: tuple[subprocess.CompletedProcess[str], Store]) -> None:
    _, store = demo
    for run in store.runs("quickstart"):
        assert run.status == "complete"
        assert run.ledger.closed
        assert run.ledger.planned > 1000
        assert run.ledger.n_errored == 0


def test_judging_again_asks_nothing_and_starts_no_server(
    demo: tuple[subprocess.CompletedProcess[str], Store], tmp_path: Path
) -> None:
    _, store = demo
    command = [sys.executable, "-m", "harness", "run", "suites/quickstart/suite.yaml", "-c", "repaired"]
    command += ["--store", str(store.path), "--json", str(tmp_path / "out.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "0 to ask" in done.stderr
    assert "vLLM" not in done.stderr
    assert json.loads((tmp_path / "out.json").read_text())["schema_version"] == 1
