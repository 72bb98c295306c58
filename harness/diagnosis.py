"""Why cases fail, and so what to do next: more data, preference training, decoding, the prompt's format, or the harness itself.

Each case of one run gets one kind, the first that fits, by its scored samples:

    unscored    no sample has a score
    passes      every scored sample passes
    unstable    samples disagree at temperature 0, where they should be one answer
    sometimes   samples disagree at a temperature above 0: its own samples hold a better answer, preference training can help
    format      every sample fails, and every one is right but for its form (harness.forgiving)
    unstable    every sample fails, but the case flips between runs of the same weights
    always      every sample fails: the skill is not there, it needs data or a better base

A sample passes as in harness.comparison: by its own verdict, else from PASS_MARK on. With one sample a case, or at temperature 0,
``always`` and ``sometimes`` cannot be told apart; then ``one_look`` is True and the sentence says how many samples would tell.

The kinds are counts of what happened, not tests: nothing here is called significant. pass@k and pass^k carry their intervals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.comparison import PASS_MARK
from harness.forgiving import forgiven
from harness.model import CapabilityComparison, Item, ItemStatus, ScoreRow
from harness.statistics.sampling import Flips, Rate, flip_rates, pass_rates, samples_to_tell

Key = tuple[str, str]  # capability, case id
CHANCE, POWER = 0.25, 0.8  # an answer that comes one time in four, seen with this power: how many samples are advised


class Kind(StrEnum):
    PASSES = "passes"
    ALWAYS = "always"
    SOMETIMES = "sometimes"
    UNSTABLE = "unstable"
    FORMAT = "format"
    UNSCORED = "unscored"


# The cheapest remedy first: where two kinds are as frequent, it is named.
FAILING = (Kind.FORMAT, Kind.UNSTABLE, Kind.SOMETIMES, Kind.ALWAYS, Kind.UNSCORED)


@dataclass(frozen=True, slots=True)
class CaseDiagnosis:
    """One case. samples: scored ones, passed: those that pass; why: the reason of a case without a score, or the format rule."""

    capability: str
    case_id: str
    kind: Kind
    samples: int
    passed: int
    cluster: str | None = None
    why: str = ""

    @property
    def key(self) -> Key:
        return self.capability, self.case_id


@dataclass(frozen=True, slots=True)
class CapabilityDiagnosis:
    """One capability's cases by kind, and what to do.

    samples: the most that a case has. one_look: always and sometimes cannot be told apart. lost: of the cases that always fail,
    those that the baseline passes; None: no baseline. regressed: the capability is shown to have. unread: failing cases whose
    answers were not looked at for their form. at_1, at_k, all_k: pass@1, pass@samples, pass^samples; None with one sample.
    """

    capability: str
    n: int
    counts: Mapping[Kind, int]
    samples: int
    one_look: bool
    lost: int | None
    regressed: bool
    unread: int
    at_1: Rate | None
    at_k: Rate | None
    all_k: Rate | None
    main: Kind
    sentence: str

    @property
    def failing(self) -> int:
        return sum(self.counts.get(kind, 0) for kind in FAILING)


def diagnose(
    rows: Iterable[ScoreRow], *, greedy: Collection[str] = (), flipping: Collection[Key] = ()
) -> tuple[CaseDiagnosis, ...]:
    """The kind of every case that was asked, in the order of the rows.

    greedy: capabilities asked at temperature 0. flipping: cases that flip between runs of the same weights. Form is looked at
    afterwards, with_format, of the cases that always_failing names.
    """
    samples: dict[Key, _Samples] = {}
    for row in rows:
        if row.status is not ItemStatus.SKIPPED:
            samples.setdefault((row.capability, row.case_id), _Samples(row.cluster)).add(row)
    return tuple(_case(key, found, key[0] in greedy, key in flipping) for key, found in samples.items())


def always_failing(cases: Iterable[CaseDiagnosis]) -> tuple[Key, ...]:
    """The cases whose answers tell whether only the form is wrong: those whose every scored sample fails."""
    return tuple(case.key for case in cases if case.samples and not case.passed)


def format_only(items: Iterable[Item]) -> dict[Key, str]:
    """Of these items' cases those whose every scored sample is right but for its form, with the rule of the first."""
    rules: dict[Key, list[str | None]] = {}
    for item in items:
        if item.status is ItemStatus.SCORED:
            rules.setdefault((item.case.capability, item.case.id), []).append(forgiven(item))
    return {key: found[0] for key, found in rules.items() if found[0] is not None and None not in found}


