"""The plug finder: built-in folders, entry points, and misses that help."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import plugs
from harness.checks.equals import CHECKS as EQUALS
from harness.errors import UsageError


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch):
    """Entry points as installed distributions would bring them; returns a function that sets them."""

    def install(*points: tuple[str, str]) -> None:
        found = [EntryPoint(name, value, "seesaw_harness.checks") for name, value in points]
        monkeypatch.setattr(plugs, "entry_points", lambda group: [p for p in found if p.group == group])
        plugs._plugged.cache_clear()

    yield install
    monkeypatch.undo()
    plugs._plugged.cache_clear()


def test_every_file_with_checks_is_found(root: Path) -> None:
    declared = set()
    for path in (root / "harness/checks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CheckType":
                declared |= {k.value.value for k in node.keywords if k.arg == "name" and isinstance(k.value, ast.Constant)}
    assert declared == set(plugs.names("check"))
    assert {"equals", "icontains-all", "rouge-l", "json-equals", "python"} <= declared


def test_find_gives_the_object_of_the_file() -> None:
    assert plugs.find("check", "equals") is EQUALS[0]


def test_a_miss_names_the_nearest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        plugs.find("check", "contain-all")
    line = caught.value.line()
    assert "no check named 'contain-all'" in line
    assert "did you mean contains-all" in line
    assert all(name in line for name in plugs.names("check"))


def test_a_miss_without_neighbours_suggests_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        plugs.find("check", "zzzzzz")
    assert "did you mean" not in caught.value.line()


def test_unknown_kind() -> None:
    with pytest.raises(UsageError, match="did you mean check"):
        plugs.find("checks", "equals")


def test_entry_points_are_found_and_listed_without_loading(plugged, monkeypatch: pytest.MonkeyPatch) -> None:
    part = SimpleNamespace(name="my-check")
    monkeypatch.setattr("harness.checks.equals.MY", part, raising=False)
    plugged(("my-check", "harness.checks.equals:MY"), ("lazy", "no_such_package_xyz:X"))
    assert {"my-check", "lazy", "equals"} <= set(plugs.names("check"))
    assert plugs.find("check", "my-check") is part


def test_an_entry_point_that_does_not_load_is_a_users_error(plugged) -> None:
    plugged(("lazy", "no_such_package_xyz:X"))
    with pytest.raises(UsageError, match=r"'lazy' of no_such_package_xyz:X does not load: ModuleNotFoundError"):
        plugs.find("check", "lazy")


def test_a_name_claimed_twice_is_refused(plugged) -> None:
    plugged(("equals", "elsewhere:X"))
    with pytest.raises(UsageError, match="defined 2 times: built in, elsewhere:X"):
        plugs.find("check", "equals")


def test_an_entry_point_under_another_name_is_refused(plugged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.checks.equals.MY", SimpleNamespace(name="other"), raising=False)
    plugged(("my-check", "harness.checks.equals:MY"))
    with pytest.raises(UsageError, match="calls itself 'other'"):
        plugs.find("check", "my-check")


def test_plugs_imports_nothing_above_its_floor(root: Path) -> None:
    tree = ast.parse((root / "harness/plugs.py").read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {name for name in imported if name and name.startswith(("harness", "judges", "training", "reports"))} == {
        "harness.errors"
    }


def test_finding_checks_loads_nothing_heavy() -> None:
    """Discovery imports every check file, so what is slow to import must wait until a suite uses it."""
    code = "import sys; from harness.checks import compile_checks; compile_checks(['equals']); print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert "harness.checks.similar" in loaded
    assert not loaded & {
        "torch",
        "sentence_transformers",
        "openai",
        "nltk",
        "rouge_score",
        "sacrebleu",
        "jsonschema",
        "numpy",
        "duckdb",
    }
