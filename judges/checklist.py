"""A model answers yes or no to each question of a list; the value is the weighted share answered as a good response would be.

Questions come from the rubric, or from a field of the case (``items_from``), one list per case: then they are data too, and
fenced. Many small questions are easier to judge, and to disagree with, than one large one.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.checks.spec import SpecFault
from harness.errors import DataError
from harness.model import Candidate, Case, Client, JudgedItem, Judgment, Message, Request, Response
from judges.asking import Compose, Interview, Schema
from judges.base import AskingOptions, JudgeSpec, JudgeType, Setting
from judges.preparing import first_form, prepare_asking, settings_of, shown
from judges.prompting import compose, texts_of
from judges.reading import BAD_JSON, CUT, NO_VERDICT, OFF_MENU, Unread, read_object, trouble
from judges.rubric import MAX_ITEMS, ItemFile, RubricFile
from judges.verdicts import Said, of_trials, unusable, without_asking


class ChecklistOptions(AskingOptions):
    """Questions that are answered yes or no."""


class Checklist:
    """See judges.base.Judge."""

    def __init__(self, spec: JudgeSpec, candidates: Mapping[str, Candidate]) -> None:
        assert spec.rubric is not None
        assert isinstance(spec.options, ChecklistOptions)
        self.spec, self._rubric, self._options = spec, spec.rubric, spec.options
        settings = settings_of(spec, candidates, self._schema_of(self._rubric.file.items))
        self.digest = spec.digest(settings.candidate)
        self._interview = Interview(settings, form=first_form(self._options))

    def questions(
        self, case: Case, response: Response, *, baseline: Response | None = None, messages: Sequence[Message] | None = None
    ) -> tuple[Request, ...]:
        if unusable(response):
            return ()
        items = _items(self._rubric.file, case)
        ask = self._composer(case, items, response, messages)
        schema = self._schema_of(items)
        return tuple(self._interview.request(case, ask, sample=j, schema=schema) for j in range(self._options.samples))

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
            items = _items(self._rubric.file, case)
            ask = self._composer(case, items, response, messages)
        except DataError as error:
            return without_asking(self.spec, self.digest, case.id, "judge-prompt", error.what)

        def read(reply: Response, form: str, strict: bool) -> Said | Unread:
            answers = _read_lines(reply, items) if form == "text" else _read_object(reply, items)
            return answers if isinstance(answers, Unread) else _said(answers, items)

        schema = self._schema_of(items)
        asked = [self._interview.ask(asker, case, ask, read, sample=j, schema=schema) for j in range(self._options.samples)]
        trials = await asyncio.gather(*asked)
        judgment = of_trials(self.spec, self.digest, case.id, trials, response.text)
        said = [trial.verdict for trial in trials if trial.verdict is not None] if judgment.value is not None else []
        return replace(judgment, items=tuple(_judged(item, index, said) for index, item in enumerate(items)))

    def _schema_of(self, items: Sequence[ItemFile]) -> Schema:
        return lambda strict: _schema(items, explain=self._options.explain and not strict)

    def _composer(self, case: Case, items: Sequence[ItemFile], response: Response, messages: Sequence[Message] | None) -> Compose:
        """(form, strict) -> messages."""
        file = self._rubric.file
        fixed, own = items[: len(file.items)], items[len(file.items) :]
        answers = {"checklist": "\n".join(f"{item.id}: {item.question}" for item in own)} if own else {}
        texts = texts_of(case, file, self._options.question, messages, {**answers, "answer": response.text})
        values = {"rubric": file, "items": fixed, "own": bool(own), "reference": "reference" in texts}

        def ask(form: str, strict: bool) -> tuple[Message, ...]:
            shape = {"form": "text" if form == "text" else "json", "strict": strict}
            explain = self._options.explain and not strict
            return compose(file.language, "checklist", texts, {**values, **shape, "explain": explain})

        return ask


def _items(rubric: RubricFile, case: Case) -> tuple[ItemFile, ...]:
    """The rubric's questions, then the case's. DataError when the case has no such list."""
    if rubric.items_from is None:
        return rubric.items
    listed = case.vars.get(rubric.items_from, case.metadata.get(rubric.items_from))
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_ITEMS or not all(_is_question(one) for one in listed):
        raise DataError(f"the field {rubric.items_from!r} is no list of 1 to {MAX_ITEMS} questions", where=case.source)
    own = tuple(ItemFile(id=f"case-{number}", question=" ".join(text.split())) for number, text in enumerate(listed, 1))
    return (*rubric.items, *own)


def _is_question(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _schema(items: Sequence[ItemFile], *, explain: bool) -> dict[str, Any]:
    answers = _object({item.id: {"type": "string", "enum": ["yes", "no"]} for item in items})
    return _object({**({"reasoning": {"type": "string"}} if explain else {}), "answers": answers})


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _read_object(reply: Response, items: Sequence[ItemFile]) -> tuple[str, dict[str, str]] | Unread:
    data = read_object(reply)
    if isinstance(data, Unread):
        return data
    answers = data.get("answers")
    ids = {item.id for item in items}
    if not isinstance(answers, dict) or answers.keys() != ids:
        return Unread(BAD_JSON, "answers does not hold exactly the questions that were asked")
    reasons = data.get("reasoning", "")
    return _menu(reasons if isinstance(reasons, str) else "", answers)


def _read_lines(reply: Response, items: Sequence[ItemFile]) -> tuple[str, dict[str, str]] | Unread:
    """The last lines, one per item and in their order: ``ID: yes``."""
    if found := trouble(reply):
        return found
    if reply.finish_reason == "length":
        return Unread(CUT)
    lines = [line.strip() for line in reply.text.strip().splitlines() if line.strip()]
    answers: dict[str, str] = {}
    for item, line in zip(items, lines[-len(items) :], strict=False):
        match = re.fullmatch(rf"[-*\s]*{re.escape(item.id)}[*\s]*[:：][*\s]*(.{{1,20}}?)[*\s.。]*", line, re.IGNORECASE)
        if match is None:
            return Unread(NO_VERDICT, line[:80])
        answers[item.id] = match[1]
    if len(answers) < len(items):
        return Unread(NO_VERDICT, f"{len(answers)} of {len(items)} questions are answered")
    return _menu("\n".join(lines[: -len(items)]), answers)


def _menu(reasons: str, answers: Mapping[str, Any]) -> tuple[str, dict[str, str]] | Unread:
    """Every answer is yes or no, or the whole list is unread: a share of what happened to be readable is another measure."""
    folded = {name: str(value).strip().casefold() if isinstance(value, str) else "" for name, value in answers.items()}
    if wrong := [name for name, value in folded.items() if value not in ("yes", "no")]:
        return Unread(OFF_MENU, f"{wrong[0]}: {str(answers[wrong[0]])[:80]}")
    return reasons, folded


def _said(answers: tuple[str, dict[str, str]], items: Sequence[ItemFile]) -> Said:
    reasons, by_id = answers
    met = tuple(by_id[item.id] == item.expect for item in items)
    total = sum(item.weight for item in items)
    value = sum(item.weight for item, fine in zip(items, met, strict=True) if fine) / total
    return Said(value, value, " ".join(f"{name}={answer}" for name, answer in by_id.items()), reasons, met=met)


def _judged(item: ItemFile, index: int, said: Sequence[Said]) -> JudgedItem:
    value = sum(one.met[index] for one in said) / len(said) if said else None
    return JudgedItem(item.id, item.question, value, item.weight)


def _prepare(name: str, options: ChecklistOptions, setting: Setting) -> tuple[JudgeSpec | None, list[SpecFault]]:
    return prepare_asking(CHECKLIST, name, options, setting, rubric_kind="checklist", threshold=1.0)


def _suits(spec: JudgeSpec, case: Case) -> None:
    shown(spec, case)
    assert spec.rubric is not None
    _items(spec.rubric.file, case)


CHECKLIST = JudgeType(
    name="checklist",
    version=1,
    summary="A model answers yes or no to a list of questions about each answer.",
    options=ChecklistOptions,
    prepare=_prepare,
    bind=Checklist,
    suits=_suits,
)
JUDGES = (CHECKLIST,)
