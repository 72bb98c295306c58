"""Scores that need judges: rule checks at once, the judges' words asked for where the store does not hold the replies already.

A judgment is a function of a judge model's replies, and a reply is found again by the key of its request: model, messages and
sampling. So the same question is never asked twice, whatever was killed in between; a changed rule check asks nothing, and a
changed rubric changes the messages and asks anew. Replies are journalled before they are read.

This module knows what a judge does (harness.model.Judgment by way of a Client), not what kinds there are: the command line hands
them in.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from harness.checks import CheckScorer
from harness.checks import Outcome as Said
from harness.errors import ServeError
from harness.model import Case, Client, Judgment, Message, Request, Response, Score, digest_of
from harness.store import Asked, RunWriter, Store

K = TypeVar("K")
V = TypeVar("V")

RECENT = 4_096  # replies kept for questions that come again at once: several samples with one answer
SELF = "this run is what others are compared with"


class Judge(Protocol):
    """What is needed of judges.base.Judge."""

    @property
    def digest(self) -> str: ...

    async def judge(
        self,
        case: Case,
        response: Response,
        asker: Client,
        *,
        baseline: Response | None = None,
        messages: Sequence[Message] | None = None,
    ) -> Judgment: ...


class Batched(Generic[K, V]):
    """Many single look-ups as few big ones: whatever is asked for while one is under way makes up the next."""

    def __init__(self, load: Callable[[Sequence[K]], Mapping[K, V]]) -> None:
        self._load = load
        self._waiting: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
        future = self._waiting[key]
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(future)

    async def _run(self) -> None:
        await asyncio.sleep(0)  # let those who are ready ask, too
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                found = await asyncio.to_thread(self._load, list(batch))
            except Exception as error:  # theirs to raise
                for future in batch.values():
                    _fail(future, error)
                continue
            for key, future in batch.items():
                if not future.done():
                    future.set_result(found.get(key))


def _fail(future: asyncio.Future[V], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # somebody may have stopped waiting: then nobody is to be told


@dataclass(slots=True)
class Desk:
    """Where judges' questions go, for as long as a command runs: the stored reply, or the model.

    clients: by the digest of the judge model. require: called before the first request to a model and after one that could not
    even connect; raises when the server is not there, since then nothing can be judged. sent: requests really made, by the digest
    of the model. over: a server is gone.
    """

    store: Store
    clients: Mapping[str, Client]
    require: Callable[[Request], Awaitable[None]]
    known: set[str] = field(default_factory=set)
    sent: dict[str, int] = field(default_factory=dict)
    recent: OrderedDict[str, Response] = field(default_factory=OrderedDict)
    flying: dict[str, asyncio.Future[Response]] = field(default_factory=dict)
    stored: Batched[str, Response] | None = None
    over: bool = False
    ready: dict[str, asyncio.Lock] = field(default_factory=dict)

    def learn(self, models: Sequence[str]) -> None:
        """Read which questions to these models the store has replies to. Called once, before anything is asked."""
        self.known = set(self.store.reply_keys(models))
        self.stored = Batched(self._load)

    def _load(self, keys: Sequence[str]) -> Mapping[str, Response]:
        found = self.store.replies(keys)
        return found if len(found) == len(keys) else self.store.replies(keys, fold=True)

    async def reply(self, request: Request, tab: Tab) -> Response:
        key = request.key
        if not tab.anew:
            if (flying := self.flying.get(key)) is not None:
                return await asyncio.shield(flying)
            found = self.recent.get(key)
            if found is None and key in self.known and self.stored is not None:
                found = await self.stored.get(key)
            if found is not None:
                tab.refused |= found.error is not None
                return found
            if (flying := self.flying.get(key)) is not None:  # sent by another while we looked
                return await asyncio.shield(flying)
        return await self._send(key, request, tab)

    async def _send(self, key: str, request: Request, tab: Tab) -> Response:
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.flying[key] = future
        try:
            client = await self._client(request)
            reply = await client.ask(request)
            if self.over:  # the run has ended under a judge that asks several questions at once: be quiet
                raise asyncio.CancelledError
            tab.sent += 1
            self.sent[request.candidate.digest] += 1
            tab.writer.add_reply(tab.about, request, reply)
            if reply.error == "connection":
                await self._require(request)
            if reply.error is None or reply.error.startswith("http-4"):
                self._remember(key, reply)
            future.set_result(reply)
            return reply
        except Exception as error:
            _fail(future, error)
            raise
        finally:
            future.cancel()  # no effect on one that is done
            if self.flying.get(key) is future:
                del self.flying[key]

    async def _client(self, request: Request) -> Client:
        digest = request.candidate.digest
        if digest not in self.clients:
            what = f"the judge model {request.candidate.model!r} is not served, and a question to it has no stored reply"
            raise ServeError(what, todo="Run the same command again")
        if digest not in self.sent:
            async with self.ready.setdefault(digest, asyncio.Lock()):
                if digest not in self.sent:
                    await self._require(request)
                    self.sent[digest] = 0
        return self.clients[digest]

    async def _require(self, request: Request) -> None:
        try:
            await self.require(request)
        except Exception:
            self.over = True
            raise

    def _remember(self, key: str, reply: Response) -> None:
        self.known.add(key)
        self.recent[key] = reply
        if len(self.recent) > RECENT:
            self.recent.popitem(last=False)


@dataclass(slots=True)
class Tab:
    """The Client of one judgment: it passes questions on to the desk and counts. anew: ask whatever is stored. refused: a stored
    refusal was among the replies, which the server may not repeat."""

    desk: Desk
    writer: RunWriter
    about: Request
    anew: bool = False
    requests: int = 0
    sent: int = 0
    seconds: float = 0.0
    refused: bool = False

    async def ask(self, request: Request) -> Response:
        reply = await self.desk.reply(request, self)
        self.requests += 1
        self.seconds += reply.total_s or 0.0
        return reply

    @property
    def asked(self) -> Asked:
        return Asked(self.requests, self.sent, self.seconds)


class Others(Protocol):
    """The answers that a pairwise judge compares with. run_id: whose they are, None where a run is compared with itself."""

    @property
    def run_id(self) -> str | None: ...

    async def answer(self, request: Request) -> Response | None: ...


class Itself:
    """A baseline has nothing to be compared with: each of its answers is a tie with itself, and no judge is asked."""

    run_id: str | None = None

    async def answer(self, request: Request) -> Response | None:
        return None


class BaselineAnswers:
    """The answers of a run that has been asked already, same case and same sample."""

    def __init__(self, store: Store, run_id: str) -> None:
        self.run_id: str | None = run_id
        self._stored: Batched[tuple[str, int], Response] = Batched(lambda keys: store.answers(run_id, keys))

    async def answer(self, request: Request) -> Response | None:
        return await self._stored.get((request.case.id, request.sample))


@dataclass(frozen=True)
class JudgedScorer:
    """A harness.runner.PatientScorer: rule checks and judges together make the score of a capability's answers.

    judges: those that the checks name. pairwise: which of them compare with ``others``.
    """

    checks: CheckScorer
    judges: Mapping[str, Judge]
    pairwise: frozenset[str]
    desk: Desk
    others: Others

    @property
    def rules_digest(self) -> str:
        """Over checks and judges: runs are comparable when it is the same."""
        return digest_of([self.checks.digest, {name: judge.digest for name, judge in self.judges.items()}])

    @property
    def digest(self) -> str:
        """The same, and whom the answers were compared with: another baseline, another score."""
        return digest_of([self.rules_digest, self.others.run_id]) if self.pairwise else self.rules_digest

    async def ascore(self, request: Request, response: Response, writer: RunWriter) -> Score:
        if (unfit := self.checks.unfit(response)) is not None:
            return unfit
        names = list(self.judges)
        said = await asyncio.gather(*(self._word(name, request, response, writer) for name in names))
        return self.checks.score(request.case, response, dict(zip(names, said, strict=True)))

    async def _word(self, name: str, request: Request, response: Response, writer: RunWriter) -> Said:
        other = None
        if name in self.pairwise:
            if self.others.run_id is None:
                return Said(0.5, SELF, passed=True)
            other = await self.others.answer(request)
        judge = self.judges[name]
        tab = Tab(self.desk, writer, request)
        judgment = await judge.judge(request.case, response, tab, baseline=other, messages=request.messages)
        if judgment.errored and tab.refused:  # the server has perhaps learnt meanwhile what it refused then
            tab = Tab(self.desk, writer, request, anew=True)
            judgment = await judge.judge(request.case, response, tab, baseline=other, messages=request.messages)
        writer.add_judgment(request, judgment, tab.asked, baseline_run_id=self.others.run_id if name in self.pairwise else None)
        return Said(judgment.value, judgment.explanation, judgment.unscored, judgment.passed)
