"""A suite's judges at work outside of a run: their models served, or reached, for as long as a block lasts. Nothing is stored."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from harness.cli.jury import Jury, client_of, convene
from harness.cli.pipeline import serve_options
from harness.errors import UsageError
from harness.model import Client, Request, Response
from harness.serving.fleet import serve_candidates
from harness.serving.identity import DigestCache
from harness.suite import Suite


@dataclass(frozen=True)
class _Router:
    """A Client that sends each request to its model's own."""

    clients: Mapping[str, Client]

    async def ask(self, request: Request) -> Response:
        return await self.clients[request.candidate.digest].ask(request)


def named(suite: Suite, only: str | None) -> tuple[Jury, list[str]]:
    """The suite's judges, and the names of those that a check asks (or the one)."""
    jury = convene(suite, DigestCache(None))
    names = [name for name in jury.judges if only in (None, name)] if jury else []
    if jury is None or not names:
        what = "no check of this suite asks a judge" if only is None else f"no check of this suite asks a judge named {only!r}"
        todo = f"there are {', '.join(jury.judges)}" if jury else "add `- judge: NAME` to a capability's checks"
        raise UsageError(what, where=str(suite.path), todo=todo)
    return jury, names


@contextlib.asynccontextmanager
async def served(suite: Suite, jury: Jury, names: Sequence[str], log_dir: Path | None = None) -> AsyncIterator[Client]:
    """A Client for whatever these judges ask. That every server is there, and serves the model, is found out before the block.

    log_dir: where servers' logs are kept; None: nowhere.
    """
    models = {
        model.digest: (key, model) for name in names for key, model in jury.models.items() if key in jury.specs[name].models
    }
    async with contextlib.AsyncExitStack() as stack:
        log_dir = log_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="harness-judges-")))
        local = [model for _, model in models.values()]
        fleet = await stack.enter_async_context(
            serve_candidates(local, options=serve_options(suite), log_dir=log_dir, say=lambda line: click.echo(line, err=True))
        )
        clients = {}
        for digest, (key, model) in models.items():
            clients[digest] = await stack.enter_async_context(client_of(jury, key, fleet.urls[model.name]))
            await clients[digest].require_model(model.model)
        yield _Router(clients)
