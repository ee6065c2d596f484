r"""Potential scale reduction :math:`\hat R`: whether chains from different starts have come to agree.

The variance of all draws is compared with the variance within chains. As chains forget their starts the ratio goes to
1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from numpyro.diagnostics._chains import as_chains, map_blocks, split_chains
from numpyro.diagnostics._ranks import normal_scores


def gelman_rubin(x: Any) -> Any:
    r"""Potential scale reduction of several chains.

    .. math:: \hat R = \sqrt{\frac{\frac{N-1}{N} W + \frac 1 N B}{W}}

    with :math:`W` the mean of the :math:`M` chains' variances and :math:`B / N` the variance of their means.

    :param x: draws of shape ``(chains, draws, ...)``, at least 2 chains and 2 draws.
    :return: an array of the shape ``...`` of one draw, a scalar if that is ``()``; ``nan`` where all draws are the
        same or one is ``nan``, ``inf`` where every chain is constant and the chains differ.
    :raises UsageError: when there are too few dimensions, chains or draws.

    Source: Gelman and Rubin (1992), *Inference from iterative simulation using multiple sequences*; the form without
    the correction for degrees of freedom of Gelman et al. (2013), *Bayesian Data Analysis*, section 11.4.
    """
    draws = as_chains(x, min_chains=2, name="gelman_rubin")
    return _as_precise_as(x, map_blocks(_r_hat, draws))


def split_gelman_rubin(x: Any) -> Any:
    r"""Potential scale reduction of chains cut in two, which also sees a chain drift.

    The formula is that of :func:`gelman_rubin`, on the first and last half of each chain; the middle draw of an odd
    number is left out.

    :param x: draws of shape ``(chains, draws, ...)``, at least 1 chain and 4 draws.
    :return: an array of the shape of one draw, or a scalar; ``nan`` and ``inf`` as in :func:`gelman_rubin`.
    :raises UsageError: when there are too few dimensions or draws.

    Source: Gelman et al. (2013), *Bayesian Data Analysis*, section 11.4.
    """
    draws = as_chains(x, min_draws=4, name="split_gelman_rubin")
    return _as_precise_as(x, map_blocks(_r_hat, split_chains(draws)))


def rank_normalized_r_hat(x: Any) -> Any:
    r"""Potential scale reduction of split chains from the ranks of the draws, the greater one of bulk and folded.

    The *bulk* value replaces draws by normal scores of their ranks, so that it makes sense for distributions without
    mean or variance; the *folded* one does so for the distances from the median, and sees chains that differ in scale
    only. Vehtari et al. recommend to use draws only if it is below 1.01.

    :param x: draws of shape ``(chains, draws, ...)``, at least 1 chain and 4 draws.
    :return: an array of the shape of one draw, or a scalar; ``nan`` where the draws are constant or one is ``nan``.
    :raises UsageError: when there are too few dimensions or draws.

    Source: Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), *Rank-normalization, folding, and localization*.

    >>> rng = np.random.default_rng(0)
    >>> scales = np.array([1.0, 1.0, 1.0, 3.0])[:, None]
    >>> draws = scales * rng.normal(size=(4, 1000))
    >>> bool(split_gelman_rubin(draws) < 1.01), bool(rank_normalized_r_hat(draws) > 1.01)
    (True, True)
    """
    return map_blocks(_rank_r_hat, split_chains(as_chains(x, min_draws=4, name="rank_normalized_r_hat")))


def _rank_r_hat(block: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of inf - inf
        folded = np.abs(block - np.median(block, axis=(1, 2), keepdims=True))
    return np.maximum(_r_hat(normal_scores(block)), _r_hat(normal_scores(folded)))


def _r_hat(block: np.ndarray) -> np.ndarray:
    num_draws = block.shape[2]
    constant = np.ptp(block, axis=2) == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        # Exactly zero and exactly the value for constant chains, whatever the rounding of sums.
        means = np.where(constant, block[:, :, 0], np.mean(block, axis=2))
        variances = np.where(constant, 0.0, np.var(block, axis=2, ddof=1))
        within = np.mean(variances, axis=1)
        between = np.var(means - means[:, :1], axis=1, ddof=1)
        return np.sqrt((num_draws - 1) / num_draws + between / within)


def _as_precise_as(x: Any, result: Any) -> Any:
    """Give results of single precision draws in single precision."""
    dtype = np.result_type(x.dtype) if hasattr(x, "dtype") else np.dtype(np.float64)
    return result.astype(dtype)[()] if dtype in (np.float16, np.float32) else result
