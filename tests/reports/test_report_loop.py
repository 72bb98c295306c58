"""The loop's page: what it says of each round, and that nothing in it comes alive."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.loop import (
    Begun,
    Cost,
    Curated,
    End,
    Failures,
    Ledger,
    Look,
    Round,
    Settings,
    Standing,
    Step,
    Trained,
    Weakness,
    Why,
)
from harness.model import Outcome
from reports.loop import alpha_note, build, render
from reports.nouns import Tone

SETTINGS = Settings("desk", "5" * 64, "sft", "w0", "base", "r", "c", rounds=4, alpha=0.05)
HOSTILE = "</td><script>alert(1)</script>\u202e'\"&"


def ledger(name: str = "date") -> Ledger:
    bad = Standing(name, "protected", 0.06, 0.96, 0.192, -0.768, -0.824, -0.705, ("regressed", "harmed"))
    good = replace(bad, candidate=0.95, delta=-0.01, low=-0.04, high=0.02, claims=("not worse",))
    first = Round(
        1,
        "sft",
        Look(Outcome.OPTIMIZE, 1, "r1", "b", (name,), (), (), ("why",), (bad,), "round-1/report.html"),
        Failures("d1", "d0", (Weakness(name, 80, 62, "62 of 62 cases to mend"),)),
        Curated(60, 55, 60, 18, 7, {name: {"pairs": 55, "sft": 60, "replay": 18}}),
        Trained("w1", "round-1/adapter", "sft", 78, {"train_loss": 0.0527}),
        (Cost(Step.GATE, 2500, 71.0), Cost(Step.TRAIN, 0, 12.0)),
    )
    ships = Look(Outcome.SHIP, 0, "r2", "b", (), (name,), ("orders",), (), (good,), "round-2/report.html")
    return Ledger(SETTINGS, (first, Round(2, "sft-r1", ships, costs=(Cost(Step.GATE, 1250, 30.0),))))


def text(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.DOTALL)).split())


def test_each_round_says_what_stood_in_the_way_what_was_learnt_and_what_it_cost() -> None:
    page = render(build(ledger(), End(Why.SHIP, "round 2: sft-r1 ships", 0), ("Promote it: `harness promote r2`",)))
    said = text(page)
    assert "Round 1: sft OPTIMIZE In the way: date." in said
    assert "date protected 96.0% 19.2% \u221276.8 [\u221282.4, \u221270.5] regressed, harmed" in said
    assert "55 pairs, 60 SFT rows and 18 replay rows of dev cases; 7 left out." in said
    assert "sft on 78 rows, written to round-1/adapter: train_loss 0.0527." in said
    assert "look at the gate 2,500" in said
    assert "Better than in the round before: date. Worse than in the round before: orders." in said
    assert '<a href="round-1/report.html">' in page
    assert "<code>harness promote r2</code>" in page
    assert "3,750" in said  # requests of all rounds


@pytest.mark.parametrize("why", list(Why))
def test_every_end_has_a_head_and_a_tone(why: Why) -> None:
    bad = Ledger(SETTINGS, ledger().rounds[:1])
    view = build(bad, End(why, "so it is", 1))
    assert view.headline
    assert view.tone is (Tone.GOOD if why is Why.SHIP else Tone.BAD)
    assert build(Ledger(SETTINGS, (Round(1, "sft"),)), End(why, "so it is", 4)).rounds == ()


def test_under_way_says_what_is_done_now() -> None:
    view = build(replace(ledger(), begun=Begun(Step.DEV, 400)), None)
    assert (view.headline, view.lead) == ("Under way", "round 2, dev split")


def test_the_looks_are_counted_and_their_alpha_said() -> None:
    assert alpha_note(ledger()).startswith("2 looks at the same gate cases of at most 4, each at alpha 0.0125 (0.05 / 4)")


def test_nothing_comes_alive() -> None:
    page = render(build(ledger(HOSTILE), End(Why.NO_PROGRESS, HOSTILE, 1), (HOSTILE,)))
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "default-src 'none'" in page.replace("&#39;", "'")
    assert page.count("<section") == 3
