"""Draws held against known posteriors, within Monte Carlo error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer import MCMC, NUTS

STANDARD_ERRORS = 4.5
"""How far a mean may lie from the truth: by chance one in 150,000 does."""


def sample(
    model: Callable, *args: Any, kernel: Any = None, seed: int = 0, warmup: int = 500, draws: int = 1000, **kwargs: Any
) -> MCMC:
    """Four chains of NUTS, or of the ``kernel`` given."""
    mcmc = MCMC(kernel or NUTS(model), num_warmup=warmup, num_samples=draws, num_chains=4, progress_bar=False)
    mcmc.run(jax.random.key(seed), *args, **kwargs)
    return mcmc


def assert_agrees(draws: Any, mean: Any, sd: Any = None) -> None:
    """Hold draws, of shape (chains, draws, ...), against the mean and standard deviation of the posterior.

    The mean of the draws has the standard error sd / sqrt(n) for n effective draws; the standard deviation, where
    tails are light, about sd * sqrt((k - 1) / 4n), where k is the kurtosis of the draws.
    """
    draws = np.asarray(draws, np.float64)
    mean = np.asarray(mean, np.float64)
    flat = draws.reshape((-1, *draws.shape[2:]))
    n = effective_sample_size(draws)
    assert np.all(n > 200), f"too few effective draws for a comparison: {n}"
    assert np.all(split_gelman_rubin(draws) < 1.03)
    spread = flat.std(0)
    z = (flat.mean(0) - mean) / (spread / np.sqrt(n))
    assert np.all(np.abs(z) < STANDARD_ERRORS), f"means {flat.mean(0)} for {mean}, {z} standard errors off"
    if sd is not None:
        squares = (draws - flat.mean(0)) ** 2
        n = np.minimum(n, effective_sample_size(squares))
        kurtosis = np.mean((flat - flat.mean(0)) ** 4, 0) / spread**4
        z = (spread / np.asarray(sd) - 1) / np.sqrt((kurtosis - 1) / (4 * n))
        assert np.all(np.abs(z) < STANDARD_ERRORS), f"deviations {spread} for {sd}, {z} standard errors off"


def assert_posterior(mcmc: MCMC, truth: Mapping[str, tuple[Any, Any]]) -> None:
    """Hold the draws of a run against means and standard deviations by site."""
    samples = mcmc.get_samples(group_by_chain=True)
    for name, (mean, sd) in truth.items():
        try:
            assert_agrees(samples[name], mean, sd)
        except AssertionError as error:
            raise AssertionError(f"site {name}: {error}") from None


def weighted_moments(values: Any, log_weights: Any) -> tuple[Any, Any]:
    """Mean and standard deviation over the first axis of ``values``, points of a grid with unnormalised log weights."""
    weights = np.exp(log_weights - np.max(log_weights))
    weights /= weights.sum()
    mean = np.tensordot(weights, values, 1)
    return mean, np.sqrt(np.tensordot(weights, (values - mean) ** 2, 1))


def mixture_moments(means: Any, variances: Any, log_weights: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of a mixture over the first axis, with conditional means and variances."""
    weights = np.exp(log_weights - np.max(log_weights))
    weights /= weights.sum()
    mean = np.tensordot(weights, means, 1)
    return mean, np.sqrt(np.tensordot(weights, variances + (means - mean) ** 2, 1))
