"""What a page shows, frozen: texts cut and drawn visibly (reports.text), still unescaped; the templates escape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.labels import Settled, is_skip, places, thing
from harness.model import ItemStatus, Label, Message, Response, ScoreRow
from harness.store.answers import Given
from reports import evidence
from reports.nouns import CaseView, MessageView, Text
from reports.review.chat import MOST_CHARS
from reports.review.queue import Key
from reports.review.session import Review, Task
from reports.text import cut, label, moment, plural

LETTERS = "ABCDEFGHI"
TEXT_CHARS = 100_000  # of one text: who decides must be able to read it all
MOST_MESSAGES = 40
_OPENED = evidence.Limits(answer=TEXT_CHARS, prompt=20_000, reference=20_000, why=2_000, messages=MOST_MESSAGES)


@dataclass(frozen=True, slots=True)
class AnswerShown:
    """An answer without anything that says whose it is or what it scored."""

    letter: str
    text: Text
    thinking: Text | None
    said: str = ""  # what others said of it, for who adjudicates


@dataclass(frozen=True, slots=True)
class RubricShown:
    """What a judge of this capability was told to look at: a label from another point of view is none to hold it against."""

    task: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskShown:
    kind: str
    path: str
    token: str
    capability: str
    case_id: str
    split: str
    messages: tuple[MessageView, ...]
    reference: Text | None
    rubrics: tuple[RubricShown, ...]
    answers: tuple[AnswerShown, ...]
    note: str  # which of how many answers this is
    earlier: Label | None
    earlier_choice: str  # letter, or tie
    earlier_places: dict[str, int]  # letter -> place from 1


@dataclass(frozen=True, slots=True)
class LabelShown:
    """One label in one line. undone: it counts no longer. path: where it can be changed, "" where not."""

    rater: str
    when: str
    what: str
    comment: Text | None
    undone: bool
    path: str


def task(review: Review, one: Task, rater: str, *, adjudicates: bool = False) -> TaskShown | None:
    """None when an answer is no longer there."""
    key = (one.capability, one.case_id)
    by_id = {g.response_id: g for g in review.given(key) if g.response_id}
    found = [by_id.get(answer) for answer in one.responses]
    if any(g is None for g in found):
        return None
    shown = [g for g in found if g is not None]
    item = shown[0].item
    earlier = review.earlier(one, rater, adjudicates=adjudicates)
    siblings = len(review.tasks(one.kind, key, rater)) if one.kind == "rate" else 1
    ranks = places(earlier) if earlier else {}
    return TaskShown(
        kind=one.kind,
        path=one.path,
        token=one.token,
        capability=label(one.capability),
        case_id=label(one.case_id),
        split=str(item.case.split),
        messages=_messages(item.messages),
        reference=None if item.case.reference is None else cut(_as_text(item.case.reference), TEXT_CHARS),
        rubrics=tuple(_rubrics(review, one)),
        answers=tuple(_answer(letter, g) for letter, g in zip(LETTERS, shown, strict=False)),
        note=f"answer {one.number + 1} of {siblings} to this prompt" if siblings > 1 else "",
        earlier=earlier,
        earlier_choice=_choice(earlier, one, review) if earlier else "",
        earlier_places={LETTERS[i]: ranks[a] + 1 for i, a in enumerate(one.responses) if a in ranks},
    )


def _rubrics(review: Review, one: Task) -> Iterator[RubricShown]:
    """Of judges of single answers where one answer is rated, of pairwise ones where answers are compared or ranked."""
    kept = review.run.provenance.get("judging") or {}
    told: set[str] = set()
    for name in kept.get("capabilities", {}).get(one.capability, ()):
        judge = kept["judges"][name]
        if bool(judge.get("pairwise")) == (one.kind == "rate"):
            continue
        for asks in judge.get("asks", ()):
            if asks["task"] not in told:
                told.add(asks["task"])
                yield RubricShown(label(asks["task"], 1_000), tuple(label(line, 500) for line in asks["lines"]))


def _answer(letter: str, found: Given) -> AnswerShown:
    response = found.item.response
    text, thinking = (response.text, response.thinking) if response else ("", None)
    return AnswerShown(letter, cut(text, TEXT_CHARS), cut(thinking, TEXT_CHARS) if thinking else None)


def _messages(messages: Sequence[Message]) -> tuple[MessageView, ...]:
    kept = list(messages)[-MOST_MESSAGES:]
    found = [MessageView(label(m.role, 20), cut(m.content, TEXT_CHARS)) for m in kept]
    if len(kept) < len(messages):
        found.insert(0, MessageView("note", Text(f"({plural(len(messages) - len(kept), 'earlier message')} not shown)")))
    return tuple(found)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)


def side_of(review: Review, one: Task, preference: str | None) -> str:
    """The letter under which a task shows the candidate's or the baseline's answer; a tie stays one."""
    if preference not in ("candidate", "baseline"):
        return preference or ""
    wanted = review.run.id if preference == "candidate" else review.baseline.id if review.baseline else ""
    return LETTERS[one.sides.index(wanted)] if wanted in one.sides else ""


def _choice(earlier: Label, one: Task, review: Review) -> str:
    return side_of(review, one, earlier.preference)


def said(review: Review, one: Label, shown_as: Task | None = None) -> str:
    """A label in words. shown_as: in the letters of this task, so that who adjudicates stays blind."""
    if one.kind == "mark":
        return ", ".join(one.marks) or ("comment" if one.comment else "no mark")
    if is_skip(one):
        return "cannot tell"
    if one.kind == "rate":
        verdict = {True: "pass", False: "fail", None: ""}[one.passed]
        return " ".join(filter(None, [verdict, f"{one.rating} of 5" if one.rating else ""]))
    if one.kind == "pair":
        letter = side_of(review, shown_as, one.preference) if shown_as else one.preference or ""
        return "tie" if letter == "tie" else f"{letter} is better"
    letters = dict(zip((shown_as or one).responses, LETTERS, strict=False))
    return " > ".join(" = ".join(sorted(letters.get(a, "?") for a in group)) for group in one.ranking)


_KIND = {"rate": "rated", "pair": "compared", "rank": "ranked", "mark": "marked"}


def history(review: Review, key: Key) -> tuple[LabelShown, ...]:
    """Everything that was said of a case, oldest first, edits and undone labels too."""
    found = [one for one in review.labels() if (one.capability, one.case_id) == key]
    gone = {one.supersedes for one in found if one.supersedes}
    return tuple(_line(one, _told(review, one), undone=one.id in gone or one.withdrawn) for one in found)


def recent(review: Review, rater: str, most: int = 12) -> tuple[LabelShown, ...]:
    """A rater's last labels in this review that count, the latest first, each with the address where it can be changed."""
    mine = [x for x in review.current() if x.rater == rater and x.run_id == review.run.id]
    mine = sorted(mine, key=lambda one: -one.created_at)[:most]
    return tuple(_line(one, _what(review, one), path=path_of(review, one)) for one in mine)


