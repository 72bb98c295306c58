"""The promise the product stands on: declared rates hold. Exact sums over all tables for 0/1 scores, seeded simulation elsewhere.

Simulated rates are allowed three Monte-Carlo standard errors above alpha, exact ones nothing but the grid's rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from harness import decision
from harness.model import CapabilityComparison, Gate, Outcome, Role
from harness.statistics import benjamini_hochberg, claims_of, compare_paired, exact, tango
from harness.statistics.paired import compare_paired as paired

ALPHA = 0.05


def rejection_edge(n: int, rejects: Callable[[int, int], bool]) -> np.ndarray:
    """(n + 1,) least gains that reject, per number of losses; the edge only rises, so one walk finds it."""
    edge, gains = np.full(n + 1, n + 1), 0
    for losses in range(n + 1):
        while gains <= n - losses and not rejects(gains, losses):
            gains += 1
        if gains > n - losses:
            break
        edge[losses] = gains
    return edge


def exact_level(n: int, edge: np.ndarray, d0: float, points: int = 400) -> float:
    """Largest rejection probability over delta = d0: a fine grid over the smaller of the two rates."""
    losses, worst = np.arange(n + 1), 0.0
    for smaller in (1 - abs(d0)) / 2 * np.linspace(0, 1, points) ** 2:
        q = smaller + max(-d0, 0.0)
        share = min((smaller + max(d0, 0.0)) / (1 - q), 1.0) if q < 1 else 0.0
        worst = max(worst, float((stats.binom.pmf(losses, n, q) * stats.binom.sf(edge - 1, n - losses, share)).sum()))
    return worst


@pytest.mark.parametrize("n", [5, 10, 20, 50, 120])
@pytest.mark.parametrize("d0", [-0.2, -0.1, -0.05, -0.02, -0.005, 0.0, 0.05])
def test_exact_method_never_exceeds_alpha(n, d0):
    """d0 < 0: false "not worse"; 0: false "improved" and "regressed"; > 0: false "harmed", by mirror. Every nuisance value."""
    edge = rejection_edge(n, lambda gains, losses: exact.lower_bound(gains, losses, n, ALPHA) >= d0)
    assert exact_level(n, edge, d0) <= ALPHA + 2e-4


@pytest.mark.parametrize("n", [501, 700, 1000, 3000])
@pytest.mark.parametrize("d0", [-0.1, -0.05, -0.02, -0.005, 0.0, 0.02, 0.05])
def test_corrected_tango_holds_beyond(n, d0):
    edge = rejection_edge(n, lambda gains, losses: tango.corrected_p_above(gains, losses, n, d0) <= ALPHA)
    assert exact_level(n, edge, d0, points=120) <= ALPHA


@pytest.mark.parametrize(
    ("margin", "n", "discordant", "rate"),
    [
        (0.02, 20, 0.07, 0.006),
        (0.02, 50, 0.02, 0.000),
        (0.02, 50, 0.12, 0.055),
        (0.02, 100, 0.02, 0.000),
        (0.05, 50, 0.10, 0.034),
        (0.05, 100, 0.05, 0.037),
        (0.05, 200, 0.05, 0.026),
        (0.05, 500, 0.15, 0.049),
    ],
)
def test_plain_tango_reproduces_the_contracts_table(margin, n, discordant, rate):
    """The rates the contract quotes for Tango's asymptotic test, exactly; and ours at the same points, never above alpha."""
    loss_rate, gain_rate = (discordant + margin) / 2, (discordant - margin) / 2
    losses = np.arange(n + 1)

    def level(rejects: Callable[[int, int], bool]) -> float:
        edge = rejection_edge(n, rejects)
        return float(
            (stats.binom.pmf(losses, n, loss_rate) * stats.binom.sf(edge - 1, n - losses, gain_rate / (1 - loss_rate))).sum()
        )

    plain = level(lambda gains, lost: tango.p_above(gains, lost, n, -margin) <= ALPHA)
    assert plain == pytest.approx(rate, abs=0.0015)
    if n <= 200:
        assert level(lambda gains, lost: exact.lower_bound(gains, lost, n, ALPHA) >= -margin) <= ALPHA


