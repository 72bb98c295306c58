"""What a suite's judges and the checks that name them must have in common.

The options of a judge belong to the package judges, on a higher floor: whoever loads a suite hands in a function that knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.checks import SpecFault, judges_of
from harness.errors import Fault
from harness.model import Role
from harness.plugs import nearest
from harness.suite.document import Document
from harness.suite.nouns import Capability
from harness.suite.spec import SuiteFile

JudgeFaults = Callable[[SuiteFile, Mapping[str, Capability], Path], Iterable[SpecFault]]


def judge_faults(
    spec: SuiteFile,
    data: Mapping[str, Any],
    capabilities: Mapping[str, Capability],
    document: Document,
    options: JudgeFaults | None,
) -> Iterator[Fault]:
    """data: as written, so that a judge with faults of its own still counts as there. options: what judges themselves find."""
    written = data.get("judges")
    names = list(written) if isinstance(written, dict) else []
    for capability in capabilities.values():
        for path, check in judges_of(capability.checks, ("capabilities", capability.name, "checks")):
            if check.name not in names:
                place = document.where((*path, "not-judge" if check.negate else "judge"))
                todo = nearest(check.name, names) if names else "describe it under `judges:`"
                yield Fault(place, f"there is no judge named {check.name!r}", todo)
    if spec.gate.min_kappa is not None and not any(decisive(item) for item in capabilities.values()):
        what = "gate.min_kappa has no effect: no capability that decides asks a judge"
        yield Fault(document.where(("gate", "min_kappa")), what, "remove it, or add `- judge: NAME` to a capability's checks")
    if options is not None:
        for fault in options(spec, capabilities, document.path.parent):
            yield Fault(document.where(fault.path), fault.what, fault.todo)


def decisive(capability: Capability) -> tuple[str, ...]:
    """The judges whose word decides about this capability; none where it is only reported."""
    return () if capability.role is Role.ADVISORY else weighty(capability)


def weighty(capability: Capability) -> tuple[str, ...]:
    """The judges whose word makes this capability's scores, whatever its role: what is only reported rests on them, too."""
    return tuple(dict.fromkeys(check.name for _, check in judges_of(_weighing(capability))))


def _weighing(capability: Capability) -> list[Any]:
    return [check for check in capability.checks if check.weight > 0]
