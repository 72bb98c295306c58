"""Trainings in the store: what was trained, of which data, and which cases its rows come of.

weights -> training -> files by digest -> rows -> cases and the runs that asked them
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UsageError
from harness.model import Case, Split
from harness.store.database import Connection, transaction
from harness.store.rows import case_from, clean, plain, to_json
from harness.store.store import Store

_COLUMNS = "id, stage, base, output, weights, status, recipe, data, metrics, history, provenance, started_at, finished_at"


@dataclass(frozen=True, slots=True)
class TrainedFile:
    """A file of training rows. sha256: hex digits over its bytes. rows: taken from it."""

    path: str
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class SavedCheckpoint:
    """weights: its candidate digest, None where it cannot be served. best: the lowest eval_loss."""

    step: int
    path: str
    weights: str | None
    eval_loss: float | None
    best: bool = False


@dataclass(frozen=True, slots=True)
class TrainedRow:
    """Where a training row comes from. file: position in Training.data. What is not known is None."""

    file: int
    line: int
    pair_id: str | None = None
    case_id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Training:
    """One training run. weights: candidate digest of what came out, None when nothing did. status: complete or failed.

    recipe: every argument. history: the trainer's log. Times are seconds since the epoch.
    """

    id: str
    stage: str
    base: str
    output: str
    weights: str | None
    status: str
    recipe: Mapping[str, Any]
    data: tuple[TrainedFile, ...]
    metrics: Mapping[str, float]
    history: tuple[Mapping[str, float], ...]
    provenance: Mapping[str, Any]
    started_at: float
    finished_at: float
    checkpoints: tuple[SavedCheckpoint, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CaseOrigin:
    """A case that training rows come of, how many, and the runs that asked it."""

    case_id: str
    rows: int
    runs: tuple[str, ...]


def save_training(store: Store, training: Training, rows: Sequence[TrainedRow] = ()) -> None:
    """Store a training with its checkpoints and the origins of its rows; one of the same id is replaced."""
    store._with(lambda connection: _save(connection, training, rows))


def trainings(store: Store) -> list[Training]:
    """All of them, the newest first."""
    return store._with(lambda connection: _read(connection, "true", {}))


def training(store: Store, reference: str) -> Training:
    """The one with this id, the only one whose id begins so, or ``latest``. Raises UsageError naming what there is."""
    known = trainings(store)
    if reference == "latest" and known:
        return known[0]
    found = [t for t in known if t.id == reference] or [t for t in known if reference and t.id.startswith(reference)]
    if len(found) != 1:
        listed = ", ".join(t.id for t in known[:8]) or "none yet"
        what = f"{reference!r} fits {len(found)} trainings" if found else f"there is no training {reference!r}"
        raise UsageError(what, where=str(store.path), todo=f"Trainings are: {listed}")
    return found[0]


def trained(store: Store, weights: str) -> tuple[Training, int | None] | None:
    """The latest training these weights (a candidate's digest) came of, and the step if they are one of its checkpoints."""

    def work(connection: Connection) -> tuple[Training, int | None] | None:
        found = _read(connection, "weights = $weights", {"weights": weights})
        if found:
            return found[0], None
        steps = connection.execute(
            "SELECT training_id, step FROM training_checkpoints WHERE weights = $weights ORDER BY rowid DESC",
            {"weights": weights},
        ).fetchone()
        if steps is None:
            return None
        of = _read(connection, "id = $id", {"id": steps[0]})
        return (of[0], int(steps[1])) if of else None

    return store._with(work)


def cases_of(store: Store, training_id: str) -> list[CaseOrigin]:
    """The cases a training's rows come of, most rows first; empty where no row said."""
    rows = store._with(
        lambda connection: connection.execute(
            """SELECT case_id, count(*), list_sort(list(DISTINCT run_id) FILTER (run_id IS NOT NULL)) FROM training_rows
               WHERE training_id = ? AND case_id IS NOT NULL GROUP BY case_id ORDER BY count(*) DESC, case_id""",
            [training_id],
        ).fetchall()
    )
    return [CaseOrigin(case_id, count, tuple(runs or ())) for case_id, count, runs in rows]


def rows_of(store: Store, training_id: str) -> list[TrainedRow]:
    """Every row that said where it comes from, in the order of the files: from an adapter back to the case of each pair."""
    rows = store._with(
        lambda connection: connection.execute(
            """SELECT file, line, pair_id, case_id, run_id FROM training_rows WHERE training_id = ? ORDER BY file, line""",
            [training_id],
        ).fetchall()
    )
    return [TrainedRow(*row) for row in rows]


def gate_cases(store: Store) -> list[Case]:
    """Every case of a gate split that any stored run planned: what training data must not hold."""
    rows = store._with(
        lambda connection: connection.execute(
            """SELECT DISTINCT c.id, c.capability, c.vars, c.reference, c.metadata, i.source
               FROM items i JOIN cases c ON c.digest = i.case_digest WHERE i.split = 'gate' ORDER BY c.capability, c.id"""
        ).fetchall()
    )
    return [case_from(row[0], row[1], row[2:5], split=Split.GATE, source=row[5] or "") for row in rows]


def _save(connection: Connection, made: Training, rows: Iterable[TrainedRow]) -> None:
    values = [made.id, made.stage, clean(made.base), clean(made.output), made.weights, made.status]
    values += [to_json(plain(part)) for part in (made.recipe, made.data, made.metrics, made.history, made.provenance)]
    points = [[made.id, c.step, clean(c.path), c.weights, c.eval_loss, c.best] for c in made.checkpoints]
    lines = [to_json(plain(row)) for row in rows]
    with transaction(connection):
        for table, key in (("trainings", "id"), ("training_checkpoints", "training_id"), ("training_rows", "training_id")):
            connection.execute(f"DELETE FROM {table} WHERE {key} = ?", [made.id])  # noqa: S608 - our own table names
        connection.execute(
            f"INSERT INTO trainings ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            [*values, made.started_at, made.finished_at],
        )
        for point in points:
            connection.execute("INSERT INTO training_checkpoints VALUES (?, ?, ?, ?, ?, ?)", point)
        for start in range(0, len(lines), 50_000):
            connection.execute(
                """INSERT INTO training_rows
                   SELECT $id, (r->>'file')::INTEGER, (r->>'line')::BIGINT, r->>'pair_id', r->>'case_id', r->>'run_id'
                   FROM (SELECT unnest($rows::VARCHAR[])::JSON AS r)""",
                {"id": made.id, "rows": lines[start : start + 50_000]},
            )


def _read(connection: Connection, where: str, values: Mapping[str, Any]) -> list[Training]:
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM trainings WHERE {where} ORDER BY started_at DESC, rowid DESC",  # noqa: S608 - our own conditions
        dict(values),
    ).fetchall()
    points = connection.execute(
        """SELECT training_id, step, path, weights, eval_loss, best FROM training_checkpoints
           WHERE training_id IN (SELECT unnest($ids::VARCHAR[])) ORDER BY step""",
        {"ids": [row[0] for row in rows]},
    ).fetchall()
    return [_training(row, [SavedCheckpoint(*point[1:]) for point in points if point[0] == row[0]]) for row in rows]


def _training(row: tuple[Any, ...], checkpoints: list[SavedCheckpoint]) -> Training:
    recipe, data, metrics, history, provenance = (json.loads(text) for text in row[6:11])
    return Training(
        id=row[0],
        stage=row[1],
        base=row[2],
        output=row[3],
        weights=row[4],
        status=row[5],
        recipe=recipe,
        data=tuple(TrainedFile(**file) for file in data),
        metrics=metrics,
        history=tuple(history),
        provenance=provenance,
        started_at=row[11],
        finished_at=row[12],
        checkpoints=tuple(checkpoints),
    )
