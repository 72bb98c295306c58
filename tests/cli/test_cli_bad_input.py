"""Bad input: one clear line, the right exit code, no traceback, and nothing written over."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pytest
from safetensors.numpy import save_file
from support.gates import harness, scripted, write_gate

SUITE = "suite: s\ncandidates: {a: {endpoint: 'http://127.0.0.1:9/v1', model: a}}\ncapabilities:\n"
ROW = '{"input": "1+1", "reference": "2"}\n'


def told(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, *words: str, code: int = 3) -> str:
    (tmp_path / "suite.yaml").write_text(text)
    capsys.readouterr()
    assert harness(tmp_path, "run", tmp_path / "suite.yaml", *words) == code
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("  x: {cases: nowhere.jsonl, checks: [equals]}\n", "nowhere.jsonl"),
        ("  x: {cases: twice.jsonl, checks: [equals]}\n", "twice.jsonl:2"),
        ("  x: {cases: empty.jsonl, checks: [equals]}\n", "empty"),
        ("  x: {cases: one.jsonl, checks: [equal]}\n", "equals"),
        ("  x: {cases: one.jsonl, checks: [equals], rolle: target}\n", "role"),
        ("  x: {cases: one.jsonl, checks: [equals], role: protected, margin: 7}\n", "margin"),
        ("  x: {cases: one.jsonl, checks: [equals]}\nbaseline: nobody\n", "nobody"),
        ("  x: {cases: one.jsonl, checks: [equals]}\ndescription: ${NOT_SET_ANYWHERE}\n", "NOT_SET_ANYWHERE"),
        ("  x: [\n", "suite.yaml:"),
        ("  x: !!python/object:os.system {}\n", "suite.yaml:"),
    ],
)
def test_a_faulty_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, said: str) -> None:
    (tmp_path / "one.jsonl").write_text(ROW)
    (tmp_path / "twice.jsonl").write_text(ROW + ROW)
    (tmp_path / "empty.jsonl").write_text("")
    message = told(tmp_path, capsys, SUITE + body)
    assert said in message
    assert "suite.yaml" in message or "twice.jsonl" in message
    assert not (tmp_path / "store").exists()


def test_missing_suite_and_unknown_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert harness(tmp_path, "run", tmp_path / "none.yaml") == 3
    assert "none.yaml" in capsys.readouterr().err
    assert harness(tmp_path, "run", tmp_path) == 3
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "goood") == 3
        assert "good" in capsys.readouterr().err
        assert harness(tmp_path, "run", suite, "-c", "good", "--capability", "datse") == 3
        assert "dates" in capsys.readouterr().err
        assert server.count == 0
    from harness.cli import call as run

    assert run(["vaildate"]) == 3
    assert "validate" in capsys.readouterr().err


def test_an_endpoint_that_is_not_there_or_has_another_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.jsonl").write_text(ROW)
    message = told(tmp_path, capsys, SUITE + "  x: {cases: one.jsonl, checks: [equals]}\n", code=4)
    assert "127.0.0.1:9" in message
    with scripted(models=("base",)) as server:
        suite = write_gate(tmp_path, server.url)
        assert harness(tmp_path, "run", suite, "-c", "good") == 4
        message = capsys.readouterr().err
        assert "no model 'good'" in message
        assert "base" in message
        assert server.count == 0


def model_folder(path: Path, hidden: int, *, adapter: bool = False) -> None:
    path.mkdir()
    name = "model.layers.0.self_attn.q_proj"
    if adapter:
        weights = {
            f"base_model.model.{name}.lora_A.weight": np.zeros((4, hidden), np.float32),
            f"base_model.model.{name}.lora_B.weight": np.zeros((hidden, 4), np.float32),
        }
        save_file(weights, path / "adapter_model.safetensors")
        settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "base_model_name_or_path": "b"}
        (path / "adapter_config.json").write_text(json.dumps(settings))
        return
    save_file({f"{name}.weight": np.zeros((hidden, hidden), np.float32)}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps({"model_type": "qwen2", "hidden_size": hidden}))


def test_models_that_cannot_be_served_are_found_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model_folder(tmp_path / "base", 16)
    model_folder(tmp_path / "wide", 32, adapter=True)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"\x80\x04")
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "one.jsonl").write_text(ROW)
    body = "\ncapabilities:\n  x: {cases: one.jsonl, checks: [equals]}\n"
    for candidate, said in (
        ("{model: ./base, adapter: ./wide}", "wide"),
        ("{model: ./pickled}", "safetensors"),
        ("{model: ./gone}", "gone"),
    ):
        message = told(tmp_path, capsys, f"suite: s\ncandidates: {{a: {candidate}}}{body}")
        assert said in message


def test_a_folder_that_is_no_store_and_a_report_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.doc").write_text("mine")
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        assert harness(tmp_path, "run", suite, "-c", "good") == 3
        assert "other files" in capsys.readouterr().err
        (tmp_path / "store" / "thesis.doc").unlink()
        (tmp_path / "file").write_text("")
        assert harness(tmp_path, "run", suite, "-c", "good", "--report", tmp_path / "file" / "r.html") == 3
        assert "cannot write the report" in capsys.readouterr().err


def test_a_full_disk_says_so_and_the_run_goes_on_later(tmp_path: Path) -> None:
    """A limit on file size stands in for the full disk: the journal cannot grow."""
    with scripted() as server:
        suite = write_gate(tmp_path, server.url)
        command = [sys.executable, "-m", "harness", "run", str(suite), "-c", "good", "--store", str(tmp_path / "store")]
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))  # noqa: E731
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
        assert done.returncode in (3, 4)
        assert "Traceback" not in done.stderr
        assert "full" in done.stderr
        assert harness(tmp_path, "run", suite, "-c", "good") == 0


def test_a_starter_suite_is_valid_and_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli import call as run

    path = str(tmp_path / "suite.yaml")
    assert run(["init", path]) == 0
    assert run(["validate", path]) == 0
    assert "valid" in capsys.readouterr().out
    assert run(["init", path]) == 3
    assert run(["validate", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "suite.yaml"


def test_reports_that_could_not_be_written_are_refused_before_anything_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        for option, path, said in (
            ("--report", tmp_path, "it is a directory"),
            ("--json", tmp_path / "file" / "r.json", "is a file, not a directory"),
            ("--junit", tmp_path / "file" / "deep" / "r.xml", "is a file, not a directory"),
        ):
            assert harness(tmp_path, "run", suite, "-c", "good", option, path) == 3
            assert said in capsys.readouterr().err
        assert server.count == 0


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        harness(tmp_path, "run", suite, "-c", "base")
        asked = server.count
        with duckdb.connect(str(tmp_path / "store" / "store.duckdb")) as connection:
            connection.execute("INSERT INTO migrations VALUES (999, 'future', 0)")
        for words in (["run", suite, "-c", "good"], ["report", "latest"], ["runs"], ["promote", "latest"]):
            capsys.readouterr()
            assert harness(tmp_path, *words) == 3
            message = capsys.readouterr().err
            assert "the store is of version 999" in message
            assert message.count("\n") == 1
        assert server.count == asked


def test_a_starter_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli import call as run

    (tmp_path / "file").write_text("")
    assert run(["init", str(tmp_path / "file" / "suite.yaml")]) == 3
    message = capsys.readouterr().err
    assert "cannot write the suite" in message
    assert message.count("\n") == 1


def test_addresses_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found with the suite, all at their lines, and nothing is looked up."""
    (tmp_path / "one.jsonl").write_text(ROW)
    for address in ("ftp://127.0.0.1/v1", "127.0.0.1:8000", "http://127.0.0.1:port/v1", "http://", "file:///etc/passwd"):
        text = SUITE.replace("http://127.0.0.1:9/v1", address) + "  x: {cases: one.jsonl, checks: [equals]}\n"
        message = told(tmp_path, capsys, text)
        assert "suite.yaml:2" in message
        assert "endpoint" in message


def test_a_pipe_that_closes_is_neither_a_traceback_nor_a_verdict(tmp_path: Path) -> None:
    with scripted() as server:
        suite = write_gate(tmp_path, server.url, cases=20)
        harness(tmp_path, "run", suite, "-c", "base")
    command = [sys.executable, "-m", "harness", "runs", "--json", "--store", str(tmp_path / "store")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert process.wait() == 4
