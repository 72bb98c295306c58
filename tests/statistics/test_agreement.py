"""Kappa, alpha and shares: published worked examples, an independent implementation, hand arithmetic, properties, simulation."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa, to_table

from harness.errors import DataError, UsageError
from harness.model import Estimate
from harness.statistics import compare_paired
from harness.statistics.agreement import (
    cohen_kappa,
    confusion,
    difference,
    krippendorff_alpha,
    per_thousand,
    raw_agreement,
    recalls,
    share,
)
from harness.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper

RATINGS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)

# K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section D: four observers, twelve units, gaps
FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def rng() -> np.random.Generator:
    return np.random.default_rng(20240601)


def units(observers: list[list[int | None]]) -> list[list[int | None]]:
    return [list(row) for row in zip(*observers, strict=True)]


def inside(estimate: Estimate) -> bool:
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= estimate.value <= estimate.high


# -- Cohen's kappa --------------------------------------------------------------------------------------------------------------


def test_kappa_by_hand() -> None:
    """Cohen's 2 x 2: 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: Po .7, Pe .5, kappa .4."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen_kappa(first, second)
    assert found.value == pytest.approx(0.4)
    assert found.n == 50
    assert inside(found)


@pytest.mark.parametrize(("weighting", "theirs"), [("nominal", None), ("linear", "linear"), ("quadratic", "quadratic")])
@pytest.mark.parametrize("seed", range(5))
def test_kappa_and_its_variance_are_those_of_statsmodels(weighting: str, theirs: str | None, seed: int) -> None:
    draw = np.random.default_rng(seed)
    first = draw.integers(0, 4, size=300)
    second = np.where(draw.random(300) < 0.6, first, draw.integers(0, 4, size=300))
    table, _ = to_table(np.column_stack([first, second]), bins=4)
    expected = cohens_kappa(table, wt=theirs)
    found = cohen_kappa(first.tolist(), second.tolist(), weighting=weighting)  # type: ignore[arg-type]
    assert found.value == pytest.approx(expected.kappa, abs=1e-12)
    # the interval is the outer one of two: at least theirs, with n - 1 for n and t for the normal quantile
    assert found.low <= expected.kappa_low + 1e-3
    assert found.high >= expected.kappa_upp - 1e-3
    assert found.high - found.low <= 1.6 * (expected.kappa_upp - expected.kappa_low)


def test_clusters_of_copies_count_once() -> None:
    """Each case copied five times is no more evidence than the cases were; taken as single cases it would be."""
    draw = np.random.default_rng(3)
    first = draw.integers(0, 2, size=80).tolist()
    second = [a if draw.random() < 0.8 else 1 - a for a in first]
    once = cohen_kappa(first, second)
    fivefold = cohen_kappa(first * 5, second * 5, clusters=list(range(80)) * 5)
    naive = cohen_kappa(first * 5, second * 5)
    assert fivefold.value == pytest.approx(once.value)
    assert fivefold.high - fivefold.low == pytest.approx(once.high - once.low, rel=0.1)
    assert naive.high - naive.low < 0.6 * (once.high - once.low)


def test_weights_undo_an_unequal_selection() -> None:
    """Disagreements drawn three times as often as agreements: weighted by 1 / probability, kappa is that of all cases."""
    first = [1] * 60 + [0] * 60 + [1] * 20 + [0] * 20
    second = [1] * 60 + [0] * 60 + [0] * 20 + [1] * 20
    truth = cohen_kappa(first, second)
    kept = [i for i in range(160) if i >= 120 or i % 3 == 0]  # all 40 disagreements, a third of the agreements
    weights = [3.0 if i < 120 else 1.0 for i in kept]
    drawn = [[side[i] for i in kept] for side in (first, second)]
    assert cohen_kappa(*drawn, weights=weights).value == pytest.approx(truth.value)
    assert cohen_kappa(*drawn).value < truth.value - 0.3
    assert cohen_kappa(*drawn, weights=[7 * w for w in weights]) == cohen_kappa(*drawn, weights=weights)


@pytest.mark.parametrize(
    ("first", "second", "why"), [([], [], "no case"), ([1, 1, 1], [1, 1, 1], "one category"), (["a"], ["a"], "one category")]
)
def test_kappa_of_nothing_is_no_number(first: list[object], second: list[object], why: str) -> None:
    found = cohen_kappa(first, second)  # type: ignore[arg-type]
    assert found.value is None
    assert found.low is None
    assert why in found.reason


