"""What a judge is made of: the options a suite writes, the spec they become, and the protocol every judge answers to.

Adding a kind of judge is one file in this folder with ``JUDGES = (JudgeType(...),)``. A JudgeType reads its options
(``prepare``: rubric, records, members; every fault at once) and makes a judge when the model is known (``bind``). Judges ask
through a harness.model.Client that is handed in, so the store's cache, concurrency and retries stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field

from harness.checks.spec import SpecFault
from harness.errors import DataError
from harness.model import Candidate, Case, Client, Judgment, Message, Request, Response, digest_of
from harness.suite.spec import CandidateFile, FileModel
from judges.rubric import CanaryFile, Rubric


class JudgeOptions(FileModel):
    """What every kind of judge can be told."""

    kind: str = Field(description="pointwise, checklist, pairwise, panel, recorded or reward.")
    description: str | None = Field(default=None, description="For people.")
    threshold: float | None = Field(
        default=None, ge=0, le=1, description="The value from which an answer passes. Default: the rubric's, or the kind's."
    )


class AskingOptions(JudgeOptions):
    """Judges that ask a language model."""

    model: str | CandidateFile = Field(description="A candidate of the suite by name, or {model, endpoint, api_key} of its own.")
    rubric: str = Field(min_length=1, description="A built-in rubric's name, or a YAML file.")
    samples: int = Field(default=1, ge=1, le=64, description="Times the judge is asked; the mean counts, the spread is stored.")
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="Default 0 for one sample, 0.7 for several (else they would all be one answer)."
    )
    max_tokens: int = Field(default=512, ge=1, description="Longest verdict in tokens, its reasoning included.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="Sample j is asked with seed + j.")
    explain: bool = Field(default=True, description="Whether the judge gives its reasons before its verdict.")
    form: Literal["auto", "schema", "text"] = Field(
        default="auto",
        description="auto: the richest form the server takes. text: a last line at once, for servers that refuse schemas.",
    )
    question: str | None = Field(
        default=None,
        description="Jinja2 template of the question that the judge sees. Default: what the candidate was asked, or {{ input }}.",
    )
    extra: dict[str, Any] = Field(default_factory=dict, description="Further request fields, passed to the server as they are.")


@dataclass(frozen=True, slots=True)
class JudgeSpec:
    """A judge as the suite wants it, checked, its model not known yet.

    rubric: None for panels, records and rewards. members: a panel's judges. tool: what the kind prepared (records, ...).
    identity: whatever beside model, rubric and threshold decides verdicts (prompts, settings), JSON-able; part of the digest.
    threshold: the value from which an answer passes.
    """

    name: str
    kind: JudgeType
    options: JudgeOptions
    rubric: Rubric | None = None
    members: tuple[JudgeSpec, ...] = ()
    tool: Any = None
    identity: Any = None
    pairwise: bool = False
    threshold: float = 0.5

    @property
    def models(self) -> dict[str, str | CandidateFile]:
        """Key -> the model as written: a candidate's name (which is its own key), or a model of the judge's own.

        ``bind`` wants a Candidate for each key. Empty when no model is asked (recorded).
        """
        found: dict[str, str | CandidateFile] = {}
        for member in self.members:
            found |= member.models
        model = getattr(self.options, "model", None)
        if model is not None:
            found[self.model_key] = model
        return found

    @property
    def canaries(self) -> tuple[CanaryFile, ...]:
        """Answers of known quality, from the rubric, or from the options of a judge without one."""
        return self.rubric.file.canaries if self.rubric else getattr(self.options, "canaries", ())

    @property
    def model_key(self) -> str:
        """What bind finds this judge's own model under. No candidate's name holds a colon."""
        model = getattr(self.options, "model", None)
        return model if isinstance(model, str) else f"judge:{self.name}"

    def fault(self, case: Case) -> str | None:
        """Why this case can never be judged (no reference, no questions of its own, a template that fails), or None."""
        try:
            for member in self.members:
                if found := member.fault(case):
                    return f"{member.name}: {found}"
            if self.kind.suits is not None:
                self.kind.suits(self, case)
        except DataError as error:
            return error.what
        return None

    def bind(self, candidates: Mapping[str, Candidate]) -> Judge:
        """The judge, once its models are identified; a key of ``models`` that is not given is the caller's bug (KeyError)."""
        return self.kind.bind(self, candidates)

    def digest(self, model: Candidate | None) -> str:
        """32 hex digits over all that decides verdicts: kind, model, rubric, identity, threshold."""
        return digest_of(
            [
                self.kind.name,
                self.kind.version,
                model.digest if model else None,
                self.rubric.digest if self.rubric else None,
                self.identity,
                self.threshold,
            ]
        )[:32]


class Judge(Protocol):
    """Judges one answer, or an answer against the baseline's. Never raises for what a model wrote or a server did."""

    @property
    def spec(self) -> JudgeSpec: ...

    @property
    def digest(self) -> str: ...

    def questions(
        self, case: Case, response: Response, *, baseline: Response | None = None, messages: Sequence[Message] | None = None
    ) -> tuple[Request, ...]:
        """The requests that judging this would send first (retries in a stricter form aside): for dry runs and look-ups."""
        ...

    async def judge(
        self,
        case: Case,
        response: Response,
        asker: Client,
        *,
        baseline: Response | None = None,
        messages: Sequence[Message] | None = None,
    ) -> Judgment:
        """The verdict on ``response``. baseline: the other answer to the same case, needed by pairwise judges and else ignored.

        messages: what the candidate was asked; left out, the case's ``input`` or ``messages`` are shown as the question.
        asker: answers Requests of every candidate the judge was bound to (a panel asks several).
        """
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a judge is being prepared. root: the suite's folder. others: every judge of the suite as written, for panels."""

    root: Path
    others: Mapping[str, Any]
    within: tuple[str, ...] = ()  # names of the panels around this judge


@dataclass(frozen=True, slots=True)
class JudgeType:
    """One kind of judge. version: raised whenever the same reply could give another verdict.

    prepare(name, options, setting) -> (spec or None, faults). bind(spec, candidates) -> judge. suits(spec, case) raises DataError
    when the case lacks what judging takes, whatever the answer.
    """

    name: str
    version: int
    summary: str
    options: type[JudgeOptions]
    prepare: Callable[[str, Any, Setting], tuple[JudgeSpec | None, list[SpecFault]]]
    bind: Callable[[JudgeSpec, Mapping[str, Candidate]], Judge]
    suits: Callable[[JudgeSpec, Case], object] | None = None
