"""The page of `harness choose`: whole, self-contained and inert, whatever the choice looks like."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from harness.choice import Answer, Choice, Gain, Kept, ProtectedScore, Reach, TargetScore, Tried
from harness.model import Ledger, Split
from harness.statistics.best import MeanInterval, Standing
from harness.suite import Combination
from reports.choice import ChoiceView, build
from reports.choice_page import render

HOSTILE = '"><script>alert(1)</script>\x1b[31m\u202e'
VOID = {"meta", "link", "line", "rect", "circle", "path", "br"}


def tried(name: str, mean: float | None, *, targets: int = 1, missing: int = 0, **changes: Any) -> Tried:
    candidate, _, prompt = name.partition("+")
    low, high = (0.0, 1.0) if mean is None else (max(mean - 0.1, 0.0), min(mean + 0.1, 1.0))
    interval = MeanInterval(mean, low, high, 80 - missing, missing, 0.025, "" if mean is not None else "no case has a score")
    worse = bool(prompt) and mean is not None and mean < 0.5
    gain = Gain(0.1, -0.05, 0.2) if prompt else None
    scores = tuple(
        TargetScore(f"target {k}", 0.7, interval, Standing(-0.1, 0.1, not worse, 0 if worse else None), gain)
        for k in range(targets)
    )
    reaches = mean is not None and low >= 0.7
    values: dict[str, Any] = {
        "combination": Combination(name, candidate, prompt or "default", 0, candidate == "sft"),
        "run_id": "0123456789ab",
        "reach": Reach.REACHES if reaches else Reach.SHORT if high < 0.7 else Reach.OPEN,
        "targets": scores,
        "protected": (ProtectedScore("safe", 0.9, Kept.OPEN),),
        "tokens": 40.0,
        "ledger": Ledger(80, 80 - missing, {"truncated": missing} if missing else {}),
    }
    return Tried(**values | changes)


def view(rows: tuple[Tried, ...], answer: Answer, *, best: str | None = None, **changes: Any) -> ChoiceView:
    values: dict[str, Any] = {"cheapest": best, "open_cases": 120, "alpha": 0.05, "split": Split.DEV, "failed": ""}
    return build(Choice(rows, answer, best, **values | changes), "suite", {"safe": 0.05}, "base")


class Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def sound(page: str) -> None:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert page.count("<script>") == 1  # our own
    assert re.findall(r'(?:src|href)="(?!#|data:)', page) == []
    assert "Content-Security-Policy" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page)


@pytest.mark.parametrize(
    ("rows", "answer", "changes", "says"),
    [
        ((tried("base", 0.2), tried("base+new", 0.9)), Answer.PROMPT, {"best": "base+new"}, "A prompt reaches it"),
        ((tried("base", 0.9), tried("base+new", 0.2)), Answer.PROMPT, {"best": "base"}, "Good enough as it is"),
        ((tried("base", 0.2), tried("sft", 0.9)), Answer.TUNING, {"open_cases": None}, "Tuning reaches it"),
        ((tried("base", 0.2), tried("base+new", 0.65)), Answer.UNDECIDED, {}, "About 120 cases would decide it"),
        ((tried("base", 0.7),), Answer.UNDECIDED, {"open_cases": None}, "No affordable number of cases"),
        ((tried("base", None), tried("base+new", None)), Answer.UNDECIDED, {"open_cases": None}, "No case has a score."),
        ((tried("base", 0.2),), Answer.UNDECIDED, {"failed": "9 of 80 requests of base failed"}, "Cannot be judged"),
        ((tried("base", 0.2, targets=3), tried("sft", 0.9, targets=3)), Answer.TUNING, {}, "each is shown to fall short"),
        ((tried("base", 0.9, missing=3, protected=()),), Answer.PROMPT, {"best": "base"}, "3 without a score"),
        ((tried("base", 0.9), tried("sft", 0.2)), Answer.PROMPT, {"best": "base", "split": Split.GATE}, "no longer a blind test"),
    ],
)
def test_every_kind_of_choice_is_a_whole_page(
    rows: tuple[Tried, ...], answer: Answer, changes: dict[str, Any], says: str
) -> None:
    page = render(view(rows, answer, **changes))
    sound(page)
    assert says in page
    assert page.count('<svg class="forest"') == len(rows) * len(rows[0].targets)
    assert [name for name in ("verdict", "combinations", "runs") if f'<section id="{name}">' not in page] == []


def test_the_same_choice_is_the_same_page() -> None:
    rows = (tried("base", 0.2), tried("base+new", 0.9))
    pages = {render(view(rows, Answer.PROMPT, best="base+new")) for _ in range(3)}
    assert len(pages) == 1


def test_hostile_names_stay_text() -> None:
    row = tried(f"base+{HOSTILE}", 0.9)
    scores = tuple(TargetScore(HOSTILE, s.goal, s.interval, s.standing, s.gain) for s in row.targets)
    hostile = Tried(row.combination, HOSTILE, row.reach, scores, (ProtectedScore(HOSTILE, None, Kept.LOST),), None, row.ledger)
    choice = Choice((tried("base", 0.2), hostile), Answer.UNDECIDED, None, None, None, 0.05, Split.DEV, failed=HOSTILE)
    sound(render(build(choice, HOSTILE, {HOSTILE: 0.05}, HOSTILE, 5, {HOSTILE: [HOSTILE]})))
