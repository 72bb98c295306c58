"""Bounds over many combinations: by hand, by properties, and by simulation where choosing the best breaks a plain interval."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from harness.errors import DataError, UsageError
from harness.statistics import clopper_pearson_lower, clopper_pearson_upper, compare_paired, mean_bounds
from harness.statistics.best import Standing, mean_intervals, standings

ALPHA = 0.05


def binary(rng: np.random.Generator, means: list[float], n: int, alike: float = 0.6) -> np.ndarray:
    """(combinations, n) 0/1 scores; cases are hard or easy for all combinations together, by a latent normal."""
    latent = math.sqrt(alike) * rng.standard_normal(n) + math.sqrt(1 - alike) * rng.standard_normal((len(means), n))
    return (latent < norm.ppf(means)[:, None]).astype(float)


def graded(rng: np.random.Generator, means: list[float], n: int) -> np.ndarray:
    """Scores of any value, many of them 1: the edge that good answers have."""
    hard = rng.random(n)
    return np.stack([np.where(hard < 2 * m - 1, 1.0, rng.random(n)) for m in means])


def allowed(runs: int) -> float:
    """The least coverage that is no evidence against 1 - alpha: three Monte-Carlo standard errors."""
    return 1 - ALPHA - 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


# -- by hand ---------------------------------------------------------------------------------------------------------------------


def test_bounds_are_the_exact_ones_at_a_share_of_alpha() -> None:
    scores = np.array([[1.0] * 30 + [0.0] * 10, [1.0] * 40, [0.0] * 40])
    found = mean_intervals(scores, ALPHA)
    for row, passed in zip(found, (30, 40, 0), strict=True):
        assert row.mean == passed / 40
        assert row.low == pytest.approx(clopper_pearson_lower(passed, 40, ALPHA / 3))
        assert row.high == pytest.approx(clopper_pearson_upper(passed, 40, ALPHA / 3))
        assert (row.n, row.missing, row.level) == (40, 0, ALPHA / 3)
    (wider,) = mean_intervals(scores[:1], ALPHA, shares=12)
    assert wider.low == pytest.approx(clopper_pearson_lower(30, 40, ALPHA / 12))


def test_clusters_and_graded_scores_use_the_betting_bound() -> None:
    scores = np.linspace(0, 1, 60)[None, :]
    labels = np.arange(60) % 20
    (found,) = mean_intervals(scores, ALPHA, clusters=labels)
    assert (found.low, found.high) == pytest.approx(mean_bounds(scores[0].tolist(), ALPHA, clusters=labels))


def test_a_missing_score_counts_against_what_is_to_be_shown() -> None:
    row = np.array([1.0] * 30 + [0.0] * 8 + [np.nan] * 2)
    (found,) = mean_intervals([row], ALPHA)
    assert found.mean == 30 / 38
    assert found.low == pytest.approx(clopper_pearson_lower(30, 40, ALPHA))
    assert found.high == pytest.approx(clopper_pearson_upper(32, 40, ALPHA))
    assert (found.n, found.missing) == (38, 2)
    better, worse = np.ones(40), np.array([0.0] * 9 + [1.0] * 31)
    assert not standings([better, worse], ALPHA)[1].may_be_best
    better[:8] = np.nan  # where the other one fails: without its scores there, nothing is shown
    assert standings([better, worse], ALPHA)[1].may_be_best


def test_standings_by_hand() -> None:
    """Three combinations: each pair at alpha / 2, by the same numbers as compare_paired."""
    rng = np.random.default_rng(5)
    scores = binary(rng, [0.95, 0.9, 0.4], 100)
    first, second, third = standings(scores, ALPHA)
    pair = compare_paired(scores[0], scores[1], margin=0.1, alpha=ALPHA / 2)
    assert pair.low < 0 < pair.high
    assert first == Standing(pytest.approx(pair.low), pytest.approx(pair.high), True)
    assert second == Standing(pytest.approx(-pair.high), pytest.approx(-pair.low), True)
    lows = [compare_paired(scores[2], scores[k], margin=0.1, alpha=ALPHA / 2).low for k in (0, 1)]
    assert third == Standing(pytest.approx(min(lows)), 0.0, False, 0)


def test_one_alone_may_be_best_and_none_is_none() -> None:
    assert standings([[1.0, 0.0]], ALPHA) == (Standing(0.0, 0.0, True),)
    assert standings(np.zeros((0, 3)), ALPHA) == ()
    assert mean_intervals(np.zeros((0, 3)), ALPHA) == ()


def test_a_sole_winner_is_no_worse_than_the_rest() -> None:
    scores = np.array([[1.0] * 80, [0.0] * 80, [1.0] * 20 + [0.0] * 60])
    first, *others = standings(scores, ALPHA)
    assert (first.may_be_best, first.low) == (True, 0.0)
    assert first.high > 0.5
    assert all(not row.may_be_best and row.beaten_by == 0 and row.high == 0.0 for row in others)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_all_ties_never_give_a_certain_answer(value: float) -> None:
    found = standings(np.full((3, 50), value), ALPHA)
    assert all(row.may_be_best and row.low < 0.0 < row.high for row in found)
    intervals = mean_intervals(np.full((3, 50), value), ALPHA)
    assert all(row.low < value or value == 0.0 for row in intervals)
    assert all(row.high > value or value == 1.0 for row in intervals)
    assert all(row.high - row.low > 0.02 for row in intervals)


@pytest.mark.parametrize(
    ("scores", "clusters", "says"),
    [
        (np.ones((2, 1)), None, "one case shows nothing"),
        (np.ones((2, 0)), None, "no case"),
        (np.ones((2, 40)), np.arange(40) % 4, "4 clusters"),
        (np.full((2, 40), np.nan), None, "no case has a score"),
    ],
)
def test_too_little_says_nothing_and_why(scores: np.ndarray, clusters: np.ndarray | None, says: str) -> None:
    for row in mean_intervals(scores, ALPHA, clusters=clusters):
        assert (row.low, row.high) == (0.0, 1.0)
        assert says in row.reason
    assert all(row.may_be_best for row in standings(scores, ALPHA, clusters=clusters))


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([[0.5, 1.2]], "score 1 of combination 0 is 1.2"),
        ([[0.5], [-0.1]], "score 0 of combination 1"),
        ([[np.inf]], "outside"),
        ([0.5, 0.5], "1 dimensions"),
        ([["a"]], "not a table of numbers"),
        ([[0.5, 0.5], [0.5]], "not a table of numbers"),
    ],
)
def test_scores_that_are_none_are_refused(scores: object, says: str) -> None:
    for function in (mean_intervals, standings):
        with pytest.raises(DataError, match=says):
            function(scores, ALPHA)  # type: ignore[arg-type]


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0, float("nan")])
def test_bad_levels_are_refused(alpha: float) -> None:
    for function in (mean_intervals, standings):
        with pytest.raises(UsageError):
            function([[0.5, 0.5]], alpha)
    with pytest.raises(UsageError, match="2 are needed"):
        mean_intervals([[0.5, 0.5], [0.5, 0.5]], ALPHA, shares=1)


# -- properties ------------------------------------------------------------------------------------------------------------------

tables = st.integers(2, 5).flatmap(
    lambda rows: st.integers(2, 30).flatmap(
        lambda n: st.lists(
            st.lists(st.sampled_from([0.0, 0.5, 1.0, float("nan")]), min_size=n, max_size=n), min_size=rows, max_size=rows
        )
    )
)


@settings(max_examples=60, deadline=None)
@given(tables, st.randoms(use_true_random=False))
def test_order_of_combinations_and_cases_does_not_matter(table: list[list[float]], random: object) -> None:
    scores = np.array(table)
    rows, cases = list(range(len(scores))), list(range(scores.shape[1]))
    random.shuffle(rows)  # type: ignore[attr-defined]
    random.shuffle(cases)  # type: ignore[attr-defined]
    plain, shuffled = standings(scores, ALPHA), standings(scores[rows][:, cases], ALPHA)
    for place, row in enumerate(rows):
        assert shuffled[place].may_be_best == plain[row].may_be_best
        assert (shuffled[place].low, shuffled[place].high) == pytest.approx((plain[row].low, plain[row].high), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(tables)
def test_someone_is_always_left_and_bounds_hold_zero(table: list[list[float]]) -> None:
    found = standings(table, ALPHA)
    assert any(row.may_be_best for row in found)
    for row in found:
        assert -1.0 <= row.low <= 0.0 <= row.high <= 1.0
        assert row.may_be_best == (row.beaten_by is None)
    for interval in mean_intervals(table, ALPHA):
        assert 0.0 <= interval.low <= interval.high <= 1.0
        assert interval.mean is None or interval.low <= interval.mean <= interval.high


# -- what holds together ---------------------------------------------------------------------------------------------------------

MEANS = {
    "equal": [0.8] * 8,
    "equal near one": [0.97] * 8,
    "at the edge": [0.995] * 6,
    "near zero": [0.02] * 6,
    "two tied best": [0.9, 0.9, 0.85, 0.6, 0.3, 0.1],
    "a ladder": [0.95, 0.93, 0.9, 0.86, 0.8, 0.7],
}


@pytest.mark.parametrize("n", [25, 80])
@pytest.mark.parametrize("name", sorted(MEANS))
def test_all_bounds_of_means_hold_together(name: str, n: int) -> None:
    """... so that the bound of the one with the best score holds, too, which it would not were it bounded alone."""
    rng, runs, means = np.random.default_rng([n, sorted(MEANS).index(name)]), 250, np.array(MEANS[name])
    low = high = 0
    for _ in range(runs):
        found = mean_intervals(binary(rng, list(means), n), ALPHA)
        low += all(row.low <= m for row, m in zip(found, means, strict=True))
        high += all(row.high >= m for row, m in zip(found, means, strict=True))
    assert low / runs >= allowed(runs)
    assert high / runs >= allowed(runs)


@pytest.mark.parametrize("n", [40, 80])
@pytest.mark.parametrize("name", sorted(MEANS))
def test_distances_from_the_best_hold_together(name: str, n: int) -> None:
    rng, runs, means = np.random.default_rng([n, 7, sorted(MEANS).index(name)]), 150, np.array(MEANS[name])
    distance = [m - max(np.delete(means, k)) for k, m in enumerate(means)]
    covered = kept = 0
    for _ in range(runs):
        found = standings(binary(rng, list(means), n), ALPHA)
        covered += all(row.low <= d + 1e-9 and row.high >= d - 1e-9 for row, d in zip(found, distance, strict=True))
        kept += all(row.may_be_best for row, d in zip(found, distance, strict=True) if d > 0)
    assert covered / runs >= allowed(runs)
    assert kept / runs >= allowed(runs)


def test_the_true_best_of_graded_and_of_clustered_scores_is_kept() -> None:
    rng, runs, kept, clustered, beaten = np.random.default_rng(3), 120, 0, 0, 0
    for _ in range(runs):
        scores = graded(rng, [0.9, 0.88, 0.88, 0.55], 80)
        found = standings(scores, ALPHA)
        kept += found[0].may_be_best
        beaten += not found[3].may_be_best
        few = binary(rng, [0.8, 0.8, 0.8], 30)
        together = standings(np.repeat(few, 4, axis=1), ALPHA, clusters=np.repeat(np.arange(30), 4))
        clustered += all(row.may_be_best for row in together)
    assert kept / runs >= allowed(runs)
    assert clustered / runs >= allowed(runs)
    assert beaten / runs > 0.9  # it can tell


def chosen_alone(scores: np.ndarray) -> float:
    """The lower bound of the best-looking one, as if it had been the only one."""
    return clopper_pearson_lower(int(scores.sum(axis=1).max()), scores.shape[1], ALPHA)


def chosen_together(scores: np.ndarray) -> float:
    best = int(np.argmax(scores.sum(axis=1)))
    return mean_intervals(scores, ALPHA)[best].low


def chosen_by_resampling(scores: np.ndarray) -> float:
    """Studentised max-|t| bootstrap over cases, the usual way: 299 draws."""
    rng, n = np.random.default_rng(int(scores.sum())), scores.shape[1]
    weights = rng.multinomial(n, np.full(n, 1 / n), size=299) / n
    means, spread = scores.mean(axis=1), scores.std(axis=1, ddof=1) / math.sqrt(n)
    drawn = weights @ scores.T
    errors = np.sqrt(np.maximum(drawn - drawn**2, 0.0) / (n - 1))  # of 0/1 scores
    t = np.divide(drawn - means, errors, out=np.zeros_like(drawn), where=errors > 0)
    best = int(np.argmax(means))
    return float(means[best] - np.quantile(t.max(axis=1), 1 - ALPHA) * spread[best])


@pytest.mark.parametrize(
    ("bound", "mean", "holds"),
    [
        (chosen_alone, 0.8, False),
        (chosen_by_resampling, 0.97, False),
        (chosen_together, 0.8, True),
        (chosen_together, 0.97, True),
    ],
)
def test_the_winners_curse(bound: Callable[[np.ndarray], float], mean: float, holds: bool) -> None:
    """Twelve equal prompts: the bound of whichever looks best."""
    rng, runs = np.random.default_rng(9), 200
    covered = sum(bound(binary(rng, [mean] * 12, 60, alike=0.2)) <= mean for _ in range(runs)) / runs
    assert covered >= allowed(runs) if holds else covered < 0.9
