"""`harness data review`: a server that is killed and started again, the summary for people and machines, rows out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from support.rowreview import log_of, mixed, word

from harness.cli import call
from harness.cli.layout import columns_of
from harness.quality.files import Source
from harness.quality.reviewfile import beside, plan_for

ROOT = Path(__file__).parents[2]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return mixed(tmp_path / "pairs.jsonl", math=12, safety=4)


@contextmanager
def running(file: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "data", "review", str(file), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "stop with Ctrl-C" in line:
                break
        address = next((line for line in lines if line.startswith("http://")), "")
        assert address, (lines, process.stderr.read() if process.stderr else "")
        yield process, address
    finally:
        process.kill()
        process.communicate()


class Caller:
    """A browser as far as needed: keeps the cookie."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.cookie = urllib.request.urlopen(address).headers["Set-Cookie"].partition(";")[0]

    def get(self, path: str) -> str:
        answer = urllib.request.urlopen(urllib.request.Request(self.origin + path, headers={"Cookie": self.cookie}))
        return urlsplit(answer.url).path

    def send(self, path: str, **fields: str) -> None:
        headers = {"Cookie": self.cookie, "Origin": self.origin}
        urllib.request.urlopen(urllib.request.Request(self.origin + path, urlencode(fields).encode(), headers)).read()


def test_read_killed_and_gone_on_with(source: Source) -> None:
    with running(source.path, "--sample", "6", "--rater", "Ann") as (process, address):
        caller = Caller(address)
        for _ in range(2):
            caller.send(caller.get("/next"), verdict="accept")
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert [w.verdict for w in log_of(source).words] == ["accept", "accept"]
    with running(source.path, "--rater", "Ann") as (process, address):  # the sample's size is remembered
        caller = Caller(address)
        assert caller.get("/next") == "/row/3"
        caller.send("/row/3", verdict="reject")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "stopped; 3 rows read by Ann, all stored in pairs.jsonl.review.jsonl" in out
    assert err == ""
    assert len(log_of(source).plans) == 1


def test_the_summary_in_eighty_columns_and_as_json(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(source)
    plan = plan_for(log, source, sample=16)
    for place in range(16):
        log.add_word(word(plan, place, "reject" if place == 3 else "accept", "Ann"))
        log.add_word(word(plan, place, "other" if place == 3 else "skip" if place == 5 else "accept", "Bob" + "\u4e2d" * 30))
    assert call(["data", "review", str(source.path), "--summary"]) == 0
    text = capsys.readouterr().out
    assert all(columns_of(line) <= 80 for line in text.splitlines())
    assert "16 rows, 16 drawn by capability and source (seed 0), 16 read by 2 people" in " ".join(text.split())
    assert "accepted: 93.8% (every row was read)" in text
    assert "1 whose other answer is better" in text
    assert re.search(r"math / own +12 +12 ", text)
    assert "agree on 93.3% (95% interval 68.1% to 99.8%) of 15 rows" in " ".join(text.split())
    assert call(["data", "review", str(source.path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["all"]["rate"]["value"] == pytest.approx(15 / 16)
    assert [rate["name"] for rate in found["strata"]] == ["math / own", "safety / own"]
    assert found["agreements"][0]["share"]["n"] == 15
    assert (found["file_changed"], found["damaged_lines"], found["alpha"]) == (False, 0, None)


def test_accepted_rows_are_written_and_a_changed_file_is_said(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(source)
    plan = plan_for(log, source, sample=16)
    for place, verdict in enumerate(("accept", "reject", "accept")):
        log.add_word(word(plan, place, verdict))
    out = tmp_path / "ok.jsonl"
    assert call(["data", "review", str(source.path), "--accepted", str(out)]) == 0
    assert "wrote 2 accepted rows to" in capsys.readouterr().out
    lines = source.path.read_text().splitlines(keepends=True)
    kept = sorted((plan.picks[0].line, plan.picks[2].line))
    assert [json.loads(line) for line in out.read_text().splitlines()] == [json.loads(lines[n - 1]) for n in kept]
    source.path.write_text("".join(reversed(lines)))
    assert call(["data", "review", str(source.path), "--summary", "--accepted", str(out)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "the file has changed since these rows were drawn" in text
    assert "wrote 2 accepted rows" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--summary"], "pairs.jsonl: nobody has reviewed these rows yet"),
        (["--accepted", "x.jsonl"], "nobody has reviewed these rows yet"),
        (["--rater", "x" * 61], "a rater's name has 1 to 60 characters"),
        (["--host", "0.0.0.0"], "is not one of '127.0.0.1', '::1'"),
        (["--by", "colour"], "is not one of"),
        (["--sample", "0"], "not in the range"),
    ],
)
def test_what_cannot_be_done_is_said(
    source: Source, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["data", "review", str(source.path), *options]) == 3
    assert message in capsys.readouterr().err
    assert not beside(source.path).exists()


def test_a_damaged_review_is_said(source: Source, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(source)
    plan = plan_for(log, source, sample=4)
    log.add_word(word(plan, 0, "accept"))
    with log.path.open("a") as stream:
        stream.write('{"what": "wo\n')
    assert call(["data", "review", str(source.path), "--summary"]) == 0
    assert "1 line of the review cannot be read (cut short)" in capsys.readouterr().out
    with log.path.open("a") as stream:
        stream.write('{"what": "word"}\n')
    assert call(["data", "review", str(source.path), "--summary"]) == 3
    assert f"{beside(source.path)}:4: not a line of a review: 'rater' is missing" in capsys.readouterr().err
