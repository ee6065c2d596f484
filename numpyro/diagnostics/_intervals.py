"""Intervals that hold a given share of the draws."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro._errors import UsageError
from numpyro.diagnostics._chains import as_numbers


def hpdi(x: Any, prob: float = 0.9, axis: int = 0) -> np.ndarray:
    """Highest posterior density interval: the narrowest one that holds the share ``prob`` of the draws.

    It is found among intervals between draws that are ``int(prob * n)`` apart in order. For a distribution with
    several modes it is the narrowest interval, not the set of highest density.

    :param x: draws, an array of real numbers.
    :param prob: share of draws between the ends, in ``(0, 1)``, default 0.9; with 1 the ends are the least and
        greatest draw.
    :param axis: the axis that numbers the draws, default 0.
    :return: an array of the shape of ``x`` with 2 entries along ``axis``, the lower and upper ends; ``nan`` where a
        draw is ``nan``.
    :raises UsageError: when ``prob`` is out of range or there are no draws.

    Source: Chen and Shao (1999), *Monte Carlo estimation of Bayesian credible and HPD intervals*.
    """
    x = np.sort(np.moveaxis(as_numbers(x, "hpdi"), axis, 0), axis=0)
    return np.moveaxis(np.stack(hpdi_of_sorted(x, prob)), 0, axis)


def hpdi_of_sorted(x: np.ndarray, prob: float) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the interval, for draws in ascending order along the first axis."""
    if not 0 <= prob <= 1:
        raise UsageError(f"the share of draws in an interval is to be between 0 and 1, got prob={prob}.")
    size = x.shape[0]
    if size == 0:
        raise UsageError(f"an interval needs at least one draw, got an array of shape {x.shape}.")
    distance = min(int(prob * size), size - 1)
    # Differences of small or unsigned integers would overflow.
    values = x if np.issubdtype(x.dtype, np.inexact) else x.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of inf - inf
        widths = values[distance:] - values[: size - distance]
    start = np.argmin(widths, axis=0)[None]
    lower = np.take_along_axis(x, start, axis=0)[0]
    upper = np.take_along_axis(x, start + distance, axis=0)[0]
    if not np.issubdtype(x.dtype, np.inexact):
        return lower, upper
    has_nan = np.isnan(x[-1])  # nan is sorted last
    return np.where(has_nan, x[-1], lower), np.where(has_nan, x[-1], upper)
