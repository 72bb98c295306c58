"""How a judge is asked: in the richest form that its server takes, once more in a stricter one, then not at all.

Forms, richest first: ``logprob`` (JSON Schema and log-probabilities of the score), ``schema`` (JSON Schema), ``text`` (a last
line). A server that refuses a form (400, 404, 415, 422, 501) is asked in the next one; what it takes is remembered, so that the
refused form is not sent for every case. A form counts as refused only once the next one was answered: a prompt that is too long
is refused in every form, and says nothing about the server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import Candidate, Case, Client, Message, Request, Response, Sampling
from judges.reading import Unread

FORMS = ("logprob", "schema", "text")
TOP = 20  # alternatives asked for per token: the most that OpenAI and vLLM give unasked
_REFUSED = frozenset({"http-400", "http-404", "http-415", "http-422", "http-501"})

Compose = Callable[[str, bool], Sequence[Message]]  # (form, strict) -> messages
Schema = Callable[[bool], dict[str, Any]]  # strict -> JSON Schema of the verdict


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the judge's options goes into its requests."""

    candidate: Candidate
    sampling: Sampling
    schema: Schema


@dataclass(frozen=True, slots=True)
class Trial:
    """What one question to a judge came to. verdict: what ``read`` made of the reply, None when unscored."""

    verdict: Any
    mode: str
    replies: tuple[Response, ...]
    unscored: str | None = None
    detail: str = ""
    errored: bool = False


class Interview:
    """Asks one judge's questions. Remembers, for its lifetime, the richest form that the server takes; form: where to begin.

    compose(form, strict) -> messages. read(response, form, strict) -> verdict or Unread.
    """

    def __init__(self, settings: Settings, *, form: str) -> None:
        self._settings = settings
        self._first = FORMS.index(form)

    def request(
        self,
        case: Case,
        compose: Compose,
        *,
        sample: int,
        schema: Schema | None = None,
        strict: bool = False,
        form: str = "",
    ) -> Request:
        """The question in a form, the richest that the server takes if none is named. schema: instead of the judge's own."""
        form = form or FORMS[self._first]
        settings = self._settings
        extra: dict[str, Any] = {}
        if form != "text":
            wanted = {"name": "verdict", "strict": True, "schema": (schema or settings.schema)(strict)}
            extra["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if form == "logprob":
            extra |= {"logprobs": True, "top_logprobs": TOP}
        sampling = settings.sampling
        sampling = Sampling(
            sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed, sampling.stop, {**extra, **sampling.extra}
        )
        return Request(settings.candidate, case, tuple(compose(form, strict)), sampling, sample)

    async def ask(
        self,
        asker: Client,
        case: Case,
        compose: Compose,
        read: Callable[[Response, str, bool], Any],
        *,
        sample: int,
        schema: Schema | None = None,
    ) -> Trial:
        """Once, and once more in the stricter form when the reply holds no verdict."""
        replies: list[Response] = []
        unread = Unread("judge-no-verdict")
        form = FORMS[self._first]
        for strict in (False, True):

            def make(form: str, strict: bool = strict) -> Request:
                return self.request(case, compose, sample=sample, schema=schema, strict=strict, form=form)

            form, reply = await self._send(asker, make)
            replies.append(reply)
            if reply.error is not None:
                detail = f"{reply.error}: {reply.error_message or ''}"
                return Trial(None, form, tuple(replies), "judge-error", detail, errored=True)
            verdict = read(reply, form, strict)
            if not isinstance(verdict, Unread):
                return Trial(verdict, form, tuple(replies))
            unread = verdict
        return Trial(None, form, tuple(replies), unread.reason, unread.detail)

    async def _send(self, asker: Client, make: Callable[[str], Request]) -> tuple[str, Response]:
        """The reply to the richest form that is taken; the first refusal, when every form is refused."""
        refused: list[tuple[str, Response]] = []
        for form in FORMS[self._first :]:
            reply = await asker.ask(make(form))
            if reply.error not in _REFUSED:
                if reply.error is None:
                    self._first = max(self._first, FORMS.index(form))
                return form, reply
            refused.append((form, reply))
        return refused[0]


def tokens(replies: Iterable[Response]) -> tuple[int, int]:
    """(prompt tokens, completion tokens) of these replies; what a server did not tell counts nothing."""
    listed = list(replies)
    return sum(r.prompt_tokens or 0 for r in listed), sum(r.completion_tokens or 0 for r in listed)
