"""Judges and people together: labels of a review correct what a judge says, a stored calibration lets it pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.gates import harness
from support.juries import scripted, texts, verdict, write_jury
from support.people import make_label
from support.scripted_server import Body

from harness.model import Calibration, Estimate, RunRecord
from harness.store import Store
from harness.store.labels import LabelStore

CASES = 40


def runs(folder: Path) -> dict[str, RunRecord]:
    with Store.open(folder / "store") as store:
        return {record.candidate.name: record for record in store.runs()}


def label_all(folder: Path, name: str, polite: Any, *, probability: float | None = 0.8) -> None:
    """Somebody says of every answer of a run whether it is polite."""
    run = runs(folder)[name]
    with Store.open(folder / "store") as store, LabelStore(store).writer() as writer:
        texts_of = {item.case.id: item.response.text for item in store.items(run.id) if item.response}
        for given in store.judgments(run.id):
            writer.add(
                make_label(
                    run_id=run.id,
                    capability="tone",
                    case_id=given.case_id,
                    responses=(given.response_id,),
                    sides=(run.id,),
                    passed=polite(texts_of[given.case_id]),
                    probability=probability,
                )
            )


def flatterer(body: Body) -> str:
    """Finds everything polite."""
    return json.dumps(verdict(body) | ({"score": 5} if "guest" in texts(body)["question"] else {}))


def test_labels_take_a_judges_flattery_out_of_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted(flatterer) as server:
        suite = write_jury(tmp_path, server.url, cases=CASES)
        assert harness(tmp_path, "run", suite, "-c", "bad") == 2, "not worse by a judge that nobody held against people"
        assert "judge uncalibrated" in capsys.readouterr().out
        asked = server.count
        for name in ("base", "bad"):
            label_all(tmp_path, name, lambda text: "please" in text)
        assert (
            harness(tmp_path, "compare", runs(tmp_path)["bad"].id, runs(tmp_path)["base"].id, "--report", tmp_path / "r.html")
            == 1
        )
        told = capsys.readouterr().out
        assert "harmed" in told
        assert "corrected by 40 labelled cases" in told
        assert "corrected by 40 labelled cases" in (tmp_path / "r.html").read_text()
        assert server.count == asked


def test_a_stored_calibration_of_this_very_judge_lets_it_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_jury(tmp_path, server.url, cases=CASES, gate="{min_kappa: 0.6}")
        assert harness(tmp_path, "run", suite, "-c", "good") == 2
        assert "not held against people" in " ".join(capsys.readouterr().out.split())
        digest = runs(tmp_path)["good"].provenance["judging"]["judges"]["polite"]["digest"]

        def calibrate(kappa: float, low: float, digest: str = digest) -> None:
            found = Calibration(
                "polite", digest, "pointwise", 80, 80, Estimate(kappa, low, 0.95, 80), Estimate(0.9), Estimate(0.9)
            )
            with Store.open(tmp_path / "store") as store:
                store.save_calibration(found)

        two = runs(tmp_path)["good"].id, runs(tmp_path)["base"].id
        calibrate(0.9, 0.8, "another judge's digest")
        assert harness(tmp_path, "compare", *two) == 2
        calibrate(0.7, 0.5)
        assert harness(tmp_path, "compare", *two) == 2
        assert "not shown: judge 'polite' agrees with people" in " ".join(capsys.readouterr().out.split())
        calibrate(0.85, 0.7)
        assert harness(tmp_path, "compare", *two) == 0
        told = " ".join(capsys.readouterr().out.split())
        assert "uncalibrated" not in told
        assert "kappa 0.85 [0.70, 0.95] on 80 labelled cases" in told