@pytest.mark.parametrize("n", [20, 60])
def test_exact_interval_covers(n):
    """Coverage of (low, high), two bounds at alpha each, by exact sums: at least 1 - 2 alpha, and each bound 1 - alpha."""
    lows: dict[tuple[int, int], float] = {}

    def low(gains: int, losses: int) -> float:
        return lows.setdefault((gains, losses), exact.lower_bound(gains, losses, n, ALPHA))

    for gain_rate, loss_rate in ((0.02, 0.05), (0.05, 0.05), (0.0, 0.04), (0.2, 0.1)):
        delta, covered = gain_rate - loss_rate, 0.0
        for gains in range(n + 1):
            for losses in range(n + 1 - gains):
                weight = stats.binom.pmf(losses, n, loss_rate) * stats.binom.pmf(gains, n - losses, gain_rate / (1 - loss_rate))
                if weight > 1e-5:
                    covered += weight * (low(gains, losses) <= delta <= -low(losses, gains))
        assert covered >= 1 - 2 * ALPHA - 0.01


def within(rate: float, runs: int) -> bool:
    return rate <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def flips(rng: np.random.Generator, n: int, discordant: float, margin: float) -> np.ndarray:
    loss_rate = (discordant + margin) / 2
    u = rng.random(n)
    return np.where(u < loss_rate, -1.0, np.where(u < discordant, 1.0, 0.0))


