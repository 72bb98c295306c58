"""``harness data self-instruct``: new tasks by a model, from a few written by people. A killed run goes on where it stopped."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.client import OpenAIClient
    from harness.model import Request, Response
    from harness.quality.selfinstruct.engine import Engine

_STEPS = {"instruction": "instructions", "harder": "harder versions", "instance": "instances"}
_EVERY_S, _EVERY_S_ON_A_TERMINAL = 10.0, 0.2


@click.command("self-instruct")
@click.option(
    "--seeds", "seed_path", type=click.Path(path_type=Path), help="Seed tasks, 8 or more. Default: the 175 of Self-Instruct."
)
@click.option("--endpoint", required=True, help="Address of an OpenAI-compatible server (.../v1).")
@click.option("--model", required=True, help="The model's name there.")
@click.option("--out", "folder", required=True, type=click.Path(path_type=Path), help="Folder of the run; the same one goes on.")
@click.option("-n", "--count", type=click.IntRange(min=1), default=100, show_default=True, help="Instructions to make.")
@click.option("--evolve", type=click.FloatRange(0, 1), default=0.0, help="Share of them of which a harder version is made too.")
@click.option("--labels-only", is_flag=True, help="Classifications only, from the seeds that are classifications.")
@click.option("--any-script", is_flag=True, help="Also instructions that begin beyond ASCII, for seeds in other languages.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.7, show_default=True, help="ROUGE-L above which one is not new."
)
@click.option("--temperature", type=click.FloatRange(min=0), default=0.7, show_default=True)
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), default=0.5, show_default=True)
@click.option("--presence-penalty", type=click.FloatRange(-2, 2), default=2.0, show_default=True)
@click.option("--max-tokens", type=click.IntRange(min=1), default=1024, show_default=True, help="Of an answer with instructions.")
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True, help="Prompts of a round.")
@click.option("--seed", type=int, default=123, show_default=True)
@click.option("--extra", metavar="JSON", help="Fields every request carries besides, e.g. '{\"top_k\": 20}'.")
@click.option("--concurrency", type=click.IntRange(min=1), default=64, show_default=True, help="Requests at once.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=120.0, show_default=True, help="Seconds."
)
@click.option("--api-key-env", default="OPENAI_API_KEY", show_default=True, help="Environment variable with the server's key.")
@click.option(
    "--to", metavar="FORMAT", default="trl", show_default=True, help="Of train.jsonl: trl, messages, alpaca, sharegpt, v1."
)
@click.option("--plain", is_flag=True, help="Text rows in Self-Instruct's 13 forms instead of conversations.")
@click.option("--without-seeds", is_flag=True, help="Leave the seed tasks out of train.jsonl.")
@click.option("--json", "as_json", is_flag=True, help="The report, as one JSON object.")
def command(
    seed_path: Path | None,
    endpoint: str,
    model: str,
    folder: Path,
    concurrency: int,
    timeout_s: float,
    api_key_env: str,
    to: str,
    plain: bool,
    without_seeds: bool,
    as_json: bool,
    **recipe: Any,
) -> None:
    """Make new tasks as Self-Instruct does: instructions, classification or not, instances, filters.

    OUT gets train.jsonl, tasks.jsonl (with the most similar instructions), rejected.jsonl (with reasons) and report.json. Every
    answer is kept in OUT/journal.jsonl: the same command goes on after a crash and asks nothing twice; a larger -n adds to it.
    """
    from harness import plugs
    from harness.client import OpenAIClient
    from harness.quality.selfinstruct.engine import Engine, Recipe
    from harness.quality.selfinstruct.journal import Journal
    from harness.quality.selfinstruct.results import write
    from harness.quality.selfinstruct.seeds import BUILT_IN, read_seeds

    plugs.find("data format", to)
    asked = Recipe(**{**recipe, "extra": _extra(recipe["extra"])})
    seeds = read_seeds(seed_path or BUILT_IN)
    server = OpenAIClient(
        endpoint, api_key=os.environ.get(api_key_env), concurrency=concurrency, timeout_s=timeout_s, stream="never"
    )
    with Journal(folder, asked.settings(seeds, model)) as journal, _Telling(asked.count) as telling:
        engine = Engine(seeds, asked, _Checked(server, model), model, journal, telling)
        complete = False
        try:
            asyncio.run(_run(engine, server))
            complete = True
        finally:
            telling.close()
            report = write(folder, engine, seeds, to=to, plain=plain, with_seeds=not without_seeds, complete=complete)
            _told(report, folder, as_json)


async def _run(engine: Engine, server: OpenAIClient) -> None:
    async with server:
        await engine.run()


def _extra(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f"--extra {text!r} is not a JSON object")
    return found


class _Checked:
    """Sees that the server has the model before the first question goes out: a run that the journal answers needs no server."""

    def __init__(self, server: OpenAIClient, model: str) -> None:
        self.server, self.model = server, model
        self.look: asyncio.Future[None] | None = None

    async def ask(self, request: Request) -> Response:
        if self.look is None:
            self.look = asyncio.ensure_future(self.server.require_model(self.model))
        await asyncio.shield(self.look)
        return await self.server.ask(request)


class _Telling:
    """Progress on stderr: one line that is written over on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, count: int) -> None:
        self.count, self.terminal = count, sys.stderr.isatty()
        self.every = _EVERY_S_ON_A_TERMINAL if self.terminal else _EVERY_S
        self.began = self.next = time.monotonic()
        self.first = 0  # instructions that came from the journal
        self.written = False

    def __enter__(self) -> _Telling:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, engine: Engine) -> None:
        now = time.monotonic()
        if not engine.asked:  # what the journal answers is no measure of the server
            self.first, self.began = engine.count, now
        if now < self.next:
            return
        self.next = now + self.every
        text = progress(engine, self.count, now - self.began, self.first)
        sys.stderr.write(f"\r\x1b[K{text[:79]}" if self.terminal else f"{text}\n")
        sys.stderr.flush()
        self.written = True

    def close(self) -> None:
        if self.terminal and self.written:
            sys.stderr.write("\r\x1b[K")
        self.written = False


