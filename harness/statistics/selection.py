"""Which cases people look at: a sample in order of urgency whose every case has a known chance, wherever people stop.

Priority sampling (N. Duffield, C. Lund, M. Thorup, Priority sampling for estimation of arbitrary subset sums, J. ACM 54(6), 2007;
of the family of E. Ohlsson's sequential Poisson sampling, 1998). Case i has a weight w_i > 0, how urgent it is, and a number u_i
uniform on (0, 1]. Cases come in ascending order of u_i / w_i. The first n of them are the sample; with t the (n+1)-th smallest
u / w, each of them counts as drawn with probability

    p_i = min(1, w_i t)          all of them 1 when no case is left

and sum of x_i / p_i over the sample is unbiased for the sum of x over all cases, for any x and each fixed n (their theorem 1; the
probability is conditional on the threshold that the other cases set). So the order of urgency costs no validity, and the sample
grows in the same order: who stops after n cases has the sample of n cases. What is not covered: deciding when to stop by looking
at the labels.

Weights here are shares of effort (``shares``): a class of cases gets a share of the places, spread evenly over its cases, until
it is used up. So the urgent come first without anybody waiting long for a random case, and a rater cannot know which is which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError

Floats = NDArray[np.float64]


def uniforms(seed: int, names: Sequence[str]) -> Floats:
    """A number in (0, 1] for each name, its own for good whatever else there is: samples of two runs overlap."""
    raw = b"".join(hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest() for name in names)
    return (np.frombuffer(raw, ">u8").astype(np.float64) + 1.0) / 2.0**64


def shares(classes: Sequence[str], effort: Mapping[str, float], urgency: Sequence[float] | None = None) -> Floats:
    """Weights: each class's share of effort spread over its cases in proportion to their urgency (default: evenly).

    A class without cases gives its share to the others in proportion. Mean 1. DataError for a class that has no share.
    """
    kinds = np.asarray(classes, dtype=object)
    within = np.ones(len(kinds)) if urgency is None else np.asarray(urgency, dtype=np.float64)
    if np.any(~np.isfinite(within) | (within <= 0.0)):
        raise DataError("an urgency is not a positive number", where="selection", todo="Give every case a chance")
    weights = np.zeros(len(kinds))
    for kind in dict.fromkeys(classes):
        if effort.get(kind, 0.0) <= 0.0:
            raise DataError(f"the class {kind!r} has no share of the effort", where="selection", todo="Give it one above 0")
        here = kinds == kind
        weights[here] = effort[kind] * within[here] / within[here].sum()
    return weights * (len(weights) / weights.sum()) if len(weights) else weights


def order(weights: Sequence[float] | Floats, draws: Sequence[float] | Floats) -> NDArray[np.int64]:
    """Positions of the cases, the first to be looked at first."""
    return np.argsort(_ranks(weights, draws), kind="stable")


def probabilities(weights: Sequence[float] | Floats, draws: Sequence[float] | Floats, n: int) -> Floats:
    """For each case its chance in the sample of the first n; only those of the sample itself are to be weighted with."""
    ranks = np.sort(_ranks(weights, draws))
    if n >= len(ranks):
        return np.ones(len(ranks))
    return np.minimum(1.0, np.asarray(weights, dtype=np.float64) * ranks[n])


def _ranks(weights: Sequence[float] | Floats, draws: Sequence[float] | Floats) -> Floats:
    w, u = np.asarray(weights, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if w.shape != u.shape:
        raise DataError(f"{len(w)} weights and {len(u)} draws", where="selection", todo="Give one of each for a case")
    if np.any(~np.isfinite(w) | (w <= 0.0)) or np.any(~((u > 0.0) & (u <= 1.0))):
        raise DataError("weights must be positive and draws in (0, 1]", where="selection", todo="Give every case a chance")
    return u / w
