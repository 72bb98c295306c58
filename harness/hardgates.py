"""The hard gates beside the comparisons: must-pass cases, floors, latency, memory, capacity. Each yields the reasons it has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from harness.model import CapabilityComparison, Floor, Gate, Outcome, Reason, Role, RunFacts, Served
from harness.statistics import mean_bounds
from harness.statistics.sequential import anytime_bounds

FILLED = 2  # requests for each place under way: fewer are over before the server is full


def must_pass(comparisons: Sequence[CapabilityComparison], waived: Collection[str] = ()) -> Iterator[Reason]:
    """A must-pass case that failed stops the candidate; one without a score keeps it from shipping. Advisory ones only report.

    waived: ids of cases that are left out here and told of by harness.waivers.
    """
    for c in comparisons:
        for code, cases, what, outcome in (
            ("must-pass-failed", c.must_pass_failed, "failed", Outcome.OPTIMIZE),
            ("must-pass-missing", c.must_pass_missing, "have no score", Outcome.INCONCLUSIVE),
        ):
            if ids := [case for case in cases if case not in waived]:
                shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
                text = f"{len(ids)} must-pass cases of {c.capability!r} {what}: {shown}"
                yield Reason(code, text, c.capability, None if c.role is Role.ADVISORY else outcome)


def floors(comparisons: Sequence[CapabilityComparison], gate: Gate, facts: RunFacts | None) -> Iterator[Reason]:
    """Each floor is a test: its lower bound must reach the minimum, also with each missing score 0; ``point`` looks at the mean.

    Shown to lie below (upper bound, or mean when ``point``): OPTIMIZE. Neither shown: INCONCLUSIVE.
    """
    missing = {c.capability: c.missing_candidate for c in comparisons}
    remarks = {c.capability: remark(c) for c in comparisons}
    for floor in gate.floors:
        scores = tuple(facts.candidate_scores.get(floor.capability, ())) if facts else ()
        if not scores:
            text = f"the floor {floor.minimum:.3g} of {floor.capability!r} cannot be judged: no scores"
            yield Reason("floor-not-shown", text, floor.capability, Outcome.INCONCLUSIVE)
            continue
        labels = facts.candidate_clusters.get(floor.capability) if facts else None
        yield _floor(floor, scores, labels, missing.get(floor.capability, 0), gate, remarks.get(floor.capability, ""))


def _floor(
    floor: Floor, scores: tuple[float, ...], labels: Sequence[str | None] | None, missing: int, gate: Gate, note: str
) -> Reason:
    mean, low, high = _summary(floor, scores, labels, gate)
    filled = None if labels is None else (*labels, *(None,) * missing)
    _, worst, _ = _summary(floor, (*scores, *(0.0,) * missing), filled, gate)
    bounds = "" if floor.point else f" [{low:.3f}, {high:.3f}]"
    numbers = f"{floor.capability!r} scores {mean:.3f}{bounds} over {len(scores)} cases, floor {floor.minimum:.3g}{note}"
    if worst >= floor.minimum:
        return Reason("floor-met", numbers, floor.capability, Outcome.SHIP)
    if high < floor.minimum:
        return Reason("floor-failed", f"below its floor: {numbers}", floor.capability, Outcome.OPTIMIZE)
    if low >= floor.minimum:
        text = f"the floor holds only without {missing} missing scores: {numbers}"
        return Reason("floor-not-shown", text, floor.capability, Outcome.INCONCLUSIVE)
    return Reason("floor-not-shown", f"not shown to reach its floor: {numbers}", floor.capability, Outcome.INCONCLUSIVE)


def _summary(
    floor: Floor, scores: Sequence[float], labels: Sequence[str | None] | None, gate: Gate
) -> tuple[float, float, float]:
    """Mean, lower and upper bound; for a point floor the bounds are the mean itself."""
    mean = float(np.mean(scores))
    if floor.point:
        return mean, mean, mean
    bounds = anytime_bounds(scores, gate.alpha) if gate.sequential else mean_bounds(scores, gate.alpha, clusters=labels)
    return mean, *bounds


def remark(c: CapabilityComparison) -> str:
    """What must stand beside every number that a judge has made: nothing, where people stand behind it."""
    if c.n_labelled:
        return f" (corrected by {c.n_labelled} labelled cases)"
    return " (judge uncalibrated)" if c.uncalibrated else ""


def judge_floors(comparisons: Sequence[CapabilityComparison], gate: Gate) -> Iterator[Reason]:
    """Every judge that decides must be shown to agree with people: the lower bound of its kappa reaches the gate's.

    One that does not keeps the candidate from shipping and says nothing against it: it is the instrument that fails here.
    """
    if gate.min_kappa is None:
        return
    decisive = [c for c in comparisons if c.role is not Role.ADVISORY]
    for (judge, _), standing in {(s.judge, s.digest): s for c in decisive for s in c.judges}.items():
        kappa, wanted = standing.kappa, f"the gate wants {gate.min_kappa:.2f}"
        if kappa is None or kappa.value is None:
            text = f"judge {judge!r} was not held against people, and {wanted}: harness judge calibrate"
            yield Reason("judge-kappa", text, blocks=Outcome.INCONCLUSIVE)
            continue
        low = kappa.value if kappa.low is None else kappa.low
        numbers = f"judge {judge!r} agrees with people at kappa {kappa.value:.2f} [{low:.2f}, ...] over {kappa.n} cases, {wanted}"
        if low >= gate.min_kappa:
            yield Reason("judge-kappa", numbers, blocks=Outcome.SHIP)
        else:
            yield Reason("judge-kappa", f"not shown: {numbers}", blocks=Outcome.INCONCLUSIVE)


def latency(gate: Gate, facts: RunFacts | None) -> Iterator[Reason]:
    limits = (
        ("latency-ttft", "time to first token (p95)", gate.max_ttft_p95_s, facts.ttft_p95_s if facts else None),
        ("latency-total", "answer time (p95)", gate.max_latency_p95_s, facts.latency_p95_s if facts else None),
        ("latency-token", "time per output token (p95)", gate.max_tpot_p95_s, facts.tpot_p95_s if facts else None),
    )
    for code, what, limit, measured in limits:
        if limit is None:
            continue
        if measured is None:
            yield Reason(code, f"{what} was not measured, and the gate limits it to {limit:.3g} s", blocks=Outcome.INCONCLUSIVE)
        elif not measured <= limit:
            yield Reason(code, f"{what} is {measured:.3g} s, above the limit of {limit:.3g} s", blocks=Outcome.OPTIMIZE)
        else:
            yield Reason(code, f"{what} is {measured:.3g} s, within the limit of {limit:.3g} s", blocks=Outcome.SHIP)


def served(gate: Gate, facts: RunFacts | None) -> Iterator[Reason]:
    """Memory, and capacity at the stated concurrency, as the run measured them; what it did not measure does not ship."""
    found = facts.served if facts else None
    if gate.max_memory_gb is not None:
        held, limit = found.memory_gb if found else None, f"{gate.max_memory_gb:.3g} GB"
        if held is None:
            text = f"the server's memory was not measured, and the gate limits it to {limit}"
            yield Reason("memory", text, blocks=Outcome.INCONCLUSIVE)
        elif not held <= gate.max_memory_gb:
            yield Reason("memory", f"the server holds {held:.3g} GB, above the limit of {limit}", blocks=Outcome.OPTIMIZE)
        else:
            yield Reason("memory", f"the server holds {held:.3g} GB, within the limit of {limit}", blocks=Outcome.SHIP)
    if gate.min_requests_per_s is not None:
        yield _capacity(gate.min_requests_per_s, gate.at_concurrency or 1, found)


def _capacity(minimum: float, concurrency: int, found: Served | None) -> Reason:
    wanted = f"the gate wants {minimum:.3g} a second at {concurrency:,} at once"
    if found is None or found.seconds <= 0.0:
        return Reason("capacity", f"capacity was not measured, and {wanted}: no request was sent", blocks=Outcome.INCONCLUSIVE)
    if found.concurrency != concurrency:
        text = f"capacity was measured at {found.concurrency:,} requests at once, and {wanted}; a new --store measures it anew"
        return Reason("capacity", text, blocks=Outcome.INCONCLUSIVE)
    if found.requests < FILLED * concurrency:
        text = f"capacity was not measured: {found.requests:,} requests do not fill a server {FILLED} times over, and {wanted}"
        return Reason("capacity", text, blocks=Outcome.INCONCLUSIVE)
    rate = found.requests / found.seconds
    text = f"{rate:.3g} answers a second at {concurrency:,} at once"
    if not rate >= minimum:
        return Reason("capacity", f"{text}, below the {minimum:.3g} that the gate wants", blocks=Outcome.OPTIMIZE)
    return Reason("capacity", f"{text}, and the gate wants {minimum:.3g}", blocks=Outcome.SHIP)
