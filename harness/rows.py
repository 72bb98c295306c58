"""Rows of a data file, each with the line it stands on: JSONL, CSV, Parquet, and data sets through ``datasets``.

A bad row is not an exception but a BadRow in the stream, so that a reader can report every fault of a file at once and go on with
the rest; a file that cannot be read at all is one BadRow with line 0. Lines end at LF or CRLF only: U+2028 and its kin are text.
Values are JSON's; whatever JSON cannot say (NaN, infinity, bytes, lone surrogates) is refused here or when a case is made of the
row. Rows stream, and one row is MOST bytes at most: memory is bounded whatever the file.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

Row = dict[str, Any]
MOST = 64 << 20  # bytes of one row, characters of one cell
_KEPT = 1000  # bytes that are kept of a longer one


@dataclass(frozen=True, slots=True)
class BadRow:
    """What is wrong with one row, or with the whole source (line 0). text: what stands there, where it is known."""

    line: int
    what: str
    todo: str = ""
    text: str = field(default="", repr=False)


Rows = Iterator[tuple[int, Row] | BadRow]

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # a byte that errors="surrogateescape" let through


def read_rows(path: Path) -> Rows:
    """Rows of a JSONL, CSV/TSV or Parquet file, chosen by its ending; line is 1-based, for Parquet the row's number."""
    readers: dict[str, Callable[[Path], Rows]] = {
        ".jsonl": read_jsonl,
        ".ndjson": read_jsonl,
        ".csv": _csv,
        ".tsv": _csv,
        ".parquet": _parquet,
    }
    if trouble := file_trouble(path):
        yield BadRow(0, trouble)
        return
    reader = readers.get(path.suffix.lower())
    if reader is None:
        yield BadRow(0, f"unknown kind of file {path.suffix or path.name!r}", f"use one of {', '.join(readers)}")
        return
    try:
        yield from reader(path)
    except OSError as error:
        yield BadRow(0, f"cannot be read: {error.strerror or error}")


def file_trouble(path: Path) -> str | None:
    """Why a path is no readable regular file, or None. Never opens it: a named pipe would hang."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISDIR(mode):
        return "is a directory, not a file"
    if not stat.S_ISREG(mode):
        return "is not a regular file"
    return None if os.access(path, os.R_OK) else "cannot be read: permission denied"


def decode(raw: bytes) -> str:
    """UTF-8 text without a byte-order mark; ValueError says in words what else it is."""
    if raw.startswith(_UTF16):
        raise ValueError("is UTF-16 text")
    try:
        return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte 0x{raw[error.start]:02x})") from None


class _Refused(ValueError):
    """A JSON text that Python would take and nobody else."""


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not a JSON number")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _Refused(f"key {twice!r} stands twice")
    return row


def strict_json() -> Callable[[str], Any]:
    """JSON as every reader of rows takes it: no NaN, no key twice. ValueError says what is wrong."""
    return json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_duplicates).decode


def read_jsonl(path: Path) -> Rows:
    """Rows of a file of JSON lines, whatever its name."""
    parse = strict_json()
    with path.open("rb") as file:
        for line, raw in enumerate(_lines(file), 1):
            if line == 1 and raw.startswith(_UTF16):
                yield BadRow(0, "is UTF-16 text", "save it as UTF-8")
                return
            row: Any = None
            try:
                if len(raw) > MOST:
                    raise _Refused(f"is longer than {MOST >> 20} MiB")
                text = (decode(raw) if line == 1 else raw.decode("utf-8")).strip(" \t\r\n")
                if not text:
                    continue
                row = parse(text)
            except json.JSONDecodeError as error:
                bad = (
                    f"is not JSON: {error.msg.removesuffix(' at')} at column {error.colno}",
                    "write one JSON object on each line",
                )
            except UnicodeDecodeError as error:
                bad = f"is not UTF-8 text (byte 0x{raw[error.start]:02x})", "save it as UTF-8"
            except ValueError as error:
                bad = (f"holds a number too long to read: {error}" if "limit" in str(error) else str(error)), ""
            except RecursionError:
                bad = "is nested too deeply", ""
            else:
                if isinstance(row, dict):
                    yield line, row
                    continue
                bad = f"is a JSON {json_kind(row)}, not an object", "write one JSON object on each line"
            yield BadRow(line, *bad, as_text(raw))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file; of one that is longer than MOST its beginning, which is longer than MOST, too."""
    while raw := file.readline(MOST + 1):
        last = raw
        while not last.endswith(b"\n") and (last := file.readline(1 << 20)):
            pass
        yield raw


