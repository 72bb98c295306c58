"""Judges under test: an asker that answers by a function, and small cases, responses and specs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.model import Candidate, Case, Request, Response, TokenChoice
from judges import Judge, build

MODEL = Candidate("grader", "grader-1", "d" * 64, kind="endpoint", base_url="http://127.0.0.1:1/v1")
Reply = str | dict[str, Any]


class FakeAsker:
    """A model.Client over ``answer(request)``: a text, or a dict of Response fields (error, finish_reason, tail, ...)."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self.requests: list[Request] = []

    async def ask(self, request: Request) -> Response:
        self.requests.append(request)
        said = self.answer(request)
        fields = {"text": said} if isinstance(said, str) else said
        return Response(request.key, **{"finish_reason": "stop", "prompt_tokens": 10, "completion_tokens": 5, **fields})


def refused(code: int = 400) -> dict[str, Any]:
    return {"error": f"http-{code}", "error_message": "response_format is not supported"}


def case(text: str = "How do I reset my password?", reference: Any = None, **more: Any) -> Case:
    return Case(more.pop("id", "c1"), more.pop("capability", "tone"), {"input": text, **more.pop("vars", {})}, reference, **more)


def answer(text: str, **fields: Any) -> Response:
    return Response("r" * 32, text, **{"finish_reason": "stop", **fields})


def judge(options: dict[str, Any], *, root: Path = Path("."), name: str = "tone", others: dict[str, Any] | None = None) -> Judge:
    spec = build(
        name,
        {"model": "grader", **options} if options["kind"] not in ("panel", "recorded") else options,
        root=root,
        others=others,
    )
    return spec.bind(dict.fromkeys(spec.models, MODEL))


def verdict(score: Any, reasoning: str = "Because.") -> str:
    return json.dumps({"reasoning": reasoning, "score": score})


def tail(digit: str, top: dict[str, float]) -> tuple[TokenChoice, ...]:
    """The end of ``{..., "score": N}`` in tokens, with natural-log probabilities for the digit's place."""
    pieces = [('"', {}), ("score", {}), ('":', {}), (" ", {}), (digit, top), ("}", {})]
    return tuple(TokenChoice(token, tuple(alternatives.items()) or ((token, 0.0),)) for token, alternatives in pieces)
