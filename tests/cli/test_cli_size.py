"""``harness size`` as a user sees it: 80 columns, JSON that adds up, errors that help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import call
from harness.sizing import NAMED

BASE = Path(__file__).parents[2] / "suites" / "quickstart" / "models" / "base"


def out(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert call(["size", *args]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("model", [*NAMED, str(BASE)])
def test_every_line_fits_a_terminal(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, model, "--batch", "64", "--length", "131072", "--concurrency", "4096", "--rank", "256")
    assert max(map(len, text.splitlines())) <= 80
    assert text == "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_json_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(out(capsys, "llama-3-8b", "--json", "--gpu", "H100-80", "--gpu", "mine=24"))
    assert found["parameters"]["total"] == 8_030_261_248 == sum(found["parameters"]["parts"].values())
    for job in found["training"]["jobs"].values():
        assert sum(term["bytes"] for term in job["terms"]) == pytest.approx(job["total"])
        assert all(term["formula"] for term in job["terms"])
    assert found["serving"]["total"]["bf16"] == found["weights"]["bf16"] + found["serving"]["kv_bytes"]
    assert list(found["fits"]) == ["H100-80", "mine"]
    assert found["fits"]["mine"]["full"] == 8
    assert found["fits"]["H100-80"]["lora"] == 1


def test_the_check_counts_again(capsys: pytest.CaptureFixture[str]) -> None:
    text = out(capsys, str(BASE), "--check")
    assert [line.split()[-3:] for line in text.splitlines() if line.startswith("counted")] == [["3,412,224", "the", "same"]]


def test_the_list_has_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    lines = out(capsys, "--list").splitlines()
    assert [line.split()[0] for line in lines] == list(NAMED)
    assert "46,702,792,704, 12,879,925,248 active" in "\n".join(lines)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], "name a model"),
        (["lama-3-8b"], "did you mean llama-3-8b"),
        (["llama-3-8b", "--target", "q_prj"], "did you mean q_proj"),
        (["llama-3-8b", "--gpu", "A1000"], "no GPU 'A1000'"),
        (["llama-3-8b", "--batch", "0"], "--batch"),
    ],
)
def test_errors_say_what_to_do(args: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["size", *args]) == 3
    assert expected in capsys.readouterr().err
