"""``harness judge attack``: a suite's judges asked about answers that try to win them over, in lines of at most 80 columns."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from harness.cli.jury import Jury, convene
from harness.cli.layout import fit, wrap
from harness.cli.pipeline import _options as serve_options
from harness.client import OpenAIClient
from harness.errors import IncompleteError, UsageError
from harness.model import Client, Request, Response
from harness.serving.fleet import serve_candidates
from harness.serving.identity import DigestCache
from harness.suite import Suite
from judges.attacks import Susceptibility, corpus, susceptibility

WIDTH = 80
_NAME = 18  # columns


@dataclass(frozen=True)
class _Router:
    """A Client that sends each request to its model's own."""

    clients: Mapping[str, OpenAIClient]

    async def ask(self, request: Request) -> Response:
        return await self.clients[request.candidate.digest].ask(request)


def attacked(suite: Suite, only: str | None) -> list[Susceptibility]:
    """Every judge that a check names (or the one), asked about every attack. Nothing is stored.

    IncompleteError when a judge gave no verdict on the bad answer alone: then nothing can be said of it.
    """
    jury = convene(suite, DigestCache(None))
    names = [name for name in jury.judges if only in (None, name)] if jury else []
    if jury is None or not names:
        what = "no check of this suite asks a judge" if only is None else f"no check of this suite asks a judge named {only!r}"
        todo = f"there are {', '.join(jury.judges)}" if jury else "add `- judge: NAME` to a capability's checks"
        raise UsageError(what, where=str(suite.path), todo=todo)
    return asyncio.run(_attacked(suite, jury, names))


async def _attacked(suite: Suite, jury: Jury, names: list[str]) -> list[Susceptibility]:
    models = {
        model.digest: (key, model) for name in names for key, model in jury.models.items() if key in jury.specs[name].models
    }
    found = []
    async with contextlib.AsyncExitStack() as stack:
        log_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-attack-")))
        local = [model for _, model in models.values()]
        fleet = await stack.enter_async_context(
            serve_candidates(local, options=serve_options(suite), log_dir=log_dir, say=lambda line: click.echo(line, err=True))
        )
        clients = {}
        for digest, (key, model) in models.items():
            client = OpenAIClient(
                fleet.urls[model.name],
                api_key=jury.keys[key],
                concurrency=suite.judging.concurrency,
                timeout_s=suite.judging.timeout_s,
                retries=suite.judging.retries,
                stream="never",
                secrets=suite.secrets(),
            )
            clients[digest] = await stack.enter_async_context(client)
            await clients[digest].require_model(model.model)
        for name in names:
            found.append(await _one(jury, name, _Router(clients)))
    return found


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
