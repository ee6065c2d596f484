"""Maps onto correlation matrices and their Cholesky factors."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Shape
from numpyro.distributions import constraints
from numpyro.distributions.transforms.base import ParameterFreeTransform, Transform, as_float, check_rank
from numpyro.distributions.transforms.cholesky import (
    CholeskyTransform,
    matrix_to_vector_shape,
    vector_to_matrix_shape,
)
from numpyro.distributions.transforms.compose import ComposeTransform
from numpyro.distributions.transforms.registry import biject_to
from numpyro.distributions.transforms.vectors import log_derivative_of_tanh
from numpyro.ops.linalg import (
    add_diag,
    diagonal,
    exclusive_cumulative_sum,
    matrix_to_tril_vec,
    tril_size,
    vec_to_tril_matrix,
)


class CorrCholeskyTransform(ParameterFreeTransform):
    r"""The map of :math:`\mathbb{R}^{n (n - 1) / 2}` onto the Cholesky factors of correlation matrices.

    The vector holds the elements below the diagonal, row by row; :math:`r_{ij} = \tanh x_{ij}` are the canonical
    partial correlations, and

    .. math::

        L_{ij} = r_{ij} \prod_{k<j} \sqrt{1 - r_{ik}^2}, \qquad L_{ii} = \prod_{k<i} \sqrt{1 - r_{ik}^2}.

    It is computed from :math:`\log(1 - r^2)`, so that the diagonal stays positive and exact far out. The Jacobian of
    the elements below the diagonal is triangular: :math:`r_{ik}` appears with weight :math:`1 + (i - k - 1) / 2` in

    .. math:: \log |\det| = \sum_{i > k} \Big(1 + \frac{i - k - 1}{2}\Big) \log(1 - r_{ik}^2).

    :domain: :math:`\mathbb{R}^{n (n - 1) / 2}`
    :codomain: the lower triangular :math:`L \in \mathbb{R}^{n \times n}` with :math:`L_{ii} > 0` and rows of unit
        length
    :log determinant: the sum above

    **Reference:** Lewandowski, Kurowicka and Joe (2009); Stan reference manual, *Cholesky factors of correlation
    matrices*.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky

    def __call__(self, x: Any) -> Array:
        x = as_float(x)
        check_rank(self, x.shape, 1)
        matrix = vec_to_tril_matrix(x, -1)
        # Zeros on and above the diagonal have log(1 - tanh^2) = 0 and leave the products alone.
        scale = jnp.exp(exclusive_cumulative_sum(log_derivative_of_tanh(matrix)) / 2)
        factor = add_diag(jnp.tanh(matrix), 1.0) * scale
        floor = float(jnp.finfo(x.dtype).tiny) * np.eye(matrix.shape[-1], dtype=x.dtype)
        return jnp.where(floor > 0, jnp.maximum(factor, floor), factor)

    def _inverse(self, y: Any) -> Array:
        # sinh x_ij = r_ij / sqrt(1 - r_ij^2) = L_ij / sqrt(sum_{k>j} L_ik^2), for the rows have unit length.
        y = as_float(y)
        rest = exclusive_cumulative_sum((y * y)[..., ::-1])[..., ::-1]
        below, rest = matrix_to_tril_vec(y, -1), matrix_to_tril_vec(rest, -1)
        return jnp.arcsinh(below / jnp.sqrt(jnp.maximum(rest, float(jnp.finfo(y.dtype).tiny))))

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        x = as_float(x)
        rows, columns = np.tril_indices(tril_size(x.shape[-1], -1), -1)
        weights = (1 + (rows - columns - 1) / 2).astype(x.dtype)
        return (weights * log_derivative_of_tanh(x)).sum(-1)

    def forward_shape(self, shape: Shape) -> Shape:
        return vector_to_matrix_shape(self, shape, -1)

    def inverse_shape(self, shape: Shape) -> Shape:
        return matrix_to_vector_shape(self, shape, -1)


class CorrMatrixCholeskyTransform(CholeskyTransform):
    r"""The map of a correlation matrix to its lower Cholesky factor: :math:`x = y y^\top`.

    :domain: correlation matrices :math:`x`
    :codomain: the lower triangular :math:`y \in \mathbb{R}^{n \times n}` with :math:`y_{ii} > 0` and rows of unit
        length
    :log determinant: :math:`-\sum_{i=1}^n (n - i) \log y_{ii}`
    """

    domain = constraints.corr_matrix
    codomain = constraints.corr_cholesky

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Array:
        # d x_ij / d y_ij = y_jj below the diagonal: column j has n - 1 - j such elements (j from 0).
        log_diagonal = jnp.log(diagonal(as_float(y)))
        return -(np.arange(np.shape(y)[-1] - 1, -1, -1, dtype=log_diagonal.dtype) * log_diagonal).sum(-1)


@biject_to.register(constraints.corr_cholesky)
def _to_corr_cholesky(constraint: Any) -> Transform:
    return CorrCholeskyTransform()


@biject_to.register(constraints.corr_matrix)
def _to_corr_matrix(constraint: Any) -> Transform:
    return ComposeTransform([CorrCholeskyTransform(), CorrMatrixCholeskyTransform().inv])
