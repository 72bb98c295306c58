"""A model compares the candidate's answer with the baseline's, always in both orders; orders that disagree are a tie.

Judges prefer a place as well as an answer (Zheng et al. 2023, https://arxiv.org/abs/2306.05685, section 3.4, which also has the
rule that a win must be won in both orders). How often the place decided is ``position_bias``.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.checks.spec import SpecFault
from harness.errors import DataError
from harness.model import Candidate, Case, Client, Judgment, Message, Request, Response
from judges.asking import Compose, Interview, Trial, tokens
from judges.base import AskingOptions, JudgeSpec, JudgeType, Setting
from judges.preparing import first_form, prepare_asking, settings_of, shown
from judges.prompting import compose, texts_of
from judges.reading import BAD_JSON, OFF_MENU, Unread, read_line, read_object
from judges.verdicts import EXPLANATION, flags_of, passes, spread_of, unread, unusable, without_asking

MENU = ("A", "B", "tie")
VALUES = {"candidate": 1.0, "tie": 0.5, "baseline": 0.0}


class PairwiseOptions(AskingOptions):
    """Two answers to one question, by a rubric."""


@dataclass(frozen=True, slots=True)
class Picked:
    """One readable verdict: A, B or tie, as the judge saw the two."""

    letter: str
    reasons: str = ""


class Pairwise:
    """See judges.base.Judge. Per sample two questions: the candidate's answer as A, then as B."""

    def __init__(self, spec: JudgeSpec, candidates: Mapping[str, Candidate]) -> None:
        assert spec.rubric is not None
        assert isinstance(spec.options, PairwiseOptions)
        self.spec, self._rubric, self._options = spec, spec.rubric, spec.options
        settings = settings_of(spec, candidates, self._schema)
        self.digest = spec.digest(settings.candidate)
        self._interview = Interview(settings, form=first_form(self._options))

    def questions(
        self, case: Case, response: Response, *, baseline: Response | None = None, messages: Sequence[Message] | None = None
    ) -> tuple[Request, ...]:
        if unusable(response) or baseline is None or unusable(baseline) or response.text == baseline.text:
            return ()
        orders = self._composers(case, response, baseline, messages)
        return tuple(self._interview.request(case, ask, sample=j) for j in range(self._options.samples) for ask in orders)

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
        if baseline is None or unusable(baseline):
            return without_asking(self.spec, self.digest, case.id, "no-baseline")
        if response.text == baseline.text:
            return self._same(case, response)
        try:
            orders = self._composers(case, response, baseline, messages)
        except DataError as error:
            return without_asking(self.spec, self.digest, case.id, "judge-prompt", error.what)
        samples = range(self._options.samples)
        asked = [self._interview.ask(asker, case, ask, _read, sample=j) for j in samples for ask in orders]
        trials = await asyncio.gather(*asked)
        flags = [*flags_of(response.text), *(f"baseline-{flag}" for flag in flags_of(baseline.text))]
        return self._judgment(case, trials, flags)

    def _same(self, case: Case, response: Response) -> Judgment:
        """Equal answers are a tie, and nobody need be asked."""
        flags = ("same-answer", *flags_of(response.text))
        done = Judgment(
            self.spec.name, self.digest, case.id, 0.5, passes(0.5, self.spec.threshold), preference="tie", flags=flags
        )
        return replace(done, values=(0.5,), explanation="Both answers are the same text.")

    def _judgment(self, case: Case, trials: Sequence[Trial], flags: list[str]) -> Judgment:
        """trials: per sample the one with the candidate as A, then the one with it as B."""
        orders = [
            (_preferred(first, candidate="A"), _preferred(second, candidate="B"))
            for first, second in zip(trials[::2], trials[1::2], strict=True)
        ]
        agreed = [first if first == second else "tie" for first, second in orders if first and second]
        if 2 * len(agreed) <= len(orders) or any(trial.errored for trial in trials):
            return replace(unread(self.spec, self.digest, case.id, trials, flags), orders=tuple(orders))
        values = tuple(VALUES[preference] for preference in agreed)
        value = statistics.fmean(values)
        if len(agreed) < len(orders):
            flags.append("samples-missing")
        if any({first, second} == {"candidate", "baseline"} for first, second in orders):
            flags.append("orders-disagree")
        replies = [reply for trial in trials for reply in trial.replies]
        said = [trial.verdict for trial in trials if trial.verdict is not None]
        modes = {trial.mode for trial in trials if trial.verdict is not None}
        prompt, completion = tokens(replies)
        return Judgment(
            self.spec.name,
            self.digest,
            case.id,
            value,
            passes(value, self.spec.threshold),
            explanation="\n\n".join(one.reasons for one in said[:2] if one.reasons)[:EXPLANATION],
            choice=" ".join(one.letter for one in said),
            mode=modes.pop() if len(modes) == 1 else "mixed",
            preference="candidate" if value > 0.5 else "baseline" if value < 0.5 else "tie",
            orders=tuple(orders),
            values=values,
            spread=spread_of(values),
            attempts=sum(max(reply.attempts, 1) for reply in replies),
            prompt_tokens=prompt,
            completion_tokens=completion,
            keys=tuple(reply.key for reply in replies),
            flags=tuple(flags),
        )

    def _schema(self, strict: bool) -> dict[str, Any]:
        properties: dict[str, Any] = {} if strict or not self._options.explain else {"reasoning": {"type": "string"}}
        properties["verdict"] = {"type": "string", "enum": list(MENU)}
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    def _composers(
        self, case: Case, response: Response, baseline: Response, messages: Sequence[Message] | None
    ) -> tuple[Compose, Compose]:
        """Two (form, strict) -> messages: the candidate as A, the candidate as B."""
        file = self._rubric.file

        def order(first: str, second: str) -> Compose:
            answers = {"answer A": first, "answer B": second}
            texts = texts_of(case, file, self._options.question, messages, answers)

            def ask(form: str, strict: bool) -> tuple[Message, ...]:
                shape = {"form": "text" if form == "text" else "json", "strict": strict, "reference": "reference" in texts}
                explain = self._options.explain and not strict
                return compose(file.language, "pairwise", texts, {"rubric": file, **shape, "explain": explain})

            return ask

        return order(response.text, baseline.text), order(baseline.text, response.text)


