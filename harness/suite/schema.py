"""For editors and newcomers: the JSON Schema of a suite, and the commented starter that ``harness init`` writes."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from pydantic import TypeAdapter

from harness.checks import Spec
from harness.suite.spec import SuiteFile

_ABOUT = ("description", "default", "title")


def starter_text() -> str:
    """A complete suite that loads as it stands: an endpoint, cases written inside it, every key explained."""
    return files("harness.suite").joinpath("starter.yaml").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of suite.yaml, with a description on every key and the names of all checks."""
    schema = SuiteFile.model_json_schema()
    for definition in (schema, *schema["$defs"].values()):
        properties = definition.get("properties", {})
        properties |= {key: _or_variable(described) for key, described in properties.items()}
    checks = TypeAdapter(tuple[Spec, ...]).json_schema()
    schema["$defs"] |= checks.pop("$defs")
    capability = schema["$defs"]["CapabilityFile"]
    described = capability["properties"]["checks"]["description"]
    capability["properties"]["checks"] = {"type": "array", "minItems": 1, "items": checks["items"], "description": described}
    capability["required"] = ["cases", "checks"]
    schema["required"] = ["suite", "candidates", "capabilities"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema | {"title": "suite.yaml"}


def _or_variable(described: dict[str, Any]) -> dict[str, Any]:
    """Where a number, a flag or a special text stands, ``${NAME}`` may stand as well."""
    shapes = described.get("anyOf") or [{key: described[key] for key in described if key not in _ABOUT}]
    special = any(shape.get("type") in ("integer", "number", "boolean") or shape.keys() & {"pattern", "enum"} for shape in shapes)
    if not special:
        return described
    about = {key: described[key] for key in _ABOUT if key in described}
    return {"anyOf": [*shapes, {"type": "string", "pattern": r"\$\{"}], **about}
