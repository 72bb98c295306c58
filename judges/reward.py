"""A reward model scores one answer: a sequence classifier with one output, served by vLLM and asked at /classify.

The raw reward r has no scale of its own, so it is squashed: value = 1 / (1 + exp(-(r - center) / scale)). With center 0 and
scale 1 that is the Bradley-Terry chance that this answer beats one with reward 0. It orders answers as the reward does and no
more: what a value means, and where the threshold lies, is for calibration on labelled cases. ``raw`` keeps the reward.

Reward models are trained on plain conversations, so no fence and no instructions are shown: there is nobody to be told anything.
Special tokens and hidden characters are made harmless all the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import Field

from harness.checks.spec import SpecFault
from harness.errors import DataError, UsageError
from harness.model import Candidate, Case, Client, Judgment, Message, Request, Response, Sampling
from harness.prompts import compile_template
from harness.suite.spec import CandidateFile
from judges.base import JudgeOptions, JudgeSpec, JudgeType, Setting
from judges.fence import harmless
from judges.prompting import question_of
from judges.rubric import CanaryFile
from judges.verdicts import flags_of, passes, unusable, without_asking


class RewardOptions(JudgeOptions):
    """A reward model and how its number becomes a value."""

    model: str | CandidateFile = Field(description="A candidate of the suite by name, or {model, endpoint, api_key} of its own.")
    center: float = Field(default=0.0, description="The reward that becomes 0.5.")
    scale: float = Field(default=1.0, gt=0, description="The difference of rewards that is worth one logit.")
    output: int = Field(default=0, ge=0, description="Which of the classifier's outputs is the reward.")
    question: str | None = Field(
        default=None, description="Jinja2 template of the question. Default: what the candidate was asked, or {{ input }}."
    )
    canaries: tuple[CanaryFile, ...] = Field(default=(), max_length=50, description="Answers of known quality.")


class Reward:
    """See judges.base.Judge."""

    def __init__(self, spec: JudgeSpec, candidates: Mapping[str, Candidate]) -> None:
        assert isinstance(spec.options, RewardOptions)
        self.spec, self._options = spec, spec.options
        self._candidate = candidates[spec.model_key]
        self.digest = spec.digest(self._candidate)

    def questions(
        self, case: Case, response: Response, *, baseline: Response | None = None, messages: Sequence[Message] | None = None
    ) -> tuple[Request, ...]:
        return () if unusable(response) else (self._request(case, response, messages),)

    async def judge(
        self,
        case: Case,
        response: Response,
        asker: Client,
        *,
        baseline: Response | None = None,
        messages: Sequence[Message] | None = None,
    ) -> Judgment:
        if reason := unusable(response):
            return without_asking(self.spec, self.digest, case.id, reason)
        try:
            request = self._request(case, response, messages)
        except DataError as error:
            return without_asking(self.spec, self.digest, case.id, "judge-prompt", error.what)
        reply = await asker.ask(request)
        asked = Judgment(
            self.spec.name,
            self.digest,
            case.id,
            None,
            None,
            mode="reward",
            attempts=max(reply.attempts, 1),
            prompt_tokens=reply.prompt_tokens or 0,
            completion_tokens=reply.completion_tokens or 0,
            keys=(reply.key,),
            flags=flags_of(response.text),
        )
        if reply.error is not None:
            said = f"{reply.error}: {reply.error_message or ''}"
            return replace(asked, unscored="judge-error", errored=True, explanation=said)
        raw = _output(reply.text, self._options.output)
        if raw is None:
            said = f"no output {self._options.output} in {reply.text[:80]}"
            return replace(asked, unscored="judge-no-verdict", explanation=said)
        value = squash(raw, self._options.center, self._options.scale)
        passed = passes(value, self.spec.threshold)
        return replace(
            asked, value=value, passed=passed, explanation=f"reward {raw:.2f}", choice=f"{raw:.4g}", raw=raw, values=(value,)
        )

    def _request(self, case: Case, response: Response, messages: Sequence[Message] | None) -> Request:
        """The conversation that ends with the answer. use_activation false: the raw output, not vLLM's sigmoid of it."""
        chat = messages if messages is not None else case.vars.get("messages")
        if chat is None or self._options.question is not None:
            chat = [Message("user", question_of(case, self._options.question, messages))]
        turns = [turn if isinstance(turn, Message) else Message(turn["role"], turn["content"]) for turn in chat]
        shown = tuple(Message(turn.role, harmless(turn.content)) for turn in (*turns, Message("assistant", response.text)))
        return Request(self._candidate, case, shown, Sampling(extra={"use_activation": False}), route="classify")


def squash(raw: float, center: float, scale: float) -> float:
    """The logistic function of (raw - center) / scale, in [0, 1] for any finite raw."""
    x = (raw - center) / scale
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def _output(text: str, index: int) -> float | None:
    try:
        numbers = json.loads(text)
        found = numbers[index] if isinstance(numbers, list) and index < len(numbers) else None
        raw = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else math.nan
    except (ValueError, OverflowError, RecursionError):
        return None
    return raw if math.isfinite(raw) else None


def _prepare(name: str, options: RewardOptions, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    if options.question is not None:
        try:
            compile_template(options.question)
        except UsageError as error:
            return None, [SpecFault(("question",), error.what, error.todo)]
    if paired := [canary.id for canary in options.canaries if canary.baseline is not None]:
        return None, [SpecFault(("canaries",), f"canary {paired[0]!r} has a baseline, and a reward model sees one answer")]
    threshold = 0.5 if options.threshold is None else options.threshold
    identity = [options.center, options.scale, options.output, options.question]
    return JudgeSpec(name, REWARD, options, identity=identity, threshold=threshold), []


def _suits(spec: JudgeSpec, case: Case) -> None:
    assert isinstance(spec.options, RewardOptions)
    question_of(case, spec.options.question, None)


REWARD = JudgeType(
    name="reward",
    version=1,
    summary="A reward model scores each answer.",
    options=RewardOptions,
    prepare=_prepare,
    bind=Reward,
    suits=_suits,
)
JUDGES = (REWARD,)
