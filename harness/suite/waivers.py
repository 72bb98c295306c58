"""What can be wrong with a suite's waivers beside their form: each must name something that could block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.errors import Fault
from harness.model import Role
from harness.plugs import nearest
from harness.suite.document import Document
from harness.suite.nouns import Capability
from harness.suite.spec import SuiteFile


def waiver_faults(
    spec: SuiteFile, data: Mapping[str, Any], capabilities: Mapping[str, Capability], document: Document
) -> Iterator[Fault]:
    """spec, capabilities: without their faulty parts. data: as written, whose places are those of the file."""
    written = data.get("waivers")
    seen: dict[tuple[str, str], str] = {}
    for number, row in enumerate(written if isinstance(written, list) else []):
        for key in ("capability", "case"):
            value = row.get(key) if isinstance(row, Mapping) else None
            if not isinstance(value, str):
                continue
            where = document.where(("waivers", number, key))
            if (key, value) in seen:
                yield Fault(where, f"the {key} {value!r} is waived twice", f"keep one of the two (see {seen[key, value]})")
                continue
            seen[key, value] = where
            yield from _capability(value, spec, data, where) if key == "capability" else _case(value, capabilities, where)


def _capability(name: str, spec: SuiteFile, data: Mapping[str, Any], where: str) -> Iterator[Fault]:
    known = data.get("capabilities")
    names = list(known) if isinstance(known, Mapping) else []
    item = spec.capabilities.get(name)
    if name not in names:
        yield Fault(where, f"a waiver for {name!r}, which is no capability", nearest(name, names))
    elif item is not None and item.role is not Role.PROTECTED:
        yield Fault(where, f"{name!r} is {item.role}, and only a protected capability can be waived", "remove the waiver")


def _case(case_id: str, capabilities: Mapping[str, Capability], where: str) -> Iterator[Fault]:
    cases = {case.id: case for capability in capabilities.values() for case in capability.cases}
    if case_id not in cases:
        must = [case.id for case in cases.values() if case.must_pass]
        yield Fault(where, f"a waiver for the case {case_id!r}, which is not in the suite", nearest(case_id, must))
    elif not cases[case_id].must_pass:
        yield Fault(where, f"the case {case_id!r} is not must-pass, so there is nothing to waive", "remove the waiver")
