"""``harness promote``: the run that the next candidates are measured against."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import open_store, store_option


@click.command("promote")
@click.argument("run")
@click.option("--force", is_flag=True, help="Promote a run that is incomplete or was not shipped.")
@store_option
def command(run: str, force: bool, store_dir: Path) -> None:
    """Make RUN (an id, its beginning, or `latest`) the baseline of its suite: suites that say `baseline: promoted` use it."""
    from harness.errors import UsageError
    from harness.model import Outcome

    with open_store(store_dir) as store:
        record = store.run(run)
        stored = store.verdict(record.id)
        if record.status != "complete" and not force:
            raise UsageError(f"run {record.id} is {record.status}", todo="run it to its end, or give --force")
        if stored and stored.verdict.outcome is not Outcome.SHIP and not force:
            raise UsageError(
                f"the verdict on run {record.id} is {stored.verdict.outcome}", todo="give --force to promote it all the same"
            )
        store.promote(record.id)
    click.echo(f"run {record.id} ({record.candidate.name}) is now the baseline of {record.suite_name}")
