"""The store: where runs, responses, scores and verdicts live. A directory, used by any number of processes at once.

    store.duckdb     the tables
    lock             held while store.duckdb is open
    journal/         what is not in the tables yet, per run
    labels/          the same of what people say, per session (harness.store.labels)
    logs/            for whoever serves models

Why so: DuckDB lets one process write a file, and meanwhile no other can even read it. So nobody keeps it attached. A run appends
to a journal of its own, which needs no lock, survives kill -9 after each record and costs some 20 microseconds a record.
Whoever wants to read takes the lock, folds the journals into the tables, reads and lets go; the same happens at the beginning and
at the end of a run. Folding only then, and not every few seconds, is deliberate: DuckDB rewrites the last, unfinished row group
of each column at every checkpoint, so frequent small folds would cost more than all the rest together, and a run should not stop
to wait for a report. A long read goes in pages with the lock free between them.

Sharing: responses are stored once and found again by request key, so a changed check scores again without generating. An item
points at the very response that was scored: two runs that asked the same question at once keep an answer each.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from harness.errors import StoreError, UsageError
from harness.model import Calibration, Item, ItemStatus, Ledger, Request, Response, RunRecord, ScoreRow, Verdict
from harness.store import database, journal, judged, lock, queries
from harness.store import export as exports
from harness.store.fold import fold as fold_journal
from harness.store.judged import ReplySizes, StoredJudgment
from harness.store.rows import CapabilityMean, Latencies, StoredVerdict, clean, plain, to_json
from harness.store.writer import RunWriter

T = TypeVar("T")

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_JUDGMENT_PAGE = 2_000


class Store:
    """See the module. All methods may be called from several threads; each waits for the lock for up to timeout_s seconds.

    notes: what was found damaged and left out while reading (a line that a crash cut short), for people.
    """

    def __init__(self, path: Path, timeout_s: float, notify: lock.Notify | None) -> None:
        self.path = path
        self.notes: list[str] = []
        self._timeout_s, self._notify = timeout_s, notify
        self._mutex = threading.Lock()
        self._database = database.Database(path / "store.duckdb")

    @classmethod
    def open(
        cls, path: str | Path = ".harness", *, create: bool = True, timeout_s: float = 60.0, notify: lock.Notify | None = None
    ) -> Store:
        """The store in a directory, made when it is not there and create is True.

        notify: called with a sentence when another process makes us wait (default: a log warning). Raises StoreError when it is
        no store, damaged, of a newer version, held for too long, or not writable.
        """
        folder = Path(path).resolve()
        _prepare(folder, create)
        store = cls(folder, timeout_s, notify)
        store._with(lambda _: None, fold=False)  # finds what is wrong with it now and not in the middle of a run
        return store

    @property
    def logs(self) -> Path:
        """Where logs of servers belong."""
        return self.path / "logs"

    def close(self) -> None:
        """End DuckDB, which is idle between calls; a later call starts it again."""
        with self._mutex:
            self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _with(self, work: Callable[[database.Connection], T], *, fold: bool = True) -> T:
        """Use the database, under the lock, with the journals folded in first. work may be called twice (NeedsMemory)."""
        with self._mutex, lock.held(self.path / "lock", self._timeout_s, self._notify):
            try:
                return self._once(work, fold)
            except database.NeedsMemory:
                if self._database.roomy:
                    raise
                self._database.give_room()
                return self._once(work, fold)

    def _once(self, work: Callable[[database.Connection], T], fold: bool) -> T:
        with self._database.opened() as connection:
            if fold:
                self._fold(connection)
            return work(connection)

    def _fold(self, connection: database.Connection) -> None:
        try:
            self.notes += fold_journal(connection, self.path / "journal")
        except OSError as error:
            raise journal.system_error(error, self.path) from error

    # -- writing ------------------------------------------------------------------------------------------------------------

    def begin_run(self, record: RunRecord, suite_source: str, suite: Mapping[str, Any], requests: Iterable[Request]) -> RunWriter:
        """Begin a run, or go on with the one of the same id: what it has stays, items new in the plan are added.

        record.status, finished_at and ledger are the store's own to fill in. suite_source: the YAML as written (variables
        unresolved: secrets stay out). suite: the same as JSON-able values. requests: the whole plan, every (case, sample), in
        order; it may be a generator. Raises StoreError while another process writes this run.
        """
        if not _RUN_ID.fullmatch(record.id):
            raise UsageError(f"{record.id!r} is no run id", todo="Use letters, digits, - and _, at most 64")
        segment = self._with(lambda _: journal.JournalWriter(self.path / "journal" / record.id))
        writer = RunWriter(record.id, segment, self._with)
        try:
            writer.plan(record, clean(suite_source), suite, requests)
            self._with(lambda _: None)  # folds the plan
        except BaseException:
            writer.close()
            raise
        return writer

    def save_verdict(self, run_id: str, baseline_run_id: str | None, verdict: Verdict) -> None:
        """Store a verdict with its evidence; an earlier one on the same two runs is replaced."""
        self._with(lambda connection: _save_verdict(connection, [run_id, baseline_run_id], verdict))

    def promote(self, run_id: str) -> RunRecord:
        """Make a run its suite's baseline from now on."""

        def work(connection: database.Connection) -> RunRecord:
            record = self._known(connection, run_id)
            connection.execute("INSERT INTO promotions VALUES (?, ?, ?)", [record.suite_name, record.id, time.time()])
            return self._known(connection, run_id)

        return self._with(work)

    # -- reading ------------------------------------------------------------------------------------------------------------

    def runs(self, suite: str | None = None) -> list[RunRecord]:
        """All runs (of the suite with this name), the newest first. One whose process died unfinished reads as interrupted."""
        return self._with(lambda connection: self._records(connection, queries.run_ids(connection, suite)))

    def run(self, reference: str, suite: str | None = None) -> RunRecord:
        """The run with this id, or the only one whose id begins so, or ``latest``. Raises UsageError naming what there is."""

        def work(connection: database.Connection) -> RunRecord:
            ids = queries.run_ids(connection, suite)
            if reference == "latest":
                matches = ids[:1]
            else:
                matches = [i for i in ids if i == reference] or [i for i in ids if reference and i.startswith(reference)]
            if len(matches) != 1:
                raise _no_such_run(reference, matches, ids)
            return self._known(connection, matches[0])

        return self._with(work)

    def promoted(self, suite: str) -> RunRecord | None:
        """The baseline of the suite with this name, if one was promoted."""

        def work(connection: database.Connection) -> RunRecord | None:
            run_id = queries.promoted_id(connection, suite)
            return None if run_id is None else self._known(connection, run_id)

        return self._with(work)

    def items(
        self,
        run_id: str,
        *,
        case_ids: Sequence[str] | None = None,
        capability: str | None = None,
        status: ItemStatus | None = None,
    ) -> Iterator[Item]:
        """Items with prompt, response and score in the plan's order; memory stays flat, and the lock is free between pages."""
        wanted = (None if case_ids is None else list(case_ids), capability, None if status is None else str(status))
        for page in self._with(lambda connection: queries.item_pages(connection, run_id, *wanted)):
            yield from self._with(functools.partial(queries.items, run_id=run_id, seqs=page), fold=False)

    def score_rows(self, run_id: str) -> Iterator[ScoreRow]:
        """Every planned item in its light form, in the plan's order."""
        for first, last in self._with(lambda connection: queries.stretches(connection, run_id)):
            yield from self._with(functools.partial(queries.score_rows, run_id=run_id, first=first, last=last), fold=False)

    def ledger(self, run_id: str, capability: str | None = None) -> Ledger:
        """The closed denominator of a run, or of one capability of it, as of now."""
        return self._with(lambda connection: queries.ledger_of(connection, run_id, capability))

    def answered(self, keys: Sequence[str]) -> set[str]:
        """Those of these request keys that need not be asked again. Ask in batches of a thousand or so."""
        return self._with(lambda connection: queries.answered_keys(connection, keys))

    def responses(self, keys: Sequence[str]) -> dict[str, Response]:
        """The latest successful response to each of these request keys, of whatever run. Ask in batches of a thousand or so."""
        return self._with(lambda connection: queries.cached_responses(connection, keys))

    def latencies(self, run_id: str) -> Latencies:
        """Timings and tokens of a run's successful responses."""
        return self._with(lambda connection: queries.latencies(connection, run_id))

    def verdict(self, run_id: str, baseline_run_id: str | None = None) -> StoredVerdict | None:
        """The latest verdict on a run (against this baseline, when one is named)."""
        return self._with(lambda connection: queries.verdict_of(connection, run_id, baseline_run_id))

    def noise(self, suite: str) -> StoredVerdict | None:
        """The latest A/A comparison of the suite with this name, if one was made."""
        return self._with(lambda connection: queries.noise_of(connection, suite))

    def capability_means(self, run_ids: Sequence[str]) -> list[CapabilityMean]:
        """What each capability of these runs scored on the gate split, computed by one query."""
        return self._with(lambda connection: queries.capability_means(connection, run_ids))

    def case_metadata(self, run_id: str) -> dict[tuple[str, str], Mapping[str, Any]]:
        """(capability, case id) -> metadata, of a run's gate cases that have any."""
        rows = self._with(lambda connection: queries.case_metadata(connection, run_id))
        return {(capability, case_id): json.loads(text) for capability, case_id, text in rows}

    def judgments(self, run_id: str, judge: str | None = None) -> Iterator[StoredJudgment]:
        """What judges (or one of them) said of a run's answers, in the plan's order; memory stays flat."""
        for first, last in self._with(lambda connection: queries.stretches(connection, run_id, _JUDGMENT_PAGE)):
            page = functools.partial(judged.judgments, run_id=run_id, judge=judge, first=first, last=last)
            yield from self._with(page, fold=False)

    def replies(self, keys: Sequence[str], *, fold: bool = False) -> dict[str, Response]:
        """Stored replies of judge models to these requests. Ask in batches of a thousand or so. fold: look into journals, too."""
        return self._with(lambda connection: judged.replies(connection, keys), fold=fold)

    def reply_keys(self, model_digests: Sequence[str]) -> list[str]:
        """Keys of the requests to these judge models that need not be sent again."""
        return self._with(lambda connection: judged.reply_keys(connection, model_digests))

    def reply_sizes(self, model_digest: str) -> ReplySizes | None:
        """Mean tokens of what this judge model was asked so far; None when it was not."""
        return self._with(lambda connection: judged.reply_sizes(connection, model_digest))

    def answers(self, run_id: str, asked: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Response]:
        """A run's answers to these (case id, sample), where it has them. Ask in batches of a thousand or so."""
        return self._with(lambda connection: judged.answers(connection, run_id, asked), fold=False)

    def save_calibration(self, calibration: Calibration) -> None:
        """Store how well a judge agrees with people; an earlier one of the same judge, digest and capability is replaced."""
        self._with(lambda connection: judged.save_calibration(connection, calibration))

    def calibrations(self, judge_digests: Sequence[str]) -> list[Calibration]:
        """What is stored of judges with these digests, the latest first."""
        return self._with(lambda connection: judged.calibrations(connection, judge_digests))

    def suite(self, suite_hash: str) -> tuple[str, str] | None:
        """The YAML a suite was read from and its JSON, by the suite's hash."""
        return self._with(lambda connection: queries.suite_of(connection, suite_hash))

    def export(self, run_id: str, kind: str, path: str | Path, form: str) -> int:
        """Write a run to a file (harness.store.export says which kinds and formats); returns the number of rows."""
        target = Path(path).resolve()
        return self._with(lambda c: exports.export(c, self._known(c, run_id).id, kind, target, form))

    def _known(self, connection: database.Connection, run_id: str) -> RunRecord:
        found = self._records(connection, [run_id])
        if not found:
            raise _no_such_run(run_id, [], queries.run_ids(connection))
        return found[0]

    def _records(self, connection: database.Connection, ids: Sequence[str]) -> list[RunRecord]:
        found = queries.run_records(connection, ids)
        dead = {r.id for r in found if r.status == "running" and not journal.is_live(self.path / "journal" / r.id)}
        return [dataclasses.replace(r, status="interrupted") if r.id in dead else r for r in found]


