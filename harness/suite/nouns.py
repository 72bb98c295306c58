"""What a program works with: a loaded suite, frozen, with defaults and overrides already put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from harness.cases import packed
from harness.checks import Spec
from harness.model import Case, Gate, Prompt, Role, Sampling, Split
from harness.suite.spec import ServeSpec

DEFAULT_PROMPT = "default"  # of a matrix: what the suite itself says


@dataclass(frozen=True, slots=True)
class CandidateSpec:
    """A candidate as the suite names it: nothing is resolved or loaded.

    model, adapter: a directory relative to the suite's, or a hub id; with an endpoint, model is the name it knows. prompt: the
    suite's with the candidate's overrides; a capability's come in between, so requests are made with Suite.prompt_for.
    """

    name: str
    model: str
    adapter: str | None = None
    revision: str | None = None
    endpoint: str | None = None
    api_key: SecretStr | None = None
    prompt: Prompt = field(default_factory=Prompt)
    description: str = ""

    @property
    def kind(self) -> str:
        return "endpoint" if self.endpoint else "local"


@dataclass(frozen=True, slots=True)
class Generation:
    """How requests are sent; decides no answer. Times in seconds. thinking: (start, end) marks, None leaves answers alone."""

    concurrency: int = 64
    timeout_s: float = 120.0
    retries: int = 5
    stream: str = "sampled"  # sampled | always | never
    thinking: tuple[str, str] | None = ("<think>", "</think>")


@dataclass(frozen=True, slots=True)
class Judging:
    """How judges' questions are sent; decides no verdict. Times in seconds, concurrency for each judge model."""

    concurrency: int = 32
    timeout_s: float = 120.0
    retries: int = 5


@dataclass(frozen=True, slots=True)
class Capability:
    """A named group of cases with one score.

    cases: those that are run (the capability's split). all_cases: both splits; only curation and ``--split`` look at them. A
    loaded suite keeps both packed. sampling, samples, thinking and the two policies are complete: the suite's settings with the
    capability's overrides.
    """

    name: str
    role: Role
    margin: float
    cases: Sequence[Case]
    all_cases: Sequence[Case]
    checks: tuple[Spec, ...]
    score: str = "mean"  # mean | pass
    split: str = "gate"  # gate | dev | all
    sampling: Sampling = field(default_factory=Sampling)
    samples: int = 1
    thinking: tuple[str, str] | None = ("<think>", "</think>")
    on_truncated: str = "unscored"  # unscored | score
    on_empty: str = "unscored"
    description: str = ""

    def of(self, split: Split | None) -> Sequence[Case]:
        """The cases of one split whatever the suite runs; None: those the suite runs."""
        return self.cases if split is None else packed(case for case in self.all_cases if case.split is split)


@dataclass(frozen=True, slots=True)
class Combination:
    """One way to ask: a candidate, a prompt by its name in the matrix, so many examples. tuned: a candidate that tuning made."""

    name: str
    candidate: str
    prompt: str
    shots: int
    tuned: bool = False

    @property
    def is_plain(self) -> bool:
        """The candidate as the suite has it, without a word changed."""
        return self.prompt == DEFAULT_PROMPT and self.shots == 0


@dataclass(frozen=True, slots=True)
class Matrix:
    """What ``harness choose`` asks. goals: target -> score to reach. prompts: by (combination, capability), "" for none."""

    combinations: tuple[Combination, ...]
    goals: Mapping[str, float]
    prompts: Mapping[tuple[str, str], Prompt] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Suite:
    """One YAML file with its cases.

    hash: 64 hex digits over all that decides scores and verdict (not candidates, serving, paths): the same on every host.
    source_text: the YAML as written, variables unresolved, a key written into it blanked. baseline: a candidate's name,
    ``promoted``, or None. prompts: by (candidate, capability), "" for neither.
    """

    name: str
    version: int
    path: Path
    hash: str
    capabilities: Mapping[str, Capability]
    candidates: Mapping[str, CandidateSpec]
    baseline: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    generation: Generation = field(default_factory=Generation)
    gate: Gate = field(default_factory=Gate)
    serve: ServeSpec = field(default_factory=ServeSpec)
    judges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    judging: Judging = field(default_factory=Judging)
    description: str = ""
    source_text: str = field(default="", repr=False)
    prompts: Mapping[tuple[str, str], Prompt] = field(default_factory=dict, repr=False)
    hidden: tuple[SecretStr, ...] = field(default=(), repr=False)
    matrix: Matrix | None = None

    @property
    def root(self) -> Path:
        """The directory that relative paths start from."""
        return self.path.parent

    def prompt_for(self, candidate: str, capability: str) -> Prompt:
        """The suite's prompt with the capability's overrides and, above them, the candidate's (if it is in the suite)."""
        return self.prompts.get((candidate, capability)) or self.prompts["", capability]

    def secrets(self) -> tuple[str, ...]:
        """Values that must never be shown or stored, longest first, for redaction."""
        return tuple(secret.get_secret_value() for secret in self.hidden)
