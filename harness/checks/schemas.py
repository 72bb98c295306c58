"""JSON Schema (draft 2020-12) made safe to run on a model's answer: nothing is fetched, and patterns cannot run for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import regex

from harness.checks.base import BadValue
from harness.checks.texts import printable

PATTERN_TIMEOUT_S = 1.0


class PatternTimeout(Exception):
    """A pattern of the schema took too long on this answer."""


def schema_validator(schema: Any) -> Any:
    """A jsonschema validator. BadValue when the schema is not one, or refers to another document (which would be a download)."""
    from jsonschema import Draft202012Validator  # heavy: only suites with a schema pay for it
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import extend
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    if not isinstance(schema, dict | bool):
        raise BadValue("the schema is a mapping (JSON Schema, draft 2020-12)")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path)
        raise BadValue(f"the schema is not valid{' at ' + place if place else ''}: {error.message}") from error
    registry: Any = Registry()
    resolver = registry.resolver_with_root(DRAFT202012.create_resource(schema))
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise BadValue(f"$ref {reference!r} points outside the schema: put what it names under $defs")
        try:
            resolver.lookup(reference)
        except Unresolvable as error:
            raise BadValue(f"$ref {reference!r} points to nothing in the schema") from error
    return extend(Draft202012Validator, {"pattern": _pattern})(schema, registry=registry)


def first_error(validator: Any, value: Any) -> str | None:
    """The most telling violation as one line, or None when the value is valid."""
    from jsonschema.exceptions import best_match

    error = best_match(validator.iter_errors(value))
    if error is None:
        return None
    place = "/".join(str(part) for part in error.absolute_path)
    return printable(f"at {place}: {error.message}" if place else error.message)[:300]


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for item in schema.values():
            yield from _references(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, str):
        return
    try:
        if not regex.search(pattern, instance, regex.V0, timeout=PATTERN_TIMEOUT_S):
            yield ValidationError(f"{instance!r:.80} does not match {pattern!r}")
    except TimeoutError as error:
        raise PatternTimeout(f"pattern {pattern!r} took longer than {PATTERN_TIMEOUT_S} s") from error
