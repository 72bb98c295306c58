"""How a suite writes its checks, and everything that can be wrong with that, with the place inside the YAML.

    checks:
      - equals                                     # a bare name is a check without settings
      - {type: not-contains, value: "As an AI"}
      - {type: rouge-l, threshold: 0.5, weight: 2, metric: overlap}
      - any:                                       # all: the worst of them; any: the best of them
          - {type: regex, value: '^\\d+$'}
          - {type: numeric, abs_tolerance: 0.01}
      - judge: helpfulness                         # one of the suite's judges; also not-judge, and inside a group
      - {judge: preference, weight: 2, threshold: 0.6}

Keys beside type, value, threshold, weight and metric are options of that check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError, model_validator

from harness import plugs
from harness.checks.base import ABSENT, BadValue, CheckType, Options, Takes
from harness.checks.values import is_template, value_of
from harness.errors import UsageError

KIND = "check"
NEGATION = "not-"

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class SpecFault:
    """One thing wrong with the checks. path: keys and indices inside the YAML, e.g. ("checks", 0, "schema")."""

    path: Place
    what: str
    todo: str = ""


class CheckSpec(BaseModel):
    """One check as the suite writes it.

    type: a check's name, or ``not-`` and its name. value: what the answer should be; without it, the case's reference. threshold:
    the value from which the check passes (each check has its own default). weight: its share of the capability's mean; 0
    reports it without letting it decide. metric: the name it is reported under.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    value: Any = None
    threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    weight: float = Field(1.0, ge=0, le=1e6, allow_inf_nan=False)
    metric: str | None = Field(None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, raw: Any) -> Any:
        return {"type": raw} if isinstance(raw, str) else raw

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        """For editors: every check by name with its own options, so that they can complete and underline them."""
        common = handler.resolve_ref_schema(handler(core))["properties"]
        kinds = [find_type(name) for name in plugs.names(KIND)]
        bare = {"enum": [prefix + kind.name for kind in kinds for prefix in ("", NEGATION)]}
        return {"title": "Check", "anyOf": [bare, *(_editor_schema(kind, common) for kind in kinds)]}

    @property
    def negate(self) -> bool:
        return self.type.startswith(NEGATION)

    @property
    def base(self) -> str:
        """The check's own name, without ``not-``."""
        return self.type.removeprefix(NEGATION)

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @property
    def given(self) -> Any:
        """The value, or ABSENT when the suite gives none (null counts as given only where JSON null can be an answer)."""
        return self.value if "value" in self.model_fields_set else ABSENT


class JudgeCheck(BaseModel):
    """One of the suite's judges in the place of a check: ``{judge: NAME}``, or ``{not-judge: NAME}`` where a high value is bad.

    threshold: the value from which it passes; without one the judge's own says so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    judge: str | None = Field(None, min_length=1, description="The name of one of the suite's judges.")
    not_judge: str | None = Field(
        None, min_length=1, alias="not-judge", description="The same, where a high value is bad: the score is 1 - value."
    )
    threshold: float | None = Field(
        None, ge=0, le=1, allow_inf_nan=False, description="The value from which it passes. Default: the judge's own."
    )
    weight: float = Field(1.0, ge=0, le=1e6, allow_inf_nan=False, description="Its share of the capability's mean.")
    metric: str | None = Field(None, min_length=1, description="The name it is reported under.")

    @model_validator(mode="after")
    def _one_name(self) -> JudgeCheck:
        if (self.judge is None) == (self.not_judge is None):
            raise ValueError("a check names either a `judge` or a `not-judge`")
        return self

    @property
    def name(self) -> str:
        """The judge's name in the suite."""
        return self.judge or self.not_judge or ""

    @property
    def negate(self) -> bool:
        return self.judge is None

    @property
    def label(self) -> str:
        """What its results are reported under; no rule check is called so."""
        return self.metric or f"{NEGATION if self.negate else ''}judge {self.name}"


