"""Maps onto Cholesky factors and positive definite matrices."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import solve_triangular

from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions import constraints
from numpyro.distributions.transforms.base import ParameterFreeTransform, Transform, as_float, check_rank
from numpyro.distributions.transforms.compose import ComposeTransform
from numpyro.distributions.transforms.elementwise import softplus_inverse
from numpyro.distributions.transforms.registry import biject_to
from numpyro.ops.linalg import add_diag, diagonal, matrix_to_tril_vec, tri_logabsdet, tril_size, vec_to_tril_matrix


def vector_to_matrix_shape(transform: Transform, shape: Shape, offset: int = 0) -> Shape:
    """Return the shape of the square matrices that vectors of the lower triangle up to diagonal ``offset`` make."""
    check_rank(transform, shape, 1)
    n = tril_size(shape[-1], offset)
    return (*shape[:-1], n, n)


def matrix_to_vector_shape(transform: Transform, shape: Shape, offset: int = 0) -> Shape:
    """Return the shape of the vectors that hold the lower triangle up to diagonal ``offset`` of square matrices."""
    check_rank(transform, shape, 2)
    n = shape[-1]
    if shape[-2] != n:
        raise ValueError(f"{type(transform).__name__}: expected square matrices, but the shape is {shape}.")
    return (*shape[:-2], (n + offset) * (n + offset + 1) // 2)


class _PackedLowerCholesky(ParameterFreeTransform):
    """A map of vectors onto lower triangular matrices with a positive diagonal.

    The vector holds what lies below the diagonal, row by row, and after it what makes the :math:`n` diagonal elements.
    """

    domain = constraints.real_vector
    codomain = constraints.lower_cholesky

    def _split(self, x: Any) -> tuple[Array, Array]:
        """Return the strictly lower triangular matrix, and the elements for the diagonal."""
        x = as_float(x)
        n = vector_to_matrix_shape(self, x.shape)[-1]
        below = x.shape[-1] - n
        return vec_to_tril_matrix(x[..., :below], -1), x[..., below:]

    def forward_shape(self, shape: Shape) -> Shape:
        return vector_to_matrix_shape(self, shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        return matrix_to_vector_shape(self, shape)


def _diagonal_part(x: Any, y: Any) -> Array:
    return as_float(x)[..., np.shape(x)[-1] - np.shape(y)[-1] :]


class LowerCholeskyTransform(_PackedLowerCholesky):
    r"""The map onto lower triangular matrices whose diagonal is the exponential of the last ``n`` elements.

    .. math:: L_{ij} = x_{i (i - 1) / 2 + j} \text{ for } i > j, \qquad L_{ii} = e^{z_i}

    with indices from 0 and the last ``n`` elements :math:`z` of :math:`x`.

    :domain: :math:`\mathbb{R}^{n (n + 1) / 2}`
    :codomain: the lower triangular :math:`L \in \mathbb{R}^{n \times n}` with :math:`L_{ii} > 0`
    :log determinant: :math:`\sum_i z_i`
    """

    def __call__(self, x: Any) -> Array:
        below, z = self._split(x)
        return add_diag(below, jnp.exp(z))

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        return jnp.concatenate([matrix_to_tril_vec(y, -1), jnp.log(diagonal(y))], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return _diagonal_part(x, y).sum(-1)


class SoftplusLowerCholeskyTransform(_PackedLowerCholesky):
    r"""The map onto lower triangular matrices whose diagonal is softplus of the last ``n`` elements.

    .. math:: L_{ij} = x_{i (i - 1) / 2 + j} \text{ for } i > j, \qquad L_{ii} = \log(1 + e^{z_i})

    with indices from 0 and the last ``n`` elements :math:`z` of :math:`x`.

    :domain: :math:`\mathbb{R}^{n (n + 1) / 2}`
    :codomain: the lower triangular :math:`L \in \mathbb{R}^{n \times n}` with :math:`L_{ii} > 0`
    :log determinant: :math:`-\sum_i \log(1 + e^{-z_i})`
    """

    codomain = constraints.softplus_lower_cholesky

    def __call__(self, x: Any) -> Array:
        below, z = self._split(x)
        return add_diag(below, jax.nn.softplus(z))

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        return jnp.concatenate([matrix_to_tril_vec(y, -1), softplus_inverse(diagonal(y))], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        return -jax.nn.softplus(-_diagonal_part(x, y)).sum(-1)


class ScaledUnitLowerCholeskyTransform(LowerCholeskyTransform):
    r"""The map onto :math:`D U`: :math:`D` diagonal, softplus of the last ``n`` elements, :math:`U` unit triangular.

    .. math:: L_{ij} = D_i\, x_{i (i - 1) / 2 + j} \text{ for } i > j, \qquad L_{ii} = D_i = \log(1 + e^{z_i})

    with indices from 0 and the last ``n`` elements :math:`z` of :math:`x`.

    :domain: :math:`\mathbb{R}^{n (n + 1) / 2}`
    :codomain: the lower triangular :math:`L \in \mathbb{R}^{n \times n}` with :math:`L_{ii} > 0`
    :log determinant: :math:`\sum_i \bigl(i \log D_i - \log(1 + e^{-z_i})\bigr)`
    """

    codomain = constraints.scaled_unit_lower_cholesky

    def __call__(self, x: Any) -> Array:
        below, z = self._split(x)
        return add_diag(below, 1.0) * jax.nn.softplus(z)[..., None]

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        scale = diagonal(y)
        return jnp.concatenate([matrix_to_tril_vec(y / scale[..., None], -1), softplus_inverse(scale)], axis=-1)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        # Row i has i elements below the diagonal, each scaled by D_ii.
        z = _diagonal_part(x, y)
        below = np.arange(z.shape[-1], dtype=z.dtype)
        return (below * _log_softplus(z) - jax.nn.softplus(-z)).sum(-1)


def _log_softplus(z: Array) -> Array:
    # softplus(z) = e^z (1 - e^z / 2 + ...), which underflows before its logarithm does.
    small = z < math.log(float(jnp.finfo(z.dtype).eps))
    return jnp.where(small, z, jnp.log(jax.nn.softplus(jnp.where(small, 0, z))))


class CholeskyTransform(ParameterFreeTransform):
    r"""The map of a positive definite matrix to its lower Cholesky factor: :math:`x = y y^\top`.

    :domain: symmetric positive definite :math:`x \in \mathbb{R}^{n \times n}`
    :codomain: the lower triangular :math:`y \in \mathbb{R}^{n \times n}` with :math:`y_{ii} > 0`
    :log determinant: :math:`-n \log 2 - \sum_{i=1}^n (n + 1 - i) \log y_{ii}`
    """

    domain = constraints.positive_definite
    codomain = constraints.lower_cholesky

    def __call__(self, x: Any) -> Array:
        return jnp.linalg.cholesky(as_float(x))

    def _inverse(self, y: Any) -> Array:
        y = as_float(y)
        return jnp.matmul(y, jnp.swapaxes(y, -2, -1), precision=lax.Precision.HIGHEST)

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        # d x_ij / d y_ij = y_jj below the diagonal and 2 y_jj on it: column j has n - j elements (j from 0).
        n = np.shape(y)[-1]
        log_diagonal = jnp.log(diagonal(as_float(y)))
        return -(np.arange(n, 0, -1, dtype=log_diagonal.dtype) * log_diagonal).sum(-1) - n * math.log(2)


class LowerCholeskyAffine(Transform):
    r"""The map :math:`y = a + L x` of vectors.

    :param loc: the shift :math:`a`, of shape ``(..., n)``.
    :param scale_tril: the lower triangular matrix :math:`L` with a positive diagonal, of shape ``(..., n, n)``.
    :domain: :math:`\mathbb{R}^n`
    :codomain: :math:`\mathbb{R}^n`
    :log determinant: :math:`\sum_i \log |L_{ii}|`
    :raises ValueError: when ``scale_tril`` is no matrix.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    pytree_data_fields = ("loc", "scale_tril")

    def __init__(self, loc: ArrayLike, scale_tril: ArrayLike) -> None:
        if np.ndim(scale_tril) < 2:
            raise ValueError(f"scale_tril must be at least 2-dimensional, got shape {np.shape(scale_tril)}.")
        self.loc = loc
        self.scale_tril = scale_tril

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        product = jnp.matmul(self.scale_tril, x[..., None], precision=lax.Precision.HIGHEST)
        return jnp.add(self.loc, product[..., 0])

    def _inverse(self, y: Any) -> Array:
        rest = as_float(y) - self.loc
        matrix = jnp.asarray(self.scale_tril)
        batch = lax.broadcast_shapes(rest.shape[:-1], matrix.shape[:-2])
        rest = jnp.broadcast_to(rest, (*batch, rest.shape[-1]))
        matrix = jnp.broadcast_to(matrix, (*batch, *matrix.shape[-2:]))
        return solve_triangular(matrix, rest[..., None], lower=True)[..., 0]

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        batch = self.forward_shape(np.shape(x))[:-1]
        return jnp.broadcast_to(tri_logabsdet(self.scale_tril), batch)

    def forward_shape(self, shape: Shape) -> Shape:
        check_rank(self, shape, 1)
        return lax.broadcast_shapes(shape, np.shape(self.loc), np.shape(self.scale_tril)[:-1])

    def inverse_shape(self, shape: Shape) -> Shape:
        return self.forward_shape(shape)


@biject_to.register(constraints.lower_cholesky)
def _to_lower_cholesky(constraint: Any) -> Transform:
    return LowerCholeskyTransform()


@biject_to.register(constraints.softplus_lower_cholesky)
def _to_softplus_lower_cholesky(constraint: Any) -> Transform:
    return SoftplusLowerCholeskyTransform()


@biject_to.register(constraints.scaled_unit_lower_cholesky)
def _to_scaled_unit_lower_cholesky(constraint: Any) -> Transform:
    return ScaledUnitLowerCholeskyTransform()


@biject_to.register(constraints.positive_definite)
@biject_to.register(constraints.positive_semidefinite)
def _to_positive_definite(constraint: Any) -> Transform:
    return ComposeTransform([LowerCholeskyTransform(), CholeskyTransform().inv])