def test_perfect_agreement_has_an_interval() -> None:
    """30 of 30: the plain formula says kappa is 1 for certain; the exact bound of the agreement says at least .77."""
    found = cohen_kappa([0, 1] * 15, [0, 1] * 15)
    assert found.value == 1.0
    assert found.high == 1.0
    assert found.low == pytest.approx((clopper_pearson_lower(30, 30, 0.025) - 0.5) / 0.5)


def test_two_clusters_give_no_interval() -> None:
    found = cohen_kappa([0, 1, 0, 1], [0, 1, 1, 1], clusters=["a", "a", "b", "b"])
    assert found.value is not None
    assert found.low is None
    assert "2 clusters" in found.reason


@settings(deadline=None)
@given(RATINGS)
def test_kappa_is_symmetric_and_blind_to_names_and_order(pairs: list[tuple[int, int]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found, mirrored = cohen_kappa(first, second), cohen_kappa(second, first)
    renamed = cohen_kappa([f"x{a}" for a in first], [f"x{b}" for b in second])
    turned = cohen_kappa(first[::-1], second[::-1])
    if found.value is None:
        assert mirrored.value is None
        assert renamed.value is None
        return
    for other in (mirrored, renamed, turned):
        assert other.value == pytest.approx(found.value)
        assert (other.low is None) == (found.low is None)
        if found.low is not None:
            assert (other.low, other.high) == (pytest.approx(found.low), pytest.approx(found.high))
    if found.low is not None:
        assert found.high > found.low  # never of no width


@pytest.mark.parametrize(
    ("n", "base", "error"), [(20, 0.5, 0.02), (30, 0.9, 0.1), (50, 0.5, 0.1), (100, 0.9, 0.25), (300, 0.5, 0.25)]
)
def test_kappas_interval_covers(n: int, base: float, error: float) -> None:
    """Coverage at least 95 % less one point less Monte-Carlo error, also where hardly a disagreement is seen."""
    marginal = np.array([base, 1.0 - base])
    cells = np.diag(marginal) * (1.0 - error) + error * np.outer(marginal, [0.5, 0.5])
    chance = cells.sum(axis=1) @ cells.sum(axis=0)
    truth = (np.trace(cells) - chance) / (1.0 - chance)
    draw, repeats, covered, told = np.random.default_rng(n), 1500, 0, 0
    remembered: dict[tuple[int, ...], Estimate] = {}
    for table in draw.multinomial(n, cells.ravel(), size=repeats):
        key = tuple(int(x) for x in table)
        if key not in remembered:
            first = [0] * (key[0] + key[1]) + [1] * (key[2] + key[3])
            second = [0] * key[0] + [1] * key[1] + [0] * key[2] + [1] * key[3]
            remembered[key] = cohen_kappa(first, second)
        found = remembered[key]
        if found.low is not None and found.high is not None:
            told += 1
            covered += found.low - 1e-12 <= truth <= found.high + 1e-12
    assert covered / told >= 0.94 - 3.0 * math.sqrt(0.05 * 0.95 / told)


# -- shares, recalls, confusion -------------------------------------------------------------------------------------------------


def test_a_share_of_single_cases_is_clopper_pearson() -> None:
    found = share([True] * 18 + [False] * 2)
    assert (found.value, found.low) == (0.9, pytest.approx(clopper_pearson_lower(18, 20, 0.025)))
    assert found.high == pytest.approx(clopper_pearson_upper(18, 20, 0.025))


def test_a_share_of_clusters_is_wider_the_more_alike_they_are() -> None:
    hits = [i % 4 != 0 for i in range(40) for _ in range(5)]
    alike = share(hits, clusters=[i for i in range(40) for _ in range(5)])
    mixed = share(hits, clusters=np.random.default_rng(1).permutation(list(range(40)) * 5).tolist())
    single = share(hits)
    assert alike.high - alike.low > 1.8 * (single.high - single.low)
    assert mixed.high - mixed.low == pytest.approx(single.high - single.low, rel=0.25)


def test_a_share_of_all_or_nothing_is_still_uncertain_in_clusters() -> None:
    found = share([True] * 100, clusters=[i // 5 for i in range(100)])
    assert found.value == 1.0
    assert found.high == 1.0
    assert 0.7 < found.low < clopper_pearson_lower(20, 20, 0.025) + 0.02


def test_recalls_are_the_true_positive_and_negative_rates() -> None:
    truth = [True] * 10 + [False] * 20
    said = [True] * 8 + [False] * 2 + [False] * 15 + [True] * 5
    found = recalls(truth, said)
    assert (found[True].value, found[False].value) == (0.8, 0.75)
    assert confusion(truth, said) == {False: {False: 15, True: 5}, True: {False: 2, True: 8}}


def test_agreement_counts_equal_answers() -> None:
    assert raw_agreement(["a", "b", "tie"], ["a", "tie", "tie"]).value == pytest.approx(2 / 3)
    assert raw_agreement([], []).value is None


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: cohen_kappa([1], [1, 2]), DataError),
        (lambda: cohen_kappa(["good", 2], [1, 2], weighting="linear"), DataError),
        (lambda: cohen_kappa([float("nan"), 2], [1, 2], weighting="quadratic"), DataError),
        (lambda: share([True], weights=[0.0]), DataError),
        (lambda: share([True], weights=[float("inf")]), DataError),
        (lambda: share([True, False], clusters=["a"]), DataError),
        (lambda: share([True], level=1.0), UsageError),
        (lambda: krippendorff_alpha([["a", "b"], ["b", "b"]], rng(), metric="ordinal"), DataError),
        (lambda: krippendorff_alpha([[1, 2]], rng(), clusters=["a", "b"]), DataError),
    ],
)
def test_what_cannot_be_compared_is_refused(call: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        call()  # type: ignore[operator]


# -- differences and amounts ----------------------------------------------------------------------------------------------------


def test_a_difference_is_compare_paireds() -> None:
    first, second = [1.0] * 30 + [0.0] * 10, [1.0] * 20 + [0.0] * 20
    found, expected = difference(first, second), compare_paired(first, second, margin=0.5, alpha=0.025)
    assert (found.value, found.method) == (0.25, "tango-exact")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_weighted_difference_covers() -> None:
    """Cases where the raters differ are drawn four times as often; weighted, the mean difference of all cases is covered."""
    draw, covered = np.random.default_rng(12), 0
    for _ in range(400):
        first = (draw.random(600) < 0.5).astype(float)
        second = np.where(draw.random(600) < 0.1, 0.0, first)
        chance = np.where(first != second, 0.4, 0.1)
        kept = draw.random(600) < chance
        found = difference(first[kept], second[kept], weights=1.0 / chance[kept])
        covered += found.low <= 0.05 <= found.high
    assert covered / 400 >= 0.94 - 3.0 * math.sqrt(0.05 * 0.95 / 400)


def test_no_difference_seen_is_not_none() -> None:
    found = difference([1.0] * 40, [1.0] * 40, weights=[1.0, 2.0] * 20)
    assert found.value == 0.0
    assert found.low == pytest.approx(-found.high)
    assert found.high > 0.03
    assert difference([1.0], [0.0]).value is None
    assert difference([1.0] * 6, [0.0] * 6, clusters=list("aabbcc")).low is None


def test_amounts_per_thousand() -> None:
    found = per_thousand([1.0, 3.0] * 20)
    assert found.value == 2000.0
    reach = 1000.0 * 2.0227 * 1.01274 / math.sqrt(40)  # t on 39 degrees of freedom, standard deviation with n - 1
    assert (found.low, found.high) == pytest.approx((2000.0 - reach, 2000.0 + reach), rel=1e-4)
    assert per_thousand([]).reason == "not recorded"
    assert per_thousand([5.0]).low is None


# -- Krippendorff's alpha -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_four_observers_as_published(metric: str, published: float) -> None:
    found = krippendorff_alpha(units(FOUR_OBSERVERS), rng(), metric=metric)  # type: ignore[arg-type]
    assert found.value == pytest.approx(published, abs=5e-4)
    assert found.n == 11  # the last unit has one rating and pairs nothing
    assert inside(found)
    assert found == krippendorff_alpha(units(FOUR_OBSERVERS), rng(), metric=metric)  # type: ignore[arg-type]


def test_alpha_of_two_observers_as_published() -> None:
    """The same paper's sections A (binary) and B (nominal)."""
    meg, owen = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    ben, gerry = "aabbdcccedda", "babbbcccedd" + "d"
    assert krippendorff_alpha(units([meg, owen]), rng()).value == pytest.approx(0.095, abs=5e-4)  # type: ignore[arg-type]
    assert krippendorff_alpha(list(zip(ben, gerry, strict=True)), rng()).value == pytest.approx(0.692, abs=5e-4)


def naive_alpha(rows: list[list[int]], metric: str) -> float | None:
    """Straight from the definition: every ordered pair of ratings of a unit against every ordered pair of all ratings."""
    values = [value for row in rows for value in row]
    counts = Counter(values)
    scale = sorted(counts)

    def distance(a: int, b: int) -> float:
        if metric == "nominal":
            return float(a != b)
        if metric == "interval":
            return float((a - b) ** 2)
        low, high = min(a, b), max(a, b)
        return (sum(counts[g] for g in scale if low <= g <= high) - (counts[a] + counts[b]) / 2.0) ** 2 if a != b else 0.0

    seen = sum(sum(distance(a, b) for a, b in permutations(row, 2)) / (len(row) - 1) for row in rows) / len(values)
    expected = sum(distance(a, b) for a, b in permutations(values, 2)) / (len(values) * (len(values) - 1))
    return None if expected == 0.0 else 1.0 - seen / expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=4), min_size=1, max_size=15))
