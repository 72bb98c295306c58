"""The loop of Self-Instruct: rounds of new instructions, and beside them whatever an accepted instruction needs next.

A round makes its prompts from the pool as it stands, asks them all at once, and reads the answers in the prompts' order; so what
a run does follows from its settings and the answers alone. A run that was killed is played again from its journal: the same
prompts come up, known answers cost nothing, and only what is missing is asked. Whether a task is a classification and what its
instances are changes no pool, so these questions run beside the rounds and keep the server busy.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import IncompleteError, UsageError
from harness.model import Candidate, Case, Client, Message, Request, Sampling, digest_of
from harness.quality.novelty import THRESHOLD, Match, NoveltyIndex
from harness.quality.selfinstruct import prompts
from harness.quality.selfinstruct.journal import Answer, Journal
from harness.quality.selfinstruct.reading import (
    MOST_INSTANCES,
    Refused,
    fault,
    labelled,
    listed,
    one_line,
    says_yes,
    sifted,
    worked,
)
from harness.quality.selfinstruct.seeds import Instance, Task, digest

MACHINE_MADE = 2  # instructions of a prompt that a model wrote, at most
PARENT_THRESHOLD = 0.9  # a harder version may stay this close to what it was made from
STALE = 20  # rounds in a row without a new instruction: the model has nothing to add
_CASE = Case(id="", capability="self-instruct", vars={})
_STOPS = (f"Example {MOST_INSTANCES + 1}", "Task:")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How many, and what decides the questions. Defaults are Self-Instruct's.

    count: instructions to make. batch: prompts of a round. evolve: share of the new instructions of which a harder version is
    asked. extra: fields every request carries besides, as they are.
    """

    count: int = 100
    batch: int = 8
    threshold: float = THRESHOLD
    temperature: float = 0.7
    top_p: float = 0.5
    presence_penalty: float = 2.0
    max_tokens: int = 1024
    labels_only: bool = False
    any_script: bool = False
    evolve: float = 0.0
    seed: int = 123
    extra: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, seeds: tuple[Task, ...], model: str) -> dict[str, Any]:
        """What must be the same for a run to be gone on with: everything but the count."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("count", "extra")}
        return own | {"extra": dict(self.extra), "model": model, "seeds": digest(seeds)[:16], "prompts": prompts.VERSION}


@dataclass(frozen=True, slots=True)
class Made:
    """An accepted instruction. similar: the ten most similar of the pool as it stood. request: the answer it came from, by key.
    parent: id of the instruction it is a harder version of."""

    id: str
    instruction: str
    similar: tuple[tuple[str, float], ...]
    request: str
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A text that was not used. step: instruction | harder | instance. code: one of reading.REASONS."""

    step: str
    code: str
    text: str
    request: str
    nearest: str | None = None
    similarity: float | None = None
    task: str | None = None


@dataclass(slots=True)
class Finished:
    """What steps two to four made of an instruction. unclear: whether the model said neither yes nor no."""

    classification: bool
    unclear: bool
    instances: tuple[Instance, ...]
    rejected: tuple[Rejected, ...]