class CheckGroup(BaseModel):
    """Checks that count as one: ``all`` takes the lowest value and passes when every member does, ``any`` takes the highest and
    passes when one does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    all: tuple[AnySpec, ...] | None = Field(None, min_length=1)
    any: tuple[AnySpec, ...] | None = Field(None, min_length=1)
    weight: float = Field(1.0, ge=0, le=1e6, allow_inf_nan=False)
    metric: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_kind(self) -> CheckGroup:
        if (self.all is None) == (self.any is None):
            raise ValueError("a group has either `all` or `any`; put one group inside another to have both")
        return self

    @property
    def members(self) -> tuple[Spec, ...]:
        return self.all or self.any or ()


def _shape(raw: Any) -> str:
    if isinstance(raw, CheckGroup) or (isinstance(raw, dict) and "type" not in raw and ("all" in raw or "any" in raw)):
        return "group"
    if isinstance(raw, JudgeCheck) or (isinstance(raw, dict) and "type" not in raw and ("judge" in raw or "not-judge" in raw)):
        return "judged"
    return "check"


Spec = CheckSpec | CheckGroup | JudgeCheck
AnySpec = Annotated[
    Annotated[CheckSpec, Tag("check")] | Annotated[CheckGroup, Tag("group")] | Annotated[JudgeCheck, Tag("judged")],
    Discriminator(_shape),
]
CheckGroup.model_rebuild()
_ONE: TypeAdapter[Spec] = TypeAdapter(AnySpec)


def parse_checks(raw: Any, path: Place = ("checks",)) -> tuple[tuple[Spec, ...], tuple[SpecFault, ...]]:
    """The checks of a capability from plain YAML data (or from models), and every fault found. With faults the first part is
    empty."""
    if not isinstance(raw, list | tuple):
        return (), (SpecFault(path, "the checks are a list", "write `- equals`, one check a line"),)
    specs: list[Spec] = []
    faults: list[SpecFault] = []
    for index, item in enumerate(raw):  # one by one, so that a shape fault of one does not hide what is wrong with another
        try:
            spec = _ONE.validate_python(item)
        except ValidationError as error:
            faults += [SpecFault((*path, index, *_place(e)), _plain(e)) for e in error.errors()]
            continue
        specs.append(spec)
        faults += _faults(spec, (*path, index))
    if specs and not any(spec.weight > 0 for spec in specs):
        faults.append(SpecFault(path, "every check has weight 0, so nothing decides the score", "give one a weight above 0"))
    if not raw:
        faults.append(SpecFault(path, "there is no check, so nothing can be scored", "add one, e.g. `- equals`"))
    return ((), tuple(faults)) if faults else (tuple(specs), ())


def validate_spec(raw: Any, path: Place = ("checks",)) -> tuple[SpecFault, ...]:
    """Every fault of a list of checks, or () when compile_checks will take it (missing files and extras aside)."""
    return parse_checks(raw, path)[1]


def find_type(name: str) -> CheckType:
    """The check of that name, ``not-`` allowed. UsageError with the nearest names, which keep the ``not-``."""
    negated = name.startswith(NEGATION)
    base = name.removeprefix(NEGATION)
    valid = plugs.names(KIND)
    if base in valid:
        found: CheckType = plugs.find(KIND, base)
        return found
    todo = plugs.nearest(base, valid)
    if negated and todo.startswith("did you mean "):
        close, rest = todo.removeprefix("did you mean ").split("?", 1)
        todo = f"did you mean {' or '.join(NEGATION + name for name in close.split(' or '))}?{rest}"
    raise UsageError(f"there is no check named {name!r}", todo=f"{todo}; each also with not-")


def _editor_schema(kind: CheckType, common: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of one check written as a mapping. Options models are flat, so they bring no definitions of their own."""
    options = kind.options.model_json_schema()
    keys = {key: schema for key, schema in common.items() if key != "value" or kind.takes is not Takes.NOTHING}
    name = {"enum": [kind.name, NEGATION + kind.name], "description": kind.summary}
    return {
        "type": "object",
        "title": kind.name,
        "description": kind.summary,
        "properties": {**keys, **options.get("properties", {}), "type": name},
        "required": ["type", *options.get("required", ())],
        "additionalProperties": False,
    }


def judges_of(specs: Iterable[Spec], path: Place = ("checks",)) -> Iterator[tuple[Place, JudgeCheck]]:
    """Every judge among these checks, inside groups too, with its place."""
    for index, spec in enumerate(specs):
        if isinstance(spec, JudgeCheck):
            yield (*path, index), spec
        elif isinstance(spec, CheckGroup):
            yield from judges_of(spec.members, (*path, index, "all" if spec.all else "any"))


def _faults(spec: Spec, here: Place, grouped: bool = False) -> list[SpecFault]:
    found: list[SpecFault] = []
    if grouped and "weight" in spec.model_fields_set:
        found.append(SpecFault((*here, "weight"), "a weight has no effect inside a group", "give it to the group"))
    if isinstance(spec, CheckSpec):
        return found + _check_faults(spec, here)
    if isinstance(spec, JudgeCheck):
        return found
    for index, member in enumerate(spec.members):
        found += _faults(member, (*here, "all" if spec.all else "any", index), grouped=True)
    return found


def _check_faults(spec: CheckSpec, here: Place) -> list[SpecFault]:
    try:
        kind = find_type(spec.type)
    except UsageError as error:
        return [SpecFault((*here, "type"), error.what, error.todo)]
    try:
        options = kind.options.model_validate(spec.options)
    except ValidationError as error:
        valid = ", ".join(kind.options.model_fields) or "none"
        return [SpecFault((*here, *_place(e)), f"{spec.base}: {_plain(e)}", f"its options: {valid}") for e in error.errors()]
    return _value_faults(spec, kind, options, here)


def _value_faults(spec: CheckSpec, kind: CheckType, options: Options, here: Place) -> list[SpecFault]:
    """Values that can be judged without a case: constants of every check that needs no tool, and templates that do not parse."""
    given = spec.given
    if kind.takes is Takes.NOTHING:
        return [] if given is ABSENT else [SpecFault((*here, "value"), f"{spec.base} takes no value", "remove it")]
    try:
        if kind.takes is Takes.OWN:
            kind.prepare(given, options)
        elif given is not ABSENT:
            value_of(given)
            if not is_template(given):
                kind.prepare(given, options)
    except BadValue as error:
        return [SpecFault((*here, "value") if given is not ABSENT else here, f"{spec.base}: {error}")]
    return []


def _place(error: Any) -> Place:
    """Where a pydantic error is, without the tags of the union; for a missing key, the mapping that lacks it."""
    location = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
    return tuple(part for part in location if part not in ("check", "group", "judged"))


def _plain(error: Any) -> str:
    """pydantic's message in the words of a YAML author."""
    if error["type"] == "extra_forbidden":
        return f"unknown key {error['loc'][-1]!r}"
    if error["type"] == "missing":
        return f"{error['loc'][-1]!r} is missing"
    if error["type"] in ("model_type", "model_attributes_type"):
        return "a check is a name, or a mapping with `type` or `judge` (or a group with `all` or `any`)"
    message: str = error["msg"]
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
