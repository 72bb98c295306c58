"""is-json, contains-json, json-equals: structured answers.

is-json and json-equals treat broken JSON as a failed answer (0): being JSON is what they measure. NaN, a key twice and bottomless
nesting are broken JSON, see jsontext.py.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, Literal

from harness.checks.base import ABSENT, BadValue, CheckType, Example, Options, Outcome, Seen, Takes, unscored, yes_no
from harness.checks.jsontext import BrokenJSON, canonical, find, read
from harness.checks.schemas import PatternTimeout, first_error, schema_validator
from harness.checks.texts import show


class JsonEqualsOptions(Options):
    """partial: the share of fields that are right instead of all or nothing (a field is a leaf; missing, wrong and additional
    ones count against it). unordered: arrays are compared as multisets. ignore: top-level keys left out on both sides. extract:
    take the JSON from prose or a code fence; without it the whole answer must be JSON. unparsed: what an answer without JSON
    is."""

    partial: bool = False
    unordered: bool = False
    ignore: tuple[str, ...] = ()
    extract: bool = True
    unparsed: Literal["wrong", "unscored"] = "wrong"


def _schema(value: Any, options: Any) -> Any:
    return None if value is ABSENT else schema_validator(value)


def _is_json(seen: Seen, validator: Any, options: Any) -> Outcome:
    try:
        value = read(seen.text)
    except BrokenJSON as error:
        return yes_no(False, f"not JSON: {error}")
    try:
        error_line = first_error(validator, value) if validator is not None else None
    except PatternTimeout as error:
        return unscored("regex-timeout", str(error))
    return yes_no(error_line is None, error_line or "")


def _contains_json(seen: Seen, validator: Any, options: Any) -> Outcome:
    why = "no JSON object or array in the answer"
    try:
        for value in islice(find(seen.text), 1000):
            if validator is None:
                return yes_no(True)
            error_line = first_error(validator, value)
            if error_line is None:
                return yes_no(True)
            why = error_line
    except PatternTimeout as error:
        return unscored("regex-timeout", str(error))
    return yes_no(False, why)


def _reference(value: Any, options: JsonEqualsOptions) -> Any:
    """The expected JSON value; text that is JSON is read, other text is a JSON string."""
    if value is None or value is ABSENT:
        raise BadValue("there is nothing to compare with: the check has no value and the case no reference")
    if isinstance(value, str):
        try:
            value = read(value)
        except BrokenJSON as error:
            if value.lstrip()[:1] in ("{", "["):
                raise BadValue(f"the expected JSON is broken: {error}") from error
    return canonical(_without(value, options.ignore), options.unordered)


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    return {k: v for k, v in value.items() if k not in keys} if keys and isinstance(value, dict) else value


def _json_equals(seen: Seen, expected: Any, options: JsonEqualsOptions) -> Outcome:
    try:
        found = next(find(seen.text)) if options.extract else read(seen.text)
    except (BrokenJSON, StopIteration) as error:
        why = f"no JSON in the answer{f': {error}' if str(error) else ''}: {show(seen.text)}"
        return yes_no(False, why) if options.unparsed == "wrong" else unscored("unparsed", why)
    got = canonical(_without(found, options.ignore), options.unordered)
    if got == expected:
        return yes_no(True)
    right, wrong = _leaves(expected), _leaves(got)
    differing = sorted(
        path for path in {*right, *wrong} if right.get(path) != wrong.get(path) or (path in right) != (path in wrong)
    )
    why = f"different: {', '.join(show(path, 40) for path in differing[:5])}" + (" …" if len(differing) > 5 else "")
    if not options.partial:
        return yes_no(False, why)
    return Outcome(1.0 - len(differing) / len({*right, *wrong}), why)


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """path -> leaf of a canonical value. Empty objects and arrays are leaves. Keys with a slash are escaped as in JSON
    Pointer."""
    if isinstance(value, dict) and value:
        children = [(key.replace("~", "~0").replace("/", "~1"), item) for key, item in value.items()]
    elif isinstance(value, list) and value:
        children = [(str(index), item) for index, item in enumerate(value)]
    else:
        return {path: value}
    return {place: leaf for key, item in children for place, leaf in _leaves(item, f"{path}/{key}").items()}


_PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"], "additionalProperties": False}

CHECKS = (
    CheckType(
        name="is-json",
        version=1,
        summary="The whole answer is JSON; with a value, valid under that JSON Schema (draft 2020-12).",
        judge=_is_json,
        takes=Takes.OWN,
        prepare=_schema,
        examples=(
            Example(' {"a": [1, 2.5e3, null]}\n', 1.0),
            Example("3", 1.0),
            Example("{'a': 1}", 0.0),
            Example('Sure! {"a": 1}', 0.0),
            Example('{"a": 1,}', 0.0),
            Example('{"a": NaN}', 0.0),
            Example('{"a": 1e999}', 0.0),
            Example('{"a": 1, "a": 2}', 0.0),
            Example("[" * 100_000, 0.0),
            Example("[" * 300 + "]" * 300, 0.0),
            Example("9" * 5000, 0.0),
            Example('{"age": 7}', 1.0, value=_PERSON),
            Example('{"age": "7"}', 0.0, value=_PERSON),
            Example('{"age": 7, "x": 1}', 0.0, value=_PERSON),
        ),
    ),
    CheckType(
        name="contains-json",
        version=1,
        summary="A JSON object or array is in the answer, in prose or a code fence; with a value, one valid under that schema.",
        judge=_contains_json,
        takes=Takes.OWN,
        prepare=_schema,
        examples=(
            Example('Here you are:\n```json\n{"a": 1}\n```\nBye', 1.0),
            Example('The order is {"a": {"b": [1]}}, as asked.', 1.0),
            Example("no json, just {braces} and [brackets", 0.0),
            Example('first {"x": 1} then {"age": 7}', 1.0, value=_PERSON),
            Example('first {"x": 1}', 0.0, value=_PERSON),
            Example('```json\n{"age": 7}', 1.0, value=_PERSON),
            Example('订单：{"age": 7}。', 1.0, value=_PERSON),
            Example('{"a": ' * 2000, 0.0),
            Example("[1," * 5000, 0.0),
        ),
    ),
    CheckType(
        name="json-equals",
        version=1,
        summary="The JSON in the answer equals the expected JSON, as values (key order, spacing and 1 = 1.0 do not matter).",
        judge=_json_equals,
        options=JsonEqualsOptions,
        prepare=_reference,
        examples=(
            Example('{"b": 2.0, "a": "x"}', 1.0, reference={"a": "x", "b": 2}),
            Example('```json\n{"a": "x"}\n```', 1.0, value='{"a": "x"}'),
            Example('{"a": 1}', 0.0, value='{"a": true}'),
            Example('{"a": null}', 0.0, value={}),
            Example("[2, 1]", 0.0, value=[1, 2]),
            Example('[2, 1, {"a": [3, 4]}]', 1.0, value=[{"a": [4, 3]}, 1, 2], options={"unordered": True}),
            Example('{"a": 1, "b": 2, "c": 3, "d": 9}', 0.75, value={"a": 1, "b": 2, "c": 3, "d": 4}, options={"partial": True}),
            Example('{"a": 1, "x": 2}', 1 / 3, value={"a": 1, "b": 2}, options={"partial": True}),
            Example('{"a": 1, "id": 7}', 1.0, value={"a": 1, "id": 8}, options={"ignore": ["id"]}),
            Example("no json", 0.0, value={"a": 1}),
            Example("no json", None, value={"a": 1}, options={"unparsed": "unscored"}, unscored="unparsed"),
            Example('It is {"a": 1}', 0.0, value={"a": 1}, options={"extract": False}),
            Example('{"a": 1}', None, unscored="bad-reference"),
            Example('{"a": 1}', None, reference='{"a": ', unscored="bad-reference"),
        ),
    ),
)
