r"""The multivariate normal log density by Cholesky factor, covariance or precision, with derivative rules of its own.

For :math:`y = x - \mu` in :math:`d` dimensions,

.. math:: \log p = -\tfrac12 y^T \Sigma^{-1} y - \tfrac12 \log\det \Sigma - \tfrac d2 \log 2\pi.

Where a covariance :math:`\Sigma` or a precision :math:`P = \Sigma^{-1}` is given, automatic differentiation would go
through the Cholesky factorisation, at three times its cost. The derivatives are known in closed form instead: with
:math:`a = \Sigma^{-1} y`

.. math:: d \log p = -a^T dy + \tfrac12 a^T\,d\Sigma\,a - \tfrac12 \operatorname{tr}(\Sigma^{-1}\,d\Sigma)
    = -a^T dy - \tfrac12 y^T\,dP\,y + \tfrac12 \operatorname{tr}(P^{-1}\,dP).

These hold in every direction, are linear in it, and can be differentiated again: so gradients, Jacobian-vector
products and Hessians all follow.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular

from numpyro._typing import Array, ArrayLike

_HALF_LOG_TWO_PI = 0.9189385332046727


def half_log_det(factor: ArrayLike) -> Array:
    """Half the logarithm of the determinant of a matrix, by its Cholesky factor."""
    return jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), -1)


def inverse_by_factor(factor: ArrayLike) -> Array:
    """The inverse of a matrix, by its lower Cholesky factor."""
    factor = jnp.asarray(factor)
    identity = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
    # L^-T, solved from the right, as BLAS does it fastest, and one product: half the time of two solves.
    upper = lax.linalg.triangular_solve(factor, identity, left_side=False, lower=True, transpose_a=True)
    return jnp.matmul(upper, jnp.swapaxes(upper, -1, -2), precision=lax.Precision.HIGHEST)


def log_prob_by_factor(y: ArrayLike, factor: ArrayLike) -> Array:
    """The log density of a normal distribution of mean 0, by the lower Cholesky factor of its covariance.

    :param y: values, of shape ``(..., d)``.
    :param factor: of shape ``(..., d, d)``.
    :return: array of the shape to which the leading dimensions broadcast.
    """
    white = whiten(factor, y)
    normalizer = half_log_det(factor) + white.shape[-1] * _HALF_LOG_TWO_PI
    return -0.5 * jnp.sum(lax.square(white), -1) - normalizer


@jax.custom_jvp
def log_prob_by_covariance(y: Array, covariance: Array) -> Array:
    """The log density of a normal distribution of mean 0, by its covariance.

    :param y: values, of shape ``(..., d)``.
    :param covariance: of shape ``(..., d, d)``, symmetric.
    :return: array of the shape to which the leading dimensions broadcast.
    """
    return log_prob_by_factor(y, jnp.linalg.cholesky(covariance))


@log_prob_by_covariance.defjvp
def _log_prob_by_covariance_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    y, covariance = primals
    dy, d_covariance = tangents
    factor = jnp.linalg.cholesky(covariance)
    a = whiten(factor, whiten(factor, y), transposed=True)
    trace = jnp.sum(inverse_by_factor(factor) * d_covariance, (-2, -1))
    tangent = 0.5 * (_quadratic_form(d_covariance, a) - trace) - jnp.sum(a * dy, -1)
    return log_prob_by_factor(y, factor), tangent


@jax.custom_jvp
def log_prob_by_precision(y: Array, precision: Array) -> Array:
    """The log density of a normal distribution of mean 0, by the inverse of its covariance.

    :param y: values, of shape ``(..., d)``.
    :param precision: of shape ``(..., d, d)``, symmetric.
    :return: array of the shape to which the leading dimensions broadcast.
    """
    return _log_prob_by_precision_factor(y, precision, jnp.linalg.cholesky(precision))


def _log_prob_by_precision_factor(y: Array, precision: Array, factor: Array) -> Array:
    normalizer = half_log_det(factor) - y.shape[-1] * _HALF_LOG_TWO_PI
    return normalizer - 0.5 * _quadratic_form(precision, y)


@log_prob_by_precision.defjvp
def _log_prob_by_precision_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    y, precision = primals
    dy, d_precision = tangents
    factor = jnp.linalg.cholesky(precision)
    trace = jnp.sum(inverse_by_factor(factor) * d_precision, (-2, -1))
    along_value = jnp.sum(times(precision, y) * dy, -1)
    tangent = 0.5 * (trace - _quadratic_form(d_precision, y)) - along_value
    return _log_prob_by_precision_factor(y, precision, factor), tangent


def times(matrix: Array, y: Array) -> Array:
    """``A y``, by one product of matrices for all ``y`` where ``A`` has no batch dimensions."""
    if matrix.ndim == 2:
        return jnp.matmul(y, matrix.T)
    return jnp.squeeze(jnp.matmul(matrix, y[..., None]), -1)


def _quadratic_form(matrix: Array, y: Array) -> Array:
    return jnp.sum(times(matrix, y) * y, -1)


def without_leading_ones(matrix: ArrayLike) -> Array:
    """A batch of matrices without the leftmost batch dimensions of size one, which broadcasting supplies anyway."""
    matrix = jnp.asarray(matrix)
    batch = matrix.shape[:-2]
    while batch and batch[0] == 1:
        batch = batch[1:]
    return matrix.reshape(batch + matrix.shape[-2:])


def whiten(factor: ArrayLike, y: ArrayLike, transposed: bool = False) -> Array:
    """``L^-1 y`` for a lower triangular factor ``L``, or ``L^-T y``.

    Dimensions of ``y`` along which ``L`` does not vary become columns of one solve: the factor is not copied for them.

    :param factor: of shape ``(..., d, d)``.
    :param y: of shape ``(..., d)``.
    :param transposed: whether to solve with the transpose.
    :return: array of the shape to which the leading dimensions broadcast, and ``d``.
    """
    factor, y = without_leading_ones(factor), jnp.asarray(y)

    def solve(columns: Array) -> Array:
        return solve_triangular(factor, columns, lower=True, trans=int(transposed))

    rank = factor.ndim - 2
    if y.ndim - 1 < rank:
        y = y.reshape((1,) * (rank + 1 - y.ndim) + y.shape)
    extra, shared = y.shape[: y.ndim - 1 - rank], y.shape[y.ndim - 1 - rank : -1]
    shape = lax.broadcast_shapes(shared, factor.shape[:-2])
    y = jnp.broadcast_to(y, (*extra, *shape, y.shape[-1]))
    factor = jnp.broadcast_to(factor, (*shape, *factor.shape[-2:]))
    if not extra:
        return jnp.squeeze(solve(y[..., None]), -1)
    if not shape:  # one factor for all: solved from the right, so that nothing is transposed
        rows = y.reshape(-1, y.shape[-1]).astype(factor.dtype)
        white = lax.linalg.triangular_solve(factor, rows, left_side=False, lower=True, transpose_a=not transposed)
        return white.reshape(y.shape)
    columns = jnp.moveaxis(y.reshape((-1, *shape, y.shape[-1])), 0, -1)
    return jnp.moveaxis(solve(columns), -1, 0).reshape(y.shape)
