"""Training rows: JSONL (or Parquet) in trl's conversational shapes, checked row by row before a model is loaded.

SFT takes ``{"messages"}`` or ``{"prompt", "completion"}``; DPO takes ``{"prompt", "chosen", "rejected"}``; each is a list of
messages ``{"role", "content"}`` with text content, or (but for ``messages``) a string: one user or assistant message. Other keys
(provenance and the like) are allowed and not trained on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import Fault, SuiteError, TrainingError
from harness.rows import BadRow, read_rows

Row = dict[str, list[dict[str, str]]]

_ROLES = ("system", "user", "assistant")
_SHAPES = {
    "sft": (("messages",), ("prompt", "completion")),
    "dpo": (("prompt", "chosen", "rejected"),),
}
_MOST_FAULTS = 20


def load_rows(paths: Sequence[str], stage: str, *, limit: int | None = None) -> list[Row]:
    """All rows of the files, in order, in trl's shape and all of one shape. Raises SuiteError with file:line of every bad row."""
    rows, faults = list[Row](), list[Fault]()
    shape: tuple[str, ...] | None = None
    for path in paths:
        for entry in read_rows(Path(path)):
            if isinstance(entry, BadRow):
                faults.append(Fault(f"{path}:{entry.line}" if entry.line else path, entry.what, entry.todo))
                continue
            where = f"{path}:{entry[0]}"
            row = check_row(where, entry[1], stage, faults)
            if row is None:
                continue
            shape = shape or tuple(row)
            if tuple(row) != shape:
                faults.append(
                    Fault(where, f"has {' + '.join(row)}, rows before it {' + '.join(shape)}", "use one shape in all files")
                )
                continue
            rows.append(row)
    if faults:
        shown = faults[:_MOST_FAULTS]
        if len(faults) > len(shown):
            shown.append(Fault(paths[0], f"and {len(faults) - len(shown)} more faults"))
        raise SuiteError(shown)
    rows = rows[:limit]
    if not rows:
        raise TrainingError("there are no rows to train on", where=", ".join(paths), todo="Check the recipe's dataset")
    return rows


def hold_out(rows: Sequence[Row], val_size: float, seed: int) -> tuple[list[Row], list[Row]]:
    """(train, held out): a share when val_size < 1, else a count; chosen by a seeded shuffle."""
    count = int(val_size) if val_size >= 1 else round(len(rows) * val_size)
    if count >= len(rows):
        raise TrainingError(
            f"val_size {val_size:g} holds out {count} of {len(rows)} rows, none is left to train on", todo="Lower val_size"
        )
    held = set(random.Random(seed).sample(range(len(rows)), count))  # noqa: S311 (a split, not a secret)
    return [row for i, row in enumerate(rows) if i not in held], [rows[i] for i in sorted(held)]


def check_row(where: str, raw: Mapping[str, Any], stage: str, faults: list[Fault]) -> Row | None:
    """One checked row, or None with what is wrong appended to faults."""
    shapes = _SHAPES[stage]
    wanted = " or ".join("{" + ", ".join(shape) + "}" for shape in shapes)
    shape = next((shape for shape in shapes if all(key in raw for key in shape)), None)
    if shape is None:
        faults.append(Fault(where, f"stage {stage} needs {wanted}; the row has {', '.join(map(str, raw)) or 'no keys'}"))
        return None
    before = len(faults)
    row = {key: _messages(where, key, raw[key], faults) for key in shape}
    return row if len(faults) == before else None


def _messages(where: str, key: str, value: Any, faults: list[Fault]) -> list[dict[str, str]]:
    """The messages under one key. Answers must end with the assistant's words: they are what is learnt."""
    if isinstance(value, str):
        value = [{"role": "user" if key == "prompt" else "assistant", "content": value}]
    if not isinstance(value, list) or not value:
        faults.append(Fault(where, f"{key} is a list of messages or a string, and not empty"))
        return []
    for number, message in enumerate(value):
        if not isinstance(message, dict) or message.get("role") not in _ROLES or not isinstance(message.get("content"), str):
            faults.append(Fault(where, f"{key}[{number}] needs a role of {', '.join(_ROLES)} and text content"))
            return []
    if key != "prompt" and (value[-1]["role"] != "assistant" or not value[-1]["content"].strip()):
        faults.append(Fault(where, f"{key} must end with an assistant message that is not empty"))
    return [{"role": message["role"], "content": message["content"]} for message in value]
