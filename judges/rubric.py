"""Rubrics: what a judge goes by, one YAML file each, checked with file:line and hashed into every verdict.

A rubric says what is judged and on which scale; how a model is asked for it is the business of prompts/. Built-in ones lie in
rubrics/ and are named by their file's name; a suite's own are given by path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from harness.errors import SuiteError, UsageError
from harness.model import digest_of
from harness.plugs import nearest
from harness.suite.document import read_document
from harness.suite.parse import parse_file
from harness.suite.spec import FileModel

FOLDER = Path(__file__).parent / "rubrics"
MAX_ITEMS = 40

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]
Kind = Literal["pointwise", "checklist", "pairwise"]


class ScaleFile(FileModel):
    """Whole numbers from low to high; more than nine steps are more than a judge can tell apart."""

    low: int = Field(default=1, ge=0, le=9, description="The worst verdict.")
    high: int = Field(default=5, ge=1, le=10, description="The best verdict.")
    anchors: dict[str, Text] = Field(default_factory=dict, description="Verdict -> what it means.")

    @model_validator(mode="after")
    def _ordered(self) -> ScaleFile:
        if self.low >= self.high:
            raise ValueError("low must be under high")
        if unknown := [key for key in self.anchors if key not in {str(value) for value in self.menu}]:
            raise ValueError(f"the anchor {unknown[0]!r} is not on the scale from {self.low} to {self.high}")
        return self

    @property
    def menu(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1))


class CriterionFile(FileModel):
    name: Text = Field(description="One or two words.")
    text: Text = Field(description="What it asks for.")


class ItemFile(FileModel):
    """One question of a checklist, answered yes or no."""

    id: Id = Field(description="Stable name of the item.")
    question: Text = Field(description="A question that yes or no answers.")
    expect: Literal["yes", "no"] = Field(default="yes", description="The answer of a good response.")
    weight: float = Field(default=1.0, gt=0, le=1e6, description="Its share of the value.")


class CanaryFile(FileModel):
    """An answer whose quality is known; judged in every run, so that a judge that drifts is noticed."""

    id: Id = Field(description="Stable name of the canary.")
    input: Text = Field(description="The question.")
    response: Text = Field(description="The answer to judge.")
    baseline: Text | None = Field(default=None, description="The other answer, for pairwise judges.")
    reference: Any = Field(default=None, description="The reference, where the rubric wants one.")
    low: float = Field(default=0.0, ge=0, le=1, description="The value must not be under it.")
    high: float = Field(default=1.0, ge=0, le=1, description="The value must not be above it.")

    @model_validator(mode="after")
    def _informative(self) -> CanaryFile:
        if self.low > self.high or (self.low == 0 and self.high == 1):
            raise ValueError("a canary needs low, high or both, and low must not be above high")
        return self


class RubricFile(FileModel):
    """A rubric as it is written."""

    rubric: Id = Field(description="Its name.")
    version: int = Field(ge=1, description="Raise it when verdicts may change.")
    kind: Kind = Field(description="pointwise, checklist or pairwise.")
    language: Literal["en", "zh"] = Field(default="en", description="Language of the judge's instructions.")
    description: str | None = Field(default=None, description="For people.")
    task: Text = Field(description="What is judged, said to the judge.")
    criteria: tuple[CriterionFile, ...] = Field(default=(), max_length=20, description="What counts.")
    scale: ScaleFile | None = Field(default=None, description="Pointwise: low and high (1 to 5), and what verdicts mean.")
    threshold: float | None = Field(default=None, ge=0, le=1, description="Value from which an answer passes.")
    reference: Literal["required", "optional", "never"] = Field(
        default="optional", description="Whether the case's reference is shown to the judge."
    )
    items: tuple[ItemFile, ...] = Field(default=(), max_length=MAX_ITEMS, description="Checklist: its questions.")
    items_from: str | None = Field(
        default=None, min_length=1, description="Checklist: the field of the case (vars, then metadata) with a list of questions."
    )
    canaries: tuple[CanaryFile, ...] = Field(default=(), max_length=50, description="Answers of known quality.")

    @model_validator(mode="after")
    def _fits_kind(self) -> RubricFile:
        if (self.kind == "checklist") != bool(self.items or self.items_from):
            raise ValueError("a checklist has items or items_from, and nothing else has")
        if self.scale and self.kind != "pointwise":
            raise ValueError("only pointwise rubrics have a scale")
        for what, names in (("item", self.items), ("canary", self.canaries)):
            ids = [entry.id for entry in names]
            if twice := sorted({name for name in ids if ids.count(name) > 1}):
                raise ValueError(f"two of the {what} ids are {twice[0]!r}")
        for canary in self.canaries:
            if (self.kind == "pairwise") != (canary.baseline is not None):
                raise ValueError(f"canary {canary.id!r}: a pairwise rubric's canaries have a baseline, others have none")
            if self.reference == "required" and canary.reference is None:
                raise ValueError(f"canary {canary.id!r} lacks the reference that the rubric requires")
        return self


@dataclass(frozen=True, slots=True)
class Rubric:
    """A rubric that was read. digest: over everything that reaches a judge or decides a value; canaries and remarks do not."""

    file: RubricFile
    digest: str

    @property
    def name(self) -> str:
        return self.file.rubric

    @property
    def menu(self) -> tuple[int, ...]:
        return (self.file.scale or ScaleFile()).menu


def load_rubric(name: str, root: Path) -> Rubric:
    """A built-in rubric by name, or a file (a name with ``/`` or ``.yaml``) under root. UsageError for an unknown name,
    SuiteError with every fault of a file."""
    if re.search(r"[/\\]|\.ya?ml$", name):
        path = root / name
    elif name in (known := built_in()):
        path = FOLDER / f"{name}.yaml"
    else:
        todo = f"{nearest(name, list(known))}; or give the path of a YAML file"
        raise UsageError(f"there is no rubric named {name!r}", todo=todo)
    document = read_document(path)
    file, faults = parse_file(RubricFile, document.data, document)
    if document.faults or faults or file is None:
        raise SuiteError([*document.faults, *faults])
    return Rubric(file, digest_of(file.model_dump(mode="json", exclude={"canaries", "description", "threshold"}))[:32])


def built_in() -> tuple[str, ...]:
    """Names of the rubrics that come with the package, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
