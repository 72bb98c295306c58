"""What a run leaves behind: training rows, the tasks with their evidence, every rejected text, and a report on it all.

The report says how new and how varied the instructions are: ROUGE-L to the nearest seed and to the nearest of the pool, lengths,
kinds of tasks, and the words they begin with.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from harness.quality.examples import TEXT_ROLE, Example, Kind, Turn
from harness.quality.files import DroppedFile, write_examples
from harness.quality.novelty import NoveltyIndex
from harness.quality.selfinstruct.engine import Engine, Made
from harness.quality.selfinstruct.reading import REASONS
from harness.quality.selfinstruct.seeds import Instance, Task
from harness.quality.words import words
from harness.quality.writers import open_writer

TRAIN, TASKS, REJECTED, REPORT = "train.jsonl", "tasks.jsonl", "rejected.jsonl", "report.json"
_SHUFFLE = 123  # Self-Instruct's
_WITH_INPUT = (
    "{instruction}\nInput: {input}\nOutput:",
    "{instruction}\n\nInput: {input}\n\nOutput:",
    "{instruction}\n\n{input}\n\nOutput:",
    "{instruction}\n{input}\n\nAnswer:",
    "Task: {instruction}\n\nInput: {input}\n\nOutput:",
    "Task: {instruction}\n\n{input}\n\nAnswer:",
    "{instruction}\n\n{input}\n\n",
)
_WITHOUT = (
    "{instruction}\n\nOutput:",
    "{instruction}\nOutput:",
    "{instruction}\n\nAnswer:",
    "{instruction}\n",
    "{instruction}\n\n",
    "Task: {instruction}\n\n",
)
_FIELD = re.compile(r"^\w+:[ \t]*", re.MULTILINE)


def rows(tasks: Iterable[tuple[Task, str]], *, plain: bool = False, seed: int = _SHUFFLE) -> list[Example]:
    """(task, where it comes from) -> one Example for each instance, equal ones once, shuffled.

    plain False: a user's turn (instruction, blank line, input) and the assistant's. plain True: Self-Instruct's text rows, one of
    7 forms with input or 6 without, chosen at random; half of the time the input's only ``word:``, or its blank lines, go.
    """
    rng = random.Random(seed)  # noqa: S311
    made: dict[tuple[str, str], Example] = {}
    for task, origin in tasks:
        for instance in task.instances:
            asked, answer = _plain(task.instruction, instance, rng) if plain else _chat(task.instruction, instance)
            roles = (TEXT_ROLE, TEXT_ROLE) if plain else ("user", "assistant")
            turns = (Turn(roles[0], asked),), (Turn(roles[1], answer),)
            extra = {"task": task.id, "origin": origin, "is_classification": task.classification}
            made.setdefault((asked, answer), Example(Kind.COMPLETION, prompt=turns[0], completion=turns[1], extra=extra))
    found = list(made.values())
    rng.shuffle(found)
    return found


def _chat(instruction: str, instance: Instance) -> tuple[str, str]:
    return f"{instruction}\n\n{instance.input}" if instance.input else instruction, instance.output


def _plain(instruction: str, instance: Instance, rng: random.Random) -> tuple[str, str]:
    given = instance.input
    if rng.random() < 0.5 and len(_FIELD.findall(given)) == 1 and _FIELD.match(given):
        given = _FIELD.sub("", given, count=1)
    if rng.random() < 0.5:
        given = given.replace("\n\n", "\n")
    form = rng.choice(_WITH_INPUT if given.strip() else _WITHOUT)
    return form.replace("{instruction}", instruction).replace("{input}", given.strip()), f" {instance.output}"


def write(
    folder: Path,
    engine: Engine,
    seeds: Sequence[Task],
    *,
    to: str = "trl",
    plain: bool = False,
    with_seeds: bool = True,
    complete: bool = True,
) -> dict[str, Any]:
    """All four files; the report is returned. What is there already is replaced: everything follows from the journal."""
    made = [(_task(task, engine), "harder" if task.parent else "machine") for task in engine.made if task.id in engine.finished]
    human = [(task, "human") for task in seeds] if with_seeds else []
    with DroppedFile(folder / f"{TRAIN}.dropped.jsonl") as left:
        written = write_examples(folder / TRAIN, rows([*human, *made], plain=plain), to=to, drop=left.add)
    _lines(folder / TASKS, (_evidence(task, engine) for task in engine.made))
    _lines(folder / REJECTED, _rejected(engine))
    found = report(engine, seeds) | {"complete": complete, "rows": written.rows}
    (folder / REPORT).write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def _lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    with open_writer(path) as writer:
        for value in values:
            writer.write(dict(value))


def _task(task: Made, engine: Engine) -> Task:
    done = engine.finished[task.id]
    return Task(task.id, task.instruction, done.instances, done.classification)


def _evidence(task: Made, engine: Engine) -> dict[str, Any]:
    done = engine.finished.get(task.id)
    told: dict[str, Any] = {"id": task.id, "instruction": task.instruction, "parent": task.parent, "request": task.request}
    told["most_similar"] = [{"instruction": text, "score": score} for text, score in task.similar]
    if done is not None:
        told["is_classification"] = done.classification
        told["instances"] = [{"input": one.input, "output": one.output} for one in done.instances]
    return told


def _rejected(engine: Engine) -> Iterator[dict[str, Any]]:
    late = [one for task in engine.made if task.id in engine.finished for one in engine.finished[task.id].rejected]
    for one in [*engine.rejected, *late]:
        told = {"step": one.step, "code": one.code, "reason": REASONS[one.code], "text": one.text, "request": one.request}
        more = {"task": one.task, "nearest": one.nearest, "similarity": one.similarity}
        yield told | {name: value for name, value in more.items() if value is not None}


# -- the report ------------------------------------------------------------------------------------------------------------------


def report(engine: Engine, seeds: Sequence[Task]) -> dict[str, Any]:
    """Counts, and how new and varied the instructions are. Figures that cannot be told (nothing was made) are None."""
    made = engine.made
    done = [engine.finished[task.id] for task in made if task.id in engine.finished]
    instances = [instance for one in done for instance in one.instances]
    rejected: dict[str, dict[str, int]] = {}
    for (step, code), count in sorted(engine.reasons().items(), key=lambda item: (-item[1], item[0])):
        rejected.setdefault(step, {})[code] = count
    nearest_seed = NoveltyIndex([task.instruction for task in seeds])
    return {
        "seeds": len(seeds),
        "instructions": engine.count,
        "harder": len(made) - engine.count,
        "finished": len(done),
        "without_instances": sum(not one.instances for one in done),
        "classifications": sum(one.classification for one in done),
        "unclear_classifications": sum(one.unclear for one in done),
        "instances": len(instances),
        "empty_inputs": sum(not instance.input for instance in instances),
        "rejected": rejected,
        "requests": {"asked": engine.asked, "from_journal": engine.known},
        "rouge_l": {
            "nearest_seed": _spread([_score(nearest_seed, task.instruction) for task in made]),
            "nearest_when_accepted": _spread([task.similar[0][1] if task.similar else 0.0 for task in made]),
        },
        "words": {
            "instruction": _spread([len(words(task.instruction)) for task in made]),
            "input": _spread([len(words(instance.input)) for instance in instances if instance.input]),
            "output": _spread([len(words(instance.output)) for instance in instances]),
        },
        "diversity": diversity([task.instruction for task in made]),
    }


def _score(index: NoveltyIndex, text: str) -> float:
    match = index.nearest(text)
    return match.score if match else 0.0


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """Mean, and the values a tenth, half and nine tenths are not above."""
    if not values:
        return None
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return {
        name: round(float(value), 3)
        for name, value in zip(("mean", "p10", "p50", "p90"), (np.mean(values), low, middle, high), strict=True)
    }


def diversity(instructions: Sequence[str]) -> dict[str, Any] | None:
    """Words that instructions begin with (how many, and the commonest ten), and the share of pairs of words that are distinct."""
    found = [words(text) for text in instructions]
    pairs = [pair for text in found for pair in pairwise(text)]
    if not pairs:
        return None
    opening = Counter(text[0] for text in found if text)
    return {
        "opening_words": len(opening),
        "commonest": dict(opening.most_common(10)),
        "distinct_pairs": round(len(set(pairs)) / len(pairs), 3),
    }
