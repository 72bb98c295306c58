"""``harness init``: a commented starter suite that validates as it is."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), default=Path())
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
def command(directory: Path, force: bool) -> None:
    """Write a commented suite.yaml with a few cases into DIRECTORY."""
    from harness.errors import UsageError
    from harness.suite import starter_files

    files = starter_files()
    taken = [name for name in files if (directory / name).exists()]
    if taken and not force:
        raise UsageError(f"{', '.join(taken)} already there", where=str(directory), todo="choose another directory or give --force")
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(f"wrote {path}")
    click.echo(f"next: edit it, then  harness validate {directory / 'suite.yaml'}")