def _save_verdict(connection: database.Connection, pair: list[str | None], verdict: Verdict) -> None:
    with database.transaction(connection):
        for table in ("verdicts", "comparisons"):
            which = "run_id = ? AND baseline_run_id IS NOT DISTINCT FROM ?"
            connection.execute(f"DELETE FROM {table} WHERE {which}", pair)  # noqa: S608 - our own table names
        content = to_json(plain(verdict))
        connection.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?)", [*pair, str(verdict.outcome), content, time.time()])
        for row in verdict.comparisons:
            p = row.paired
            numbers = [row.margin, row.candidate_mean, row.baseline_mean]
            numbers += [p.delta, p.low, p.high] if p else [None, None, None]
            claims = to_json([str(claim) for claim in row.claims])
            connection.execute(
                "INSERT INTO comparisons VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [*pair, clean(row.capability), str(row.role), *numbers, row.n_paired, p.method if p else None, claims],
            )


def _prepare(folder: Path, create: bool) -> None:
    """Make the directory a store's, or say why it cannot be one."""
    try:
        if folder.exists() and not folder.is_dir():
            raise StoreError("this is a file, a store is a directory", where=str(folder), todo="Name a directory")
        if not (folder / "lock").exists():
            if not create:
                raise StoreError("there is no store here", where=str(folder), todo="Run a suite first, or name another directory")
            if folder.exists() and any(folder.iterdir()):
                raise StoreError("this directory holds other files", where=str(folder), todo="Name an empty or new directory")
        (folder / "journal").mkdir(parents=True, exist_ok=True)
        (folder / "logs").mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise journal.system_error(error, folder) from None


def _no_such_run(reference: str, matches: Sequence[str], ids: Sequence[str]) -> UsageError:
    if matches:
        return UsageError(f"{reference!r} fits {len(matches)} runs", todo=f"Say which: {', '.join(matches[:8])}")
    if not ids:
        return UsageError(f"there is no run {reference!r}: the store has none (of this suite) yet", todo="Run a suite first")
    near = difflib.get_close_matches(reference, ids, n=3, cutoff=0.4) or list(ids[:3])
    return UsageError(f"there is no run {reference!r}", todo=f"Nearest: {', '.join(near)}; `harness runs` lists all")
