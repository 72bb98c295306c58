"""load_suite: a path becomes a frozen Suite, or one SuiteError with everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from harness.cases import CaseSource, load_cases, packed
from harness.checks import Spec, parse_checks
from harness.errors import Fault, SuiteError
from harness.model import Case, Floor, Gate, Prompt, Split, Waiver
from harness.suite.document import Document, Location, read_document
from harness.suite.environment import MIN_SECRET, Resolver, is_secret
from harness.suite.hashing import suite_hash
from harness.suite.judges import JudgeFaults, judge_faults
from harness.suite.layers import Layer, LayeredPrompt, stack_generation, stack_prompts, unfit
from harness.suite.matrix import load_matrix
from harness.suite.nouns import CandidateSpec, Capability, Generation, Judging, Matrix, Suite
from harness.suite.parse import parse_suite
from harness.suite.references import reference_faults
from harness.suite.rules import rule_faults, slice_faults
from harness.suite.spec import CapabilityFile, GateFile, SuiteFile, WaiverFile
from harness.suite.waivers import waiver_faults


def load_suite(
    path: str | os.PathLike[str],
    *,
    env: Mapping[str, str] = os.environ,
    check_models: bool = True,
    judges: JudgeFaults | None = None,
) -> Suite:
    """Read a suite and all its cases. SuiteError carries every fault found, each with ``file:line``.

    env: where ${VAR} comes from. check_models: also look whether local checkpoints are there (needless to explain a run).
    judges: finds what is wrong with the options of judges, which lie on a higher floor; without it they are not looked at.
    """
    document = read_document(Path(path))
    resolver = Resolver(env, document.where, _is_data)
    data = resolver.resolve(document.data)
    spec, faults = parse_suite(data, document, resolver.unset)
    loading = _Loading(document, [*document.faults, *resolver.faults, *faults])
    if spec is None:
        raise SuiteError(loading.sorted_faults(resolver.secrets))
    loading.faults += rule_faults(spec, data, document, check_models=check_models)
    capabilities = {
        name: loading.capability(name, item, data["capabilities"][name], spec) for name, item in spec.capabilities.items()
    }
    loading.faults += waiver_faults(spec, data, capabilities, document)
    loading.faults += slice_faults(spec, capabilities, document)
    loading.faults += judge_faults(spec, data, capabilities, document, judges)
    prompts = loading.prompts(spec, capabilities)
    matrix = loading.matrix(spec, data, capabilities)
    if loading.faults:
        raise SuiteError(loading.sorted_faults(resolver.secrets))
    return replace(_suite(spec, document, capabilities, prompts, resolver.secrets), matrix=matrix)


def _is_data(location: Location) -> bool:
    """Case rows and examples: text that variables are never filled into."""
    if location and (location[-1] == "few_shot" or (location[:2] == ("matrix", "pool") and isinstance(location[-1], int))):
        return True
    in_cases = len(location) >= 4 and location[0] == "capabilities" and location[2] == "cases"
    return in_cases and (isinstance(location[3], int) or location[3] == "rows")


@dataclass
class _Loading:
    """What is known while a suite is being loaded."""

    document: Document
    faults: list[Fault] = field(default_factory=list)

    def capability(self, name: str, item: CapabilityFile, written: Any, spec: SuiteFile) -> Capability:
        at: Location = ("capabilities", name)
        checks = self.checks(at, written)
        cases = self.cases(name, item.cases, (*at, "cases")) if item.cases is not None else ()
        planned = cases if item.split == "all" else tuple(case for case in cases if case.split is Split(item.split))
        if cases and not planned:
            what = f"the capability {name!r} has no case in the split {item.split} ({len(cases)} in the other)"
            self.faults.append(
                Fault(self.document.where((*at, "cases")), what, "set dev_fraction, or the rows' split, or `split: all`")
            )
        labels = [case.cluster for case in planned if case.cluster is not None]
        if spec.gate.sequential and len(set(labels)) < len(labels):
            what = f"gate.sequential needs independent cases, and cases of {name!r} share clusters"
            self.faults.append(
                Fault(self.document.where(("gate", "sequential")), what, "set it to false, or keep one case of each")
            )
        asked, kept = stack_generation(spec.generation, item.generation), packed(planned)
        self.faults += reference_faults(checks, planned, self.document.path.parent, lambda case: self.where_case(case))
        return Capability(
            name=name,
            role=item.role,
            margin=item.margin,
            cases=kept,
            all_cases=kept if len(planned) == len(cases) else packed(cases),
            checks=checks,
            score=item.score,
            split=item.split,
            sampling=asked.sampling,
            samples=asked.samples,
            thinking=asked.thinking,
            on_truncated=asked.on_truncated,
            on_empty=asked.on_empty,
            description=item.description or "",
        )

    def checks(self, at: Location, written: Any) -> tuple[Spec, ...]:
        if not isinstance(written, dict) or "checks" not in written:
            self.faults.append(
                Fault(self.document.where(at), f"the capability {at[-1]!r} has no checks", "add e.g. `checks: [equals]`")
            )
            return ()
        checks, faults = parse_checks(written["checks"], (*at, "checks"))
        self.faults += [Fault(self.document.where(fault.path), fault.what, fault.todo) for fault in faults]
        return checks

    def cases(self, name: str, source: CaseSource, at: Location) -> tuple[Case, ...]:
        document = self.document
        inline: Location = (*at, "rows") if (*at, "rows") in document.lines else at

        def where(row: int | None) -> str:
            if row is None:
                return document.where(at)
            return document.where((*inline, row - 1)) if source.rows is not None else self.beside(f"{source.title}:{row}")

        def label(row: int | None) -> str:
            if source.rows is not None and row is not None:
                return f"{document.path.name}:{document.lines.get((*inline, row - 1), 1)}"
            return f"{source.title}:{row}"

        loaded = load_cases(source, name, document.path.parent, where, label)
        self.faults += loaded.faults
        if not loaded.cases and not loaded.faults:
            self.faults.append(
                Fault(document.where(at), f"the capability {name!r} is empty: no cases in {source.title}", "add cases")
            )
        return loaded.cases

    def fault(self, location: Location, what: str, todo: str = "") -> None:
        self.faults.append(Fault(self.document.where(location), what, todo))

    def beside(self, source: str) -> str:
        """A place in a file beside the suite, as it is reached from the working directory."""
        return str(self.document.path.parent / source)

    def where_case(self, case: Case) -> str:
        return self.beside(case.source)

    def prompts(self, spec: SuiteFile, capabilities: Mapping[str, Capability]) -> dict[tuple[str, str], Prompt]:
        """The prompt of every candidate on every capability, "" standing for no candidate and for no capability."""
        out: dict[tuple[str, str], Prompt] = {}
        told: set[tuple[str, str]] = set()
        for candidate in ("", *spec.candidates):
            for name in ("", *capabilities):
                layered = self.layered(spec, candidate, name)
                out[candidate, name] = layered.prompt
                if name and (candidate or not spec.candidates):
                    self.faults += layered.faults
                    if not layered.faults:
                        self.faults += unfit(layered, capabilities[name].cases, self.document.where, told)
        return out

    def matrix(self, spec: SuiteFile, data: Any, capabilities: Mapping[str, Capability]) -> Matrix | None:
        if spec.matrix is None:
            return None
        found, faults = load_matrix(spec, data, capabilities, self.document, self.layered)
        self.faults += faults
        return found

    def layered(self, spec: SuiteFile, candidate: str, capability: str, *above: Layer) -> LayeredPrompt:
        layers: list[Layer] = [(("prompt",), spec.prompt)]
        if capability:
            layers.append((("capabilities", capability, "prompt"), spec.capabilities[capability].prompt))
        if candidate:
            layers.append((("candidates", candidate, "prompt"), spec.candidates[candidate].prompt))
        return stack_prompts([*layers, *above], self.document.where)

    def sorted_faults(self, secrets: set[str]) -> list[Fault]:
        """The suite's own faults by line, then those of case files; secret values blanked."""

        def place(fault: Fault) -> tuple[bool, str, int]:
            file, _, line = fault.where.rpartition(":")
            return file != str(self.document.path), file, int(line) if line.isdigit() else 0

        def clean(text: str) -> str:
            for secret in sorted(secrets, key=len, reverse=True):
                text = text.replace(secret, "***")
            return text

        unique = dict.fromkeys(Fault(fault.where, clean(fault.what), clean(fault.todo)) for fault in self.faults)
        return sorted(unique, key=place)


