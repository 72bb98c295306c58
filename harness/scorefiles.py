"""Score files -> columns: what ``harness compare A.jsonl B.jsonl`` reads, whoever wrote them.

A row is {"case_id", "capability", "score"} and, where there is more to say, "passed", "sample" (or "run_index"), "status",
"reason", "cluster", "split"; other keys are left alone. That covers ``harness export --kind scores`` and the rows {case_id, score
or passed, run_index} of small gates. A row without a score says why (status, reason); only rows of the split ``gate`` take part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from harness.rows import BadRow, read_rows
from harness.scoretables import FIELDS, MAX_FAULTS, NUMBER, TEXT, WHOLE, read_table

ONLY = "all"  # the capability of files that name none

_SCORED, _UNSCORED = STATUSES.index(ItemStatus.SCORED), STATUSES.index(ItemStatus.UNSCORED)
_GATE = tuple(Split).index(Split.GATE)


@dataclass(frozen=True, slots=True)
class ScoreFiles:
    """Two files read for one comparison. left_out: rows of the candidate and of the baseline that are of the dev split.

    unnamed: no row of either file names a capability; they are all of ONLY.
    """

    cases: CaseTable
    candidate: ScoreColumns
    baseline: ScoreColumns
    left_out: tuple[int, int]
    unnamed: bool = False

    def called(self, name: str) -> ScoreFiles:
        """The same with ``name`` for the capability of files that name none."""
        return replace(self, cases=replace(self.cases, capabilities=(name,))) if self.unnamed else self


def read_scores(candidate: Path, baseline: Path) -> ScoreFiles:
    """Read both files.

    SuiteError with ``file:line`` of each row (up to MAX_FAULTS) that is no score row. Duplicates, scores outside [0, 1] and cases
    that differ are the comparison's to find.
    """
    with ThreadPoolExecutor(2) as pool:  # nearly all of it is compiled code that runs beside other threads
        runs = list(pool.map(lambda path: _gate_rows(_checked(path, read_table(path))), (candidate, baseline)))
    ids, names, clusters = (_number([run.texts[name] for run in runs]) for name in ("case_id", "capability", "cluster"))
    table, numbers = _number_cases(ids, names, clusters.names)
    ours, theirs = (_columns(run, numbers[i], clusters.codes[i]) for i, run in enumerate(runs))
    _refuse_two_scales(table, runs, [ours, theirs])
    unnamed = all(run.unnamed for run in runs)
    return ScoreFiles(table, ours, theirs, (runs[0].left_out, runs[1].left_out), unnamed)


@dataclass(frozen=True, slots=True)
class _Run:
    """One file's rows, checked, all (rows,). status: positions in STATUSES. flagged: the score is made of ``passed`` alone.

    texts: the columns case_id, capability, cluster, reason. rows: numbers of the rows in the file, None when that is all of them.
    """

    path: Path
    texts: pa.Table
    status: NDArray[np.int64]
    value: NDArray[np.float64]
    passed: NDArray[np.float64]
    sample: NDArray[np.int64]
    flagged: NDArray[np.bool_]
    gate: NDArray[np.bool_]
    unnamed: bool
    rows: NDArray[np.int64] | None = None
    left_out: int = 0

    def where(self, row: int) -> str:
        return _line(self.path, row if self.rows is None else int(self.rows[row]))


# -- what a row must be ----------------------------------------------------------------------------------------------------------


def _checked(path: Path, table: pa.Table) -> _Run:
    """The rows with status and value filled in; SuiteError for rows that do not say enough.

    numpy does this, not pyarrow: the first Python value that pyarrow meets makes it import pandas, which takes half a second.
    """
    size = table.num_rows
    if size == 0:
        raise SuiteError([Fault(str(path), "is empty: it has no score rows", "give one row for each case")])
    given = {name for name in FIELDS if table[name].null_count < size}
    if "case_id" not in given:
        raise SuiteError([Fault(_line(path, 0), "no row has the column 'case_id'", "name the case of each score")])
    if not given & {"score", "passed", "status", "reason"}:
        raise SuiteError([Fault(_line(path, 0), "no row has the column 'score' (or 'passed')", "give each case a score")])
    if "capability" not in given:
        names = pa.chunked_array([pa.repeat(pa.scalar(ONLY, TEXT), size)])
        table = table.set_column(table.column_names.index("capability"), "capability", names)
    passed = _numpy(pc.cast(table["passed"], NUMBER), np.nan)
    score, scored = _numpy(table["score"], np.nan), _valid(table["score"])
    flagged = ~scored & ~np.isnan(passed)
    has = scored | flagged
    status, no_status = _codes(table["status"], STATUSES), ~_valid(table["status"])
    status = np.where(no_status, np.where(has, _SCORED, _UNSCORED), status)
    split = np.where(_valid(table["split"]), _codes(table["split"], tuple(Split)), _GATE)
    sample = _numpy(pc.coalesce(table["sample"], table["run_index"]), 0)
    rules: list[tuple[NDArray[np.bool_], str, str]] = [
        (~_valid(table["case_id"]), "has no case_id", "name the case"),
        (~_valid(table["capability"]), "has no capability, and other rows have one", "name the capability on every row"),
        (status < 0, "has an unknown status", f"use {', '.join(STATUSES)}"),
        (
            ~has & no_status & ~_valid(table["reason"]),
            "has no score, and does not say why",
            "give a score in [0, 1], or a status and a reason",
        ),
        (~has & (status == _SCORED), "is called scored and has no score", "give the score, or the status unscored"),
        (split < 0, "has an unknown split", f"use {' or '.join(Split)}"),
        (sample < 0, "has a negative sample", "number samples from 0"),
    ]
    _raise(path, rules)
    texts = table.select(["case_id", "capability", "cluster", "reason"])
    return _Run(
        path, texts, status, np.where(flagged, passed, score), passed, sample, flagged, split == _GATE, "capability" not in given
    )


def _raise(path: Path, rules: Iterable[tuple[NDArray[np.bool_], str, str]]) -> None:
    wrong = [(row, what, todo) for mask, what, todo in rules for row in np.flatnonzero(mask)[:MAX_FAULTS].tolist()]
    if wrong:
        lines = _lines(path, sorted({row for row, _, _ in wrong}))
        raise SuiteError([Fault(f"{path}:{lines[row]}", what, todo) for row, what, todo in sorted(wrong)[:MAX_FAULTS]])


def _gate_rows(run: _Run) -> _Run:
    """The rows of the gate split."""
    if run.gate.all():
        return run
    rows = np.flatnonzero(run.gate)
    if not rows.size:
        what = "all of its rows are of the split dev, and only gate cases decide"
        raise SuiteError([Fault(str(run.path), what, "compare scores of the gate split")])
    kept = {name: getattr(run, name)[rows] for name in ("status", "value", "passed", "sample", "flagged", "gate")}
    return replace(run, texts=run.texts.take(_arrow(rows)), rows=rows, left_out=len(run.gate) - len(rows), **kept)


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


def _numpy(column: pa.ChunkedArray, fill: float) -> NDArray[Any]:
    """A column of numbers, ``fill`` where it is null."""
    array = column.combine_chunks()
    kind = {NUMBER: np.float64, WHOLE: np.int64, pa.int32(): np.int32}[array.type]
    if array.null_count == len(array):
        return np.full(len(array), fill, dtype=kind)
    values = np.frombuffer(array.buffers()[1], dtype=kind)[array.offset : array.offset + len(array)]
    return values if not array.null_count else np.where(_valid(column), values, fill).astype(kind)


def _valid(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    if column.null_count in (0, len(column)):
        return np.full(len(column), column.null_count == 0)
    flags = pc.cast(pc.is_valid(column), pa.uint8()).combine_chunks()
    return np.frombuffer(flags.buffers()[1], dtype=np.uint8)[flags.offset : flags.offset + len(flags)] > 0


def _arrow(numbers: NDArray[np.int64]) -> pa.Array:
    return pa.Array.from_buffers(WHOLE, len(numbers), [None, pa.py_buffer(np.ascontiguousarray(numbers, dtype=np.int64))])


def _codes(column: pa.ChunkedArray, known: Sequence[str]) -> NDArray[np.int64]:
    """Texts as positions in ``known``, -1 for null and for all others."""
    names, codes = _encoded(column)
    positions = np.array([known.index(name) if name in known else -1 for name in names.to_pylist()] + [-1])
    return np.asarray(positions[codes])


def _encoded(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """The distinct texts, and for each row the position of its text, -1 for null."""
    encoded = column.dictionary_encode().combine_chunks()
    return encoded.dictionary, _numpy(pa.chunked_array([encoded.indices]), -1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class _ArrowNames:
    """Names that stay in Arrow's memory until somebody wants to read them."""

    names: pa.Array

    def __len__(self) -> int:
        return len(self.names)

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        found: list[str] = self.names.take(_arrow(numbers)).to_pylist()
        return found


