"""Greedy answers of a local model, scored by exact match: the quick look while the pocket model is built.

The harness itself measures through vLLM and the suite's checks; this is the trainer's own eye on the same cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.pocket.generate import Row

MAX_NEW_TOKENS = 64
_BATCH = 125


@dataclass(frozen=True, slots=True)
class Measured:
    """exact: share of exact answers in [0, 1]. unfinished: share cut at MAX_NEW_TOKENS. n: rows."""

    exact: float
    unfinished: float
    n: int


def load(base: Path, adapter: Path | None = None) -> tuple[Any, Any]:
    """(model, tokenizer) in float32, ready to generate."""
    from training.lora import load_adapter
    from training.models import load_base, load_tokenizer

    model = load_base(str(base))
    if adapter:
        model = load_adapter(model, str(adapter))
    tokenizer = load_tokenizer(str(base))
    tokenizer.padding_side = "left"  # answers of a batch must start at the same place
    return model.eval(), tokenizer


def answers(model: Any, tokenizer: Any, prompts: Sequence[str]) -> list[tuple[str, bool]]:
    """(text, finished) of each prompt, greedy, in order."""
    import torch

    out = list[tuple[str, bool]]()
    for start in range(0, len(prompts), _BATCH):
        chats = [[{"role": "user", "content": prompt}] for prompt in prompts[start : start + _BATCH]]
        batch = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, return_dict=True, return_tensors="pt", padding=True
        )
        with torch.inference_mode():
            made = model.generate(**batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        for ids in made[:, batch["input_ids"].shape[1] :]:
            finished = bool((ids == tokenizer.eos_token_id).any())
            out.append((tokenizer.decode(ids, skip_special_tokens=True).strip(), finished))
    return out


def measure(model: Any, tokenizer: Any, rows: Iterable[Row]) -> dict[str, Measured]:
    """Exact match by capability."""
    asked = list(rows)
    said = answers(model, tokenizer, [row.prompt for row in asked])
    found: dict[str, list[tuple[bool, bool]]] = {}
    for row, (text, finished) in zip(asked, said, strict=True):
        found.setdefault(row.capability, []).append((finished and text == row.answer, finished))
    return {
        name: Measured(sum(ok for ok, _ in got) / len(got), sum(not finished for _, finished in got) / len(got), len(got))
        for name, got in found.items()
    }


def table(results: Mapping[str, Mapping[str, Measured]]) -> str:
    """Capability x candidate in plain text; ``+n%`` marks answers that never ended."""
    candidates = list(results)
    capabilities = list(next(iter(results.values())))
    lines = [f"{'exact match':<14}" + "".join(f"{name:>16}" for name in candidates)]
    for capability in capabilities:
        cells = (results[name][capability] for name in candidates)
        shown = (f"{cell.exact:.3f}" + (f" +{cell.unfinished:.0%}" if cell.unfinished else "") for cell in cells)
        lines.append(f"{capability:<14}" + "".join(f"{cell:>16}" for cell in shown))
    return "\n".join(lines)
