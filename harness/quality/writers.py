"""Rows into a file, one at a time: JSONL, a JSON array, CSV, Parquet, or a folder of the datasets library.

A file appears under its name only when it is complete. Tables need their columns before the first row, so CSV and Parquet go
through a temporary file of lines beside the target; memory stays one batch.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from harness.errors import DataError
from harness.quality.formats.base import Unfit
from harness.quality.records import JSON_COLUMNS

_BATCH = 4096
_TURNS = (("role", "content"), ("from", "value"))  # messages that a table holds as such
_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_BREAKS = re.compile("[\u0085\u2028\u2029]")  # JSON allows them bare, but many readers end a line at them


def line_of(row: dict[str, Any], *, escape: bool = True) -> str:
    """A row as one line of JSON; Unfit for what JSON cannot say. Half a character (a lone surrogate) is escaped, or is Unfit."""
    try:
        text = _JSON(row)
        if text.isascii():
            return text
        text.encode("utf-8")
    except UnicodeEncodeError:
        if not escape:
            raise Unfit("surrogate", "holds half a character (a lone surrogate), which a table cannot hold") from None
        text = json.dumps(row, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Unfit("not-json", f"cannot be written as JSON: {error}") from None
    return _BREAKS.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


class Writer:
    """Base: a temporary file beside the target, renamed when all went well. write() returns notes of what it could not keep."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        except OSError as error:
            raise DataError(
                f"cannot be written: {error.strerror or error}", where=str(path), todo="Choose another place"
            ) from None
        self.part = Path(name)
        self.file: IO[str] = os.fdopen(handle, "w+", encoding="utf-8", newline="")
        self.count = 0

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.file.close()
            self.part.unlink(missing_ok=True)

    def write(self, row: dict[str, Any]) -> list[str]:
        self.file.write(line_of(row) + "\n")
        self.count += 1
        return []

    def notes(self) -> dict[str, int]:
        """What the kind of file could not keep, known only at the end: text -> rows. Called once all rows are written."""
        return {}

    def finish(self) -> None:
        self.file.flush()
        self.publish(self.part)

    def publish(self, part: Path) -> None:
        os.chmod(part, 0o666 & ~_umask())
        os.replace(part, self.path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class _Array(Writer):
    """One row on each line between brackets: an array that line tools can still look into."""

    def write(self, row: dict[str, Any]) -> list[str]:
        line = line_of(row)
        self.file.write(("[\n" if not self.count else ",\n") + line)
        self.count += 1
        return []

    def finish(self) -> None:
        self.file.write("\n]\n" if self.count else "[]\n")
        super().finish()


class _Table(Writer):
    """Collects lines and which kinds of values each column has."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.kinds: dict[str, set[str]] = {}

    def write(self, row: dict[str, Any]) -> list[str]:
        self.file.write(line_of(row, escape=False) + "\n")
        self.count += 1
        for key, value in row.items():
            if value is not None:
                self.kinds.setdefault(key, set()).add(_kind(value))
            else:
                self.kinds.setdefault(key, set())
        return []

    def finish(self) -> None:
        with tempfile.TemporaryDirectory(prefix=".data-", dir=self.path.parent) as folder:
            part = Path(folder) / "rows"
            self.table(part)
            self.publish(part)

    def table(self, path: Path) -> None:
        """The whole table, from rows()."""
        raise NotImplementedError

    def rows(self) -> Iterator[dict[str, Any]]:
        self.file.flush()
        self.file.seek(0)
        return (json.loads(line) for line in self.file)


def _kind(value: Any) -> str:
    """bool, int, float, str; the keys for messages whose every value is text; json for everything else."""
    if isinstance(value, bool | str | float):
        return type(value).__name__
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "json"
    return next((",".join(names) for names in _TURNS if _all_turns(value, names)), "json")


def _all_turns(value: Any, names: tuple[str, ...]) -> bool:
    """Whether it is a list of messages with exactly these keys, all text."""
    return bool(isinstance(value, list) and value) and all(
        isinstance(item, dict) and item.keys() == set(names) and all(isinstance(text, str) for text in item.values())
        for item in value
    )


class _Csv(_Table):
    def notes(self) -> dict[str, int]:
        typed = sorted(key for key, kinds in self.kinds.items() if kinds - {"str"} and key not in ("label", "kto_tag"))
        typed = [key for key in typed if self.kinds[key] & {"int", "float", "bool"} or len(self.kinds[key]) > 1]
        told = f"CSV keeps no types: {', '.join(typed)} will be read as text" if typed else ""
        return {told: self.count} if told else {}

    def table(self, path: Path) -> None:
        tab = self.path.suffix.lower() == ".tsv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(self.kinds), restval="", delimiter="\t" if tab else ",")
            writer.writeheader()
            for row in self.rows():
                writer.writerow({key: _cell(value) for key, value in row.items()})


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


class _Parquet(_Table):
    """Columns of one kind keep it; columns of mixed kinds and nested values become JSON text, and the metadata says which."""

    def as_json(self) -> list[str]:
        return sorted(key for key, kinds in self.kinds.items() if len(kinds) > 1 or "json" in kinds)

    def notes(self) -> dict[str, int]:
        mixed = [key for key in self.as_json() if len(self.kinds[key]) > 1]
        told = f"columns of mixed types are JSON text in Parquet: {', '.join(mixed)}"
        return {told: self.count} if mixed else {}

    def table(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"str": pa.string(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}
        types |= {",".join(names): pa.list_(pa.struct([(name, pa.string()) for name in names])) for names in _TURNS}
        encoded = set(self.as_json())
        rows = self.rows()
        first = list(islice(rows, _BATCH))
        fields = [
            pa.field(key, types["str" if key in encoded or not kinds else next(iter(kinds))]) for key, kinds in self.kinds.items()
        ]
        schema = pa.schema(fields, metadata={JSON_COLUMNS: json.dumps(sorted(encoded)).encode()})
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            while first:
                batch = [{key: _encoded(value, key in encoded) for key, value in row.items()} for row in first]
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                first = list(islice(rows, _BATCH))


def _encoded(value: Any, as_json: bool) -> Any:
    return json.dumps(value, ensure_ascii=False) if as_json and value is not None else value


class _Folder(_Parquet):
    """A folder as ``Dataset.save_to_disk`` writes it."""

    def finish(self) -> None:
        try:
            import datasets
        except ImportError:
            raise DataError(
                "a datasets folder needs the package datasets", where=str(self.path), todo="pip install 'seesaw-harness[data]'"
            ) from None
        if self.path.exists():
            raise DataError("is there already", where=str(self.path), todo="Choose another folder, or remove it")
        datasets.disable_progress_bars()
        with tempfile.TemporaryDirectory(prefix=".data-", dir=self.path.parent) as folder:
            table = Path(folder) / "rows.parquet"
            self.table(table)
            data = datasets.Dataset.from_parquet(str(table), cache_dir=str(Path(folder) / "cache"))
            data.save_to_disk(str(Path(folder) / "done"))
            shutil.move(str(Path(folder) / "done"), str(self.path))


_KINDS: dict[str, type[Writer]] = {
    ".jsonl": Writer,
    ".ndjson": Writer,
    ".json": _Array,
    ".csv": _Csv,
    ".tsv": _Csv,
    ".parquet": _Parquet,
    "": _Folder,
}


def open_writer(path: Path, *, kind: str | None = None) -> Writer:
    """The writer for a file's ending (or of the kind said); DataError for an ending that no writer knows."""
    suffix = path.suffix.lower() if kind is None else kind
    if suffix not in _KINDS:
        known = ", ".join(name for name in _KINDS if name)
        raise DataError(f"unknown kind of file {suffix!r}", where=str(path), todo=f"Use {known}, or a folder's name")
    return _KINDS[suffix](path)
