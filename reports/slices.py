"""Slices put into words; compared by harness.slices."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model import SliceComparison, Verdict
from reports.nouns import SliceView, Tone
from reports.text import UNKNOWN, interval, label, percent, points

_MOST = 200  # of one report


def views(verdict: Verdict, asked: Sequence[SliceComparison] | None) -> tuple[SliceView, ...]:
    """Those of the verdict, or those that were asked for afterwards."""
    up = {name for seesaw in verdict.seesaws for name in seesaw.gains} if asked is None else set()
    down = {name for seesaw in verdict.seesaws for name in seesaw.losses} if asked is None else set()
    found = verdict.slices if asked is None else asked
    return tuple(_view(one, "up" if one.name in up else "down" if one.name in down else "") for one in found[:_MOST])


def note(verdict: Verdict, asked: Sequence[SliceComparison] | None) -> str:
    """How far these numbers may be trusted."""
    found = verdict.slices if asked is None else asked
    if not found:
        return ""
    alpha = verdict.gate.alpha
    text = f"Each interval holds by itself at {100 * (1 - 2 * alpha):g}%; of many slices some look moved by chance. "
    if asked is None:
        text += f"\u25b2 \u25bc: part of the seesaw, at the false discovery rate of {100 * verdict.gate.fdr:g}%."
    else:
        text += "These slices were asked for after the run: they are no part of the verdict, and nothing here is shown."
    more = len(found) - _MOST
    return text + (f" {more:,} more are in the store." if more > 0 else "")


def _view(one: SliceComparison, seesaw: str) -> SliceView:
    p = one.paired if one.paired is not None and one.paired.method != "undecided" else None
    delta = None
    if one.candidate_mean is not None and one.baseline_mean is not None:
        delta = p.delta if p else one.candidate_mean - one.baseline_mean
    notes = [f"{one.values:,} values of few cases each"] if one.values > 1 else []
    if p is None:
        notes.append("undecided: " + label(one.reason or "nothing was compared", 160))
    return SliceView(
        capability=label(one.capability),
        field=label(one.field, 60),
        value=label(one.value, 100),
        n=one.n_paired,
        baseline=one.baseline_mean,
        candidate=one.candidate_mean,
        delta=delta,
        low=p.low if p else None,
        high=p.high if p else None,
        seesaw=seesaw,
        n_shown=f"{one.n_paired:,}" + (f" of {one.n_planned:,}" if one.n_paired != one.n_planned else ""),
        baseline_shown=percent(one.baseline_mean),
        candidate_shown=percent(one.candidate_mean),
        delta_shown=points(delta) if delta is not None else UNKNOWN,
        interval_shown=interval(p.low, p.high) if p else "",
        tone={"up": Tone.GOOD, "down": Tone.BAD}.get(seesaw, Tone.UNSURE if p is None else Tone.NEUTRAL),
        note="; ".join(notes),
    )
