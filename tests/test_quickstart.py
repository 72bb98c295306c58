"""The main job, real: `harness demo` serves the pocket models with vLLM, calibrates a judge and judges both candidates."""

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
from training.reward import RewardModel

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


def test_the_reward_model_is_served_asked_and_calibrated(demo: tuple[subprocess.CompletedProcess[str], Store]) -> None:
    done, store = demo
    assert re.search(r"courtesy: pointwise, \d+ labelled cases, \d+ with a verdict", done.stdout)
    local = RewardModel.load(ROOT / "suites" / "quickstart" / "models" / "reward")
    rewards: dict[str, list[float]] = {}
    for run in store.runs("quickstart"):
        judged = list(store.judgments(run.id))
        answers = {item.case.id: item for item in store.items(run.id) if item.case.capability == "courtesy"}
        finished = [item for item in answers.values() if item.response and item.response.finish_reason == "stop"]
        assert len(answers) == 250
        assert len(judged) == len(finished) > 150
        assert {one.judgment.mode for one in judged} == {"reward"}
        assert all(item.score and item.score.value is not None for item in finished), "every answer that ended has a score"
        canaries = {canary["state"] for canary in run.provenance["judging"]["canaries"]}
        assert canaries == {"held"} or (run.candidate.name == "repaired" and not canaries), "judged where anything is asked"
        rewards[run.candidate.name] = [one.judgment.raw or 0.0 for one in judged]
        here = [answers[one.case_id] for one in judged[:40]]
        talks = [[*(m.as_dict() for m in item.messages), {"role": "assistant", "content": item.response.text}] for item in here]
        served = [one.judgment.raw for one in judged[:40]]
        assert local.rewards(talks) == pytest.approx(served, abs=0.25), "bf16 there, fp32 here; the raw output, no sigmoid of it"
    means = {name: sum(found) / len(found) for name, found in rewards.items()}
    assert means["sft"] < means["repaired"] - 0.5
    assert means["base"] == pytest.approx(means["repaired"], abs=0.2)
    damaged = next(run for run in store.runs("quickstart") if run.candidate.name == "sft")
    stored = store.verdict(damaged.id)
    assert stored is not None
    courtesy = next(c for c in stored.verdict.comparisons if c.capability == "courtesy")
    (judge,) = courtesy.judges
    assert judge.kappa is not None
    assert judge.kappa.low is not None
    assert judge.kappa.low > 0.6
    assert judge.n_labels > 100
    assert courtesy.role is Role.ADVISORY
    assert Claim.HARMED in courtesy.claims


def test_what_two_capabilities_ask_alike_was_asked_once(demo: tuple[subprocess.CompletedProcess[str], Store]) -> None:
    done, store = demo
    assert "1,500 requests planned, 0 answered in the store, 1,250 to ask (250 more ask the same)" in done.stderr
    for run in store.runs("quickstart"):
        assert run.provenance["served"]["requests"] == 1_250
        texts = {name: {} for name in ("polite", "courtesy")}
        for item in store.items(run.id):
            if item.case.capability in texts:
                texts[item.case.capability][item.case.vars["input"]] = item.response and item.response.text
        assert texts["polite"] == texts["courtesy"]


def test_the_report_shows_the_judge(demo: tuple[subprocess.CompletedProcess[str], Store]) -> None:
    _, store = demo
    (page,) = (path.read_text(encoding="utf-8") for path in (store.path / "reports").glob("quickstart-sft-*.html"))
    assert re.search(r"agrees with people at kappa 0\.\d\d \[0\.\d\d, [01]\.\d\d\] on \d+ labelled cases", page)
    assert "Mean reward, on the model&#39;s own scale" in page
    assert "judge uncalibrated" not in page
    opened = page[page.index("courtesy") :]
    assert len(re.findall(r"reward -?\d+\.\d\d", opened)) >= 20, "of both answers of every flip"


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