def path_of(review: Review, one: Label) -> str:
    """Where a label can be changed; "" where its answers are not under review."""
    key = (one.capability, one.case_id)
    if key not in review.cases:
        return ""
    if one.kind == "mark":
        return f"/case/{review.token_of(key)}"
    about = thing(one)
    path = next((t.path for t in review.tasks(one.kind, key, one.rater) if review.about(t) == about), "")
    return f"/adjudicate{path}" if path and one.adjudicates else path


def _line(one: Label, what: str, *, undone: bool = False, path: str = "") -> LabelShown:
    comment = cut(one.comment, 1_000) if one.comment else None
    return LabelShown(label(one.rater, 60), moment(one.created_at), what, comment, undone, path)


def _what(review: Review, one: Label) -> str:
    """A label in words that do not tell whose answer it was about: its author stays blind to the others."""
    words = said(review, one)
    if one.kind == "pair" and one.preference in ("candidate", "baseline"):
        key = (one.capability, one.case_id)
        task = next(iter(review.tasks("pair", key, one.rater)), None) if key in review.cases else None
        words = said(review, one, task) if task else "chosen"
    return f"{'adjudicated' if one.adjudicates else _KIND[one.kind]}: {words}"


def _told(review: Review, one: Label) -> str:
    """A label in words, with whose answer it was about."""
    if one.withdrawn:
        return "took back"
    words = f"{'adjudicated' if one.adjudicates else _KIND[one.kind]}: {said(review, one)}"
    if one.kind != "rate" or not one.sides:
        return words
    runs = one.sides[0].split(",")
    who = ["candidate"] * (review.run.id in runs) + ["baseline"] * bool(review.baseline and review.baseline.id in runs)
    return f"{words} ({' and '.join(who) or 'another run'})"


