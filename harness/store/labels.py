"""What people say of cases, kept as safely as what models say: in a journal until somebody reads, then in the tables.

    labels/<session>/    one folder for each process that labels, made like a run's journal (harness.store.journal)

A label is on the disk itself when ``add`` returns, and no lock of the store is needed for it: people label while a run goes on,
while another process writes, and several of them at once. Whoever reads labels folds these journals into the table first. Folding
twice changes nothing, since a label is known by its id.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TypeVar

from harness.errors import DataError, StoreError
from harness.labels import LabelPlan, Pick, Settled, as_row, from_row, settle
from harness.model import Label
from harness.store import journal
from harness.store.database import Connection, transaction
from harness.store.rows import to_json
from harness.store.store import Store

T = TypeVar("T")

_SHAPE = """{"id":"VARCHAR","run_id":"VARCHAR","baseline_run_id":"VARCHAR","capability":"VARCHAR","case_id":"VARCHAR",
"sample":"INTEGER","split":"VARCHAR","kind":"VARCHAR","rater":"VARCHAR","created_at":"DOUBLE","responses":["VARCHAR"],
"sides":["VARCHAR"],"passed":"BOOLEAN","rating":"INTEGER","preference":"VARCHAR","ranking":[["VARCHAR"]],"marks":["VARCHAR"],
"comment":"VARCHAR","blind":"BOOLEAN","seconds":"DOUBLE","plan":"VARCHAR","probability":"DOUBLE","supersedes":"VARCHAR",
"withdrawn":"BOOLEAN","adjudicates":"BOOLEAN"}"""
_COLUMNS = tuple(json.loads(_SHAPE))
_PICK = """{"position":"BIGINT","capability":"VARCHAR","case_id":"VARCHAR","tier":"VARCHAR","weight":"DOUBLE","draw":"DOUBLE",
"answers":["VARCHAR"]}"""
_PLAN = "id, run_id, baseline_run_id, kind, split, seed, batch, population, created_at, rest_rank"


class LabelWriter:
    """Where one process writes its labels. Made by LabelStore.writer; add may be called from any thread."""

    def __init__(self, segment: journal.JournalWriter) -> None:
        self._journal = segment
        self.folder = segment.folder

    def add(self, label: Label) -> None:
        """Store a label; when this returns, neither a kill nor a power cut loses it."""
        self._journal.append(to_json(as_row(label)))
        self._journal.flush()

    def add_many(self, labels: Iterable[Label]) -> int:
        """Store labels and bring them to the disk together; returns how many."""
        count = 0
        for label in labels:
            self._journal.append(to_json(as_row(label)))
            count += 1
        self._journal.flush()
        return count

    def close(self) -> None:
        self._journal.close()

    def __enter__(self) -> LabelWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class LabelStore:
    """The labels of a store. Like the Store it holds nothing open between calls, and any thread may call it.

    notes: lines that were found damaged and left out.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.notes: list[str] = []
        self._root = store.path / "labels"
        self._seen: dict[str, int] = {}  # segment -> how far this object has folded it already, in bytes

    def writer(self) -> LabelWriter:
        """Begin to label; StoreError when the disk does not let us."""
        folder = self._root / secrets.token_hex(8)
        return LabelWriter(self.store._with(lambda _: journal.JournalWriter(folder), fold=False))

    def labels(self, run_id: str | None = None) -> list[Label]:
        """All labels, with their history, as they came; with run_id those that say something of this run.

        That is: what was labelled in its review, and ratings and rankings of answers that it shares with another run.
        """
        return self._with(lambda connection: _labels(connection, run_id))

    def rated(self, run_id: str) -> list[tuple[int, Settled]]:
        """(sample, what people said) of every answer of a run that was rated, whichever review it was rated in."""

        def work(connection: Connection) -> list[tuple[int, Settled]]:
            found = connection.execute(
                "SELECT capability, case_id, sample, response_id FROM answers JOIN items USING (run_id, case_id, sample, key) "
                "WHERE run_id = ? AND response_id IS NOT NULL",
                [run_id],
            ).fetchall()
            samples = {(capability, case_id, answer): sample for capability, case_id, sample, answer in found}
            rows = []
            for matter in settle(label for label in _labels(connection, run_id) if label.kind == "rate"):
                label = matter.labels[0]
                sample = samples.get((label.capability, label.case_id, label.responses[0]))
                if sample is None and any(run_id in side.split(",") for one in matter.labels for side in one.sides):
                    sample = label.sample  # it gave the same words as the run whose answer was shown
                if sample is not None:
                    rows.append((sample, matter))
            return rows

        return self._with(work)

    def signature(self, mine: LabelWriter) -> object:
        """Changes when somebody else may have labelled: what other processes' journals and the tables look like from outside."""
        files = [path for path in self._root.glob("*/*.jsonl") if path.parent != mine.folder] + [self.store.path / "store.duckdb"]
        found = []
        for path in sorted(files):
            with contextlib.suppress(FileNotFoundError):  # folded this very moment
                state = path.stat()
                found.append((path.parent.name, path.name, state.st_size, state.st_mtime_ns))
        return found

    def plans(self, run_id: str) -> list[LabelPlan]:
        """The plans that people have labelled this run by, oldest first."""
        return self._with(lambda connection: _plans(connection, "run_id = ?", run_id))

    def keep_plan(self, plan: LabelPlan, *, renew: bool = False) -> LabelPlan:
        """Store a plan; the one already stored under its id is kept and returned, unless renew and nobody has labelled by it."""

        def work(connection: Connection) -> LabelPlan:
            known = _plans(connection, "id = ?", plan.id)
            used = connection.execute("SELECT 1 FROM labels WHERE plan = ? LIMIT 1", [plan.id]).fetchone()
            if known and (used or not renew):
                return known[0]
            with transaction(connection):
                for table, key in (("label_plans", "id"), ("label_picks", "plan_id")):
                    connection.execute(f"DELETE FROM {table} WHERE {key} = ?", [plan.id])  # noqa: S608 - our own names
                _insert_plan(connection, plan)
            return plan

        return self._with(work)

    def _with(self, work: Callable[[Connection], T]) -> T:
        def folded(connection: Connection) -> T:
            try:
                self.notes += fold_labels(connection, self._root, self._seen)
            except OSError as error:
                raise journal.system_error(error, self._root) from error
            return work(connection)

        return self.store._with(folded, fold=False)


