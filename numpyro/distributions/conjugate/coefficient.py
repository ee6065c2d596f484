"""The coefficient that all compounds of counts are made of."""

from __future__ import annotations

import jax.numpy as jnp

from numpyro._typing import Array, ArrayLike
from numpyro.ops.log_gamma import betaln


def log_coefficient(concentration: ArrayLike, count: ArrayLike) -> Array:
    """``log(gamma(concentration + count) / (gamma(concentration) count!))``, by a beta function.

    It is the coefficient of ``x**count`` in the power series of ``(1 - x)**-concentration``.
    """
    return -(betaln(concentration, count + 1.0) + jnp.log(concentration + count))
