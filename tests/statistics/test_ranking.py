"""Bradley-Terry, win rates and their length control: by hand, against statsmodels, refused where nothing ranks, simulated."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError
from harness.statistics.ranking import Outcome, bradley_terry, outcomes_of_ranking, win_rate, win_rates


def played(strengths: dict[str, float], games: int, rng: np.random.Generator, ties: float = 0.0) -> list[Outcome]:
    found = []
    for a, b in combinations(strengths, 2):
        for _ in range(games):
            chance = 1.0 / (1.0 + math.exp(strengths[b] - strengths[a]))
            tie = rng.random() < ties
            found.append(Outcome(a, b, 0.5 if tie else float(rng.random() < chance)))
    return found


# -- Bradley-Terry --------------------------------------------------------------------------------------------------------------


def test_two_candidates_by_hand() -> None:
    """30 wins, 10 losses: log-odds log 3 between them, half of it to each side of the average."""
    found = bradley_terry([Outcome("a", "b", 1.0)] * 30 + [Outcome("b", "a", 1.0)] * 10)
    a, b = found.strengths
    assert (a.name, b.name) == ("a", "b")
    assert a.log_odds.value == pytest.approx(math.log(3) / 2)
    assert b.log_odds.value == pytest.approx(-math.log(3) / 2)
    assert a.beats.value == pytest.approx(1 / (1 + math.exp(-math.log(3) / 2)))
    assert a.log_odds.low < a.log_odds.value < a.log_odds.high
    assert (a.place_low, a.place_high, b.place_low, b.place_high) == (1, 1, 2, 2)


def test_a_tie_is_half_a_win_to_each() -> None:
    ties = bradley_terry([Outcome("a", "b", 0.5)] * 20 + [Outcome("a", "b", 1.0)] * 20)
    halves = bradley_terry([Outcome("a", "b", 1.0)] * 30 + [Outcome("a", "b", 0.0)] * 10)
    assert ties.strengths[0].log_odds.value == pytest.approx(halves.strengths[0].log_odds.value)
    assert bradley_terry([Outcome("a", "b", 0.5)] * 20).strengths[0].log_odds.value == pytest.approx(0.0)


@pytest.mark.parametrize("seed", range(3))
def test_strengths_and_intervals_are_those_of_a_robust_glm(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outcomes = played({"a": 0.8, "b": 0.3, "c": 0.0, "d": -0.6}, 40, rng, ties=0.2)
    names = ["a", "b", "c", "d"]
    design = np.array([[(o.first == n) - (o.second == n) for n in names[1:]] for o in outcomes], dtype=float)
    theirs = sm.GLM(np.array([o.share for o in outcomes]), design, family=sm.families.Binomial()).fit(cov_type="HC0")
    found = {s.name: s.log_odds for s in bradley_terry(outcomes).strengths}
    values = np.array([0.0, *theirs.params])
    n = len(outcomes)
    centre = np.vstack([np.zeros(3), np.eye(3)])
    centre = centre - centre.mean(axis=0)
    for i, name in enumerate(names):
        assert found[name].value == pytest.approx(values[i] - values.mean(), abs=1e-6)
        se = math.sqrt(centre[i] @ theirs.cov_params() @ centre[i] * n / (n - 3))
        assert (found[name].high - found[name].low) / 2 == pytest.approx(1.975 * se, rel=0.005)


def test_the_interval_covers_and_clusters_widen_it() -> None:
    rng = np.random.default_rng(5)
    strengths = {"a": 0.7, "b": 0.0, "c": -0.7}
    covered = total = 0
    for _ in range(250):
        for one in bradley_terry(played(strengths, 25, rng, ties=0.1)).strengths:
            truth = strengths[one.name] * 0.9 / 1.0  # ties pull towards even: the strength that explains the shares, near enough
            covered += one.log_odds.low <= truth <= one.log_odds.high
            total += 1
    assert covered / total >= 0.93 - 3 * math.sqrt(0.05 * 0.95 / total)
    once = played(strengths, 30, rng)
    copies = [Outcome(o.first, o.second, o.share, 1.0, f"case {i}") for i, o in enumerate(once) for _ in range(4)]
    width = [s.log_odds.high - s.log_odds.low for s in bradley_terry(once).strengths]
    clustered = [s.log_odds.high - s.log_odds.low for s in bradley_terry(copies).strengths]
    assert clustered == pytest.approx(width, rel=0.05)
    naive = [Outcome(o.first, o.second, o.share) for o in copies]
    assert [s.log_odds.high - s.log_odds.low for s in bradley_terry(naive).strengths] < [0.6 * w for w in width]


def test_places_say_what_is_not_told_apart() -> None:
    rng = np.random.default_rng(6)
    found = bradley_terry(played({"best": 2.0, "one": 0.0, "other": 0.05, "worst": -2.0}, 60, rng)).strengths
    places = {s.name: (s.place_low, s.place_high) for s in found}
    assert places["best"] == (1, 1)
    assert places["worst"] == (4, 4)
    assert places["one"] == places["other"] == (2, 3)


def test_candidates_that_always_tie_share_their_places() -> None:
    outcomes = [Outcome("good", "base", 0.5, cluster=str(i)) for i in range(60)]
    outcomes += [Outcome("bad", "base", 0.5 * (i % 2), cluster=str(i)) for i in range(60)]
    found = {one.name: (one.place_low, one.place_high) for one in bradley_terry(outcomes).strengths}
    assert found == {"base": (1, 2), "good": (1, 2), "bad": (3, 3)}


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([], "fewer than two"),
        ([Outcome("a", "b", 1.0), Outcome("b", "a", 1.0), Outcome("c", "d", 0.5)], "a, b and c, d were never compared"),
        ([Outcome("a", "b", 1.0)] * 20, "a never lost to the others"),
        ([Outcome("a", "b", 0.5), Outcome("b", "c", 1.0), Outcome("a", "c", 1.0)], "a, b never lost to the others"),
        ([Outcome("a", "b", 1.0), Outcome("b", "c", 1.0), Outcome("c", "d", 0.5)], "a never lost"),
    ],
)
def test_what_cannot_be_ranked_is_refused_with_the_reason(outcomes: list[Outcome], reason: str) -> None:
    found = bradley_terry(outcomes)
    assert found.strengths == ()
    assert reason in found.reason


def test_few_comparisons_rank_without_an_interval() -> None:
    found = bradley_terry([Outcome("a", "b", 1.0), Outcome("a", "b", 1.0), Outcome("a", "b", 0.0)])
    assert found.strengths[0].log_odds.value == pytest.approx(math.log(2) / 2)
    assert found.strengths[0].log_odds.low is None
    assert (found.strengths[0].place_low, found.strengths[0].place_high) == (1, 2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from([0.0, 0.5, 1.0])), max_size=30))
def test_names_order_and_sides_do_not_matter(rows: list[tuple[str, str, float]]) -> None:
    outcomes = [Outcome(a, b, share) for a, b, share in rows if a != b]
    found = bradley_terry(outcomes)
    turned = bradley_terry([Outcome(o.second, o.first, 1.0 - o.share) for o in reversed(outcomes)])
    assert [s.name for s in found.strengths] == [s.name for s in turned.strengths] or found.reason == turned.reason != ""
    for one, other in zip(found.strengths, turned.strengths, strict=True):
        assert one.log_odds.value == pytest.approx(other.log_odds.value, abs=1e-6)
    if found.strengths:
        assert sum(s.log_odds.value or 0.0 for s in found.strengths) == pytest.approx(0.0, abs=1e-6)
    else:
        assert found.reason


@pytest.mark.parametrize(
    "wrong", [Outcome("a", "a", 1.0), Outcome("a", "b", 1.1), Outcome("a", "b", 0.5, 0.0), Outcome("a", "b", math.nan)]
)
def test_outcomes_that_are_none_are_refused(wrong: Outcome) -> None:
    with pytest.raises(DataError):
        bradley_terry([wrong])


def test_a_ranking_becomes_all_its_pairs() -> None:
    found = outcomes_of_ranking([["x"], ["y", "z"], ["w"]], cluster="case")
    assert {(o.first, o.second, o.share) for o in found} == {
        ("x", "y", 1.0),
        ("x", "z", 1.0),
        ("x", "w", 1.0),
        ("y", "z", 0.5),
        ("y", "w", 1.0),
        ("z", "w", 1.0),
    }
    assert sum(o.weight for o in found) == pytest.approx(1.0)
    assert {o.cluster for o in found} == {"case"}
    assert outcomes_of_ranking([["only"]]) == []
    with pytest.raises(DataError):
        outcomes_of_ranking([["x"], ["x"]])


# -- win rates ------------------------------------------------------------------------------------------------------------------


def test_a_win_rate_counts_ties_half() -> None:
    found = win_rate([1.0] * 30 + [0.5] * 20 + [0.0] * 10)
    assert found.value == pytest.approx(40 / 60)
    assert 0.5 < found.low < found.value < found.high < 0.8
    assert win_rate([]).value is None
    assert win_rate([1.0] * 20).high == 1.0
    assert win_rate([1.0] * 20).low < 0.95


def test_equal_length_by_an_independent_fit() -> None:
    rng = np.random.default_rng(3)
    lengths = rng.normal(100.0, 200.0, 400)
    x = np.tanh(lengths / lengths.std(ddof=1))
    shares = np.where(rng.random(400) < 0.1, 0.5, (rng.random(400) < 1 / (1 + np.exp(-(-0.2 + 1.5 * x)))).astype(float))
    theirs = sm.GLM(shares, sm.add_constant(x), family=sm.families.Binomial()).fit(cov_type="HC0")
    found = win_rates(shares, lengths)
    assert found.at_equal_length.value == pytest.approx(1 / (1 + math.exp(-theirs.params[0])), abs=1e-8)
    assert found.length_effect.value == pytest.approx(theirs.params[1], abs=1e-8)
    se = theirs.bse[1] * math.sqrt(400 / 398)
    assert (found.length_effect.high - found.length_effect.low) / 2 == pytest.approx(1.966 * se, rel=0.002)


def test_wins_by_length_alone_vanish_at_equal_length() -> None:
    """The candidate is no better but longer, and the judge likes length: 65 % become half; the interval covers half."""
    rng = np.random.default_rng(4)
    covered, raw = 0, []
    for _ in range(120):
        lengths = rng.normal(80.0, 100.0, 600)
        x = np.tanh(lengths / lengths.std(ddof=1))
        found = win_rates((rng.random(600) < 1 / (1 + np.exp(-1.5 * x))).astype(float), lengths)
        covered += found.at_equal_length.low <= 0.5 <= found.at_equal_length.high
        raw.append(found.raw.value)
    assert covered / 120 >= 0.94 - 3 * math.sqrt(0.05 * 0.95 / 120)
    assert np.mean(raw) > 0.62


def test_where_length_does_not_matter_nothing_changes() -> None:
    rng = np.random.default_rng(8)
    lengths = rng.normal(0.0, 50.0, 2000)
    found = win_rates((rng.random(2000) < 0.7).astype(float), lengths)
    assert found.at_equal_length.value == pytest.approx(found.raw.value, abs=0.01)
    assert found.length_effect.low < 0.0 < found.length_effect.high


@pytest.mark.parametrize(
    ("shares", "lengths", "reason"),
    [
        ([1.0] * 30, list(range(30)), "one side wins"),
        ([0.0] * 15 + [1.0] * 15, list(range(-15, 15)), "one side wins"),
        ([1.0, 0.0] * 10, [5.0] * 20, "explains nothing"),
        ([1.0], [3.0], "fewer than two"),
        ([], [], "fewer than two"),
    ],
)
def test_a_control_that_cannot_be_is_no_number(shares: list[float], lengths: list[float], reason: str) -> None:
    found = win_rates(shares, lengths)
    assert found.length_effect.value is None
    assert reason in found.length_effect.reason
    assert found.at_equal_length.low is None


@pytest.mark.parametrize(("shares", "lengths"), [([1.5], [1.0]), ([1.0, 0.0], [1.0]), ([1.0, 0.0], [1.0, math.inf])])
def test_win_rates_of_what_is_none_are_refused(shares: list[float], lengths: list[float]) -> None:
    with pytest.raises(DataError):
        win_rates(shares, lengths)
