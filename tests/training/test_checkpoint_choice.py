"""The choice among checkpoints by hand, and what it never does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from training.choice import Rule, Standing, choose

RULES = {"json": Rule("target", 0.0), "date": Rule("protected", 0.05), "tone": Rule("advisory", 0.0)}
BASE = {"json": 0.1, "date": 0.9, "tone": 0.5}


def at(step: int, loss: float | None, json: float | None, date: float | None) -> Standing:
    return Standing(step, loss, {"json": json, "date": date, "tone": 0.0})


def test_the_lowest_loss_is_not_the_best_when_it_breaks_something() -> None:
    found = choose([at(10, 0.9, 0.6, 0.88), at(20, 0.5, 0.8, 0.2), at(30, 0.7, 0.7, 0.85)], RULES, BASE)
    assert (found.by_loss, found.by_suite, found.kept, found.agree) == (20, 30, True, False)


def test_none_keeps_everything() -> None:
    found = choose([at(10, 0.9, 0.9, 0.5), at(20, 0.5, 0.2, 0.7)], RULES, BASE)
    assert (found.by_suite, found.kept) == (20, False)
    assert "date, 15.0 points beyond its margin" in found.reason
    assert found.agree


def test_ties_go_to_the_lower_loss_then_to_the_earlier() -> None:
    assert choose([at(10, 0.9, 0.6, 0.9), at(20, 0.5, 0.6, 0.9)], RULES, BASE).by_suite == 20
    assert choose([at(10, None, 0.6, 0.9), at(20, None, 0.6, 0.9)], RULES, BASE).by_suite == 10


def test_nothing_scored() -> None:
    found = choose([Standing(10, 0.5, {"json": None, "date": None})], RULES, BASE)
    assert (found.by_loss, found.by_suite) == (10, None)


def test_unscored_counts_nothing_not_everything() -> None:
    assert choose([at(10, 0.5, None, 0.9), at(20, 0.6, 0.1, 0.9)], RULES, BASE).by_suite == 20
    assert choose([at(10, 0.5, 0.9, None), at(20, 0.6, 0.1, 0.9)], RULES, BASE).by_suite == 20


score = st.one_of(st.none(), st.floats(0, 1))


@given(st.lists(st.builds(at, st.integers(1, 99), st.floats(0, 9), score, score), min_size=1, max_size=8))
def test_a_checkpoint_that_keeps_everything_is_never_passed_over(standings: list[Standing]) -> None:
    found = choose(standings, RULES, BASE)
    fine = [s.step for s in standings if (s.means["date"] or 0.0) >= BASE["date"] - 0.05]
    if found.by_suite is not None and fine:
        assert found.kept
        assert found.by_suite in fine
