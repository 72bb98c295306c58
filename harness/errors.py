"""A small tree of errors for people: what is wrong, where, and what to do about it.

Everything a user can cause or meet is one of these and is printed as one line (or one line per fault). Any other exception that
reaches the command line is a bug and shows its traceback. Exit codes follow the table in the README: 3 for what the user can
mend, 4 for infrastructure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HarnessError(Exception):
    """Base of every error that a person is meant to read.

    what: what is wrong, one sentence without the final full stop. where: ``file:line``, a command, a run, an address.
    todo: what to do about it, imperative. The message reads ``where: what. todo.``
    """

    exit_code = 3

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(self.line())

    def line(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}. {self.todo}" if self.todo else head


class UsageError(HarnessError):
    """The command line or a call was wrong."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a file: ``where`` is ``file:line``."""

    where: str
    what: str
    todo: str = ""

    def line(self) -> str:
        return f"{self.where}: {self.what}" + (f" ({self.todo})" if self.todo else "")


class SuiteError(HarnessError):
    """A suite, recipe or case file is wrong; carries every fault found, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        first = self.faults[0] if self.faults else Fault("", "invalid file")
        super().__init__(first.what, where=first.where, todo=first.todo)

    def line(self) -> str:
        return "\n".join(fault.line() for fault in self.faults) or "invalid file"


class DataError(HarnessError):
    """Scores, rows or files that cannot be used as they are (mismatched cases, NaN, out of range, unreadable)."""


class StoreError(HarnessError):
    """The store cannot be used: newer version, not a store, damaged, locked for too long, disk full."""


class BusyError(StoreError):
    """Another process is writing this very run; it ends, and then the run can be gone on with."""


class ServeError(HarnessError):
    """A model server did not start, died, or is not what it should be; says the cause its log gives."""

    exit_code = 4


class RequestFailed(HarnessError):
    """A request to a model server failed for good. It is recorded as an errored item, and seldom reaches a user."""

    exit_code = 4


class IncompleteError(HarnessError):
    """The run ended before its plan was done (interrupted, server gone); what was done is stored, running again goes on."""

    exit_code = 4


class TrainingError(HarnessError):
    """Training cannot work as asked: empty data, NaN loss, adapter that does not fit its base."""
