"""``harness export``: a run as a file for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import open_store, store_option

FORMATS = {".parquet": "parquet", ".jsonl": "jsonl", ".csv": "csv"}


@click.command("export")
@click.argument("run")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["scores", "responses", "items", "judgments"]),
    default="scores",
    show_default=True,
    help="scores: a row per item; responses: what was answered; items: both, with prompts and checks; judgments: judges' words.",
)
@store_option
def command(run: str, path: Path, kind: str, store_dir: Path) -> None:
    """Write RUN to PATH; its ending says the format: .parquet, .jsonl or .csv."""
    from harness.errors import UsageError

    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"no format for {path.suffix or path.name!r}", where=str(path), todo="end it in " + ", ".join(FORMATS))
    with open_store(store_dir) as store:
        rows = store.export(store.run(run).id, kind, path, form)
    click.echo(f"wrote {rows} rows to {path}")
