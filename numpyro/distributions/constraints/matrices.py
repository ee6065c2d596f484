"""Matrices: Cholesky factors, correlation and covariance matrices."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import ArrayLike
from numpyro.distributions.constraints.base import (
    _SingletonConstraint,
    evaluate,
    filled_like,
    float_dtype,
    unit_tolerance,
)


class _SquareMatrix(_SingletonConstraint):
    """Square matrices; the subclass says which."""

    event_dim = 2

    def __call__(self, x: Any) -> Any:
        return evaluate(self._judge, x)

    def _judge(self, xp: Any, x: Any) -> Any:
        if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
            return xp.zeros(x.shape[:-2], bool)
        return self._check(xp, x)

    def _check(self, xp: Any, x: Any) -> Any:
        raise NotImplementedError

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, np.eye(np.shape(prototype)[-1]), float_dtype(prototype))


class _LowerCholesky(_SquareMatrix):
    r"""Lower triangular matrices with a positive diagonal.

    :math:`\{L \in \mathbb{R}^{n \times n} : L_{ii} > 0,\; L_{ij} = 0 \text{ for } i < j\}`
    """

    def _check(self, xp: Any, x: Any) -> Any:
        lower = (xp.triu(x, 1) == 0) & xp.isfinite(x)
        return lower.all(axis=(-2, -1)) & (_diagonal(xp, x) > 0).all(axis=-1)


class _SoftplusLowerCholesky(_LowerCholesky):
    r"""Lower triangular matrices with a positive diagonal, which is reached by softplus instead of the exponential.

    :math:`\{L \in \mathbb{R}^{n \times n} : L_{ii} > 0,\; L_{ij} = 0 \text{ for } i < j\}`
    """

    def feasible_like(self, prototype: ArrayLike) -> Any:
        image_of_zero = math.log(2.0) * np.eye(np.shape(prototype)[-1])
        return filled_like(prototype, image_of_zero, float_dtype(prototype))


class _ScaledUnitLowerCholesky(_LowerCholesky):
    r"""Lower triangular matrices with a positive diagonal, reached as a diagonal times a unit triangular matrix.

    :math:`\{L \in \mathbb{R}^{n \times n} : L_{ii} > 0,\; L_{ij} = 0 \text{ for } i < j\}`
    """


class _CorrCholesky(_LowerCholesky):
    r"""Cholesky factors of correlation matrices: lower triangular, positive diagonal, rows of unit length.

    :math:`\{L \in \mathbb{R}^{n \times n} : L_{ii} > 0,\; L_{ij} = 0 \text{ for } i < j,\; \sum_j L_{ij}^2 = 1\}`
    """

    def _check(self, xp: Any, x: Any) -> Any:
        unit_rows = abs((x * x).sum(axis=-1) - 1) < 4 * unit_tolerance(x.dtype)
        return super()._check(xp, x) & unit_rows.all(axis=-1)


class _PositiveSemiDefinite(_SquareMatrix):
    r"""Symmetric matrices whose eigenvalues are not negative, up to rounding.

    :math:`\{A \in \mathbb{R}^{n \times n} : A = A^\top,\; x^\top A x \ge 0 \text{ for all } x\}`
    """

    def _check(self, xp: Any, x: Any) -> Any:
        smallest, largest = _extreme_eigenvalues(xp, x)
        return _is_symmetric(xp, x) & (smallest >= -8 * x.shape[-1] * _eps(x) * abs(largest))


class _PositiveDefinite(_SquareMatrix):
    r"""Symmetric matrices with positive eigenvalues.

    :math:`\{A \in \mathbb{R}^{n \times n} : A = A^\top,\; x^\top A x > 0 \text{ for all } x \ne 0\}`
    """

    def _check(self, xp: Any, x: Any) -> Any:
        return _is_symmetric(xp, x) & (_extreme_eigenvalues(xp, x)[0] > 0)


class _CorrMatrix(_PositiveDefinite):
    r"""Symmetric matrices with positive eigenvalues and ones on the diagonal.

    :math:`\{A \in \mathbb{R}^{n \times n} : A = A^\top,\; A_{ii} = 1,\; x^\top A x > 0 \text{ for all } x \ne 0\}`
    """

    def _check(self, xp: Any, x: Any) -> Any:
        unit_diagonal = abs(_diagonal(xp, x) - 1) < 4 * unit_tolerance(x.dtype)
        return super()._check(xp, x) & unit_diagonal.all(axis=-1)


def _diagonal(xp: Any, x: Any) -> Any:
    return xp.diagonal(x, axis1=-2, axis2=-1)


def _eps(x: Any) -> float:
    return float(jnp.finfo(x.dtype).eps) if jnp.issubdtype(x.dtype, jnp.inexact) else 0.0


def _is_symmetric(xp: Any, x: Any) -> Any:
    # Rounding in the product that made x leaves an asymmetry of some eps times its scale; eps^(2/3) allows for more.
    scale = abs(x).max(axis=(-2, -1), keepdims=True, initial=0)
    return (abs(x - xp.swapaxes(x, -2, -1)) <= _eps(x) ** (2 / 3) * scale).all(axis=(-2, -1))


def _extreme_eigenvalues(xp: Any, x: Any) -> tuple[Any, Any]:
    """Return the smallest and the largest eigenvalue; nan for a matrix that has other than finite elements."""
    if x.shape[-1] == 0:
        return xp.ones(x.shape[:-2]), xp.ones(x.shape[:-2])
    finite = xp.isfinite(x).all(axis=(-2, -1))
    symmetrised = xp.where(
        finite[..., None, None], x / 2 + xp.swapaxes(x, -2, -1) / 2, xp.eye(x.shape[-1], dtype=x.dtype)
    )
    eigenvalues = xp.linalg.eigvalsh(symmetrised)
    return xp.where(finite, eigenvalues[..., 0], xp.nan), xp.where(finite, eigenvalues[..., -1], xp.nan)


lower_cholesky = _LowerCholesky()
softplus_lower_cholesky = _SoftplusLowerCholesky()
scaled_unit_lower_cholesky = _ScaledUnitLowerCholesky()
corr_cholesky = _CorrCholesky()
corr_matrix = _CorrMatrix()
positive_definite = _PositiveDefinite()
positive_semidefinite = _PositiveSemiDefinite()
