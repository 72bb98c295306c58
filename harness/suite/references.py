"""Cases that their checks can never score (a missing reference, a number that is none), found before a model is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.checks import CheckGroup, CheckSpec, JudgeCheck, Spec, compile_checks
from harness.checks.base import keep_options
from harness.checks.spec import find_type
from harness.errors import Fault, HarnessError
from harness.model import Case

MAX_FAULTS = 20


def reference_faults(checks: Iterable[Spec], cases: Iterable[Case], root: Path, where: Callable[[Case], str]) -> list[Fault]:
    """One fault per case that cannot be scored, the first 20 and a count. Checks with a set-up of their own (a model, a user's
    file) are left out: loading a suite stays quick and runs nobody's code."""
    light = [leaf for leaf in _leaves(checks) if find_type(leaf.type).setup is keep_options]
    if not light:
        return []
    try:
        scorer = compile_checks(light, root=root)
    except HarnessError:  # told where the scorer is made in earnest
        return []
    faults: list[Fault] = []
    unscorable = 0
    for case in cases:
        for what in scorer.faults(case)[:1]:
            unscorable += 1
            if unscorable <= MAX_FAULTS:
                faults.append(Fault(where(case), what))
    if unscorable > MAX_FAULTS:
        faults.append(
            Fault("", f"{unscorable - MAX_FAULTS:,} more cases cannot be scored", "mend the first ones, then look again")
        )
    return faults


def _leaves(checks: Iterable[Spec]) -> Iterator[CheckSpec]:
    """Single rule checks, each with a weight, so that any of them may stand alone. A judge says itself what it needs."""
    for check in checks:
        if isinstance(check, CheckGroup):
            yield from _leaves(check.members)
        elif not isinstance(check, JudgeCheck):
            yield check.model_copy(update={"weight": 1.0})
