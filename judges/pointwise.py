"""A model grades one answer by a rubric, on whole numbers from low to high.

The value is (score - low) / (high - low). Where the server gives log-probabilities and the scale has single digits, the score is
the expected one (see judges.reading.expected_score), else the number the judge wrote; the judgment's mode says which.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from harness.checks.spec import SpecFault
from harness.errors import DataError
from harness.model import Candidate, Case, Client, Judgment, Message, Request, Response
from judges.asking import Compose, Interview
from judges.base import AskingOptions, JudgeSpec, JudgeType, Setting
from judges.preparing import first_form, prepare_asking, settings_of, shown
from judges.prompting import compose, texts_of
from judges.reading import BAD_JSON, OFF_MENU, Unread, expected_score, on_menu, read_line, read_object
from judges.verdicts import Said, of_trials, unusable, without_asking


class PointwiseOptions(AskingOptions):
    """One answer by a rubric's scale."""

    logprobs: bool = Field(default=True, description="Take the expected score where the server gives log-probabilities.")


class Pointwise:
    """See judges.base.Judge."""

    def __init__(self, spec: JudgeSpec, candidates: Mapping[str, Candidate]) -> None:
        assert spec.rubric is not None
        assert isinstance(spec.options, PointwiseOptions)
        self.spec, self._rubric, self._options = spec, spec.rubric, spec.options
        settings = settings_of(spec, candidates, self._schema)
        self.digest = spec.digest(settings.candidate)
        expected = self._options.logprobs and self._options.form == "auto" and self._rubric.menu[-1] <= 9  # single digits
        self._interview = Interview(settings, form="logprob" if expected else first_form(self._options))

    def questions(
        self, case: Case, response: Response, *, baseline: Response | None = None, messages: Sequence[Message] | None = None
    ) -> tuple[Request, ...]:
        if unusable(response):
            return ()
        ask = self._composer(case, response, messages)
        return tuple(self._interview.request(case, ask, sample=sample) for sample in range(self._options.samples))

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
            ask = self._composer(case, response, messages)
        except DataError as error:
            return without_asking(self.spec, self.digest, case.id, "judge-prompt", error.what)
        asked = [self._interview.ask(asker, case, ask, self._read, sample=j) for j in range(self._options.samples)]
        return of_trials(self.spec, self.digest, case.id, await asyncio.gather(*asked), response.text)

    def _schema(self, strict: bool) -> dict[str, Any]:
        properties: dict[str, Any] = {} if strict or not self._options.explain else {"reasoning": {"type": "string"}}
        properties["score"] = {"type": "integer", "enum": list(self._rubric.menu)}
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    def _composer(self, case: Case, response: Response, messages: Sequence[Message] | None) -> Compose:
        """(form, strict) -> messages for this answer. DataError when the question cannot be rendered or a reference lacks."""
        file = self._rubric.file
        texts = texts_of(case, file, self._options.question, messages, {"answer": response.text})
        scale = file.scale
        values = {
            "rubric": file,
            "menu": self._rubric.menu,
            "anchors": sorted(scale.anchors.items(), key=lambda pair: int(pair[0])) if scale else [],
            "reference": "reference" in texts,
        }

        def ask(form: str, strict: bool) -> tuple[Message, ...]:
            shape = {"form": "text" if form == "text" else "json", "strict": strict}
            explain = self._options.explain and not strict
            return compose(file.language, "pointwise", texts, {**values, **shape, "explain": explain})

        return ask

    def _read(self, response: Response, form: str, strict: bool) -> Said | Unread:
        if form == "text":
            line = read_line(response, "SCORE")
            if isinstance(line, Unread):
                return line
            written, reasons = line
        else:
            data = read_object(response)
            if isinstance(data, Unread):
                return data
            if "score" not in data:
                return Unread(BAD_JSON, "the key score is missing")
            written, reasons = data["score"], data.get("reasoning", "")
        score = on_menu(written, self._rubric.menu)
        if score is None:
            return Unread(OFF_MENU, str(written)[:80])
        expected = expected_score(response.tail, self._rubric.menu) if form == "logprob" else None
        low, high = self._rubric.menu[0], self._rubric.menu[-1]
        raw = expected.score if expected else float(score)
        return Said(
            value=min(1.0, max(0.0, (raw - low) / (high - low))),
            raw=raw,
            choice=str(score),
            reasons=reasons if isinstance(reasons, str) else "",
            outside=expected.outside if expected else None,
            mode="logprob" if expected else "text" if form == "text" else "schema",
        )


def _prepare(name: str, options: PointwiseOptions, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    return prepare_asking(POINTWISE, name, options, setting, rubric_kind="pointwise", threshold=0.75)


POINTWISE = JudgeType(
    name="pointwise",
    version=1,
    summary="A model grades each answer by a rubric's scale.",
    options=PointwiseOptions,
    prepare=_prepare,
    bind=Pointwise,
    suits=shown,
)
JUDGES = (POINTWISE,)
