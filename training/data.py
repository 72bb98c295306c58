"""Training rows, checked row by row before a model is loaded: trl's conversational shapes, or what harness.quality.files reads.

SFT takes ``{"messages"}`` or ``{"prompt", "completion"}``; DPO and rm take ``{"prompt", "chosen", "rejected"}``; each is a list
of messages ``{"role", "content"}`` with text content, or (but for ``messages``) a string: one user or assistant message. DPO and
rm also take a ranking, ``{"prompt", "ranking": [[best, ...], ..., [worst]]}``, as all its pairs. Other keys (provenance and the
like) are allowed and not trained on.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from harness.errors import DataError, Fault, SuiteError, TrainingError
from harness.quality.examples import Dropped, Kind
from harness.quality.files import Source, open_examples
from harness.quality.records import read_records
from harness.rows import BadRow
from harness.statistics.ranking import outcomes_of_ranking
from training.result import DataFile

Row = dict[str, list[dict[str, str]]]

_ROLES = ("system", "user", "assistant")
_SHAPES = {
    "sft": (("messages",), ("prompt", "completion")),
    "dpo": (("prompt", "chosen", "rejected"),),
    "rm": (("prompt", "chosen", "rejected"),),
}
RANKING = "ranking"
_MOST_FAULTS = 20


def load_rows(paths: Sequence[str], stage: str, *, limit: int | None = None) -> list[Row]:
    """The rows of load_files alone."""
    return load_files(paths, stage, limit=limit)[0]


def load_files(paths: Sequence[str], stage: str, *, limit: int | None = None) -> tuple[list[Row], tuple[DataFile, ...]]:
    """All rows of the files, in order, in trl's shape and all of one shape, and what each file gave.

    Raises SuiteError with file:line of every bad row.
    """
    rows, faults, counts = list[Row](), list[Fault](), list[int]()
    shape: tuple[str, ...] | None = None
    for path in paths:
        before = len(rows)
        for where, raw in _pairs_of(_raw_rows(path, faults), stage, faults):
            row = check_row(where, raw, stage, faults)
            if row is None:
                continue
            shape = shape or tuple(row)
            if tuple(row) != shape:
                faults.append(
                    Fault(where, f"has {' + '.join(row)}, rows before it {' + '.join(shape)}", "use one shape in all files")
                )
                continue
            rows.append(row)
        counts.append(len(rows) - before)
    if faults:
        shown = faults[:_MOST_FAULTS]
        if len(faults) > len(shown):
            shown.append(Fault(paths[0], f"and {len(faults) - len(shown)} more faults"))
        raise SuiteError(shown)
    rows = rows[:limit]
    if not rows:
        raise TrainingError("there are no rows to train on", where=", ".join(paths), todo="Check the recipe's dataset")
    return rows, tuple(DataFile(path, file_digest(path), count) for path, count in zip(paths, counts, strict=True))


def file_digest(path: str) -> str:
    """sha256 over a file's bytes; of a folder, over its files' names and bytes in order."""
    found = Path(path)
    if found.is_dir():
        parts = [f"{file.relative_to(found)} {file_digest(str(file))}" for file in sorted(found.rglob("*")) if file.is_file()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    with found.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _raw_rows(path: str, faults: list[Fault]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(file:line, row) of a file. Rows of another format than trl's (LLaMA-Factory's, ...) are turned into it."""
    first = next((entry for entry in read_records(Path(path)) if not isinstance(entry, BadRow)), None)
    ours = first is not None and (RANKING in first[1] or any(set(shape) <= set(first[1]) for shape in chain(*_SHAPES.values())))
    if first is not None and not ours:
        with contextlib.suppress(DataError):  # no format is known by these keys: then check_row says what is needed
            yield from _converted(open_examples(Path(path)), faults)
            return
    for entry in read_records(Path(path)):
        if isinstance(entry, BadRow):
            faults.append(Fault(f"{path}:{entry.line}" if entry.line else path, entry.what, entry.todo))
        else:
            yield f"{path}:{entry[0]}", entry[1]


def _pairs_of(
    rows: Iterable[tuple[str, Mapping[str, Any]]], stage: str, faults: list[Fault]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rankings as their pairs, all of them (harness.statistics.ranking): answers of one group are as good as each other."""
    for where, raw in rows:
        if RANKING not in raw or "chosen" not in _SHAPES[stage][0]:
            yield where, raw
            continue
        groups = raw[RANKING]
        if not isinstance(groups, list) or len(groups) < 2 or not all(isinstance(group, list) and group for group in groups):
            what = "ranking is a list of groups of answers, best first, and there are two at least"
            faults.append(Fault(where, what, 'write "ranking": [["the best"], ["as good as", "each other"], ["the worst"]]'))
            continue
        answers = [answer for group in groups for answer in group]
        if any(answer in answers[:number] for number, answer in enumerate(answers)):
            faults.append(Fault(where, "ranking names an answer twice", "rank each answer once"))
            continue
        names = iter(range(len(answers)))
        outcomes = outcomes_of_ranking([[str(next(names)) for _ in group] for group in groups])
        more = {key: value for key, value in raw.items() if key != RANKING}
        for outcome in outcomes:
            if outcome.share == 1.0:  # a tie teaches nothing
                yield where, {**more, "chosen": answers[int(outcome.first)], "rejected": answers[int(outcome.second)]}


def _converted(source: Source, faults: list[Fault]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows of any format as trl's; a preference without a prompt of its own is parted where its two sides part."""
    for example in source:
        if isinstance(example, Dropped):
            faults.append(Fault(f"{example.source}:{example.line}", example.what, example.todo))
            continue
        if example.kind is Kind.PREFERENCE:
            sides = {"prompt": example.asked, "chosen": example.answer, "rejected": example.refused}
        else:
            sides = {"messages": example.messages, "prompt": example.prompt, "completion": example.completion}
        row: dict[str, Any] = {
            name: [{"role": t.role, "content": t.text} for t in turns] for name, turns in sides.items() if turns
        }
        if example.label is not None:
            row["label"] = example.label
        yield example.where, {**example.extra, **row}


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
    if shape == ("prompt", "completion") and raw.get("label") in (False, "false", 0):
        faults.append(
            Fault(where, "label false marks an answer that is bad: it must not be learnt", "leave such rows out for sft")
        )
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
