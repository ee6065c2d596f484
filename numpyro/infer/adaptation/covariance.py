"""Running covariance of a chain's positions (Welford 1962), for the inverse mass matrix."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array


class WelfordState(NamedTuple):
    """Mean, sum of squared deviations (a vector, or a matrix when dense) and count of the positions seen."""

    mean: Array
    m2: Array
    num_positions: Array


def welford_init(size: int, dense: bool, dtype: np.dtype) -> WelfordState:
    """No positions seen yet."""
    m2_shape = (size, size) if dense else (size,)
    return WelfordState(jnp.zeros(size, dtype), jnp.zeros(m2_shape, dtype), jnp.zeros((), jnp.int32))


def welford_update(state: WelfordState, z: Array) -> WelfordState:
    """Add one position of shape ``(size,)``."""
    count = state.num_positions + 1
    before = z - state.mean
    mean = state.mean + before / count
    after = z - mean
    m2 = state.m2 + (jnp.outer(after, before) if state.m2.ndim == 2 else before * after)
    return WelfordState(mean, m2, count)


def welford_covariance(state: WelfordState, regularize: bool) -> Array:
    """The unbiased covariance (or variances) of the positions seen.

    With ``regularize`` it is shrunk towards a small multiple of the identity, as Stan does:
    :math:`\\frac{n}{n + 5} \\hat\\Sigma + 10^{-3} \\frac{5}{n + 5} I`.
    """
    count = state.num_positions.astype(state.m2.dtype)
    covariance = state.m2 / jnp.maximum(count - 1, 1)
    if regularize:
        shrinkage = 1e-3 * 5.0 / (count + 5.0)
        identity = jnp.eye(state.mean.shape[0], dtype=state.m2.dtype) if state.m2.ndim == 2 else 1.0
        covariance = count / (count + 5.0) * covariance + shrinkage * identity
    return covariance
