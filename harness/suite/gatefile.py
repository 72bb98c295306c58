"""gate.yaml: a suite's gate on its own, for score files that were made elsewhere.

    gate: {alpha: 0.05, targets: all}           the same keys as in a suite
    capabilities:
      arithmetic: {role: target}
      safety: {role: protected, margin: 0.01}
    default: {role: protected, margin: 0.02}    every other capability; without this key there must be none
    waivers: [{capability: safety, owner: Ann, reason: "known, mended in May", expires: 2026-05-31}]

Without ``capabilities`` and ``default``, every capability is protected with the suite's usual margin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from harness.errors import Fault, SuiteError
from harness.model import Gate, Role
from harness.plugs import nearest
from harness.suite.document import Document, read_document
from harness.suite.load import gate_of
from harness.suite.parse import parse_file
from harness.suite.spec import FileModel, GateFile, Name, RuleFile, WaiverFile


class GateDocument(FileModel):
    """A gate and the roles and margins it is to be used with."""

    gate: GateFile = Field(default_factory=GateFile, description="What makes SHIP, OPTIMIZE or INCONCLUSIVE of a comparison.")
    capabilities: dict[Name, RuleFile] = Field(default_factory=dict, description="Name -> role and margin.")
    default: RuleFile | None = Field(default=None, description="Role and margin of every capability not named.")
    waivers: tuple[WaiverFile, ...] = Field(default=(), description="Known harms that do not block, each until a day.")


@dataclass(frozen=True, slots=True)
class Rule:
    """Role and margin of one capability."""

    role: Role
    margin: float


@dataclass(frozen=True, slots=True)
class GateRules:
    """A gate file, read. document None: no file was given, all is as by default."""

    gate: Gate
    capabilities: Mapping[str, Rule]
    default: Rule | None
    document: Document | None = None

    @property
    def only(self) -> str | None:
        """The one capability that is named, where it is one: what score rows without a capability are taken to be of."""
        return next(iter(self.capabilities)) if len(self.capabilities) == 1 else None

    def rules_for(self, found: Collection[str]) -> dict[str, Rule]:
        """Role and margin of each capability found in the scores, named ones first and in the order of the file.

        SuiteError when the file names one that has no scores; with no ``default``, those it does not name are left out here,
        and the comparison refuses them with the line they stand on.
        """
        faults = [
            Fault(self._where("capabilities", name), f"the capability {name!r} has no scores", nearest(name, list(found)))
            for name in self.capabilities
            if name not in found
        ]
        faults += [
            Fault(self._where("gate", "floors", f.capability), f"the floor's capability {f.capability!r} has no scores")
            for f in self.gate.floors
            if f.capability not in found
        ]
        faults += self._waiver_faults(found)
        if self.gate.slices:
            what = "score files have no metadata, so there are no slices to compare"
            faults.append(Fault(self._where("gate", "slices"), what, "remove the key, or compare stored runs"))
        if faults:
            raise SuiteError(faults)
        rest = sorted(set(found) - self.capabilities.keys()) if self.default else []
        return {**self.capabilities, **{name: self.default for name in rest if self.default}}

    def _waiver_faults(self, found: Collection[str]) -> Iterator[Fault]:
        for number, waiver in enumerate(self.gate.waivers):
            name, where = waiver.capability, self._where("waivers", number)
            rule = self.capabilities.get(name or "", self.default)
            if name is None:
                yield Fault(where, "score files have no must-pass cases, so there is none to waive", "waive a capability")
            elif name not in found:
                yield Fault(where, f"the waived capability {name!r} has no scores", nearest(name, list(found)))
            elif rule is not None and rule.role is not Role.PROTECTED:
                yield Fault(where, f"{name!r} is {rule.role}, and only a protected capability can be waived", "remove the waiver")

    def _where(self, *location: str | int) -> str:
        return self.document.where(location) if self.document else ""


def read_gate(path: Path | None) -> GateRules:
    """The file, or the defaults when there is none. SuiteError carries every fault with ``file:line``."""
    if path is None:
        return GateRules(Gate(), {}, _rule(RuleFile()))
    document = read_document(path)
    spec, faults = parse_file(GateDocument, document.data, document)
    if spec is None or faults or document.faults:
        raise SuiteError([*document.faults, *faults])
    rules = {name: _rule(item) for name, item in spec.capabilities.items()}
    default = _rule(spec.default or RuleFile()) if spec.default or not rules else None
    return GateRules(gate_of(spec.gate, spec.waivers), rules, default, document)


def _rule(spec: RuleFile) -> Rule:
    return Rule(spec.role, spec.margin)
