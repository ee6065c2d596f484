"""Inverse mass matrices that differ from a diagonal one in a few directions.

With the diagonal :math:`S^2` of :mod:`~numpyro.infer.adaptation.fisher` the posterior is scaled to
:math:`x = S^{-1} z`, with gradients :math:`S g`. The geometric mean of the covariances of these, computed in the
subspace that the draws and the gradients span, has eigenvalues near 1 in most directions. Those that are farthest from
1 are kept:

.. math::

    M^{-1} = S\\, (I + U (\\Lambda - I) U^\\top)\\, S .

A product with it costs :math:`O(D k)` for :math:`k` directions of :math:`D`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array
from numpyro.infer.adaptation.fisher import fisher_diagonal, geometric_mean


class LowRankMatrix(NamedTuple):
    """A matrix made of a diagonal and a few directions.

    ``scale`` of shape ``(D,)``, ``vectors`` :math:`U` of shape ``(D, k)`` with orthonormal columns, and ``values`` of
    shape ``(k,)``, the diagonal of :math:`\\Lambda`. Which matrix it is, its place says: see
    :class:`~numpyro.infer.hmc.metric.LowRankMetric`.
    """

    scale: Array
    vectors: Array
    values: Array


def low_rank_estimate(
    draws: Array, grads: Array, used: Array, rank: int, regularization: float, cutoff: float
) -> LowRankMatrix:
    """The inverse mass matrix :math:`S (I + U (\\Lambda - I) U^\\top) S` from draws and gradients.

    :param draws: positions, one a row, of shape ``(B, D)``.
    :param grads: the gradients there, of the same shape.
    :param used: which rows count, of shape ``(B,)``; at least two.
    :param rank: the number :math:`k` of directions, at most :math:`D`.
    :param regularization: so many draws of a standard normal posterior are added, in the scaled space.
    :param cutoff: eigenvalues between ``1 / cutoff`` and ``cutoff`` become 1.
    """
    weight = used.astype(draws.dtype)[:, None]
    count = weight.sum()
    draws = weight * (draws - (weight * draws).sum(0) / count)
    grads = weight * (grads - (weight * grads).sum(0) / count)
    scale = jnp.sqrt(fisher_diagonal((draws**2).sum(0), (grads**2).sum(0)))
    draws, grads = draws / scale, grads * scale
    basis = _span(draws, grads)
    identity = jnp.eye(basis.shape[1], dtype=draws.dtype)

    def covariance(rows: Array) -> Array:
        inside = rows @ basis
        return (inside.T @ inside + regularization * identity) / (count + regularization)

    values, vectors = jnp.linalg.eigh(geometric_mean(covariance(draws), covariance(grads)))
    values = jnp.maximum(values, jnp.finfo(values.dtype).eps * values[-1])
    distance = jnp.abs(jnp.log(values))
    _, farthest = lax.top_k(distance, rank)
    values = jnp.where(distance > np.log(cutoff), values, 1.0)[farthest]
    return LowRankMatrix(scale, basis @ vectors[:, farthest], values)


def _span(draws: Array, grads: Array) -> Array:
    """Orthonormal columns that span the rows of both; all directions where there are fewer than rows."""
    size = draws.shape[1]
    if size <= 2 * draws.shape[0]:
        return jnp.eye(size, dtype=draws.dtype)
    return jnp.linalg.qr(jnp.concatenate([draws, grads]).T)[0]
