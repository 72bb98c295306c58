"""A suite on a scripted server whose outcome is known: `good` ships, `bad` is a seesaw, `same` changes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from harness.cli import call as run
from support.scripted_server import Body, ScriptedServer

CASES = 120
MODELS = ("base", "good", "bad", "same")


def answer(body: Body) -> str:
    """base: half the sums, all dates. good: all. bad: all sums, a quarter of the dates gone. same: as base."""
    text, model = str(body["messages"][-1]["content"]), body["model"]
    n = int(re.findall(r"\d+", text)[0])
    if text.startswith("what"):
        return str(n + 1) if model in ("good", "bad") or n % 2 == 0 else "0"
    return "no" if model == "bad" and n % 4 == 0 else f"d{n}"


def scripted(**options: Any) -> ScriptedServer:
    return ScriptedServer(**{"answer": answer, "models": MODELS} | options)


def write_gate(
    folder: Path, url: str, *, cases: int = CASES, check: str = "equals", extra: str = "", generation: str = "{}"
) -> Path:
    """suite.yaml with its two case files; extra: further lines of YAML."""
    sums = [{"input": f"what is {i}+1", "reference": str(i + 1)} for i in range(cases)]
    dates = [{"input": f"date {i}", "reference": f"d{i}"} for i in range(cases)]
    for name, rows in (("sums", sums), ("dates", dates)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    candidates = "\n".join(f"  {name}: {{endpoint: '{url}', model: {name}}}" for name in MODELS)
    path = folder / "suite.yaml"
    path.write_text(
        f"suite: gate\nbaseline: base\ncandidates:\n{candidates}\ngeneration: {generation}\ncapabilities:\n"
        f"  sums: {{role: target, cases: sums.jsonl, checks: [{check}]}}\n"
        f"  dates: {{role: protected, margin: 0.1, cases: dates.jsonl, checks: [{check}]}}\n{extra}"
    )
    return path


def harness(folder: Path, *words: object) -> int:
    """`harness WORDS` in this process, its store in the folder."""
    return run([*map(str, words), "--store", str(folder / "store")])
