"""The hard gates beside the comparisons: must-pass cases, absolute floors, latency. Each yields the reasons it has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from harness.model import CapabilityComparison, Floor, Gate, Outcome, Reason, Role, RunFacts
from harness.statistics import mean_bounds
from harness.statistics.sequential import anytime_bounds


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
    for floor in gate.floors:
        scores = tuple(facts.candidate_scores.get(floor.capability, ())) if facts else ()
        if not scores:
            text = f"the floor {floor.minimum:.3g} of {floor.capability!r} cannot be judged: no scores"
            yield Reason("floor-not-shown", text, floor.capability, Outcome.INCONCLUSIVE)
            continue
        labels = facts.candidate_clusters.get(floor.capability) if facts else None
        yield _floor(floor, scores, labels, missing.get(floor.capability, 0), gate)


def _floor(floor: Floor, scores: tuple[float, ...], labels: Sequence[str | None] | None, missing: int, gate: Gate) -> Reason:
    mean, low, high = _summary(floor, scores, labels, gate)
    filled = None if labels is None else (*labels, *(None,) * missing)
    _, worst, _ = _summary(floor, (*scores, *(0.0,) * missing), filled, gate)
    bounds = "" if floor.point else f" [{low:.3f}, {high:.3f}]"
    numbers = f"{floor.capability!r} scores {mean:.3f}{bounds} over {len(scores)} cases, floor {floor.minimum:.3g}"
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
