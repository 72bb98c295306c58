"""Small suites over the quickstart's base and cases, for real runs that shall not take long, whatever its own suite.yaml says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

QUICKSTART = Path(__file__).parents[2] / "suites" / "quickstart"
BASE = QUICKSTART / "models" / "base"
SFT = QUICKSTART / "models" / "sft"
CHECKS = {"order-json": "json-equals", "date": "equals", "zh-quantity": "equals"}


def write_suite(
    folder: Path,
    name: str,
    candidates: Mapping[str, Mapping[str, Path]],
    *,
    dev: int,
    gate: int,
    margin: float = 0.06,
    dtype: str = "bfloat16",
) -> Path:
    """folder/NAME.yaml over the first dev and gate cases of three capabilities. The first candidate is the baseline; each has a
    model and may have an adapter."""
    capabilities = {}
    for capability, check in CHECKS.items():
        lines = (QUICKSTART / "cases" / f"{capability}.jsonl").read_text(encoding="utf-8").splitlines()
        by_split = {split: [line for line in lines if json.loads(line)["split"] == split] for split in ("dev", "gate")}
        kept = [*by_split["dev"][:dev], *by_split["gate"][:gate]]
        (folder / f"{capability}.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
        role = {"role": "target"} if capability == "order-json" else {"role": "protected", "margin": margin}
        capabilities[capability] = {**role, "cases": f"{capability}.jsonl", "checks": [check]}
    suite = {
        "suite": name,
        "baseline": next(iter(candidates)),
        "candidates": {who: {part: str(path) for part, path in spec.items()} for who, spec in candidates.items()},
        "generation": {"temperature": 0, "max_tokens": 48, "seed": 1234},
        "capabilities": capabilities,
        "serve": {"max_model_len": 256, "dtype": dtype},
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(suite), encoding="utf-8")  # JSON is YAML
    return path
