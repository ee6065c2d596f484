"""The Gompertz distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import EULER_GAMMA, broadcast_to, where_inside
from numpyro.distributions._quadrature import exponential_nodes
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution


class Gompertz(Distribution):
    r"""The Gompertz distribution: of lifetimes whose hazard grows exponentially.

    .. math:: p(x) = \eta\beta \exp\bigl(\beta x - \eta (e^{\beta x} - 1)\bigr), \quad x > 0

    :param concentration: shape :math:`\eta > 0`.
    :param rate: inverse scale :math:`\beta > 0`.
    :support: :math:`x > 0`

    **Reference:** B. Gompertz (1825), "On the nature of the function expressive of the law of human mortality".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    reparametrized_params = ["concentration", "rate"]

    def __init__(self, concentration: ArrayLike, rate: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = promote_shapes(concentration, rate)
        batch_shape = lax.broadcast_shapes(jnp.shape(concentration), jnp.shape(rate))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        # the cumulative hazard of a lifetime is exponential
        draws = jnp.log1p(random.exponential(key, sample_shape + self.batch_shape) / self.concentration) / self.rate
        return jnp.maximum(draws, jnp.finfo(draws.dtype).tiny)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        inside = jnp.greater_equal(value, 0)
        t = self.rate * jnp.where(inside, value, 0)
        log_density = t - self.concentration * jnp.expm1(t)
        return where_inside(inside, log_density + jnp.log(self.concentration) + jnp.log(self.rate))

    def cdf(self, value: ArrayLike) -> Array:
        return -jnp.expm1(-self.concentration * jnp.expm1(self.rate * jnp.maximum(value, 0)))

    def icdf(self, q: ArrayLike) -> Array:
        return jnp.log1p(-jnp.log1p(-jnp.asarray(q)) / self.concentration) / self.rate

    def entropy(self) -> Array:
        # E[x] = e^eta E1(eta) / beta, and the cumulative hazard is 1 in the mean
        entropy = 1 - jnp.log(self.concentration) - jnp.log(self.rate) - _scaled_exp1(self.concentration)
        return broadcast_to(entropy, self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(_scaled_exp1(self.concentration) / self.rate, self.batch_shape)

    @property
    def variance(self) -> Array:
        return broadcast_to(_log_variance(self.concentration) / jnp.square(self.rate), self.batch_shape)

    @property
    def mode(self) -> Array:
        return broadcast_to(jnp.maximum(-jnp.log(self.concentration), 0) / self.rate, self.batch_shape)


def _log_variance(x: ArrayLike) -> Array:
    """The variance of ``log(x + t)`` over the standard exponential distribution of ``t``, for positive ``x``."""
    x = jnp.asarray(x, jnp.result_type(float, x))
    t, weights = (values.astype(x.dtype) for values in exponential_nodes(80))
    scale = jnp.where(x > 1, x, 1)[..., None]  # by which logarithms are of numbers near 1 where x is large
    logs = jnp.where(scale > 1, jnp.log1p(t / scale), jnp.log(jnp.where(scale > 1, 1, x[..., None] + t)))
    mean = jnp.sum(weights * logs, -1, keepdims=True)
    return jnp.sum(weights * lax.square(logs - mean), -1)


def _scaled_exp1(x: ArrayLike) -> Array:
    r"""``exp(x) E1(x)``, :math:`\int_0^\infty e^{-t} / (x + t) \, dt`, for positive ``x``.

    By quadrature, and for a small ``x``, at the pole of the integrand, by the power series.
    """
    x = jnp.asarray(x, jnp.result_type(float, x))
    t, weights = (values.astype(x.dtype) for values in exponential_nodes(80))
    small = x < 1e-2
    y = jnp.where(small, x, 1e-2)
    series = jnp.exp(y) * (y * (1 - y * (1 / 4 - y * (1 / 18 - y / 96))) - EULER_GAMMA - jnp.log(y))
    z = jnp.where(small, 1, x)
    return jnp.where(small, series, jnp.sum(weights / (z[..., None] + t), -1))
