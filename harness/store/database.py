"""DuckDB, its file opened for a moment: settings, migrations, and its errors turned into StoreErrors.

Starting DuckDB takes some 20 ms of CPU, attaching a file to it 2, and a run looks into its store dozens of times: so the engine
stays, and the file comes and goes.

Lean by default: one thread and 32 MB of buffers keep a run small whatever the size of the store. That fails where texts are
huge: DuckDB works on 2,048 rows at a time and keeps all their texts in memory (100 MB for 50 kB of reasoning each). Then
NeedsMemory is raised and the caller does the same again with DuckDB's own limit (80 % of the memory). No extension is ever
fetched.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from harness.errors import StoreError
from harness.store.journal import disk_full
from harness.store.migrations import Migration, migrations

Connection = duckdb.DuckDBPyConnection

LEAN = "32MB"

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "allocator_bulk_deallocation_flush_threshold": "0MB",  # freed memory goes back to the system at once
    "preserve_insertion_order": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "python_enable_replacements": False,  # else a missing table would be looked for among Python variables
}


class NeedsMemory(StoreError):
    """DuckDB ran out of the memory it was allowed. Nothing was changed, or what was is whole."""


class Database:
    """A DuckDB engine with no data of its own, to which one file is attached while it is in use. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine: Connection | None = None
        self._limit: str | None = LEAN

    @property
    def roomy(self) -> bool:
        """Whether DuckDB's own memory limit holds, and no longer ours."""
        return self._limit is None

    def give_room(self) -> None:
        """From now on with DuckDB's own memory limit."""
        self._limit = None
        self.close()

    def close(self) -> None:
        """End the engine; the next use starts another."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    @contextlib.contextmanager
    def opened(self) -> Iterator[Connection]:
        """The file, up to date; for use under the store's lock. Raises StoreError for whatever is wrong with it."""
        with translated(self._path):
            try:
                connection = self._started().cursor()  # a connection of its own: temporary tables end with it
                connection.execute(f"ATTACH '{_quoted(self._path)}' AS store; USE store")
                migrate(connection, self._path)
                yield connection
                connection.execute("USE memory; DETACH store")
                connection.close()
            except BaseException:
                self.close()  # whatever state it is in: closing rolls back and lets go of the file
                raise

    def _started(self) -> Connection:
        if self._engine is None:
            spill = {"temp_directory": f"{self._path}.tmp"}
            limit = {"memory_limit": self._limit} if self._limit else {}
            self._engine = duckdb.connect(config=SETTINGS | spill | limit)
        return self._engine


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


@contextlib.contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All or nothing."""
    connection.execute("BEGIN")
    try:
        yield
    except BaseException:
        with contextlib.suppress(duckdb.Error):  # the connection may be beyond a rollback; then reopening does it
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


_BEYOND_US = (duckdb.IOException, duckdb.FatalException, duckdb.InternalException, duckdb.SerializationException)


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """DuckDB's errors that a user can meet as StoreErrors. Errors in our own SQL stay what they are: bugs."""
    try:
        yield
    except duckdb.Error as error:
        explained = _explained(error, path)
        if explained is None:
            raise
        raise explained from error


def _explained(error: duckdb.Error, path: Path) -> StoreError | None:
    message = str(error)
    lower = message.lower()
    if "no space left" in lower or "file too large" in lower or "quota exceeded" in lower:
        return disk_full(path)
    if "out of memory" in lower or "failed to pin" in lower or "failed to allocate" in lower:
        return NeedsMemory(
            f"DuckDB ran out of memory: {_first_line(message)}",
            where=str(path),
            todo="Free memory, or space on the store's disk, and try again; nothing is lost",
        )
    if "could not set lock" in lower or "conflicting lock" in lower:
        return StoreError(
            "another program has the database open", where=str(path), todo="Close it (a DuckDB shell?) and try again"
        )
    if "permission denied" in lower or "read-only" in lower:
        return StoreError("the database cannot be written", where=str(path), todo="Check the permissions")
    if "newer version" in lower or "older version" in lower or "storage version" in lower:
        return StoreError(
            f"the file is of another version of DuckDB: {_first_line(message)}",
            where=str(path),
            todo="Upgrade duckdb, or use another store",
        )
    if "corrupt" not in lower and not isinstance(error, _BEYOND_US):
        return None
    return StoreError(
        f"the database is damaged or no database: {_first_line(message)}",
        where=str(path),
        todo="Restore it from a backup, or move it away to start an empty store; runs still in journal/ are kept",
    )


def _first_line(error: object) -> str:
    return (str(error).strip().splitlines() or ["unknown"])[0].rstrip(".!")[:300]


def migrate(connection: Connection, path: Path, steps: Sequence[Migration] | None = None) -> None:
    """Bring the database to the newest version, a transaction for each step. Raises StoreError for a newer or foreign one."""
    steps = migrations() if steps is None else steps
    known, version = max(step.version for step in steps), _version(connection, path)
    if version > known:
        raise StoreError(
            f"the store is of version {version}, this harness knows up to {known}",
            where=str(path),
            todo="Upgrade the harness, or use another store",
        )
    for step in steps:
        if step.version > version:
            with transaction(connection):
                connection.execute("CREATE TABLE IF NOT EXISTS migrations (version INTEGER, name VARCHAR, applied_at DOUBLE)")
                connection.execute(step.sql)
                connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", [step.version, step.name, time.time()])


def _version(connection: Connection, path: Path) -> int:
    try:
        row = connection.execute("SELECT max(version) FROM migrations").fetchone()
        return int(row[0]) if row and row[0] is not None else 0
    except duckdb.CatalogException:  # no such table: a new file, or somebody else's
        pass
    if connection.execute("SELECT 1 FROM duckdb_tables() WHERE NOT temporary LIMIT 1").fetchone():
        raise StoreError("this DuckDB file is no store of the harness", where=str(path), todo="Use another directory")
    return 0