class Engine:
    """One run. ``made``, ``finished`` (by id), ``rejected`` are its result so far; ``told`` is called whenever they change."""

    def __init__(
        self,
        seeds: Sequence[Task],
        recipe: Recipe,
        client: Client,
        model: str,
        journal: Journal,
        told: Callable[[Engine], object] = lambda engine: None,
    ) -> None:
        self.recipe, self.client, self.journal, self._told = recipe, client, journal, told
        self.shown = [task for task in seeds if task.classification] if recipe.labels_only else list(seeds)
        if len(self.shown) < prompts.SHOWN:
            what = "classifications" if recipe.labels_only else "seed tasks"
            raise UsageError(f"the seeds hold {len(self.shown)} {what}", todo=f"a prompt shows {prompts.SHOWN}: write more")
        self.candidate = Candidate("writer", model, digest_of(["self-instruct", model]), kind="endpoint")
        self.made: list[Made] = []
        self.finished: dict[str, Finished] = {}
        self.rejected: list[Rejected] = []
        self.failed: dict[str, str] = {}  # task -> why it has no instances yet
        self.asked = self.known = 0
        self._machine: list[str] = []  # accepted, harder versions aside: what prompts may show
        self._pool = [task.instruction for task in seeds]
        self._places: dict[str, int] = {}  # id of a made instruction -> place in the pool
        self._index = NoveltyIndex(self._pool, threshold=recipe.threshold)
        self._background: list[asyncio.Task[None]] = []

    @property
    def count(self) -> int:
        """Instructions made, harder versions aside."""
        return len(self._machine)

    async def run(self) -> None:
        """Until the recipe's count is reached and every instruction has its instances.

        IncompleteError: the server is gone (what was answered is in the journal), or the model writes nothing new any more.
        """
        try:
            await self._rounds()
            await asyncio.gather(*self._background)
        finally:
            for task in self._background:
                task.cancel()
            await asyncio.gather(*self._background, return_exceptions=True)
        if self.failed:
            first = next(iter(self.failed.values()))
            raise IncompleteError(f"{len(self.failed)} instructions have no instances yet: {first}", todo="Run it again to go on")

    async def _rounds(self) -> None:
        number, stale = 0, 0
        while self.count < self.recipe.count:
            before = len(self.made)
            await self._round(number)
            number, stale = number + 1, 0 if len(self.made) > before else stale + 1
            if stale == STALE:
                await asyncio.gather(*self._background)
                raise IncompleteError(
                    f"{STALE} rounds in a row brought no new instruction: {self.count} of {self.recipe.count} are made",
                    todo="Look at rejected.jsonl; take another model, a higher temperature or more seeds",
                )

    # -- step one: new instructions ----------------------------------------------------------------------------------------------

    async def _round(self, number: int) -> None:
        """One batch of prompts, read in their order."""
        self._told(self)
        places = range(number * self.recipe.batch, (number + 1) * self.recipe.batch)
        asked = [self._ask(self._prompt(place), self._creative(), place) for place in places]
        answers = await asyncio.gather(*asked)
        if all(answer.text is None for _, answer in answers):
            raise _gone(answers)
        self._give_up(answers)
        new: list[Made] = []
        for key, answer in answers:
            for text in self._items(key, answer):
                if self.count >= self.recipe.count:
                    self._refuse("instruction", "surplus", text, key)
                    continue
                task = self._accepted("instruction", text, key, f"machine_task_{self.count}")
                new += [task] if task else []
        await self._harder([task for task in new if self._picked(task)])
        self._told(self)

    def _prompt(self, place: int) -> str:
        """Eight instructions, up to two of them machine-made, in random order."""
        rng = random.Random(f"{self.recipe.seed}:{place}")  # noqa: S311
        written = rng.sample(self._machine, min(MACHINE_MADE, len(self._machine)))
        people = rng.sample([task.instruction for task in self.shown], prompts.SHOWN - len(written))
        shown = [*written, *people]
        rng.shuffle(shown)
        return prompts.generate(shown, labels_only=self.recipe.labels_only)

    def _creative(self) -> Sampling:
        recipe = self.recipe
        last = prompts.SHOWN + prompts.ASKED_FOR
        return Sampling(
            temperature=recipe.temperature,
            top_p=recipe.top_p,
            max_tokens=recipe.max_tokens,
            seed=recipe.seed,
            stop=(f"\n{last + 1}.",),
            extra={"presence_penalty": recipe.presence_penalty, **recipe.extra},
        )

    def _give_up(self, answers: Sequence[tuple[str, Answer]]) -> None:
        """Remember failed prompts as failed, so that a run played again takes the same way."""
        for key, answer in answers:
            if answer.text is None and key not in self.journal.answers:
                self.journal.add(key, answer)

    def _items(self, key: str, answer: Answer) -> list[str]:
        """The instructions of one answer; a whole answer that cannot be used is rejected with its reason."""
        first = prompts.SHOWN + 1
        if answer.text is None:
            return self._refuse("instruction", "failed", answer.error or "", key)
        if answer.cut:
            return self._refuse("instruction", "cut", answer.text, key)
        found = listed(answer.text, first, first + prompts.ASKED_FOR - 1)
        return found or self._refuse("instruction", "no-list", answer.text, key)

    def _refuse(self, step: str, code: str, text: str, key: str) -> list[str]:
        self.rejected.append(Rejected(step, code, text, key))
        return []

    def _accepted(self, step: str, text: str, key: str, name: str, parent: Made | None = None) -> Made | None:
        """The instruction, now in the pool, with its further questions on their way; or None, and it is rejected."""
        if code := fault(text, any_script=self.recipe.any_script):
            self._refuse(step, code, text, key)
            return None
        close = self._too_close(text, parent)
        if close is not None:
            nearest = self._pool[close.index]
            code = "unchanged" if parent and nearest == parent.instruction else "too-similar"
            self.rejected.append(Rejected(step, code, text, key, nearest, close.score))
            return None
        similar = tuple((self._pool[match.index], round(match.score, 4)) for match in self._index.most_similar(text, 10))
        task = Made(name, text, similar, key, parent.id if parent else None)
        self._places[name] = self._index.add(text)
        self._pool.append(text)
        self.made.append(task)
        if parent is None:
            self._machine.append(text)
        self._background.append(asyncio.create_task(self._finish(task)))
        return task

    def _too_close(self, text: str, parent: Made | None) -> Match | None:
        if parent is None:
            return self._index.closest(text)
        place = self._places[parent.id]
        close = self._index.closest(text, but=place)
        score = next((match.score for match in self._index.most_similar(text, 1) if match.index == place), 0.0)
        return close if close or score <= PARENT_THRESHOLD else Match(place, score)

    # -- harder versions, as an option -------------------------------------------------------------------------------------------

    def _picked(self, task: Made) -> bool:
        return random.Random(f"{self.recipe.seed}:harder:{task.id}").random() < self.recipe.evolve  # noqa: S311

    async def _harder(self, tasks: Sequence[Made]) -> None:
        asked = []
        for task in tasks:
            rng = random.Random(f"{self.recipe.seed}:how:{task.id}")  # noqa: S311
            prompt = prompts.evolve(task.instruction, rng.randrange(len(prompts.HARDER)), digest_of(task.instruction)[:12])
            asked.append(self._ask(prompt, self._creative(), 0))
        answers = await asyncio.gather(*asked)
        if answers and all(answer.text is None and not _for_good(answer) for _, answer in answers):
            raise _gone(answers)
        self._give_up(answers)
        for task, (key, answer) in zip(tasks, answers, strict=True):
            if answer.text is None or answer.cut:
                self._refuse("harder", "failed" if answer.text is None else "cut", answer.text or answer.error or "", key)
            else:
                self._accepted("harder", one_line(answer.text), key, f"{task.id}_harder", task)

    # -- steps two to four: classification or not, instances, filters ----------------------------------------------------------

    async def _finish(self, task: Made) -> None:
        plain = Sampling(temperature=0.0, max_tokens=3, seed=self.recipe.seed, extra=dict(self.recipe.extra))
        key, said = await self._ask(prompts.classify(task.instruction), plain)
        if said.text is None:
            return self._unfinished(task, key, said, False)
        yes = says_yes(said.text)
        sampling = Sampling(
            temperature=0.0,
            max_tokens=300 if yes else 350,
            seed=self.recipe.seed,
            stop=_STOPS,
            extra={"presence_penalty": 1.5, **self.recipe.extra},
        )
        ask = prompts.label_first if yes else prompts.input_first
        key, answer = await self._ask(ask(task.instruction), sampling)
        if answer.text is None:
            return self._unfinished(task, key, answer, bool(yes))
        found = labelled(answer.text) if yes else worked(answer.text)
        good, refused = sifted(found, cut=answer.cut)
        rejected = [_rejected(task, key, one) for one in refused]
        if not found:
            rejected.append(Rejected("instance", "cut" if answer.cut else "no-instance", answer.text, key, task=task.id))
        self.finished[task.id] = Finished(bool(yes), yes is None, tuple(good), tuple(rejected))
        self._told(self)

    def _unfinished(self, task: Made, key: str, answer: Answer, classification: bool) -> None:
        """A question that the server will never answer is given up; any other failure leaves the task for the next run."""
        if _for_good(answer):
            self._give_up([(key, answer)])
            why = Rejected("instance", "failed", answer.error or "", key, task=task.id)
            self.finished[task.id] = Finished(classification, False, (), (why,))
        else:
            self.failed[task.id] = answer.error or "failed"

    async def _ask(self, prompt: str, sampling: Sampling, sample: int = 0) -> tuple[str, Answer]:
        """The answer from the journal, or from the server into the journal. A failure is returned and not remembered."""
        request = Request(self.candidate, _CASE, (Message("user", prompt),), sampling, sample)
        key = request.key
        if key in self.journal.answers:
            self.known += 1
            return key, self.journal.answers[key]
        response = await self.client.ask(request)
        self.asked += 1
        if response.error is not None:
            return key, Answer(None, None, f"{response.error}: {response.error_message or ''}".rstrip(": "))
        answer = Answer(response.text, response.finish_reason)
        self.journal.add(key, answer)
        return key, answer

    def reasons(self) -> Counter[tuple[str, str]]:
        """(step, code) -> rejected texts."""
        every = [*self.rejected, *(one for done in self.finished.values() for one in done.rejected)]
        return Counter((one.step, one.code) for one in every)


def _for_good(answer: Answer) -> bool:
    """Whether the server refused this very request (too long, malformed): asking again would not help."""
    return (answer.error or "").startswith(("http-400", "http-413", "http-422", "bad-response"))


def _gone(answers: Sequence[tuple[str, Answer]]) -> IncompleteError:
    return IncompleteError(f"every request of a round failed: {answers[0][1].error}", todo="Run it again to go on")


def _rejected(task: Made, key: str, refused: Refused) -> Rejected:
    instance = refused.instance
    return Rejected("instance", refused.code, f"Input: {instance.input}\nOutput: {instance.output}", key, task=task.id)
