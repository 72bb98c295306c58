"""gate.yaml: a suite's gate on its own, for score files that were made elsewhere.

    gate: {alpha: 0.05, targets: all}           the same keys as in a suite
    capabilities:
      arithmetic: {role: target}
      safety: {role: protected, margin: 0.01}
    default: {role: protected, margin: 0.02}    every other capability; without this key there must be none

Without ``capabilities`` and ``default``, every capability is protected with the suite's usual margin.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from harness.errors import Fault, SuiteError
from harness.model import Gate, Role
from harness.plugs import nearest
from harness.suite.document import Document, read_document
from harness.suite.load import gate_of
from harness.suite.parse import parse_file
from harness.suite.spec import FileModel, GateFile, Name, RuleFile


class GateDocument(FileModel):
    """A gate and the roles and margins it is to be used with."""

    gate: GateFile = Field(default_factory=GateFile, description="What makes SHIP, OPTIMIZE or INCONCLUSIVE of a comparison.")
    capabilities: dict[Name, RuleFile] = Field(default_factory=dict, description="Name -> role and margin.")
    default: RuleFile | None = Field(default=None, description="Role and margin of every capability not named.")


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
        if faults:
            raise SuiteError(faults)
        rest = sorted(set(found) - self.capabilities.keys()) if self.default else []
        return {**self.capabilities, **{name: self.default for name in rest if self.default}}

    def _where(self, *location: str) -> str:
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
    return GateRules(gate_of(spec.gate), rules, default, document)


def _rule(spec: RuleFile) -> Rule:
    return Rule(spec.role, spec.margin)
