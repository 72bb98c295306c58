"""A suite as it is written: one pydantic model per mapping of the YAML, unknown keys refused, every field described.

The descriptions are the reference: the JSON Schema for editors is made of them. What is shared (defaults, overrides, rendered
examples) is put together in harness.suite.layers; what a program works with is in harness.suite.nouns.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from harness.cases import CaseSource
from harness.model import Role

RESERVED = "promoted"

Name = Annotated[str, Field(pattern=r"^\w[\w .-]{0,63}$")]
CandidateName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Policy = Literal["unscored", "score"]


class FileModel(BaseModel):
    """Base of all: frozen, unknown keys refused, no NaN, and true/false is not a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_number(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in (
            int,
            float,
            int | None,
            float | None,
        ):
            raise ValueError("a number is needed, not true or false")
        return value


class ExampleFile(BaseModel):
    """One question and answer shown before the real question. Keys beside output are variables of the template."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, coerce_numbers_to_str=True)

    output: str = Field(description="The answer to show.")


class PromptFile(FileModel):
    """How a question is put. A candidate's settings win over a capability's, those over the suite's, key by key."""

    template: str | None = Field(
        default=None, min_length=1, description="Jinja2 template of the user's message. Default: {{ input }}."
    )
    system: str | None = Field(default=None, description="System prompt, a Jinja2 template too.")
    few_shot: tuple[ExampleFile, ...] | None = Field(default=None, description="Examples, each {input: ..., output: ...}.")


class ThinkingFile(FileModel):
    """What marks a model's thinking; it is split off before checks see the answer."""

    start: str = Field(default="<think>", min_length=1, description="Opens the thinking.")
    end: str = Field(default="</think>", min_length=1, description="Closes the thinking.")


class AskFile(FileModel):
    """Generation settings that decide answers; a capability can override each."""

    temperature: float | None = Field(default=None, ge=0, le=10, description="0 is greedy. Default 0.")
    top_p: float | None = Field(default=None, gt=0, le=1, description="Nucleus sampling. Default 1.")
    max_tokens: int | None = Field(default=None, ge=1, description="Longest answer in tokens. Default 256.")
    samples: int | None = Field(
        default=None, ge=1, le=1000, description="Answers per case; their mean is the case's score. Default 1."
    )
    seed: int | None = Field(default=None, ge=0, lt=2**31, description="Sample j is asked with seed + j. Default 1234.")
    stop: tuple[str, ...] | None = Field(default=None, description="Texts that end an answer.")
    on_truncated: Policy | None = Field(
        default=None, description="Answers cut at max_tokens: unscored (default), or scored as they are."
    )
    on_empty: Policy | None = Field(default=None, description="Empty answers: unscored (default), or scored as they are.")
    thinking: ThinkingFile | Literal[False] | None = Field(
        default=None, description="Marks of the thinking; false leaves answers alone."
    )
    extra: dict[str, Any] | None = Field(default=None, description="Further request fields, passed to the server as they are.")


class GenerationFile(AskFile):
    """The same for the whole suite, with how requests are sent (which decides no answer and is not part of the suite's hash)."""

    concurrency: int = Field(default=64, ge=1, le=4096, description="Requests under way at once.")
    timeout: float = Field(default=120, gt=0, description="Seconds that one request may take.")
    retries: int = Field(default=5, ge=0, le=50, description="Further tries after a timeout, a reset, 408, 409, 429 or 5xx.")
    stream: Literal["sampled", "always", "never"] = Field(
        default="sampled",
        description="Which requests stream, which shows the time to the first token.",
    )


class JudgingFile(FileModel):
    """How judges' questions are sent; decides no verdict and is no part of the suite's hash."""

    concurrency: int = Field(default=32, ge=1, le=4096, description="Questions under way at once, to each judge model.")
    timeout: float = Field(default=120, gt=0, description="Seconds that one question may take.")
    retries: int = Field(default=5, ge=0, le=50, description="Further tries after a timeout, a reset, 408, 409, 429 or 5xx.")


class CandidateFile(FileModel):
    """A model to examine: base, or base with a LoRA adapter, served by the harness; or an endpoint that is already running."""

    model: str = Field(min_length=1, description="A directory, a hub id, or the name that the endpoint knows.")
    adapter: str | None = Field(default=None, min_length=1, description="A LoRA adapter: directory or hub id.")
    revision: str | None = Field(default=None, description="Revision on the hub, or the endpoint's declared version.")
    endpoint: str | None = Field(
        default=None, pattern=r"^https?://", description="Base URL of an OpenAI-compatible server, with /v1."
    )
    api_key: SecretStr | None = Field(default=None, description="The endpoint's key. Write ${NAME}: it is never stored.")
    prompt: PromptFile = Field(default_factory=PromptFile, description="Overrides for this candidate.")
    description: str | None = Field(default=None, description="For people.")

    @field_validator("adapter", "revision", "endpoint", "api_key", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """So that ``${ADAPTER:-}`` makes a candidate with or without one."""
        return None if value == "" else value


def _source(value: Any) -> Any:
    if isinstance(value, str):
        return {"path": value}
    if isinstance(value, list):
        return {"rows": value}
    if not isinstance(value, dict | CaseSource):
        raise ValueError("must be a file, a list of cases, or a mapping that says which column is what")
    return value


Cases = Annotated[CaseSource, BeforeValidator(_source, json_schema_input_type=str | list[dict[str, Any]] | CaseSource)]


class RuleFile(FileModel):
    """What a comparison needs to know of a capability."""

    role: Role = Field(
        default=Role.PROTECTED, description="target should get better, protected must not get worse, advisory is only reported."
    )
    margin: float = Field(default=0.05, gt=0, lt=1, description="The loss of score the team would tolerate.")


class CapabilityFile(RuleFile):
    """A named group of cases with one score."""

    cases: Cases | None = Field(default=None, description="A file, a list of cases, or a mapping that says which column is what.")
    checks: Any = Field(default=None, description="What makes an answer right.")
    score: Literal["mean", "pass"] = Field(
        default="mean", description="Weighted mean of the checks, or 1 where all pass and else 0."
    )
    split: Literal["gate", "dev", "all"] = Field(default="gate", description="Which cases are run.")
    prompt: PromptFile = Field(default_factory=PromptFile, description="Overrides for this capability.")
    generation: AskFile = Field(default_factory=AskFile, description="Overrides for this capability.")
    description: str | None = Field(default=None, description="For people.")


class FloorFile(FileModel):
    """A score that must be reached, whatever the baseline."""

    minimum: float = Field(ge=0, le=1, description="The lower confidence bound of the score must reach it.")
    point: bool = Field(default=False, description="true: the score itself must reach it, chance ignored.")


def _floor(value: Any) -> Any:
    return {"minimum": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


Floor = Annotated[FloorFile, BeforeValidator(_floor, json_schema_input_type=float | FloorFile)]


class GateFile(FileModel):
    """The policy of the verdict."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Chance to accept, that a worse candidate is shipped.")
    targets: Literal["all", "any"] = Field(default="all", description="Whether all targets must improve, or one.")
    min_gain: float = Field(default=0.0, ge=0, lt=1, description="What a target must gain beyond being shown improved.")
    seesaw: Literal["report", "forbid"] = Field(default="report", description="What a shown gain beside a shown loss does.")
    fdr: float = Field(default=0.10, gt=0, lt=1, description="False discovery rate of the seesaw's tests.")
    floors: dict[str, Floor] = Field(default_factory=dict, description="Capability -> score that must be reached.")
    max_error_rate: float = Field(
        default=0.02, ge=0, le=1, description="Share of requests that may fail; above it nothing is decided."
    )
    max_unscored_rate: float = Field(default=0.05, ge=0, le=1, description="Share of answers that may stay unscored.")
    max_ttft_p95: float | None = Field(default=None, gt=0, description="Seconds to the first token, 95th percentile.")
    max_latency_p95: float | None = Field(default=None, gt=0, description="Seconds per answer, 95th percentile.")
    max_tpot_p95: float | None = Field(
        default=None, gt=0, description="Seconds per output token after the first, 95th percentile of the streamed answers."
    )
    max_memory_gb: float | None = Field(
        default=None,
        gt=0,
        description="10^9 bytes that the candidate's server may hold, of its GPUs; with a CPU build, of the machine.",
    )
    min_requests_per_s: float | None = Field(
        default=None, gt=0, description="Answers a second that the candidate must be served with, at at_concurrency."
    )
    at_concurrency: int | None = Field(
        default=None, ge=1, le=4096, description="Requests under way at once, at which min_requests_per_s is measured."
    )
    min_clusters: int = Field(default=10, ge=2, description="Fewer clusters than that decide nothing.")
    sequential: bool = Field(
        default=False, description="Ask cases in random order, and no more of a capability, then of the run, than decides it."
    )
    slices: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        max_length=10,
        description="Metadata fields of cases; their values are compared within each capability and looked at for a seesaw.",
    )
    trust_uncalibrated: bool = Field(
        default=False, description="Whether a judge that was never held against people may let a protected capability pass."
    )
    min_kappa: float | None = Field(
        default=None, ge=-1, le=1, description="Each judge's agreement with people: the lower bound of its kappa must reach it."
    )


def _day(value: Any) -> Any:
    """An ISO date as text: pydantic's own dates would take a number for seconds since 1970."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", str(value)):
            return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        pass
    raise ValueError("must be a date such as 2026-12-31")


def _quoted(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError("must be a case's id; put one that is all digits in quotes")
    return value


Said = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class WaiverFile(FileModel):
    """A known harm that does not block a SHIP until a day, and who answers for it."""

    capability: str | None = Field(default=None, description="A protected capability whose loss is accepted.")
    case: Annotated[str | None, BeforeValidator(_quoted)] = Field(
        default=None, description="Or the id of a must-pass case whose failure is accepted."
    )
    owner: Said = Field(description="Who answers for it.")
    reason: Said = Field(description="Why it is accepted.")
    expires: Annotated[str, BeforeValidator(_day)] = Field(description="Last day it holds, such as 2026-12-31 (UTC).")

    @model_validator(mode="after")
    def _one_thing(self) -> WaiverFile:
        if (self.capability is None) == (self.case is None):
            raise ValueError("a waiver names either a capability or a case")
        return self


class MatrixPromptFile(PromptFile):
    """One prompt to try: what it says wins over what suite, capability and candidate say, key by key."""

    capabilities: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Only these are asked with it, the others as ever. Default: all."
    )


class MatrixFile(FileModel):
    """Prompts x examples x candidates, asked with ``harness choose``. No part of the suite's hash, and no part of a run."""

    prompts: dict[CandidateName, MatrixPromptFile] = Field(
        default_factory=dict, description="Name -> prompt. `default` is always tried, too: the prompt as the suite has it."
    )
    few_shot: tuple[Annotated[int, Field(ge=0, le=64, strict=True)], ...] = Field(
        default=(0,), min_length=1, description="Numbers of examples from the pool; 0: the prompt's own, if it has any."
    )
    pool: dict[str, Annotated[str, Field(min_length=1)] | tuple[Any, ...]] = Field(
        default_factory=dict,
        description="Capability -> examples: a file (JSONL, CSV, Parquet) or a list, {input: ..., output: ...} each.",
    )
    candidates: tuple[str, ...] | None = Field(default=None, min_length=1, description="Which are tried. Default: all.")
    tuned: tuple[str, ...] | None = Field(
        default=None, description="Which of them tuning made. Default: those with an adapter, beside one without."
    )
    goal: Annotated[float, Field(ge=0, le=1)] | dict[str, Annotated[float, Field(ge=0, le=1)]] | None = Field(
        default=None, description="Score that targets must reach: one for all, or target -> score. Default: gate.floors."
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="Another seed, other examples of the pool.")

    @field_validator("goal", mode="before")
    @classmethod
    def _no_flag_for_goal(cls, value: Any) -> Any:
        if any(isinstance(goal, bool) for goal in (value.values() if isinstance(value, dict) else [value])):
            raise ValueError("a number is needed, not true or false")
        return value


class ServeSpec(FileModel):
    """How the harness starts vLLM for candidates that are not endpoints. No part of the suite's hash."""

    model_config = ConfigDict(coerce_numbers_to_str=True)  # `VLLM_CPU_KVCACHE_SPACE: 1` means what it says

    max_model_len: int | None = Field(default=None, ge=1, description="Longest prompt and answer together, in tokens.")
    dtype: str | None = Field(default=None, description="auto, bfloat16, float16 or float32.")
    device: str | None = Field(default=None, description="cpu or cuda; found out when left out.")
    port: int | None = Field(default=None, ge=1, le=65535, description="A free one when left out.")
    startup_timeout: float = Field(default=900, gt=0, description="Seconds until the server must be ready.")
    args: tuple[str, ...] = Field(default=(), repr=False, description="Further arguments of vLLM's server.")
    env: dict[str, str] = Field(default_factory=dict, repr=False, description="Environment variables of the server.")


class SuiteFile(FileModel):
    """A suite: what is examined, on what, and what decides."""

    suite: Name = Field(description="The suite's name.")
    version: int = Field(default=1, ge=1, description="Raise it when the suite changes its meaning.")
    description: str | None = Field(default=None, description="For people.")
    baseline: str | None = Field(
        default=None,
        description="The candidate that others are compared with; `promoted`: the run promoted with harness promote.",
    )
    candidates: dict[CandidateName, CandidateFile] = Field(default_factory=dict, description="Name -> model.")
    prompt: PromptFile = Field(default_factory=PromptFile, description="How questions are put.")
    generation: GenerationFile = Field(default_factory=GenerationFile, description="How answers are generated.")
    capabilities: dict[Name, CapabilityFile] = Field(default_factory=dict, description="Name -> capability.")
    judges: dict[Name, dict[str, Any]] = Field(
        default_factory=dict, description="Name -> options of a judge; checks ask it as `{judge: NAME}`."
    )
    judging: JudgingFile = Field(default_factory=JudgingFile, description="How judges are asked.")
    gate: GateFile = Field(default_factory=GateFile, description="What makes SHIP, OPTIMIZE or INCONCLUSIVE of a comparison.")
    waivers: tuple[WaiverFile, ...] = Field(default=(), description="Known harms that do not block, each until a day.")
    serve: ServeSpec = Field(default_factory=ServeSpec, description="How vLLM is started.")
    matrix: MatrixFile | None = Field(default=None, description="What `harness choose` tries: prompts, examples, candidates.")
