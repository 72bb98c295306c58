"""``harness choose``: prompts x examples x candidates, asked before tuning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from harness.cli.options import load_suite, open_store, store_option

_path = click.Path(path_type=Path)


@click.command("choose")
@click.argument("suite", type=_path)
@click.option("--split", type=click.Choice(["dev", "gate"]), default="dev", show_default=True, help="Whose cases choose.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many cases per capability.")
@click.option("--concurrency", type=click.IntRange(min=1), help="Requests in flight, instead of the suite's.")
@click.option("--report", type=_path, help="Write the HTML page here.")
@click.option("--json", "json_path", type=_path, help="Also write everything as JSON.")
@store_option
def command(
    suite: Path,
    split: str,
    limit: int | None,
    concurrency: int | None,
    report: Path | None,
    json_path: Path | None,
    store_dir: Path,
) -> int:
    """Ask every combination of SUITE's matrix and say whether tuning is needed for the target, or a prompt reaches it.

    The bounds of all combinations hold together, so the best may be picked from the same cases. The dev cases choose, so that the
    gate stays blind. Every combination is a stored run: the same command again asks only what is missing.

    Exit code 0 a prompt (or the candidate as it is) reaches every goal, 1 none does: tuning is needed, 2 not decided, 3 usage
    error, 4 infrastructure failed or incomplete.
    """
    from harness.cli import choosing
    from harness.errors import UsageError
    from harness.model import Split

    paths = [path for path in (report, json_path) if path]
    if paths:
        from harness.cli.outputs import check_paths

        check_paths(paths)
    loaded = load_suite(suite)
    if loaded.matrix is None:
        raise UsageError(
            "the suite has no matrix", where=str(suite), todo="Add `matrix:` with prompts and a goal; harness init shows one"
        )
    if concurrency:
        loaded = replace(loaded, generation=replace(loaded.generation, concurrency=concurrency))
    with open_store(store_dir, create=True) as store:
        found = choosing.run_matrix(loaded, store, Split(split), limit)
        page = report or choosing.default_path(store, loaded.name)
        choosing.write(found, page, json_path)
    for line in choosing.lines(found, str(page)):
        click.echo(line)
    return found.exit_code
