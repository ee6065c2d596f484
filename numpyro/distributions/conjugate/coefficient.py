"""The coefficient that all compounds of counts are made of."""

from __future__ import annotations

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike
from numpyro.ops.log_gamma import betaln


def log_coefficient(concentration: ArrayLike, count: ArrayLike) -> Array:
    """``log(gamma(concentration + count) / (gamma(concentration) count!))``, by a beta function.

    It is the coefficient of ``x**count`` in the power series of ``(1 - x)**-concentration``.
    """
    none = jnp.equal(count, 0)  # the coefficient is 1, to digits that a tiny concentration needs
    some = jnp.where(none, 1, count)
    return jnp.where(none, 0.0, -(betaln(concentration, some + 1.0) + jnp.log(concentration + some)))
