"""Quality scores of rows by somebody who reads them: a judge, handed in as a function. Many at once, written down one by one.

Each scored row is one line of a file of scores, under a key over the scorer and the row's words. A run that was cut short goes on
where it was, a changed rubric or model asks again, and the same row in another file need not be asked twice.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from harness.errors import DataError
from harness.model import digest_of
from harness.quality.counting import Lengths
from harness.quality.examples import Dropped, Example, Unread
from harness.quality.scratch import KeyTable


@dataclass(frozen=True, slots=True)
class QualityScore:
    """What was said of one row. value in [0, 1], None: unscored, with the reason code. reason: the scorer's own words (hostile
    data). errored: the scorer could not be asked, which asking again may mend."""

    value: float | None
    reason: str = ""
    unscored: str | None = None
    errored: bool = False

    def as_dict(self) -> dict[str, Any]:
        told = {"value": self.value, "reason": self.reason, "unscored": self.unscored}
        return {key: value for key, value in told.items() if value not in (None, "")}


ScoreRow = Callable[[Example], Coroutine[Any, Any, QualityScore]]


@dataclass
class Scores:
    """The file of scores: what is in it already, and where new ones go. asked, known: rows scored now, and before.

    Remembered of each score is its place in the file; what it says is read again where it is wanted.
    """

    path: Path
    scorer: str  # digest of whoever scores
    places: KeyTable = field(default_factory=KeyTable)  # key -> where its line begins
    asked: int = 0
    known: int = 0

    @classmethod
    def open(cls, path: Path, scorer: str) -> Scores:
        """Find the scores of this scorer; a line that was cut short by a crash is left out and asked again."""
        found, place = cls(path, scorer), 0
        if path.exists():
            with path.open("rb") as file:
                for line in file:
                    if (row := _row(line)) is not None and row["scorer"] == scorer:
                        found.places.put(_bytes(row["key"]), place)
                    place += len(line)
        return found

    def key(self, example: Example) -> str:
        return digest_of([self.scorer, example.input_text, example.output_text])[:32]

    def find(self, file: BinaryIO, example: Example) -> QualityScore | None:
        """What was said of such a row before."""
        known = self.places.get(_bytes(self.key(example)))
        if known is None:
            return None
        file.seek(known[0])
        row = _row(file.readline())
        return None if row is None else QualityScore(row.get("value"), row.get("reason", ""), row.get("unscored"))

    def add(self, file: BinaryIO, example: Example, score: QualityScore) -> None:
        """One more line, which a crash of this process leaves whole."""
        key = self.key(example)
        row = {"key": key, "scorer": self.scorer, "line": example.line} | score.as_dict()
        place = file.seek(0, os.SEEK_END)
        file.write(json.dumps(row).encode() + b"\n")  # ASCII: half a character survives as an escape
        file.flush()
        self.places.put(_bytes(key), place)


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _row(line: bytes) -> dict[str, Any] | None:
    """A line of a file of scores; None for one that is torn, or none of ours."""
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    texts = ("key", "scorer", "reason", "unscored")
    if not isinstance(row, dict) or not all(isinstance(row.get(name, ""), str) for name in texts):
        return None
    value = row.get("value")
    is_value = value is None or (type(value) in (int, float) and 0 <= value <= 1)
    return row if is_value and "key" in row and "scorer" in row else None


Waiting = tuple[Example | Dropped, "asyncio.Future[QualityScore] | QualityScore | None"]


async def score_rows(
    rows: Iterable[Example | Dropped], scores: Scores, score: ScoreRow, *, at_once: int = 32
) -> AsyncIterator[tuple[Example | Dropped, QualityScore | None]]:
    """Each row with its score, in order; rows that could not be read, or have no answer, have none.

    So many rows are in flight at once, and no more are held. A score is written before the row is handed on; one that errored
    is not written, so that running again asks it again.
    """
    window: deque[Waiting] = deque()
    try:
        file = scores.path.open("a+b")
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=str(scores.path)) from None
    with file:
        _end_line(file)
        try:
            for row in rows:
                if len(window) >= at_once:
                    yield await _done(window.popleft(), scores, file)
                window.append((row, _begun(row, scores, file, score)))
            while window:
                yield await _done(window.popleft(), scores, file)
        finally:
            for _, waiting in window:
                if isinstance(waiting, asyncio.Future):
                    waiting.cancel()


def _end_line(file: BinaryIO) -> None:
    """End a line that a crash cut short, so that the next one is not lost in it."""
    size = file.seek(0, os.SEEK_END)
    if size and (file.seek(size - 1), file.read(1))[1] != b"\n":
        file.write(b"\n")


def _begun(
    row: Example | Dropped, scores: Scores, file: BinaryIO, score: ScoreRow
) -> asyncio.Future[QualityScore] | QualityScore | None:
    """The row's score if it is known, else the question on its way; None where there is nothing to score."""
    if isinstance(row, Dropped) or not row.output_text.strip():
        return None
    return scores.find(file, row) or asyncio.ensure_future(score(row))


async def _done(entry: Waiting, scores: Scores, file: BinaryIO) -> tuple[Example | Dropped, QualityScore | None]:
    row, waiting = entry
    if not isinstance(waiting, asyncio.Future):
        scores.known += waiting is not None
        return row, waiting
    found = await waiting
    scores.asked += 1
    assert isinstance(row, Example)
    if not found.errored:
        scores.add(file, row, found)
    return row, found


@dataclass
class ScoreSummary:
    """The closed count over a file: rows = scored + unscored + errored + skipped + unread. reached: rows with at least the value
    ``least``. skipped: rows without an answer. percents: 100 x value."""

    least: float = 0.5
    rows: int = 0
    reached: int = 0
    scored: int = 0
    errored: int = 0
    skipped: int = 0
    unread: Unread = field(default_factory=Unread)
    unscored: Counter[str] = field(default_factory=Counter)
    percents: Lengths = field(default_factory=Lengths)
    low: list[tuple[int, float, str]] = field(default_factory=list)  # (line, value, reason) of the lowest

    def add(self, row: Example | Dropped, score: QualityScore | None, *, shown: int = 5) -> None:
        self.rows += 1
        if isinstance(row, Dropped):
            self.unread.add(row)
        elif score is None:
            self.skipped += 1
        elif score.errored:
            self.errored += 1
        elif score.value is None:
            self.unscored[score.unscored or "unscored"] += 1
        else:
            self.scored += 1
            self.reached += score.value >= self.least
            self.percents.add(round(100 * score.value))
            self.low.append((row.line, score.value, score.reason))
            self.low.sort(key=lambda entry: (entry[1], entry[0]))
            del self.low[shown:]

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "scored": self.scored,
            "reached": self.reached,
            "unscored": dict(self.unscored),
            "errored": self.errored,
            "skipped": self.skipped,
            "unreadable": self.unread.rows,
            "first_unreadable": self.unread.told(),
            "percent": self.percents.summary(),
            "lowest": [{"line": line, "value": value, "reason": reason} for line, value, reason in self.low],
        }
