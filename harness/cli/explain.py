"""``harness explain``: a stored verdict made again from the store alone, opened down to the answers it rests on."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import open_store, store_option

DIFFERS = 4


@click.command("explain")
@click.argument("run", default="latest")
@click.option("--baseline", help="Against this run, if the verdict on several is stored.")
@click.option("--case", "case_id", help="Open one case (an id or its beginning): prompt, answers, checks.")
@click.option(
    "--what-if",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="Decide again with this changed (repeatable): margin=0.03, CAPABILITY.margin=0.03, CAPABILITY.role=advisory, "
    "alpha=0.01, targets=any, any key of the gate. Never stored.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@store_option
def command(run: str, baseline: str | None, case_id: str | None, changes: tuple[str, ...], as_json: bool, store_dir: Path) -> int:
    """Say how the verdict on RUN (an id, its beginning, or `latest`) comes about, computing it again from the store alone.

    Exit code 0 when the same verdict comes out as is stored, 4 when another does (then it says what differs). With --what-if
    always 0: what comes out after looking is no verdict.
    """
    from harness.cli import explaining

    with open_store(store_dir) as store:
        found = explaining.explain(store, run, baseline, case_id, changes)
    click.echo(found.as_json() if as_json else found.text())
    return DIFFERS if found.differences else 0
