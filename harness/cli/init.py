"""``harness init``: a commented starter suite that validates as it is."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path("suite.yaml"))
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
def command(path: Path, force: bool) -> None:
    """Write a commented starter suite to PATH (default: suite.yaml)."""
    from harness.errors import UsageError
    from harness.suite import starter_text

    path = path / "suite.yaml" if path.is_dir() else path
    if path.exists() and not force:
        raise UsageError("there is a file already", where=str(path), todo="Choose another path or give --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(starter_text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write the suite: {error.strerror}", where=str(path), todo="Choose another path") from error
    click.echo(f"wrote {path}\nnext: edit it, then  harness validate {path}")
