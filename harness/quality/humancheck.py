"""Are rows of training data right? A stratified sample for people to read, and what their verdicts say of all rows.

Rows are drawn within strata (capability, source of the answer, task type). A stratum of N_h rows gets n_h places, in proportion
but at least LEAST; within it rows come in ascending order of a number uniform on (0, 1] that only seed and row decide
(harness.statistics.selection), so its first m rows are a simple random sample of m for each m. A row read among them had the
chance m / N_h, which is above 0 for every row of the file, and counts N_h / m times. Strata take turns in the order of reading,
so that who stops early has a sample of every stratum, only a smaller one.

The rate is the weighted share of accepted rows among those that somebody decided on (Hajek's ratio), with the interval of
harness.statistics.agreement.share; it makes no use of the strata or of the file being finite, and is rather too wide than too
narrow. What is not covered: stopping because of what was seen, and rows that nobody could decide on, which are left out.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.errors import DataError
from harness.model import Estimate, digest_of
from harness.quality.examples import Dropped, Example, Turns
from harness.quality.tasktypes import task_type
from harness.statistics import agreement
from harness.statistics.selection import uniforms

ACCEPT, REJECT, OTHER, SKIP = "accept", "reject", "other", "skip"  # OTHER: the rejected answer is the better one
VERDICTS = (ACCEPT, REJECT, OTHER, SKIP)
BY = ("capability", "source", "task")
LEAST = 2  # places of a stratum, so that its rows are more than one anecdote
MOST_STRATA = 40
MOST_PAIRS = 10  # of raters that are compared
NONE, REST = "(none)", "(others)"
_MOST_NAMES = 10_000  # of strata that are counted: a column of ids must not fill the memory
_NAME_CHARS = 80


@dataclass(frozen=True, slots=True)
class Pick:
    """One drawn row: its place in the file, the digest of its content, and the stratum that it was drawn from."""

    line: int
    row: str
    stratum: str


@dataclass(frozen=True, slots=True)
class RowPlan:
    """A drawn sample in the order of reading. strata: name -> rows of the file. unread: rows of the file that cannot be read.

    id: digest over file, settings and format, so that the same command finds its own plan. file: digest of the file's bytes.
    """

    id: str
    file: str
    by: tuple[str, ...]
    seed: int
    sample: int
    strata: Mapping[str, int]
    unread: int
    picks: tuple[Pick, ...]

    @property
    def rows(self) -> int:
        return sum(self.strata.values())

    def drawn(self) -> dict[str, int]:
        """Stratum -> rows drawn from it."""
        counts = Counter(pick.stratum for pick in self.picks)
        return {name: counts[name] for name in self.strata}


@dataclass(frozen=True, slots=True)
class Word:
    """What one person said of one row. undoes: the id of an earlier word of theirs that this one takes back; then no verdict."""

    id: str
    row: str
    line: int
    rater: str
    created_at: float
    verdict: str | None = None
    comment: str = ""
    seconds: float | None = None
    plan: str = ""
    undoes: str | None = None


# -- drawing ---------------------------------------------------------------------------------------------------------------------


def row_id(example: Example) -> str:
    """32 hex digits over what a row teaches: the same row is the same in every file and format."""
    parts = (example.messages, example.prompt, example.completion, example.chosen, example.rejected)
    content = [str(example.kind), example.label, *(_plain(turns) for turns in parts), list(example.tools)]
    return hashlib.blake2b(json.dumps(content, sort_keys=True, default=str).encode(), digest_size=16).hexdigest()


def _plain(turns: Turns) -> list[Any]:
    return [[turn.role, turn.content, turn.thinking, list(turn.tool_calls)] for turn in turns]


def stratum(example: Example, by: Sequence[str]) -> str:
    """The name of a row's stratum; without any ``by`` all rows are one."""
    return " / ".join(_part(example, name) for name in by) or "all rows"


def _part(example: Example, by: str) -> str:
    if by == "task":
        return task_type(example)
    origin = provenance(example)
    value = origin.get(by, example.raw.get(by))
    if by == "source" and value is None and origin:  # of an SFT row: a replayed skill, or where the answer is from
        answer = origin.get("answer")
        value = "replay" if origin.get("replay") is True else answer.get("origin") if isinstance(answer, Mapping) else None
    return (" ".join(str(value).split())[:_NAME_CHARS] or NONE) if isinstance(value, str | int) else NONE


def provenance(example: Example) -> Mapping[str, Any]:
    """Where a curated row comes from; empty where it does not say. Tables hold it as JSON text."""
    value = example.raw.get("provenance")
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    return value if isinstance(value, Mapping) else {}


def usual_by(examples: Iterable[Example | Dropped]) -> tuple[str, ...]:
    """What a file is usually divided by: the capabilities and sources that curated rows carry, else the task types."""
    for example in examples:
        if isinstance(example, Example):
            told = tuple(name for name in ("capability", "source") if _part(example, name) != NONE)
            return told or ("task",)
    return ("task",)


