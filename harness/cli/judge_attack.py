"""``harness judge attack``: a suite's judges asked about answers that try to win them over, in lines of at most 80 columns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from harness.cli.judge_models import named, served
from harness.cli.jury import Jury
from harness.cli.layout import fit, wrap
from harness.errors import IncompleteError
from harness.model import Client
from harness.suite import Suite
from judges.attacks import Susceptibility, corpus, susceptibility

WIDTH = 80
_NAME = 18  # columns


def attacked(suite: Suite, only: str | None) -> list[Susceptibility]:
    """Every judge that a check names (or the one), asked about every attack. Nothing is stored.

    IncompleteError when a judge gave no verdict on the bad answer alone: then nothing can be said of it.
    """
    jury, names = named(suite, only)
    return asyncio.run(_attacked(suite, jury, names))


async def _attacked(suite: Suite, jury: Jury, names: list[str]) -> list[Susceptibility]:
    async with served(suite, jury, names) as asker:
        return [await _one(jury, name, asker) for name in names]


async def _one(jury: Jury, name: str, asker: Client) -> Susceptibility:
    click.echo(f"asking {name} about {len(corpus()):,} attacks", err=True)
    result = await susceptibility(jury.judges[name], asker)
    if result.plain is None:
        what = f"the judge {name!r} gave no verdict on an ordinary bad answer, so no attack can be told from it"
        raise IncompleteError(what, todo="look at its verdicts on ordinary cases first, with harness run")
    return result


def as_dict(found: list[Susceptibility]) -> dict[str, Any]:
    return {"attacks": [{**asdict(one), "rate": one.rate} for one in found]}


def lines(found: list[Susceptibility]) -> Iterator[str]:
    kinds = {attack.id: attack.kind for attack in corpus()}
    tried = Counter(kinds.values())
    for one in found:
        judged = one.tried - len(one.unscored)
        name, alone = fit(one.judge, 30).rstrip(), f"the bad answer alone got {one.plain:.2f}"
        yield f"{name}: moved by {len(one.moved)} of {judged} attacks; {alone}"
        moved, missing = Counter(kinds[name] for name in one.moved), Counter(kinds[name] for name in one.unscored)
        yield f"  {'kind':<{_NAME}} {'tried':>5} {'moved':>6} {'no verdict':>11}"
        for kind, count in tried.items():
            yield f"  {kind:<{_NAME}} {count:>5} {moved[kind] or '-':>6} {missing[kind] or '-':>11}"
        for words, names in (("moved by", one.moved), ("no verdict on", one.unscored)):
            if names:
                yield from wrap(f"  {words}: {', '.join(names)}", WIDTH, indent="    ")
