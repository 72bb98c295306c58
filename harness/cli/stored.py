"""What several commands read of a suite's stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.model import RunRecord
    from harness.store import Store

MOST = 30  # runs whose score rows are read


def named(store: Store, reference: str) -> tuple[RunRecord, list[RunRecord]]:
    """A suite's name, or a run (its id, the id's beginning, `latest`) -> the run to start from, and all runs of its suite.

    Of a suite it is the latest complete run. UsageError when there is neither.
    """
    runs = store.runs(reference)
    if runs:
        complete = [run for run in runs if run.status == "complete"]
        if not complete:
            raise UsageError(f"the suite {reference!r} has no complete run yet", todo="Run it to its end first")
        return complete[0], runs
    run = store.run(reference)
    return run, store.runs(run.suite_name)


def comparable(run: RunRecord, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The run, then the latest complete runs that the same checks scored; A/A runs among them."""
    same = [r for r in runs if r.status == "complete" and r.provenance.get("checks") == run.provenance.get("checks")]
    return [run, *(r for r in same if r.id != run.id)][:MOST]
