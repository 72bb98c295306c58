"""``harness loop``: run -> curate -> train -> run, until a candidate ships or there is a reason to stop."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import load_suite, open_store, store_option
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.cli.looping import Loop
    from harness.loop import End, Ledger, Round
    from harness.suite import Suite

LEDGER, PAGE, LOCK = "loop.json", "loop.html", "lock"
WIDTH = 80  # columns
_path = click.Path(path_type=Path)


@click.command("loop")
@click.argument("suite", type=_path)
@click.option("-c", "--candidate", help="Begin with this one (default: the only one beside the baseline).")
@click.option("--recipe", type=_path, required=True, help="How to train (as harness train); data and output are the round's.")
@click.option("--rounds", type=click.IntRange(min=2), default=3, show_default=True, help="Looks at the gate, at most.")
@click.option("--requests", type=click.IntRange(min=1), help="Requests to candidate and baseline, at most.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Begin no step after so many.")
@click.option("--replay", type=click.FloatRange(0), default=1.0, show_default=True, help="Replay rows for each row that teaches.")
@click.option("--keep-dataset", is_flag=True, help="Train on the recipe's own dataset, too.")
@click.option("--out", type=_path, help="Folder of the loop (default: in the store).")
@store_option
def command(
    suite: Path,
    candidate: str | None,
    recipe: Path,
    rounds: int,
    requests: int | None,
    minutes: float | None,
    replay: float,
    keep_dataset: bool,
    out: Path | None,
    store_dir: Path,
) -> int:
    """Look at SUITE's gate with a candidate; while it does not ship, make training data of its failures on the dev split, train,
    and look again with what came out.

    Each look is taken at the gate's alpha / rounds, so that the loop as a whole keeps alpha. Whatever stops it, the same command
    goes on; --requests and --minutes may be raised then. Exit code 0 ship, else of the last verdict (1, 2); 3 usage error, 4
    infrastructure failed or incomplete.
    """
    from harness.cli import looping
    from harness.cli.curating import Settings
    from harness.curation import Limits
    from harness.loop import Budget, opened, run_loop
    from training import load_recipe

    loaded = load_suite(suite)
    name = candidate or _only(loaded)
    folder = (out or store_dir / "loops" / _safe(f"{loaded.name}-{name}")).resolve()
    curation = Settings(limits=Limits(replay=replay), replay_targets=True)
    loop = looping.Loop(loaded, name, load_recipe(recipe), curation, rounds, keep_dataset, folder)
    looping.check(loop)
    with open_store(store_dir, create=True) as store, alone(folder):
        ledger = opened(folder / LEDGER, looping.settings(loop, store))
        teller = Teller(loop)
        teller.keep(ledger, announce=False)
        ledger, end = run_loop(ledger, Budget(requests, minutes), looping.Steps(loop, store), teller.keep)
        teller.end(ledger, end)
    return end.exit_code


def _only(suite: Suite) -> str:
    names = [name for name, spec in suite.candidates.items() if name != suite.baseline and not spec.endpoint]
    if len(names) != 1:
        raise UsageError("which candidate?", where=str(suite.path), todo="Name it with --candidate: " + ", ".join(names))
    return names[0]


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)[:80]


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps a second loop out of the folder while this one runs; the system ends that when we die."""
    from harness.store.lock import read_owner, try_flock, write_owner

    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write here: {error.strerror}", where=str(folder), todo="Give another --out") from None
    try:
        if not try_flock(fd):
            what = f"{read_owner(folder / LOCK)} runs the loop of this folder"
            raise UsageError(what, where=str(folder), todo="Wait for it, or give another --out")
        write_owner(fd)
        yield
    finally:
        os.close(fd)


