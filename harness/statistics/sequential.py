"""Evidence that may be looked at after every case: betting e-processes for a paired difference, and what they decide.

Why: a test of fixed n that is looked at 20 times errs several times alpha. Here a bet is placed against each of two hypotheses
about delta, the mean of candidate minus baseline, d in [-1, 1] a case: "delta <= threshold" and "delta >= threshold". Betting the
share f in (0, 1) of the wealth multiplies it, per case, by

    1 - f + f (1 + d) / (1 + threshold)          against delta <= threshold (against delta >= threshold: with -d, -threshold)

which is never negative and has mean <= 1 under the hypothesis, whatever the other differences were. So the wealth is a
nonnegative supermartingale from 1, and Ville's inequality bounds P(it ever reaches 1/alpha) by alpha: the decision may be taken
at any look, and the run may stop for any reason. 1 / (largest wealth so far) is an anytime-valid p-value, and the thresholds
not rejected so far are an anytime-valid interval, the exact inversion: the wealth against each is monotone in the threshold.

The wealth is a mixture over fixed stakes f. The weights have their mass where binary scores with 2-15 % flips and margins of
.02-.1 have their best stake (about margin / discordance), and a quarter spread evenly over all stakes, small ones for small
margins: whoever is far from the expected pays the logarithm of a weight once, not a rate. No tuning touches validity.

Source: I. Waudby-Smith and A. Ramdas, Estimating means of bounded random variables by betting, JRSS B 86 (2024) 1-27. Where we
differ: a mixture over constant stakes rather than predictable ones. Their section on sampling without replacement is left out on
purpose: it would gain much towards the end of a finite suite, but what it shows is about the suite's own cases, of which the
last one leaves nothing uncertain, while a verdict is about the cases that the suite is a sample of. For independent cases in
random order the plain bet is right for those.

At the end: when a sequence uses up its cases undecided, it stays undecided. A fixed-n test at full alpha on top of it would be
one look too many (tests/statistics/test_sequential.py measures how far that overshoots).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import DataError, UsageError
from harness.model import PairedComparison
from harness.statistics.betting import Bets
from harness.statistics.roots import crossing

NOT_WORSE, HARMED = "not_worse", "harmed"
REACHED, NOT_REACHED = "reached", "not_reached"
METHOD = "sequential"

_EDGE = 1.0 - 1e-9  # thresholds nearer to -1 and 1 than this are these

Array = NDArray[np.float64]


def _mixture() -> tuple[tuple[float, float], ...]:
    """(stake, log weight): Beta(2, 2) over the middle for three quarters, all stakes alike for the rest."""
    stakes = [*np.geomspace(0.002, 0.2, 10).tolist(), *np.linspace(0.25, 0.95, 15).tolist(), 0.99]
    shape = [f * (1.0 - f) if f >= 0.25 else 0.0 for f in stakes]
    return tuple((f, math.log(0.75 * s / sum(shape) + 0.25 / len(stakes))) for f, s in zip(stakes, shape, strict=True))


_STAKES = _mixture()


def log_evidence(differences: Array, threshold: float) -> Array:
    """Natural log of the wealth after each case of a bet against delta <= threshold.

    differences: (..., n), the last axis is time. For delta >= threshold: hand in -differences and -threshold.
    """
    return _continue(differences, threshold, [np.zeros(differences.shape[:-1]) for _ in _STAKES])[0]


def _continue(differences: Array, threshold: float, state: Sequence[Array]) -> tuple[Array, list[Array]]:
    """The path from a state (one log wealth a stake) onwards, and the state at its end.

    Sums run one by one from the state, so that one update or many give the same bits.
    """
    relative = (1.0 + differences) / (1.0 + threshold)
    total = np.full(differences.shape, -np.inf)
    ends = []
    for (stake, weight), before in zip(_STAKES, state, strict=True):
        steps = np.log1p(stake * (relative - 1.0))
        path = np.cumsum(np.concatenate([before[..., None], steps], axis=-1), axis=-1)
        ends.append(path[..., -1])
        np.logaddexp(total, path[..., 1:] + weight, out=total)
    return total, ends


@dataclass(frozen=True, slots=True)
class EvidencePath:
    """Log10 of both e-values after each case, both (n,). above: against delta <= threshold. below: against delta >= threshold."""

    threshold: float
    above: Array
    below: Array


class ThresholdSequence:
    """Decides on which side of a threshold delta lies, looking after every case; error of either decision <= alpha.

    above, below: what the two decisions are called. alpha_above, alpha_below: other levels than alpha for one of them. The first
    decision stays; later cases still count as evidence. Feed differences in an order that does not depend on them: a seeded
    random one.
    """

    def __init__(
        self,
        threshold: float,
        alpha: float = 0.05,
        *,
        above: str = REACHED,
        below: str = NOT_REACHED,
        alpha_above: float | None = None,
    ) -> None:
        if not -1.0 < threshold < 1.0:
            raise UsageError(f"the threshold is {threshold}, and must lie between -1 and 1")
        levels = (alpha if alpha_above is None else alpha_above, alpha)
        if not all(0.0 < level < 0.5 for level in levels):
            raise UsageError(f"alpha is {alpha}, and must lie between 0 and 0.5")
        self.threshold, self.alpha = float(threshold), float(alpha)
        self.decision: str | None = None
        self.decided_at: int | None = None  # cases seen when it was decided
        self._names = (above, below)
        self._limits = tuple(-math.log(level) for level in levels)
        self._states = [[np.zeros(()) for _ in _STAKES] for _ in range(2)]
        self._paths: tuple[list[Array], list[Array]] = ([], [])
        self._n = 0

    @property
    def n(self) -> int:
        """Cases seen."""
        return self._n

    @property
    def log_e_above(self) -> float:
        """Natural log of the evidence against delta <= threshold, now."""
        return self._now(0)

    @property
    def log_e_below(self) -> float:
        """Natural log of the evidence against delta >= threshold, now."""
        return self._now(1)

    @property
    def path(self) -> EvidencePath:
        """The evidence after each case seen, for drawing."""
        above, below = (np.concatenate([np.zeros(0), *parts]) / math.log(10.0) for parts in self._paths)
        return EvidencePath(self.threshold, above, below)

    def update(self, differences: ArrayLike) -> str | None:
        """Take in one difference in [-1, 1] or many, in order; return what is decided so far, None for nothing yet.

        DataError for a difference that is no number in [-1, 1]; then none of them counts.
        """
        values = checked_differences(differences)
        if not values.size:
            return self.decision
        crossed = []
        for side, sign in enumerate((1.0, -1.0)):
            path, self._states[side] = _continue(sign * values, sign * self.threshold, self._states[side])
            self._paths[side].append(path)
            hit = np.flatnonzero(path >= self._limits[side])
            crossed.append(int(hit[0]) if hit.size else values.size)
        if self.decision is None and min(crossed) < values.size:
            side = int(crossed[1] < crossed[0])
            self.decision, self.decided_at = self._names[side], self._n + crossed[side] + 1
        self._n += values.size
        return self.decision

    def _now(self, side: int) -> float:
        return float(self._paths[side][-1][-1]) if self._n else 0.0


class PairedSequence(ThresholdSequence):
    """Is the candidate not worse than the baseline by the margin, or is it harmed? ``update`` says as soon as it is shown.

    "not_worse": H0 delta <= -margin is rejected; "harmed": H0 delta >= -margin is. Each is wrong with a chance of at most alpha,
    however often it is looked at.
    """

    def __init__(self, margin: float, alpha: float = 0.05) -> None:
        if not 0.0 < margin < 1.0:
            raise UsageError(
                f"margin is {margin}, and must lie between 0 and 1", todo="Give the loss you would tolerate, e.g. 0.02"
            )
        super().__init__(-margin, alpha, above=NOT_WORSE, below=HARMED)
        self.margin = float(margin)

    @property
    def log_e_not_worse(self) -> float:
        """Natural log of the evidence for "not worse", now; it decides at log(1 / alpha)."""
        return self.log_e_above

    @property
    def log_e_harmed(self) -> float:
        """Natural log of the evidence for "harmed", now."""
        return self.log_e_below


def checked_differences(differences: ArrayLike) -> Array:
    """One or many differences as a flat float array; DataError says which is wrong."""
    try:
        array = np.atleast_1d(np.asarray(differences))
    except ValueError as error:
        raise DataError("differences are not one flat list", todo="Give one difference a case") from error
    if array.size and array.dtype.kind not in "biuf":
        raise DataError("differences are not numbers", todo="Leave cases without two scores out")
    values = array.astype(float)
    if values.ndim != 1:
        raise DataError(f"differences have {values.ndim} dimensions, and must be one a case")
    wrong = ~(np.abs(values) <= 1.0)  # catches NaN too
    if wrong.any():
        index = int(np.argmax(wrong))
        raise DataError(f"difference {index} is {values[index]}, outside [-1, 1]", todo="Scale scores to [0, 1]")
    return values


def compare_sequential(differences: ArrayLike, *, margin: float, alpha: float = 0.05, gain: float = 0.0) -> PairedComparison:
    """What a sequence of differences, in its random order, shows at any time; see harness.statistics.paired for the claims.

    low, high: the anytime-valid interval, wider than one of fixed n, and right although the sequence was stopped when it looked
    good. delta is the plain mean, which stopping pulls outwards a little. UsageError, DataError as for the classes above.
    """
    if not 0.0 < margin < 1.0 or not 0.0 < alpha < 0.5 or not 0.0 <= gain < 1.0:
        raise UsageError(f"margin {margin}, alpha {alpha} or gain {gain} is out of range")
    values = checked_differences(differences)
    n = int(values.size)
    delta = float(values.mean()) if n else 0.0
    p_improved = _p_above(values, 0.0)
    return PairedComparison(
        delta=delta,
        low=min(_lower_bound(values, alpha), delta),
        high=max(-_lower_bound(-values, alpha), delta),
        n=n,
        n_clusters=n,
        method=METHOD if n else "undecided",
        margin=margin,
        alpha=alpha,
        p_improved=p_improved,
        p_not_worse=_p_above(values, -margin),
        p_regressed=_p_above(-values, 0.0),
        p_harmed=_p_above(-values, margin),
        reason="" if n else "no case was scored in both runs",
        gain=gain,
        p_gain=_p_above(values, gain) if gain else p_improved,
    )


def anytime_bounds(values: ArrayLike, alpha: float) -> tuple[float, float]:
    """Lower and upper bound, each at alpha, of the mean of values in [0, 1]; they hold whenever the asking stopped."""
    array = np.asarray(values, dtype=float)
    if not array.size:
        return 0.0, 1.0
    return Bets.on(array).lower_bound(alpha), 1.0 - Bets.on(1.0 - array).lower_bound(alpha)


def _largest(differences: Array, threshold: float) -> float:
    """Log of the largest wealth so far against delta <= threshold, the 1 it starts with included."""
    return max(float(log_evidence(differences, threshold).max()), 0.0) if differences.size else 0.0


def _p_above(differences: Array, threshold: float) -> float:
    return math.exp(-_largest(differences, threshold))


def _lower_bound(differences: Array, alpha: float) -> float:
    """The threshold at which the largest wealth so far is 1/alpha; -1 when none reaches it."""
    target = -math.log(alpha)
    if _largest(differences, -_EDGE) <= target:
        return -1.0
    if _largest(differences, _EDGE) > target:  # cannot be: there the wealth never grows
        return 1.0
    return float(crossing(lambda t: _largest(differences, t) - target, -_EDGE, _EDGE, xtol=1e-7))
