"""Where a function crosses zero between two points of different sign.

scipy.optimize has brentq for this, but importing it costs 24 MB and a quarter of a second in every run, for one function.
"""

from __future__ import annotations

from collections.abc import Callable

_MOST = 200  # a bisection of [-1, 1] to 1e-17 takes 57 steps; this is only against functions that return NaN


def crossing(f: Callable[[float], float], left: float, right: float, *, xtol: float) -> float:
    """A point within xtol of where f crosses zero; f(left) and f(right) must differ in sign (or be zero).

    Chandrupatla (1997), "A new hybrid quadratic/bisection algorithm for finding the zero of a nonlinear function": inverse
    quadratic steps where they are safe, halves otherwise, so never more than a few times the steps of a bisection. Raises
    ValueError where there is no change of sign.
    """
    a, b = right, left
    fa, fb = f(a), f(b)
    if fa == 0.0 or fb == 0.0:
        return a if fa == 0.0 else b
    if not fa * fb < 0.0:
        raise ValueError(f"no change of sign between {left} ({fb}) and {right} ({fa})")
    t = 0.5
    for _ in range(_MOST):
        x = a + t * (b - a)
        fx = f(x)
        if (fx > 0.0) == (fa > 0.0):
            c, fc, a, fa = a, fa, x, fx
        else:
            c, fc, b, fb, a, fa = b, fb, a, fa, x, fx
        best, f_best = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        least = xtol / abs(b - a)
        if f_best == 0.0 or least > 0.5:
            return best
        t = min(1.0 - least, max(least, _next(a, b, c, fa, fb, fc)))
    raise ValueError(f"no crossing found between {left} and {right}")


def _next(a: float, b: float, c: float, fa: float, fb: float, fc: float) -> float:
    """How far from a to b to look next: the inverse parabola's zero where it lies inside and is trustworthy, else one half."""
    xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    if not (phi * phi < xi and (1.0 - phi) ** 2 < 1.0 - xi):
        return 0.5
    return fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
