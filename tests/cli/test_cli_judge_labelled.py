"""`harness judge calibrate --suite`: judges asked about labelled answers that no run holds; and reward judges in runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.gates import harness
from support.juries import CASES, JUDGES, answer, scripted, write_jury
from support.scripted_server import Body, Fault, ScriptedServer

from harness.model import Calibration
from harness.store import Store

REWARD = "kind: reward, center: 1.0, scale: 0.5, canaries: [{id: kind, input: greet guest 1, response: 'please', low: 0.8}]"


def rewards(body: Body) -> Any:
    """A reward of 2 for an answer with "please" in it, 0 for another."""
    return [2.0 if "please" in str(body["messages"][-1]["content"]) else 0.0]


def reward_server(**options: Any) -> ScriptedServer:
    return scripted(rewards, **options)


def write_labels(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def labelled(n: int = 24) -> list[dict[str, Any]]:
    """Half polite answers. People and judge disagree about every sixth."""
    rows = []
    for i in range(n):
        said = "come in, please" if i % 2 else "go away"
        rows.append({"case_id": f"c{i}", "input": f"greet guest {i}", "response": said, "passed": bool(i % 2) != (i % 6 == 0)})
    return rows


def calibrations(folder: Path) -> list[Calibration]:
    with Store.open(folder / "store") as store:
        return list(store.calibrations([judging(store)["judges"]["polite"]["digest"]]))


def judging(store: Store) -> dict[str, Any]:
    return dict(store.run("latest").provenance["judging"])


def test_a_judge_is_asked_about_labelled_answers_and_is_calibrated_in_the_runs_that_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", [{**row, "rater": "ann"} for row in labelled()])
    with reward_server() as server:
        suite = write_jury(tmp_path, server.url, judge=REWARD)
        assert harness(tmp_path, "judge", "calibrate", "--suite", suite, "--labels", labels, "--json") == 0
        (found,) = json.loads(capsys.readouterr().out)["calibrations"]
        assert server.counts["judge"] == 24
        assert server.requests[-1].body["use_activation"] is False
        assert (found["n"], found["kind"], found["raters"]) == (24, "pointwise", ["ann"])
        assert found["confusion"] == {"fail": {"fail": 8, "pass": 0}, "pass": {"fail": 4, "pass": 12}}
        assert found["usage"]["tokens"]["value"] == 7_000
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        told = capsys.readouterr().out
    assert "uncalibrated" not in told
    (kept,) = calibrations(tmp_path)
    assert kept.kappa.value == pytest.approx(found["kappa"]["value"])
    with Store.open(tmp_path / "store") as store:
        stored = store.verdict(store.run("latest").id)
        assert stored is not None
        tone = next(c for c in stored.verdict.comparisons if c.capability == "tone")
        assert [standing.n_labels for standing in tone.judges] == [24]
        assert tone.uncalibrated == ()
        assert [canary["state"] for canary in judging(store)["canaries"]] == ["held"]


def test_a_capability_that_is_only_reported_tells_whether_its_judge_is_calibrated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", labelled())
    with reward_server() as server:
        suite = write_jury(tmp_path, server.url, judge=REWARD, role="advisory")
        assert harness(tmp_path, "run", suite, "-c", "bad") == 0, "nothing that decides is worse"
        assert "judge polite: uncalibrated" in capsys.readouterr().out
        assert harness(tmp_path, "judge", "calibrate", "--suite", suite, "--labels", labels) == 0
        capsys.readouterr()
        assert harness(tmp_path, "run", suite, "-c", "bad") == 0
        assert "judge polite: agrees with people at kappa 0.67" in " ".join(capsys.readouterr().out.split())


def test_cases_of_the_suite_are_shown_as_a_run_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with reward_server() as server:
        suite = write_jury(tmp_path, server.url, judge=REWARD, extra="prompt: {system: Be kind.}\n")
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        with Store.open(tmp_path / "store") as store:
            cases = [item.case for item in store.items(store.run("latest").id) if item.case.capability == "tone"]
        rows = [{"case_id": case.id, "response": f"please {i}", "passed": i % 3 > 0} for i, case in enumerate(cases[:12])]
        capsys.readouterr()
        labels = write_labels(tmp_path / "labels.jsonl", rows)
        assert harness(tmp_path, "judge", "calibrate", "--suite", suite, "--labels", labels, "--json") == 0
        shown = [[turn["role"] for turn in seen.body["messages"]] for seen in server.requests[-12:]]
    assert shown == [["system", "user", "assistant"]] * 12
    (found,) = json.loads(capsys.readouterr().out)["calibrations"]
    assert found["capability"] == "tone"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"case_id": "a", "passed": True}], "labels.jsonl:1: holds no answer that a judge could read"),
        ([{"case_id": "a", "response": "x", "passed": True}], "labels.jsonl:1: the suite knows no case 'a'"),
        (
            [{"case_id": "a", "input": "q", "response": text, "passed": True} for text in ("x", "y")],
            "labels.jsonl:2: labels another answer than",
        ),
        ([{"case_id": "a", "input": 1, "response": "x", "passed": True}], "labels.jsonl:1: input is not a text"),
    ],
)
def test_rows_that_cannot_be_asked_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], said: str
) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", rows)
    suite = write_jury(tmp_path, "http://127.0.0.1:1/v1", judge=REWARD)
    assert harness(tmp_path, "judge", "calibrate", "--suite", suite, "--labels", labels) == 3
    assert said in capsys.readouterr().err


def test_what_cannot_be_calibrated_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", labelled())
    suite = write_jury(tmp_path, "http://127.0.0.1:1/v1", judge=REWARD)
    for words in (["--suite", suite], ["--suite", suite, "--labels", labels, "--run", "latest"]):
        assert harness(tmp_path, "judge", "calibrate", *words) == 3
        assert "--suite asks its judges about labelled answers" in capsys.readouterr().err
    assert harness(tmp_path, "judge", "calibrate", "--suite", suite, "--labels", labels, "--judge", "nobody") == 3
    assert "no check of this suite asks a judge named 'nobody'" in capsys.readouterr().err
    pairs = write_jury(tmp_path, "http://127.0.0.1:1/v1", judge="kind: pairwise, rubric: pairwise-preference")
    assert harness(tmp_path, "judge", "calibrate", "--suite", pairs, "--labels", labels) == 3
    assert "compares pairs" in capsys.readouterr().err


def test_a_judge_that_fails_gives_no_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = write_labels(tmp_path / "labels.jsonl", labelled())
    with reward_server(faults=lambda number, body: Fault.status(500) if number == 5 else None) as server:
        suite = write_jury(tmp_path, server.url, judge=REWARD, extra="judging: {retries: 0}\n")
        assert harness(tmp_path, "judge", "calibrate", "--suite", suite, "--labels", labels) == 4
        assert "could not be asked (http-500" in capsys.readouterr().err
        with Store.open(tmp_path / "store") as store:
            assert store.calibrations(["x"]) == []


def test_a_dry_run_counts_a_reward_models_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with reward_server() as server:
        suite = write_jury(tmp_path, server.url, judge=REWARD)
        assert harness(tmp_path, "run", suite, "-c", "bad", "--dry-run") == 0
        told = capsys.readouterr().out
        assert server.count == 0
        judged = [line.split() for line in told.splitlines() if "polite on" in line]
        assert [line[3:5] for line in judged] == [[str(CASES), str(CASES)]] * 2
        assert [line[6] for line in judged] == ["~0"] * 2, "a classifier writes nothing"
        assert "in all 240 requests" in told, "80 answers of each run, 40 of them judged"
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert server.counts["judge"] == CASES + CASES // 2 + 2, "equal answers are judged once, and a canary in each run"


def test_a_sequential_gate_asks_a_reward_model_until_it_is_decided(tmp_path: Path) -> None:
    """The judge's scores are the evidence, as a rule's would be: the rude candidate is found out before all is asked."""

    def rude(body: Body) -> Any:
        if str(body["model"]) in JUDGES:
            return rewards(body)
        return "go away" if body["model"] == "bad" and "greet" in str(body["messages"][-1]["content"]) else answer(body)

    with ScriptedServer(rude, models=("base", "good", "bad", "judge")) as server:
        suite = write_jury(
            tmp_path, server.url, judge=REWARD, cases=200, gate="{sequential: true}", extra="generation: {concurrency: 4}\n"
        )
        assert harness(tmp_path, "run", suite, "-c", "bad") == 1
        assert 0 < server.counts["bad"] < 400
        assert server.counts["judge"] > 2
        with Store.open(tmp_path / "store") as store:
            run = store.run("latest")
            verdict = store.verdict(run.id)
            assert run.ledger.closed
            assert run.ledger.skipped
    assert verdict is not None
    assert [c.capability for c in verdict.verdict.comparisons if any(claim.value == "harmed" for claim in c.claims)] == ["tone"]
