"""Eigenvalues and eigenfunctions of the Laplacian on a box, with zeros at its edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, ArrayLike


def eigenindices(m: int | Sequence[int], dim: int) -> Array:
    """The index of each eigenfunction in each dimension, from 1 on.

    :param m: how many there are in each dimension: one number for all, or one for each.
    :param dim: the number of dimensions.
    :returns: integers of shape ``(dim, m_star)``, with ``m_star`` the product of the numbers; the last dimension runs
        fastest.
    :raises ValueError: when the length of ``m`` is not ``dim``.

    >>> from numpyro.contrib.hsgp.laplacian import eigenindices
    >>> eigenindices([2, 3], 2)
    Array([[1, 1, 1, 2, 2, 2],
           [1, 2, 3, 1, 2, 3]], dtype=int32)
    """
    counts = [m] * dim if isinstance(m, int | np.integer) else [int(count) for count in m]
    if len(counts) != dim:
        raise ValueError(f"The length of m must be equal to the dimension of the space, {dim}; got {len(counts)}.")
    if min(counts) < 1:
        raise ValueError(f"`m` must be positive in each dimension, got {counts}.")
    grid = np.meshgrid(*(np.arange(1, count + 1, dtype=np.int32) for count in counts), indexing="ij")
    return jnp.asarray(np.stack([index.ravel() for index in grid]))


def sqrt_eigenvalues(ell: ArrayLike | Sequence[float], m: int | Sequence[int], dim: int) -> Array:
    """:math:`\\sqrt{\\lambda_j} = \\frac{\\pi j}{2 L}`, the frequency of each eigenfunction in each dimension.

    :param ell: half the length of each edge of the box, one number for all dimensions or one for each.
    :param m: how many eigenfunctions there are in each dimension.
    :param dim: the number of dimensions.
    :returns: frequencies of shape ``(dim, m_star)``.
    """
    return _convert_ell(ell, dim) ** -1 * (np.pi / 2.0) * eigenindices(m, dim)


def eigenfunctions(x: ArrayLike, ell: ArrayLike | Sequence[float], m: int | Sequence[int]) -> Array:
    """The values of the eigenfunctions

    .. math:: \\phi_j(x) = \\prod_d \\frac{1}{\\sqrt{L_d}} \\sin\\big(\\sqrt{\\lambda_{j,d}} (x_d + L_d)\\big).

    :param x: points of shape ``(n, dim)``, or ``(n,)`` in one dimension; between ``-ell`` and ``ell``.
    :param ell: half the length of each edge of the box, one number for all dimensions or one for each.
    :param m: how many eigenfunctions there are in each dimension.
    :returns: values of shape ``(n, m_star)``.
    """
    x = jnp.asarray(x)
    if x.ndim == 1:
        x = x[:, None]
    dim = x.shape[-1]
    edges = _convert_ell(ell, dim)
    frequencies = sqrt_eigenvalues(ell, m, dim)
    phases = frequencies * (x[..., :, None] + edges)
    return jnp.prod(jnp.sin(phases) / jnp.sqrt(edges), -2)


def eigenfunctions_periodic(x: ArrayLike, w0: ArrayLike, m: int) -> tuple[Array, Array]:
    """The functions :math:`\\cos(j w_0 x)` and :math:`\\sin(j w_0 x)` for ``j`` from 0 to ``m - 1``.

    :param x: points of shape ``(n,)``.
    :param w0: the angular frequency, :math:`2\\pi` over the period.
    :param m: how many of each.
    :returns: cosines and sines, each of shape ``(n, m)``.
    :raises ValueError: for points of more than one dimension.
    """
    x = jnp.asarray(x)
    if x.ndim > 1:
        raise ValueError(
            "Multidimensional inputs are not supported by the periodic kernel: `x` must have shape (n,), got "
            f"{x.shape}."
        )
    phases = w0 * x[:, None] * np.arange(m)
    return jnp.cos(phases), jnp.sin(phases)


def _convert_ell(ell: Any, dim: int) -> Array:
    """Half the lengths of the edges, of shape ``(dim, 1)``."""
    edges = jnp.asarray(ell, jnp.result_type(float))
    if edges.ndim > 1 and edges.shape != (dim, 1):
        raise ValueError(f"ell must be a scalar or a list of length `dim`, which is {dim}; got shape {edges.shape}.")
    if edges.ndim == 1 and edges.shape != (dim,):
        raise ValueError(f"The length of ell must be equal to the dimension of the space, {dim}; got {edges.shape[0]}.")
    return jnp.broadcast_to(edges.reshape(-1, 1), (dim, 1))
