"""Numbers that others published or compute: the formulas are the right ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from harness.errors import DataError, UsageError
from harness.model import Claim
from harness.statistics import (
    benjamini_hochberg,
    cases_needed,
    cases_to_decide,
    claims_of,
    clopper_pearson_lower,
    clopper_pearson_upper,
    compare_paired,
    exact,
    holm,
    mean_bounds,
    smallest_effect,
    tango,
    wilson_lower,
)


def binary(gains: int, losses: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    candidate = np.repeat([1.0, 0.0, 1.0, 0.0], [gains, losses, both, neither])
    baseline = np.repeat([0.0, 1.0, 1.0, 0.0], [gains, losses, both, neither])
    return candidate, baseline


@pytest.mark.parametrize(
    ("gains", "losses", "n", "alpha", "published"),
    [
        # Fagerland, Lydersen, Laake (Stat. Med. 33 (2014) 2850), airway hyper-responsiveness, table (1, 1, 7, 12)
        (1, 7, 21, 0.025, (-0.517, -0.026)),
        # R, PropCIs::scoreci.mp(25, 28, 618, .90), as quoted in public documentation of that interval
        (28, 25, 618, 0.05, (-0.0148, 0.0247)),
    ],
)
def test_tango_interval_agrees_with_published_values(gains, losses, n, alpha, published):
    digits = len(str(published[0]).split(".")[1])
    assert tuple(round(bound, digits) for bound in tango.interval(gains, losses, n, alpha)) == published


@pytest.mark.parametrize(("gains", "losses", "n"), [(12, 2, 50), (40, 20, 160), (3, 3, 30), (0, 5, 12), (70, 95, 700)])
def test_tango_is_mcnemar_at_zero(gains, losses, n):
    two_sided = mcnemar([[n - gains - losses, gains], [losses, 0]], exact=False, correction=False).pvalue
    ours = min(tango.p_above(gains, losses, n, 0.0), tango.p_above(losses, gains, n, 0.0))
    assert 2 * ours == pytest.approx(two_sided, rel=1e-9)


@pytest.mark.parametrize(("gains", "losses"), [(12, 2), (3, 3), (0, 5), (25, 9)])
def test_exact_mcnemar_agrees_with_statsmodels(gains, losses):
    two_sided = mcnemar([[10, gains], [losses, 10]], exact=True).pvalue
    ours = min(tango.mcnemar_exact(gains, losses), tango.mcnemar_exact(losses, gains))
    assert min(1.0, 2 * ours) == pytest.approx(two_sided, rel=1e-9)


@pytest.mark.parametrize("d0", [-0.3, -0.05, 0.0, 0.02, 0.4])
def test_constrained_variance_maximises_the_likelihood(d0):
    """The closed form against a brute-force search over the loss rate."""
    gains, losses, n = 7, 4, 40
    rates = np.linspace(max(0.0, -d0) + 1e-9, (1 - d0) / 2 - 1e-9, 400_001)
    log_likelihood = gains * np.log(rates + d0) + losses * np.log(rates) + (n - gains - losses) * np.log(1 - 2 * rates - d0)
    rate = rates[np.argmax(log_likelihood)]
    z = (gains - losses - n * d0) / math.sqrt(n * (2 * rate + d0 - d0 * d0))
    ours = float(tango.score_statistic(np.array(float(gains)), np.array(float(losses)), n, d0))
    assert ours == pytest.approx(z, abs=1e-3)


def test_exact_p_is_the_largest_multinomial_tail():
    """Twelve cases: every table, every nuisance value on a fine grid, added up by hand."""
    gains, losses, n, d0 = 5, 1, 12, -0.1
    tables = [(g, k) for g in range(n + 1) for k in range(n + 1 - g)]
    z = {t: float(tango.score_statistic(np.array(float(t[0])), np.array(float(t[1])), n, d0)) for t in tables}
    region = [t for t in tables if z[t] >= z[(gains, losses)] - 1e-9]
    g, k = np.array(region).T
    worst = 0.0
    for loss_rate in np.linspace(0.1, 0.55, 901):
        probabilities = [loss_rate + d0, loss_rate, max(1 - 2 * loss_rate - d0, 0.0)]
        worst = max(worst, float(stats.multinomial.pmf(np.column_stack([g, k, n - g - k]), n, probabilities).sum()))
    assert exact.at_least(gains, losses, n, d0).p_value(d0) == pytest.approx(worst, abs=1e-5)


def test_continuous_scores_are_scipys_paired_t():
    rng = np.random.default_rng(7)
    d = rng.normal(0.01, 0.05, 200)
    d = np.concatenate([d, 2 * d.mean() - d])  # symmetric: nothing to correct for
    baseline = np.full(400, 0.5)
    ours = compare_paired(baseline + d, baseline, margin=0.02)
    theirs = stats.ttest_rel(baseline + d, baseline, alternative="greater")
    assert ours.method == "paired-t"
    assert ours.p_improved == pytest.approx(theirs.pvalue, rel=1e-6)
    assert (ours.low, ours.high) == pytest.approx(tuple(stats.ttest_1samp(d, 0.0).confidence_interval(0.90)), abs=1e-9)
    assert ours.p_not_worse == pytest.approx(stats.ttest_1samp(d, -0.02, alternative="greater").pvalue, rel=1e-6)


def test_equal_clusters_are_the_t_test_of_cluster_means():
    rng = np.random.default_rng(3)
    means = rng.normal(0.0, 0.1, 30)
    means = np.concatenate([means, -means])
    d = np.repeat(means, 4) + np.tile([0.01, -0.01, 0.02, -0.02], 60)
    ours = compare_paired(0.5 + d, np.full(240, 0.5), margin=0.05, clusters=np.repeat(np.arange(60), 4))
    theirs = stats.ttest_1samp(means, -0.05, alternative="greater")
    assert (ours.method, ours.n, ours.n_clusters) == ("clustered-t", 240, 60)
    assert ours.p_not_worse == pytest.approx(theirs.pvalue, rel=1e-9)


def test_adjusted_p_values_agree_with_statsmodels():
    p = np.random.default_rng(1).random(40) ** 3
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method="fdr_bh")[1])
    assert holm([]).size == benjamini_hochberg([]).size == 0


@pytest.mark.parametrize("bad", [[0.1, float("nan")], [-0.1], [1.2], [[0.1]]])
@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_p_values_out_of_range_are_refused(adjust, bad):
    with pytest.raises(DataError, match="p-values"):
        adjust(bad)


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (10, 10), (3, 7), (480, 500)])
def test_proportion_bounds_agree_with_statsmodels(successes, n):
    low, high = proportion_confint(successes, n, alpha=0.10, method="beta")
    assert clopper_pearson_lower(successes, n, 0.05) == pytest.approx(low, abs=1e-12)
    assert clopper_pearson_upper(successes, n, 0.05) == pytest.approx(high, abs=1e-12)
    assert wilson_lower(successes, n, 0.05) == pytest.approx(
        proportion_confint(successes, n, alpha=0.10, method="wilson")[0], abs=1e-12
    )


def test_mean_bounds_choose_by_kind_and_widen_for_clusters():
    assert mean_bounds([1, 1, 0, 1], 0.05)[0] == clopper_pearson_lower(3, 4, 0.05)
    scores = np.random.default_rng(0).beta(8, 2, 200)
    low, high = mean_bounds(scores, 0.05)
    assert low < scores.mean() < high
    wider = mean_bounds(scores, 0.05, clusters=np.arange(200) // 10)
    assert wider[0] < low
    assert wider[1] > high
    for bad in ([], [0.5, float("nan")], [1.5]):
        with pytest.raises(DataError):
            mean_bounds(bad, 0.05)


def test_power_by_hand_and_round_trip():
    # (1.6449 + 0.8416)^2 * 0.1 / 0.05^2 = 247.3
    assert cases_needed(0.05, discordance=0.1) == 248
    assert smallest_effect(248, discordance=0.1) == pytest.approx(0.05, abs=2e-4)
    assert cases_needed(0.05, discordance=0.0) == 59  # the rule of three: ln .05 / ln .95 = 58.4
    assert cases_needed(0.05, discordance=0.1, delta=-0.05) is None
    with pytest.raises(UsageError):
        cases_needed(0.0, discordance=0.1)


def test_planned_n_has_the_power_it_promises():
    """Exact power of the whole method at the planned n: within a few points of 80 %."""
    n, flip = cases_needed(0.05, discordance=0.1), 0.05
    power = 0.0
    for gains in range(40):
        for losses in range(40):
            weight = stats.multinomial.pmf([gains, losses, n - gains - losses], n, [flip, flip, 1 - 2 * flip])
            if weight > 2e-4:
                power += weight * (exact.lower_bound(gains, losses, n, 0.05) >= -0.05)
    assert 0.70 < power < 0.88


def test_cases_to_decide_shrinks_with_distance_and_knows_when_hopeless():
    result = compare_paired(*binary(8, 10, 60, 22), margin=0.05)
    near, far = cases_to_decide(result, -0.05), cases_to_decide(result, -0.2)
    assert near is not None
    assert far is not None
    assert near > result.n
    assert near > far
    assert cases_to_decide(result, result.delta) is None
    assert cases_to_decide(compare_paired([1.0], [0.0], margin=0.1), 0.0) is None


@pytest.mark.parametrize(
    ("table", "margin", "shown"),
    [
        ((30, 5, 50, 15), 0.05, {Claim.IMPROVED, Claim.NOT_WORSE}),
        ((0, 0, 180, 20), 0.05, {Claim.NOT_WORSE, Claim.EQUIVALENT}),
        ((5, 40, 40, 15), 0.05, {Claim.REGRESSED, Claim.HARMED}),
        ((2, 14, 380, 4), 0.10, {Claim.REGRESSED, Claim.NOT_WORSE, Claim.EQUIVALENT}),
        ((3, 3, 20, 4), 0.05, {Claim.UNDECIDED}),
    ],
)
def test_claims(table, margin, shown):
    assert set(claims_of(compare_paired(*binary(*table), margin=margin))) == shown


def test_no_comparison_claims_nothing():
    assert claims_of(None) == (Claim.UNDECIDED,)


@pytest.mark.parametrize(
    ("candidate", "baseline", "options", "error", "says"),
    [
        ([0.1, 0.2], [0.1], {}, DataError, "2 candidate scores against 1 baseline"),
        ([0.1, float("nan")], [0.1, 0.2], {}, DataError, "candidate score 1 is nan"),
        ([0.1, 0.2], [0.1, float("inf")], {}, DataError, "baseline score 1 is inf"),
        ([0.1, 1.2], [0.1, 0.2], {}, DataError, "candidate score 1 is 1.2, outside"),
        ([0.1, -1e-9], [0.1, 0.2], {}, DataError, "outside"),
        (["a", "b"], [0.1, 0.2], {}, DataError, "not numbers"),
        (["0.1", "0.2"], [0.1, 0.2], {}, DataError, "not numbers"),
        ([None, 0.2], [0.1, 0.2], {}, DataError, "candidate"),
        ([[0.1], [0.2]], [0.1, 0.2], {}, DataError, "2 dimensions"),
        ([0.1, 1.0], [0.0, 1.0], {"binary": True}, DataError, "given as binary"),
        ([0.1, 0.2], [0.1, 0.2], {"clusters": ["a"]}, DataError, "1 cluster labels for 2"),
        ([0.1, 0.2], [0.1, 0.2], {"margin": 0.0}, UsageError, "margin"),
        ([0.1, 0.2], [0.1, 0.2], {"margin": -0.1}, UsageError, "margin"),
        ([0.1, 0.2], [0.1, 0.2], {"margin": float("nan")}, UsageError, "margin"),
        ([0.1, 0.2], [0.1, 0.2], {"alpha": 0.0}, UsageError, "alpha"),
        ([0.1, 0.2], [0.1, 0.2], {"alpha": 0.7}, UsageError, "alpha"),
        ([0.1, 0.2], [0.1, 0.2], {"gain": -0.1}, UsageError, "gain"),
        ([0.1, 0.2], [0.1, 0.2], {"min_clusters": 1}, UsageError, "min_clusters"),
    ],
)
def test_bad_input_is_named(candidate, baseline, options, error, says):
    with pytest.raises(error, match=says):
        compare_paired(candidate, baseline, **{"margin": 0.05, **options})
