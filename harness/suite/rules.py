"""What no single key can know: rules between the parts of a suite. Each is a function of the suite that yields faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.errors import Fault
from harness.model import Role
from harness.plugs import nearest
from harness.slices import known_fields
from harness.suite.document import Document
from harness.suite.nouns import Capability
from harness.suite.spec import RESERVED, CandidateFile, SuiteFile


def rule_faults(spec: SuiteFile, data: Mapping[str, Any], document: Document, *, check_models: bool) -> Iterator[Fault]:
    """spec: the suite without its faulty parts. data: as written, so that a faulty part still counts as there."""
    candidates, capabilities = _names(data, "candidates"), _names(data, "capabilities")
    if not candidates:
        yield Fault(document.where(("candidates",)), "the suite has no candidates", "name at least one: `base: {model: ...}`")
    if not capabilities:
        yield Fault(document.where(("capabilities",)), "the suite has no capabilities", "name at least one group of cases")
    if spec.baseline is not None and spec.baseline not in (*candidates, RESERVED):
        yield Fault(
            document.where(("baseline",)), f"the baseline {spec.baseline!r} is no candidate", nearest(spec.baseline, candidates)
        )
    for name, candidate in spec.candidates.items():
        yield from _candidate(name, candidate, "endpoint" in data["candidates"][name], document, check_models)
    yield from _decision(spec, capabilities, document)
    for name in capabilities:
        written = data["capabilities"][name]
        if isinstance(written, dict) and "cases" not in written:
            yield Fault(document.where(("capabilities", name)), f"the capability {name!r} has no cases", "add `cases: FILE`")


def _names(data: Mapping[str, Any], key: str) -> list[str]:
    value = data.get(key)
    return list(value) if isinstance(value, dict) else []


def _candidate(name: str, candidate: CandidateFile, served: bool, document: Document, check_models: bool) -> Iterator[Fault]:
    """served: an endpoint is written, be it a faulty one."""
    at = ("candidates", name)
    if name == RESERVED:
        yield Fault(document.where(at), f"the name {RESERVED!r} is taken by the promoted run", "name the candidate otherwise")
    if candidate.endpoint is None:
        if candidate.api_key is not None and not served:
            yield Fault(document.where((*at, "api_key")), "api_key belongs to an endpoint", "add `endpoint:`, or remove it")
        if check_models and not served:
            for key in ("model", "adapter"):
                value = getattr(candidate, key)
                if value is not None and looks_local(value, document.path.parent) and not (document.path.parent / value).is_dir():
                    yield Fault(
                        document.where((*at, key)), f"no such directory: {value}", "paths start from the suite's directory"
                    )
        return
    if candidate.adapter is not None:
        yield Fault(
            document.where((*at, "adapter")),
            "an endpoint's adapter cannot be loaded from here",
            "give the name under which the endpoint serves it as `model`",
        )
    try:
        parts = urlsplit(candidate.endpoint)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
    if not port_is_valid or not parts.hostname:
        yield Fault(document.where((*at, "endpoint")), "the endpoint is not an address", "write http://HOST:PORT/v1")
    elif parts.username or parts.password:
        yield Fault(document.where((*at, "endpoint")), "the endpoint holds a user name or password", "use api_key: ${NAME}")


def looks_local(model: str, root: Path) -> bool:
    """A directory rather than a hub id: it exists, is written as a path, or its first folder stands beside the suite."""
    first = model.split("/", 1)[0]
    written = model.startswith(("/", ".", "~")) or model.count("/") > 1 or "\\" in model
    return written or (root / model).exists() or ("/" in model and (root / first).is_dir())


def _decision(spec: SuiteFile, capabilities: list[str], document: Document) -> Iterator[Fault]:
    roles = {capability.role for capability in spec.capabilities.values()}
    if spec.capabilities and roles == {Role.ADVISORY} and not spec.gate.floors:
        what = "every capability is advisory, so nothing decides"
        yield Fault(document.where(("capabilities",)), what, "make one a target or protected, or set gate.floors")
    if spec.capabilities and Role.TARGET not in roles and len(spec.capabilities) == len(capabilities):
        for key in ("targets", "min_gain"):
            if key in spec.gate.model_fields_set:
                what = f"gate.{key} has no effect: no capability has the role target"
                yield Fault(document.where(("gate", key)), what, "give one `role: target`, or remove the key")
    yield from _capacity(spec, document)
    for name in spec.gate.floors:
        if name not in capabilities:
            where = document.where(("gate", "floors", name))
            yield Fault(where, f"a floor for {name!r}, which is no capability", nearest(name, capabilities))


def _capacity(spec: SuiteFile, document: Document) -> Iterator[Fault]:
    """Capacity is measured by the run itself, so the run must be such that it measures what the gate states."""
    gate, at = spec.gate, document.where
    if (gate.min_requests_per_s is None) != (gate.at_concurrency is None):
        key, other = (
            ("min_requests_per_s", "at_concurrency") if gate.at_concurrency is None else ("at_concurrency", "min_requests_per_s")
        )
        yield Fault(
            at(("gate", key)), f"gate.{key} needs gate.{other} beside it", "a capacity is so much at so many requests at once"
        )
    elif gate.at_concurrency is not None and gate.at_concurrency != spec.generation.concurrency:
        what = f"gate.at_concurrency is {gate.at_concurrency}, and the suite asks {spec.generation.concurrency} at once"
        yield Fault(at(("gate", "at_concurrency")), what, "set generation.concurrency to the same")
    elif gate.min_requests_per_s is not None and gate.sequential:
        what = "gate.min_requests_per_s is not measured in a sequential run, whose two candidates share their servers' time"
        yield Fault(at(("gate", "min_requests_per_s")), what, "leave it out, or set gate.sequential to false")


def slice_faults(spec: SuiteFile, capabilities: Mapping[str, Capability], document: Document) -> Iterator[Fault]:
    """A field that no case has would show nothing and look as if all were well."""
    if not spec.gate.slices or any(not capability.all_cases for capability in capabilities.values()):
        return  # faulty cases have a fault of their own
    names = known_fields(case.metadata for capability in capabilities.values() for case in capability.all_cases)
    for number, field in enumerate(spec.gate.slices):
        if field not in names:
            todo = nearest(field, sorted(names)) if names else "give cases `metadata: {NAME: VALUE}`"
            yield Fault(document.where(("gate", "slices", number)), f"no case has the metadata field {field!r}", todo)
