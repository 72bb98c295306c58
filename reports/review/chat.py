"""A conversation with both checkpoints at once, on a server that is running already. Nothing of it is stored or scored.

Each sees its own history and its own system prompt. Who is A and who is B is drawn for each conversation.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.client import OpenAIClient
from harness.errors import UsageError
from harness.model import Candidate, Case, Message, Request, Response, Sampling
from reports.review.queue import mixed

MOST_CHARS = 20_000  # of one message
MOST_TURNS = 40
MOST_TOKENS = 512  # of one answer
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What was asked, and what came back (or why nothing did), in the order A, B."""

    asked: str
    answers: tuple[Response, ...]


@dataclass(slots=True)
class Conversation:
    """order: which speaker is A, which is B."""

    order: tuple[int, ...]
    turns: list[Turn] = field(default_factory=list)


class Chat:
    """One conversation for each rater. speakers: the candidate, then the baseline if there is one; api_key: of the server."""

    def __init__(
        self, base_url: str, speakers: Sequence[Candidate], *, api_key: str | None = None, max_tokens: int = 512
    ) -> None:
        self.base_url, self.speakers = base_url, tuple(speakers)
        self._api_key, self._max_tokens = api_key, max_tokens
        self._mutex = threading.Lock()
        self._busy: set[str] = set()
        self._conversations: dict[str, Conversation] = {}

    def check(self) -> None:
        """Raise ServeError unless the server is there and serves everybody."""

        async def work() -> None:
            async with self._client() as client:
                for speaker in self.speakers:
                    await client.require_model(speaker.model)

        asyncio.run(work())

    def conversation(self, rater: str) -> Conversation:
        with self._mutex:
            if rater not in self._conversations:
                self._conversations[rater] = Conversation(mixed(secrets.token_hex(8), len(self.speakers)))
            return self._conversations[rater]

    def start_over(self, rater: str) -> None:
        with self._mutex:
            self._conversations.pop(rater, None)

    def say(self, rater: str, text: str) -> None:
        """Ask everybody, at once, and wait for all. UsageError for what cannot be asked."""
        if not text.strip() or len(text) > MOST_CHARS:
            raise UsageError(f"a message has 1 to {MOST_CHARS:,} characters")
        conversation = self.conversation(rater)
        if len(conversation.turns) >= MOST_TURNS:
            raise UsageError(f"this conversation has {MOST_TURNS} turns", todo="Begin a new one")
        with self._mutex:
            if rater in self._busy:
                raise UsageError("the last message is still being answered", todo="Wait for it")
            self._busy.add(rater)
        try:
            answers = asyncio.run(self._ask([self._request(conversation, side, text) for side in range(len(self.speakers))]))
            conversation.turns.append(Turn(text, tuple(answers)))
        finally:
            with self._mutex:
                self._busy.discard(rater)

    async def _ask(self, requests: Sequence[Request]) -> list[Response]:
        async with self._client() as client:
            return await asyncio.gather(*(client.ask(request) for request in requests))

    def _client(self) -> OpenAIClient:
        return OpenAIClient(self.base_url, api_key=self._api_key, timeout_s=_TIMEOUT_S, retries=1, stream="never")

    def _request(self, conversation: Conversation, side: int, text: str) -> Request:
        speaker = self.speakers[conversation.order[side]]
        messages = [Message("system", speaker.prompt.system)] if speaker.prompt.system else []
        for turn in conversation.turns:
            if turn.answers[side].error is None:  # what was not answered was not said
                messages += [Message("user", turn.asked), Message("assistant", turn.answers[side].text)]
        case = Case("chat", "chat", {"input": text})
        return Request(speaker, case, (*messages, Message("user", text)), Sampling(max_tokens=MOST_TOKENS))
