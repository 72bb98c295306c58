"""Which capabilities move against each other over checkpoints: the rank correlation of their changes.

Of each pair, Spearman's rho of the changes from checkpoint to checkpoint. Changes and not scores, since two scores that both
rise over the weeks are correlated without having anything to do with each other.

Consecutive changes are not independent: where scores scatter around a level, a change up is followed by a change down (lag-one
correlation -1/2); only where scores wander do changes stand alone. So the p-value is the larger of two permutation tests, one
that shuffles the changes and one that shuffles the scores and then takes changes, and the level holds in both worlds. All
permutations up to LARGEST_EXACT checkpoints, DRAWN random ones beyond (B. Phipson and G. Smyth, 2010: p is never 0).

The interval is Fisher's z with the variance (1 + rho^2 / 2) / (m - 3) of D. Bonett and T. Wright (Psychometrika 65 (2000) 23-28),
with m = changes / 1.5: by Bartlett's formula 1 + 2 * (-1/2)^2 is how much the variance grows in the first world. Where that
leaves m <= 3 the interval is [-1, 1], which is all that so few checkpoints can say.

Fewer than MIN_CHECKPOINTS are undecided. Over the pairs, Benjamini and Hochberg's procedure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.statistics.multiplicity import benjamini_hochberg

MIN_CHECKPOINTS = 5
LARGEST_EXACT = 7  # checkpoints: 5,040 orders
DRAWN = 1_999
ALPHA = 0.025  # one-sided, of each bound
MOST_KEPT = 8_000_000  # numbers: 64 MB of ranks at most
INFLATION = 1.5  # of the variance, by the correlation of consecutive changes

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Movement:
    """Two capabilities over the checkpoints that scored both. rho None: undecided, and reason says why; then p is None, too.

    low, high: of rho, each at one-sided ALPHA. adjusted: p over all pairs (Benjamini-Hochberg).
    """

    first: str
    second: str
    checkpoints: int
    rho: float | None = None
    low: float = -1.0
    high: float = 1.0
    p: float | None = None
    adjusted: float | None = None
    reason: str = ""

    def is_shown(self, fdr: float) -> bool:
        return self.adjusted is not None and self.adjusted <= fdr

    def is_against(self, fdr: float) -> bool:
        """Shown to move against each other: one tends to fall when the other rises."""
        return self.is_shown(fdr) and self.rho is not None and self.rho < 0.0


def movements(scores: Mapping[str, Sequence[float | None]], rng: np.random.Generator) -> tuple[Movement, ...]:
    """Every pair of capabilities, the clearest first, undecided ones last.

    scores: capability -> (checkpoints,) mean scores in the order of time, None where a checkpoint has none. rng: draws the
    orders beyond LARGEST_EXACT checkpoints, one set of them for all pairs of equal length.
    """
    columns = {name: _column(name, values) for name, values in sorted(scores.items())}
    if len({len(column) for column in columns.values()}) > 1:
        raise DataError("capabilities with different numbers of checkpoints", todo="Give None where a checkpoint has no score")
    orders = _Orders(rng)
    found = [_movement(a, columns[a], b, columns[b], orders) for a, b in itertools.combinations(columns, 2)]
    tested = [one for one in found if one.p is not None]
    adjusted = benjamini_hochberg([one.p for one in tested if one.p is not None]).tolist()
    known = [replace(one, adjusted=q) for one, q in zip(tested, adjusted, strict=True)]
    known.sort(key=lambda one: (one.p, one.rho, one.first, one.second))
    return (*known, *(one for one in found if one.p is None))


def _column(name: str, values: Sequence[float | None]) -> _Floats:
    column = np.array([math.nan if value is None else value for value in values], dtype=float)
    known = column[~np.isnan(column)]
    if sum(value is not None for value in values) != known.size or np.any((known < 0.0) | (known > 1.0)):
        raise DataError(f"a mean score of {name!r} is not a number in [0, 1]")
    return column


def _movement(first: str, a: _Floats, second: str, b: _Floats, orders: _Orders) -> Movement:
    both = ~(np.isnan(a) | np.isnan(b))
    a, b = a[both], b[both]
    none = Movement(first, second, len(a))
    if len(a) < MIN_CHECKPOINTS:
        return replace(none, reason=f"{len(a)} checkpoints, and at least {MIN_CHECKPOINTS} are needed")
    for name, column in ((first, a), (second, b)):
        if np.ptp(np.diff(column)) <= 1e-9:
            return replace(none, reason=f"{name} always changes by the same")
    rho = float(np.clip(np.prod(_ranks(np.diff([a, b], axis=1)), axis=0).sum(), -1.0, 1.0))
    p = max(orders.p_value(a, b, rho), orders.p_value(b, a, rho))
    low, high = bounds(rho, len(a) - 1)
    return replace(none, rho=rho, low=low, high=high, p=p)


def bounds(rho: float, changes: int, alpha: float = ALPHA) -> tuple[float, float]:
    """The interval of a rank correlation of this many consecutive changes; [-1, 1] where they are too few for any."""
    worth = changes / INFLATION - 3.0
    if worth <= 0.0:
        return -1.0, 1.0
    # All agree: z is infinite. Start from the nearest rho that so many changes can show, and keep the edge.
    nearest = 1.0 - 6.0 / (changes**3 - changes)
    kept = max(-nearest, min(nearest, rho))
    half = -NormalDist().inv_cdf(alpha) * math.sqrt((1.0 + kept * kept / 2.0) / worth)
    z = math.atanh(kept)
    return min(math.tanh(z - half), rho), max(math.tanh(z + half), rho)


class _Orders:
    """Orders in which scores or changes are shuffled, made once for each length, and the ranks that they give each capability."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._made: dict[int, NDArray[np.int64]] = {}
        self._ranks: dict[tuple[bool, bytes], _Floats] = {}
        self._kept = 0  # numbers in _ranks

    def of(self, n: int) -> NDArray[np.int64]:
        """(orders, n): all there are up to LARGEST_EXACT, DRAWN random ones beyond."""
        if n not in self._made:
            if n <= LARGEST_EXACT:
                self._made[n] = np.array(list(itertools.permutations(range(n))), dtype=np.int64)
            else:
                self._made[n] = self._rng.permuted(np.tile(np.arange(n), (DRAWN, 1)), axis=1)
        return self._made[n]

    def p_value(self, fixed: _Floats, shuffled: _Floats, rho: float) -> float:
        """Two-sided, the larger of both tests: shuffle the scores, and shuffle the changes."""
        still = _ranks(np.diff(fixed)[None, :])[0]
        n = len(shuffled)
        by_scores = _share(self._shuffled(shuffled, whole=True) @ still, rho, n <= LARGEST_EXACT)
        return max(by_scores, _share(self._shuffled(shuffled, whole=False) @ still, rho, n - 1 <= LARGEST_EXACT))

    def _shuffled(self, scores: _Floats, *, whole: bool) -> _Floats:
        """(orders, changes) ranks of the changes of these scores in every order (whole), or of their changes in every order."""
        key = (whole, scores.tobytes())
        if key in self._ranks:
            return self._ranks[key]
        changes = np.diff(scores[self.of(len(scores))], axis=1) if whole else np.diff(scores)[self.of(len(scores) - 1)]
        ranks = _ranks(changes)
        if self._kept + ranks.size <= MOST_KEPT:
            self._ranks[key] = ranks
            self._kept += ranks.size
        return ranks


def _share(rhos: _Floats, rho: float, is_all: bool) -> float:
    """The share of orders that give as much, the one that was seen among them."""
    count = int(np.count_nonzero(np.abs(rhos) >= abs(rho) - 1e-9))
    return count / rhos.size if is_all else (count + 1) / (rhos.size + 1)


def _ranks(rows: _Floats) -> _Floats:
    """(k, m) -> the ranks within each row, ties sharing their mean, scaled so that Spearman's rho of two rows is their product; a
    row without change is 0."""
    ranks = np.array([_ranked(row) for row in np.round(rows, 12)], dtype=float).reshape(rows.shape)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    scale = np.sqrt(np.square(ranks).sum(axis=1, keepdims=True))
    return np.divide(ranks, scale, out=np.zeros_like(ranks), where=scale > 0.0)


def _ranked(row: _Floats) -> _Floats:
    """scipy.stats.rankdata(row), without importing scipy.stats in every report."""
    _, inverse, counts = np.unique(row, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=float)
