"""The page about a file of training data: what its rows are worth, what is wrong with them, how long they are, what is learnt.

Plain nouns in, one HTML file out; the figures come from harness.quality and the trainer's dry run, handed in by whoever calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports import data_charts, html
from reports.text import label, visible

_SECTIONS = (
    ("verdict", "Verdict", "data_verdict.html.j2"),
    ("findings", "Findings", "data_findings.html.j2"),
    ("trainer", "Trainer", "data_trainer.html.j2"),
    ("lengths", "Lengths", "data_lengths.html.j2"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a whole, drawn as a stretch of a bar. tone: good, bad, unsure, neutral, ghost."""

    name: str
    count: int
    tone: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Rows by a length. bins: (from, to, rows), the last one open. facts: (name, value). limit: where rows are cut."""

    name: str
    unit: str
    bins: tuple[tuple[int, int, int], ...]
    facts: tuple[tuple[str, str], ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class CodeView:
    """One kind of finding: its first places as (where, message)."""

    code: str
    check: str
    level: str
    rows: int
    share: str
    todo: str
    first: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TrainerView:
    """What the trainer would do. rows, tokens: parts of all rows, of all tokens. words: in sentences."""

    words: tuple[str, ...]
    rows: tuple[Part, ...]
    tokens: tuple[Part, ...]
    histograms: tuple[Histogram, ...]


@dataclass(frozen=True, slots=True)
class DataView:
    """Everything the page shows. passed: whether the file is within what is allowed; lead: that in a sentence."""

    file: str
    passed: bool
    lead: str
    facts: tuple[tuple[str, str], ...]
    rows: tuple[Part, ...]
    codes: tuple[CodeView, ...]
    histograms: tuple[Histogram, ...]
    trainer: TrainerView | None = None


def render(view: DataView) -> str:
    """The whole page."""
    return html.page(f"Training data: {label(view.file)}", _SECTIONS, data=view, draw=data_charts, visible=visible, label=label)


def shares(parts: Sequence[Part]) -> list[tuple[Part, float]]:
    """(part, share of the whole) of the parts that are not empty."""
    total = sum(part.count for part in parts) or 1
    return [(part, part.count / total) for part in parts if part.count]
