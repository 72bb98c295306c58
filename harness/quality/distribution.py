"""What a file of training data is made of - task types, languages, lengths, turns, topics - against what it should be.

Task types and languages are told by rules on every row; topics by embeddings of a sample. A target mix names shares; the answer
is how many rows to add, in words. Or the failing cases of a stored run are the measure: how much of the data is near to them.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from harness.errors import DataError, Fault, SuiteError
from harness.plugs import nearest
from harness.quality.askedtypes import Asked
from harness.quality.checks.language import main_script
from harness.quality.checks.preference import wilson
from harness.quality.counting import Lengths
from harness.quality.embedding import Embed
from harness.quality.examples import Dropped, Example, Unread
from harness.quality.tasktypes import known_types, task_type
from harness.quality.topics import Topics, find_topics
from harness.suite.document import Document, read_document

T = TypeVar("T")
SAMPLE = 4_000  # rows that are embedded
NEAR = 0.6  # cosine from which on a row is near to a case
_LANGUAGES = {"Han": "Chinese", "Kana": "Japanese", "Hangul": "Korean", "Greek": "Greek", "Hebrew": "Hebrew", "Thai": "Thai"}
_OTHER_SCRIPTS = tuple(f"{name} script" for name in ("Latin", "Cyrillic", "Arabic", "Devanagari"))
_UNTOLD = "mixed or too short"
DIMENSIONS = ("tasks", "languages", "turns", "lengths")
_LENGTHS = ((200, "up to 200 characters"), (1_000, "to 1,000"), (4_000, "to 4,000"))


@dataclass
class Distribution:
    """Counts over a file. sample: a uniform sample of rows as (line, question), for topics. unread: rows that are in no count.

    to_ask: a uniform sample of whole rows; asked: what a model said of their types, which then stands for the rules'.
    """

    rows: int = 0
    unread: Unread = field(default_factory=Unread)
    tasks: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    lengths: Counter[str] = field(default_factory=Counter)
    answers: Lengths = field(default_factory=Lengths)
    sample: list[tuple[int, str]] = field(default_factory=list)
    topics: Topics | None = None
    to_ask: list[Example] = field(default_factory=list)
    asked: Asked | None = None

    def of(self, dimension: str) -> Counter[str]:
        if dimension == "tasks" and self.asked is not None:
            return self.asked.types
        counts: Counter[str] = getattr(self, dimension)
        return counts

    def base(self, dimension: str) -> int:
        """Rows that the counts of a dimension are of."""
        return self.asked.rows if dimension == "tasks" and self.asked is not None else self.rows

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"rows": self.rows, "skipped": self.unread.rows, "first_skipped": self.unread.told()}
        told |= {name: dict(self.of(name).most_common()) for name in DIMENSIONS}
        told["answer_characters"] = self.answers.summary()
        if self.asked is not None:
            told |= {"tasks_by_rules": dict(self.tasks.most_common()), "tasks_asked": self.asked.as_dict()}
        if self.topics is not None:
            told["topics"] = [
                {"name": topic.name, "rows": topic.count, "lines": [self.sample[i][0] for i in topic.nearest]}
                for topic in self.topics.topics
            ]
            told["topics_of"] = len(self.sample)
        return told


def distribution(rows: Iterable[Example | Dropped], *, seed: int = 0, sample: int = SAMPLE, to_ask: int = 0) -> Distribution:
    """Count a stream of rows. Uniform samples are kept: questions for topics, and whole rows to ask a model about."""
    dice, again, found = random.Random(seed), random.Random(seed + 1), Distribution()  # noqa: S311 - a sample, not a secret
    for row in rows:
        if isinstance(row, Dropped):
            found.unread.add(row)
            continue
        found.rows += 1
        found.tasks[task_type(row)] += 1
        found.languages[language(row)] += 1
        asked = sum(turn.role == "user" for turn in row.asked)
        found.turns[f"{asked} turns" if asked > 1 else "1 turn" if asked else "no question"] += 1
        size = len(row.output_text)
        found.answers.add(size)
        found.lengths[next((name for limit, name in _LENGTHS if size <= limit), "longer")] += 1
        _keep(found.sample, (row.line, row.instruction), sample, found.rows, dice)
        _keep(found.to_ask, row, to_ask, found.rows, again)
    found.to_ask.sort(key=lambda row: row.line)
    return found


def _keep(kept: list[T], item: T, most: int, seen: int, dice: random.Random) -> None:
    """Reservoir sampling (Vitter 1985, algorithm R): the item, the ``seen``-th of its stream, is kept with chance most / seen."""
    if len(kept) < most:
        kept.append(item)
    elif most and (place := dice.randrange(seen)) < most:
        kept[place] = item


def language(example: Example) -> str:
    """The language of question and answer as far as their script tells it, or the script."""
    script = main_script(f"{example.instruction[:1000]}\n{example.output_text[:1000]}")
    return _UNTOLD if script is None else _LANGUAGES.get(script, f"{script} script")


def with_topics(found: Distribution, embed: Embed, count: int, *, seed: int = 0) -> np.ndarray:
    """Find the topics of the sample and set them; returns the sample's vectors, shape (n, d)."""
    texts = [text[:2000] for _, text in found.sample]
    vectors = embed(texts)
    found.topics = find_topics(texts, vectors, count, np.random.default_rng(seed))
    return vectors


