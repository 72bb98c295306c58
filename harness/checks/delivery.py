"""latency, finish-reason: how an answer came, not what it says.

Cut-off answers reach a check only when the capability says ``on_truncated: score``; without it a finish-reason check never sees
one.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from harness.checks.base import ABSENT, BadValue, CheckType, Example, Options, Outcome, Seen, Takes, unscored, yes_no
from harness.checks.texts import show


class LatencyOptions(Options):
    """max: seconds. of: the whole answer (total), or its first token (ttft, known when answers are streamed)."""

    max: float = Field(gt=0, allow_inf_nan=False)
    of: Literal["total", "ttft"] = "total"


def _latency(seen: Seen, expected: None, options: LatencyOptions) -> Outcome:
    seconds = seen.response.total_s if options.of == "total" else seen.response.ttft_s
    if seconds is None:
        return unscored("no-timing", f"the response has no {options.of} time")
    return yes_no(seconds <= options.max, f"{options.of} {seconds:.3f} s, limit {options.max:g} s")


def _reasons(value: Any, options: Any) -> tuple[str, ...]:
    if value is ABSENT:
        return ("stop",)
    reasons = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not reasons or not all(isinstance(reason, str) and reason for reason in reasons):
        raise BadValue("a finish reason is a word of the server's: stop, length, tool_calls, content_filter")
    return reasons


def _finish_reason(seen: Seen, expected: tuple[str, ...], options: Any) -> Outcome:
    reason = seen.response.finish_reason
    if reason is None:
        return unscored("no-finish-reason", "the server gave no finish reason")
    return yes_no(reason in expected, f"finish reason {show(reason)}")


CHECKS = (
    CheckType(
        name="latency",
        version=1,
        summary="The answer (or its first token) came within `max` seconds.",
        judge=_latency,
        options=LatencyOptions,
        takes=Takes.NOTHING,
        examples=(
            Example("x", 1.0, options={"max": 2}, response={"total_s": 1.5}),
            Example("x", 0.0, options={"max": 1}, response={"total_s": 1.5}),
            Example("x", 1.0, options={"max": 0.2, "of": "ttft"}, response={"total_s": 1.5, "ttft_s": 0.1}),
            Example("x", None, options={"max": 1}, unscored="no-timing"),
        ),
    ),
    CheckType(
        name="finish-reason",
        version=1,
        summary="The answer ended for this reason (stop without a value), or for one of a list.",
        judge=_finish_reason,
        takes=Takes.OWN,
        prepare=_reasons,
        examples=(
            Example("x", 1.0),
            Example("x", 0.0, response={"finish_reason": "length"}),
            Example("x", 1.0, value=["stop", "tool_calls"], response={"finish_reason": "tool_calls"}),
            Example("x", None, response={"finish_reason": None}, unscored="no-finish-reason"),
        ),
    ),
)
