"""Score files -> columns: what ``harness compare A.jsonl B.jsonl`` reads, whoever wrote them.

A row is {"case_id", "capability", "score"} and, where there is more to say, "passed", "sample" (or "run_index"), "status",
"reason", "cluster", "split"; other keys are left alone. That covers ``harness export --kind scores`` and the rows {case_id, score
or passed, run_index} of small gates. A row without a score says why (status, reason); only rows of the split ``gate`` take part.

pyarrow reads a file whole in compiled code. Whatever it does not read exactly as expected (a wrong type, a broken line, two
objects on one line) is read again by harness.rows, slowly, which either knows what it means or says which lines are wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from harness.columns import STATUSES, CaseTable, ScoreColumns
from harness.errors import DataError, Fault, SuiteError
from harness.model import ItemStatus, Split
from harness.rows import BadRow, file_trouble, read_rows

ENDINGS = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
MAX_FAULTS = 20
ONLY = "all"  # the capability of files that name none

_TEXT, _NUMBER, _WHOLE, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()
_FIELDS: dict[str, pa.DataType] = {
    "case_id": _TEXT,
    "capability": _TEXT,
    "score": _NUMBER,
    "passed": _FLAG,
    "sample": _WHOLE,
    "run_index": _WHOLE,
    "status": _TEXT,
    "reason": _TEXT,
    "cluster": _TEXT,
    "split": _TEXT,
}
_SCHEMA = pa.schema(list(_FIELDS.items()))
_FLAGGED = "flagged"  # column: the score is made of ``passed`` alone
_BLOCK = 1 << 20  # bytes that a thread parses at a time


@dataclass(frozen=True, slots=True)
class ScoreFiles:
    """Two files read for one comparison. left_out: rows of the candidate and of the baseline that are of the dev split."""

    cases: CaseTable
    candidate: ScoreColumns
    baseline: ScoreColumns
    left_out: tuple[int, int]


def read_scores(candidate: Path, baseline: Path, *, only: str = ONLY) -> ScoreFiles:
    """Read both files. only: the capability of rows in files that name none.

    SuiteError with ``file:line`` of each row (up to MAX_FAULTS) that is no score row. Duplicates, scores outside [0, 1] and cases
    that differ are the comparison's to find.
    """
    with ThreadPoolExecutor(2) as pool:  # nearly all of it is compiled code that runs beside other threads
        runs = list(pool.map(lambda path: _gate_rows(path, _checked(path, _read(path), only)), (candidate, baseline)))
    ids = _number([run.table["case_id"] for run in runs])
    names = _number([run.table["capability"] for run in runs])
    clusters = _number([run.table["cluster"] for run in runs])
    table, numbers = _number_cases(ids, names, clusters.names)
    ours, theirs = (_columns(run, numbers[i], clusters.codes[i]) for i, run in enumerate(runs))
    _refuse_two_scales(table, runs, [ours, theirs])
    return ScoreFiles(table, ours, theirs, (runs[0].left_out, runs[1].left_out))


@dataclass(frozen=True, slots=True)
class _Run:
    """One file's rows of the gate split. rows: their numbers in the file, None when that is all of them."""

    path: Path
    table: pa.Table
    rows: NDArray[np.int64] | None
    left_out: int

    def where(self, row: int) -> str:
        return _line(self.path, row if self.rows is None else int(self.rows[row]))


# -- reading ---------------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> pa.Table:
    """The file as a table of _SCHEMA, row by row as in the file."""
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
        table = _parse(data, [name for name in _FIELDS if name in first], "error") if first <= _FIELDS.keys() else None
    except (pa.ArrowException, ValueError, TypeError):
        table = None
    table = table or _parse(data, list(_FIELDS), "ignore")
    return _filled(table) if table.num_rows == lines else None


def _parse(data: bytes, names: Sequence[str], unexpected: str) -> pa.Table:
    import pyarrow.json

    schema = pa.schema([(name, _FIELDS[name]) for name in names])
    return pyarrow.json.read_json(
        pa.BufferReader(data),
        read_options=pyarrow.json.ReadOptions(block_size=_BLOCK),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
    )


