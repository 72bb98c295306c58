"""What people said of a file's rows, beside the file: FILE.review.jsonl, one JSON object a line, only ever added to.

    {"what": "plan", "id", "file", "by", "seed", "sample", "strata", "unread", "picks": [[line, row, stratum], ...]}
    {"what": "word", "id", "row", "line", "rater", "created_at", "verdict", "comment", "seconds", "plan"}
    {"what": "word", "id", "row", "line", "rater", "created_at", "undoes"}

A line is one write() under a lock and synced, so it survives whatever ends the process as soon as the next page shows, and
several people may write at once. A line that a kill or a full disk cut short is no JSON: it was never acknowledged, is skipped
and counted.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import DataError, StoreError
from harness.labels import COMMENT_CHARS, RATER_CHARS
from harness.quality.examples import Example
from harness.quality.files import Source
from harness.quality.humancheck import VERDICTS, Pick, RowPlan, Word, draw, plan_id, row_id, state, usual_by, verdicts

USUAL_SAMPLE = 50
_CHUNK = 1 << 20
_LOOK = 100  # rows by which is told what a file is divided by


def beside(path: Path) -> Path:
    """Where the words on a file of rows are kept."""
    return path.with_name(f"{path.name}.review.jsonl")


def digest_of_file(path: Path) -> str:
    """sha256 hex of a file's bytes; of a folder: of its files' names and bytes. DataError when it cannot be read."""
    found = hashlib.sha256()
    try:
        for file in sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]:
            found.update(f"{file.relative_to(path)}\0".encode("utf-8", "surrogateescape") if path.is_dir() else b"")
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    found.update(chunk)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(path), todo="Check the path") from None
    return found.hexdigest()


class ReviewFile:
    """The words and plans of one file, as far as they are read. Safe to use from several threads and processes.

    damaged: lines that are no JSON, cut short by a kill. DataError for JSON that is not ours, StoreError where writing fails.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plans: dict[str, RowPlan] = {}
        self.words: list[Word] = []
        self.damaged = 0
        self._offset, self._line = 0, 0
        self._mutex = threading.RLock()
        self.refresh()

    def refresh(self) -> None:
        """Read what was added since, by whomever."""
        with self._mutex:
            try:
                with self.path.open("rb") as stream:
                    stream.seek(self._offset)
                    data = stream.read()
            except FileNotFoundError:
                return
            except OSError as error:
                raise StoreError(f"cannot be read: {error.strerror or error}", where=str(self.path)) from None
            whole, end, _ = data.rpartition(b"\n")
            for line in whole.split(b"\n") if end else []:
                self._offset += len(line) + 1
                self._line += 1
                self._take(line)

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            self.damaged += 1
            return
        try:
            if record["what"] == "plan":
                plan = _plan(record)
                self.plans.pop(plan.id, None)  # the latest stands last
                self.plans[plan.id] = plan
            elif record["what"] == "word":
                self.words.append(_word(record))
            else:
                raise ValueError("it is neither a plan nor a word")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            where = f"{self.path}:{self._line}"
            raise DataError(f"not a line of a review: {what}", where=where, todo="Mend the line, or move the file away") from None

    def add_plan(self, plan: RowPlan) -> None:
        record = asdict(plan) | {"picks": [[pick.line, pick.row, pick.stratum] for pick in plan.picks]}
        self._add({"what": "plan"} | record)

    def add_word(self, word: Word) -> None:
        told = {key: value for key, value in asdict(word).items() if value not in (None, "")}
        self._add({"what": "word"} | told)

    def _add(self, record: Mapping[str, Any]) -> None:
        """When this returns, the line survives the death of this process, and is read."""
        line = json.dumps(record).encode() + b"\n"
        with self._mutex:
            try:
                handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX)
                    size = os.fstat(handle).st_size
                    if size and os.pread(handle, 1, size - 1) != b"\n":
                        line = b"\n" + line  # what a kill cut short stays a line of its own
                    written = os.write(handle, line)
                    os.fsync(handle)
                finally:
                    os.close(handle)
            except OSError as error:
                what = f"cannot be written: {error.strerror or error}"
                raise StoreError(what, where=str(self.path), todo="Check the disk and the permissions") from None
            if written < len(line):
                raise StoreError("the disk is full", where=str(self.path), todo="Free some space, and say it once more")
            self.refresh()


