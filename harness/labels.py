"""What people said of cases, made sense of: which labels count, where people disagree, which cases speak for all.

Labels are only ever added. An edit supersedes its author's earlier label, an undo withdraws one (and what it had superseded
counts again); everything stays readable. A rating or a ranking is about answers, not about a run: a baseline that stood in an
earlier comparison need not be read twice. Choices between candidate and baseline, and marks, are about the two runs.

Several people may label one thing. Where their current labels differ, the matter is open until somebody adjudicates; a label that
any of them gives afterwards opens it again.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import DataError
from harness.model import Label, Split, digest_of
from harness.statistics import selection

KINDS = ("rate", "pair", "rank", "mark")
MARKS = ("check-wrong", "judge-wrong", "accept-change")
PREFERENCES = ("candidate", "baseline", "tie")
RATER_CHARS = 60
COMMENT_CHARS = 10_000
MOST_ANSWERS = 26  # of one ranking
RATING_GAP = 2  # ratings this far apart are a disagreement, neighbours are not

Thing = tuple[str, ...]  # what is labelled: see thing()


@dataclass(frozen=True, slots=True)
class Pick:
    """One case of a plan. weight, draw: see harness.statistics.selection. tier: why it stands where it stands.

    answers: ids of the stored answers that are to be labelled; a case is looked at when all of them are.
    """

    capability: str
    case_id: str
    tier: str
    weight: float
    draw: float
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelPlan:
    """Which cases of a run people are to look at, in order; made once, so that every chance stays what it was.

    id: digest over runs, kind, split and seed, so that the same command finds its plan again. population: cases that could be
    drawn; picks holds the first of them (all, unless there are very many), rest_rank is draw / weight of the first one left out.
    batch: how many make one sitting; probabilities of labels are those of the batch they stand in.
    """

    id: str
    run_id: str
    baseline_run_id: str | None
    kind: str
    split: str
    seed: int
    batch: int
    population: int
    created_at: float
    picks: tuple[Pick, ...] = ()
    rest_rank: float | None = None

    def probabilities(self, n: int) -> dict[tuple[str, str], float]:
        """(capability, case id) -> its chance in the sample of the first n, for these n cases."""
        n = min(n, len(self.picks))
        weights, draws = [p.weight for p in self.picks], [p.draw for p in self.picks]
        if self.rest_rank is not None:  # stands for all that was left out
            weights, draws = [*weights, 1.0 / self.rest_rank], [*draws, 1.0]
        chances = selection.probabilities(weights, draws, n)
        return {(p.capability, p.case_id): float(c) for p, c in zip(self.picks[:n], chances[:n], strict=True)}


@dataclass(frozen=True, slots=True)
class Settled:
    """All current labels on one thing. state: one (a single rater) | agreed | disputed | adjudicated.

    final: the label that counts (the adjudicator's, else the last of those that agree), None while disputed.
    """

    thing: Thing
    labels: tuple[Label, ...]
    state: str
    final: Label | None


def thing(label: Label) -> Thing:
    """What a label is about: the case and kind, and the answers or the two runs. The same for every rater."""
    about = sorted(label.responses) if label.kind in ("rate", "rank") else [label.run_id, label.baseline_run_id or ""]
    return (label.kind, label.capability, label.case_id, *about)


def is_skip(label: Label) -> bool:
    """Whether the person could not tell. A mark never is."""
    said = label.passed is not None or label.rating is not None or label.preference is not None or label.ranking
    return label.kind != "mark" and not said


def current(labels: Iterable[Label]) -> list[Label]:
    """The labels that count: for each rater (and each adjudicator) the latest on each thing that was not taken back."""
    ordered = sorted(labels, key=lambda label: label.created_at)  # stable: what came in later counts as later
    gone = {label.supersedes for label in ordered if label.withdrawn}
    latest: dict[tuple[Thing, str, bool], Label] = {}
    for label in ordered:
        if not label.withdrawn and label.id not in gone:
            key = (thing(label), label.rater, label.adjudicates)
            latest.pop(key, None)  # so that the order stays that of the last word
            latest[key] = label
    return list(latest.values())


def settle(labels: Iterable[Label]) -> list[Settled]:
    """Current labels by what they are about, skips and marks left out, in the order in which things were first labelled."""
    by: dict[Thing, list[Label]] = {}
    for label in current(labels):
        if label.kind != "mark" and not is_skip(label):
            by.setdefault(thing(label), []).append(label)
    return [_settled(about, given) for about, given in by.items()]


def _settled(about: Thing, given: Sequence[Label]) -> Settled:
    raters = [label for label in given if not label.adjudicates]
    judges = [label for label in given if label.adjudicates]
    newest = max((label.created_at for label in raters), default=-math.inf)
    if judges and judges[-1].created_at >= newest:
        return Settled(about, tuple(given), "adjudicated", judges[-1])
    if not raters:
        return Settled(about, tuple(given), "adjudicated", judges[-1])
    if any(differ(a, b) for i, a in enumerate(raters) for b in raters[:i]):
        return Settled(about, tuple(given), "disputed", None)
    return Settled(about, tuple(given), "agreed" if len(raters) > 1 else "one", raters[-1])


def differ(a: Label, b: Label) -> bool:
    """Whether two labels on one thing contradict each other.

    They do with a pass against a fail, ratings two or more apart, another preference, or two answers ranked the other way round
    (a tie contradicts no order).
    """
    if a.passed is not None and b.passed is not None and a.passed != b.passed:
        return True
    if a.rating is not None and b.rating is not None and abs(a.rating - b.rating) >= RATING_GAP:
        return True
    if a.preference != b.preference:
        return True
    return _turned(places(a), places(b))


def places(label: Label) -> dict[str, int]:
    """Response id -> its place in the ranking, 0 the best."""
    return {answer: place for place, group in enumerate(label.ranking) for answer in group}


def _turned(a: Mapping[str, int], b: Mapping[str, int]) -> bool:
    both = [answer for answer in a if answer in b]
    return any((a[x] - a[y]) * (b[x] - b[y]) < 0 for i, x in enumerate(both) for y in both[:i])


def looked_at(plan: LabelPlan, labels: Iterable[Label]) -> dict[tuple[str, str], float]:
    """(capability, case id) -> the chance to be weighted with, for the cases that make a sample.

    These are the first cases of the plan up to the first that has an answer which nobody has labelled in the plan's kind ("cannot
    tell" counts as looked at, and so does what was said of the same answer in another review). Cases labelled beyond that gap
    were chosen by somebody, not drawn: they may be read, not weighted.
    """
    seen: dict[tuple[str, str], set[str]] = {}
    for label in current(labels):
        if label.kind == plan.kind and (plan.kind != "pair" or label.run_id == plan.run_id):
            seen.setdefault((label.capability, label.case_id), set()).update(label.responses)
    key = [(p.capability, p.case_id) for p in plan.picks]
    n = next((i for i, p in enumerate(plan.picks) if key[i] not in seen or not seen[key[i]].issuperset(p.answers)), len(key))
    return plan.probabilities(n)


def trainable(labels: Iterable[Label]) -> list[Label]:
    """Current labels that may become training rows: none on a gate case, whatever it says."""
    return [label for label in current(labels) if label.split is Split.DEV]


# -- labels as rows --------------------------------------------------------------------------------------------------------------


def fault_of(label: Label) -> str | None:
    """What is wrong with a label, or None."""
    if label.kind not in KINDS:
        return f"kind {label.kind!r} is none of {', '.join(KINDS)}"
    if not label.rater.strip() or len(label.rater) > RATER_CHARS:
        return f"a rater's name has 1 to {RATER_CHARS} characters"
    if not re.fullmatch(r"[0-9a-f]{32}", label.id):
        return "id is not 32 hex digits"
    if label.rating is not None and label.rating not in range(1, 6):
        return f"rating {label.rating} is none of 1 to 5"
    if label.preference is not None and label.preference not in PREFERENCES:
        return f"preference {label.preference!r} is none of {', '.join(PREFERENCES)}"
    if unknown := [mark for mark in label.marks if mark not in MARKS]:
        return f"mark {unknown[0]!r} is none of {', '.join(MARKS)}"
    if len(label.comment) > COMMENT_CHARS:
        return f"the comment has more than {COMMENT_CHARS:,} characters"
    if label.probability is not None and not 0.0 < label.probability <= 1.0:
        return f"probability {label.probability} is not in (0, 1]"
    if not math.isfinite(label.created_at) or not (label.seconds is None or 0.0 <= label.seconds < math.inf):
        return "a time is not a number"
    if label.withdrawn and not label.supersedes:
        return "withdrawn, but supersedes names no label"
    return _kind_fault(label)


def _kind_fault(label: Label) -> str | None:
    if len(label.sides) not in (0, len(label.responses)):
        return "sides and responses are not of one length"
    ranked = [answer for group in label.ranking for answer in group]
    if label.ranking and (len(set(ranked)) != len(ranked) or set(ranked) != set(label.responses) or len(ranked) > MOST_ANSWERS):
        return f"ranking must name each of responses once, at most {MOST_ANSWERS}"
    values = {"rate": (label.passed, label.rating), "pair": (label.preference,), "rank": (label.ranking or None,)}
    stray = [kind for kind, given in values.items() if kind != label.kind and any(v is not None for v in given)]
    if stray:
        return f"a {label.kind} label with the value of a {stray[0]} label"
    want = {"rate": 1, "pair": 2}.get(label.kind)
    if want is not None and len(label.responses) != want and not label.withdrawn:
        return f"a {label.kind} label is about {want} of responses, not {len(label.responses)}"
    return None


def as_row(label: Label) -> dict[str, Any]:
    """A label as a JSON object; the inverse of from_row."""
    return dataclasses.asdict(label)


_KEYS = ("id", "run_id", "baseline_run_id", "capability", "case_id", "plan", "supersedes")
_TEXTS = (*_KEYS, "split", "kind", "rater", "preference", "comment")
_LISTS = ("responses", "sides", "marks")
_NUMBERS = ("created_at", "seconds", "probability")
_WHOLE = ("sample", "rating")
_FLAGS = ("passed", "blind", "withdrawn", "adjudicates")
FIELDS = frozenset(f.name for f in dataclasses.fields(Label))


def from_row(row: Mapping[str, Any], *, where: str, defaults: Mapping[str, Any] | None = None) -> Label:
    """A label from a JSON object; DataError at ``where`` for whatever is no label. Without an id it gets one from its content.

    defaults: for fields that the row leaves out (run_id, split, created_at).
    """
    if unknown := sorted(set(row) - FIELDS):
        raise DataError(f"unknown field {unknown[0]!r}", where=where, todo=f"Fields are {', '.join(sorted(FIELDS))}")
    given = {**(defaults or {}), **{name: value for name, value in row.items() if value is not None}}
    try:
        values = {name: _value(name, value) for name, value in given.items()}
        values["split"] = Split(values.get("split", ""))
        values.setdefault("id", digest_of(sorted((k, v) for k, v in given.items() if k != "created_at"))[:32])
        label = Label(**values)
    except (TypeError, ValueError, OverflowError) as error:
        missing = [n for n in ("run_id", "capability", "case_id", "split", "kind", "rater", "created_at") if n not in given]
        what = f"{missing[0]} is missing" if missing else str(error)
        raise DataError(what, where=where, todo="One label a line, as --export writes them") from None
    if fault := fault_of(label):
        raise DataError(fault, where=where, todo="Mend the row, or leave it out")
    return label


def _value(name: str, value: Any) -> Any:
    if name in _TEXTS and isinstance(value, str):
        return value
    if name in _FLAGS and isinstance(value, bool):
        return value
    if name in _WHOLE and type(value) is int:
        return value
    if name in _NUMBERS and type(value) in (int, float) and math.isfinite(value):
        return float(value)
    if name in _LISTS and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if name == "ranking" and isinstance(value, list | tuple):
        groups = tuple(tuple(group) for group in value if isinstance(group, list | tuple))
        if len(groups) == len(value) and all(isinstance(v, str) for group in groups for v in group):
            return groups
    raise ValueError(f"{name} is not of the right type")
