"""Linear algebra that distributions need: packed triangular matrices, Cholesky factors, normalisation.

Matrices stand in the last two dimensions, vectors in the last one; all others are batch dimensions.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

from numpyro._typing import Array, ArrayLike

_LONGEST_DOT = 128  # below this length one product with a triangle of ones is faster than a scan of log(n) steps


def exclusive_cumulative_sum(x: Array) -> Array:
    """Return the sums of all that stands before each element along the last dimension; they begin with 0.

    :param x: floating-point array of shape ``(..., n)``, finite.
    :return: array of the same shape.
    """
    n = x.shape[-1]
    if n > _LONGEST_DOT:
        return jnp.cumsum(x, axis=-1) - x
    return jnp.matmul(x, np.triu(np.ones((n, n), x.dtype), 1), precision=lax.Precision.HIGHEST)


def vec_to_tril_matrix(t: ArrayLike, diagonal: int = 0) -> Array:
    """Fill the lower triangle of a square matrix row by row.

    :param t: array of shape ``(..., m)``.
    :param diagonal: the last diagonal that is filled: 0 for the main one, -1 for the one below it.
    :return: array of shape ``(..., n, n)``, where the triangle has ``m`` elements.
    :raises ValueError: when no triangle has ``m`` elements.

    >>> import numpy as np
    >>> vec_to_tril_matrix(np.array([1., 2., 3.])).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    t = jnp.asarray(t)
    n = tril_size(t.shape[-1], diagonal)
    rows, columns = np.tril_indices(n, diagonal)
    # A scatter into flat, sorted, distinct places: its derivative is one gather.
    flat = jnp.zeros((*t.shape[:-1], n * n), t.dtype)
    flat = flat.at[..., rows * n + columns].set(
        t, unique_indices=True, indices_are_sorted=True, mode="promise_in_bounds"
    )
    return flat.reshape((*t.shape[:-1], n, n))


def tril_size(length: int, diagonal: int = 0) -> int:
    """Return the size of the matrix whose lower triangle up to ``diagonal``, 0 or below, has ``length`` elements."""
    n = round((math.sqrt(1 + 8 * length) - 1) / 2) - diagonal
    if diagonal > 0 or (n + diagonal) * (n + diagonal + 1) != 2 * length:
        raise ValueError(
            f"a vector of length {length} does not fill the lower triangle of a square matrix up to diagonal"
            f" {diagonal}: the length must be m (m + 1) / 2 for some m."
        )
    return n


def matrix_to_tril_vec(x: ArrayLike, diagonal: int = 0) -> Array:
    """Read the lower triangle of a matrix row by row; the inverse of :func:`vec_to_tril_matrix`.

    :param x: array of shape ``(..., n, n)``.
    :param diagonal: the last diagonal that is read.
    :return: array of shape ``(..., m)``.
    """
    x = jnp.asarray(x)
    n = x.shape[-1]
    rows, columns = np.tril_indices(n, diagonal)
    flat = x.reshape((*x.shape[:-2], n * n))
    return flat.at[..., rows * n + columns].get(unique_indices=True, indices_are_sorted=True, mode="promise_in_bounds")


def add_diag(matrix: ArrayLike, diag: ArrayLike) -> Array:
    """Add to the diagonal of a matrix.

    :param matrix: array of shape ``(..., n, n)``.
    :param diag: a number or an array of shape ``(..., n)``.
    :return: array of the shape to which both broadcast.
    """
    matrix = jnp.asarray(matrix)
    return matrix + jnp.expand_dims(diag, -1) * np.eye(matrix.shape[-1], dtype=matrix.dtype)


def diagonal(matrix: Array) -> Array:
    """Return the main diagonal, of shape ``(..., n)``."""
    return jnp.diagonal(matrix, axis1=-2, axis2=-1)


def tri_logabsdet(a: ArrayLike) -> Array:
    r"""Return :math:`\log |\det A| = \sum_i \log |A_{ii}|` of a triangular matrix of shape ``(..., n, n)``."""
    return jnp.log(jnp.abs(diagonal(jnp.asarray(a)))).sum(-1)