def _plan(record: Mapping[str, Any]) -> RowPlan:
    picks = tuple(Pick(int(line), _text(row), _text(stratum)) for line, row, stratum in record["picks"])
    strata = {_text(name): _count(rows) for name, rows in record["strata"].items()}
    if unknown := next((pick.stratum for pick in picks if not strata.get(pick.stratum)), None):
        raise ValueError(f"a row is of the stratum {unknown!r}, which has no rows")
    by = tuple(_text(name) for name in record["by"])
    seed, sample, unread = (_count(record[name]) for name in ("seed", "sample", "unread"))
    return RowPlan(_text(record["id"]), _text(record["file"]), by, seed, sample, strata, unread, picks)


def _word(record: Mapping[str, Any]) -> Word:
    rater, comment = _text(record["rater"]), record.get("comment", "")
    undoes, verdict = record.get("undoes"), record.get("verdict")
    if not rater.strip() or len(rater) > RATER_CHARS:
        raise ValueError(f"a rater's name has 1 to {RATER_CHARS} characters")
    if len(_text(comment)) > COMMENT_CHARS:
        raise ValueError(f"a comment has at most {COMMENT_CHARS:,} characters")
    if undoes is None and verdict not in VERDICTS:
        raise ValueError(f"the verdict {verdict!r} is none of {', '.join(VERDICTS)}")
    seconds = record.get("seconds")
    return Word(
        id=_text(record["id"]),
        row=_text(record["row"]),
        line=_count(record["line"]),
        rater=rater,
        created_at=_time(record["created_at"]),
        verdict=None if undoes is not None else verdict,
        comment=comment,
        seconds=None if seconds is None else _time(seconds),
        plan=_text(record.get("plan", "")),
        undoes=None if undoes is None else _text(undoes),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _time(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is not a time")
    return float(value)


# -- a sample and its rows -------------------------------------------------------------------------------------------------------


def plan_for(
    log: ReviewFile, source: Source, *, by: Sequence[str] | None = None, seed: int | None = None, sample: int | None = None
) -> RowPlan:
    """The plan to go on with: that of these settings if it was drawn before, else a new one, which is stored.

    What is None is as in the last plan of this file's review, else usual_by, 0 and 50.
    """
    last = next(reversed(log.plans.values()), None)
    by = tuple(by) if by is not None else last.by if last else usual_by(islice(source, _LOOK))
    seed = seed if seed is not None else last.seed if last else 0
    sample = sample if sample is not None else last.sample if last else USUAL_SAMPLE
    file, form = digest_of_file(source.path), f"{source.format.name} {sorted(source.layout.columns.items())}"
    known = log.plans.get(plan_id(file, form, by, seed, sample))
    if known is not None and known is last:
        return known
    try:
        plan = known or draw(source, file=file, form=form, by=by, seed=seed, sample=sample)
    except DataError as error:
        raise DataError(error.what, where=str(source.path), todo=error.todo) from None
    log.add_plan(plan)
    return plan


def rows_of(source: Source, plan: RowPlan) -> dict[str, Example]:
    """Digest -> row, of every drawn row. DataError when a line no longer holds the row that was drawn."""
    wanted = {pick.line: pick.row for pick in plan.picks}
    found: dict[str, Example] = {}
    for example in source:
        if example.line in wanted and isinstance(example, Example):
            row = row_id(example)
            if row == wanted[example.line]:
                found[row] = example
    if lost := next((pick for pick in plan.picks if pick.row not in found), None):
        what = "this is no longer the row that was drawn"
        raise DataError(what, where=f"{source.path}:{lost.line}", todo="Start again: a changed file gets a new sample")
    return found


def accepted_rows(source: Source, log: ReviewFile) -> Iterator[Example]:
    """Every row of the file that everybody who could tell accepts, in any of its samples, as it was read."""
    said = verdicts(log.words)
    good = {row for row, by in said.items() if state(by) == "accepted"}
    return (example for example in source if isinstance(example, Example) and row_id(example) in good)
