"""Scores by a handed-in reader: order, the window, going on after a crash; the command with a real judge on a scripted server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from support.scripted_server import Fault, ScriptedServer

from harness.cli import call
from harness.errors import DataError
from harness.quality import Dropped, Example, Kind, Turn
from harness.quality.scoring import QualityScore, Scores, ScoreSummary, score_rows


def row(number: int, answer: str | None = None) -> Example:
    turns = (Turn("user", f"question {number}"), Turn("assistant", f"answer {number}" if answer is None else answer))
    return Example(Kind.MESSAGES, messages=turns, line=number, source="f")


def scored(
    rows: Iterable[Example | Dropped], path: Path, reader: Any, scorer: str = "s", at_once: int = 3
) -> tuple[list[Any], Scores]:
    scores = Scores.open(path, scorer)

    async def run() -> list[Any]:
        return [(row.line, score) async for row, score in score_rows(rows, scores, reader, at_once=at_once)]

    return asyncio.run(run()), scores


def test_rows_come_in_order_and_no_more_than_the_window_is_in_flight(tmp_path: Path) -> None:
    flying, most, pulled = 0, 0, 0

    async def reader(example: Example) -> QualityScore:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.001 * (example.line % 3))
        flying -= 1
        return QualityScore(example.line / 100, f"because {example.line}")

    def source() -> Iterable[Example]:
        nonlocal pulled
        for number in range(1, 21):
            pulled += 1
            yield row(number)

    found, scores = scored(source(), tmp_path / "s.jsonl", reader)
    assert [line for line, _ in found] == list(range(1, 21))
    assert [score.value for _, score in found] == [n / 100 for n in range(1, 21)]
    assert most <= 3
    assert (scores.asked, pulled) == (20, 20)
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 20


def test_what_is_known_is_not_asked_again_and_a_torn_line_is(tmp_path: Path) -> None:
    calls: list[int] = []

    async def reader(example: Example) -> QualityScore:
        calls.append(example.line)
        return QualityScore(0.5) if example.line != 2 else QualityScore(None, unscored="bad-json")

    path = tmp_path / "s.jsonl"
    scored([row(1), row(2), row(3)], path, reader)
    text = path.read_text()
    path.write_text(text[: len(text) - 20])  # killed while the third line was written
    found, scores = scored([row(1), row(2), row(3), row(1)], path, reader)
    assert calls == [1, 2, 3, 3]
    assert (scores.known, scores.asked) == (3, 1)
    assert found[1][1].unscored == "bad-json"
    scored([row(1), row(2), row(3)], path, reader)
    assert calls == [1, 2, 3, 3], "what was written after the torn line is not lost in it"
    scored([row(1)], path, reader, scorer="another rubric")
    assert calls[-1] == 1


@pytest.mark.parametrize(
    "line",
    [
        "[1]", "null", "{", "", "[" * 100_000,
        '{"key": "KEY", "scorer": "s", "value": "0.9"}', '{"key": "KEY", "scorer": "s", "value": 7}',
        '{"key": "KEY", "scorer": "s", "value": true}', '{"key": "KEY", "scorer": "s", "value": 0.9, "reason": [1]}',
        '{"key": ["KEY"], "scorer": "s", "value": 0.9}', '{"scorer": "s", "value": 0.9}',
        '{"key": "\\ud800", "scorer": "s", "value": 0.9}', '{"key": "", "scorer": "s", "value": 0.9}',
    ],
)  # fmt: skip
def test_what_is_no_score_in_the_file_is_asked(line: str, tmp_path: Path) -> None:
    async def reader(example: Example) -> QualityScore:
        return QualityScore(0.25, "read now: half \ud83d")

    path = tmp_path / "s.jsonl"
    path.write_text(line.replace("KEY", Scores(path, "s").key(row(1))) + "\n")
    for asked in (1, 0):
        found, scores = scored([row(1)], path, reader)
        assert (found[0][1].value, found[0][1].reason, scores.asked) == (0.25, "read now: half \ud83d", asked)


def test_what_errored_is_asked_again(tmp_path: Path) -> None:
    answers = iter([QualityScore(None, unscored="connection", errored=True), QualityScore(0.9)])

    async def reader(example: Example) -> QualityScore:
        return next(answers)

    (first,), _ = scored([row(1)], tmp_path / "s.jsonl", reader)
    (second,), _ = scored([row(1)], tmp_path / "s.jsonl", reader)
    assert first[1].errored
    assert second[1].value == 0.9


def test_the_denominator_is_closed(tmp_path: Path) -> None:
    async def reader(example: Example) -> QualityScore:
        return {1: QualityScore(0.2, "poor"), 2: QualityScore(None, unscored="off-menu"), 3: QualityScore(None, errored=True)}[
            example.line
        ]

    rows = [row(1), row(2), row(3), row(4, answer=" "), Dropped("f", 5, "role", "no role")]
    scores, summary = Scores.open(tmp_path / "s.jsonl", "s"), ScoreSummary(0.5)

    async def run() -> None:
        async for one, score in score_rows(rows, scores, reader):
            summary.add(one, score)

    asyncio.run(run())
    counted = summary.scored + summary.unscored.total() + summary.errored + summary.skipped + summary.unread.rows
    assert summary.rows == counted == 5
    assert (summary.scored, summary.reached, summary.errored, summary.skipped, summary.unread.rows) == (1, 0, 1, 1, 1)
    assert summary.low == [(1, 0.2, "poor")]


def test_a_place_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be written"):
        scored([row(1)], tmp_path / "no" / "folder" / "s.jsonl", None)


def grade(body: dict[str, Any]) -> str:
    text = json.dumps(body["messages"])
    return json.dumps({"reasoning": "it \u001b[31m misses the point", "score": 1 if "xyzzy" in text else 5})


def test_the_command_grades_rows_by_a_rubric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "rows.jsonl"
    rows = [{"instruction": f"q{i}", "output": "a xyzzy answer" if i == 1 else f"a good answer {i}"} for i in range(4)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ScriptedServer(answer=grade, models=("judge",)) as server:
        common = ["data", "score", str(data), "--endpoint", server.url, "--model", "judge", "--scores", str(tmp_path / "s.jsonl")]
        assert call([*common, "--clean", str(tmp_path / "clean.jsonl")]) == 1
        out = capsys.readouterr().out
        asked = len(server.requests)
        assert call([*common, "--min", "0"]) == 0
        again = capsys.readouterr().out
        assert len(server.requests) == asked
    assert "4 scored" in out
    assert "3 of 4 rows reach 0.5" in out
    assert "line 2: 0.00 it" in out
    assert "\x1b" not in out
    assert "0 asked now, 4 known" in again
    assert len((tmp_path / "clean.jsonl").read_text().splitlines()) == 3
    (dropped,) = (tmp_path / "clean.jsonl.dropped.jsonl").read_text().splitlines()
    assert json.loads(dropped)["code"] == "low-quality"


def test_a_server_that_fails_is_exit_code_4_and_the_rest_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text(
        json.dumps({"instruction": "q", "output": "good"}) + "\n" + json.dumps({"instruction": "q2", "output": "xyzzy"}) + "\n"
    )

    def faults(number: int, body: dict[str, Any]) -> Fault | None:
        return Fault.status(401) if "xyzzy" in json.dumps(body["messages"]) else None

    with ScriptedServer(answer=grade, models=("judge",), faults=faults) as server:
        code = call(
            ["data", "score", str(data), "--endpoint", server.url, "--model", "judge", "--scores", str(tmp_path / "s.jsonl")]
        )
    assert code == 4
    assert "could not be asked about" in capsys.readouterr().err
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 1