@dataclass(frozen=True, slots=True)
class _Numbered:
    """Texts of both files as positions in ``names``; -1 where there is none."""

    codes: list[NDArray[np.int64]]
    names: pa.Array


def _number(columns: Sequence[pa.ChunkedArray]) -> _Numbered:
    different = [columns[0]] if columns[0].equals(columns[1]) else columns  # mostly the same cases in the same order
    joined = pa.chunked_array([chunk for column in different for chunk in column.chunks], type=TEXT)
    names, codes = _encoded(joined)
    return _Numbered([codes[: len(columns[0])], codes[len(codes) - len(columns[1]) :]], names)


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
    table = CaseTable(names, keys // width, _ArrowNames(ids.names.take(_arrow(keys % width))), _ArrowNames(clusters))
    size = len(ids.codes[0])
    return table, [numbers[:size], numbers[size:]]


def _columns(run: _Run, case: NDArray[np.int64], cluster: NDArray[np.int64]) -> ScoreColumns:
    reasons, reason = _encoded(run.texts["reason"])
    return ScoreColumns(
        case=case,
        sample=run.sample,
        status=run.status,
        value=run.value,
        passed=run.passed,
        must_pass=np.zeros(len(case), dtype=bool),
        cluster=cluster,
        reason=reason,
        reasons=reasons.to_pylist(),
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
        flags += np.bincount(of_row[run.flagged], minlength=size)
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
