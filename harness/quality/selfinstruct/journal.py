"""Every answer of a run, in one append-only file: a killed run goes on where it stopped, and nothing is asked twice.

One JSON object a line. The first says what the run is (settings, seeds, model); a run with other settings is refused, because its
prompts would differ. A line that was cut off by a kill is dropped when the file is opened again. One process writes at a time.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from harness.errors import BusyError, DataError

NAME = "journal.jsonl"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one prompt. text None: the request failed for good, and the run went on without it."""

    text: str | None
    finish: str | None = None
    error: str | None = None

    @property
    def cut(self) -> bool:
        """Whether the token limit ended it."""
        return self.finish == "length"


class Journal:
    """Open with ``with``. ``answers`` holds what is known by request key; ``add`` hands one more to the operating system.

    A process that is killed loses nothing that was added; a machine that loses power, the last moments.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.path, self.settings = folder / NAME, dict(settings)
        self.answers: dict[str, Answer] = {}
        self._file: BinaryIO | None = None

    def __enter__(self) -> Journal:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise DataError(f"cannot be written: {error.strerror or error}", where=str(self.path)) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._load(self._file)
        except BlockingIOError:
            self._file.close()
            raise BusyError(
                "another process is writing this run", where=str(self.path), todo="Wait for it, or choose another folder"
            ) from None
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, key: str, answer: Answer) -> None:
        self.answers[key] = answer
        self._write({"key": key, "text": answer.text, "finish": answer.finish, "error": answer.error})

    def _write(self, row: Mapping[str, Any]) -> None:
        assert self._file is not None
        try:
            self._file.write(json.dumps(row).encode() + b"\n")  # ASCII: half a character survives as an escape
        except OSError as error:
            raise DataError(
                f"cannot be written: {error.strerror or error}", where=str(self.path), todo="Make room, then run it again"
            ) from None

    def _load(self, file: BinaryIO) -> None:
        whole = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break
                row = self._row(line, number)
                if number == 1:
                    self._same(row)
                else:
                    self.answers[str(row.get("key"))] = Answer(row.get("text"), row.get("finish"), row.get("error"))
                whole += len(line)
        file.truncate(whole)
        file.seek(0, os.SEEK_END)
        if not whole:
            self._write({"format": _FORMAT, "settings": self.settings})

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise DataError("is not a line of a journal", where=f"{self.path}:{number}", todo="Choose another folder")
        return row

    def _same(self, row: Mapping[str, Any]) -> None:
        there = row.get("settings")
        if row.get("format") != _FORMAT or not isinstance(there, dict):
            raise DataError("is no journal of this version", where=str(self.path), todo="Choose another folder")
        other = [name for name in self.settings if there.get(name) != self.settings[name]]
        if other:
            told = "; ".join(f"{name} {there.get(name)!r}, now {self.settings[name]!r}"[:200] for name in other)
            raise DataError(f"holds a run with other settings: {told}", where=str(self.path), todo="Choose another folder")
