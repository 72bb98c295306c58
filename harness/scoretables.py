"""One score file -> one Arrow table, row by row as in the file; what harness.scorefiles makes columns of.

pyarrow reads a file whole in compiled code. Whatever it does not read exactly as expected (a wrong type, a broken line, two
objects on one line) is read again by harness.rows, slowly, which either knows what it means or says which lines are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from harness.errors import Fault, SuiteError
from harness.rows import BadRow, file_trouble, read_rows

MAX_FAULTS = 20

TEXT, NUMBER, WHOLE, FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
FIELDS: dict[str, pa.DataType] = {
    "case_id": TEXT,
    "capability": TEXT,
    "score": NUMBER,
    "passed": FLAG,
    "sample": WHOLE,
    "run_index": WHOLE,
    "status": TEXT,
    "reason": TEXT,
    "cluster": TEXT,
    "split": TEXT,
}
SCHEMA = pa.schema(list(FIELDS.items()))
_BLOCK = 1 << 20  # bytes that a thread parses at a time


def read_table(path: Path) -> pa.Table:
    """The file as a table of SCHEMA. SuiteError with ``file:line`` of each row (up to MAX_FAULTS) that does not fit it."""
    if trouble := file_trouble(path):
        raise SuiteError([Fault(str(path), trouble, "give two score files, or two runs")])
    fast = {".jsonl": _fast_json, ".ndjson": _fast_json, ".csv": _fast_csv, ".tsv": _fast_csv, ".parquet": _fast_parquet}
    reader = fast.get(path.suffix.lower())
    try:
        table = reader(path) if reader else None
        if table is not None:
            table.validate(full=True)  # UTF-8 above all
            return table
    except (pa.ArrowException, OSError, ValueError):
        pass  # the slow reader knows what is wrong, or that nothing is
    return _slow(path)


def _fast_json(path: Path) -> pa.Table | None:
    """None when lines and objects differ in number. Keys that no row has cost time, so the first line's are tried first."""
    data = path.read_bytes()
    lines = data.count(b"\n") + (not data.endswith(b"\n") and bool(data.strip()))
    try:
        first = set(json.loads(data.split(b"\n", 1)[0]))
        table = _parse(data, [name for name in FIELDS if name in first], "error") if first <= FIELDS.keys() else None
    except (pa.ArrowException, ValueError, TypeError):
        table = None
    table = table or _parse(data, list(FIELDS), "ignore")
    return _filled(table) if table.num_rows == lines else None


def _parse(data: bytes, names: Sequence[str], unexpected: str) -> pa.Table:
    import pyarrow.json

    schema = pa.schema([(name, FIELDS[name]) for name in names])
    return pyarrow.json.read_json(
        pa.BufferReader(data),
        read_options=pyarrow.json.ReadOptions(block_size=_BLOCK),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
        memory_pool=pa.system_memory_pool(),  # the default one gives pages back so eagerly that faulting them in takes a second
    )


def _filled(table: pa.Table) -> pa.Table:
    """The table with all columns of SCHEMA, those that are not there all null."""
    given = set(table.column_names)
    columns = [table[n] if n in given else pa.chunked_array([pa.nulls(table.num_rows, k)]) for n, k in FIELDS.items()]
    return pa.Table.from_arrays(columns, names=list(FIELDS)).cast(SCHEMA)


def _fast_csv(path: Path) -> pa.Table:
    import pyarrow.csv

    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=SCHEMA,
            include_columns=SCHEMA.names,
            include_missing_columns=True,
            null_values=[""],
            strings_can_be_null=True,
        ),
    ).cast(SCHEMA)


def _fast_parquet(path: Path) -> pa.Table | None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        given = set(file.schema_arrow.names)
        table = file.read([name for name in SCHEMA.names if name in given])
    if "score" in given and pa.types.is_boolean(table.schema.field("score").type):
        return None
    return _filled(table)


def _slow(path: Path) -> pa.Table:
    """Row by row, saying what is wrong with which line."""
    columns: dict[str, list[Any]] = {name: [] for name in FIELDS}
    faults: list[Fault] = []
    is_text = path.suffix.lower() in (".csv", ".tsv")
    for row in read_rows(path):
        if isinstance(row, BadRow):
            faults.append(Fault(f"{path}:{row.line}" if row.line else str(path), row.what, row.todo))
        else:
            line, values = row
            for name, kind in FIELDS.items():
                try:
                    columns[name].append(_value(values.get(name), kind, is_text))
                except (ValueError, OverflowError) as error:
                    faults.append(Fault(f"{path}:{line}", f"{name}: {error}"))
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        raise SuiteError(faults)
    return pa.table({name: pa.array(columns[name], kind) for name, kind in FIELDS.items()})


def _value(value: Any, kind: pa.DataType, is_text: bool) -> Any:
    """One cell as its column's kind; ValueError says what it is instead. is_text: a CSV's cells, which are all text."""
    if value is None:
        return None
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
    if kind is TEXT:
        if isinstance(value, str):
            if not value.isascii():
                _refuse_half_characters(value)
            return value
        if is_whole:
            return str(value)
        raise ValueError(f"must be text, and is {shown}")
    if kind is NUMBER:
        if is_whole or isinstance(value, float) or (is_text and _is_number(value)):
            return float(value)
        raise ValueError(f"must be a number in [0, 1], and is {shown}")
    if kind is WHOLE:
        if is_whole or (is_text and value.strip().lstrip("-").isdecimal()):
            number = int(value)
            if abs(number) < 2**62:
                return number
        raise ValueError(f"must be a whole number, and is {shown}")
    flags = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() in flags and (is_text or is_whole):
        return flags[str(value).lower()]
    raise ValueError(f"must be true or false, and is {shown}")


def _refuse_half_characters(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no text") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
