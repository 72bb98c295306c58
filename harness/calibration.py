"""A judge held against people: labelled cases, what the judge said of them -> Calibration.

Every case has the verdicts of one or more people and what the judge said of it, once or several times (samples, both orders of a
pair). People's verdict is the one that more of them gave than any other; where there is none, the case is left out and counted.
The judge's is put together as a run does it: the verdict of most samples; of a pair judged in both orders the verdict that both
gave, else a tie. Whatever leaves no verdict (garbage, a refusal, never judged) is counted with its reason and disagrees with
everybody in ``agreement_all``; kappa and agreement are over the cases with a verdict.

Biases, each a mean over cases with its interval. "More than people": on the same cases, so what people prefer, too, is no bias.

    order            pairs judged in both orders: share whose verdict changed with the order
    first            picks the answer shown first, more than people
    longer           picks the longer answer, more than people (of pairs of unequal length)
    prefers longer   share of such pairs where it picked the longer one, as in AlpacaEval's annotator table; a tie is half
    own              picks its own maker's answer, more than people (pairs of which one is by a maker named as the judge's own)
    lenient          pointwise: passes, more than people. lenient by score: its score less people's
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.errors import DataError
from harness.model import Calibration, Estimate, digest_of
from harness.statistics import agreement

FIRST, SECOND, TIE = "1", "2", "tie"
PASS, FAIL = "pass", "fail"
MENUS = {"pairwise": (FIRST, SECOND, TIE), "pointwise": (PASS, FAIL)}
NOT_JUDGED = "not judged"
MOST_RATERS = 8  # whose pairs are listed


@dataclass(frozen=True, slots=True)
class Said:
    """One person's verdict on a case: one of MENUS, and a score in [0, 1] where they gave one."""

    rater: str
    verdict: str
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a judge said of a case once. verdict None: nothing usable, and reason says why.

    swapped: pairwise, the second answer was shown first; None: not known. A verdict names the answer, never its place.
    """

    verdict: str | None
    score: float | None = None
    reason: str = ""
    swapped: bool | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LabelledCase:
    """A case that people labelled. lengths: characters of its answers; makers: who gave them; both in the order of the pair.

    probability: with which it was drawn to be labelled, None: not drawn by chance.
    """

    id: str
    people: tuple[Said, ...]
    rulings: tuple[Ruling, ...] = ()
    probability: float | None = None
    cluster: str | None = None
    lengths: tuple[int, ...] = ()
    makers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Held:
    """A case with people's verdict and the judge's, which is None with a reason where there is none."""

    case: LabelledCase
    truth: str
    truth_score: float | None
    verdict: str | None
    score: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Sample:
    """Cases that count, with what harness.statistics.agreement makes of their weights and clusters."""

    held: tuple[_Held, ...]
    weighted: bool
    clustered: bool

    def of(self, held: Iterable[_Held]) -> _Sample:
        return _Sample(tuple(held), self.weighted, self.clustered)

    @property
    def weights(self) -> list[float] | None:
        return [1.0 / (h.case.probability or 1.0) for h in self.held] if self.weighted else None

    @property
    def clusters(self) -> list[str | None] | None:
        return [h.case.cluster for h in self.held] if self.clustered else None

    def share(self, hits: Sequence[bool]) -> Estimate:
        return agreement.share(hits, weights=self.weights, clusters=self.clusters)

    def excess(self, shares: Sequence[tuple[float, float]]) -> Estimate:
        """How much more the judge does it than people do. shares: (the judge's, people's) of each case."""
        judge, people = [a for a, _ in shares], [b for _, b in shares]
        return agreement.difference(judge, people, weights=self.weights, clusters=self.clusters)


def calibrate(
    cases: Sequence[LabelledCase],
    rng: np.random.Generator,
    *,
    kind: str,
    judge: str,
    digest: str = "",
    capability: str = "",
    own: Sequence[str] = (),
) -> Calibration:
    """Hold a judge against people. rng: for the bootstrap of alpha alone. own: makers whose answers are the judge's own.

    Where some cases were drawn with a known probability, only those count, weighted with it. DataError for verdicts off the menu.
    """
    _check(cases, kind)
    drawn = any(case.probability is not None for case in cases)
    held, left_out = [], Counter[str]()
    for case in cases:
        truth = people_say(case)
        if drawn and case.probability is None:
            left_out["not drawn by chance"] += 1
        elif truth is None:
            left_out["people disagree" if case.people else "no label"] += 1
        else:
            held.append(_Held(case, truth, _mean(said.score for said in case.people), *judge_says(case)))
    weighted = drawn and len({h.case.probability for h in held}) > 1
    every = _Sample(tuple(held), weighted, any(h.case.cluster is not None for h in held))
    judged = every.of(h for h in held if h.verdict is not None)
    truths, said = [h.truth for h in judged.held], [h.verdict or "" for h in judged.held]
    weights, clusters = judged.weights, judged.clusters
    recalls = agreement.recalls(truths, said, weights=weights, clusters=clusters)
    return Calibration(
        judge=judge,
        digest=digest,
        kind=kind,
        n_labels=len(held),
        n=len(judged.held),
        kappa=agreement.cohen_kappa(truths, said, weights=weights, clusters=clusters),
        agreement=agreement.raw_agreement(truths, said, weights=weights, clusters=clusters),
        agreement_all=every.share([h.truth == h.verdict for h in held]),
        unparsed=dict(sorted(Counter(h.reason for h in held if h.verdict is None).items())),
        recall={str(name): found for name, found in recalls.items()},
        confusion={str(a): {str(b): n for b, n in row.items()} for a, row in agreement.confusion(truths, said).items()},
        biases=_pair_biases(judged, frozenset(own)) if kind == "pairwise" else _point_biases(judged),
        usage=_usage(every),
        raters=tuple(sorted({said.rater for case in cases for said in case.people})),
        capability=capability,
        labels_digest=digest_of(sorted([c.id, sorted([s.rater, s.verdict, s.score or 0.0] for s in c.people)] for c in cases)),
        unparsed_share=every.share([h.verdict is None for h in held]),
        scale=_scale(judged, rng) if kind == "pointwise" else None,
        people=_among_people(cases, rng),
        left_out=dict(sorted(left_out.items())),
    )


def falls_short(found: Calibration, min_kappa: float) -> str:
    """Why a judge does not reach the kappa that is asked for, by the lower end of its interval; empty where it does."""
    kappa = found.kappa
    if kappa.value is None or kappa.low is None:
        return f"kappa cannot be told: {kappa.reason}"
    if kappa.low < min_kappa:
        return f"kappa may be as low as {kappa.low:.2f} ({kappa.value:.2f} on {found.n:,} labelled cases), under {min_kappa:g}"
    return ""


def _check(cases: Sequence[LabelledCase], kind: str) -> None:
    if kind not in MENUS:
        raise DataError(f"{kind!r} is no kind of judging", todo=f"Use one of {', '.join(MENUS)}")
    seen: set[str] = set()
    for case in cases:
        words = [said.verdict for said in case.people] + [r.verdict for r in case.rulings if r.verdict is not None]
        if wrong := [word for word in words if word not in MENUS[kind]]:
            raise DataError(f"case {case.id!r} has the verdict {wrong[0]!r}, none of {', '.join(MENUS[kind])}")
        if case.id in seen:
            raise DataError(f"case {case.id!r} stands twice", todo="Put its labels into one case")
        seen.add(case.id)


# -- one verdict out of several --------------------------------------------------------------------------------------------------


def _most(verdicts: Iterable[str]) -> str | None:
    """The verdict given more often than any other."""
    ranked = Counter(verdicts).most_common(2)
    if not ranked or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _mean(scores: Iterable[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def people_say(case: LabelledCase) -> str | None:
    """People's verdict on a case: the one that more of them gave than any other."""
    return _most(said.verdict for said in case.people)