def _suite(
    spec: SuiteFile,
    document: Document,
    capabilities: Mapping[str, Capability],
    prompts: Mapping[tuple[str, str], Prompt],
    secrets: set[str],
) -> Suite:
    asked = stack_generation(spec.generation)
    gate = gate_of(spec.gate, spec.waivers)
    keys = {item.api_key.get_secret_value() for item in spec.candidates.values() if item.api_key is not None}
    keys |= set(_keys_within(spec.judges))
    hidden = sorted({secret for secret in keys | secrets if len(secret) >= MIN_SECRET}, key=lambda text: (-len(text), text))
    shared = {name: prompts["", name] for name in capabilities}
    return Suite(
        name=spec.suite,
        version=spec.version,
        path=document.path,
        hash=suite_hash(spec, capabilities, shared, gate),
        capabilities=capabilities,
        candidates={name: _candidate(name, spec, prompts[name, ""]) for name in spec.candidates},
        baseline=spec.baseline,
        sampling=asked.sampling,
        generation=_generation(spec, asked.thinking),
        gate=gate,
        serve=spec.serve,
        judges=spec.judges,
        judging=Judging(spec.judging.concurrency, spec.judging.timeout, spec.judging.retries),
        description=spec.description or "",
        source_text=_without_keys(document),
        prompts=prompts,
        hidden=tuple(SecretStr(secret) for secret in hidden),
    )


