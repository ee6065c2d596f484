"""Merging draws of sub-posteriors, each of which saw a part of the data, into draws of the posterior of all.

With the data in :math:`K` parts and the prior taken to the power :math:`1/K` in each, the posterior is the product of
the sub-posteriors. Both ways here are exact where these are normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.model import Layout


def consensus(
    subposteriors: Sequence[PyTree], num_draws: int | None = None, diagonal: bool = False, rng_key: Key | None = None
) -> PyTree:
    """Merge draws by averages that are weighted with the inverse covariances :math:`W_k` of the parts:

    .. math:: \\theta = \\Big(\\sum_k W_k\\Big)^{-1} \\sum_k W_k \\theta_k .

    :param subposteriors: for each part its draws: arrays, or pytrees of arrays, with a leading axis of draws.
    :param num_draws: how many draws to make, of draws of the parts chosen with replacement; by default the draws of
        the parts are taken as they come, one of each.
    :param diagonal: weights are inverse variances; otherwise inverse covariance matrices over all sites.
    :param rng_key: the key of that choice, ``jax.random.PRNGKey(0)`` by default.
    :returns: merged draws, of the form of one part.
    :raises ValueError: when parts differ in form, or in their numbers of draws without ``num_draws``.

    **Reference:** S. Scott et al., *Bayes and big data: the consensus Monte Carlo algorithm* (2016).
    """
    parts, layout = _flatten(subposteriors)
    sizes = [part.shape[0] for part in parts]
    if num_draws is not None:
        keys = jax.random.split(jax.random.PRNGKey(0) if rng_key is None else rng_key, len(parts))
        chosen = [jax.random.randint(key, (num_draws,), 0, size) for key, size in zip(keys, sizes)]
        drawn = [part[rows] for part, rows in zip(parts, chosen)]
    elif len(set(sizes)) > 1:
        raise ValueError(
            f"the sub-posteriors have different numbers of draws, {sizes}: pass num_draws to choose so many of each."
        )
    else:
        drawn = parts
    weights = [_precision(part, diagonal) for part in parts]
    total = sum(weights[1:], weights[0])
    if diagonal:
        merged = sum(weight * draws for weight, draws in zip(weights, drawn)) / total
    else:
        weighted = sum(draws @ weight for weight, draws in zip(weights, drawn))
        merged = jnp.linalg.solve(total, jnp.asarray(weighted).T).T
    return jax.vmap(layout.unravel)(merged)


def parametric(subposteriors: Sequence[PyTree], diagonal: bool = False) -> tuple[Array, Array]:
    """The normal distribution that is the product of normal distributions fitted to the parts.

    :param subposteriors: for each part its draws: arrays, or pytrees of arrays, with a leading axis of draws.
    :param diagonal: fit variances; otherwise covariance matrices over all sites.
    :returns: the mean, flat, of shape ``(D,)``, and the covariance, ``(D, D)``, or the variances, ``(D,)``.
    :raises ValueError: when parts differ in form, or have too few draws.

    **Reference:** W. Neiswanger, C. Wang, E. Xing, *Asymptotically exact, embarrassingly parallel MCMC* (2014),
    section 3.1.
    """
    parts, _ = _flatten(subposteriors)
    weights = [_precision(part, diagonal) for part in parts]
    total = sum(weights[1:], weights[0])
    means = [jnp.mean(part, 0) for part in parts]
    if diagonal:
        return jnp.asarray(sum(weight * mean for weight, mean in zip(weights, means)) / total), 1.0 / total
    covariance = jnp.linalg.inv(total)
    return covariance @ jnp.asarray(sum(weight @ mean for weight, mean in zip(weights, means))), covariance


def parametric_draws(
    subposteriors: Sequence[PyTree], num_draws: int, diagonal: bool = False, rng_key: Key | None = None
) -> PyTree:
    """Draws from :func:`parametric`.

    :param num_draws: how many.
    :param rng_key: their key, ``jax.random.PRNGKey(0)`` by default.
    :returns: draws, of the form of one part.
    """
    mean, covariance = parametric(subposteriors, diagonal)
    noise = jax.random.normal(jax.random.PRNGKey(0) if rng_key is None else rng_key, (num_draws, *mean.shape))
    noise = noise.astype(mean.dtype)
    if diagonal:
        draws = mean + jnp.sqrt(covariance) * noise
    else:
        draws = mean + noise @ jnp.linalg.cholesky(covariance).T
    return jax.vmap(_flatten(subposteriors)[1].unravel)(draws)


def _flatten(subposteriors: Sequence[PyTree]) -> tuple[list[Array], Layout]:
    """The draws of each part, of shape ``(n, D)``, and how a draw lies in a row."""
    subposteriors = list(subposteriors)
    if not subposteriors:
        raise ValueError("`subposteriors` must hold the draws of at least one part, and is empty.")
    shapes = [_shapes_of_one(part) for part in subposteriors]
    structures: list[Any] = [jax.tree.structure(shape) for shape in shapes]
    if any(structure != structures[0] for structure in structures):
        raise ValueError("the parts in `subposteriors` must have the same sites, of the same structure.")
    layout = Layout(shapes[0])
    return [jax.vmap(layout.ravel)(jax.tree.map(jnp.asarray, part)) for part in subposteriors], layout


def _shapes_of_one(part: PyTree) -> PyTree:
    def shape(leaf: Array) -> jax.ShapeDtypeStruct:
        if np.ndim(leaf) == 0:
            raise ValueError("draws must have a leading axis of draws, and one of the arrays has no axis.")
        return jax.ShapeDtypeStruct(np.shape(leaf)[1:], jnp.result_type(leaf, float))

    return jax.tree.map(shape, part)


def _precision(draws: Array, diagonal: bool) -> Array:
    """The inverse covariance, or inverse variances, of the rows."""
    count, size = draws.shape
    if count < 2:
        raise ValueError("covariances need at least two draws of each part.")
    if diagonal:
        return 1.0 / jnp.var(draws, 0, ddof=1)
    if count <= size:
        raise ValueError(
            f"a covariance matrix over {size} values needs more than {size} draws of each part, got {count}: take "
            "more, or pass diagonal=True."
        )
    return jnp.linalg.inv(jnp.cov(draws.T).reshape(size, size))
