"""Everything a run asks: one vLLM server for each base with its adapters, and the endpoints that already run."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from harness.model import Candidate
from harness.serving.vllm import VLLM, Say, ServeOptions, Server, serve


@dataclass(frozen=True, slots=True)
class Fleet:
    """urls: candidate's name -> base URL (ending as the server wants it). servers: those we started, by candidate's name."""

    urls: Mapping[str, str]
    servers: Mapping[str, Server]

    def check(self) -> None:
        """Raises ServeError when a server that we started has died."""
        for server in set(self.servers.values()):
            server.check()


@asynccontextmanager
async def serve_candidates(
    candidates: Sequence[Candidate],
    *,
    options: ServeOptions = ServeOptions(),
    log_dir: Path,
    say: Say = lambda line: None,
    program: Sequence[str] = VLLM,
) -> AsyncIterator[Fleet]:
    """Starts what must be started, one after the other (two starting at once would only share the cores), and ends it all.

    A base of its own (a judge's model, say) has a server of its own; with options.port, on the port after the last one's.
    """
    urls = {candidate.name: str(candidate.base_url) for candidate in candidates if candidate.kind == "endpoint"}
    bases: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.kind != "endpoint":
            bases.setdefault(str(candidate.base), []).append(candidate)
    servers: dict[str, Server] = {}
    async with AsyncExitStack() as stack:
        for number, (base, members) in enumerate(bases.items()):
            plain = dict.fromkeys(member.model for member in members if member.adapter is None)  # two may differ in prompt alone
            names = list(plain) or [_spare_name(members)]
            adapters = {member.model: Path(member.adapter) for member in members if member.adapter is not None}
            log = log_dir / f"vllm-{number}-{re.sub(r'[^A-Za-z0-9._-]+', '-', Path(base).name)[:60]}.log"
            own = replace(options, port=options.port + number) if options.port else options
            server = await stack.enter_async_context(
                serve(base, adapters, names=names, options=own, log_path=log, say=say, program=program)
            )
            servers |= {member.name: server for member in members}
        yield Fleet({**urls, **{name: server.url for name, server in servers.items()}}, servers)


def _spare_name(members: Sequence[Candidate]) -> str:
    """A name for a base that nobody asks, different from its adapters' names."""
    name = "base"
    while any(member.model == name for member in members):
        name += "-"
    return name
