"""Checkpoints in words: which capabilities move against each other. The numbers are harness.statistics.history's."""

from __future__ import annotations

from collections.abc import Sequence

from harness.statistics.history import MIN_CHECKPOINTS, Movement
from reports.text import label, plural


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