class Teller:
    """Keeps the ledger and its page, and says on stdout what each step came to, those of earlier calls included."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.told = 0

    def keep(self, ledger: Ledger, *, announce: bool = True) -> None:
        from harness.loop import save

        save(self.loop.out / LEDGER, ledger)
        self._page(ledger, None)
        lines = list(step_lines(ledger))
        for line in lines[self.told :]:
            click.echo(line)
        self.told = len(lines)
        if announce and ledger.begun:
            click.echo(f"round {ledger.now.number}, {ledger.now.candidate}: {ledger.begun.step} ...", err=True)

    def end(self, ledger: Ledger, end: End) -> None:
        from harness.cli.layout import wrap
        from reports.loop import alpha_note

        steps = tuple(self._next(ledger, end))
        page = self._page(ledger, end, steps)
        click.echo()
        for text in (f"{end.why}: {end.text}", alpha_note(ledger), *steps):
            click.echo("\n".join(wrap(text, WIDTH)))
        if lines := list(yaml_lines(self.loop, ledger)):
            click.echo(f"\nTo keep it in {self.loop.suite.path.name}, under candidates:")
            for line in lines:
                click.echo(line)
        click.echo(f"\nReport: {os.path.relpath(page)}")

    def _page(self, ledger: Ledger, end: End | None, steps: tuple[str, ...] = ()) -> Path:
        from reports.loop import build, render

        path = self.loop.out / PAGE
        part = path.with_name(PAGE + ".part")
        try:
            part.write_text(render(build(ledger, end, steps)), encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            what = f"cannot write the page: {error.strerror}"
            raise UsageError(what, where=str(path), todo="Mend that; the same command goes on") from None
        return path

    def _next(self, ledger: Ledger, end: End) -> Iterator[str]:
        """What to do next, in sentences."""
        from harness.loop import Why

        last = ledger.looks[-1] if ledger.looks else None
        if end.why is Why.SHIP and last:
            yield f"Promote it as the next baseline: `harness promote {last.run_id}`"
        elif end.why in (Why.REQUESTS, Why.MINUTES):
            yield "Raise the budget and give the same command: it goes on where it stopped"
        elif last:
            yield f"See what stands in the way: `harness explain {last.run_id}`, or the full report of the last look"
            yield "Mend what more of the same training will not: other data, another recipe, a better base; then a new --out"


def step_lines(ledger: Ledger) -> Iterator[str]:
    """What each step that has ended came to, in lines of at most 80 columns; a look's says below what it rests on."""
    from harness.cli.layout import columns_of, wrap

    for one in ledger.rounds:
        for line in (*_look_lines(one), *_learnt_lines(one)):
            yield line if columns_of(line) <= WIDTH else "\n".join(wrap(line, WIDTH, indent=" " * 4))


def _look_lines(one: Round) -> Iterator[str]:
    from harness.cli.layout import fit
    from reports.text import label

    if one.look is None:
        return
    blocked = f"; in the way: {', '.join(map(label, one.look.blocking))}" if one.look.blocking else ""
    worse = f"; worse than before: {', '.join(map(label, one.look.worse))}" if one.look.worse else ""
    yield f"round {one.number}  {label(one.candidate, 40)}: {one.look.outcome}{blocked}{worse}"
    for s in one.look.standings:
        if s.delta is not None and s.low is not None and s.high is not None:
            numbers = f"{100 * s.delta:+7.1f} [{100 * s.low:+.1f}, {100 * s.high:+.1f}]"
            yield f"  {fit(s.capability, 20)} {s.role:<9} {numbers:<23} {', '.join(s.claims)}".rstrip()


def _learnt_lines(one: Round) -> Iterator[str]:
    from harness.loop import Step
    from reports.text import label, plural, seconds

    spent = {cost.step: f"{plural(cost.requests, 'request')} in {seconds(cost.seconds)}" for cost in one.costs}
    if one.look is not None:
        yield f"  gate: {spent[Step.GATE]}"
    if one.failures is not None:
        weak = ", ".join(f"{w.failing:,} of {w.cases:,} {label(w.capability, 24)}" for w in one.failures.weaknesses if w.failing)
        yield f"  dev split: failing {weak or 'nothing'}; {spent[Step.DEV]}"
    if one.curated is not None:
        c = one.curated
        counts = f"{plural(c.pairs, 'pair')}, {plural(c.lessons, 'SFT row')}, {plural(c.replay, 'replay row')}"
        yield f"  curated: {counts}; {c.left:,} left out"
    if one.trained is not None:
        t, cost = one.trained, next(cost for cost in one.costs if cost.step is Step.TRAIN)
        loss = f", loss {t.figures['train_loss']:.3f}" if "train_loss" in t.figures else ""
        yield f"  trained: {t.stage} on {plural(t.rows, 'row')}{loss}, {seconds(cost.seconds)}"


def yaml_lines(loop: Loop, ledger: Ledger) -> Iterator[str]:
    """The last trained candidate as the suite's YAML names it; paths relative to the suite."""
    import json

    made = ledger.rounds[-2].trained if len(ledger.rounds) > 1 else None
    if made is None:
        return
    first, path = loop.suite.candidates[loop.candidate], os.path.relpath(loop.out / made.output, loop.suite.root)
    full = loop.recipe.finetuning_type == "full"
    yield f"  {json.dumps(ledger.now.candidate, ensure_ascii=False)}:"
    yield f"    model: {json.dumps(path if full else first.model, ensure_ascii=False)}"
    if not full:
        yield f"    adapter: {json.dumps(path, ensure_ascii=False)}"