@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval"])
def test_alpha_is_its_definition(metric: str, rows: list[list[int]]) -> None:
    padded = [row + [None] * (5 - len(row)) for row in rows]
    found = krippendorff_alpha(padded, rng(), metric=metric, draws=10)  # type: ignore[arg-type]
    expected = naive_alpha(rows, metric)
    if expected is None:
        assert found.value is None
    else:
        assert found.value == pytest.approx(expected, abs=1e-9)


def test_alpha_of_nothing_is_no_number() -> None:
    assert "two ratings" in krippendorff_alpha([[1, None], [None, 2]], rng()).reason
    assert krippendorff_alpha([], rng()).value is None
    assert "the same" in krippendorff_alpha([[1, 1]] * 20, rng()).reason


def test_alpha_of_thousands_of_different_scores_stays_small() -> None:
    """Expected scores are hardly ever the same twice; alpha of scores with noise of a third of their spread is .9."""
    draw = np.random.default_rng(6)
    truth = draw.normal(1e6, 3.0, 20_000)
    rows = np.column_stack([truth + draw.normal(0.0, 1.0, 20_000) for _ in range(2)]).tolist()
    found = krippendorff_alpha(rows, rng(), metric="interval", draws=200)
    assert found.value == pytest.approx(0.9, abs=0.005)
    assert found.low < found.value < found.high
    assert "at most 50" in krippendorff_alpha([[i, i + 1] for i in range(60)], rng(), metric="ordinal").reason


def test_alpha_without_a_disagreement_claims_no_certainty() -> None:
    found = krippendorff_alpha([[i % 2, i % 2] for i in range(40)], rng())
    assert found.value == 1.0
    assert found.low is None
    assert "no disagreement" in found.reason


def test_alphas_interval_covers_and_knows_clusters() -> None:
    """Two raters who say the truth with probability .85 each; alpha of 100,000 units is the truth."""
    draw = np.random.default_rng(5)

    def ratings(n: int) -> list[list[int]]:
        truth = draw.integers(0, 2, size=n)
        return np.column_stack([np.where(draw.random(n) < 0.85, truth, 1 - truth) for _ in range(2)]).tolist()

    truth = krippendorff_alpha(ratings(100_000), rng(), draws=2).value
    covered = 0
    for _ in range(300):
        found = krippendorff_alpha(ratings(100), draw, draws=300)
        covered += found.low <= truth <= found.high
    assert covered / 300 >= 0.94 - 3.0 * math.sqrt(0.05 * 0.95 / 300)
    rows = ratings(60)
    once = krippendorff_alpha(rows, rng())
    copied = krippendorff_alpha(rows * 4, rng(), clusters=list(range(60)) * 4)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.2)
