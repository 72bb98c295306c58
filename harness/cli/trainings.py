"""``harness trainings``: what was trained, of what, and the way back from weights to the cases that caused them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.store import Store
    from harness.store.trainings import CaseOrigin, TrainedRow, Training

_MOST = 10  # cases named


@click.command("trainings")
@click.argument("reference", metavar="[TRAINING]", required=False)
@click.option("--weights", metavar="DIGEST|RUN", help="The training that a run's candidate came of, by the run or by its digest.")
@click.option("--rows", "with_rows", is_flag=True, help="Of one: each row with the pair, the case and the run it comes of.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, a line each.")
@store_option
def command(reference: str | None, weights: str | None, with_rows: bool, as_json: bool, store_dir: Path) -> None:
    """List the trainings in the store, or show one (an id, its beginning, or `latest`) with its files, checkpoints and cases."""
    from harness.errors import UsageError
    from harness.store.trainings import cases_of, rows_of, training, trainings

    if with_rows and reference is None and weights is None:
        raise UsageError("--rows shows the rows of one training", todo="Name it: `harness trainings latest --rows`")

    with open_store(store_dir) as store:
        if weights is not None:
            chosen = [_of_weights(store, weights)]
        elif reference is not None:
            chosen = [training(store, reference)]
        else:
            chosen = trainings(store)
        one = reference is not None or weights is not None
        origins = {made.id: cases_of(store, made.id) for made in chosen} if one or as_json else {}
        rows = {made.id: rows_of(store, made.id) for made in chosen} if with_rows else {}
    if as_json:
        from harness.store.rows import plain

        for made in chosen:
            shown = {"rows": plain(rows[made.id])} if with_rows else {}
            click.echo(json.dumps(plain(made) | {"cases": plain(origins[made.id])} | shown, ensure_ascii=False))
        return
    if not chosen:
        click.echo("no trainings yet: harness train recipe.yaml")
        return
    for line in details(chosen[0], origins[chosen[0].id]) if one else table(chosen):
        click.echo(line)
    for line in row_lines(chosen[0], rows[chosen[0].id]) if with_rows else ():
        click.echo(line)


def _of_weights(store: Store, reference: str) -> Training:
    from harness.errors import UsageError
    from harness.store.trainings import trained

    digest = reference if len(reference) == 64 else store.run(reference).candidate.digest
    found = trained(store, digest)
    if found is None:
        raise UsageError(
            "no training in this store made these weights", where=reference, todo="`harness trainings` lists what was trained"
        )
    return found[0]


def table(found: list[Training]) -> Iterator[str]:
    """One line each, the newest first."""
    from harness.cli.layout import fit

    yield f"{'training':<12} {'started':<11}  {'stage':<5} {'status':<8} {'rows':>9}  {'eval loss':>9}  output"
    for made in found:
        rows = sum(file.rows for file in made.data)
        loss = made.metrics.get("eval_loss")
        figures = f"{rows:>9,}  {'-' if loss is None else f'{loss:.4f}':>9}"
        head = f"{made.id:<12} {_day(made.started_at)}  {made.stage:<5} {made.status:<8}"
        yield f"{head} {figures}  {fit(_tail(made.output), 17).rstrip()}"


def details(made: Training, origins: list[CaseOrigin]) -> Iterator[str]:
    """All that is known of one."""
    from reports.text import label, plural

    yield f"{made.id}: {made.stage} on {made.base}, {made.status}"
    if made.provenance.get("error"):
        yield f"  {made.provenance['error']}"
    yield f"  {_day(made.started_at)} UTC, {made.finished_at - made.started_at:.0f} s; written to {made.output}"
    yield f"  weights {made.weights or '-'}"
    for file in made.data:
        yield f"  {plural(file.rows, 'row')} of {file.path}, sha256 {file.sha256[:16]}"
    for name, value in made.metrics.items():
        yield f"  {name:<24} {value:.4f}"
    for point in made.checkpoints:
        loss = "-" if point.eval_loss is None else f"{point.eval_loss:.4f}"
        yield f"  checkpoint {point.step:<13} {loss}{'  best' if point.best else ''}"
    if origins:
        rows = sum(origin.rows for origin in origins)
        yield f"  {plural(rows, 'row')} come of {plural(len(origins), 'case')}, most of:"
        for origin in origins[:_MOST]:
            runs = f", asked in {', '.join(map(label, origin.runs[:3]))}" if origin.runs else ""
            yield f"    {label(origin.case_id)}: {plural(origin.rows, 'row')}{runs}"
    else:
        yield "  no row says which case it comes of"


def row_lines(made: Training, rows: list[TrainedRow]) -> Iterator[str]:
    """``pairs.jsonl:7  pair p3  case c1  run r2`` for each row that said so."""
    for row in rows:
        named = [
            f"{name} {value}" for name, value in (("pair", row.pair_id), ("case", row.case_id), ("run", row.run_id)) if value
        ]
        yield f"  {Path(made.data[row.file].path).name}:{row.line}  {'  '.join(named)}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%m-%d %H:%M")


def _tail(path: str) -> str:
    return "/".join(Path(path).parts[-2:])