def _read(reply: Response, form: str, strict: bool) -> Picked | Unread:
    if form == "text":
        line = read_line(reply, "VERDICT")
        if isinstance(line, Unread):
            return line
        written, reasons = line
    else:
        data = read_object(reply)
        if isinstance(data, Unread):
            return data
        if "verdict" not in data:
            return Unread(BAD_JSON, "the key verdict is missing")
        written, reasons = data["verdict"], data.get("reasoning", "")
    letter = {choice.casefold(): choice for choice in MENU}.get(written.strip().casefold()) if isinstance(written, str) else None
    if letter is None:
        return Unread(OFF_MENU, str(written)[:80])
    return Picked(letter, reasons if isinstance(reasons, str) else "")


def _preferred(trial: Trial, *, candidate: str) -> str | None:
    if trial.verdict is None:
        return None
    letter = trial.verdict.letter
    return "tie" if letter == "tie" else "candidate" if letter == candidate else "baseline"


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Of n pairs judged in both orders: how many took the first place both times, how many the second."""

    n: int
    first: int
    second: int

    @property
    def rate(self) -> float | None:
        """Share of pairs that the place decided, None without any."""
        return (self.first + self.second) / self.n if self.n else None


def position_bias(judgments: Iterable[Judgment]) -> PositionBias:
    """Every sample with both orders counts once. Shown first and preferred both times: (candidate, baseline)."""
    orders = [order for judgment in judgments for order in judgment.orders if order[0] and order[1]]
    return PositionBias(len(orders), orders.count(("candidate", "baseline")), orders.count(("baseline", "candidate")))


def _prepare(name: str, options: PairwiseOptions, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    return prepare_asking(PAIRWISE, name, options, setting, rubric_kind="pairwise", threshold=0.5)


PAIRWISE = JudgeType(
    name="pairwise",
    version=1,
    summary="A model compares each answer with the baseline's, in both orders.",
    options=PairwiseOptions,
    prepare=_prepare,
    bind=Pairwise,
    suits=shown,
)
JUDGES = (PAIRWISE,)