def as_text(raw: bytes) -> str:
    """A line that could not be read, as it stands: bytes that are no UTF-8 as \\xff; of one that is too long the beginning."""
    kept = raw if len(raw) <= MOST else raw[:_KEPT]
    return kept.decode("utf-8", "backslashreplace").rstrip("\r\n")


def json_kind(value: Any) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def _csv(path: Path) -> Rows:
    """Cells stay text, an empty cell is None. The first row names the columns.

    A row with broken quotes ends with its line: the next one begins a new row. So a quote that is never closed costs one row, not
    the rest of the file.
    """
    with path.open("rb") as raw:
        if raw.read(2) in _UTF16:
            yield BadRow(0, "is UTF-16 text", "save it as UTF-8")
            return
    csv.field_size_limit(max(MOST, csv.field_size_limit()))  # 128 KiB by default, for the whole process
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        header: list[str] | None = None
        while True:
            line = lines.begin()
            try:
                cells = next(reader, None)
            except csv.Error as error:
                text = lines.give_back()
                yield BadRow(line, f"is not CSV: {error}", "quote cells that hold quotes or line breaks, or use JSONL", text)
                if header is None:
                    return
                continue
            if cells is None:
                return
            if broken := _NOT_UTF8.search("".join(cells)):
                what = f"is not UTF-8 text (byte 0x{ord(broken.group()) - 0xDC00:02x})"
                yield BadRow(line, what, "save it as UTF-8", lines.text())
                if header is None:
                    return
            elif header is None:
                header = cells
                if "" in header or len(set(header)) != len(header):
                    what = f"the header has empty or repeated names: {header}"
                    yield BadRow(1, what, "name every column once in the first row", lines.text())
                    return
            elif cells and len(cells) != len(header):
                what = f"has {len(cells)} cells, the header {len(header)}"
                yield BadRow(line, what, "quote cells that hold commas", lines.text())
            elif cells:
                yield line, {name: cell or None for name, cell in zip(header, cells, strict=True)}


class _Lines:
    """The lines of a CSV file, which a row can give back: a quote left open swallows lines until it is seen to be broken."""

    def __init__(self, file: TextIO) -> None:
        self._file, self._number = file, 0
        self._back: deque[str] = deque()
        self._taken: list[str] = []  # by the row that is being read

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._file)
        self._number += 1
        self._taken.append(line)
        return line

    def begin(self) -> int:
        """Begin a row; the number of its first line."""
        self._taken.clear()
        return self._number + 1

    def text(self) -> str:
        """What the row was read from."""
        return as_text("".join(self._taken).encode("utf-8", "surrogateescape"))

    def give_back(self) -> str:
        """Give back all lines of the row but the first, which is returned."""
        first, *rest = self._taken
        self._back.extendleft(reversed(rest))
        self._number -= len(rest)
        return as_text(first.encode("utf-8", "surrogateescape"))


def _parquet(path: Path) -> Rows:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield number, plain(row)
    except (pyarrow.ArrowException, ValueError) as error:
        yield BadRow(0, f"is not a Parquet file that can be read: {str(error).splitlines()[0].rstrip('.')}")


def read_dataset(where: str, *, root: Path, name: str | None, split: str | None, revision: str | None) -> Rows:
    """Rows of a data set: a local directory (as ``save_to_disk`` wrote it, or of data files) or a hub id."""
    if importlib.util.find_spec("datasets") is None:
        yield BadRow(0, "data sets need the package datasets", "pip install 'seesaw-harness[data]'")
        return
    import datasets

    local = root / where
    try:
        if (local / "dataset_info.json").is_file() or (local / "dataset_dict.json").is_file():
            data = datasets.load_from_disk(str(local))
        else:
            data = datasets.load_dataset(str(local) if local.is_dir() else where, name, revision=revision)
        if isinstance(data, datasets.DatasetDict):
            if split is None and len(data) > 1:
                yield BadRow(0, f"data set {where!r} has the splits {', '.join(data)}", "name one with dataset_split")
                return
            if split is not None and split not in data:
                yield BadRow(0, f"data set {where!r} has no split {split!r}", f"use one of {', '.join(data)}")
                return
            data = data[split or next(iter(data))]
        for number, row in enumerate(data, 1):
            yield number, plain(dict(row))
    except Exception as error:  # the library raises whatever its file systems and builders raise
        first = (str(error).splitlines() or [""])[0]
        yield BadRow(
            0, f"data set {where!r} cannot be loaded: {type(error).__name__}: {first}", "check its name, or give a directory"
        )


def plain(value: Any) -> Any:
    """The same value in JSON's terms where that is exact: dates and times become ISO text, tuples lists."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, date | time):  # datetime is a date
        return value.isoformat()
    return value
