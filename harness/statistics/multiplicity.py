"""Adjusted p-values for several tests at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError


def _checked(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(p, dtype=float)
    if values.ndim != 1:
        raise DataError("p-values must be one flat sequence")
    if values.size and not (np.all(np.isfinite(values)) and values.min() >= 0.0 and values.max() <= 1.0):
        raise DataError("p-values must be numbers in [0, 1]")
    return values


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's (1979) adjusted p-values, in the order given: reject those <= alpha, and the chance of any false one is <= alpha."""
    values = _checked(p)
    order = np.argsort(values, kind="stable")
    factors = values.size - np.arange(values.size)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return adjusted


def benjamini_hochberg(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's (1995) adjusted p-values, in the order given: among those <= q the expected share of false ones
    is <= q, for independent or positively dependent tests."""
    values = _checked(p)
    order = np.argsort(values, kind="stable")[::-1]
    factors = values.size / (values.size - np.arange(values.size)) if values.size else values
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(values[order] * factors), 1.0)
    return adjusted
