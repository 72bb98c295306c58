"""``harness runs``: what the store holds, newest first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.model import RunRecord
    from harness.store import Store

_SUITE, _CANDIDATE = 1, 2  # columns
NARROWEST = 9


@click.command("runs")
@click.option("--suite", default=None, help="Only runs of the suite with this name.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
@store_option
def command(suite: str | None, as_json: bool, store_dir: Path) -> None:
    """List the runs in the store: id, suite, candidate, status, denominator, verdict."""
    from harness.cli.layout import fit
    from harness.cli.trained import made_by

    with open_store(store_dir) as store:
        records = store.runs(suite)
        made = made_by(store, {record.candidate.digest for record in records})
        rows = [_row(store, record) | _trained(made, record) for record in records]
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    if not rows:
        click.echo("no runs yet: harness run suite.yaml")
        return
    names = ("run", "suite", "candidate", "started", "status", "scored", "verdict")
    table = [names, *[tuple(str(row[name]) for name in names) for row in rows]]
    widths = _widths(table, shutil.get_terminal_size().columns)
    for line in table:
        click.echo("  ".join(fit(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for name, training in dict.fromkeys((row["candidate"], row["training"]) for row in rows if "training" in row):
        click.echo(f"{fit(name, 24).rstrip()} was made by training {training}")


def _trained(made: Mapping[str, str], record: RunRecord) -> dict[str, str]:
    """Which training made the candidate, where the store knows."""
    text = made.get(record.candidate.digest)
    return {"training": text} if text else {}


def _widths(table: Sequence[Sequence[str]], columns: int) -> list[int]:
    """Each column as wide as its widest cell; on a narrow terminal the suite's and the candidate's names give way (--json cuts
    nothing)."""
    from harness.cli.layout import columns_of

    widths = [max(columns_of(line[i]) for line in table) for i in range(len(table[0]))]
    while sum(widths) + 2 * (len(widths) - 1) > columns and max(widths[_SUITE], widths[_CANDIDATE]) > NARROWEST:
        widths[_SUITE if widths[_SUITE] > widths[_CANDIDATE] else _CANDIDATE] -= 1
    return widths


def _row(store: Store, record: RunRecord) -> dict[str, Any]:
    stored = store.verdict(record.id)
    return {
        "run": record.id,
        "suite": record.suite_name,
        "candidate": record.candidate.name,
        "started": datetime.fromtimestamp(record.started_at, UTC).strftime("%m-%d %H:%M"),
        "status": record.status,
        "scored": f"{record.ledger.scored}/{record.ledger.planned}",
        "verdict": "A/A"
        if record.plan.get("aa")
        else "baseline"
        if record.promoted
        else str(stored.verdict.outcome)
        if stored
        else "-",
        "suite_hash": record.suite_hash,
        "digest": record.candidate.digest,
    }