# -- against a target mix --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gap:
    """One part of one dimension: its share, the wanted one, and rows to add (negative: too many) at the same size.

    rows: those counted. low, high: Wilson's 95 % interval of the share, where only a sample was counted.
    """

    dimension: str
    part: str
    rows: int
    share: float
    wanted: float
    add: int
    low: float | None = None
    high: float | None = None

    @property
    def missed(self) -> bool:
        """Whether the share is more than two points off, whatever the sample leaves open."""
        low, high = (self.share if end is None else end for end in (self.low, self.high))
        return low > self.wanted + 0.02 or high < self.wanted - 0.02

    @property
    def sentence(self) -> str:
        sampled = "" if self.low is None else f" ({self.low:.1%} to {self.high:.1%}, by a sample)"
        what = f"{self.part}: {self.share:.1%} of the rows{sampled}, wanted {self.wanted:.1%}"
        if abs(self.share - self.wanted) < 0.005:
            return f"{what}: as wanted"
        if self.add > 0:
            return f"{what}; {self.add:,} more rows are needed"
        return f"{what}; {-self.add:,} rows too many"


def read_target(path: Path) -> dict[str, dict[str, float]]:
    """A target mix: YAML of dimension -> part -> share (of 1, or percentages with %). SuiteError lists every fault.

    Shares of one dimension add up to at most 1; what is left is for parts that are not named.
    """
    document = read_document(path)
    faults = list(document.faults)
    data = document.data if isinstance(document.data, dict) else {}
    if not data and not faults:
        faults.append(Fault(document.where(), "a target mix maps tasks, languages, turns or lengths to shares"))
    target: dict[str, dict[str, float]] = {}
    for name, shares in data.items():
        where = document.where((name,))
        if name not in DIMENSIONS:
            faults.append(Fault(where, f"unknown key {name!r}", nearest(str(name), list(DIMENSIONS))))
        elif not isinstance(shares, dict) or not shares:
            faults.append(Fault(where, f"{name} maps parts to shares, e.g. `code: 20%`"))
        else:
            target[name] = _shares(name, shares, partial(_place, document, name), faults)
            if sum(target[name].values()) > 1 + 1e-9:
                faults.append(Fault(where, f"the shares of {name} add up to {sum(target[name].values()):.0%}, more than all"))
    if faults:
        raise SuiteError(faults)
    return target


def _place(document: Document, name: str, part: Any) -> str:
    return document.where((name, part))


def known_parts(dimension: str) -> list[str]:
    """What the parts of a dimension can be called; of turns the first few, any number of them goes."""
    return {
        "tasks": known_types(),
        "languages": [*_LANGUAGES.values(), *_OTHER_SCRIPTS, _UNTOLD],
        "turns": ["no question", "1 turn", "2 turns", "3 turns"],
        "lengths": [*(name for _, name in _LENGTHS), "longer"],
    }[dimension]


def is_part(dimension: str, part: str) -> bool:
    """Whether a dimension can have a part of this name: else a target's share of it could never be met."""
    return part in known_parts(dimension) or (
        dimension == "turns" and re.fullmatch(r"(?:[2-9]|[1-9]\d+) turns", part) is not None
    )