def _filled(table: pa.Table) -> pa.Table:
    """The table with all columns of _SCHEMA, those that are not there all null."""
    given = set(table.column_names)
    columns = [table[n] if n in given else pa.chunked_array([pa.nulls(table.num_rows, k)]) for n, k in _FIELDS.items()]
    return pa.table(columns, names=list(_FIELDS)).cast(_SCHEMA)


def _fast_csv(path: Path) -> pa.Table:
    import pyarrow.csv

    return pyarrow.csv.read_csv(
        path,
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if path.suffix.lower() == ".tsv" else ",", newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=_SCHEMA,
            include_columns=_SCHEMA.names,
            include_missing_columns=True,
            null_values=[""],
            strings_can_be_null=True,
        ),
    ).cast(_SCHEMA)


def _fast_parquet(path: Path) -> pa.Table | None:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        given = set(file.schema_arrow.names)
        table = file.read([name for name in _SCHEMA.names if name in given])
    if "score" in given and pa.types.is_boolean(table.schema.field("score").type):
        return None
    return _filled(table)


def _slow(path: Path) -> pa.Table:
    """Row by row, saying what is wrong with which line."""
    columns: dict[str, list[Any]] = {name: [] for name in _FIELDS}
    faults: list[Fault] = []
    is_text = path.suffix.lower() in (".csv", ".tsv")
    for row in read_rows(path):
        if isinstance(row, BadRow):
            faults.append(Fault(f"{path}:{row.line}" if row.line else str(path), row.what, row.todo))
        else:
            line, values = row
            for name, kind in _FIELDS.items():
                try:
                    columns[name].append(_value(values.get(name), kind, is_text))
                except (ValueError, OverflowError) as error:
                    faults.append(Fault(f"{path}:{line}", f"{name}: {error}"))
        if len(faults) >= MAX_FAULTS:
            break
    if faults:
        raise SuiteError(faults)
    return pa.table({name: pa.array(columns[name], kind) for name, kind in _FIELDS.items()})


def _value(value: Any, kind: pa.DataType, is_text: bool) -> Any:
    """One cell as its column's kind; ValueError says what it is instead. is_text: a CSV's cells, which are all text."""
    if value is None:
        return None
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
    if kind is _TEXT:
        if isinstance(value, str):
            if not value.isascii():
                _refuse_half_characters(value)
            return value
        if is_whole:
            return str(value)
        raise ValueError(f"must be text, and is {shown}")
    if kind is _NUMBER:
        if is_whole or isinstance(value, float) or (is_text and _is_number(value)):
            return float(value)
        raise ValueError(f"must be a number in [0, 1], and is {shown}")
    if kind is _WHOLE:
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


# -- what a row must be ----------------------------------------------------------------------------------------------------------


