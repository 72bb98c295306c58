"""What each capability's cases could have shown, and the noise under it, in words. The numbers are made elsewhere."""

from __future__ import annotations

from harness.model import Claim, Verdict
from harness.noise import floor_of
from harness.powercard import MeasuredPower, after
from reports.nouns import PowerView, Tone
from reports.source import Decided
from reports.text import UNKNOWN, label


def rows(verdict: Verdict) -> tuple[PowerView, ...]:
    """One row a capability, in the order of the comparisons. A sequential run's evidence tells more than this would: none."""
    if verdict.gate.sequential:
        return ()
    undecided = {c.capability for c in verdict.comparisons if set(c.claims) <= {Claim.UNDECIDED}}
    return tuple(_row(found, found.capability in undecided) for found in after(verdict.comparisons))


def noise(twice: Decided | None) -> str:
    """What the suite's A/A comparison showed, in a sentence."""
    if twice is None:
        return ""
    return label(floor_of(twice.verdict.comparisons, twice.verdict.gate.alpha).sentence(), 300)


def _row(found: MeasuredPower, undecided: bool) -> PowerView:
    shows = UNKNOWN if found.shows is None else f"{100 * found.shows:.1f}"
    needed = UNKNOWN if found.shows is None else "no affordable number" if found.needed is None else f"about {found.needed:,}"
    enough = found.needed is not None and found.n >= found.needed
    clusters = f" in {found.n_clusters:,} clusters" if 0 < found.n_clusters < found.n else ""
    n = f"{found.n:,}{clusters}"
    if found.shows is None:
        sentence = f"{label(found.capability, 60)}: its {n} cases can show nothing"
    else:
        takes = f"its margin of {100 * found.margin:.1f} takes {needed}"
        sentence = f"{label(found.capability, 60)}: {n} cases show about {shows} points or more (80 % power); {takes}"
    return PowerView(
        name=label(found.capability),
        n=found.n,
        shows=found.shows,
        margin=found.margin,
        needed=found.needed,
        n_shown=n,
        shows_shown=shows,
        margin_shown=f"{100 * found.margin:.1f}",
        needed_shown=needed,
        tone=Tone.NEUTRAL if enough else Tone.UNSURE,
        sentence=sentence,
        undecided=undecided,
    )