def with_format(cases: Iterable[CaseDiagnosis], rules: Mapping[Key, str]) -> tuple[CaseDiagnosis, ...]:
    """The same with those of ``rules`` that fail in every sample made format failures."""
    return tuple(
        replace(case, kind=Kind.FORMAT, why=rules[case.key])
        if case.key in rules and case.kind in (Kind.ALWAYS, Kind.UNSTABLE) and not case.passed
        else case
        for case in cases
    )


def summarise(
    cases: Iterable[CaseDiagnosis],
    *,
    greedy: Collection[str] = (),
    passing_before: Collection[Key] | None = None,
    regressed: Collection[str] = (),
    unread: Collection[Key] = (),
) -> tuple[CapabilityDiagnosis, ...]:
    """One line a capability, in the order they first come. passing_before: cases that the baseline passes, None without one.
    regressed: capabilities shown to have regressed: only there are such cases a lost skill; elsewhere they are churn, for as many
    others went the other way. unread: cases that always fail and whose answers were not read."""
    groups: dict[str, list[CaseDiagnosis]] = {}
    for case in cases:
        groups.setdefault(case.capability, []).append(case)
    return tuple(
        _capability(name, found, name in greedy, passing_before, name in regressed, unread) for name, found in groups.items()
    )


def passing(rows: Iterable[ScoreRow]) -> frozenset[Key]:
    """The cases of which at least PASS_MARK of the scored samples pass."""
    counts: dict[Key, list[int]] = {}
    for row in rows:
        if row.status is ItemStatus.SCORED:
            found = counts.setdefault((row.capability, row.case_id), [0, 0])
            found[0] += 1
            found[1] += passes(row)
    return frozenset(key for key, (n, c) in counts.items() if c >= PASS_MARK * n)


def passes(row: ScoreRow) -> bool:
    """Whether a scored sample passes: its own verdict, else its value against PASS_MARK."""
    return row.passed if row.passed is not None else row.value is not None and row.value >= PASS_MARK


@dataclass(slots=True)
class _Samples:
    """One case's samples, counted: of many rows none is kept."""

    cluster: str | None
    scored: int = 0
    passed: int = 0
    reason: str = ""

    def add(self, row: ScoreRow) -> None:
        if row.status is ItemStatus.SCORED:
            self.scored += 1
            self.passed += passes(row)
        else:
            self.reason = self.reason or row.reason or "unknown"


def _case(key: Key, found: _Samples, is_greedy: bool, is_flipping: bool) -> CaseDiagnosis:
    if not found.scored:
        return CaseDiagnosis(*key, Kind.UNSCORED, 0, 0, found.cluster, found.reason)
    if found.passed == found.scored:
        kind = Kind.PASSES
    elif found.passed:
        kind = Kind.UNSTABLE if is_greedy else Kind.SOMETIMES
    else:
        kind = Kind.UNSTABLE if is_flipping else Kind.ALWAYS
    return CaseDiagnosis(*key, kind, found.scored, found.passed, found.cluster)