def _shares(name: str, shares: Mapping[Any, Any], where: Callable[[Any], str], faults: list[Fault]) -> dict[str, float]:
    found = {}
    for part, value in shares.items():
        if not is_part(name, str(part)):
            what = f"{name} know no {part!r}" if name != "tasks" else f"there is no task type {part!r}"
            faults.append(Fault(where(part), what, nearest(str(part), known_parts(name))))
        try:
            share = float(value.removesuffix("%")) / 100 if isinstance(value, str) and value.endswith("%") else float(value)
        except (TypeError, ValueError):
            share = -1.0
        if isinstance(value, bool) or not 0 <= share <= 1:
            faults.append(Fault(where(part), f"{part}: {value!r} is no share between 0 and 1 (or 0% and 100%)"))
        else:
            found[str(part)] = share
    return found


def gaps(found: Distribution, target: Mapping[str, Mapping[str, float]]) -> list[Gap]:
    """Every named part against its target, the largest lack first. DataError without rows."""
    if not found.rows:
        raise DataError("there are no rows to compare with the target")
    told = []
    for dimension, shares in target.items():
        counts, base = found.of(dimension), found.base(dimension)
        if not base:
            raise DataError(f"the {dimension} of no row are known", todo="Run it again, or compare without a model")
        for part, wanted in shares.items():
            rows = counts.get(part, 0)
            low, high = wilson(rows, base) if base < found.rows else (None, None)
            add = round(wanted * found.rows) - round(rows / base * found.rows)
            told.append(Gap(dimension, part, rows, rows / base, wanted, add, low, high))
    return sorted(told, key=lambda gap: (-gap.add, gap.dimension, gap.part))


# -- against failing cases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FailingCase:
    """A case that fails, as far as data may know of it: its text (of the dev split only)."""

    capability: str
    case_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Cover:
    """How a failing capability is covered. near: share of the sampled rows that are near to one of its failing cases. median: of
    the cosines between each case and its nearest row. far: cases without any row near. task: the most frequent task type of
    its cases. task_share: share of the file's rows that are of that type."""

    capability: str
    cases: int
    near: float
    median: float
    far: int
    task: str
    task_share: float

    @property
    def sentence(self) -> str:
        head = f"{self.capability} fails {self.cases:,} dev {'case' if self.cases == 1 else 'cases'}"
        if self.far:
            lack = "it" if self.cases == 1 else f"{self.far:,} of them" if self.far < self.cases else "any of them"
            return f"{head}; no row is near to {lack}: add rows of this kind ({self.task}, now {self.task_share:.1%} of the data)"
        near = f"{self.near:.1%} of the data"
        return f"{head}; each has rows near to it ({near}): look at their quality and at conflicting rows before adding more"


def cover(found: Distribution, vectors: np.ndarray, failing: Sequence[FailingCase], embed: Embed) -> list[Cover]:
    """For each capability with failing cases how near the data comes to them; the least covered first."""
    groups: dict[str, list[FailingCase]] = {}
    for case in failing:
        groups.setdefault(case.capability, []).append(case)
    return sorted(
        (_cover(found, vectors, name, cases, embed) for name, cases in groups.items()), key=lambda c: (c.median, c.capability)
    )


def _cover(found: Distribution, vectors: np.ndarray, name: str, cases: list[FailingCase], embed: Embed) -> Cover:
    from harness.quality.examples import Kind, Turn

    cosines = embed([case.text[:2000] for case in cases]) @ vectors.T if len(vectors) else np.zeros((len(cases), 1))
    best = cosines.max(axis=1)
    types = Counter(task_type(Example(Kind.PROMPT, prompt=(Turn("user", case.text),))) for case in cases)
    task = min(types, key=lambda kind: (-types[kind], kind))
    return Cover(
        capability=name,
        cases=len(cases),
        near=float((cosines.max(axis=0) >= NEAR).mean()),
        median=float(np.median(best)),
        far=int((best < NEAR).sum()),
        task=task,
        task_share=found.tasks.get(task, 0) / max(found.rows, 1),
    )