def from_differences(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two score arrays with those differences, at the edges of [0, 1]."""
    baseline = np.where(d < 0, 1.0, 0.0)
    return np.clip(baseline + d, 0.0, 1.0), baseline


DRAWS: dict[str, Callable[[np.random.Generator, int, float], np.ndarray]] = {
    "normal": lambda rng, n, m: np.clip(rng.normal(-m, 0.15, n), -1, 1),
    "ties and rare flips": lambda rng, n, m: flips(rng, n, m, m),
    "rare flips behind noise": lambda rng, n, m: np.clip(flips(rng, n, m, m) + rng.normal(0, 0.005, n), -1, 1),
    "ties and flips": lambda rng, n, m: flips(rng, n, m + 0.1, m),
    "many flips": lambda rng, n, m: flips(rng, n, 0.5, m),
    "exponential losses": lambda rng, n, m: -rng.exponential(m, n).clip(0, 1),
    "half ties, skewed": lambda rng, n, m: -np.where(rng.random(n) < 0.5, rng.beta(1, 1 / (2 * m) - 1, n), 0.0),
    "edge scores": lambda rng, n, m: -rng.beta(0.3, 0.3 * (1 - m) / m, n),
}


@pytest.mark.parametrize("shape", sorted(DRAWS))
@pytest.mark.parametrize("n", [20, 60, 200])
def test_scores_of_any_shape_hold_the_level(shape, n):
    rng, runs, margin = np.random.default_rng([n, sorted(DRAWS).index(shape)]), 600, 0.05
    not_worse = harmed = covered = 0
    for _ in range(runs):
        d = DRAWS[shape](rng, n, margin)
        result = compare_paired(*from_differences(d), margin=margin, binary=False)
        not_worse += result.p_not_worse <= ALPHA
        harmed += result.p_harmed <= ALPHA
        covered += result.low <= -margin + 1e-3 and result.high >= -margin - 1e-3
    assert within(not_worse / runs, runs), "false not worse"
    assert within(harmed / runs, runs), "false harmed"
    assert covered / runs >= 1 - 2 * ALPHA - 0.01 - 3 * math.sqrt(0.09 / runs)


@pytest.mark.parametrize("shape", sorted(DRAWS))
@pytest.mark.parametrize("margin", [0.02, 0.1])
def test_scores_of_any_shape_hold_the_level_at_other_margins(shape, margin):
    rng, runs = np.random.default_rng([round(1000 * margin), sorted(DRAWS).index(shape)]), 400
    not_worse = harmed = 0
    for _ in range(runs):
        result = compare_paired(*from_differences(DRAWS[shape](rng, 60, margin)), margin=margin, binary=False)
        not_worse += result.p_not_worse <= ALPHA
        harmed += result.p_harmed <= ALPHA
    assert within(not_worse / runs, runs), "false not worse"
    assert within(harmed / runs, runs), "false harmed"


@pytest.mark.parametrize("margin", [0.02, 0.1])
def test_clustered_flips_hold_the_level_at_other_margins(margin):
    """Half of the cases copy their cluster's draw, twenty clusters of five; both bounds cover, too."""
    rng, runs = np.random.default_rng([7, round(1000 * margin)]), 500
    labels = np.arange(100) % 20
    not_worse = harmed = low = high = 0
    for _ in range(runs):
        own, common = flips(rng, labels.size, margin + 0.1, margin), flips(rng, 20, margin + 0.1, margin)
        d = np.where(rng.random(labels.size) < 0.5, common[labels], own)
        result = compare_paired(*from_differences(d), margin=margin, clusters=labels)
        not_worse += result.p_not_worse <= ALPHA
        harmed += result.p_harmed <= ALPHA
        low += result.low <= -margin
        high += result.high >= -margin
    assert within(not_worse / runs, runs), "false not worse"
    assert within(harmed / runs, runs), "false harmed"
    assert within(1 - low / runs, runs), "the lower bound covers"
    assert within(1 - high / runs, runs), "the upper bound covers"


@pytest.mark.parametrize(("clusters", "size"), [(10, 8), (25, 4), (80, 3)])
@pytest.mark.parametrize(("discordant", "shared"), [(0.08, 0.5), (0.3, 0.0), (0.3, 0.6), (0.2, 1.0)])
def test_clustered_flips_hold_the_level(clusters, size, discordant, shared):
    """``shared`` of the cases copy their cluster's draw. The same data taken as independent cases would break the level."""
    rng, runs, margin = np.random.default_rng([clusters, int(100 * shared)]), 500, 0.05
    labels = np.arange(clusters * size) % clusters
    not_worse = harmed = 0
    for _ in range(runs):
        own, common = flips(rng, labels.size, discordant, margin), flips(rng, clusters, discordant, margin)
        d = np.where(rng.random(labels.size) < shared, common[labels], own)
        result = compare_paired(*from_differences(d), margin=margin, clusters=labels)
        not_worse += result.p_not_worse <= ALPHA
        harmed += result.p_harmed <= ALPHA
    assert within(not_worse / runs, runs), "false not worse"
    assert within(harmed / runs, runs), "false harmed"


def test_ignoring_clusters_would_break_the_level():
    rng, runs, broken = np.random.default_rng(4), 300, 0
    labels = np.arange(200) % 40
    for _ in range(runs):
        d = flips(rng, 40, 0.3, 0.05)[labels]
        broken += compare_paired(*from_differences(d), margin=0.05).p_not_worse <= ALPHA
    assert broken / runs > 0.12  # the clusters in the tests above are a real hazard, and the method is what meets it


def comparison(name: str, d: np.ndarray, role: Role, margin: float = 0.05) -> CapabilityComparison:
    result = paired(*from_differences(d), margin=margin)
    return CapabilityComparison(
        name, role, margin, None, None, result, result, claims_of(result), n_planned=d.size, n_paired=d.size
    )


def test_false_ship_over_ten_protected_capabilities():
    """Nine are fine, one is worse by exactly its margin: the chance to ship stays at or under alpha."""
    rng, runs, shipped, tried = np.random.default_rng(11), 400, 0, 0
    for _ in range(runs):
        compared = [comparison(f"fine{k}", flips(rng, 200, 0.03, 0.0), Role.PROTECTED) for k in range(9)]
        alone = decision.decide(compared, Gate())
        tried += alone.outcome is Outcome.SHIP
        compared.append(comparison("worse", flips(rng, 200, 0.07, 0.05), Role.PROTECTED))
        shipped += decision.decide(compared, Gate()).outcome is Outcome.SHIP
    assert tried / runs > 0.5  # without the bad one it mostly ships, so the test can fail
    assert within(shipped / runs, runs)


def test_false_discovery_rate_of_the_seesaw():
    """Of thirty capabilities ten really move; among those called moved, at most fdr = 10 % do not, on average."""
    rng, runs, shares, found = np.random.default_rng(12), 80, [], 0
    for _ in range(runs):
        p = []
        for k in range(30):
            moved = k < 10
            d = flips(rng, 150, 0.16 if moved else 0.08, (0.1 if k % 2 else -0.1) if moved else 0.0)
            result = compare_paired(*from_differences(d), margin=0.05)
            p.append(min(1.0, 2 * min(result.p_improved, result.p_regressed)))
        called = np.flatnonzero(benjamini_hochberg(p) <= 0.10)
        shares.append(float(np.mean(called >= 10)) if called.size else 0.0)
        found += int(np.count_nonzero(called < 10))
    assert np.mean(shares) <= 0.10 + 3 * np.std(shares) / math.sqrt(runs)
    assert found / runs > 5
