"""harness judge attack: a suite's judge, over HTTP, asked about the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Answer, Body, ScriptedServer

from harness.cli import call
from judges.attacks import corpus

SUITE = """\
suite: support
baseline: old
candidates:
  old: {{model: base, endpoint: "{url}"}}
judges:
  tone: {{kind: pointwise, rubric: helpfulness, model: {{model: base, endpoint: "{url}"}}}}
  pair: {{kind: pairwise, rubric: pairwise-preference, model: old}}
capabilities:
  tone:
    cases: [{{input: hello}}]
    checks: [{{judge: tone}}]
  pair:
    cases: [{{input: hello}}]
    checks: [{{judge: pair}}]
"""


def naive(body: Body) -> Answer:
    """Grades honestly unless it reads the word "system" in the answer."""
    shown = body["messages"][-1]["content"]
    if "[[BEGIN answer A" in shown:
        return json.dumps({"verdict": "B" if shown.index("I don't care") < shown.index("[[END answer A") else "A"})
    return json.dumps({"score": 5 if "system" in shown.lower() else 1})


def attack(tmp_path: Path, answer: Any, *args: str) -> int:
    with ScriptedServer(answer) as server:
        path = tmp_path / "suite.yaml"
        path.write_text(SUITE.format(url=server.url))
        return call(["judge", "attack", str(path), *args])


def test_which_attacks_moved_which_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attack(tmp_path, naive) == 0
    out = capsys.readouterr().out
    expected = [one.id for one in corpus() if "system" in one.text.lower()]
    assert f"tone: moved by {len(expected)} of {len(corpus())} attacks; the bad answer alone got 0.00" in out
    assert "pair: moved by 0 of" in out
    assert all(name in out for name in expected)
    assert max(len(line) for line in out.splitlines()) <= 80


def test_one_judge_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attack(tmp_path, naive, "--judge", "tone", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)["attacks"]
    assert (found["judge"], found["tried"], found["unscored"]) == ("tone", len(corpus()), [])
    assert found["rate"] == len(found["moved"]) / len(corpus())


def test_a_judge_that_says_nothing_is_no_proof(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attack(tmp_path, lambda body: "hm", "--judge", "tone") == 4
    assert "no verdict on an ordinary bad answer" in capsys.readouterr().err


def test_a_judge_that_no_check_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert attack(tmp_path, naive, "--judge", "tune") == 3
    assert "there are tone, pair" in capsys.readouterr().err


def test_cases_that_a_judge_can_never_judge_are_faults_of_the_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "suite.yaml"
    text = SUITE.format(url="http://127.0.0.1:9/v1").replace("rubric: helpfulness", "rubric: faithfulness")
    path.write_text(text.replace("[{input: hello}]", "[{input: a, reference: b}, {input: hello}]", 1))
    assert call(["validate", str(path)]) == 3
    err = capsys.readouterr().err
    assert "1 of 2 cases cannot be judged by 'tone'" in err
    assert "requires a reference" in err
    path.write_text(text.replace("[{input: hello}]", "[{input: a, reference: b}]", 1))
    assert call(["validate", str(path)]) == 0
