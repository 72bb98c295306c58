"""The house stands: a floor imports only lower floors (or its own, without a cycle); heavy libraries stay where they belong."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "judges", "training", "reports")

FLOORS = {
    "harness": 0,
    "harness.errors": 0,
    "harness.model": 1,
    "harness.packed": 1,
    "harness.plugs": 2,
    "harness.suite": 2,
    "harness.rows": 2,
    "harness.thinking": 2,
    "harness.hardgates": 2,
    "harness.cases": 2,
    "harness.prompts": 2,
    "harness.checks": 2,
    "harness.quality": 2,
    "harness.statistics": 2,
    "harness.columns": 2,
    "harness.scorefiles": 2,
    "harness.scoretables": 2,
    "harness.comparison": 2,
    "harness.decision": 2,
    "harness.waivers": 2,
    "harness.powercard": 2,
    "harness.noise": 2,
    "harness.forgiving": 2,
    "harness.diagnosis": 2,
    "harness.health": 2,
    "harness.slices": 2,
    "harness.lineage": 2,
    "harness.correcting": 2,
    "harness.judgestats": 2,
    "harness.choice": 2,
    "harness.labels": 2,
    "harness.sizing": 2,
    "harness.curves": 2,
    "harness.calibration": 2,
    "harness.labelfiles": 2,
    "harness.standings": 2,
    "harness.client": 3,
    "harness.replies": 3,
    "harness.serving": 3,
    "harness.store": 3,
    "judges": 3,
    "training": 3,
    "harness.runner": 4,
    "harness.judged": 4,
    "harness.sequential_run": 4,
    "harness.loop": 4,
    "harness.curation": 4,
    "reports": 4,
    "harness.cli": 5,
    "harness.__main__": 5,
}
# library -> the only parts that may import it
CONFINED = {
    "duckdb": ("harness.store",),
    "torch": ("training",),
    "transformers": ("training",),
    "trl": ("training",),
    "peft": ("training",),
    "sentence_transformers": ("harness.checks.similar", "harness.quality.embedding"),
    "cleanlab": ("harness.quality.labelhints",),
    "sklearn": ("harness.quality.labelhints",),
    "vllm": (),
    "rich": ("harness.cli", "reports.terminal"),
    "click": ("harness.cli",),
    "starlette": ("reports.review",),
    "uvicorn": ("harness.cli.pages",),
    "openai": ("harness.client", "harness.checks.similar"),
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(name: str, path: Path) -> Iterator[str]:
    """Every module this one imports, wherever in the file; relative imports resolved."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, base] if base else up)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def part(module: str) -> str | None:
    """The longest known part of the house that a module belongs to, e.g. harness.checks.equals -> harness.checks."""
    if module == "harness" or module.partition(".")[0] not in PACKAGES:
        return None
    pieces = module.split(".")
    for size in range(len(pieces), 0, -1):
        known = ".".join(pieces[:size])
        if known in FLOORS and known != "harness":
            return known
    return None


def edges() -> set[tuple[str, str, str]]:
    found = set()
    for name, path in modules():
        here = part(name)
        for target in imports(name, path):
            there = part(target)
            if here and there and here != there:
                found.add((here, there, name))
    return found


def test_every_module_has_a_floor() -> None:
    homeless = [name for name, _ in modules() if name != "harness" and part(name) is None]
    assert homeless == []


def test_a_floor_imports_only_lower_floors_or_its_own() -> None:
    wrong = sorted(
        {f"{name} (floor {FLOORS[a]}) imports {b} (floor {FLOORS[b]})" for a, b, name in edges() if FLOORS[b] > FLOORS[a]}
    )
    assert wrong == []


def test_no_cycles_between_parts() -> None:
    graph: dict[str, set[str]] = {}
    for a, b, _ in edges():
        graph.setdefault(a, set()).add(b)
    done: set[str] = set()

    def visit(node: str, path: tuple[str, ...]) -> None:
        assert node not in path, f"import cycle: {' -> '.join([*path, node])}"
        if node not in done:
            for following in sorted(graph.get(node, ())):
                visit(following, (*path, node))
            done.add(node)

    for start in sorted(graph):
        visit(start, ())


def test_judges_training_reports_are_strangers() -> None:
    strangers = {"judges", "training", "reports"}
    wrong = [(a, b) for a, b, _ in edges() if b in strangers and a != "harness.cli"]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(CONFINED))
def test_heavy_libraries_stay_where_they_belong(library: str) -> None:
    wrong = []
    for name, path in modules():
        allowed = any(name == home or name.startswith(home + ".") for home in CONFINED[library])
        if not allowed and any(target == library or target.startswith(library + ".") for target in imports(name, path)):
            wrong.append(name)
    assert wrong == []