def fold_labels(connection: Connection, root: journal.Path, seen: dict[str, int]) -> list[str]:
    """Bring the journals of labels into their table; remove those that are complete. Returns what had to be left out.

    A journal that is being written is read as far as it goes, and stays. seen: how far each was folded before, which is kept up
    here; it only saves work. To be called under the store's lock.
    """
    notes: list[str] = []
    for folder in journal.run_folders(root):
        with journal.claim(folder) as free:
            parts = journal.segments(folder)
            for part in parts:
                if part.version > journal.VERSION:
                    raise StoreError(
                        f"the journal is of version {part.version}, this harness reads up to {journal.VERSION}",
                        where=str(part.path),
                        todo="Upgrade the harness, or use another store",
                    )
                ended = free or part is not parts[-1]
                end = seen.get(part.name, 0)
                for lines, behind in journal.read_batches(part.path, end):
                    notes += _fold_lines(connection, lines, part.path.name)
                    seen[part.name] = end = behind
                if ended:
                    if part.path.stat().st_size > end:
                        notes.append(f"{part.path.name}: a last label was cut short by a crash and is left out")
                    part.path.unlink()
            if free:
                journal.remove(folder)
    return notes


def _fold_lines(connection: Connection, lines: Sequence[bytes], name: str) -> list[str]:
    """One batch into the table; name: of the file, for what is told of damaged lines."""
    good, bad = [], 0
    for line in lines:
        try:
            good.append(to_json(as_row(from_row(json.loads(line), where=name))))
        except (ValueError, DataError):
            bad += 1
    if good:
        columns = ", ".join(_COLUMNS)
        with transaction(connection):
            connection.execute(
                f"""INSERT INTO labels ({columns}) SELECT {columns} FROM
                    (SELECT unnest(json_transform(line::JSON, '{_SHAPE}')) FROM (SELECT unnest($1::VARCHAR[]) AS line))
                    ANTI JOIN (SELECT id FROM labels) USING (id)""",  # noqa: S608 - our own constants
                [good],
            )
    return [f"{name}: {bad} damaged labels are left out"] if bad else []


def _labels(connection: Connection, run_id: str | None) -> list[Label]:
    about = """WHERE $run IS NULL OR run_id = $run OR (kind IN ('rate', 'rank') AND (
        list_contains(string_split(array_to_string(sides, ','), ','), $run) OR id IN
        (SELECT id FROM (SELECT id, unnest(responses) AS response_id FROM labels)
         SEMI JOIN (SELECT response_id FROM answers WHERE run_id = $run) USING (response_id))))"""
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM labels {about} ORDER BY created_at, rowid",  # noqa: S608 - our own constants
        {"run": run_id},
    ).fetchall()
    return [from_row(dict(zip(_COLUMNS, row, strict=True)), where="labels") for row in rows]


def _insert_plan(connection: Connection, plan: LabelPlan) -> None:
    head = dataclasses.asdict(dataclasses.replace(plan, picks=()))
    values = [head[name] for name in _PLAN.split(", ")]
    connection.execute(f"INSERT INTO label_plans ({_PLAN}) VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608
    picks = [dataclasses.asdict(pick) | {"position": position} for position, pick in enumerate(plan.picks)]
    connection.execute(
        f"""INSERT INTO label_picks BY NAME SELECT $1 AS plan_id, unnest(json_transform(line::JSON, '{_PICK}'))
            FROM (SELECT unnest($2::VARCHAR[]) AS line)""",  # noqa: S608 - our own constants
        [plan.id, [to_json(pick) for pick in picks]],
    )


def _plans(connection: Connection, where: str, value: str) -> list[LabelPlan]:
    heads = connection.execute(f"SELECT {_PLAN} FROM label_plans WHERE {where} ORDER BY created_at", [value])  # noqa: S608
    found = []
    for row in heads.fetchall():
        picks = connection.execute(
            "SELECT capability, case_id, tier, weight, draw, answers FROM label_picks WHERE plan_id = ? ORDER BY position",
            [row[0]],
        ).fetchall()
        head = dict(zip(_PLAN.split(", "), row, strict=True))
        found.append(LabelPlan(**head, picks=tuple(Pick(c, k, t, w, d, tuple(ids or ())) for c, k, t, w, d, ids in picks)))
    return found
