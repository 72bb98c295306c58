"""``harness report``: a stored run as HTML, markdown, JUnit XML or JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.model import RunRecord, SliceComparison
    from harness.store import Store

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
@click.option("--slice", "slices", multiple=True, metavar="FIELD", help="By the values of this metadata field (repeatable).")
@store_option
def command(run: str, outputs_: tuple[Path, ...], baseline: str | None, slices: tuple[str, ...], store_dir: Path) -> None:
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
        against = store.run(baseline).id if baseline else None
        view = outputs.view_of(store, record.id, against, asked=_sliced(store, record, against, slices) if slices else None)
        files = [(ENDINGS[path.suffix], path) for path in outputs_]
        files = files or [("html", outputs.default_path(store, record.suite_name, record.candidate.name, record.id))]
        for form, path in files:
            outputs.write(view, {form: path})
            click.echo(f"wrote {path}")


def _sliced(store: Store, run: RunRecord, baseline: str | None, fields: tuple[str, ...]) -> tuple[SliceComparison, ...]:
    """The stored comparison's two runs by these fields; asked after the run, so no part of its verdict."""
    from harness.cli import judging
    from harness.errors import UsageError
    from harness.model import Split

    decided = store.verdict(run.id, baseline)
    if decided is None or decided.baseline_run_id is None:
        raise UsageError(f"run {run.id} has no stored comparison to slice", todo="Compare it with a baseline first")
    _, rules = judging.stored_rules(store, run)
    known = {c.capability for c in decided.verdict.comparisons}
    kept = {name: rule for name, rule in rules.items() if name in known}
    base, split = store.run(decided.baseline_run_id), Split(run.plan.get("split") or Split.GATE)
    return judging.sliced(store, run, base, decided.verdict.gate, kept, fields, split=split)
