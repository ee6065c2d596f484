"""Running covariance of positions (Welford 1962), for the inverse mass matrix."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array
from numpyro.infer.chain_axis import mean_over_chains, number_of_chains, sum_over_chains


class WelfordState(NamedTuple):
    """Mean, sum of squared deviations (a vector, or a matrix when dense) and count of the positions seen."""

    mean: Array
    m2: Array
    num_positions: Array


def welford_init(size: int, dense: bool, dtype: np.dtype) -> WelfordState:
    """No positions seen yet."""
    m2_shape = (size, size) if dense else (size,)
    return WelfordState(jnp.zeros(size, dtype), jnp.zeros(m2_shape, dtype), jnp.zeros((), jnp.int32))


def welford_update(state: WelfordState, z: Array, *, pooled: bool = False) -> WelfordState:
    """Add one position of shape ``(size,)`` or, with ``pooled``, one of each chain that advances with this one.

    Merging the :math:`m` positions with mean :math:`\\bar y` and squared deviations :math:`Q` (Chan et al. 1979),

    .. math::

        \\bar z_{n + m} = \\bar z_n + \\tfrac{m}{n + m} (\\bar y - \\bar z_n), \\quad
        S_{n + m} = S_n + Q + \\tfrac{n m}{n + m} (\\bar y - \\bar z_n)(\\bar y - \\bar z_n)^\\top,

    which for one position is Welford's recurrence.
    """
    dense = state.m2.ndim == 2
    added = number_of_chains() if pooled else 1
    count = state.num_positions + added
    centre = mean_over_chains(z) if pooled else z
    before = centre - state.mean
    mean = state.mean + before * added / count
    after = centre - mean
    m2 = state.m2 + added * (jnp.outer(after, before) if dense else before * after)
    if added > 1:
        apart = z - centre
        m2 = m2 + sum_over_chains(jnp.outer(apart, apart) if dense else apart * apart)
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