def judge_says(case: LabelledCase) -> tuple[str | None, float | None, str]:
    """The judge's verdict and score on a case, and the reason where there is no verdict."""
    forward = [r for r in case.rulings if r.swapped is False]
    swapped = [r for r in case.rulings if r.swapped is True]
    if not forward or not swapped:
        return _of_samples(case.rulings)
    first, second = _of_samples(forward), _of_samples(swapped)
    if first[0] is None or second[0] is None:
        return None, None, first[2] or second[2]
    return (first[0] if first[0] == second[0] else TIE), None, ""


def _of_samples(rulings: Sequence[Ruling]) -> tuple[str | None, float | None, str]:
    if not rulings:
        return None, None, NOT_JUDGED
    usable = [r for r in rulings if r.verdict is not None]
    if not usable:
        return None, None, rulings[0].reason or "no verdict"
    verdict = _most(r.verdict or "" for r in usable)
    return verdict, _mean(r.score for r in usable), "" if verdict else "its samples disagree"


# -- biases ----------------------------------------------------------------------------------------------------------------------


def _pair_biases(judged: _Sample, own: frozenset[str]) -> dict[str, Estimate]:
    found = {}
    both = judged.of(h for h in judged.held if {r.swapped for r in h.case.rulings} >= {True, False})
    if both.held:
        found["order"] = both.share([_in_order(h, swapped=False) != _in_order(h, swapped=True) for h in both.held])
    placed = judged.of(h for h in judged.held if all(r.swapped is not None for r in h.case.rulings))
    if placed.held:
        found["first"] = placed.excess([_for_first_place(h) for h in placed.held])
    unequal = judged.of(h for h in judged.held if len(set(h.case.lengths)) == 2)
    if unequal.held:
        shares = [_shares(h, FIRST if h.case.lengths[0] > h.case.lengths[1] else SECOND) for h in unequal.held]
        found["longer"] = unequal.excess(shares)
        found["prefers longer"] = unequal.excess([(judge, 0.0) for judge, _ in shares])
    mine = judged.of(h for h in judged.held if len(h.case.makers) == 2 and sum(maker in own for maker in h.case.makers) == 1)
    if mine.held:
        found["own"] = mine.excess([_shares(h, FIRST if h.case.makers[0] in own else SECOND) for h in mine.held])
    return found


