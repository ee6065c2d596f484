r"""Effective sample size: how many independent draws would give the mean as well.

With :math:`\rho_t` the autocorrelation at lag :math:`t`, the mean of :math:`S` draws of a stationary chain has the
variance of the mean of :math:`S / \tau` independent ones, where :math:`\tau = 1 + 2 \sum_{t \ge 1} \rho_t`. The sum is
estimated from several chains and truncated where noise takes over.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro.diagnostics._autocorrelation import mean_autocovariance
from numpyro.diagnostics._chains import as_chains, map_blocks, split_chains
from numpyro.diagnostics._ranks import normal_scores


def effective_sample_size(x: Any, bias: bool = True) -> Any:
    r"""Effective sample size of draws from several chains, by Geyer's initial monotone sequence.

    .. math::

        \mathrm{ESS} = \frac{M N}{\hat\tau}, \qquad
        \hat\tau = -1 + 2 \sum_{k=0}^{K} \hat P_k, \qquad
        \hat P_k = \hat\rho_{2k} + \hat\rho_{2k+1}, \qquad
        \hat\rho_t = 1 - \frac{W - \frac 1 M \sum_m \hat\gamma_{t,m}}{\widehat{\mathrm{var}}^+},

    where :math:`W` is the mean of the variances within the :math:`M` chains of :math:`N` draws, and
    :math:`\widehat{\mathrm{var}}^+ = \frac{N-1}{N} W + \frac 1 N B` includes the variance between chains; for a single
    chain :math:`\hat\rho_t = \hat\gamma_t / \hat\gamma_0`. :math:`K` is the last index before the first negative
    :math:`\hat P_k`, and up to there the :math:`\hat P_k` are made non-increasing. :math:`\hat\tau` is held at
    :math:`1 / \log_{10}(M N)` or above, so that negative autocorrelations of short chains do not give absurd numbers.

    :param x: draws of shape ``(chains, draws, ...)``, at least 2 draws.
    :param bias: how autocovariances are normalised, see :func:`autocovariance`; default true.
    :return: an array of the shape ``...`` of one draw, a scalar if that is ``()``; ``nan`` where the draws are
        constant or one of them is not finite.
    :raises UsageError: when there are too few dimensions or draws.

    Sources: Geyer (1992), *Practical Markov chain Monte Carlo*; Stan Reference Manual, section on effective sample
    size; the lower bound on :math:`\hat\tau` from Vehtari et al. (2021).
    """
    x = as_chains(x, name="effective_sample_size")
    return map_blocks(lambda block: _effective_sample_size(block, bias), x)


def bulk_effective_sample_size(x: Any) -> Any:
    r"""Effective sample size for the centre of the distribution: of split, rank-normalised chains.

    Ranks make it well defined for distributions without mean or variance. Vehtari et al. recommend at least 100 for
    each chain.

    :param x: draws of shape ``(chains, draws, ...)``, at least 4 draws.
    :return: an array of the shape of one draw, or a scalar; ``nan`` where the draws are constant or not all finite.
    :raises UsageError: when there are too few dimensions or draws.

    Source: Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), *Rank-normalization, folding, and localization*.
    """
    x = split_chains(as_chains(x, min_draws=4, name="bulk_effective_sample_size"))
    return map_blocks(lambda block: _refined_effective_sample_size(normal_scores(block)), x)


def tail_effective_sample_size(x: Any) -> Any:
    r"""Effective sample size for the tails: the lesser one of the two for the 5 % and the 95 % quantile.

    It is the effective sample size of the indicators :math:`1[x \le q]`, of split chains, with :math:`q` either
    quantile.

    :param x: draws of shape ``(chains, draws, ...)``, at least 4 draws.
    :return: an array of the shape of one draw, or a scalar; ``nan`` where the draws are constant or not all finite.
    :raises UsageError: when there are too few dimensions or draws.

    Source: Vehtari et al. (2021).
    """
    x = as_chains(x, min_draws=4, name="tail_effective_sample_size")
    lower, upper = (quantile_effective_sample_size(x, prob) for prob in (0.05, 0.95))
    return np.minimum(lower, upper)


def split_effective_sample_size(x: np.ndarray) -> Any:
    """Effective sample size of split chains: the one that standard errors are computed with."""
    return map_blocks(_refined_effective_sample_size, split_chains(x))


def quantile_effective_sample_size(x: np.ndarray, prob: float) -> Any:
    def of_block(block: np.ndarray) -> np.ndarray:
        quantile = np.quantile(block, prob, axis=(1, 2), keepdims=True)
        below = np.where(np.isfinite(block), block <= quantile, np.nan)
        halves = _split_block(below)
        result = _refined_effective_sample_size(halves)
        # The indicator is constant though the draws vary where more than 95 % of them tie: nothing is uncertain about
        # it.
        is_known = (np.ptp(halves, axis=(1, 2)) == 0) & (np.ptp(block, axis=(1, 2)) > 0)
        return np.where(is_known, float(np.prod(halves.shape[1:])), result)

    return map_blocks(of_block, x)


def _split_block(block: np.ndarray) -> np.ndarray:
    half = block.shape[2] // 2
    return np.concatenate([block[:, :, :half], block[:, :, -half:]], axis=1)


def _autocorrelations(block: np.ndarray, bias: bool) -> np.ndarray:
    """Autocorrelations of ``(parameters, chains, draws)`` from all chains together, ``(parameters, draws)``."""
    _, num_chains, num_draws = block.shape
    covariance = mean_autocovariance(block)
    if not bias:
        covariance = covariance * (num_draws / np.arange(num_draws, 0, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        if num_chains == 1:
            return covariance / covariance[:, :1]
        within = covariance[:, :1] * (num_draws / (num_draws - 1))
        between = np.var(np.mean(block, axis=2), axis=1, ddof=1)[:, None]
        rho = 1.0 - (within - covariance) / (covariance[:, :1] + between)
    rho[:, 0] = 1.0
    return rho


def _initial_pairs(rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Geyer's pairs, made non-increasing and zero from the first negative one on; and how many come before it."""
    pairs = rho[:, : rho.shape[1] // 2 * 2].reshape(len(rho), -1, 2).sum(axis=2)
    is_initial = np.logical_and.accumulate(pairs > 0, axis=1)
    monotone = np.minimum.accumulate(pairs, axis=1)
    return np.where(is_initial, monotone, 0.0), is_initial.sum(axis=1)


def _finish(tau: np.ndarray, block: np.ndarray) -> np.ndarray:
    size = block.shape[1] * block.shape[2]
    result = size / np.maximum(tau, 1.0 / np.log10(size))
    extent = np.ptp(block, axis=(1, 2))
    return np.where(np.isfinite(extent) & (extent > 0), result, np.nan)


def _effective_sample_size(block: np.ndarray, bias: bool) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of inf - inf
        pairs, _ = _initial_pairs(_autocorrelations(block, bias))
        return _finish(-1.0 + 2.0 * pairs.sum(axis=1), block)


def _refined_effective_sample_size(block: np.ndarray) -> np.ndarray:
    """As above, with two refinements of Stan and Vehtari et al. (2021), taken up by ArviZ and the R package posterior.

    The even lag behind the last pair counts where it is positive, and the lags next to the length of a chain never do.
    """
    with np.errstate(invalid="ignore"):
        rho = _autocorrelations(block, bias=True)
        pairs, num_pairs = _initial_pairs(rho)
        limit = max(0, (rho.shape[1] - 3) // 2)
        num_pairs = np.minimum(num_pairs, limit)
        following = np.maximum(np.take_along_axis(rho, 2 * num_pairs[:, None], axis=1)[:, 0], 0.0)
        return _finish(-1.0 + 2.0 * pairs[:, :limit].sum(axis=1) + following, block)
