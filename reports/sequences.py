"""The path of a sequential run's evidence as a report draws it: made of the stored scores in the order they were asked in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.model import CapabilityComparison, Role, ScoreRow, Verdict
from reports.nouns import EvidenceView, Tone
from reports.text import label

if TYPE_CHECKING:
    from harness.statistics.sequential import ThresholdSequence

_POINTS = 160  # of one line: more than a drawing of this size shows


def evidence(verdict: Verdict, candidate: Sequence[ScoreRow], baseline: Sequence[ScoreRow]) -> tuple[EvidenceView, ...]:
    """One view a capability, in the verdict's order; none unless the gate is sequential and there are two runs."""
    if not verdict.gate.sequential or not candidate or not baseline:
        return ()
    from harness.comparison import evidence_sequences  # numpy and scipy come with it: only for who needs it

    rules = {c.capability: c for c in verdict.comparisons}
    rows = [[row for row in side if row.capability in rules] for side in (candidate, baseline)]
    sequences = evidence_sequences(rows[0], rows[1], rules, verdict.gate, split=candidate[0].split)
    return tuple(_view(rules[name], sequence, verdict.gate.alpha) for name, sequence in sequences.items())


def _view(c: CapabilityComparison, sequence: ThresholdSequence, alpha: float) -> EvidenceView:
    path = sequence.path
    shown = _shown(path.above.size, sequence.decided_at)
    return EvidenceView(
        name=label(c.capability),
        role=c.role,
        n=sequence.n,
        n_planned=c.n_planned,
        decided_at=sequence.decided_at,
        limit=-math.log10(alpha),
        above=((0, 0.0), *((i + 1, float(path.above[i])) for i in shown)),
        below=((0, 0.0), *((i + 1, float(path.below[i])) for i in shown)),
        tone=_tone(sequence),
        sentence=_sentence(c, sequence),
    )


def _shown(size: int, decided_at: int | None) -> list[int]:
    """Positions to draw, evenly spread, with the last one and the decisive one."""
    step = max(1, size // _POINTS)
    return sorted({*range(0, size, step), *([size - 1] if size else []), *([decided_at - 1] if decided_at else [])})


def _tone(sequence: ThresholdSequence) -> Tone:
    return {"reached": Tone.GOOD, "not_reached": Tone.BAD}.get(sequence.decision or "", Tone.UNSURE)


def _sentence(c: CapabilityComparison, sequence: ThresholdSequence) -> str:
    of = f"{c.n_planned:,} cases"
    if sequence.decision is None:
        if sequence.n < c.n_planned:
            return f"undecided when the asking ended, after {sequence.n:,} of {of}"
        return f"undecided after all {of}"
    above, below = (
        ("the gain is shown", "the gain is shown not to be reached")
        if c.role is Role.TARGET
        else (f"not worse by {100 * c.margin:.1f}", f"worse by more than {100 * c.margin:.1f}")
    )
    asked = f" ({sequence.n:,} compared)" if sequence.n != sequence.decided_at else ""
    return f"decided after {sequence.decided_at:,} of {of}{asked}: {above if sequence.decision == 'reached' else below}"
