"""One case with its answers -> a preference pair and an SFT row, or the reason why there is none.

Rejected is the worst answer of the candidate. Chosen is the first of SOURCES that has a better one: what a person preferred, one
of the candidate's own other samples (on-policy: its own words, so preference training moves least else), the other run's, the
suite's reference, a teacher's. Whatever is chosen passes the suite's checks; a reference is checked like any answer, for a
reference that its own checks refuse would teach the model to fail.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from harness.curation.nouns import OTHER, OWN, PERSON, REFERENCE, SOURCES, TEACHER, Answer, CaseAnswers, Left, Lesson, Pair
from harness.model import Case, Response, Score, Split

Scoring = Callable[[Case, Response], Score]  # the suite's checks on an answer that no run gave


@dataclass(frozen=True, slots=True)
class Rules:
    """sources: where chosen answers may come from, in order. min_margin: least difference of the scores, above 0.

    unchecked: take references that the checks cannot score (judges) as they are.
    """

    sources: tuple[str, ...] = (PERSON, OWN, OTHER, REFERENCE)
    min_margin: float = 0.1
    unchecked: bool = False

    def __post_init__(self) -> None:
        assert set(self.sources) <= set(SOURCES)


def curate_case(
    found: CaseAnswers, rules: Rules, scoring: Scoring, taught: Answer | None = None
) -> Iterator[Pair | Lesson | Left]:
    """What one case gives: a pair and an SFT row, a replay row where all of it works, or Left with the reason.

    taught: the teacher's answer, already scored. Raises ValueError for a case of the gate split: callers never hand one in.
    """
    if found.case.split is not Split.DEV:
        raise ValueError(f"case {found.case.id} is of the {found.case.split} split: only dev cases may become training data")
    answered = [answer for answer in found.own if answer.text.strip()]
    scored = [answer for answer in answered if answer.value is not None]
    by_people = [one for one in found.preferred if PERSON in rules.sources]
    if by_people:
        better, worse, raters = by_people[0]
        yield Pair(found.case, found.messages, better, worse, PERSON, found.suite_hash, raters)
        yield Lesson(found.case, found.messages, better, suite_hash=found.suite_hash)
        return
    if not scored:
        why = "no answer of it has a score" if answered else "it has no answer"
        yield Left(found.case, "no-answer", why, "case")
        return
    failing = [answer for answer in scored if answer.passed is False]
    if not failing:
        best = max(scored, key=_value)
        yield Lesson(found.case, found.messages, best, replay=True, suite_hash=found.suite_hash)
        return
    rejected = min(failing, key=_value)
    chosen = _chosen(found, rejected, rules, scoring, taught)
    if isinstance(chosen, Left):
        yield chosen
        return
    answer, source = chosen
    yield Pair(found.case, found.messages, answer, rejected, source, found.suite_hash)
    yield Lesson(found.case, found.messages, answer, suite_hash=found.suite_hash)


def _chosen(
    found: CaseAnswers, rejected: Answer, rules: Rules, scoring: Scoring, taught: Answer | None
) -> tuple[Answer, str] | Left:
    """The first source with an answer that is better by the margin; else the most telling reason why none has."""
    reason = Left(found.case, "no-better-answer", f"none of {', '.join(rules.sources)} has an answer that passes")
    for source in rules.sources:
        options = _options(source, found, scoring, taught)
        passing = [
            answer for answer in options if answer.passed or (source == REFERENCE and _unscored(answer) and rules.unchecked)
        ]
        for answer in sorted(passing, key=_value, reverse=True):
            if answer.words == rejected.words:
                reason = Left(found.case, "tie", f"the answer of {source} is the rejected one, word for word")
            elif answer.value is not None and answer.value - _value(rejected) < rules.min_margin:
                what = f"{source} is better by {answer.value - _value(rejected):.2f} only, the least is {rules.min_margin:g}"
                reason = Left(found.case, "small-margin", what)
            else:
                return answer, source
        if source == REFERENCE and options and not passing:
            said = "are not able to score" if _unscored(options[0]) else "refuse"
            code = "reference-unchecked" if _unscored(options[0]) else "reference-fails"
            reason = Left(found.case, code, f"the suite's own checks {said} the reference")
    return reason


def _options(source: str, found: CaseAnswers, scoring: Scoring, taught: Answer | None) -> Sequence[Answer]:
    if source == OWN:
        return found.own
    if source == OTHER:
        return found.other
    if source == REFERENCE:
        return reference_answers(found.case, scoring)
    return [taught] if source == TEACHER and taught is not None else []


def reference_answers(case: Case, scoring: Scoring) -> list[Answer]:
    """The reference as an answer, in the forms in which a model could have said it; those that pass, or else the first.

    A text stands as it is, a number as JSON writes it, a list stands for each of its texts (any of them is right) and for the
    JSON of all of it, an object for its JSON.
    """
    reference = case.reference
    if reference is None or isinstance(reference, bool):
        return []
    forms = [item for item in reference if isinstance(item, str)] if isinstance(reference, list) else []
    forms += [reference] if isinstance(reference, str) else [json.dumps(reference, ensure_ascii=False)]
    found = []
    for text in dict.fromkeys(form for form in forms if form.strip()):
        answer = scored_answer(case, text, REFERENCE, scoring)
        if answer.passed:
            return [answer]
        found.append(answer)
    return found[:1]


def scored_answer(case: Case, text: str, origin: str, scoring: Scoring, *, model: str | None = None) -> Answer:
    """A text that no run gave, with what the suite's checks say of it."""
    return with_score(Answer(text, origin, None, None, model=model), scoring(case, Response("", text, finish_reason="stop")))


def with_score(answer: Answer, score: Score) -> Answer:
    checks = tuple({"check": part.check, "version": part.version, "score": part.value} for part in score.components)
    return replace(answer, value=score.value, passed=score.passed, checks=checks)


def _unscored(answer: Answer) -> bool:
    return answer.value is None


def _value(answer: Answer) -> float:
    return -1.0 if answer.value is None else answer.value
