"""Waivers: harms that a person answers for until a day, and that therefore do not block a SHIP.

What one can waive is narrow. A capability's waiver lets pass what its comparison with the baseline shows or leaves open, provided
that something was measured; a case's waiver lets that must-pass case pass. Nothing else: floors, budgets, latency, a partial run,
an open denominator, a missing baseline and infrastructure block whatever is waived, and a capability's waiver does not cover its
must-pass cases. An expired waiver counts as absent. All of them are listed in the verdict with what became of them.

The day is an argument. A waiver holds through its last day, in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from harness.errors import UsageError
from harness.model import CapabilityComparison, Outcome, Reason, Role, Waiver, WaiverUse

CODES = frozenset({"waived", "waiver-expired", "waiver-unused"})  # of the reasons made here; they block nothing
# Of a protected capability that was measured.
_WAIVABLE = frozenset({"harmed", "not-shown", "missing-scores", "undecided", "judge-uncalibrated"})


@dataclass(frozen=True, slots=True)
class Active:
    """The waivers that hold on a day, by what they name."""

    capabilities: dict[str, Waiver]
    cases: dict[str, Waiver]


def active(waivers: Iterable[Waiver], today: date | None) -> Active:
    """UsageError when there are waivers and no day to hold them against, or one is not valid."""
    found = Active({}, {})
    for waiver in waivers:
        if today is None:
            raise UsageError("the gate has waivers, and nobody said which day it is", todo="Give decide(..., today=)")
        if (waiver.capability is None) == (waiver.case is None):
            raise UsageError("a waiver names either a capability or a case", where=f"waiver of {waiver.owner}")
        if not _is_over(waiver, today):
            names, name = (found.cases, waiver.case) if waiver.case is not None else (found.capabilities, waiver.capability)
            names.setdefault(str(name), waiver)
    return found


def waive(
    reasons: Sequence[Reason], comparisons: Sequence[CapabilityComparison], waivers: Sequence[Waiver], today: date | None
) -> tuple[list[Reason], tuple[WaiverUse, ...]]:
    """The reasons with what is waived no longer blocking, and what became of each waiver, in their order."""
    holding = active(waivers, today)
    measured = {c.capability for c in comparisons if c.role is Role.PROTECTED and c.n_paired}
    waived: dict[Waiver, str] = {}
    kept = []
    for reason in reasons:
        waiver = holding.capabilities.get(reason.capability or "")
        if waiver and reason.code in _WAIVABLE and reason.blocks not in (None, Outcome.SHIP) and reason.capability in measured:
            waived[waiver] = reason.text
        else:
            kept.append(reason)
    waived |= {holding.cases[case]: text for case, text in _failing(comparisons) if case in holding.cases}
    uses = tuple(_use(waiver, waived, today) for waiver in waivers)
    return [*kept, *(_reason(use, comparisons) for use in uses)], uses


def in_words(waiver: Waiver) -> str:
    """``waived by Ann until 2026-12-31: known, mended in May``."""
    return f"waived by {waiver.owner} until {waiver.expires}: {waiver.reason}"


def subject(waiver: Waiver) -> str:
    return f"case {waiver.case}" if waiver.case is not None else f"capability {waiver.capability!r}"


def _failing(comparisons: Iterable[CapabilityComparison]) -> Iterable[tuple[str, str]]:
    """Must-pass cases that would block, each with the sentence about it."""
    for c in comparisons:
        if c.role is not Role.ADVISORY:
            yield from ((case, f"must-pass case {case} of {c.capability!r} failed") for case in c.must_pass_failed)
            yield from ((case, f"must-pass case {case} of {c.capability!r} has no score") for case in c.must_pass_missing)


def _use(waiver: Waiver, waived: dict[Waiver, str], today: date | None) -> WaiverUse:
    if today is not None and _is_over(waiver, today):
        return WaiverUse(waiver, "expired")
    return WaiverUse(waiver, "used", waived.pop(waiver)) if waiver in waived else WaiverUse(waiver, "unused")


def _reason(use: WaiverUse, comparisons: Iterable[CapabilityComparison]) -> Reason:
    waiver, about = use.waiver, subject(use.waiver)
    capability = waiver.capability
    if waiver.case is not None:
        capability = next((c.capability for c in comparisons if waiver.case in (*c.must_pass_failed, *c.must_pass_missing)), None)
    if use.state == "used":
        return Reason("waived", f"{use.waived}; {in_words(waiver)}", capability)
    if use.state == "expired":
        text = f"the waiver of {waiver.owner} for {about} expired on {waiver.expires} and no longer counts ({waiver.reason})"
        return Reason("waiver-expired", text, capability)
    return Reason("waiver-unused", f"the waiver of {waiver.owner} for {about} had nothing to waive: it can go", capability)


def _is_over(waiver: Waiver, today: date) -> bool:
    try:
        return date.fromisoformat(waiver.expires) < today
    except ValueError:
        where = f"waiver of {waiver.owner}"
        raise UsageError(f"{waiver.expires!r} is no date", where=where, todo="Write it as 2026-12-31") from None
