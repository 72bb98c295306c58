"""What a run is compared with: the baseline itself, a promoted run, a part of the suite, a run of something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.gates import CASES, harness, scripted, write_gate

from harness.cli.layout import columns_of
from harness.model import Outcome
from harness.store import Store


def ids(folder: Path) -> dict[str, str]:
    """Candidate -> its newest run."""
    with Store.open(folder / "store") as store:
        return {run.candidate.name: run.id for run in reversed(store.runs())}


def protect_all(suite: Path) -> None:
    suite.write_text(suite.read_text().replace("role: target", "role: protected, margin: 0.1"))


@pytest.mark.parametrize("words", [["-c", "base"], ["-c", "good", "--baseline", "good"], ["-c", "base", "--fresh"]])
def test_the_baseline_against_itself_never_ships(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        protect_all(suite)  # "not worse" is all that is asked for, and nothing is worse than itself
        assert harness(tmp_path, "run", suite, *words) == 2
        assert server.count == 2 * CASES
    told = capsys.readouterr()
    assert "is the baseline itself: nothing to compare it with" in told.err
    assert "there is no baseline to compare with" in told.out


def test_a_first_run_is_promoted_as_its_verdict_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        protect_all(suite)
        assert harness(tmp_path, "run", suite, "-c", "good", "--baseline", "promoted") == 2
        assert "promote a first run" in capsys.readouterr().out
        assert harness(tmp_path, "promote", "latest") == 0
        # in CI all candidates are judged again and again, the promoted one among them
        assert harness(tmp_path, "run", suite, "-c", "good", "--baseline", "promoted") == 2
        assert "good is the baseline itself" in capsys.readouterr().err
        assert server.counts["good"] == 2 * CASES


def test_a_first_run_that_misses_a_floor_is_not_promoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, extra="gate: {floors: {dates: 0.95}}\n")
        assert harness(tmp_path, "run", suite, "-c", "bad", "--baseline", "promoted") == 1
        assert harness(tmp_path, "promote", "latest") == 3
        assert "the verdict on run" in capsys.readouterr().err


@pytest.mark.parametrize("sequential", [False, True])
def test_a_part_is_measured_against_the_whole_promoted_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sequential: bool
) -> None:
    """A look at some cases before all are paid for: it may refuse, it never ships, and it asks the baseline nothing."""
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, extra="gate: {sequential: true}\n" if sequential else "")
        assert harness(tmp_path, "run", suite, "-c", "base") == 2
        assert harness(tmp_path, "promote", "latest") == 0
        before = server.counts["base"]
        promoted = ["--baseline", "promoted"]
        assert harness(tmp_path, "run", suite, "-c", "good", *promoted, "--limit", 60) == 2
        assert "partial" in capsys.readouterr().out
        assert harness(tmp_path, "run", suite, "-c", "good", *promoted, "--capability", "sums") == 2
        assert "only sums" in capsys.readouterr().out
        assert harness(tmp_path, "run", suite, "-c", "bad", *promoted, "--limit", 100) == 1
        assert "'dates' is harmed" in " ".join(capsys.readouterr().out.split())
        assert server.counts["base"] == before
        with Store.open(tmp_path / "store") as store:
            found = store.verdict(store.run("latest").id)
        assert found is not None
        assert found.verdict.outcome is Outcome.OPTIMIZE
        assert all(c.n_planned <= 100 for c in found.verdict.comparisons)
        assert harness(tmp_path, "report", "latest", "-o", tmp_path / "r.json", "-o", tmp_path / "r.html") == 0
        assert harness(tmp_path, "explain", "latest") == 0
        assert "the same verdict as was stored" in capsys.readouterr().out


@pytest.mark.parametrize("sequential", [False, True])
def test_two_names_for_one_model_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], sequential: bool) -> None:
    """They would be one run: it would be compared with itself, or wait for itself for ever."""
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, extra="gate: {sequential: true}\n" if sequential else "")
        text = suite.read_text()
        twin = f"  twin: {{endpoint: '{server.url}', model: base%s}}\ngeneration:"
        suite.write_text(text.replace("generation:", twin % ""))
        for words in (["-c", "twin"], ["-c", "twin", "--fresh"], []):
            assert harness(tmp_path, "run", suite, *words) == 3
            assert "candidates base and twin are the same model with the same prompt" in capsys.readouterr().err
        assert server.count == 0
        suite.write_text(text.replace("generation:", twin % ", prompt: {system: be brief}"))
        assert harness(tmp_path, "run", suite, "-c", "twin") == 2
        suite.write_text(text.replace("generation:", twin % ", revision: v2"))
        assert harness(tmp_path, "run", suite, "-c", "twin", "--limit", 5) == 2


def test_the_dev_split_alone_is_partial(tmp_path: Path) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        for name in ("sums", "dates"):
            rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
            lines = [json.dumps(row | {"split": "dev" if i < 80 else "gate"}) for i, row in enumerate(rows)]
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        assert harness(tmp_path, "run", suite, "-c", "good", "--split", "dev") == 2
        assert server.count == 4 * 80
        asked = {request.prompt for request in server.requests}
        assert "date 79" in asked
        assert "date 80" not in asked
        assert harness(tmp_path, "run", suite, "-c", "bad", "--split", "dev") == 1


def test_runs_that_do_not_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another suite, other cases, a baseline that was asked less: one line that says which, exit code 3, no verdict."""
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        harness(tmp_path, "run", suite, "-c", "good")
        here = ids(tmp_path)
        harness(tmp_path, "run", suite, "-c", "good", "--limit", 5)
        part = ids(tmp_path)["base"]
        write_gate(tmp_path, server.url, cases=30)
        harness(tmp_path, "run", suite, "-c", "good")
        more = ids(tmp_path)
        suite.write_text(suite.read_text().replace("suite: gate", "suite: other"))
        harness(tmp_path, "run", suite, "-c", "good")
        other = ids(tmp_path)
    assert len({here["base"], part, more["base"], other["base"]}) == 4
    for baseline, said in (
        (other["base"], "they are of two suites, gate and other"),
        (more["base"], "the two runs planned different cases of 'sums': 10 only in the baseline's"),
        (part, "the two runs planned different cases of 'sums': 15 only in the candidate's"),
    ):
        capsys.readouterr()
        assert harness(tmp_path, "compare", here["good"], baseline) == 3
        told = capsys.readouterr()
        assert said in told.err
        assert told.err.count("\n") == 1
        with Store.open(tmp_path / "store") as store:
            assert (found := store.verdict(here["good"])) is not None
            assert found.baseline_run_id == here["base"]


def test_a_list_of_runs_keeps_to_eighty_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name = "a-checkpoint-with-a-very-long-name-after-epoch-3-of-training"
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        text = suite.read_text().replace("suite: gate", "suite: 客服质量回归测试套件-客服质量回归测试套件")
        suite.write_text(text.replace("  good:", f"  {name}:"))
        assert harness(tmp_path, "run", suite, "-c", name) in (0, 2)
    capsys.readouterr()
    assert harness(tmp_path, "runs") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert max(map(columns_of, lines)) <= 80
    assert "a-checkp…" in lines[1]
    assert harness(tmp_path, "runs", "--json") == 0
    assert name in capsys.readouterr().out
