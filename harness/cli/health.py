"""``harness health``: which cases of a suite tell nothing, from its stored runs, in lines of at most 80 columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import open_store, store_option

if TYPE_CHECKING:
    from harness.health import CapabilityHealth, CaseHealth, SuiteHealth
    from harness.store import Store

_NAME = 20  # columns
_LEGEND = (
    "worth: cases, with their clusters; move: cases that differ between candidates",
    "full, dead: pass in every run, in none; noisy: flip with the same weights",
    "discr: item-rest correlation over candidates (below 0: look at the reference)",
    "needs: cases to show that an equal candidate is not worse by the margin, about",
)


@click.command("health")
@click.argument("suite_or_run", metavar="SUITE|RUN", default="latest")
@click.option("--cases", "most", type=click.IntRange(min=0), default=10, show_default=True, help="Cases to look at, so many.")
@click.option("--json", "as_json", is_flag=True, help="Everything, with every case, as one JSON object.")
@store_option
def command(suite_or_run: str, most: int, as_json: bool, store_dir: Path) -> None:
    """Say how well a suite's cases work: saturated, dead and noisy ones, discrimination, what n is worth.

    SUITE|RUN is a suite's name, or a run whose cases are looked at. Runs of the same suite and checks count, the latest 30.
    """
    with open_store(store_dir) as store:
        name, found = look(store, suite_or_run)
    if as_json:
        click.echo(json.dumps(as_dict(name, found), ensure_ascii=False))
        return
    for line in lines(name, found, most):
        click.echo(line)


def look(store: Store, reference: str) -> tuple[str, SuiteHealth]:
    """The suite's name, and the health of the cases of the run that is meant."""
    from harness.cli import judging, stored
    from harness.health import ScoredRun, examine

    run, runs = stored.named(store, reference)
    gate, rules = judging.stored_rules(store, run)
    scored = [
        ScoredRun.of(f"{r.candidate.digest} {r.candidate.prompt.digest}", store.score_rows(r.id))
        for r in stored.comparable(run, runs)
    ]
    return run.suite_name, examine(scored, rules, gate)


def lines(name: str, found: SuiteHealth, most: int) -> Iterator[str]:
    from harness.cli.layout import fit
    from reports.text import plural

    yield f"health of {fit(name, 30).rstrip()}: {plural(found.runs, 'run')} of {plural(found.candidates, 'candidate')}"
    head = "".join(f"{word:>7}" for word in ("cases", "worth", "move", "full", "dead", "noisy", "discr", "needs"))
    yield f"  {'capability':<{_NAME}}{head}"
    for row in found.capabilities:
        yield _line(row)
    for word in _LEGEND:
        yield f"  {word}"
    if found.candidates < 2:
        yield "one candidate: saturated and dead need two, discrimination three"
    elif found.candidates < 3:
        yield "two candidates: discrimination needs three"
    for row in found.capabilities:
        if not row.can_show_margin and row.margin is not None:
            yield from _wrapped(_short(row))
    yield from _cases(found.cases, most)


def _line(row: CapabilityHealth) -> str:
    from harness.cli.layout import fit
    from harness.health import State

    told = row.candidates_told
    full, dead = (f"{row.states.get(s, 0):,}" if told else "-" for s in (State.SATURATED, State.DEAD))
    noisy = "-" if row.flips is None else f"{row.states.get(State.NOISY, 0):,}"
    discr = "-" if row.discrimination is None else f"{row.discrimination:.2f}"
    needs = "-" if row.problem or row.margin is None else "no n" if row.needed is None else f"{row.needed:,}"
    worth = f"{row.effective:,.0f}" if row.clusters else "-"
    moving = f"{row.moving:,}" if told else "-"
    cells = "".join(f"{cell:>7}" for cell in (f"{row.n:,}", worth, moving, full, dead, noisy, discr, needs))
    return f"  {fit(row.capability, _NAME)}{cells}"


def _short(row: CapabilityHealth) -> str:
    from harness.cli.layout import fit

    name = fit(row.capability, 40).rstrip()
    margin = f"its margin of {100 * (row.margin or 0.0):.1f} points"
    if row.problem:
        return f"{name} cannot show {margin}: {row.problem}"
    needs = "no affordable number of cases would" if row.needed is None else f"that takes about {row.needed:,} cases"
    how = "assumed" if row.assumed else "measured"
    return f"{name} can hardly show {margin} with {row.n:,} cases: {needs} ({how} discordance)"


def _cases(cases: tuple[CaseHealth, ...], most: int) -> Iterator[str]:
    from harness.cli.layout import fit
    from harness.health import State

    telling = [c for c in cases if c.state not in (State.ALIVE, State.UNTOLD) or (c.discrimination or 0.0) < 0.0]
    if not telling or not most:
        return
    yield f"cases to look at first ({min(most, len(telling)):,} of {len(telling):,}):"
    for case in telling[:most]:
        discr = "" if case.discrimination is None else f", discr {case.discrimination:.2f}"
        why = f"{case.state}, passes {case.passes} of {case.runs}{discr}"
        yield f"  {fit(case.case_id, 17)} {fit(case.capability, 20)} {why}"


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 80, subsequent_indent="  ", break_long_words=False) or [text]


def as_dict(name: str, found: SuiteHealth) -> dict[str, Any]:
    from harness.store.rows import plain

    capabilities = [plain(row) | {"can_show_margin": row.can_show_margin} for row in found.capabilities]
    return {
        "suite": name,
        "runs": found.runs,
        "candidates": found.candidates,
        "capabilities": capabilities,
        "cases": plain(found.cases),
    }
