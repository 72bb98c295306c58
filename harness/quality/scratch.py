"""What grows with the rows, kept off the heap: tables in a temporary SQLite database that is on disk beyond some tens of MB.

SQLite makes the file only when a table outgrows its cache, unlinks it at once (nothing is left behind, whatever happens) and puts
it where SQLITE_TMPDIR or TMPDIR say, else in /var/tmp. So memory is the cache, however many rows there are.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

from harness.errors import UsageError

_MB = 1024  # SQLite counts a cache in KiB


class Scratch:
    """A temporary database. tables: ``create table`` statements. cache: of how many MB, at most, it makes use in memory.

    UsageError where the disk has no room for it.
    """

    def __init__(self, *tables: str, cache: int = 48) -> None:
        # Used by one thread at a time, but whichever thread drops the last reference closes it.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._database.close)
        # Nobody reads it after a crash, so nothing is journalled or flushed, and one transaction lasts to the end.
        for pragma in ("page_size = 16384", "journal_mode = off", "synchronous = off", f"cache_size = -{cache * _MB}"):
            self._database.execute(f"pragma {pragma}")
        for table in ("begin", *tables):
            self._database.execute(table)

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._database.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            _tell(error)
            raise

    def insert(self, statement: str, values: Sequence[Any]) -> bool:
        """Whether the row went in; ``insert or ignore`` may leave it out."""
        try:
            return self._database.execute(statement, values).rowcount == 1
        except sqlite3.OperationalError as error:
            _tell(error)
            raise

    def insert_all(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        try:
            self._database.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            _tell(error)
            raise


class KeyTable:
    """Keys with two numbers each (signed, of 64 bits): a dict of any length. 20 bytes and the key on disk, 7 to 10 µs a call."""

    def __init__(self, cache: int = 32) -> None:
        self._scratch = Scratch("create table keys (key primary key, place integer, mark integer) without rowid", cache=cache)

    def first(self, key: int | bytes, place: int, mark: int = 0) -> tuple[int, int] | None:
        """Remember a key that is new: None. Of one that is not, the (place, mark) it came with; it stays as it is."""
        if self._scratch.insert("insert or ignore into keys values (?, ?, ?)", (key, place, mark)):
            return None
        return self.get(key)

    def put(self, key: int | bytes, place: int, mark: int = 0) -> None:
        """Remember it whatever was there before."""
        self._scratch.insert("insert or replace into keys values (?, ?, ?)", (key, place, mark))

    def get(self, key: int | bytes) -> tuple[int, int] | None:
        found = self._scratch.rows("select place, mark from keys where key = ?", (key,))
        return (found[0][0], found[0][1]) if found else None


class Shelf:
    """Bytes by number, from 0."""

    def __init__(self, cache: int = 8) -> None:
        self._scratch = Scratch("create table shelf (number integer primary key, held blob)", cache=cache)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, held: bytes | memoryview) -> int:
        """The number it gets."""
        self._scratch.insert("insert into shelf values (?, ?)", (self._count, held))
        self._count += 1
        return self._count - 1

    def get(self, number: int) -> bytes:
        ((held,),) = self._scratch.rows("select held from shelf where number = ?", (number,))
        return bytes(held)


def _tell(error: sqlite3.OperationalError) -> None:
    """UsageError where the disk has no room; any other fault is ours."""
    if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        raise UsageError(
            f"the temporary table of the rows seen so far cannot grow: {error}",
            todo="make room where temporary files go (/var/tmp), or name a folder with more: SQLITE_TMPDIR=FOLDER",
        ) from error