def cholesky_of_inverse(matrix: ArrayLike) -> Array:
    r"""Return the lower Cholesky factor of the inverse of a positive definite matrix.

    With :math:`J` the permutation that reverses the order and :math:`J A J = L L^\top`, the factor is
    :math:`J L^{-\top} J`: the inverse itself is never formed.

    :param matrix: positive definite array of shape ``(..., n, n)``.
    :return: array of the same shape.
    """
    matrix = jnp.asarray(matrix)
    factor = jnp.linalg.cholesky(matrix[..., ::-1, ::-1])
    transposed = jnp.swapaxes(factor[..., ::-1, ::-1], -2, -1)
    identity = jnp.broadcast_to(np.eye(matrix.shape[-1], dtype=factor.dtype), factor.shape)
    return solve_triangular(transposed, identity, lower=True)


def cholesky_update(L: ArrayLike, x: ArrayLike, coef: ArrayLike = 1) -> Array:
    r"""Return the Cholesky factor of :math:`L L^\top + c\, x x^\top` in :math:`O(n^2)` steps.

    Column by column: with :math:`w` and :math:`\beta` what remains of :math:`x` and :math:`c`, the new pivot is
    :math:`\bar L_{jj} = (L_{jj}^2 + \beta w_j^2)^{1/2}`. Source: Gill, Golub, Murray and Saunders (1974), method C1.

    :param L: lower Cholesky factor of shape ``(..., n, n)``.
    :param x: array of shape ``(..., n)``.
    :param coef: the coefficient :math:`c`; negative for a downdate, which must leave the matrix positive definite.
    :return: array of the shape to which the batches broadcast.
    """
    L, x = jnp.asarray(L), jnp.asarray(x)
    dtype = jnp.result_type(L, x, coef)
    batch = lax.broadcast_shapes(L.shape[:-2], x.shape[:-1], np.shape(coef))
    n = L.shape[-1]
    columns = jnp.moveaxis(jnp.broadcast_to(L, (*batch, n, n)).astype(dtype), -1, 0)
    rest = jnp.broadcast_to(x, (*batch, n)).astype(dtype)
    scale = jnp.broadcast_to(jnp.asarray(coef, dtype), batch)

    def step(carry: tuple[Array, Array], inputs: tuple[Any, Array]) -> tuple[tuple[Array, Array], Array]:
        rest, scale = carry
        j, column = inputs
        pivot, w = column[..., j], rest[..., j]
        new_square = pivot**2 + scale * w**2
        new_pivot = jnp.sqrt(new_square)
        remaining = rest - (w / pivot)[..., None] * column
        updated = (new_pivot / pivot)[..., None] * column + (scale * w / new_pivot)[..., None] * remaining
        return (remaining, scale * pivot**2 / new_square), updated

    _, updated = lax.scan(step, (rest, scale), (np.arange(n), columns))
    return jnp.tril(jnp.moveaxis(updated, 0, -1))


def signed_stick_breaking_tril(t: ArrayLike) -> Array:
    r"""Build the Cholesky factor of a correlation matrix from canonical partial correlations.

    .. math:: L_{ij} = r_{ij} \prod_{k<j} \sqrt{1 - r_{ik}^2}, \qquad L_{ii} = \prod_{k<i} \sqrt{1 - r_{ik}^2}

    :param t: the partial correlations :math:`r_{ij}`, row by row below the diagonal, of shape ``(..., n (n - 1) / 2)``;
        they are kept off :math:`\pm 1` by one unit of rounding.
    :return: array of shape ``(..., n, n)``.

    Source: Lewandowski, Kurowicka and Joe (2009).
    """
    t = jnp.asarray(t)
    t = t if jnp.issubdtype(t.dtype, jnp.floating) else t.astype(jnp.result_type(float))
    limit = 1 - float(jnp.finfo(t.dtype).eps)
    r = vec_to_tril_matrix(jnp.clip(t, -limit, limit), -1)
    return add_diag(r, 1.0) * jnp.exp(exclusive_cumulative_sum(jnp.log1p(-r * r)) / 2)


def safe_normalize(x: ArrayLike, *, p: float = 2) -> Array:
    r"""Scale vectors to :math:`\|x\|_p = 1`; the zero vector becomes the one of equal elements. The gradient is finite.

    :param x: array of shape ``(..., n)``.
    :param p: order of the norm, positive.
    :return: array of the same shape.
    """
    if not p > 0:
        raise ValueError(f"p, the order of the norm, must be positive, but it is {p}.")
    x = jnp.asarray(x)
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    is_zero = largest == 0
    scaled = jnp.where(is_zero, jnp.ones((), x.dtype), x) / jnp.where(is_zero, 1, lax.stop_gradient(largest))
    norm = jnp.sum(jnp.abs(scaled) ** p, axis=-1, keepdims=True) ** (1 / p)
    return scaled / norm
