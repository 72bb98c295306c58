"""Several samples of a case, and two runs of it: pass@k, pass^k, churn and negative flips, each with its interval.

pass@k is the chance that at least one of k samples passes, pass^k that all k do. With c of n samples passing, both have unbiased
estimates that average over all k-subsets of the samples:

    pass@k = 1 - C(n - c, k) / C(n, k)      M. Chen et al., Evaluating Large Language Models Trained on Code (2021), eq. 1
    pass^k = C(c, k) / C(n, k)              S. Yao et al., tau-bench (2024), section 4

The plug-in 1 - (1 - c/n)^k is biased downwards, so it is not used. Negative flip rate: the share of all cases that passed before
and fail now; churn: that changed either way (S. Yan et al., Positive-Congruent Training, CVPR 2021, eq. 1).

Intervals are over cases, or over clusters of cases, never over samples: harness.statistics.mean_bounds, which assumes only that a
case's value lies in [0, 1] and needs no bootstrap. Each bound holds at one-sided 1 - alpha, so both at 1 - 2 alpha.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import DataError, UsageError
from harness.statistics.intervals import mean_bounds
from harness.statistics.paired import MIN_CLUSTERS, cluster_codes

ALPHA = 0.025  # one-sided, of each bound: an interval of 95 %


@dataclass(frozen=True, slots=True)
class Rate:
    """A mean over cases with its bounds. value None: nothing to average. low, high None: undecided, and reason says why.

    n: cases that count; n_clusters: independent units among them; left_out: cases that could not count.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_clusters: int
    left_out: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Flips:
    """What changed between two runs: cases that pass in one and fail in the other, and their share of all cases."""

    fixed: int
    broken: int
    churn: Rate
    negative: Rate


def pass_at_k(n: int, c: int, k: int) -> float:
    """Unbiased chance that at least one of k samples passes, from c passing ones of n."""
    _check_counts(n, c, k)
    return 1.0 - math.comb(n - c, k) / math.comb(n, k)


def pass_all_k(n: int, c: int, k: int) -> float:
    """pass^k: unbiased chance that all of k samples pass, from c passing ones of n."""
    _check_counts(n, c, k)
    return math.comb(c, k) / math.comb(n, k)


def pass_rates(
    counts: Sequence[tuple[int, int]],
    k: int,
    *,
    every: bool = False,
    alpha: float = ALPHA,
    clusters: Sequence[Any] | None = None,
) -> Rate:
    """Mean over cases of pass@k, or with ``every`` of pass^k. counts: per case (samples, passing ones).

    A case of fewer than k samples has no unbiased estimate: it is left out and counted. DataError for counts that are none.
    """
    if k < 1:
        raise UsageError(f"k is {k}, and must be at least 1")
    if clusters is not None and len(clusters) != len(counts):
        raise DataError(f"{len(clusters)} cluster labels for {len(counts)} cases")
    estimate = pass_all_k if every else pass_at_k
    kept = [i for i, (n, c) in enumerate(counts) if _valid(n, c) and n >= k]
    values = [estimate(*counts[i], k) for i in kept]
    labels = None if clusters is None else [clusters[i] for i in kept]
    return _rate(values, alpha, labels, len(counts) - len(kept), f"no case has {k} samples")


def flip_rates(
    before: Sequence[bool], after: Sequence[bool], *, alpha: float = ALPHA, clusters: Sequence[Any] | None = None
) -> Flips:
    """Churn and negative flip rate of two runs over the same cases, in the same order."""
    if len(before) != len(after):
        raise DataError(f"{len(before)} cases before, {len(after)} after", todo="Pass the same cases in the same order")
    broken = [bool(was) and not now for was, now in zip(before, after, strict=True)]
    fixed = [bool(now) and not was for was, now in zip(before, after, strict=True)]
    changed = [a or b for a, b in zip(broken, fixed, strict=True)]
    nothing = "no case was scored in both runs"
    churn = _rate([float(value) for value in changed], alpha, clusters, 0, nothing)
    return Flips(sum(fixed), sum(broken), churn, _rate([float(value) for value in broken], alpha, clusters, 0, nothing))


def samples_to_tell(chance: float = 0.25, power: float = 0.8) -> int:
    """Samples after which an answer that comes with this chance would have been seen at least once with this power."""
    if not 0.0 < chance < 1.0 or not 0.0 < power < 1.0:
        raise UsageError(f"chance {chance} and power {power} must lie between 0 and 1")
    return max(1, math.ceil(math.log1p(-power) / math.log1p(-chance) - 1e-9))


def _rate(values: Sequence[float], alpha: float, clusters: Sequence[Any] | None, left_out: int, nothing: str) -> Rate:
    if not values:
        return Rate(None, None, None, 0, 0, left_out, nothing)
    mean = min(1.0, math.fsum(values) / len(values))
    codes = cluster_codes(clusters, len(values))
    units = len(values) if codes is None else int(codes.max()) + 1
    if codes is not None and units < MIN_CLUSTERS:
        reason = f"{units} clusters, and the spread between clusters needs at least {MIN_CLUSTERS}"
        return Rate(mean, None, None, len(values), units, left_out, reason)
    low, high = mean_bounds(values, alpha, clusters=clusters)
    return Rate(mean, min(low, mean), max(high, mean), len(values), units, left_out)


def _check_counts(n: int, c: int, k: int) -> None:
    _valid(n, c)
    if k < 1:
        raise UsageError(f"k is {k}, and must be at least 1")
    if k > n:
        raise DataError(f"k is {k}, and the case has {n} samples", todo="Raise generation.samples, or take a smaller k")


def _valid(n: int, c: int) -> bool:
    if isinstance(n, bool) or isinstance(c, bool) or int(n) != n or int(c) != c or not 0 <= c <= n:
        raise DataError(f"{c} passing samples of {n} is no count")
    return True