def draw(source: Iterable[Example | Dropped], *, file: str, form: str, by: Sequence[str], seed: int, sample: int) -> RowPlan:
    """A sample of a file, which is read twice: once to count the strata, once to draw. Memory: the strata and the sample.

    DataError for a file without a row, or one that changes meanwhile.
    """
    counts: Counter[str] = Counter()
    unread = 0
    for example in source:
        if isinstance(example, Dropped):
            unread += 1
            continue
        name = stratum(example, by)
        counts[name if name in counts or len(counts) < _MOST_NAMES else REST] += 1
    if not counts:
        raise DataError("there is no row to look at", where=file, todo="Give a file with rows")
    strata = merged(counts, min(MOST_STRATA, max(1, sample // LEAST)))
    places = allocate(strata, sample)
    drawn: dict[str, list[tuple[float, int, str]]] = {name: [] for name in strata}
    seen: Counter[str] = Counter()
    for example in source:
        if isinstance(example, Dropped):
            continue
        name = stratum(example, by)
        name = name if name in strata else REST
        seen[name] += 1
        row = row_id(example)
        ticket = (-float(uniforms(seed, [f"{row}\0{example.line}"])[0]), -example.line, row)
        if len(drawn.get(name, ())) < places.get(name, 0):
            heapq.heappush(drawn[name], ticket)
        elif drawn.get(name):
            heapq.heappushpop(drawn[name], ticket)
    if seen != Counter(strata):
        raise DataError("changed while it was read", where=file, todo="Run it again when nothing writes to the file")
    return RowPlan(plan_id(file, form, by, seed, sample), file, tuple(by), seed, sample, strata, unread, _in_turn(drawn))


def plan_id(file: str, form: str, by: Sequence[str], seed: int, sample: int) -> str:
    return digest_of([file, form, list(by), seed, sample])[:16]


def merged(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """Stratum -> rows, at most so many strata, by name: the smallest are one stratum where there are more."""
    ordered = sorted(counts, key=lambda name: (name == REST, -counts[name], name))
    few = ordered if len(ordered) <= most else ordered[: most - 1]
    found = {name: counts[name] for name in sorted(few) if name != REST}
    rest = sum(counts.values()) - sum(found.values())
    return found | ({REST: rest} if rest else {})


def allocate(rows: Mapping[str, int], sample: int) -> dict[str, int]:
    """Stratum -> places: in proportion to its rows, at least LEAST (or all of its rows), ``sample`` in all while rows last."""
    total = sum(rows.values())
    sample = min(sample, total)
    given = {name: min(n, LEAST, sample) for name, n in rows.items()}
    for _ in range(sample - sum(given.values())):
        lacking = max((n for n in rows if given[n] < rows[n]), key=lambda n: (rows[n] * sample / total - given[n], n))
        given[lacking] += 1
    return given


def _in_turn(drawn: Mapping[str, Sequence[tuple[float, int, str]]]) -> tuple[Pick, ...]:
    """The first of each stratum, then on in proportion; within a stratum in ascending order of the drawn number."""
    turns = []
    for name, tickets in drawn.items():
        for place, (ticket, line, row) in enumerate(sorted(tickets, reverse=True)):
            turns.append((place / len(tickets), -ticket, Pick(-line, row, name)))
    return tuple(pick for _, _, pick in sorted(turns, key=lambda turn: (turn[0], turn[1], turn[2].line)))


# -- what was said ---------------------------------------------------------------------------------------------------------------


def current(words: Iterable[Word]) -> dict[tuple[str, str], Word]:
    """(row, rater) -> the word that counts: the rater's last on the row that was not taken back."""
    listed = list(words)
    gone = {word.undoes for word in listed if word.undoes}
    return {(word.row, word.rater): word for word in listed if not word.undoes and word.id not in gone}


def verdicts(words: Iterable[Word]) -> dict[str, dict[str, str]]:
    """row -> rater -> verdict, as it stands now."""
    found: dict[str, dict[str, str]] = {}
    for (row, rater), word in current(words).items():
        found.setdefault(row, {})[rater] = str(word.verdict)
    return found


def state(said: Mapping[str, str] | None) -> str:
    """unread | skipped (nobody could tell) | accepted (by all who could) | refused (by all who could) | disputed."""
    if not said:
        return "unread"
    accepts = {verdict == ACCEPT for verdict in said.values() if verdict != SKIP}
    return {frozenset(): "skipped", frozenset([True]): "accepted", frozenset([False]): "refused"}.get(
        frozenset(accepts), "disputed"
    )


@dataclass(frozen=True, slots=True)
class Rate:
    """How many rows are accepted. rows: of the file. read: rows of the sample up to the first that nobody read.

    accepted, refused, disputed, skipped: of those read. other: of those read, how many somebody would turn round. A disputed row
    does not count as accepted; a skipped one is left out of the rate.
    """

    name: str
    rows: int
    drawn: int
    read: int
    accepted: int
    refused: int
    disputed: int
    skipped: int
    other: int
    rate: Estimate


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two people agree on the rows that both decided on, each counted once: accept, reject, the other one is better."""

    first: str
    second: str
    share: Estimate
    kappa: Estimate


@dataclass(frozen=True, slots=True)
class Summary:
    """all: over the whole sample, weighted by the design. missing: strata of which nothing was read, for which nothing speaks."""

    plan: str
    by: tuple[str, ...]
    seed: int
    unread_rows: int
    all: Rate
    strata: tuple[Rate, ...]
    raters: tuple[Rate, ...]
    agreements: tuple[Agreement, ...]
    alpha: Estimate | None
    missing: tuple[str, ...]


def summarise(plan: RowPlan, words: Iterable[Word]) -> Summary:
    said = verdicts(words)
    drawn = {pick.row for pick in plan.picks}
    said = {row: by for row, by in said.items() if row in drawn}
    raters = sorted({rater for by in said.values() for rater in by})
    strata = tuple(_rate(name, plan, said, [name]) for name in plan.strata)
    people = tuple(_rate(rater, plan, {row: {rater: by[rater]} for row, by in said.items() if rater in by}) for rater in raters)
    pairs = [(a, b) for i, a in enumerate(raters) for b in raters[i + 1 :]][:MOST_PAIRS]
    return Summary(
        plan=plan.id,
        by=plan.by,
        seed=plan.seed,
        unread_rows=plan.unread,
        all=_rate("all", plan, said),
        strata=strata,
        raters=people,
        agreements=tuple(_agreement(a, b, said) for a, b in pairs),
        alpha=_alpha(raters, said, plan.seed) if len(raters) > 2 else None,
        missing=tuple(rate.name for rate in strata if not rate.read),
    )


def read_first(plan: RowPlan, said: Mapping[str, Mapping[str, str]]) -> dict[str, list[Pick]]:
    """Stratum -> its drawn rows up to the first that nobody read: what is beyond that gap was chosen, not drawn."""
    found: dict[str, list[Pick]] = {name: [] for name in plan.strata}
    stopped: set[str] = set()
    for pick in plan.picks:
        if pick.row not in said:
            stopped.add(pick.stratum)
        elif pick.stratum not in stopped:
            found[pick.stratum].append(pick)
    return found


def _rate(name: str, plan: RowPlan, said: Mapping[str, Mapping[str, str]], strata: Sequence[str] | None = None) -> Rate:
    chosen = list(plan.strata) if strata is None else list(strata)
    first, drawn = read_first(plan, said), plan.drawn()
    read = [(pick, plan.strata[key] / len(first[key])) for key in chosen for pick in first[key]]
    states = [state(said[pick.row]) for pick, _ in read]
    decided = [(mood == "accepted", weight) for mood, (_, weight) in zip(states, read, strict=True) if mood != "skipped"]
    counts, rows = Counter(states), sum(plan.strata[key] for key in chosen)
    return Rate(
        name=name,
        rows=rows,
        drawn=sum(drawn[key] for key in chosen),
        read=len(read),
        accepted=counts["accepted"],
        refused=counts["refused"],
        disputed=counts["disputed"],
        skipped=counts["skipped"],
        other=sum(OTHER in said[pick.row].values() for pick, _ in read),
        rate=_estimate(decided, whole=len(decided) == rows),
    )


def _estimate(decided: Sequence[tuple[bool, float]], *, whole: bool) -> Estimate:
    if not decided:
        return Estimate(None, reason="nobody has decided on a row yet")
    if whole:
        value = sum(hit for hit, _ in decided) / len(decided)
        return Estimate(value, value, value, len(decided), "every row was read")
    found = agreement.share([hit for hit, _ in decided], weights=[weight for _, weight in decided])
    if found.value is not None and found.low is None:
        reason = f"{len(decided)} rows of unequal chances, and an interval needs {agreement.MIN_CLUSTERS}"
        return Estimate(found.value, n=found.n, reason=reason)
    return found


def _agreement(first: str, second: str, said: Mapping[str, Mapping[str, str]]) -> Agreement:
    both = [(by[first], by[second]) for by in said.values() if SKIP not in (by.get(first, SKIP), by.get(second, SKIP))]
    ours, theirs = [a for a, _ in both], [b for _, b in both]
    return Agreement(first, second, agreement.raw_agreement(ours, theirs), agreement.cohen_kappa(ours, theirs))


def _alpha(raters: Sequence[str], said: Mapping[str, Mapping[str, str]], seed: int) -> Estimate:
    ratings = [[None if by.get(rater, SKIP) == SKIP else by[rater] for rater in raters] for by in said.values()]
    return agreement.krippendorff_alpha(ratings, np.random.default_rng(seed))
