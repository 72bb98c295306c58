"""Nouns to JSON and back. Hot rows (plan, response, score) are written by hand, cold ones (verdicts, candidates) by their types.

Text is stored as it is, U+0000 and U+2028 included, with one exception: a lone surrogate (half a UTF-16 character, which
is no Unicode text and which neither UTF-8 nor DuckDB can hold) becomes U+FFFD. NaN and infinite timings become None; a score
that is not a number in [0, 1] is refused.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from harness.errors import DataError
from harness.model import Case, CheckResult, Request, Response, Score, Verdict

T = TypeVar("T")

_SURROGATE = re.compile("[\ud800-\udfff]")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """A verdict as it was saved. decided_at: seconds since the epoch."""

    run_id: str
    baseline_run_id: str | None
    verdict: Verdict
    decided_at: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """Timings (seconds) and token sums of the successful responses of a run; None where nothing was measured.

    n: responses. n_cached: those among them that an earlier run measured. tpot: per output token but the first, streamed.
    """

    n: int
    n_cached: int
    ttft_p50_s: float | None
    ttft_p95_s: float | None
    total_p50_s: float | None
    total_p95_s: float | None
    prompt_tokens: int
    completion_tokens: int
    tpot_p50_s: float | None = None
    tpot_p95_s: float | None = None


@dataclass(frozen=True, slots=True)
class CapabilityMean:
    """One capability of a run on the gate split: mean over its cases of which every sample is scored, None if there is none.

    n_scored of n_planned cases; cases: a digest of the planned cases' ids, equal when two runs planned the same. first_seen:
    when weights of this digest first came into the store, seconds since the epoch (a run's own time is that of its last start).
    """

    run_id: str
    capability: str
    mean: float | None
    n_scored: int
    n_planned: int
    cases: str
    first_seen: float


def clean(text: str) -> str:
    """The text with lone surrogates replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text)
    return text


def to_json(value: Any) -> str:
    """One line of JSON for any JSON-able value."""
    return clean(_encode(value))


def short_digest(text: str) -> str:
    """32 hex digits over a text; a name for what is stored once."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def plan_line(seq: int, request: Request, *, with_case: bool) -> str:
    """The plan of one (case, sample). with_case False: an earlier line of the plan holds the case's content."""
    case = request.case
    parts = [to_json(dict(case.vars)), to_json(case.reference), to_json(dict(case.metadata))]
    record: dict[str, Any] = {
        "t": "p",
        "seq": seq,
        "case_id": case.id,
        "capability": case.capability,
        "sample": request.sample,
        "key": request.key,
        "case_digest": short_digest(clean("\0".join([case.id, case.capability, *parts]))),
        "cluster": case.cluster,
        "split": str(case.split),
        "must_pass": case.must_pass,
        "source": case.source,
        "messages": to_json([message.as_dict() for message in request.messages]),
    }
    if with_case:
        record |= {"vars": parts[0], "reference": parts[1], "metadata": parts[2]}
    return to_json(record)


def response_line(request: Request, response: Response, *, cached: bool) -> str:
    """A response with the item it answers. Its id is the same however often it is written."""
    content = to_json(
        {
            "key": response.key,
            "text": response.text,
            "thinking": response.thinking,
            "finish_reason": response.finish_reason,
            "prompt_tokens": response.prompt_tokens,
            "completion_tokens": response.completion_tokens,
            "ttft_s": finite(response.ttft_s),
            "total_s": finite(response.total_s),
            "attempts": response.attempts,
            "started_at": finite(response.started_at),
            "error": response.error,
            "error_message": response.error_message,
        }
    )
    head = {
        "t": "r",
        "case_id": request.case.id,
        "sample": request.sample,
        "rank": 1 if response.error is not None else 2,
        "cached": cached,
        "id": short_digest(content),
    }
    return f"{to_json(head)[:-1]},{content[1:]}"


def score_line(request: Request, key: str, score: Score, scorer: str, scorer_digest: str) -> str:
    """A score with the item it belongs to; raises DataError for a value that is no score."""
    if score.value is not None and not 0.0 <= score.value <= 1.0:
        raise DataError(
            f"the score {score.value!r} is not a number in [0, 1]",
            where=f"case {request.case.id}",
            todo="Mend the check, or return no value and a reason",
        )
    return to_json(
        {
            "t": "s",
            "case_id": request.case.id,
            "sample": request.sample,
            "scorer": scorer,
            "scorer_digest": scorer_digest,
            "key": key,
            "value": finite(score.value),
            "passed": score.passed,
            "unscored": score.unscored,
            "explanation": score.explanation,
            "components": _encode([_component(component) for component in score.components]),
        }
    )


def skip_line(request: Request, reason: str) -> str:
    """An item that is not asked, and why."""
    return to_json(
        {"t": "k", "case_id": request.case.id, "sample": request.sample, "rank": 0, "key": request.key, "reason": reason}
    )


def finite(value: float | None) -> float | None:
    """The number, or None for one that is not known or no number."""
    return float(value) if value is not None and math.isfinite(value) else None


def _component(result: CheckResult) -> list[Any]:
    return [
        result.check,
        result.version,
        result.value,
        result.passed,
        result.explanation,
        result.unscored,
        result.weight,
    ]


def components_from(text: str | None) -> tuple[CheckResult, ...]:
    """The inverse of what score_line writes."""
    return tuple(CheckResult(*row) for row in json.loads(text)) if text else ()


def case_from(case_id: str, capability: str, content: tuple[str | None, str | None, str | None], **rest: Any) -> Case:
    """A case from its stored vars, reference and metadata (JSON texts) and its place in a plan."""
    variables, reference, metadata = (json.loads(text) if text else None for text in content)
    return Case(case_id, capability, variables or {}, reference, metadata=metadata or {}, **rest)


def plain(value: Any) -> Any:
    """A noun as JSON-able values: dataclasses become objects of their fields, enums their values, tuples lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value


def noun(kind: type[T], value: Any) -> T:
    """The inverse of plain: a dataclass from its plain form. Unknown fields are left out, missing ones take their defaults."""
    result: T = _build(kind, value)
    return result


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(hint: Any, value: Any) -> Any:
    if value is None or hint is Any:
        return value
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        inner = [arg for arg in args if arg is not type(None)]
        return _build(inner[0], value) if len(inner) == 1 else value
    if origin is tuple and args:
        kinds = [args[0]] * len(value) if args[-1] is ... else args
        return tuple(_build(kind, item) for kind, item in zip(kinds, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _build(args[1], item) for key, item in value.items()}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return hint(**{name: _build(hints[name], item) for name, item in value.items() if name in hints})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value)
    return float(value) if hint is float else value
