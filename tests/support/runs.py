"""Small runs for tests of whatever reads or writes the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.model import Candidate, Case, CheckResult, Message, Request, Response, RunRecord, Sampling, Score, Split

CANDIDATE = Candidate(name="base", model="base", digest="d" * 64)


def make_record(run_id: str = "run1", **changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "id": run_id,
        "suite_name": "demo",
        "suite_hash": "h" * 64,
        "candidate": CANDIDATE,
        "status": "running",
        "plan": {"samples": 1},
        "started_at": 100.0,
    }
    return RunRecord(**values | changes)


def make_request(
    number: int, sample: int = 0, *, capability: str = "math", candidate: Candidate = CANDIDATE, **case: Any
) -> Request:
    values: dict[str, Any] = {
        "id": f"{number:016x}",
        "capability": capability,
        "vars": {"input": f"What is {number} + 1?"},
        "reference": str(number + 1),
        "split": Split.GATE,
        "source": f"cases.jsonl:{number + 1}",
    }
    made = Case(**values | case)
    return Request(candidate, made, (Message("user", str(made.vars.get("input", ""))),), Sampling(), sample)


def make_requests(n: int, samples: int = 1, **case: Any) -> Iterator[Request]:
    for number in range(n):
        for sample in range(samples):
            yield make_request(number, sample, **case)


def make_response(request: Request, text: str | None = None, **changes: Any) -> Response:
    values: dict[str, Any] = {
        "key": request.key,
        "text": str(request.case.reference) if text is None else text,
        "finish_reason": "stop",
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "ttft_s": 0.05,
        "total_s": 0.25,
        "started_at": 1_700_000_000.25,
    }
    return Response(**values | changes)


def make_failure(request: Request, code: str = "timeout") -> Response:
    return Response(key=request.key, error=code, error_message="no answer within 60 s", attempts=4)


def make_score(value: float | None = 1.0, unscored: str | None = None) -> Score:
    passed = None if value is None else value >= 0.5
    part = CheckResult("equals", 1, value, passed, "as expected", unscored)
    return Score(value, passed, unscored, "as expected", (part,))