def _candidate(name: str, spec: SuiteFile, prompt: Prompt) -> CandidateSpec:
    item = spec.candidates[name]
    return CandidateSpec(
        name, item.model, item.adapter, item.revision, item.endpoint, item.api_key, prompt, description=item.description or ""
    )


def _generation(spec: SuiteFile, thinking: tuple[str, str] | None) -> Generation:
    given = spec.generation
    return Generation(given.concurrency, given.timeout, given.retries, given.stream, thinking)


def gate_of(spec: GateFile, waivers: Iterable[WaiverFile] = ()) -> Gate:
    """The policy as a verdict works with it."""
    floors = tuple(Floor(name, floor.minimum, floor.point) for name, floor in sorted(spec.floors.items()))
    return Gate(
        alpha=spec.alpha,
        targets=spec.targets,
        min_gain=spec.min_gain,
        seesaw=spec.seesaw,
        fdr=spec.fdr,
        floors=floors,
        max_error_rate=spec.max_error_rate,
        max_unscored_rate=spec.max_unscored_rate,
        max_ttft_p95_s=spec.max_ttft_p95,
        max_latency_p95_s=spec.max_latency_p95,
        min_clusters=spec.min_clusters,
        sequential=spec.sequential,
        max_tpot_p95_s=spec.max_tpot_p95,
        waivers=tuple(Waiver(w.owner, w.reason, w.expires, w.capability, w.case) for w in waivers),
        slices=tuple(dict.fromkeys(spec.slices)),
        trust_uncalibrated=spec.trust_uncalibrated,
        min_kappa=spec.min_kappa,
        max_memory_gb=spec.max_memory_gb,
        min_requests_per_s=spec.min_requests_per_s,
        at_concurrency=spec.at_concurrency,
    )


def _keys_within(value: Any, location: Location = ()) -> Iterator[str]:
    """Secrets among the options of judges, whose shape is not known here."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _keys_within(item, (*location, str(key)))
    elif isinstance(value, str) and is_secret(location):
        yield value


def _without_keys(document: Document) -> str:
    """The text as written, with every secret that stands in it (rather than ``${NAME}``) blanked."""
    text = document.text
    for start, end in sorted(_written_keys(document), reverse=True):
        text = f'{text[:start]}"***"{text[end:]}'
    return text


def _written_keys(document: Document) -> Iterator[tuple[int, int]]:
    seen: set[tuple[int, int]] = set()
    for location, span in document.spans.items():
        if is_secret(location) and "${" not in document.text[slice(*span)] and span not in seen and not _is_case_data(location):
            seen.add(span)
            yield span


def _is_case_data(location: Location) -> bool:
    return any(_is_data(location[:length]) for length in range(1, len(location) + 1))