def _checked(path: Path, table: pa.Table, only: str) -> pa.Table:
    """The table with every row's capability, status and value filled in; SuiteError for rows that do not say enough."""
    if table.num_rows == 0:
        raise SuiteError([Fault(str(path), "is empty: it has no score rows", "give one row for each case")])
    given = {name for name in _FIELDS if table[name].null_count < table.num_rows}
    if "case_id" not in given:
        raise SuiteError([Fault(_line(path, 0), "no row has the column 'case_id'", "name the case of each score")])
    if not given & {"score", "passed", "status", "reason"}:
        raise SuiteError([Fault(_line(path, 0), "no row has the column 'score' (or 'passed')", "give each case a score")])
    if "capability" not in given:
        names = pa.chunked_array([pa.repeat(pa.scalar(only, _TEXT), table.num_rows)])
        table = table.set_column(table.column_names.index("capability"), "capability", names)
    flagged = pc.and_(pc.is_null(table["score"]), pc.is_valid(table["passed"]))
    value = pc.coalesce(table["score"], pc.cast(table["passed"], _NUMBER))
    has = pc.is_valid(value)
    no_status = pc.is_null(table["status"])
    status = pc.if_else(no_status, pc.if_else(has, str(ItemStatus.SCORED), str(ItemStatus.UNSCORED)), table["status"])
    scored = pc.equal(status, str(ItemStatus.SCORED))
    no_reason = pc.is_null(table["reason"])
    known = pc.is_in(status, value_set=pa.array([str(s) for s in STATUSES]))
    split = pc.fill_null(table["split"], str(Split.GATE))
    sample = pc.fill_null(pc.coalesce(table["sample"], table["run_index"]), 0)
    statuses, splits = ", ".join(STATUSES), " or ".join(Split)
    rules: list[tuple[Any, str, str]] = [
        (pc.is_null(table["case_id"]), "has no case_id", "name the case"),
        (pc.is_null(table["capability"]), "has no capability, and other rows have one", "name the capability on every row"),
        (pc.invert(known), "has an unknown status", f"use {statuses}"),
        (
            pc.and_(pc.invert(has), pc.and_(no_status, no_reason)),
            "has no score, and does not say why",
            "give a score in [0, 1], or a status and a reason",
        ),
        (
            pc.and_(pc.invert(has), pc.and_(scored, pc.invert(no_status))),
            "is called scored and has no score",
            "give the score, or the status unscored",
        ),
        (pc.invert(pc.is_in(split, value_set=pa.array([str(s) for s in Split]))), "has an unknown split", f"use {splits}"),
        (pc.less(sample, 0), "has a negative sample", "number samples from 0"),
    ]
    _raise(path, rules)
    made = {"score": value, "status": status, "split": split, "sample": sample}
    for name, column in made.items():
        table = table.set_column(table.column_names.index(name), name, column)
    return table.append_column(_FLAGGED, flagged)


def _raise(path: Path, rules: Iterable[tuple[Any, str, str]]) -> None:
    wrong = [
        (row, what, todo)
        for mask, what, todo in rules
        if pc.any(mask).as_py()
        for row in np.flatnonzero(_numpy(mask))[:MAX_FAULTS].tolist()
    ]
    if wrong:
        lines = _lines(path, sorted({row for row, _, _ in wrong}))
        raise SuiteError([Fault(f"{path}:{lines[row]}", what, todo) for row, what, todo in sorted(wrong)[:MAX_FAULTS]])


def _gate_rows(path: Path, table: pa.Table) -> _Run:
    gate = pc.equal(table["split"], str(Split.GATE))
    if pc.all(gate).as_py():
        return _Run(path, table, None, 0)
    rows = np.flatnonzero(_numpy(gate))
    if not rows.size:
        what = "all of its rows are of the split dev, and only gate cases decide"
        raise SuiteError([Fault(str(path), what, "compare scores of the gate split")])
    return _Run(path, table.filter(gate), rows, table.num_rows - len(rows))


def _lines(path: Path, rows: Sequence[int]) -> dict[int, int]:
    """The lines that rows stand on (rows ascending, counted from 0), found by reading again: only faults pay for it."""
    found: dict[int, int] = {}
    wanted = set(rows)
    for number, row in enumerate(islice(read_rows(path), rows[-1] + 1)):
        if number in wanted:
            found[number] = row.line if isinstance(row, BadRow) else row[0]
    return {row: found.get(row, 0) for row in rows}


def _line(path: Path, row: int) -> str:
    return f"{path}:{_lines(path, [row])[row]}"


# -- columns ---------------------------------------------------------------------------------------------------------------------


def _numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(array.to_numpy(zero_copy_only=False))


