"""The nouns of curation, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.model import Case, Message, digest_of

# Where a chosen answer may come from, the most trustworthy first; the order in which they are tried.
PERSON, OWN, OTHER, REFERENCE, TEACHER = "person", "own", "other", "reference", "teacher"
SOURCES = (PERSON, OWN, OTHER, REFERENCE, TEACHER)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a case. origin: own | other | reference | teacher. value, passed: what the suite's checks say of it.

    run_id, key, sample: the stored response it is, None for references and teachers. model: the teacher's name.
    checks: name, version and value of each check or judge that scored it.
    """

    text: str
    origin: str
    value: float | None
    passed: bool | None
    run_id: str | None = None
    key: str | None = None
    sample: int | None = None
    model: str | None = None
    checks: tuple[Mapping[str, Any], ...] = ()

    @property
    def words(self) -> str:
        """The text without white space around and doubled: answers that differ in that alone are the same."""
        return " ".join(self.text.split())

    def as_dict(self) -> dict[str, Any]:
        found = {
            "origin": self.origin,
            "run_id": self.run_id,
            "response_key": self.key,
            "sample": self.sample,
            "model": self.model,
            "score": self.value,
            "passed": self.passed,
            "checks": [dict(check) for check in self.checks],
        }
        return {key: value for key, value in found.items() if value not in (None, [])}


@dataclass(frozen=True, slots=True)
class CaseAnswers:
    """A dev case with everything that was answered to it. messages: the prompt as it was asked."""

    case: Case
    messages: tuple[Message, ...]
    own: tuple[Answer, ...]
    other: tuple[Answer, ...] = ()
    # Texts that people preferred over others, as (better, worse, who); see harness.curation.people.
    preferred: tuple[tuple[Answer, Answer, str], ...] = ()
    suite_hash: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Chosen over rejected, for one prompt. source: one of SOURCES. raters: who preferred it, where a person did."""

    case: Case
    messages: tuple[Message, ...]
    chosen: Answer
    rejected: Answer
    source: str
    suite_hash: str = ""
    raters: str = ""

    @property
    def id(self) -> str:
        """16 hex digits over prompt and both answers: the same pair has the same id in every curation."""
        return digest_of([[m.as_dict() for m in self.messages], self.chosen.text, self.rejected.text])[:16]

    @property
    def margin(self) -> float | None:
        """Score of the chosen answer minus that of the rejected one, None where one has none."""
        if self.chosen.value is None or self.rejected.value is None:
            return None
        return self.chosen.value - self.rejected.value


@dataclass(frozen=True, slots=True)
class Lesson:
    """A prompt with the answer that is to be learnt. replay: a skill that works, kept so that it is not unlearnt."""

    case: Case
    messages: tuple[Message, ...]
    answer: Answer
    replay: bool = False
    suite_hash: str = ""

    @property
    def id(self) -> str:
        return digest_of([[m.as_dict() for m in self.messages], self.answer.text])[:16]


@dataclass(frozen=True, slots=True)
class Left:
    """A case, pair or row that was not taken. code: stable, for machines. why: for people."""

    case: Case
    code: str
    why: str
    what: str = "pair"  # case | pair | sft | replay
    more: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        place = {"case_id": self.case.id, "capability": self.case.capability, "source": self.case.source}
        return {"what": self.what, "code": self.code, "why": self.why, **place, **self.more}
