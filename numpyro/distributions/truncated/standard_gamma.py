"""The gamma distribution of rate 1 by its tails, from a series and a continued fraction."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array
from numpyro.distributions.truncated.standard import Standard
from numpyro.ops.log_gamma import log_poisson
from numpyro.ops.special import _increasing_root, log1mexp

_MOST_TERMS = 5000


class StandardGamma(Standard):
    """Its shape parameter is the concentration."""

    def log_pdf(self, theta: Any, z: Array) -> Array:
        return log_poisson(theta - 1, z)

    def log_tails(self, theta: Any, z: Array) -> tuple[Array, Array]:
        """The logarithms of the masses below and above ``z``."""
        theta, z = jnp.broadcast_arrays(theta, z)
        by_fraction = z > jnp.maximum(theta, 0.5)
        finite = jnp.minimum(z, float(jnp.finfo(z.dtype).max) / 4)
        log_first = log_poisson(theta, finite)  # of z^theta exp(-z) / Gamma(theta + 1)
        series = log_first + jnp.log(_lower_series(theta, jnp.where(by_fraction, 0.0, z)))
        at = jnp.where(by_fraction & (z < jnp.inf), z, theta + 10)
        fraction = log_first + jnp.log(theta) - jnp.log(_upper_fraction(theta, at))
        log_tail = jnp.minimum(jnp.where(by_fraction, fraction, series), 0)
        log_rest = log1mexp(log_tail)
        return jnp.where(by_fraction, log_rest, log_tail), jnp.where(by_fraction, log_tail, log_rest)

    def log_cdf(self, theta: Any, z: Array) -> Array:
        return self.log_tails(theta, z)[0]

    def log_sf(self, theta: Any, z: Array) -> Array:
        return self.log_tails(theta, z)[1]

    def quantile(self, theta: Any, log_lower: Array, log_upper: Array) -> Array:
        theta, log_lower, log_upper = jnp.broadcast_arrays(theta, log_lower, log_upper)
        from_above = log_upper < log_lower
        target = jnp.where(from_above, log_upper, log_lower)

        def excess(log_z: Array) -> tuple[Array, Array]:
            z = jnp.exp(log_z)
            below, above = self.log_tails(theta, z)
            log_tail = jnp.where(from_above, above, below)
            slope = jnp.exp(log_z + self.log_pdf(theta, z) - log_tail)
            return jnp.where(from_above, target - log_tail, log_tail - target), slope

        limits = jnp.finfo(target.dtype)
        low, high = (jnp.full_like(target, jnp.log(limit)) for limit in (limits.tiny, limits.max * 1e-3))
        # near 0 the mass is about z^theta / Gamma(theta + 1); far away it is about exp(-z)
        near = (target - log_poisson(theta, jnp.ones_like(target)) - 1) / theta
        start = jnp.where(from_above, jnp.log(theta - target), jnp.minimum(near, jnp.log(theta)))
        z = jnp.exp(_increasing_root(excess, low, high, start))
        return jnp.where(jnp.isneginf(target), jnp.where(from_above, jnp.inf, 0.0), z)

    def reference(self, theta: Any, a: Array, b: Array) -> Array:
        return jnp.clip(theta, a, b)

    def masses(self, theta: Any, a: Array, b: Array, r: Array) -> tuple[Array, Array, Array]:
        theta, a, b, r = jnp.broadcast_arrays(theta, a, b, r)
        below, above = self.log_tails(theta, jnp.stack([a, b]))
        # a difference in the tail that holds less
        from_above = a > theta
        large, small = jnp.where(from_above, above[0], below[1]), jnp.where(from_above, above[1], below[0])
        difference = large - self.log_pdf(theta, r) + log1mexp(small - large)
        width = b - a
        is_narrow = (width * (jnp.abs(theta - 1 - a) + jnp.sqrt(theta)) < a) & (2 * width < a)
        narrow_a, narrow_b = jnp.where(is_narrow, a, 1.0), jnp.where(is_narrow, b, 2.0)
        narrow = self.narrow_log_mass(theta, narrow_a, narrow_b, jnp.where(is_narrow, r, 1.0))
        return below[0], jnp.where(is_narrow, narrow, difference), above[1]

    def log_mass(self, theta: Any, a: Array, b: Array, r: Array) -> Array:
        return self.masses(theta, a, b, r)[1]

    def drift(self, theta: Any, z: Array) -> Array:
        theta, z = jnp.broadcast_arrays(theta, z)
        return jnp.where(z > 0, lax.random_gamma_grad(theta, jnp.where(z > 0, z, 1.0)), 0.0)


def _lower_series(theta: Array, z: Array) -> Array:
    """``1 + z / (theta + 1) + z^2 / (theta + 1) (theta + 2) + ...``, for ``z`` not much larger than ``theta``."""

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        n, term, total = state
        term = term * z / (theta + n)
        return n + 1, term, total + term

    one, limit = jnp.ones_like(z), float(jnp.finfo(z.dtype).eps)
    begin = (jnp.ones((), z.dtype), one, one)
    return lax.while_loop(lambda s: jnp.any(s[1] > limit * s[2]) & (s[0] < _MOST_TERMS), step, begin)[2]


def _upper_fraction(theta: Array, z: Array) -> Array:
    """``z^theta exp(-z) / Gamma(theta, z) = z + 1 - theta - 1 (1 - theta) / (z + 3 - theta - ...)``, by Lentz's method.

    Reference: NIST Digital Library of Mathematical Functions, 8.9.2.
    """

    def step(state: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        n, value, c, d, _ = state
        numerator, denominator = -n * (n - theta), z + 2 * n + 1 - theta
        d = 1 / (denominator + numerator * d)
        c = denominator + numerator / c
        return n + 1, value * c * d, c, d, c * d

    limit = 2 * float(jnp.finfo(z.dtype).eps)
    first = z + 1 - theta
    begin = (jnp.ones((), z.dtype), first, first, jnp.zeros_like(z), jnp.full_like(z, 2.0))
    more = lambda state: jnp.any(jnp.abs(state[4] - 1) > limit) & (state[0] < _MOST_TERMS)
    return lax.while_loop(more, step, begin)[1]
