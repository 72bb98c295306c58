"""Suites: one YAML file says what is examined, on which cases, and what decides. ``load_suite`` is the way in."""

from __future__ import annotations

from harness.suite.load import load_suite
from harness.suite.nouns import CandidateSpec, Capability, Combination, Generation, Matrix, Suite
from harness.suite.schema import json_schema, starter_text
from harness.suite.spec import ServeSpec

__all__ = [
    "CandidateSpec",
    "Capability",
    "Combination",
    "Generation",
    "Matrix",
    "ServeSpec",
    "Suite",
    "json_schema",
    "load_suite",
    "starter_text",
]
