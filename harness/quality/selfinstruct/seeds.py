"""Seed tasks: what people wrote, and the 175 of Self-Instruct that come with us."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import Fault, SuiteError
from harness.model import digest_of
from harness.quality.records import read_records
from harness.rows import BadRow, file_trouble

BUILT_IN = Path(__file__).parent.parent / "seeds" / "seed_tasks.jsonl"
LEAST = 8  # a prompt shows eight


@dataclass(frozen=True, slots=True)
class Instance:
    """One example of a task. input is empty where the instruction says it all."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Task:
    """An instruction with its instances. classification: its answer is one of a few labels."""

    id: str
    instruction: str
    instances: tuple[Instance, ...] = ()
    classification: bool = False


def read_seeds(path: Path = BUILT_IN) -> tuple[Task, ...]:
    """Rows {instruction, instances: [{input, output}], is_classification} or {instruction, input, output}.

    SuiteError with every faulty row (to leave one out would make another run), or when there are fewer than eight seeds.
    """
    faults: list[Fault] = []
    tasks: list[Task] = []
    seen: dict[str, int] = {}
    if trouble := file_trouble(path):
        raise SuiteError([Fault(str(path), trouble, "Check the path")])
    for entry in read_records(path):
        if isinstance(entry, BadRow):
            faults.append(Fault(f"{path}:{entry.line}" if entry.line else str(path), entry.what, entry.todo))
            continue
        line, row = entry
        task = _task(row, f"seed_task_{len(tasks)}")
        if isinstance(task, str):
            faults.append(Fault(f"{path}:{line}", task))
        elif (first := seen.setdefault(task.instruction, line)) != line and not task.instances:
            faults.append(Fault(f"{path}:{line}", f"the same instruction as line {first}"))
        else:
            tasks.append(task)
    if not faults and len(tasks) < LEAST:
        faults.append(Fault(str(path), f"has {len(tasks)} seed tasks", f"write {LEAST} or more: a prompt shows so many"))
    if faults:
        raise SuiteError(faults[:50])
    return tuple(tasks)


def _task(row: Mapping[str, Any], default_id: str) -> Task | str:
    """The task, or what is wrong with the row."""
    instruction, given = row.get("instruction"), row.get("instances")
    if not isinstance(instruction, str) or not instruction.strip():
        return "has no instruction"
    if given is None:
        given = [{"input": row.get("input") or "", "output": row["output"]}] if row.get("output") else []
    if isinstance(given, str):
        return "instances is text, not a list"
    if not isinstance(given, list) or not all(_is_instance(item) for item in given):
        return "instances is not a list of {input, output}"
    instances = tuple(Instance(item.get("input") or "", item["output"]) for item in given)
    flag = row.get("is_classification", False)
    if not isinstance(flag, bool):
        return f"is_classification is {flag!r}, not true or false"
    return Task(str(row.get("id") or default_id), instruction.strip(), instances, flag)


def _is_instance(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("output"), str) and isinstance(item.get("input") or "", str)


def digest(tasks: tuple[Task, ...]) -> str:
    """Of all that prompts are made from."""
    parts = [[t.id, t.instruction, t.classification, [[i.input, i.output] for i in t.instances]] for t in tasks]
    return digest_of(parts)


def built_in() -> dict[str, Task]:
    """The 175 by id, for the examples that prompts show."""
    rows = [json.loads(line) for line in BUILT_IN.read_text(encoding="utf-8").splitlines()]
    tasks = [_task(row, "") for row in rows]
    return {task.id: task for task in tasks if isinstance(task, Task)}