def disagreements(review: Review, rater: str) -> list[tuple[Settled, Task | None]]:
    """Open matters, each as a task in the order that this rater would see; None where its answers are not under review."""
    found = []
    for matter in review.disputed():
        key = (matter.thing[1], matter.thing[2])
        tasks = review.tasks(matter.thing[0], key, rater)
        found.append((matter, next((t for t in tasks if review.about(t) == matter.thing), None)))
    return found


def opened(review: Review, key: Key) -> CaseView:
    """The whole case, whose answers are whose and what checks and judges said, as the report opens it."""
    found = review.given(key)
    ours = [g.item for g in found if g.run_id == review.run.id]
    theirs = [g.item for g in found if review.baseline and g.run_id == review.baseline.id]
    rows = [
        [
            ScoreRow(
                i.case.id,
                i.case.capability,
                i.sample,
                i.status,
                i.score.value if i.score and i.status is ItemStatus.SCORED else None,
                i.score.passed if i.score else None,
                i.reason,
            )
            for i in items
        ]
        for items in (ours, theirs)
    ]
    [line] = evidence.case_lines(rows[0], rows[1], review.comparisons)
    return evidence.opened(line, ours, theirs, _OPENED)


def verdict_on(review: Review, one: Label) -> str:
    """After a rating: what the checks made of the same answer, and whether they agree; "" where there is nothing to tell."""
    if one.kind != "rate" or one.passed is None:
        return ""
    subject = review.cases.get((one.capability, one.case_id))
    both = [a for a in ((subject.candidate, subject.baseline) if subject else ()) if a]
    answer = next((a for a in both if a.response_id == one.responses[0]), None)
    if answer is None or answer.passed is None:
        return ""
    word = "pass" if answer.passed else "fail"
    return f"the suite's checks agree: {word}" if answer.passed == one.passed else f"the suite's checks say {word}"


def shown(text: str) -> Text:
    return cut(text, TEXT_CHARS)


def spoken(answers: Sequence[Response]) -> list[tuple[str, Text, Text | None, str]]:
    """(letter, text, thinking, why there is none) of the answers in one turn of a chat."""
    found = []
    for letter, one in zip(LETTERS, answers, strict=False):
        why = label(one.error_message or one.error, 300) if one.error else ""
        found.append((letter, shown(one.text), shown(one.thinking) if one.thinking else None, why))
    return found


def question(review: Review, key: Key) -> str:
    """The last thing that a case asks, for a chat to begin with."""
    messages = [m for one in review.given(key)[:1] for m in one.item.messages if m.role == "user"]
    return messages[-1].content[:MOST_CHARS] if messages else ""


def left_shown(left_s: float | None) -> str:
    if left_s is None or left_s <= 0:
        return ""
    minutes = round(left_s / 60)
    hours, rest = divmod(minutes, 60)
    words = f"{hours} h {rest:02d} min" if hours else plural(minutes, "minute")
    return f"about {words} left" if minutes else "less than a minute left"
