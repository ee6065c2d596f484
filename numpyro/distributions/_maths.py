"""Elementary functions as log densities need them: right at the edges, without cancellation, with few operations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, ArrayLike, Shape

LOG_TWO = 0.6931471805599453
LOG_PI = 1.1447298858494002
HALF_LOG_TWO_PI = 0.9189385332046727
EULER_GAMMA = 0.5772156649015329


def require_one_of(**parameters: Any) -> tuple[str, Any]:
    """The name and the value of the one parameter that is given, the others being ``None``.

    :raises ValueError: when none or several are given.
    """
    given = [name for name, value in parameters.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"Exactly one of {list(parameters)} must be specified; got {given}.")
    return given[0], parameters[given[0]]


def broadcast_to(x: ArrayLike, shape: Shape | Sequence[int]) -> Array:
    """``x`` as a JAX array of ``shape``."""
    return jnp.broadcast_to(jnp.asarray(x), tuple(shape))


def log(x: ArrayLike) -> Any:
    """The natural logarithm, which of a known positive number is no operation."""
    return math.log(x) if isinstance(x, int | float) and x > 0 else jnp.log(x)


def where_inside(inside: ArrayLike, log_density: ArrayLike) -> Array:
    """``log_density`` where ``inside`` holds, elsewhere minus infinity."""
    return jnp.where(inside, log_density, -jnp.inf)


def xlogy(x: Any, y: Any) -> Array:
    """``x * log(y)``, and 0 where both are 0, where its gradient is 0 too.

    Only there is ``y`` replaced, so that the derivative in ``x`` stays ``log(y)`` at ``x = 0``.
    """
    both_zero = jnp.equal(x, 0) & jnp.equal(y, 0)
    return x * jnp.log(jnp.where(both_zero, 1, y))


def xlog1py(x: Any, y: Any) -> Array:
    """``x * log(1 + y)``, and 0 where ``x = 0`` and ``y = -1``, where its gradient is 0 too."""
    both_zero = jnp.equal(x, 0) & jnp.equal(y, -1)
    return x * jnp.log1p(jnp.where(both_zero, 0, y))


def softplus(x: ArrayLike) -> Array:
    """``log(1 + exp(x))``; its automatic derivative shares the exponential and is the logistic function.

    ``max(x, 0) + log1p(exp(-|x|))`` adds numbers of one sign. Both terms have a corner at 0; they choose the side
    together, so that all derivatives are right there.
    """
    positive = jnp.greater(x, 0)
    return jnp.where(positive, x, 0) + jnp.log1p(jnp.exp(jnp.where(positive, jnp.negative(x), x)))


def log1p_square(x: ArrayLike) -> Array:
    """``log(1 + x**2)`` for every finite ``x``, the square of which may overflow.

    For ``|x| > 1e17`` it is ``2 log(1 + |x|)`` to all digits.
    """
    size = jnp.abs(x)
    large = size > 1e17
    return jnp.log1p(jnp.where(large, size, lax.square(size))) * jnp.where(large, 2.0, 1.0)


def log1p_excess(x: Any) -> Array:
    """``x - log(1 + x)``, which is not negative: half the square of ``x`` where that is small."""
    small = jnp.abs(x) < 1e-2
    y = jnp.where(small, x, 0)
    series = lax.square(y) * (1 / 2 - y * (1 / 3 - y * (1 / 4 - y * (1 / 5 - y * (1 / 6 - y * (1 / 7 - y / 8))))))
    return jnp.where(small, series, x - jnp.log1p(jnp.where(small, 0, x)))
