"""Rows of any file that training data comes in: what harness.rows reads, JSON arrays, and folders of the datasets library.

CSV cells and Parquet columns that hold JSON text of messages (ours say so in the file's metadata) become values again, and what
is null only because every row of a table has every column is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.quality.jsonarray import looks_like_array, read_array
from harness.rows import BadRow, Row, Rows, file_trouble, read_dataset, read_jsonl, read_rows

JSON_COLUMNS = b"seesaw_json"  # metadata of a Parquet file of ours: names of the columns that hold JSON text
_NESTED = (
    "messages",
    "conversations",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "history",
    "chosen_messages",
    "rejected_messages",
)
_ONLY_LISTS = ("messages", "conversations", "history")  # no text stands there: any JSON list is meant as one
_TRUTH = {"true": True, "false": False}


def read_records(path: Path, *, split: str | None = None) -> Rows:
    """(line, row) of each row in order, a BadRow for each that cannot be read; line 0: the file as a whole."""
    if path.is_dir():
        yield from _tidy(read_dataset(str(path.resolve()), root=path.parent, name=None, split=split, revision=None), _guessed)
        return
    suffix = path.suffix.lower()
    if suffix == ".json" and not file_trouble(path):
        yield from read_array(path) if looks_like_array(path) else read_jsonl(path)
    elif suffix in (".csv", ".tsv"):
        yield from _tidy(read_rows(path), _cells)
    elif suffix == ".parquet" and not file_trouble(path):
        yield from _tidy(read_rows(path), _decoder(path))
    else:
        yield from read_rows(path)


def _tidy(rows: Rows, decode: Callable[[Row], Row]) -> Rows:
    for entry in rows:
        if isinstance(entry, BadRow):
            yield entry
            continue
        line, row = entry
        try:
            row = decode(row)
        except (ValueError, TypeError, RecursionError):
            yield BadRow(line, "a column that the file says is JSON text is not", "write the file again", repr(row))
        else:
            yield line, row


def _decoder(path: Path) -> Callable[[Row], Row]:
    """Parquet of ours is decoded by what its metadata says; other people's by what the text looks like."""
    import pyarrow
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.read_schema(path).metadata or {}
        columns = json.loads(metadata[JSON_COLUMNS]) if JSON_COLUMNS in metadata else None
    except (pyarrow.ArrowException, OSError, ValueError):
        return _guessed  # reading the rows says what is wrong
    if not isinstance(columns, list):
        return _guessed
    ours = frozenset(str(column) for column in columns)
    return lambda row: {key: json.loads(value) if key in ours else _turns(value) for key, value in _present(row)}


def _guessed(row: Row) -> Row:
    return {key: _nested(key, value) if key in _NESTED else value for key, value in _present(row)}


def _cells(row: Row) -> Row:
    """CSV knows text only: messages are JSON text in a cell, labels the words true and false."""
    found = _guessed(row)
    for key in ("label", "kto_tag"):
        if isinstance(found.get(key), str):
            found[key] = _TRUTH.get(found[key].lower(), found[key])
    return found


def _present(row: Row) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in row.items() if value is not None)


def _nested(key: str, value: Any) -> Any:
    """JSON text of messages as the list it is of; any other text, JSON or not, stays text."""
    if not isinstance(value, str):
        return _turns(value)
    if not value.startswith(("[", "{")):
        return value
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return value
    if key in _ONLY_LISTS and isinstance(found, list):
        return found
    items = found if isinstance(found, list) else [found]
    named = all(isinstance(item, dict) and ("role" in item or "from" in item) for item in items)
    return found if items and named else value


def _turns(value: Any) -> Any:
    """Turns of a table without the keys that are null there because another turn has them."""
    if isinstance(value, list):
        return [_turns(item) for item in value]
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value
