"""Reads a verdict out of what a judge wrote. Strict: what is no verdict in the form asked for is unread, with a reason.

A judge's reply is hostile input twice over: a model wrote it, and it may quote the text it judged. So nothing is searched for in
prose. A JSON verdict is the whole reply; a text verdict is its last line. A verdict outside the menu is never rounded onto it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.model import Response, TokenChoice

EXCERPT = 300  # characters of an unread reply that are kept

EMPTY, CUT, REFUSED = "judge-empty", "judge-cut", "judge-refused"
BAD_JSON, NO_VERDICT, OFF_MENU = "judge-invalid-json", "judge-no-verdict", "judge-outside-menu"
REASONS = (EMPTY, CUT, REFUSED, BAD_JSON, NO_VERDICT, OFF_MENU)

_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL | re.IGNORECASE)
_REFUSAL = re.compile(
    r"\A\W*(?:i['’]?m (?:really |very )?sorry|sorry\b|i (?:can['’]?t|cannot|can not|won['’]?t|will not|am unable|must decline)"
    r"|as an ai\b|i['’]?m unable|unfortunately, i|抱歉|对不起|很抱歉|我不能|我无法|我無法|作为(?:一个)?(?:ai|人工智能))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Unread:
    """A reply that holds no verdict. reason: one of REASONS."""

    reason: str
    detail: str = ""


def trouble(response: Response) -> Unread | None:
    """What keeps any reply from being read, or None: nothing in it, a content filter."""
    if response.finish_reason == "content_filter":
        return Unread(REFUSED, "the server's content filter")
    if not response.text.strip():
        return Unread(CUT if response.finish_reason == "length" else EMPTY)
    return None


def read_object(response: Response) -> Mapping[str, Any] | Unread:
    """The JSON object that is the whole reply (a code fence around it is allowed). Duplicate keys and NaN are refused."""
    if found := trouble(response):
        return found
    text = response.text
    inner = _FENCE.match(text)
    try:
        data = json.loads(inner[1] if inner else text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _unread(response, BAD_JSON)
    return data if isinstance(data, dict) else _unread(response, BAD_JSON)


def read_line(response: Response, word: str) -> tuple[str, str] | Unread:
    """(verdict, reasons before it) of a reply whose last line reads ``WORD: verdict``; bold marks are forgiven."""
    if found := trouble(response):
        return found
    if response.finish_reason == "length":
        return _unread(response, CUT)  # the line may have gone on
    before, _, last = response.text.strip().rpartition("\n")
    match = re.fullmatch(rf"[*_#\s]*{word}[*_\s]*[:：][*_\s]*(.{{1,80}}?)[*_\s.。]*", last, re.IGNORECASE)
    return (match[1], before.strip()) if match else _unread(response, NO_VERDICT)


def on_menu(value: Any, menu: Collection[int]) -> int | None:
    """The menu's number that a JSON value or a text is, exactly; None for anything else (also 4.5 of 1-5, and true)."""
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if re.fullmatch(r"-?[0-9]{1,4}", text) else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value in menu else None


@dataclass(frozen=True, slots=True)
class Expected:
    """score: the mean of the menu under the judge's probabilities. outside: the probability that lay outside the menu."""

    score: float
    outside: float


def expected_score(tail: Sequence[TokenChoice], menu: Collection[int], key: str = "score") -> Expected | None:
    """G-Eval's expected score: sum of p(s) s over the menu, p renormalised to the menu's tokens (Liu et al. 2023, section 3.1,
    https://arxiv.org/abs/2303.16634; they estimate p from 20 samples where we read it off the log-probabilities).

    tail: the last tokens of a JSON verdict, in which ``"key": N`` stands. Only menus of single digits: the first token of a 10 is
    also that of a 1. Tokens that differ in white space only are added up. None where the place is not found, or nothing of the
    menu is among the alternatives: then the verdict itself counts.
    """
    if any(not 0 <= value <= 9 for value in menu):
        return None
    choice = _score_token(tail, key)
    if choice is None:
        return None
    mass = dict.fromkeys(menu, 0.0)
    for token, logprob in dict(choice.top).items():
        digit = _digit(token)
        if digit in mass and math.isfinite(logprob) and logprob <= 0:
            mass[digit] += math.exp(logprob)
    total = math.fsum(mass.values())
    if total <= 0:
        return None
    score = math.fsum(value * p for value, p in mass.items()) / total
    return Expected(min(max(score, min(menu)), max(menu)), max(0.0, 1.0 - total))


def _score_token(tail: Sequence[TokenChoice], key: str) -> TokenChoice | None:
    """The token that holds the digit after the last ``"key":``."""
    text = "".join(choice.token for choice in tail)
    places = list(re.finditer(rf'"{re.escape(key)}"\s*:\s*"?([0-9])', text))
    if not places:
        return None
    place, end = places[-1].start(1), 0
    for choice in tail:
        end += len(choice.token)
        if place < end:
            return choice
    return None


def _digit(token: str) -> int | None:
    """The single digit that a token says, with what may stand around it in JSON."""
    match = re.fullmatch(r'[\s":]*([0-9])(?![0-9.])[\s"}]*', token)
    return int(match[1]) if match else None


def _unread(response: Response, otherwise: str) -> Unread:
    """Why a reply is none: a refusal says so at its beginning; a cut one by its finish reason."""
    text = response.text.strip()
    reason = CUT if response.finish_reason == "length" else REFUSED if _REFUSAL.match(text) else otherwise
    return Unread(reason, text[:EXCERPT])


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
