"""`harness health` and `harness history` on runs made through the command line, and hostile names in 80 columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.gates import harness, scripted, write_gate
from support.runs import CANDIDATE, make_record, make_request, make_response, make_score

from harness.cli.layout import columns_of
from harness.store import Store

NAME = "naïve </td><script>x</script> \x1b[31m 中文 " + "y" * 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """base, good, bad and same, once each."""
    folder = tmp_path_factory.mktemp("health")
    with scripted() as server:
        suite = write_gate(folder, server.url, cases=40)
        harness(folder, "run", suite)
    return folder


def test_health_of_a_real_suite(folder: Path, capsys: Any) -> None:
    assert harness(folder, "health", "gate") == 0
    text = capsys.readouterr().out
    assert "health of gate: 4 runs of 4 candidates" in text
    assert max(map(columns_of, text.splitlines())) <= 80
    assert harness(folder, "health", "gate", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    sums, dates = found["capabilities"]
    assert sums["states"] == {"saturated": 20, "alive": 20}  # base and same know the even half, good and bad all
    assert dates["states"] == {"alive": 10, "saturated": 30}  # bad lost a quarter
    assert sums["moving"] == 20
    assert not sums["can_show_margin"]
    assert len(found["cases"]) == 80


def test_health_from_a_run_and_nothing_to_look_at(folder: Path, capsys: Any) -> None:
    assert harness(folder, "health", "latest", "--cases", "0") == 0
    assert "to look at" not in capsys.readouterr().out
    assert harness(folder, "health", "nowhere") == 3
    assert "there is no run 'nowhere'" in capsys.readouterr().err


def test_four_checkpoints_are_too_few_to_say(folder: Path, capsys: Any) -> None:
    assert harness(folder, "history", "gate") == 0
    text = capsys.readouterr().out
    assert "history of gate: 4 checkpoints" in text
    assert "undecided: 4 checkpoints, and at least 5 are needed" in text
    assert "rho" not in text
    assert max(map(columns_of, text.splitlines())) <= 80


def write_history(folder: Path, n: int, name: str = "down") -> None:
    """n checkpoints in which one capability falls by as much as the other rises."""
    ups = [0.5, 0.6, 0.45, 0.7, 0.42, 0.75, 0.41, 0.8, 0.4, 0.85][:n]
    rules = {"role": "protected", "margin": 0.05}
    content = {"gate": {}, "capabilities": {"up": rules, name: rules}}
    with Store.open(folder / "store") as store:
        for i, up in enumerate(ups):
            candidate = type(CANDIDATE)(f"step-{i} {name}", "m", f"{i:064x}")
            record = make_record(f"run{i}", candidate=candidate, suite_name="line", started_at=1000.0 * i)
            requests = [
                make_request(j + 50 * k, capability=capability, candidate=candidate)
                for k, capability in enumerate(("up", name))
                for j in range(20)
            ]
            with store.begin_run(record, "", content, requests) as writer:
                for request in requests:
                    response = make_response(request)
                    writer.add_response(request, response)
                    value = up if request.case.capability == "up" else 1 - up
                    writer.add_score(request, response, make_score(value), "v1")
                writer.finish("complete", {"checks": "one"})


def test_a_seesaw_over_history_is_named(tmp_path: Path, capsys: Any) -> None:
    write_history(tmp_path, 8, NAME)
    assert harness(tmp_path, "history", "line") == 0
    text = capsys.readouterr().out
    assert "1 of 1 pair moves against each other over 8 checkpoints" in text
    assert "rho -1.00" in " ".join(text.split())
    assert "\x1b" not in text
    assert max(map(columns_of, text.splitlines())) <= 80
    assert harness(tmp_path, "history", "run5", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [point["run"] for point in found["checkpoints"]] == [f"run{i}" for i in range(6)]  # up to that run
    assert found["pairs"][0]["rho"] == pytest.approx(-1.0)
    assert harness(tmp_path, "health", "line") == 0
    assert max(map(columns_of, capsys.readouterr().out.splitlines())) <= 80
