"""What a run writes through: every record goes to the run's journal and is safe as soon as the call returns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeVar

from harness.model import Judgment, Request, Response, RunRecord, Score
from harness.store import judged, queries
from harness.store.database import Connection
from harness.store.journal import JournalWriter
from harness.store.rows import plain, plan_line, response_line, score_line, skip_line, to_json

T = TypeVar("T")

CHECKS = "checks"  # the scorer whose scores an item's status is made of


class Use(Protocol):
    """Store._with: does something with the database, under the lock."""

    def __call__(self, work: Callable[[Connection], T], *, fold: bool = True) -> T: ...


class RunWriter:
    """One run being written, by one process at a time. Made by Store.begin_run.

    add_*, skip and flush never wait for the store's lock, so an event loop may call them; cached, done and finish do, so hand
    them to a thread there (all methods may be called from any thread). Leaving the ``with`` block gives the run free without
    ending it: it reads as interrupted until someone goes on with it.
    """

    def __init__(self, run_id: str, journal: JournalWriter, use: Use) -> None:
        self.run_id = run_id
        self._journal, self._with = journal, use

    def plan(self, record: RunRecord, source: str, content: Mapping[str, Any], requests: Iterable[Request]) -> None:
        """Write the plan, and behind it the run's own record: a run whose planning was cut short never becomes visible."""
        last_case = None
        for seq, request in enumerate(requests):
            self._journal.append(plan_line(seq, request, with_case=request.case is not last_case))
            last_case = request.case
        suite = {"source": source, "content": to_json(plain(content))}
        self._journal.append(to_json({"t": "b", "run": plain(record), "suite": suite}))

    def cached(self, keys: Sequence[str], *, fold: bool = False) -> dict[str, Response]:
        """The successful responses already stored for these request keys. Ask in batches of a thousand or so. fold: those, too,
        that came in since the store was last folded."""
        return self._with(lambda connection: queries.cached_responses(connection, keys), fold=fold)

    def done(self, scorer_digest: str) -> set[tuple[str, int]]:
        """The (case id, sample) that need nothing more: a response is there, and this scorer has judged it (or said why it
        cannot; but a judge that could not be reached is asked again)."""
        return self._with(lambda connection: queries.done(connection, self.run_id, scorer_digest))

    def add_response(self, request: Request, response: Response, *, cached: bool = False) -> None:
        """Store a response or a failure. cached: it came from ``cached``."""
        self._journal.append(response_line(request, response, cached=cached))

    def add_score(self, request: Request, response: Response, score: Score, scorer_digest: str, *, scorer: str = CHECKS) -> None:
        """Store the score of a response. scorer_digest: of the checks and their settings, so that a changed check scores anew."""
        self._journal.append(score_line(request, response.key, score, scorer, scorer_digest))

    def add_reply(self, about: Request, request: Request, reply: Response) -> None:
        """Store a judge model's reply (or its failure) to ``request``, asked while judging the answer to ``about``."""
        self._journal.append(judged.reply_line(about, request, reply))

    def add_judgment(
        self, about: Request, judgment: Judgment, asked: judged.Asked, *, baseline_run_id: str | None = None
    ) -> None:
        """Store what a judge made of the answer to ``about``. baseline_run_id: where the other answer came from."""
        self._journal.append(judged.judgment_line(about, judgment, asked, baseline_run_id))

    def skip(self, request: Request, reason: str) -> None:
        """Store that an item will not be asked in this run, and why; a response stored before stays."""
        self._journal.append(skip_line(request, reason))

    def flush(self) -> None:
        """Bring everything written so far to the disk itself (against power cuts; a kill loses nothing anyway)."""
        self._journal.flush()

    def finish(self, status: str, provenance: Mapping[str, Any] | None = None) -> None:
        """End the run as complete, interrupted or partial, and bring it into the tables.

        provenance replaces what begin_run had.
        """
        given = None if provenance is None else plain(provenance)
        try:
            self._journal.append(to_json({"t": "f", "status": status, "finished_at": time.time(), "provenance": given}))
        finally:
            self._journal.close()
        self._with(lambda _: None)  # folds the journal

    def close(self) -> None:
        """Give the run free without ending it."""
        self._journal.close()

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
