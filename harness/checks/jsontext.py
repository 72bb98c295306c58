"""JSON out of a model's text: strictly read, found inside prose and code fences, compared without Python's surprises.

Strict means what every other program that reads the answer would need: no NaN or Infinity (not JSON), no number beyond a double,
no key twice in one object (readers disagree which counts, RFC 8259 section 4), no nesting deeper than 200.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

MAX_DEPTH = 200
MAX_FAILURES = 5000
_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_OPEN = re.compile(r"[{\[]")


class BrokenJSON(ValueError):
    """The text is not JSON; the message says why."""


def _constant(name: str) -> Any:
    raise BrokenJSON(f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > 309:
        raise BrokenJSON("a number is too large")
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise BrokenJSON("a number is too large")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise BrokenJSON(f"the key {twice!r:.60} is there twice")
    return found


_DECODER = json.JSONDecoder(parse_constant=_constant, parse_int=_integer, parse_float=_float, object_pairs_hook=_object)


def read(text: str) -> Any:
    """The whole text as one JSON value. Raises BrokenJSON."""
    return _guarded(text.strip(), 0, whole=True)[0]


def find(text: str) -> Iterator[Any]:
    """The JSON values of a text, in order of trust: the whole text; the contents of code fences; then each outermost object or
    array in the prose. Work is bounded: after 20 times the text's length in vain, or MAX_FAILURES brackets, it gives up."""
    try:
        yield read(text)
        return
    except BrokenJSON:
        pass
    for fence in _FENCE.finditer(text):
        try:
            yield read(fence.group(1))
        except BrokenJSON:
            continue
    budget, failures, at = 20 * len(text) + 1000, 0, 0
    while budget > 0 and failures < MAX_FAILURES and (start := _OPEN.search(text, at)):
        try:
            value, at = _guarded(text, start.start(), whole=False)
            yield value
        except BrokenJSON as error:
            at = start.start() + 1
            failures += 1
            cause = error.__cause__
            budget -= cause.pos - start.start() if isinstance(cause, json.JSONDecodeError) else len(text) - start.start()
        budget -= 1


def _guarded(text: str, start: int, whole: bool) -> tuple[Any, int]:
    """The JSON value that begins at start and where it ends; with ``whole`` nothing may follow."""
    try:
        value, end = _DECODER.raw_decode(text, start)
    except BrokenJSON:
        raise
    except json.JSONDecodeError as error:
        raise BrokenJSON(f"{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise BrokenJSON(f"nested deeper than {MAX_DEPTH}") from error
    if whole and end != len(text):
        raise BrokenJSON(f"more text follows the JSON value at character {end}")
    if _deep(value):
        raise BrokenJSON(f"nested deeper than {MAX_DEPTH}")
    return value, end


def _deep(value: Any) -> bool:
    """Whether a value is nested deeper than MAX_DEPTH, so that recursive code (ours, jsonschema's) may take the rest."""
    level, depth = [value], 0
    while level:
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        depth += 1
        if depth > MAX_DEPTH:
            return True
    return False


def canonical(value: Any, unordered: bool = False) -> Any:
    """A value whose Python equality is JSON's: true is not 1, 1 is 1.0; with ``unordered`` arrays are multisets."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, dict):
        return {key: canonical(item, unordered) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [canonical(item, unordered) for item in value]
        return sorted(items, key=_order) if unordered else items
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _order(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
