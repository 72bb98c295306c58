"""The loop, real: unattended from the quickstart's damaged candidate to SHIP, by a real training and real servers.

Models, recipe and cases are the quickstart's; of its five capabilities three, and fewer gate cases with a wider margin, because
each look at all of them takes a minute. What a kill in the middle costs is in tests/cli/test_cli_loop.py.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.pocket import BASE, CHECKS, SFT, write_suite

from harness.loop import Ledger, load
from harness.model import Outcome, Role
from harness.store import Store

ROOT = Path(__file__).parent.parent
GATE, DEV = 100 * len(CHECKS), 80 * len(CHECKS)

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]


@dataclass(frozen=True)
class Looped:
    folder: Path
    code: int
    told: str
    errors: str
    ledger: Ledger


@pytest.fixture(scope="module")
def looped(tmp_path_factory: pytest.TempPathFactory) -> Looped:
    folder = tmp_path_factory.mktemp("loop")
    candidates = {"base": {"model": BASE}, "sft": {"model": BASE, "adapter": SFT}}
    suite = write_suite(folder, "pocket", candidates, dev=80, gate=100, margin=0.15)
    words = ["loop", str(suite), "--recipe", "training/recipes/quickstart_loop.yaml", "--rounds", "2"]
    words += ["--store", str(folder / "store"), "--out", str(folder / "out")]
    done = subprocess.run([sys.executable, "-m", "harness", *words], cwd=ROOT, capture_output=True, text=True, timeout=1100)
    ledger = load(folder / "out" / "loop.json")
    assert ledger is not None, done.stderr
    return Looped(folder, done.returncode, done.stdout, done.stderr, ledger)


def test_it_goes_from_the_damaged_candidate_to_ship(looped: Looped) -> None:
    assert looped.code == 0, looped.told + looped.errors
    assert [look.outcome for look in looped.ledger.looks] == [Outcome.OPTIMIZE, Outcome.SHIP]
    assert set(looped.ledger.looks[0].blocking) >= {"date", "zh-quantity"}
    assert set(looped.ledger.looks[-1].better) >= {"date", "zh-quantity"}
    assert "Traceback" not in looped.errors


def test_the_target_is_not_unlearnt_while_the_harms_are_mended(looped: Looped) -> None:
    (target,) = [s for s in looped.ledger.looks[-1].standings if s.role == Role.TARGET]
    assert target.candidate is not None
    assert target.candidate > 0.7


def test_each_answer_was_asked_for_once(looped: Looped) -> None:
    # the base beside both candidates at the gate, and once more on the dev split
    assert looped.ledger.requests == 3 * GATE + 2 * DEV
    with Store.open(looped.folder / "store", create=False) as store:
        assert all(run.status in ("complete", "partial") and not run.ledger.n_errored for run in store.runs("pocket"))


def test_only_dev_cases_were_learnt_and_the_weights_lead_back_to_them(looped: Looped) -> None:
    rows = [json.loads(line) for line in (looped.folder / "out" / "round-1" / "sft.jsonl").read_text().splitlines()]
    assert {row["provenance"]["split"] for row in rows} == {"dev"}
    words = ["trainings", "--weights", looped.ledger.looks[-1].run_id, "--store", str(looped.folder / "store")]
    done = subprocess.run([sys.executable, "-m", "harness", *words], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert f"{len(rows):,} rows come of" in done.stdout, done.stdout + done.stderr


def test_each_round_is_on_the_page_and_the_report_shows_the_training(looped: Looped) -> None:
    page = (looped.folder / "out" / "loop.html").read_text(encoding="utf-8")
    assert page.count('<section id="round-') == 2
    first, last = ((looped.folder / "out" / f"round-{n}" / "report.html").read_text(encoding="utf-8") for n in (1, 2))
    assert '<section id="training">' not in first
    assert last.count('<svg class="curve"') == 2
