"""Score rows as columns: what a comparison works on, so that a million scores are a few arrays and not a million objects.

Cases are numbered once for both runs of a comparison (CaseTable); a run's rows point into that table. ``of_rows`` makes columns
of ScoreRows, harness.scorefiles makes them of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.model import ItemStatus, Ledger, ScoreRow, Split

STRETCH = 10_000  # rows that are objects at a time
STATUSES = tuple(ItemStatus)
_SCORED = STATUSES.index(ItemStatus.SCORED)
_SKIPPED = STATUSES.index(ItemStatus.SKIPPED)


class Names(Protocol):
    """Many texts, by number; made into Python strings only when they are asked for."""

    def __len__(self) -> int: ...
    def take(self, numbers: NDArray[np.int64]) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class NameList:
    """Names that are Python strings already."""

    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        return [self.names[i] for i in numbers.tolist()]


@dataclass(frozen=True, slots=True)
class CaseTable:
    """The cases of one comparison, numbered for both of its runs.

    capability: (cases,) positions in ``capabilities``. ids: (cases,) case ids, unique within a capability. clusters: the labels
    that the rows' cluster numbers stand for.
    """

    capabilities: tuple[str, ...]
    capability: NDArray[np.int64]
    ids: Names
    clusters: Names

    def name(self, case: int) -> str:
        return self.ids.take(np.array([case]))[0]


def _nowhere(row: int) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class ScoreColumns:
    """The rows of one run, all arrays (rows,).

    case: position in the CaseTable. status: position in STATUSES. value: NaN where there is none. passed: 1, 0, or NaN where
    nothing was said. cluster, reason: position in the table's clusters and in ``reasons``, -1 for none. where: ``file:line`` of a
    row.
    """

    case: NDArray[np.int64]
    sample: NDArray[np.int64]
    status: NDArray[np.int64]
    value: NDArray[np.float64]
    passed: NDArray[np.float64]
    must_pass: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    reason: NDArray[np.int64]
    reasons: Sequence[str] = ()
    where: Callable[[int], str] = field(default=_nowhere, repr=False)

    @property
    def scored(self) -> NDArray[np.bool_]:
        return self.status == _SCORED

    @property
    def skipped(self) -> NDArray[np.bool_]:
        return self.status == _SKIPPED

    def ledger(self) -> Ledger:
        """The closed denominator of these rows."""
        counts: dict[ItemStatus, dict[str, int]] = {status: {} for status in STATUSES}
        missing = np.flatnonzero(~self.scored)
        names = (*self.reasons, "unknown")
        width = len(names)  # reason -1 is the last one
        found = np.bincount(self.status[missing] * width + self.reason[missing] % width, minlength=len(STATUSES) * width)
        for code in np.flatnonzero(found).tolist():
            by_reason, name = counts[STATUSES[code // width]], names[code % width] or "unknown"
            by_reason[name] = by_reason.get(name, 0) + int(found[code])
        scored = len(self.case) - len(missing)
        rest = (counts[status] for status in (ItemStatus.UNSCORED, ItemStatus.ERRORED, ItemStatus.SKIPPED))
        return Ledger(len(self.case), scored, *rest)


class _Numbers:
    """Numbers things in the order in which they appear."""

    def __init__(self) -> None:
        self.index: dict[object, int] = {}

    def of(self, things: Iterable[object]) -> NDArray[np.int64]:
        index = self.index
        return np.array([index.setdefault(thing, len(index)) for thing in things], dtype=np.int64)


def of_rows(*runs: Iterable[ScoreRow], split: Split) -> tuple[CaseTable, tuple[ScoreColumns, ...]]:
    """The rows of ``split`` of one run or of two that are to be compared, as columns over one table of cases."""
    pairs, clusters = _Numbers(), _Numbers()
    columns = tuple(_run_columns((row for row in rows if row.split == split), pairs, clusters) for rows in runs)
    keys: list[tuple[str, str]] = list(pairs.index)  # type: ignore[arg-type]
    names = _Numbers()
    capability = names.of(name for name, _ in keys)
    table = CaseTable(
        capabilities=tuple(names.index),  # type: ignore[arg-type]
        capability=capability,
        ids=NameList([case_id for _, case_id in keys]),
        clusters=NameList(list(clusters.index)),  # type: ignore[arg-type]
    )
    return table, columns


def _run_columns(rows: Iterable[ScoreRow], pairs: _Numbers, clusters: _Numbers) -> ScoreColumns:
    """A run's rows, a stretch at a time: a hundred thousand of them as objects would be the peak of a run's memory."""
    reasons, rest = _Numbers(), iter(rows)
    parts = [_columns(list(islice(rest, STRETCH)), pairs, clusters, reasons)]
    while stretch := list(islice(rest, STRETCH)):
        parts.append(_columns(stretch, pairs, clusters, reasons))
    if len(parts) == 1:
        return parts[0]
    arrays = ("case", "sample", "status", "value", "passed", "must_pass", "cluster", "reason")
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in arrays}
    return ScoreColumns(**joined, reasons=parts[-1].reasons)


def _columns(rows: Sequence[ScoreRow], pairs: _Numbers, clusters: _Numbers, reasons: _Numbers) -> ScoreColumns:
    """Columns first, then arithmetic on whole columns: a million rows must not take a million turns of slow Python."""
    position = {status: i for i, status in enumerate(STATUSES)}
    cluster = np.full(len(rows), -1, dtype=np.int64)
    if any(row.cluster is not None for row in rows):
        has = np.array([row.cluster is not None for row in rows], dtype=bool)
        cluster[has] = clusters.of(row.cluster for row in rows if row.cluster is not None)
    return ScoreColumns(
        case=pairs.of((row.capability, row.case_id) for row in rows),
        sample=np.array([row.sample for row in rows], dtype=np.int64),
        status=np.array([position[row.status] for row in rows], dtype=np.int64),
        value=_values(rows),
        passed=np.array([row.passed for row in rows], dtype=float),
        must_pass=np.array([row.must_pass for row in rows], dtype=bool),
        cluster=cluster,
        reason=reasons.of(row.reason or "" for row in rows),
        reasons=[str(reason) for reason in reasons.index],
    )


def _values(rows: Sequence[ScoreRow]) -> NDArray[np.float64]:
    """Scores as numbers, NaN where there is none."""
    values = [row.value for row in rows]
    if any(issubclass(kind, str | bytes) for kind in set(map(type, values))):
        row = next(row for row in rows if isinstance(row.value, str | bytes))
        raise DataError(f"the score {row.value!r} of case {row.case_id} is not a number", todo="Give a number in [0, 1]")
    empty = (row for row in rows if row.value is None and row.status is ItemStatus.SCORED)
    if odd := next(empty, None):
        raise DataError(
            f"case {odd.case_id} of {odd.capability!r} is scored None", todo="A case without a score is unscored, with a reason"
        )
    return np.array(values, dtype=float)
