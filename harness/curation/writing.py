"""Pairs and rows as trl's conversational rows with their provenance, and the card that tells what a data set is made of.

Card after "Datasheets for datasets" (Gebru et al. 2021), cut down to what a curation knows of itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from harness.curation.guards import Guarded
from harness.curation.nouns import Answer, Lesson, Pair
from harness.model import Case, Message


def pair_row(pair: Pair) -> dict[str, Any]:
    """``{"prompt", "chosen", "rejected", "provenance"}``, as trl's DPOTrainer and RewardTrainer take it."""
    origin = {
        "pair_id": pair.id,
        **_case(pair.case, pair.suite_hash),
        "source": pair.source,
        "margin": None if pair.margin is None else round(pair.margin, 6),
        "raters": pair.raters or None,
        "chosen": pair.chosen.as_dict(),
        "rejected": pair.rejected.as_dict(),
    }
    return {
        "prompt": _turns(pair.messages),
        "chosen": _said(pair.chosen),
        "rejected": _said(pair.rejected),
        "provenance": {key: value for key, value in origin.items() if value is not None},
    }


def lesson_row(row: Lesson) -> dict[str, Any]:
    """``{"prompt", "completion", "provenance"}``, as trl's SFTTrainer takes it."""
    origin = {"row_id": row.id, **_case(row.case, row.suite_hash), "replay": row.replay, "answer": row.answer.as_dict()}
    return {"prompt": _turns(row.messages), "completion": _said(row.answer), "provenance": origin}


def _case(case: Case, suite_hash: str) -> dict[str, Any]:
    return {
        "case_id": case.id,
        "capability": case.capability,
        "split": str(case.split),
        "case_source": case.source,
        "suite_hash": suite_hash,
    }


def _turns(messages: Iterable[Message]) -> list[dict[str, str]]:
    return [message.as_dict() for message in messages]


def _said(answer: Answer) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer.text}]


@dataclass(frozen=True, slots=True)
class Card:
    """What a curated data set is made of. cases: dev cases looked at. failing: those among them with a failing answer."""

    suite: str
    suite_hash: str
    run_id: str
    candidate: str
    other_run_id: str | None
    cases: int
    failing: int
    gate_cases: int
    settings: dict[str, Any]
    pairs: int = 0
    lessons: int = 0
    replay: int = 0
    similar: int = 0
    by_capability: dict[str, dict[str, int]] = field(default_factory=dict)
    by_source: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, float | None] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def counted(found: Guarded) -> dict[str, Any]:
    """The counts of a Card."""
    by: dict[str, dict[str, int]] = {}
    for name, rows in (
        ("pairs", found.pairs),
        ("sft", [row for row in found.lessons if not row.replay]),
        ("replay", [row for row in found.lessons if row.replay]),
    ):
        for capability, count in Counter(row.case.capability for row in rows).items():
            by.setdefault(capability, {})[name] = count
    return {
        "pairs": len(found.pairs),
        "lessons": sum(not row.replay for row in found.lessons),
        "replay": sum(row.replay for row in found.lessons),
        "similar": found.similar,
        "by_capability": by,
        "by_source": dict(Counter(pair.source for pair in found.pairs)),
        "left": dict(Counter(f"{left.what}: {left.code}" for left in found.left).most_common()),
        "lengths": lengths(found.pairs),
    }


def lengths(pairs: Sequence[Pair]) -> dict[str, float | None]:
    """Characters of chosen and rejected answers (medians), and the share of pairs whose chosen one is the longer."""
    if not pairs:
        return {"chosen_median": None, "rejected_median": None, "chosen_longer": None}
    longer = [(len(p.chosen.text) > len(p.rejected.text)) + 0.5 * (len(p.chosen.text) == len(p.rejected.text)) for p in pairs]
    return {
        "chosen_median": float(median(len(p.chosen.text) for p in pairs)),
        "rejected_median": float(median(len(p.rejected.text) for p in pairs)),
        "chosen_longer": round(sum(longer) / len(pairs), 4),
    }


def card_text(card: Card) -> str:
    """The card as markdown."""
    lines = [
        f"# Training data curated from run {card.run_id}",
        "",
        f"- Suite: {_plain(card.suite)} (hash {card.suite_hash[:12]}); candidate: {_plain(card.candidate)}"
        + (f"; other run: {card.other_run_id}" if card.other_run_id else ""),
        f"- {card.pairs:,} preference pairs (pairs.jsonl), {card.lessons:,} SFT rows and {card.replay:,} replay rows (sft.jsonl)",
        f"- Made of {card.cases:,} cases of the dev split, {card.failing:,} with an answer that fails. No case of the gate split "
        f"was looked at; every text was held against the {card.gate_cases:,} gate cases (inputs and references).",
        f"- {card.similar:,} texts resemble a gate case without repeating it and were kept.",
        "- Every row says in `provenance` which case, answers, scores, checks and runs it comes from.",
        "",
        "| capability | pairs | SFT rows | replay rows |",
        "|---|---:|---:|---:|",
    ]
    for name, counts in card.by_capability.items():
        lines.append(f"| {_plain(name)} | {counts.get('pairs', 0):,} | {counts.get('sft', 0):,} | {counts.get('replay', 0):,} |")
    lines += ["", "Where the chosen answers come from: " + (_listed(card.by_source) or "there are none") + "."]
    if card.lengths.get("chosen_longer") is not None:
        share = 100 * (card.lengths["chosen_longer"] or 0.0)
        lines.append(
            f"Lengths: chosen {card.lengths['chosen_median']:.0f} characters (median), rejected "
            f"{card.lengths['rejected_median']:.0f}; the chosen answer is the longer one in {share:.0f} % of the pairs (equal "
            "ones count half)."
        )
    lines += ["", "Left out: " + (_listed(card.left) or "nothing") + (" (dropped.jsonl)." if card.left else ".")]
    lines += ["", "Settings: " + ", ".join(f"{name} {_plain(value)}" for name, value in card.settings.items()) + "."]
    return "\n".join(lines) + "\n"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {_plain(name)}" for name, count in counts.items())


def _plain(value: object) -> str:
    """One line of text that no markdown reader takes for anything else."""
    text = " ".join(str(value).split())[:200]
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in text)
