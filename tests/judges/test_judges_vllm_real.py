"""The real vLLM under a suite's judges: the harness serves a base and an adapter, and the base judges what both answer, by
JSON Schema and log-probabilities. The model is random, so verdicts mean nothing; their forms, places and books do."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from support.gates import harness
from support.suites import write_suite
from support.tiny_model import write_adapter, write_base

from harness.model import Judgment, RunRecord
from harness.store import Store, StoredJudgment
from judges.attacks import corpus

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"),
]

# Without it the schema allows any white space between tokens, and a random model asked greedily writes nothing else.
TIGHT = ("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}')
JUDGES: dict[str, dict[str, Any]] = {
    "brief": {"kind": "pointwise", "rubric": "helpfulness", "explain": False, "max_tokens": 32},
    "wordy": {"kind": "pointwise", "rubric": "helpfulness-zh", "max_tokens": 32},
    "list": {"kind": "checklist", "rubric": "politeness", "explain": False, "max_tokens": 120},
    "pair": {"kind": "pairwise", "rubric": "pairwise-preference", "explain": False, "max_tokens": 32},
    "text": {"kind": "pointwise", "rubric": "helpfulness", "form": "text", "max_tokens": 24},
}
CHECKS = {
    "graded": [{"judge": "brief"}, {"judge": "wordy"}, {"judge": "list"}],
    "compared": [{"judge": "pair"}],
    "in-prose": [{"judge": "text"}],
}
CASES = 2


def write(folder: Path) -> Path:
    write_base(folder / "base", max_length=8192)
    write_adapter(folder / "adapter", rank=16, scale=0.2)
    hostile = [attack.text for attack in corpus() if attack.id in ("chatml-turn", "full-marks", "zh-system")]
    capability = {"role": "protected", "margin": 0.2, "generation": {"on_truncated": "score", "on_empty": "score"}}
    suite = {
        "suite": "judged",
        "baseline": "base",
        "candidates": {"base": {"model": "./base"}, "tuned": {"model": "./base", "adapter": "./adapter"}},
        "generation": {"temperature": 0, "max_tokens": 16},
        "judges": {name: {**options, "model": "base"} for name, options in JUDGES.items()},
        "capabilities": {
            name: {
                **capability,
                "cases": [{"input": f"{name} {i}: {hostile[i % len(hostile)]}"} for i in range(CASES)],
                "checks": checks,
            }
            for name, checks in CHECKS.items()
        },
        "serve": {"max_model_len": 8192, "dtype": "float32", "args": list(TIGHT)},
    }
    return write_suite(folder, suite)


def test_a_served_candidate_judges_both_by_schema_and_expected_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = write(tmp_path)
    assert harness(tmp_path, "run", suite, "--json", tmp_path / "out.json") == 2
    assert capsys.readouterr().err.count("vLLM is ready") == 1, "one server for candidate, baseline and judge"
    with Store.open(tmp_path / "store") as store:
        runs = {record.candidate.name: record for record in store.runs()}
        said = {name: list(store.judgments(record.id)) for name, record in runs.items()}
    for name, record in runs.items():
        check_books(record, said[name])
        check_forms({judge: [one.judgment for one in said[name] if one.judgment.judge == judge] for judge in JUDGES})
    pairs = [one for one in said["tuned"] if one.judgment.judge == "pair"]
    assert len(pairs) == CASES
    assert {one.baseline_run_id for one in pairs} == {runs["base"].id}
    for pair in (one.judgment for one in pairs):
        assert (pair.mode, len(pair.keys), len(pair.orders)) == ("schema", 2, 1)
        assert {*pair.orders[0], pair.preference} <= {"candidate", "baseline", "tie"}
    assert [one for one in said["base"] if one.judgment.judge == "pair"] == [], "a baseline is compared with nothing"
    check_told(tmp_path, capsys)


def check_books(record: RunRecord, said: list[StoredJudgment]) -> None:
    """All verdicts that could be read are scores; what could not has its reason; nothing is missing and nothing failed."""
    assert (record.status, record.ledger.closed) == ("complete", True)
    assert (record.ledger.planned, record.ledger.scored, record.ledger.n_errored) == (3 * CASES, 2 * CASES, 0)
    assert sum(record.ledger.unscored.values()) == CASES
    assert set(record.ledger.unscored) <= {"judge-cut", "judge-no-verdict", "judge-empty"}
    assert not any(one.judgment.errored for one in said)
    assert all((one.judgment.value is None) == (one.judgment.unscored is not None) for one in said)
    assert {one.judgment.judge for one in said if one.judgment.value is None} == {"text"}
    canaries = record.provenance["judging"]["canaries"]
    assert {canary["judge"] for canary in canaries} >= {"brief", "list"}
    assert {canary["state"] for canary in canaries} <= {"drifted", "held", "unscored"}
    assert {canary["state"] for canary in canaries if canary["judge"] == "text"} == {"unscored"}


def check_forms(by_judge: dict[str, list[Judgment]]) -> None:
    assert [len(by_judge[name]) for name in ("brief", "wordy", "list", "text")] == [CASES] * 4
    for brief in by_judge["brief"]:
        assert (brief.mode, brief.attempts) == ("logprob", 1)
        assert brief.choice in {"1", "2", "3", "4", "5"}
        assert brief.raw is not None
        assert 1 <= brief.raw <= 5
        assert brief.raw != int(brief.choice), "a mean over five digits that a random model finds about alike"
        assert brief.outside == pytest.approx(0, abs=1e-3), "this vLLM tells probabilities after the schema has had its say"
    for wordy in by_judge["wordy"]:
        assert (wordy.mode, wordy.attempts) == ("logprob", 2), "its reasons never end, so the second question has none"
    for listed in by_judge["list"]:
        assert listed.mode == "schema"
        assert {item.value for item in listed.items} <= {0.0, 1.0}
    assert {(one.value, one.mode) for one in by_judge["text"]} == {(None, "text")}


def check_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report has both ways of reading, and the store alone gives the same verdict, with no server."""
    figures = {judge["name"]: judge["figures"] for judge in json.loads((folder / "out.json").read_text())["judges"]}
    assert figures["brief"]["mode.logprob"] == {"candidate": CASES, "baseline": CASES}
    assert figures["pair"]["mode.schema"]["candidate"] == CASES
    assert figures["brief"]["prompt_tokens"]["candidate"] > 1000 * CASES
    assert figures["text"]["unparsed"]["candidate"] == 1.0
    assert harness(folder, "explain", "latest") == 0
    assert "the same verdict as was stored" in capsys.readouterr().out
