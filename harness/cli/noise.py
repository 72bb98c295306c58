"""``harness run --aa``: what the baseline against itself shows, in lines of at most 80 columns.

Exit code 0: nothing false is shown, after Holm's correction over the capabilities, so that fair noise fails at most alpha of such
runs. 2: a change is shown that cannot be one, or nothing could be measured. 4: too much failed to tell. Never a SHIP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.cli.pipeline import Finished
    from harness.noise import Halves, NoiseFloor
    from harness.store import Store

_NAME = 22  # columns


def judge_twice(store: Store, result: Finished) -> int:
    """Store the A/A comparison, print it, and return the exit code."""
    import numpy as np

    from harness import noise
    from harness.cli import judging

    run, baseline = result.run, result.baseline
    assert baseline is not None  # an A/A run has one by its making
    gate, rules = judging.stored_rules(store, run)
    verdict = judging.judge(store, run, baseline, gate, rules)
    floor = noise.floor_of(verdict.comparisons, gate.alpha)
    margins = {c.capability: rules[c.capability].margin for c in verdict.comparisons}
    rng = np.random.default_rng(int(run.id, 16))
    halves = noise.halves(store.score_rows(run.id), store.score_rows(baseline.id), margins, gate, rng)
    for line in _lines(floor, halves, gate.alpha):
        click.echo(line)
    if verdict.infrastructure:
        for reason in (r for r in verdict.reasons if r.code in ("error-budget", "ledger-open")):
            click.echo(f"cannot be judged: {reason.text}")
        return 4
    return 2 if floor.false or not floor.n else 0


def _lines(floor: NoiseFloor, halves: Mapping[str, Halves], alpha: float) -> Iterator[str]:
    from harness.cli.layout import fit

    yield "A/A: the baseline against itself, other seeds, another order; points of 100"
    yield f"  {'capability':<{_NAME}} {'cases':>7} {'flips':>6} {'rate [95 %]':>19} {'|diff|':>6} {'noise':>5} {'false':>6}"
    for row in floor.rows:
        half = halves.get(row.capability)
        rate = f"{100 * row.rate:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]" if row.n else "-"
        apart = f"{100 * half.mean_abs:.1f}" if half else "-"
        under = "-" if row.threshold is None else f"{100 * row.threshold:.1f}"
        false = f"{100 * half.shown / half.tried:.0f} %" if half and half.tried else "-"
        yield f"  {fit(row.capability, _NAME)} {row.n:>7,} {row.flips:>6,} {rate:>19} {apart:>6} {under:>5} {false:>6}"
    yield f"  false: random halves that show a change; at most {200 * alpha:.0f} % on average of fair noise"
    yield from _wrapped(floor.sentence())
    claimed = [row for row in floor.rows if row.claims]
    for row in claimed:
        yield from _wrapped(f"falsely shown on {fit(row.capability, 60).rstrip()}: {', '.join(row.claims)}")
    if floor.false:
        told = ", ".join(fit(name, 40).rstrip() for name in floor.false)
        yield from _wrapped(
            f"more than noise, also corrected over all capabilities: {told}. Do not trust verdicts of this set-up."
        )
    elif claimed:
        yield "none of it stands when corrected over all capabilities: chance"
    elif floor.n:
        yield "nothing false is shown"


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 80, break_long_words=False) or [text]
