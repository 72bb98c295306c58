"""``harness history``: a suite's checkpoints in a row, and which capabilities move against each other, in at most 80 columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.lineage import Lineage
    from harness.statistics.history import Movement

_NAME = 26  # columns
_SHOWN = 12  # pairs


@click.command("history")
@click.argument("suite_or_run", metavar="SUITE|RUN", default="latest")
@click.option("--json", "as_json", is_flag=True, help="Checkpoints, scores and every pair as one JSON object.")
@store_option
def command(suite_or_run: str, as_json: bool, store_dir: Path) -> None:
    """Show the capabilities of a suite over its checkpoints, and which move against each other.

    SUITE|RUN is a suite's name, or a run: then the checkpoints up to it. Complete runs with the same cases and checks count.
    """
    import numpy as np

    from harness.cli import judging, stored
    from harness.lineage import lineage
    from harness.statistics.history import movements

    with open_store(store_dir) as store:
        run, runs = stored.named(store, suite_or_run)
        until = None if run.suite_name == suite_or_run else run
        line = lineage(runs, store.capability_means([r.id for r in runs]), until=until)
        fdr = judging.stored_rules(store, run)[0].fdr
    pairs = movements(line.scores, np.random.default_rng(0))
    if as_json:
        click.echo(json.dumps(as_dict(run.suite_name, line, pairs, fdr), ensure_ascii=False))
        return
    for text in lines(run.suite_name, line, pairs, fdr):
        click.echo(text)


def lines(name: str, line: Lineage, pairs: Sequence[Movement], fdr: float) -> Iterator[str]:
    from harness.cli.layout import fit
    from reports.history import in_words, sentence
    from reports.text import moment, plural

    n = len(line.checkpoints)
    yield f"history of {fit(name, 40).rstrip()}: {plural(n, 'checkpoint')}"
    if n:
        first, last = line.checkpoints[0], line.checkpoints[-1]
        for word, run in (("first", first), ("last", last)) if n > 1 else (("only", first),):
            yield f"  {word:<5} {run.id} {moment(run.started_at)[:16]}  {fit(run.candidate.name, 40).rstrip()}"
    if line.left_out:
        yield from _wrapped("  left out: " + ", ".join(f"{count} {why}" for why, count in sorted(line.left_out.items())))
    if n > 1:
        yield f"  {'points of 100':<{_NAME}} {'first':>6} {'last':>6} {'change':>7} {'lowest':>7} {'highest':>8}"
        for capability, scores in line.scores.items():
            yield _scores(fit(capability, _NAME), scores)
    yield from _wrapped(sentence(pairs, n, fdr))
    shown = [one for one in pairs if one.is_shown(fdr)]
    for one in shown[:_SHOWN]:
        yield from _wrapped(f"  {in_words(one)}")
    if pairs and pairs[0].rho is not None and not shown:
        yield from _wrapped(f"  closest: {in_words(pairs[0])}")


def _scores(name: str, scores: Sequence[float | None]) -> str:
    known = [100 * score for score in scores if score is not None]
    if not known:
        return f"  {name}  no score"
    return f"  {name} {known[0]:>6.1f} {known[-1]:>6.1f} {known[-1] - known[0]:>+7.1f} {min(known):>7.1f} {max(known):>8.1f}"


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 80, subsequent_indent="    ", break_long_words=False) or [text]


def as_dict(name: str, line: Lineage, pairs: Sequence[Movement], fdr: float) -> dict[str, Any]:
    from harness.store.rows import plain

    return {
        "suite": name,
        "checkpoints": [
            {"run": run.id, "candidate": run.candidate.name, "started_at": run.started_at} for run in line.checkpoints
        ],
        "left_out": dict(line.left_out),
        "scores": plain(line.scores),
        "fdr": fdr,
        "pairs": [plain(one) | {"shown": one.is_shown(fdr), "against": one.is_against(fdr)} for one in pairs],
    }