def _capability(
    name: str,
    cases: Sequence[CaseDiagnosis],
    is_greedy: bool,
    passing_before: Collection[Key] | None,
    is_regressed: bool,
    unread: Collection[Key],
) -> CapabilityDiagnosis:
    counts = Counter(case.kind for case in cases)
    samples = max((case.samples for case in cases), default=0)
    always = [case for case in cases if case.kind is Kind.ALWAYS]
    found = CapabilityDiagnosis(
        capability=name,
        n=len(cases),
        counts={kind: counts[kind] for kind in Kind if counts[kind]},
        samples=samples,
        one_look=samples < 2 or is_greedy,
        lost=None if passing_before is None else sum(case.key in passing_before for case in always),
        regressed=is_regressed,
        unread=sum(case.key in unread for case in always),
        at_1=_rate(cases, 1) if samples > 1 else None,
        at_k=_rate(cases, samples) if samples > 1 else None,
        all_k=_rate(cases, samples, every=True) if samples > 1 else None,
        main=max(FAILING, key=lambda kind: counts[kind]) if any(counts[kind] for kind in FAILING) else Kind.PASSES,
        sentence="",
    )
    reasons = Counter(case.why for case in cases if case.kind is Kind.UNSCORED)
    return replace(found, sentence=_sentence(found, reasons.most_common(1)[0][0] if reasons else ""))


def _rate(cases: Sequence[CaseDiagnosis], k: int, *, every: bool = False) -> Rate:
    scored = [case for case in cases if case.samples]
    return pass_rates(
        [(case.samples, case.passed) for case in scored], k, every=every, clusters=[case.cluster for case in scored]
    )


def _sentence(found: CapabilityDiagnosis, reason: str) -> str:
    """What to do about the most frequent kind of failure."""
    n, of = found.counts.get(found.main, 0), found.failing
    head = f"{n:,} of {of:,} {'case' if of == 1 else 'cases'} to mend"
    match found.main:
        case Kind.PASSES:
            return "nothing fails"
        case Kind.FORMAT:
            do = "mend the prompt, or constrain the output, before any training"
            return f"{head}: right but for the form of the answer; {do}"
        case Kind.UNSTABLE:
            do = "look at decoding and serving (batching, precision) before any training"
            return f"{head}: the same weights answer now right, now wrong without being asked to vary; {do}"
        case Kind.SOMETIMES:
            return f"{head}: its own samples hold a right answer; preference training (DPO) on such pairs can help"
        case Kind.UNSCORED:
            return f"{head}: without a score ({reason}); that is no skill, so mend it first: limits, checks, serving"
    return f"{head}: {_always(found)}"


def _always(found: CapabilityDiagnosis) -> str:
    if found.regressed and found.lost and 2 * found.lost >= found.counts[Kind.ALWAYS]:
        return f"the baseline passes {found.lost:,} of them, so the skill was lost: mix examples of it into the next training set"
    if not found.one_look:
        return f"every one of {found.samples} samples fails; it needs data for the skill, or a better base model"
    more = samples_to_tell(CHANCE, POWER)
    seen = "one sample each" if found.samples < 2 else "samples at temperature 0"
    return (
        f"always or sometimes, {seen} cannot tell; generation.samples: {more} at a temperature above 0 would show a right answer "
        f"that comes one time in {round(1 / CHANCE)} with {100 * POWER:g} % power"
    )


def flips(comparison: CapabilityComparison, clusters: Mapping[str, str | None], *, stopped_early: bool = False) -> Flips:
    """Churn and negative flip rate of a comparison. clusters: the label, or None, of each case scored in both runs.

    No interval where it would not hold: a sequential run stopped when it was decided (stopped_early), or the cases at hand are
    not those that were compared (a sample is missing).
    """
    broken, fixed = set(comparison.broken), set(comparison.fixed)
    ids = sorted(clusters)
    if stopped_early or len(ids) != comparison.n_paired or not broken | fixed <= clusters.keys():
        why = "the run stopped when it was decided" if stopped_early else "samples are missing"
        n = comparison.n_paired
        shares = [len(both) / n if n else None for both in (broken | fixed, broken)]
        churn, negative = (Rate(share, None, None, n, n, 0, why) for share in shares)
        return Flips(len(fixed), len(broken), churn, negative)
    before = [i in broken or i not in fixed for i in ids]  # whether a case that did not flip passes makes no difference
    after = [i not in broken for i in ids]
    return flip_rates(before, after, clusters=[clusters[i] for i in ids])
