"""What a user installs: the wheel carries code, templates, recipes, suites and pocket models, and the quickstart runs from it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as pip would lay it into site-packages, built from what git tracks or is about to."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = folder / "tree" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(ROOT / name, target) if ROOT.stat().st_dev == folder.stat().st_dev else target.write_bytes(
                (ROOT / name).read_bytes()
            )
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(folder / "tree"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_carries_what_a_run_needs(unpacked: Path) -> None:
    needed = {
        "harness/store/migrations": "*.sql",
        "harness/suite": "starter.yaml",
        "judges": "attacks.yaml",
        "judges/prompts": "*/*.j2",
        "judges/rubrics": "*.yaml",
        "reports/review/templates": "app.[cj]s*",
        "reports/sections": "*.j2",
        "training/recipes": "*.yaml",
        "suites/gsm8k": "LICENSE",
        "suites/quickstart/cases": "*.jsonl",
        "suites/quickstart/labels": "*.jsonl",
        "suites/quickstart/models": "*/*.safetensors",
    }
    missing = [f"{folder}/{pattern}" for folder, pattern in needed.items() if not list((unpacked / folder).glob(pattern))]
    assert missing == []


def test_every_python_module_of_the_tree_is_in_the_wheel(unpacked: Path) -> None:
    for package in ("harness", "judges", "training", "reports"):
        ours = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*.py") if "__pycache__" not in p.parts}
        theirs = {str(p.relative_to(unpacked)) for p in (unpacked / package).rglob("*.py")}
        assert ours == theirs


def test_the_quickstart_is_valid_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(unpacked)!r}); import harness.cli.demo as d, harness.cli as c; "
    code += f"assert d.__file__.startswith({str(unpacked)!r}); sys.exit(c.call(['validate', str(d.quickstart())]))"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "quickstart, hash" in done.stdout


def test_shipped_models_are_small_and_safetensors_only() -> None:
    models = [path for path in (ROOT / "suites").rglob("models/**/*") if path.is_file()]
    assert models
    assert sum(path.stat().st_size for path in models) < 10_000_000
    assert {path.suffix for path in models} <= {".safetensors", ".json", ".jinja", ".txt", ".md"}


def test_the_lock_covers_every_dependency() -> None:
    """Whatever pyproject asks for (but the GPU build of vLLM) is pinned in the lock, so that make setup is complete."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    names = {re.split(r"[\[<>=!~; ]", item, maxsplit=1)[0].lower().replace("_", "-") for item in wanted} - {
        "seesaw-harness",
        "vllm",
    }
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line and not line.startswith("#")}
    assert names - locked == set()
