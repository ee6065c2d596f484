"""Vectors: simplex, sphere, ordered, and others whose elements are bound to one another."""

from __future__ import annotations

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


class _Simplex(_SingletonConstraint):
    r"""Probability vectors: :math:`x_i \ge 0`, :math:`\sum_i x_i = 1`."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        def check(xp: Any, x: Any) -> Any:
            return (x >= 0).all(axis=-1) & (abs(x.sum(axis=-1) - 1) < unit_tolerance(x.dtype))

        return evaluate(check, x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, 1 / np.shape(prototype)[-1], float_dtype(prototype))


class _Sphere(_SingletonConstraint):
    r"""Vectors of unit length: :math:`\sum_i x_i^2 = 1`."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        def check(xp: Any, x: Any) -> Any:
            return abs((x * x).sum(axis=-1) - 1) < 4 * unit_tolerance(x.dtype)

        return evaluate(check, x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, np.shape(prototype)[-1] ** -0.5, float_dtype(prototype))


class _L1Ball(_SingletonConstraint):
    r"""Vectors with :math:`\sum_i |x_i| \le 1`."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x: abs(x).sum(axis=-1) < 1 + unit_tolerance(x.dtype), x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, 0, float_dtype(prototype))


class _OrderedVector(_SingletonConstraint):
    r"""Increasing vectors: :math:`x_1 < x_2 < \dots < x_n`."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x: _increasing(x) & (x == x).all(axis=-1), x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, np.arange(np.shape(prototype)[-1]), float_dtype(prototype))


class _PositiveOrderedVector(_SingletonConstraint):
    r"""Increasing vectors of positive numbers: :math:`0 < x_1 < x_2 < \dots < x_n`."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x: _increasing(x) & (x > 0).all(axis=-1), x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        dtype = float_dtype(prototype)
        size = np.shape(prototype)[-1]
        # The image of 0, 1, 2, ... under the exponential, as long as it is representable.
        values = np.exp(np.arange(size)) if size < np.log(float(jnp.finfo(dtype).max)) else np.arange(1, size + 1)
        return filled_like(prototype, values, dtype)


def _increasing(x: Any) -> Any:
    return (x[..., 1:] > x[..., :-1]).all(axis=-1)


class _PositiveDefiniteCirculantVector(_SingletonConstraint):
    r"""First rows :math:`c` of positive definite circulant matrices :math:`C_{ij} = c_{(j - i) \bmod n}`.

    Such a row is symmetric, :math:`c_k = c_{n - k}`, and its discrete Fourier transform, which holds the eigenvalues of
    the matrix, is positive up to rounding.
    """

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        def check(xp: Any, x: Any) -> Any:
            tolerance = 8 * float(jnp.finfo(x.dtype).eps) if jnp.issubdtype(x.dtype, jnp.inexact) else 0.0
            tolerance = tolerance * abs(x).sum(axis=-1, keepdims=True)
            eigenvalues = xp.fft.rfft(x)
            positive = (eigenvalues.real > -tolerance) & (abs(eigenvalues.imag) <= 4 * tolerance)
            return positive.all(axis=-1) & (x[..., 0] > 0)

        return evaluate(check, x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, np.eye(1, np.shape(prototype)[-1])[0], float_dtype(prototype))


simplex = _Simplex()
sphere = _Sphere()
l1_ball = _L1Ball()
ordered_vector = _OrderedVector()
positive_ordered_vector = _PositiveOrderedVector()
positive_definite_circulant_vector = _PositiveDefiniteCirculantVector()