def _point_biases(judged: _Sample) -> dict[str, Estimate]:
    if not judged.held:
        return {}
    found = {"lenient": judged.excess([(float(h.verdict == PASS), float(h.truth == PASS)) for h in judged.held])}
    scores = [(h, h.score, h.truth_score) for h in judged.held]
    known = [(h, judge, people) for h, judge, people in scores if judge is not None and people is not None]
    if known:
        found["lenient by score"] = judged.of(h for h, _, _ in known).excess([(a, b) for _, a, b in known])
    return found


def _shares(held: _Held, side: str) -> tuple[float, float]:
    return _share(held.verdict, side), _share(held.truth, side)


def _share(verdict: str | None, side: str) -> float:
    return 1.0 if verdict == side else 0.5 if verdict == TIE else 0.0


def _in_order(held: _Held, *, swapped: bool) -> str | None:
    return _of_samples([r for r in held.case.rulings if r.swapped is swapped])[0]


def _for_first_place(held: _Held) -> tuple[float, float]:
    """How often the judge picked what it saw first, and how often people's verdict was that answer in the same orders."""
    seen = [(r.verdict, SECOND if r.swapped else FIRST) for r in held.case.rulings if r.verdict is not None]
    judge = [_share(verdict, shown_first) for verdict, shown_first in seen]
    people = [_share(held.truth, shown_first) for _, shown_first in seen]
    return sum(judge) / len(judge), sum(people) / len(people)


# -- the rest of the table -------------------------------------------------------------------------------------------------------


def _usage(sample: _Sample) -> dict[str, Estimate]:
    """Tokens and seconds per 1,000 cases judged, all requests for a case together."""
    judged = [h.case.rulings for h in sample.held if h.case.rulings]
    tokens = [float(sum(r.tokens or 0 for r in rulings)) for rulings in judged if any(r.tokens is not None for r in rulings)]
    seconds = [sum(r.seconds or 0.0 for r in rulings) for rulings in judged if any(r.seconds is not None for r in rulings)]
    amounts = {"tokens": tokens, "seconds": seconds}
    return {name: agreement.per_thousand(values) for name, values in amounts.items() if values}


def _scale(judged: _Sample, rng: np.random.Generator) -> Estimate | None:
    scored = [h for h in judged.held if h.score is not None and h.truth_score is not None]
    if len({h.truth_score for h in scored}) <= 2:  # pass and fail say no more than kappa does
        return None
    clusters = [h.case.cluster for h in scored] if judged.clustered else None
    return agreement.krippendorff_alpha([[h.score, h.truth_score] for h in scored], rng, metric="interval", clusters=clusters)


def _among_people(cases: Sequence[LabelledCase], rng: np.random.Generator) -> dict[str, Estimate]:
    """Kappa of every two raters on the cases that both labelled, and the alpha of all where they are more."""
    by_rater: dict[str, dict[str, str]] = {}
    for case in cases:
        for said in case.people:
            by_rater.setdefault(said.rater, {})[case.id] = said.verdict
    clusters = {case.id: case.cluster for case in cases}
    found = dict(_pairs_of_raters(by_rater, clusters)) if len(by_rater) <= MOST_RATERS else {}
    if len(by_rater) > 2:
        ids = sorted({case for given in by_rater.values() for case in given})
        rows = [[given.get(case) for given in by_rater.values()] for case in ids]
        together = [clusters[case] for case in ids]
        found["all (alpha)"] = agreement.krippendorff_alpha(rows, rng, clusters=together if any(together) else None)
    return found


def _pairs_of_raters(by_rater: dict[str, dict[str, str]], clusters: dict[str, str | None]) -> Iterator[tuple[str, Estimate]]:
    for (one, given), (two, other) in combinations(sorted(by_rater.items()), 2):
        both = [case for case in given if case in other]
        if both:
            together = [clusters[case] for case in both]
            verdicts = [given[case] for case in both], [other[case] for case in both]
            yield f"{one} / {two}", agreement.cohen_kappa(*verdicts, clusters=together if any(together) else None)