def progress(engine: Engine, count: int, seconds: float, first: int) -> str:
    """``40/100 made, 2 min left, 12.0 req/s, 33 done, 61 rejected (31 too-similar, ...)``. first: those from the journal.

    What may be cut off on a narrow terminal stands last.
    """
    parts = [f"{engine.count:,}/{count:,} made"]
    rate = (engine.count - first) / seconds if seconds > 0 else 0.0
    if engine.asked and rate > 0 and engine.count < count:
        left = round((count - engine.count) / rate)
        parts.append(f"{left // 60} min left" if left >= 120 else f"{left} s left")
    if engine.asked and seconds > 0:
        parts.append(f"{engine.asked / seconds:.1f} req/s")
    reasons = engine.reasons()
    by = ", ".join(f"{number:,} {code}" for (_, code), number in reasons.most_common(3))
    parts += [f"{len(engine.finished):,} done", f"{reasons.total():,} rejected" + (f" ({by})" if by else "")]
    return ", ".join(parts)


def _told(report: Mapping[str, Any], folder: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report, ensure_ascii=False))
        return
    for line in lines(report, folder):
        click.echo(line)


def lines(report: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """The report in 80 columns."""
    from harness.cli.layout import fit
    from reports.text import plural, visible

    made, harder = report["instructions"], report["harder"]
    more = f" and {plural(harder, 'harder version')}" if harder else ""
    state = "" if report["complete"] else " so far (incomplete)"
    yield f"{plural(made, 'instruction')}{more} from {plural(report['seeds'], 'seed')}{state}"
    share = f"{report['classifications']:,} of {report['finished']:,} classifications"
    yield f"  {plural(report['instances'], 'instance')}, {report['empty_inputs']:,} without input; {share}"
    if bare := report["without_instances"]:
        yield f"  {plural(bare, 'instruction')} without any instance that can be used: no row is made of them"
    for step, codes in report["rejected"].items():
        told = ", ".join(f"{count:,} {code}" for code, count in codes.items())
        yield from _wrapped(f"  rejected {_STEPS[step]}: {told}")
    columns = ("mean", "p10", "p50", "p90")
    if made:
        yield f"  {'':<38}{''.join(f'{name:>9}' for name in columns)}"
    for what, spread in (*_named("ROUGE-L to", report["rouge_l"]), *_named("words of", report["words"])):
        if spread:
            yield f"  {fit(what, 38)}" + "".join(f"{spread[name]:>9.2f}" for name in columns)
    if found := report["diversity"]:
        common = ", ".join(f"{word} {count}" for word, count in list(found["commonest"].items())[:6])
        text = f"begin with {found['opening_words']:,} words ({common}); {found['distinct_pairs']:.0%} of word pairs distinct"
        yield from _wrapped(f"  {visible(text)}")
    asked = report["requests"]
    yield f"  {asked['asked']:,} requests sent, {asked['from_journal']:,} answered by the journal"
    yield visible(f"{folder}: train.jsonl ({plural(report['rows'], 'row')}), tasks.jsonl, rejected.jsonl, report.json")


def _named(what: str, spreads: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, spread in spreads.items():
        yield f"{what} {name.replace('_', ' ')}", spread


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 80, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) or [text]
