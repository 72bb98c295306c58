"""``harness report``: a stored run as HTML, markdown, JUnit XML or JSON."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.options import open_store, store_option

ENDINGS = {".html": "html", ".md": "markdown", ".xml": "junit", ".json": "json"}


@click.command("report")
@click.argument("run", default="latest")
@click.option(
    "-o",
    "--output",
    "outputs_",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Write here (repeatable): .html, .md, .xml or .json.",
)
@click.option("--baseline", help="Against this run, if the verdict on several is stored.")
@store_option
def command(run: str, outputs_: tuple[Path, ...], baseline: str | None, store_dir: Path) -> None:
    """Write the report of RUN (an id, its beginning, or `latest`), also while it is still going on."""
    from harness.cli import outputs
    from harness.errors import UsageError

    for path in outputs_:
        if path.suffix not in ENDINGS:
            raise UsageError(
                f"no report format for {path.suffix or path.name!r}", where=str(path), todo="End it in " + ", ".join(ENDINGS)
            )
    with open_store(store_dir) as store:
        record = store.run(run)
        view = outputs.view_of(store, record.id, store.run(baseline).id if baseline else None)
        files = [(ENDINGS[path.suffix], path) for path in outputs_]
        files = files or [("html", outputs.default_path(store, record.suite_name, record.candidate.name, record.id))]
        for form, path in files:
            outputs.write(view, {form: path})
            click.echo(f"wrote {path}")
