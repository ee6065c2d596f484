"""How good a guide is as a proposal for the posterior."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.elbo.particles import run_both, site_terms, sum_terms
from numpyro.infer.model.density import is_latent
from numpyro.infer.model.draws import map_draws
from numpyro.util import find_stack_level


def psis_diagnostic(
    rng_key: Key,
    param_map: dict[str, PyTree],
    model: Callable,
    guide: Callable,
    *args: Any,
    num_particles: int = 1000,
    chunk_size: int | None = None,
    **kwargs: Any,
) -> float:
    """The shape :math:`\\hat k` of the tail of the importance weights :math:`p(x, z) / q(z)` at draws of a guide.

    The largest weights are fitted by a generalised Pareto distribution. Below 0.5 the weights have a variance, and
    the guide is a good proposal; above 0.7 it is too far from the posterior to be trusted, and so are expectations
    under it. Equal weights, those of the posterior itself, have the shape :math:`-\\infty`.

    :param rng_key: a key.
    :param param_map: the (constrained) values of the params of model and guide.
    :param model: the model.
    :param guide: the guide.
    :param args: arguments of both.
    :param num_particles: the number of draws, 1000 by default; at least 25.
    :param chunk_size: draws evaluated at a time; all by default.
    :param kwargs: keyword arguments of both.
    :return: :math:`\\hat k`.
    :raises ValueError: for too few draws.

    **References:** Yao, Vehtari, Simpson & Gelman, *Yes, but did it work? Evaluating variational inference* (2018);
    Vehtari, Simpson, Gelman, Yao & Gabry, *Pareto smoothed importance sampling* (2024).
    """
    if num_particles < 25:
        raise UsageError(f"psis_diagnostic fits a tail: num_particles must be at least 25, got {num_particles}.")
    if chunk_size is not None and chunk_size < 1:
        raise UsageError(f"`chunk_size` must be a positive integer, got {chunk_size}.")

    def log_weight(rng_key: Any, _: PyTree) -> Array:
        model_trace, guide_trace = run_both(rng_key, param_map, model, guide, args, kwargs)
        return sum_terms(site_terms(model_trace)) - sum_terms(site_terms(guide_trace))

    log_weights = map_draws(log_weight, rng_key, {}, (num_particles,), parallel=True, batch_size=chunk_size)
    log_weights = np.asarray(log_weights)
    rounding = 32 * float(np.finfo(log_weights.dtype).eps)
    log_weights = log_weights.astype(np.float64)
    if not np.isfinite(log_weights).all():
        warnings.warn(
            f"psis_diagnostic: {int(np.sum(~np.isfinite(log_weights)))} of {num_particles} weights are not finite; "
            "they are left out.",
            UserWarning,
            stacklevel=find_stack_level(),
        )
        log_weights = log_weights[np.isfinite(log_weights)]
    return pareto_shape(log_weights, rounding)


def importance_resample(
    rng_key: Key,
    param_map: dict[str, PyTree],
    model: Callable,
    guide: Callable,
    *args: Any,
    num_samples: int = 1000,
    num_particles: int | None = None,
    chunk_size: int | None = None,
    **kwargs: Any,
) -> tuple[dict[str, Array], float]:
    """Draws of a guide, drawn again by their importance weights :math:`p(x, z) / q(z)`: closer to the posterior.

    The weights are smoothed by their Pareto tail; the new draws are a systematic sample, with replacement.

    :param rng_key: a key.
    :param param_map: the (constrained) values of the params of model and guide.
    :param model: the model.
    :param guide: the guide.
    :param args: arguments of both.
    :param num_samples: the number of draws to return.
    :param num_particles: the number of draws of the guide to choose from, at least 25; by default ten times as many.
    :param chunk_size: draws of the guide evaluated at a time; all by default.
    :param kwargs: keyword arguments of both.
    :return: values of the latent sites of the model by name, with ``num_samples`` in front, and the shape
        :math:`\\hat k` of the tail; above 0.7 the draws are not to be trusted (see :func:`psis_diagnostic`).
    :raises ValueError: for too few draws, or where no weight is positive.

    **Reference:** Vehtari, Simpson, Gelman, Yao & Gabry, *Pareto smoothed importance sampling* (2024).
    """
    num_particles = 10 * num_samples if num_particles is None else num_particles
    if num_samples < 1 or num_particles < 25:
        raise UsageError(
            f"importance_resample needs num_samples of at least 1 and num_particles of at least 25, got {num_samples} "
            f"and {num_particles}."
        )
    draw_key, choice_key = jax.random.split(rng_key)

    def draw(rng_key: Any, _: PyTree) -> tuple[dict[str, Any], Array]:
        model_trace, guide_trace = run_both(rng_key, param_map, model, guide, args, kwargs)
        values = {name: site["value"] for name, site in model_trace.items() if is_latent(site)}
        return values, sum_terms(site_terms(model_trace)) - sum_terms(site_terms(guide_trace))

    values, found = map_draws(draw, draw_key, {}, (num_particles,), parallel=True, batch_size=chunk_size)
    log_weights = np.asarray(found)
    rounding = 32 * float(np.finfo(log_weights.dtype).eps)
    log_weights = np.where(np.isfinite(log_weights), log_weights, -np.inf).astype(np.float64)
    if not np.isfinite(log_weights).any():
        raise UsageError(
            "importance_resample: no draw of the guide has a finite log density under the model; the guide proposes "
            "values outside the supports of the model's sites, or its params are not finite."
        )
    smoothed, shape = smooth_log_weights(log_weights, rounding)
    levels = (np.arange(num_samples) + float(jax.random.uniform(choice_key))) / num_samples
    chosen = np.minimum(np.searchsorted(np.cumsum(np.exp(smoothed)), levels), num_particles - 1)
    return jax.tree.map(lambda leaf: leaf[chosen], values), shape


def pareto_shape(log_weights: np.ndarray, rounding: float = 1e-14) -> float:
    """The shape :math:`\\hat k` of a generalised Pareto distribution of the largest weights.

    The tail has :math:`\\min(S / 5, 3 \\sqrt S)` of :math:`S` weights. Log weights that differ by no more than
    ``rounding`` times their size are equal.
    """
    order = np.sort(log_weights)
    size = int(np.ceil(min(0.2 * len(order), 3.0 * np.sqrt(len(order)))))
    if size < 5 or len(order) <= size:
        return float("inf")
    if order[-1] - order[0] <= rounding * max(1.0, float(np.abs(order).max())):
        return float("-inf")
    weights = np.exp(order[-size - 1 :] - order[-1])
    exceedances = weights[1:] - weights[0]
    return fit_pareto_shape(np.maximum(exceedances, np.finfo(np.float64).tiny))


def smooth_log_weights(log_weights: np.ndarray, rounding: float = 1e-14) -> tuple[np.ndarray, float]:
    """Importance weights with a smoothed tail, normalised, and the shape of the tail.

    The largest weights are replaced by the quantiles of the generalised Pareto distribution that fits them, and none is
    larger than the largest was. Weights equal up to ``rounding``, as in :func:`pareto_shape`, stay as they are.

    :param log_weights: log weights, finite or :math:`-\\infty`.

    **Reference:** Vehtari, Simpson, Gelman, Yao & Gabry, *Pareto smoothed importance sampling* (2024).
    """
    smoothed = np.array(log_weights, np.float64)
    positions = np.flatnonzero(np.isfinite(smoothed))
    shape = pareto_shape(smoothed[positions], rounding)
    smoothed -= smoothed[positions].max()
    if np.isfinite(shape):
        order = positions[np.argsort(smoothed[positions])]
        size = int(np.ceil(min(0.2 * len(order), 3.0 * np.sqrt(len(order)))))
        tail, cut = order[-size:], np.exp(smoothed[order[-size - 1]])
        shape, scale = fit_pareto(np.maximum(np.exp(smoothed[tail]) - cut, np.finfo(np.float64).tiny))
        log_survival = np.log1p(-(np.arange(size) + 0.5) / size)
        quantiles = scale * np.expm1(-shape * log_survival) / shape if shape else -scale * log_survival
        smoothed[tail] = np.minimum(np.log(cut + quantiles), 0.0)
    return smoothed - np.log(np.sum(np.exp(smoothed))), shape


def fit_pareto_shape(exceedances: np.ndarray) -> float:
    """The shape of :func:`fit_pareto`."""
    return fit_pareto(exceedances)[0]


def fit_pareto(exceedances: np.ndarray) -> tuple[float, float]:
    """The shape and the scale of a generalised Pareto distribution from a sorted sample, averages over a likelihood.

    The density is :math:`\\sigma^{-1} (1 + k x / \\sigma)^{-1/k - 1}`. With :math:`\\theta = -k / \\sigma` the best
    :math:`k` for a :math:`\\theta` is the mean of :math:`\\log(1 - \\theta x_i)`; the average over :math:`\\theta` has
    a weak prior, and that of :math:`k` draws it a little towards 0.5.

    **Reference:** Zhang & Stephens, *A new and efficient estimation method for the generalized Pareto distribution*
    (2009).
    """
    n = len(exceedances)
    count = 30 + int(np.sqrt(n))
    quartile = exceedances[int(n / 4 + 0.5) - 1]
    grid = 1.0 / exceedances[-1] + (1.0 - np.sqrt(count / (np.arange(count) + 0.5))) / (3.0 * quartile)
    shapes = np.mean(np.log1p(-grid[:, None] * exceedances), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        profile = n * (np.log(-grid / shapes) - shapes - 1.0)
    profile = np.where(np.isfinite(profile), profile, -np.inf)
    weights = np.exp(profile - profile.max())
    theta = float(np.sum(grid * weights) / np.sum(weights))
    shape = float(np.mean(np.log1p(-theta * exceedances)))
    return (n * shape + 10.0 * 0.5) / (n + 10.0), -shape / theta
