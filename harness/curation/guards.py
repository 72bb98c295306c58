"""What may not become training data although a case offers it: pairs and rows are held back here, each with its reason.

In this order: what repeats the gate, answers of very unlike length, what says the same again, capabilities that would drown the
others, replay beyond its share.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from harness.curation.nouns import Left, Lesson, Pair
from harness.quality.dedup import exact, minhash
from harness.quality.leaks import Leak, LeakIndex
from harness.quality.words import words

T = TypeVar("T", Pair, Lesson)

SHORT = 40  # characters: of shorter answers a ratio of lengths says nothing ("yes" against "no, sorry")


@dataclass(frozen=True, slots=True)
class Limits:
    """length_ratio: most that one answer of a pair may be longer than the other. alike: Jaccard similarity of 3-word shingles
    from which on two pairs say the same, None for equal texts only. shared: share of a gate case's words in a row (or of the
    text's own), or of its shingles, from which on a text repeats it. balance: most rows of a capability, as a multiple of
    the median capability's; None for no limit. replay: replay rows for each row that teaches. seed: chooses among too many.
    """

    length_ratio: float = 3.0
    alike: float | None = 0.9
    shared: float = 0.9
    balance: float | None = 3.0
    replay: float = 1.0
    seed: int = 0


@dataclass(slots=True)
class Guarded:
    """What may be trained on, and what was held back. similar: texts that resemble a gate case without repeating it."""

    pairs: list[Pair] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    similar: int = 0


def guard(
    pairs: Iterable[Pair], lessons: Iterable[Lesson], gate: LeakIndex, protected: frozenset[str], limits: Limits
) -> Guarded:
    """Hold back what may not be trained on. gate: the texts of the gate's cases. protected: capabilities that replay is for."""
    out = Guarded()
    kept = [pair for pair in pairs if _clean(pair, _texts(pair), "pair", gate, limits, out)]
    kept = [pair for pair in kept if _alike_in_length(pair, limits, out)]
    kept = _once(kept, _pair_text, "pair", limits, out)
    out.pairs = _balanced(kept, "pair", limits, out)
    rows = [lesson for lesson in lessons if not lesson.replay or lesson.case.capability in protected]
    rows = [row for row in rows if _clean(row, _texts(row), _kind(row), gate, limits, out)]
    teach = _balanced(_once([row for row in rows if not row.replay], _lesson_text, "sft", limits, out), "sft", limits, out)
    replay = _once([row for row in rows if row.replay], _lesson_text, "replay", limits, out)
    out.lessons = teach + _replayed(replay, len(teach), limits, out)
    return out


def _kind(row: Lesson) -> str:
    return "replay" if row.replay else "sft"


def _texts(row: Pair | Lesson) -> set[str]:
    """All that would be learnt from: the prompt's turns but for the system's, and the answers."""
    asked = {message.content for message in row.messages if message.role != "system"}
    return asked | ({row.chosen.text, row.rejected.text} if isinstance(row, Pair) else {row.answer.text})


def _clean(row: Pair | Lesson, texts: set[str], what: str, gate: LeakIndex, limits: Limits, out: Guarded) -> bool:
    """Whether it repeats no gate case, neither its input nor its reference."""
    found = [(_share(leak, text), leak) for text in sorted(texts) for leak in gate.find(text, 0)]
    share, worst = max(found, key=lambda one: one[0], default=(0.0, None))
    if worst is None:
        return True
    if share < limits.shared:
        out.similar += 1
        return True
    why = f"repeats the {worst.target.part} of gate case {worst.target.id} ({worst.how}): {worst.span[:80]!r}"
    more = {"gate_case_id": worst.target.id, "how": worst.how, "span": worst.span}
    out.left.append(Left(row.case, "gate-leak", why, what, more))
    return False


def _share(leak: Leak, text: str) -> float:
    """How much of the gate's text stands in this one, or of this one in the gate's: what is embedded is repeated, too."""
    return max(leak.alike, leak.words / max(1, len(words(text))))


def _alike_in_length(pair: Pair, limits: Limits, out: Guarded) -> bool:
    """Pairs whose answers differ much in length teach length before anything else."""
    short, long = sorted((len(pair.chosen.text), len(pair.rejected.text)))
    if long <= SHORT or long <= limits.length_ratio * short:
        return True
    which = "chosen" if len(pair.chosen.text) == long else "rejected"
    why = f"the {which} answer has {long:,} characters, the other {short:,}: more than {limits.length_ratio:g} times as many"
    out.left.append(Left(pair.case, "length", why, "pair"))
    return False


def _once(rows: Sequence[T], text: Callable[[T], str], what: str, limits: Limits, out: Guarded) -> list[T]:
    """Each text once, and of nearly equal ones the first."""
    for code, decisions in (
        ("duplicate", lambda some: exact(some, text)),
        ("near-duplicate", lambda some: minhash(some, text, limits.alike) if limits.alike is not None else _all(some)),
    ):
        kept: list[T] = []
        for row, twin in decisions(rows):
            if twin is None:
                kept.append(row)
                continue
            first = rows[twin.of]
            more = {"of_case_id": first.case.id, "similarity": round(twin.similarity, 4)}
            out.left.append(Left(row.case, code, f"case {first.case.id} gives the same: {twin.why}", what, more))
        rows = kept
    return list(rows)


def _all(rows: Iterable[T]) -> Iterable[tuple[T, None]]:
    return ((row, None) for row in rows)


def _pair_text(pair: Pair) -> str:
    return "\n".join([*(m.content for m in pair.messages), pair.chosen.text, pair.rejected.text])


def _lesson_text(row: Lesson) -> str:
    return "\n".join([*(m.content for m in row.messages), row.answer.text])


def _balanced(rows: Sequence[T], what: str, limits: Limits, out: Guarded) -> list[T]:
    """No capability has more than ``balance`` times the rows of the median one; which are taken is decided by hash."""
    counts = Counter(row.case.capability for row in rows)
    if limits.balance is None or len(counts) < 2:
        return list(rows)
    ordered = sorted(counts.values())
    most = max(1, int(limits.balance * ordered[(len(ordered) - 1) // 2]))
    kept: list[T] = []
    for name, count in counts.items():
        own = [row for row in rows if row.case.capability == name]
        taken = set(map(id, _some(own, most, limits.seed)))
        kept += [row for row in own if id(row) in taken]
        why = f"{name} has {count:,} and may have {most:,}: {limits.balance:g} times what the median capability has"
        out.left += [Left(row.case, "balance", why, what) for row in own if id(row) not in taken]
    return kept


def _replayed(rows: Sequence[Lesson], teaching: int, limits: Limits, out: Guarded) -> list[Lesson]:
    """As many as the share allows, the capabilities in turn."""
    most = round(limits.replay * teaching)
    queues: dict[str, list[Lesson]] = {}
    for row in _some(rows, len(rows), limits.seed):
        queues.setdefault(row.case.capability, []).append(row)
    turns = [
        queue[turn] for turn in range(max(map(len, queues.values()), default=0)) for queue in queues.values() if turn < len(queue)
    ]
    out.left += [Left(row.case, "replay-share", f"{most:,} replay rows are enough", "replay") for row in turns[most:]]
    return turns[:most]


def _some(rows: Sequence[T], most: int, seed: int) -> list[T]:
    """So many of them, in an order that depends on content and seed alone."""
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed}\0{row.id}".encode()).digest())[:most]
