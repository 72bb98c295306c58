"""Checkpoints in words: which capabilities move against each other. The numbers are harness.statistics.history's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.lineage import lineage
from harness.model import RunRecord
from harness.statistics.history import MIN_CHECKPOINTS, Movement, movements
from reports.nouns import HistoryView, TrackView
from reports.source import ReportSource
from reports.text import UNKNOWN, label, percent, plural, points

_FEWEST, _PAIRS, _TRACKS = 3, 20, 60


def view(source: ReportSource, run: RunRecord, fdr: float) -> HistoryView | None:
    """The checkpoints of this run's suite up to this run; None under _FEWEST of them: two are the comparison itself."""
    records = source.runs(run.suite_name)
    line = lineage(records, source.capability_means([record.id for record in records]), until=run)
    if len(line.checkpoints) < _FEWEST:
        return None
    pairs = movements(line.scores, np.random.default_rng(0))
    shown = [one for one in pairs if one.is_shown(fdr)]
    closest = [one for one in pairs[:1] if one.rho is not None]
    left = ", ".join(f"{count} {why}" for why, count in sorted(line.left_out.items()))
    return HistoryView(
        checkpoints=len(line.checkpoints),
        sentence=sentence(pairs, len(line.checkpoints), fdr),
        is_against=any(one.is_against(fdr) for one in pairs),
        tracks=tuple(_track(name, scores) for name, scores in list(line.scores.items())[:_TRACKS]),
        pairs=tuple(in_words(one) for one in (shown or closest)[:_PAIRS]),
        pairs_shown=bool(shown),
        note=f"Runs left out: {left}." if left else "",
    )


def _track(name: str, scores: Sequence[float | None]) -> TrackView:
    known = [score for score in scores if score is not None]
    spread = f"{100 * min(known):.1f} to {100 * max(known):.1f}" if known else UNKNOWN
    return TrackView(
        name=label(name),
        scores=tuple(scores),
        first_shown=percent(known[0] if known else None),
        last_shown=percent(known[-1] if known else None),
        change_shown=points(known[-1] - known[0] if known else None),
        range_shown=spread,
    )


def sentence(pairs: Sequence[Movement], checkpoints: int, fdr: float) -> str:
    """What all pairs together say; what is not shown is never called so."""
    rate = f"false discovery rate {100 * fdr:g} %"
    if not pairs:
        return "Fewer than two capabilities: nothing can move against anything."
    if all(one.rho is None for one in pairs):
        if checkpoints < MIN_CHECKPOINTS:
            return f"What moves against what is undecided: {pairs[0].reason}."
        return f"What moves against what is undecided: {label(pairs[0].reason, 200)}."
    against = sum(one.is_against(fdr) for one in pairs)
    of = plural(len(pairs), "pair")
    if against:
        return (
            f"{against} of {of} {'moves' if against == 1 else 'move'} against each other over {checkpoints} checkpoints ({rate})."
        )
    if any(one.is_shown(fdr) for one in pairs):
        return f"Of {of} none is shown to move against each other over {checkpoints} checkpoints; some move together ({rate})."
    return f"Of {of} none is shown to move against or with each other over {checkpoints} checkpoints ({rate})."


def in_words(one: Movement) -> str:
    """``dates and sums: rho -0.93 [-0.99, -0.41], p 0.003, 7 checkpoints``; of an undecided pair the reason."""
    names = f"{label(one.first, 40)} and {label(one.second, 40)}"
    if one.rho is None or one.p is None:
        return f"{names}: undecided, {label(one.reason, 120)}"
    return f"{names}: rho {one.rho:+.2f} [{one.low:+.2f}, {one.high:+.2f}], p {one.p:.3f}, {one.checkpoints} checkpoints"
