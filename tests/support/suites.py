"""Small suites written into a folder, for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import SuiteError
from harness.suite import Suite, load_suite

SMALL: dict[str, Any] = {
    "suite": "small",
    "baseline": "base",
    "candidates": {"base": {"model": "org/base"}, "sft": {"model": "org/sft"}},
    "capabilities": {
        "sums": {"role": "protected", "cases": [{"input": "1 + 1", "reference": 2}], "checks": ["numeric"]},
    },
}


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_suite(folder: Path, text: str | Mapping[str, Any]) -> Path:
    """JSON is YAML, so a mapping is written as it is."""
    path = folder / "suite.yaml"
    path.write_text(text if isinstance(text, str) else json.dumps(text, indent=1), encoding="utf-8")
    return path


def load_small(folder: Path, *, env: Mapping[str, str] | None = None, **changes: Any) -> Suite:
    return load_suite(write_suite(folder, SMALL | changes), env=env or {})


def faults_of(path: Path, *, env: Mapping[str, str] | None = None) -> list[str]:
    """The lines that a person reads, with the suite's folder cut off; fails when the suite loads."""
    try:
        load_suite(path, env=env or {})
    except SuiteError as error:
        return [line.replace(f"{path.parent}/", "") for line in error.line().split("\n")]
    raise AssertionError("the suite loads")
