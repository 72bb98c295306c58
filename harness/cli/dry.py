"""``harness run --dry-run``: what a command would ask of candidates and judges, in requests and tokens, before it is asked.

Tokens are estimates: of prompts one for each four bytes of UTF-8; of answers and verdicts what this model's took on average as
far as the store knows it, else the most they may have. A judge's questions about answers that are not there yet are counted as if
every answer were of that length and no two of them alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from harness.cli import scoring
from harness.cli.layout import fit
from harness.model import Candidate, Request, Response
from harness.runner import Plan
from harness.store import Store
from harness.suite import Suite

if TYPE_CHECKING:
    from harness.cli.jury import Jury

BYTES = 4  # of UTF-8 in a token: English about 4, Chinese 3 (one character)
CLASSIFY = "classify"  # a Request's route
_NAME = 22  # columns


@dataclass(frozen=True, slots=True)
class Work:
    """One line: requests planned and still to be asked, and the tokens of those. known: the answers' length is from the store."""

    name: str
    planned: int
    asked: int
    prompt_tokens: int
    answer_tokens: int
    known: bool


def lines(suite: Suite, plans: Mapping[str, Plan], store: Store, baseline_id: str | None) -> Iterator[str]:
    """The table, of at most 80 columns."""
    answers = {name: _answer_tokens(store, plan.candidate) for name, plan in plans.items()}
    works = [_generation(name, plan, store, answers[name]) for name, plan in plans.items()]
    yield "dry run: nothing is asked, nothing is kept. Tokens are estimates (~), or the"
    yield "most there can be (<)."
    yield f"  {'generation':<{_NAME}} {'requests':>9} {'to ask':>9} {'prompt tokens':>15} {'answer tokens':>15}"
    yield from (_line(work) for work in works)
    judged = _judged(suite, plans, store, baseline_id, answers)
    if judged:
        yield f"  {'judges':<{_NAME}} {'answers':>9} {'to ask':>9} {'prompt tokens':>15} {'verdict tokens':>15}"
        yield from (_line(work) for work in judged)
        yield "  Judges: each answer's first questions; a verdict that cannot be read is asked"
        yield "  for once more, and a judge that is asked anything judges its canaries, too."
    total = [*works, *judged]
    prompt, answer = sum(work.prompt_tokens for work in total), sum(work.answer_tokens for work in total)
    yield f"  in all {sum(work.asked for work in total):,} requests, ~{prompt:,} tokens in, up to {answer:,} tokens out"


def _line(work: Work) -> str:
    sign = "~" if work.known else "<"
    prompt, answer = (f"~{work.prompt_tokens:,}", f"{sign}{work.answer_tokens:,}") if work.asked else ("-", "-")
    return f"  {fit(work.name, _NAME)} {work.planned:>9,} {work.asked:>9,} {prompt:>15} {answer:>15}"


def _generation(name: str, plan: Plan, store: Store, mean: float | None) -> Work:
    asked = prompt = answer = 0
    rest, seen = plan.requests(), set[str]()  # what two capabilities ask alike is asked once
    while batch := list(islice(rest, 2_000)):
        found = {request.key: request for request in batch}
        known = store.answered(list(found))
        missing = [request for key, request in found.items() if key not in known and key not in seen]
        seen.update(found)
        asked += len(missing)
        prompt += sum(map(prompt_tokens, missing))
        answer += sum(_length(request, mean) for request in missing)
    return Work(name, plan.size, asked, prompt, answer, mean is not None)


def prompt_tokens(request: Request) -> int:
    size = sum(len(message.content.encode("utf-8", "surrogatepass")) for message in request.messages)
    return -(-size // BYTES)


def _length(request: Request, mean: float | None) -> int:
    if request.route == CLASSIFY:
        return 0  # a number, and no token of an answer
    return request.sampling.max_tokens if mean is None else round(mean)


def _answer_tokens(store: Store, candidate: Candidate) -> float | None:
    """What this candidate's answers took in the latest stored run that says so."""
    for record in store.runs():
        if record.candidate.digest == candidate.digest:
            seen = store.latencies(record.id)
            if seen.n and seen.completion_tokens:
                return seen.completion_tokens / seen.n
    return None


def _judged(
    suite: Suite, plans: Mapping[str, Plan], store: Store, baseline_id: str | None, answers: Mapping[str, float | None]
) -> list[Work]:
    jury = scoring.prepare(suite, store).jury
    if jury is None:
        return []
    from harness.cli import jury as juries

    found = []
    for name, plan in plans.items():
        others = juries.planned_others(store, plans, plan, baseline_id)
        missing = asyncio.run(juries.unasked(jury, store, plan, others, _guess(answers[name])))
        found += [
            _judge(jury, store, f"{judge} on {name}", plan, judge, asked.values()) for judge, asked in missing.by_judge.items()
        ]
    return [work for work in found if work.planned]


def _judge(jury: Jury, store: Store, name: str, plan: Plan, judge: str, missing: Iterable[Request]) -> Work:
    requests = list(missing)
    planned = sum(
        plan.suite.capabilities[case.capability].samples for case in plan.cases() if judge in jury.names(case.capability)
    )
    sizes = {model.digest: store.reply_sizes(model.digest) for model in jury.models_of(judge)}
    lengths = [_length(r, known.completion_tokens if (known := sizes.get(r.candidate.digest)) else None) for r in requests]
    known_all = all(sizes.values()) or all(request.route == CLASSIFY for request in requests)
    return Work(name, planned, len(requests), sum(map(prompt_tokens, requests)), sum(lengths), known_all)


def _guess(mean: float | None) -> Callable[[Request], Response]:
    """A stand-in for an answer: as long as it may be, and unlike that of any other sample or run."""

    def guess(request: Request) -> Response:
        words = f"{request.candidate.name} {request.sample} "
        return Response(request.key, text=words.ljust(BYTES * max(1, _length(request, mean)), "x"), finish_reason="stop")

    return guess