@dataclass(frozen=True, slots=True)
class _ArrowNames:
    """Names that stay in Arrow's memory until somebody wants to read them."""

    names: pa.Array

    def __len__(self) -> int:
        return len(self.names)

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        found: list[str] = self.names.take(pa.array(numbers, _WHOLE)).to_pylist()
        return found


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Texts of both files as positions in ``names``; -1 where there is none."""

    codes: list[NDArray[np.int64]]
    names: pa.Array


def _number(columns: Sequence[pa.ChunkedArray]) -> _Numbered:
    different = [columns[0]] if columns[0].equals(columns[1]) else columns  # mostly the same cases in the same order
    joined = pa.chunked_array([chunk for column in different for chunk in column.chunks], type=_TEXT)
    encoded = joined.dictionary_encode().combine_chunks()
    codes = _numpy(pc.fill_null(encoded.indices, -1)).astype(np.int64)
    return _Numbered([codes[: len(columns[0])], codes[-len(columns[1]) :]], encoded.dictionary)


def _number_cases(ids: _Numbered, capabilities: _Numbered, clusters: pa.Array) -> tuple[CaseTable, list[NDArray[np.int64]]]:
    """One number for each (capability, case id): that of the id, unless an id occurs in several capabilities."""
    names = tuple(capabilities.names.to_pylist())
    of_id = np.zeros(len(ids.names), dtype=np.int64)
    for codes, capability in zip(ids.codes, capabilities.codes, strict=True):
        of_id[codes] = capability
    pairs = list(zip(ids.codes, capabilities.codes, strict=True))
    if all(np.array_equal(of_id[codes], capability) for codes, capability in pairs):
        return CaseTable(names, of_id, _ArrowNames(ids.names), _ArrowNames(clusters)), ids.codes
    width = len(ids.names)
    keys, numbers = np.unique(np.concatenate([c * width + i for i, c in pairs]), return_inverse=True)
    table = CaseTable(names, keys // width, _ArrowNames(ids.names.take(pa.array(keys % width))), _ArrowNames(clusters))
    size = len(ids.codes[0])
    return table, [numbers[:size], numbers[size:]]


def _columns(run: _Run, case: NDArray[np.int64], cluster: NDArray[np.int64]) -> ScoreColumns:
    table = run.table
    reason = table["reason"].combine_chunks().dictionary_encode()
    passed = pc.cast(table["passed"], _NUMBER)
    return ScoreColumns(
        case=case,
        sample=_numpy(table["sample"]),
        status=_numpy(pc.index_in(table["status"], value_set=pa.array([str(s) for s in STATUSES]))).astype(np.int64),
        value=_numpy(pc.fill_null(table["score"], np.nan)),
        passed=_numpy(pc.fill_null(passed, np.nan)),
        must_pass=np.zeros(table.num_rows, dtype=bool),
        cluster=cluster,
        reason=_numpy(pc.fill_null(reason.indices, -1)).astype(np.int64),
        reasons=reason.dictionary.to_pylist(),
        where=run.where,
    )


def _refuse_two_scales(cases: CaseTable, runs: Sequence[_Run], columns: Sequence[ScoreColumns]) -> None:
    """A capability is right-or-wrong in both files, or graded in both: a difference between the two kinds means nothing.

    Refused: scores between 0 and 1 beside rows that say only ``passed``; and a file that knows only 0 and 1 (and has both)
    against one where most scores lie between.
    """
    size = len(cases.capabilities)
    graded, scores, zeros, flags = [], [], [], np.zeros(size, dtype=np.int64)
    for run, rows in zip(runs, columns, strict=True):
        of_row = cases.capability[rows.case]
        between = rows.scored & (rows.value > 0.0) & (rows.value < 1.0)
        graded.append(np.bincount(of_row[between], minlength=size))
        scores.append(np.bincount(of_row[rows.scored], minlength=size))
        zeros.append(np.bincount(of_row[rows.scored & (rows.value == 0.0)], minlength=size))
        flags += np.bincount(of_row[_numpy(run.table[_FLAGGED])], minlength=size)
    for side, other in ((0, 1), (1, 0)):
        two_valued = (graded[other] == 0) & (zeros[other] > 0) & (zeros[other] < scores[other])
        wrong = (graded[side] > 0) & ((flags > 0) | (two_valued & (2 * graded[side] > scores[side])))
        if wrong.any():
            rows, code = columns[side], int(np.argmax(wrong))
            between = (cases.capability[rows.case] == code) & rows.scored & (rows.value > 0.0) & (rows.value < 1.0)
            row = int(np.argmax(between))
            whose = "rows that only say passed" if flags[code] else f"only 0 and 1 in {runs[other].path}"
            raise DataError(
                f"the score {rows.value[row]:g} of {cases.capabilities[code]!r} is graded, beside {whose}",
                where=rows.where(row),
                todo="Score a capability in the same way in both files",
            )
