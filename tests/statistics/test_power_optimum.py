"""Power of "not worse" against the best that any test of that level can have; printed, not asserted (`pytest -s`).

For one alternative (gain rate, loss rate) the most powerful of all tests that keep alpha at every point of H0 is a linear program
over the tables: maximise sum of phi(table) P1(table), 0 <= phi <= 1, with sum of phi P0 <= alpha for each nuisance value of a
grid on delta = -m. That envelope may toss coins and knows the alternative; a real test can do neither, so what is left to it is
the price of not knowing. Asserted is only what must be: no test of level alpha lies above the envelope.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linprog

from harness.statistics import exact

ALPHA = 0.05
POINTS = 60  # nuisance values


def tables(n: int) -> tuple[np.ndarray, np.ndarray]:
    gains, losses = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    inside = gains + losses <= n
    return gains[inside], losses[inside]


def probabilities(gains: np.ndarray, losses: np.ndarray, n: int, gain_rate: float, loss_rate: float) -> np.ndarray:
    share = min(gain_rate / (1 - loss_rate), 1.0)
    return np.asarray(stats.binom.pmf(losses, n, loss_rate) * stats.binom.pmf(gains, n - losses, share))


def optimum(n: int, margin: float, gain_rate: float, loss_rate: float) -> float:
    gains, losses = tables(n)
    smaller = (1 - margin) / 2 * np.linspace(0, 1, POINTS) ** 2
    null = np.array([probabilities(gains, losses, n, q, q + margin) for q in smaller])
    found = linprog(-probabilities(gains, losses, n, gain_rate, loss_rate), A_ub=null, b_ub=np.full(POINTS, ALPHA), bounds=(0, 1))
    assert found.status == 0
    return float(-found.fun)


def ours(n: int, margin: float, gain_rate: float, loss_rate: float) -> float:
    """Exact: the least gains that reject, for each number of losses, only rise."""
    power, gains = 0.0, 0
    for losses in range(n + 1):
        while gains <= n - losses and exact.lower_bound(gains, losses, n, ALPHA) < -margin:
            gains += 1
        if gains > n - losses:
            break
        share = min(gain_rate / (1 - loss_rate), 1.0)
        power += float(stats.binom.pmf(losses, n, loss_rate) * stats.binom.sf(gains - 1, n - losses, share))
    return power


@pytest.mark.parametrize(
    ("n", "margin", "discordant", "delta"),
    [
        (30, 0.10, 0.02, 0.0),
        (30, 0.10, 0.10, 0.0),
        (60, 0.05, 0.02, 0.0),
        (60, 0.05, 0.06, 0.03),
        (60, 0.10, 0.10, 0.0),
        (100, 0.05, 0.05, 0.0),
        (100, 0.05, 0.12, 0.05),
    ],
)
def test_power_beside_the_exact_optimum(n: int, margin: float, discordant: float, delta: float) -> None:
    rates = ((discordant + delta) / 2, (discordant - delta) / 2)
    best, have = optimum(n, margin, *rates), ours(n, margin, *rates)
    print(f"\nn {n}, margin {margin:.2f}, discordant {discordant:.2f}, delta {delta:+.2f}: power {have:.3f}, optimum {best:.3f}")
    assert have <= best + 2e-3  # the grid of nuisance values is finite
