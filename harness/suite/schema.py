"""For editors and newcomers: the JSON Schema of a suite, and the commented starter that ``harness init`` writes."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from harness import plugs
from harness.checks import CheckGroup, CheckSpec
from harness.checks.spec import KIND, NEGATION
from harness.suite.spec import SuiteFile


def starter_text() -> str:
    """A complete suite that loads as it stands: an endpoint, cases written inside it, every key explained."""
    return files("harness.suite").joinpath("starter.yaml").read_text(encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of suite.yaml, with a description on every key and the names of all checks."""
    schema = SuiteFile.model_json_schema()
    definitions = schema["$defs"]
    group = CheckGroup.model_json_schema(ref_template="#/$defs/{model}")
    definitions |= group.pop("$defs", {})
    definitions.setdefault("CheckGroup", group)
    definitions.setdefault("CheckSpec", CheckSpec.model_json_schema(ref_template="#/$defs/{model}"))
    valid = plugs.names(KIND)
    kinds = {"enum": [*valid, *(NEGATION + name for name in valid)], "description": "The check; not- turns it round."}
    definitions["CheckSpec"]["properties"]["type"] = kinds
    check = {"anyOf": [kinds, {"$ref": "#/$defs/CheckSpec"}, {"$ref": "#/$defs/CheckGroup"}]}
    for key in ("all", "any"):
        definitions["CheckGroup"]["properties"][key] = {"type": "array", "minItems": 1, "items": check}
    capability = definitions["CapabilityFile"]
    description = capability["properties"]["checks"]["description"]
    capability["properties"]["checks"] = {"type": "array", "minItems": 1, "items": check, "description": description}
    capability["required"] = ["cases", "checks"]
    schema["required"] = ["suite", "candidates", "capabilities"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "suite.yaml"} | schema
