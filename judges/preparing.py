"""From options as written to checked specs: shared by every kind, and the package's ``build`` and ``build_all``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness import plugs
from harness.checks.spec import SpecFault
from harness.errors import Fault, HarnessError, SuiteError, UsageError
from harness.model import Candidate, Case, Sampling
from harness.prompts import compile_template
from judges.asking import Settings
from judges.base import AskingOptions, JudgeSpec, JudgeType, Setting
from judges.prompting import prompt_digest, texts_of
from judges.rubric import Rubric, load_rubric

KIND = "judge"


def build(name: str, options: Any, *, root: Path, others: Mapping[str, Any] | None = None) -> JudgeSpec:
    """One judge. others: every judge of the suite as written (name -> options), which a panel's members are looked up in.

    SuiteError with every fault; each ``where`` is the place inside the suite, ``judges.NAME.key``, or ``file:line`` of a rubric.
    """
    spec, faults = prepare(name, options, Setting(root, others or {}))
    if faults or spec is None:
        raise SuiteError([Fault(".".join(["judges", name, *map(str, fault.path)]), fault.what, fault.todo) for fault in faults])
    return spec


def build_all(judges: Mapping[str, Any], *, root: Path) -> tuple[dict[str, JudgeSpec], tuple[SpecFault, ...]]:
    """Every judge of a suite, and every fault; a path begins with the judge's name: ``("judges", *path)`` is its place."""
    specs: dict[str, JudgeSpec] = {}
    faults: list[SpecFault] = []
    for name, options in judges.items():
        spec, found = prepare(name, options, Setting(root, judges))
        faults += [SpecFault((name, *fault.path), fault.what, fault.todo) for fault in found]
        if spec is not None and not found:
            specs[name] = spec
    return specs, tuple(faults)


def prepare(name: str, options: Any, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    """The spec, or None and why. Paths are inside this judge's own mapping."""
    if not isinstance(options, Mapping):
        return None, [SpecFault((), "a judge is a mapping", "write at least kind, and what that kind needs")]
    kind_name = options.get("kind")
    if not isinstance(kind_name, str):
        return None, [SpecFault(("kind",) if "kind" in options else (), "the judge's kind is missing", _kinds())]
    if kind_name not in (valid := plugs.names(KIND)):
        return None, [SpecFault(("kind",), f"there is no kind of judge named {kind_name!r}", plugs.nearest(kind_name, valid))]
    try:
        kind: JudgeType = plugs.find(KIND, kind_name)
    except UsageError as error:  # another distribution's, that does not load
        return None, [SpecFault(("kind",), error.what, error.todo)]
    try:
        parsed = kind.options.model_validate(dict(options))
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        wrong = {detail["loc"][0] for detail in details if detail["loc"]}
        rest = {key: value for key, value in options.items() if key not in wrong}
        return None, [*(_fault(detail, kind) for detail in details), *_faults_of_rest(kind, name, rest, setting)]
    return kind.prepare(name, parsed, setting)


def _faults_of_rest(kind: JudgeType, name: str, rest: Mapping[str, Any], setting: Setting) -> list[SpecFault]:
    """What is wrong with the keys that are well-formed by themselves, where they are enough to go on with."""
    try:
        return kind.prepare(name, kind.options.model_validate(rest), setting)[1]
    except ValidationError:
        return []


def prepare_asking(
    kind: JudgeType, name: str, options: AskingOptions, setting: Setting, *, rubric_kind: str, threshold: float
) -> tuple[JudgeSpec | None, list[SpecFault]]:
    """The spec of a judge that asks a language model by a rubric of that kind."""
    faults: list[SpecFault] = []
    rubric: Rubric | None = None
    try:
        rubric = load_rubric(options.rubric, setting.root)
    except SuiteError as error:
        faults += [SpecFault(("rubric",), f"{fault.where}: {fault.what}", fault.todo) for fault in error.faults]
    except HarnessError as error:
        faults.append(SpecFault(("rubric",), error.what, error.todo))
    if rubric and rubric.file.kind != rubric_kind:
        faults.append(
            SpecFault(
                ("rubric",), f"{rubric.name!r} is a {rubric.file.kind} rubric", f"a {kind.name} judge wants a {rubric_kind} one"
            )
        )
    if options.question is not None:
        try:
            compile_template(options.question)
        except UsageError as error:
            faults.append(SpecFault(("question",), error.what, error.todo))
    if reserved := sorted(_RESERVED & options.extra.keys()):
        faults.append(SpecFault(("extra", reserved[0]), "this field is the judge's own", "leave it out of extra"))
    if faults or rubric is None:
        return None, faults
    given = options.threshold if options.threshold is not None else rubric.file.threshold
    return (
        JudgeSpec(
            name,
            kind,
            options,
            rubric,
            identity=[prompt_digest(rubric.file.language), sampling_of(options).as_dict(), _settings(options)],
            pairwise=rubric_kind == "pairwise",
            threshold=threshold if given is None else given,
        ),
        [],
    )


_RESERVED = frozenset({"response_format", "logprobs", "top_logprobs", "messages", "model", "n", "stream", "seed"})
_ELSEWHERE = frozenset({"kind", "description", "threshold", "model", "rubric", "temperature", "max_tokens", "seed", "extra"})


def _settings(options: AskingOptions) -> dict[str, Any]:
    """The options that decide verdicts and are not in the digest by another way."""
    return options.model_dump(mode="json", exclude=set(_ELSEWHERE))


def sampling_of(options: AskingOptions) -> Sampling:
    temperature = options.temperature
    if temperature is None:
        temperature = 0.0 if options.samples == 1 else 0.7
    return Sampling(temperature, 1.0, options.max_tokens, options.seed, (), dict(options.extra))


def shown(spec: JudgeSpec, case: Case) -> dict[str, str]:
    """The texts beside the answers that this judge is shown of a case; DataError when it lacks one. For JudgeType.suits."""
    assert isinstance(spec.options, AskingOptions)
    assert spec.rubric is not None
    return texts_of(case, spec.rubric.file, spec.options.question, None, {})


def first_form(options: AskingOptions) -> str:
    """The form that is tried first, expected scores aside."""
    return "text" if options.form == "text" else "schema"


def settings_of(spec: JudgeSpec, candidates: Mapping[str, Candidate], schema: Any) -> Settings:
    assert isinstance(spec.options, AskingOptions)
    return Settings(candidates[spec.model_key], sampling_of(spec.options), schema)


def _fault(detail: Any, kind: JudgeType) -> SpecFault:
    """pydantic's message with its place; branches of ``model`` (a name or a mapping) are left out of the place."""
    branches = ("str", "CandidateFile")
    location = tuple(part for part in detail["loc"] if part not in branches)
    if detail["type"] == "missing":
        return SpecFault(location[:-1], f"the key {location[-1]!r} is missing", "add it")
    if detail["type"] == "extra_forbidden":
        valid = sorted(kind.options.model_fields) if len(location) == 1 else []
        todo = plugs.nearest(str(location[-1]), valid) if valid else ""
        return SpecFault(location, f"unknown key {str(location[-1])!r}", todo)
    message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    dotted = ".".join(map(str, location))
    return SpecFault(location, f"{dotted}: {message}" if dotted else message)


def _kinds() -> str:
    return f"kinds: {', '.join(plugs.names(KIND))}"
