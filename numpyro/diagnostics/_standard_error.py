"""Monte Carlo standard errors: how far an estimate from these draws may be from the posterior's own value."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro._errors import UsageError
from numpyro.diagnostics._chains import as_chains
from numpyro.diagnostics._effective_sample_size import quantile_effective_sample_size, split_effective_sample_size


def mcse_mean(x: Any) -> Any:
    r"""Monte Carlo standard error of the mean of the draws, :math:`\hat\sigma / \sqrt{\mathrm{ESS}}`.

    :param x: draws of shape ``(chains, draws, ...)``, at least 4 draws.
    :return: an array of the shape of one draw, or a scalar; ``nan`` where the draws are constant or not all finite.
    :raises UsageError: when there are too few dimensions or draws.
    """
    x = as_chains(x, min_draws=4, name="mcse_mean")
    return np.std(x, axis=(0, 1), ddof=1) / np.sqrt(split_effective_sample_size(x))


def mcse_sd(x: Any) -> Any:
    r"""Monte Carlo standard error of the standard deviation of the draws.

    With :math:`v = (x - \bar x)^2`, the variance of :math:`\bar v` is :math:`\mathrm{var}(v) / \mathrm{ESS}(v)`, and
    that of its root by the delta method :math:`\mathrm{var}(v) / (4 \bar v \, \mathrm{ESS}(v))`.

    :param x: draws of shape ``(chains, draws, ...)``, at least 4 draws.
    :return: an array of the shape of one draw, or a scalar; ``nan`` where the draws are constant or not all finite.
    :raises UsageError: when there are too few dimensions or draws.
    """
    x = as_chains(x, min_draws=4, name="mcse_sd")
    with np.errstate(invalid="ignore", divide="ignore"):
        squares = (x - np.mean(x, axis=(0, 1))) ** 2
        mean = np.mean(squares, axis=(0, 1))
        return np.sqrt(np.var(squares, axis=(0, 1)) / (4.0 * mean * split_effective_sample_size(squares)))


def mcse_quantile(x: Any, prob: float) -> Any:
    r"""Monte Carlo standard error of a quantile of the draws.

    With :math:`S` the effective sample size of :math:`1[x \le q]`, the level of the quantile has the law
    :math:`\mathrm{Beta}(S p + 1, S (1 - p) + 1)`; the error is half the distance between the draws that stand at
    the 16 % and 84 % points of that law, which are one standard deviation from the centre of a normal one.

    :param x: draws of shape ``(chains, draws, ...)``, at least 4 draws.
    :param prob: level of the quantile, in ``(0, 1)``.
    :return: an array of the shape of one draw, or a scalar; ``nan`` where the draws are constant or not all finite.
    :raises UsageError: when there are too few dimensions or draws, or ``prob`` is out of range.

    Source: Vehtari et al. (2021).
    """
    from scipy.special import betaincinv

    x = as_chains(x, min_draws=4, name="mcse_quantile")
    if not 0 < prob < 1:
        raise UsageError(f"mcse_quantile expects prob between 0 and 1, got {prob}.")
    ess = np.asarray(quantile_effective_sample_size(x, prob))
    size = x.shape[0] * x.shape[1]
    ordered = np.sort(x.reshape(size, *x.shape[2:]), axis=0)
    levels = [betaincinv(ess * prob + 1, ess * (1 - prob) + 1, level) for level in (0.1586553, 0.8413447)]
    known = np.isfinite(ess)
    lower, upper = (np.take_along_axis(ordered, _position(level, size, known)[None], axis=0)[0] for level in levels)
    return np.where(known, (upper - lower) / 2, np.nan)[()]


def _position(level: np.ndarray, size: int, known: np.ndarray) -> np.ndarray:
    """The index of the draw at a level between 0 and 1, to the nearest."""
    return np.clip(np.round(np.where(known, level, 0.0) * size - 1), 0, size - 1).astype(np.intp)
