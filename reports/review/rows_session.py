"""A review of training rows, as the pages know it: the drawn rows in their order, what this rater said, what comes next."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from harness.quality.examples import Example
from harness.quality.humancheck import RowPlan, Word, current
from harness.quality.reviewfile import ReviewFile

_PACED = 20  # verdicts by which the time left is told


@dataclass(frozen=True, slots=True)
class RowProgress:
    """left_s: seconds the rest takes at this rater's median pace, None before there is any."""

    done: int
    total: int
    left_s: float | None


class RowReview:
    """rows: digest -> row, of every drawn one. Equal rows that were drawn twice are read once."""

    def __init__(self, name: str, plan: RowPlan, rows: Mapping[str, Example], log: ReviewFile) -> None:
        self.name, self.plan, self.rows, self.log = name, plan, rows, log
        self.order = list(dict.fromkeys(pick.row for pick in plan.picks))
        self.picks = {pick.row: pick for pick in reversed(plan.picks)}

    def said(self, rater: str) -> dict[str, Word]:
        """Row -> what this rater says of it now."""
        return {row: word for (row, who), word in current(self.log.words).items() if who == rater and row in self.picks}

    def next_row(self, rater: str) -> int | None:
        """Place of the first row that this rater has said nothing of, None when there is none."""
        said = self.said(rater)
        return next((place for place, row in enumerate(self.order) if row not in said), None)

    def progress(self, rater: str) -> RowProgress:
        said = self.said(rater)
        times = sorted(word.seconds for word in list(said.values())[-_PACED:] if word.seconds is not None)
        left = len(self.order) - len(said)
        return RowProgress(len(said), len(self.order), times[len(times) // 2] * left if times else None)

    def raters(self) -> dict[str, int]:
        """Rater -> drawn rows they have a word on, "cannot tell" included."""
        found: dict[str, int] = {}
        for row, who in current(self.log.words):
            if row in self.picks:
                found[who] = found.get(who, 0) + 1
        return dict(sorted(found.items()))

    def say(self, place: int, rater: str, verdict: str, *, comment: str, seconds: float | None) -> None:
        pick = self.picks[self.order[place]]
        made = Word(uuid.uuid4().hex, pick.row, pick.line, rater, time.time(), verdict, comment, seconds, self.plan.id)
        self.log.add_word(made)

    def last(self, rater: str) -> Word | None:
        """The rater's last word on a drawn row that still counts."""
        gone = {word.undoes for word in self.log.words if word.undoes}
        mine = (w for w in reversed(self.log.words) if w.rater == rater and not w.undoes and w.id not in gone)
        return next((word for word in mine if word.row in self.picks), None)

    def undo(self, rater: str) -> int | None:
        """Take the rater's last word back; the place of the row it was about, None where there was none."""
        last = self.last(rater)
        if last is None:
            return None
        undone = Word(uuid.uuid4().hex, last.row, last.line, rater, time.time(), plan=self.plan.id, undoes=last.id)
        self.log.add_word(undone)
        return self.order.index(last.row)
