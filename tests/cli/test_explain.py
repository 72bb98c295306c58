"""`harness explain`: the stored verdict comes out again, a difference is told, a what-if is never a verdict, a case opens."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from support.runs import CANDIDATE, make_record, make_request, make_response, make_score
from support.suites import write_suite

from harness.cli import call as run
from harness.cli import judging
from harness.model import Gate, Outcome
from harness.store import Store

GATE = Gate()
POLICY = {
    "suite": "demo",
    "version": 1,
    "gate": asdict(GATE),
    "capabilities": {
        "math": {"role": "target", "margin": 0.05, "samples": 1, "description": ""},
        "v1.0 dates": {"role": "protected", "margin": 0.1, "samples": 1, "description": ""},
    },
}
HOSTILE = "\x1b[2J<script>alert(1)</script>\u202e"


def write_run(store: Store, run_id: str, passed: dict[str, list[bool]], *, text: str = "") -> None:
    """A complete run: capability -> whether each of its cases passes. Case numbers count on over the capabilities."""
    candidate = replace(CANDIDATE, name=run_id, digest=run_id[0] * 64)
    marks = [(name, mark) for name, marks in passed.items() for mark in marks]
    requests = [make_request(i, capability=name, candidate=candidate) for i, (name, _) in enumerate(marks)]
    with store.begin_run(make_record(run_id, candidate=candidate), "suite: demo", POLICY, requests) as writer:
        for request, (_, mark) in zip(requests, marks, strict=True):
            response = make_response(request, text or None)
            writer.add_response(request, response)
            writer.add_score(request, response, make_score(float(mark)), "digest")
        writer.finish("complete")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """base: 60 of 100 and 95 of 100; cand: 85 of 100 (25 fixed) and 92 of 100 (3 broken)."""
    folder = tmp_path_factory.mktemp("explain") / "store"
    with Store.open(folder) as opened:
        write_run(opened, "base", {"math": [True] * 60 + [False] * 40, "v1.0 dates": [True] * 95 + [False] * 5})
        write_run(opened, "cand", {"math": [True] * 85 + [False] * 15, "v1.0 dates": [True] * 92 + [False] * 8}, text=HOSTILE)
        gate, rules = judging.stored_rules(opened, opened.run("cand"))
        verdict = judging.judge(opened, opened.run("cand"), opened.run("base"), gate, rules)
        assert verdict.outcome is Outcome.SHIP
    return folder


@pytest.fixture
def store(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "store"))


def explain(store: Path, *args: str) -> int:
    return run(["explain", "cand", "--store", str(store), *args])


def test_the_same_verdict_comes_out_again_with_every_number(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(store) == 0
    out = capsys.readouterr().out
    assert "run cand (cand) against run base (base)" in out
    assert "verdict: SHIP" in out
    assert "computed again from the store: the same verdict" in out
    assert "math: target, margin 0.05" in out
    assert "baseline 0.6000 -> candidate 0.8500" in out
    assert "25 fixed, 0 broken" in out
    assert "0 fixed, 3 broken" in out
    assert "by tango-exact, each bound at 0.05" in out
    assert "improved < 0.0001" in out


def test_json_carries_the_verdict_and_that_it_is_the_same(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(store, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outcome"], found["exit_code"], found["what_if"]) == ("SHIP", 0, None)
    assert found["stored"]["same"] is True
    assert found["candidate"] == {"name": "cand", "run": "cand"}
    assert found["ledgers"]["candidate"]["scored"] == 200
    assert [c["capability"] for c in found["comparisons"]] == ["math", "v1.0 dates"]


def test_a_stored_verdict_that_the_scores_do_not_give_is_told(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(store) as opened:
        stored = opened.verdict("cand")
        assert stored is not None
        first, *rest = stored.verdict.comparisons
        forged = replace(stored.verdict, outcome=Outcome.OPTIMIZE, comparisons=(replace(first, candidate_mean=0.5), *rest))
        opened.save_verdict("cand", "base", forged)
    assert explain(store) == 4
    out = capsys.readouterr().out
    assert "verdict: SHIP" in out
    assert "NOT what was stored" in out
    assert 'outcome: "OPTIMIZE" -> "SHIP"' in out
    assert "comparisons[math].candidate_mean: 0.5 -> 0.85" in out
    assert "v1.0 dates" not in out.split("What differs")[1].split("Another version")[0]


def test_a_verdict_by_another_gate_is_made_again_by_that_gate_and_says_which(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(store) as opened:
        _, rules = judging.stored_rules(opened, opened.run("cand"))
        other = {name: replace(rule, margin=0.12) if name == "v1.0 dates" else rule for name, rule in rules.items()}
        judging.judge(opened, opened.run("cand"), opened.run("base"), Gate(alpha=0.01), other)
    assert explain(store) == 0
    out = capsys.readouterr().out
    assert "the same verdict as was stored" in out
    assert "judged by another gate than its suite's (compare --suite)" in out
    assert "alpha: 0.05 -> 0.01" in out
    assert "margin of v1.0 dates: 0.1 -> 0.12" in out
    assert "each bound at 0.01" in out
    assert explain(store, "--json") == 0
    found = json.loads(capsys.readouterr().out)["stored"]
    assert (found["same"], found["other_gate"]) == (True, ["alpha: 0.05 -> 0.01", "margin of v1.0 dates: 0.1 -> 0.12"])
    assert explain(store, "--what-if", "alpha=0.02") == 0
    assert "what if: alpha 0.01 -> 0.02" in capsys.readouterr().out


def test_compare_with_another_suites_gate_is_explained_by_it(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = {"cases": [{"input": "1", "reference": "1"}], "checks": ["equals"]}
    strict = {"math": case | {"role": "target"}, "v1.0 dates": case | {"role": "protected", "margin": 0.01}}
    other = write_suite(tmp_path, {"suite": "demo", "candidates": {"cand": {"model": "org/m"}}, "capabilities": strict})
    assert run(["compare", "cand", "base", "--suite", str(other), "--store", str(store)]) == 2
    capsys.readouterr()
    assert explain(store) == 0
    out = capsys.readouterr().out
    assert "verdict: INCONCLUSIVE" in out
    assert "margin of v1.0 dates: 0.1 -> 0.01" in out


def test_a_forged_verdict_under_another_gate_still_differs(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(store) as opened:
        _, rules = judging.stored_rules(opened, opened.run("cand"))
        honest = judging.judge(opened, opened.run("cand"), opened.run("base"), Gate(alpha=0.0001), rules)
        assert honest.outcome is not Outcome.SHIP
        opened.save_verdict("cand", "base", replace(honest, outcome=Outcome.SHIP))
    assert explain(store) == 4
    out = capsys.readouterr().out
    assert 'outcome: "SHIP" -> "INCONCLUSIVE"' in out
    assert "alpha: 0.05 -> 0.0001" in out


def test_the_suites_own_gate_is_not_told(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(store) == 0
    assert "another gate" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "outcome", "words"),
    [
        ("v1.0 dates.margin=0.01", "INCONCLUSIVE", "margin of v1.0 dates 0.1 -> 0.01"),
        ("margin=0.01", "INCONCLUSIVE", "margin of math 0.05 -> 0.01"),
        ("math.role=protected", "SHIP", "role of math target -> protected"),
        ("min_gain=0.3", "INCONCLUSIVE", "min_gain 0 -> 0.3"),
        ("targets=any", "SHIP", "targets all -> any"),
        ("max_latency_p95=0.1", "OPTIMIZE", "max_latency_p95_s None -> 0.1"),
        ("margin=0.1", "SHIP", "margin of math 0.05 -> 0.1"),
    ],
)
def test_a_what_if_is_marked_and_never_stored(
    store: Path, capsys: pytest.CaptureFixture[str], change: str, outcome: str, words: str
) -> None:
    assert explain(store, "--what-if", change) == 0
    out = capsys.readouterr().out
    assert f"what if: {words}, changed after looking; not a verdict" in out
    assert f"would be: {outcome}" in out
    assert "verdict: " not in out.split("\n\n")[1]
    with Store.open(store) as opened:
        stored = opened.verdict("cand")
        assert stored is not None
        assert stored.verdict.outcome is Outcome.SHIP
        assert stored.verdict.gate == GATE


def test_what_ifs_add_up_and_json_says_what_they_are(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(store, "--json", "--what-if", "alpha=0.2", "--what-if", "v1.0 dates.margin=0.001") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["what_if"]["note"] == "changed after looking; not a verdict"
    assert found["what_if"]["changes"] == ["alpha 0.05 -> 0.2", "margin of v1.0 dates 0.1 -> 0.001"]
    assert found["stored"] is None
    assert found["gate"]["alpha"] == 0.2
    assert found["exit_code"] == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("alpha=0.7", "gate.alpha: must be less than 0.5"),
        ("margin=-1", "margin: must be greater than 0"),
        ("margin=abc", "margin: must be a valid number"),
        ("margin=NaN", "margin"),
        ("alpha=true", "a number is needed"),
        ("targets=some", "gate.targets: must be 'all' or 'any'"),
        ("nosuch.margin=0.1", "'nosuch.margin' cannot be changed"),
        ("floors=1", "'floors' cannot be changed"),
        ("margin", "'margin' is no change"),
        ("=", "cannot be changed"),
    ],
)
def test_changes_that_make_no_sense_are_usage_errors(
    store: Path, capsys: pytest.CaptureFixture[str], change: str, says: str
) -> None:
    assert explain(store, "--what-if", change) == 3
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""


def test_a_case_opens_down_to_prompt_answer_and_checks(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(store, "--case", f"{61:016x}") == 0
    out = capsys.readouterr().out
    assert f"case {61:016x} of math, baseline, sample 0 (cases.jsonl:62)" in out
    assert "    | What is 61 + 1?" in out
    assert "    | 62" in out
    assert "  scored 0\n    equals v1: 0 - as expected" in out
    assert "  scored 1\n    equals v1: 1 - as expected" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "<script>alert(1)</script>" in out  # a terminal has no markup: shown as it is


def test_a_case_in_json_and_a_case_that_is_not_there(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(store, "--json", "--case", f"{61:016x}") == 0
    found = json.loads(capsys.readouterr().out)
    assert [case["who"] for case in found["case"]] == ["baseline", "candidate"]
    assert found["case"][1]["response"]["text"] == HOSTILE
    assert explain(store, "--case", "zz") == 3
    assert "no case 'zz'" in capsys.readouterr().err
    assert explain(store, "--case", "000") == 3
    assert "fits 200 cases" in capsys.readouterr().err


def test_a_run_without_a_verdict_is_a_usage_error(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "base", "--store", str(store)]) == 3
    assert "no stored verdict" in capsys.readouterr().err


def test_compare_of_stored_runs_prints_the_same_object(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", "cand", "base", "--store", str(store), "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    explain(store, "--json")
    explained = json.loads(capsys.readouterr().out)
    assert compared == {key: explained[key] for key in compared}
    assert run(["compare", "cand", "base", "--store", str(store)]) == 0
    assert "SHIP" in capsys.readouterr().out


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_exported_runs_compare_as_the_runs_do(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    gate = tmp_path / "gate.yaml"
    gate.write_text("capabilities: {math: {role: target}, v1.0 dates: {role: protected, margin: 0.1}}")
    files = [str(tmp_path / f"{name}{ending}") for name in ("cand", "base")]
    for name, file in zip(("cand", "base"), files, strict=True):
        assert run(["export", name, file, "--store", str(store)]) == 0
    assert run(["compare", "cand", "base", "--store", str(store), "--json"]) == 0
    of_runs = json.loads(capsys.readouterr().out.split("\n")[-2])
    assert run(["compare", *files, "--gate", str(gate), "--json"]) == 0
    of_files = json.loads(capsys.readouterr().out)
    for key in ("outcome", "reasons", "claims", "comparisons", "seesaws", "ledgers", "gate"):
        assert of_files[key] == of_runs[key], key
