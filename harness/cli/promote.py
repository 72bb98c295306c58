"""``harness promote``: the run that the next candidates are measured against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.model import Verdict


@click.command("promote")
@click.argument("run")
@click.option("--force", is_flag=True, help="Promote a run that is incomplete or was not shipped.")
@store_option
def command(run: str, force: bool, store_dir: Path) -> None:
    """Make RUN (an id, its beginning, or `latest`) the baseline of its suite: suites that say `baseline: promoted` use it.

    Refused without --force: an incomplete run, and one whose verdict is not SHIP, unless all it lacked was a baseline.
    """
    from harness.errors import UsageError
    from harness.model import Outcome

    with open_store(store_dir) as store:
        record = store.run(run)
        stored = store.verdict(record.id)
        if record.status != "complete" and not force:
            raise UsageError(f"run {record.id} is {record.status}", todo="run it to its end, or give --force")
        if stored and stored.verdict.outcome is not Outcome.SHIP and not _lacks_only_a_baseline(stored.verdict) and not force:
            raise UsageError(
                f"the verdict on run {record.id} is {stored.verdict.outcome}", todo="give --force to promote it all the same"
            )
        store.promote(record.id)
    click.echo(f"run {record.id} ({record.candidate.name}) is now the baseline of {record.suite_name}")


def _lacks_only_a_baseline(verdict: Verdict) -> bool:
    """So it is with a suite's first run: the verdict itself says to promote it."""
    from harness.model import Outcome

    blocking = {reason.code for reason in verdict.reasons if reason.blocks in (Outcome.OPTIMIZE, Outcome.INCONCLUSIVE)}
    return blocking == {"no-baseline"}
