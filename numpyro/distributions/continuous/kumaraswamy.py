"""The Kumaraswamy distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import EULER_GAMMA, broadcast_to, where_inside, xlog1py, xlogy
from numpyro.distributions._quadrature import exponential_nodes
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.continuous.beta import Beta
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops.log_gamma import betaln
from numpyro.ops.special import log1mexp


class Kumaraswamy(Distribution):
    r"""The Kumaraswamy distribution, much like the beta distribution, and with a distribution function in closed form.

    .. math:: p(x) = a b\, x^{a - 1} (1 - x^a)^{b - 1}, \quad F(x) = 1 - (1 - x^a)^b, \quad 0 \le x \le 1

    :param concentration1: :math:`a > 0`, which draws towards 1.
    :param concentration0: :math:`b > 0`, which draws towards 0.
    :support: :math:`0 \le x \le 1`

    ``KL_KUMARASWAMY_BETA_TAYLOR_ORDER`` sets how accurate the divergence from a beta distribution is: its one integral
    without a closed form is a sum over 8 nodes per unit. The default gives it to all digits of double precision.

    **Reference:** P. Kumaraswamy (1980), "A generalized probability density function for double-bounded random
    processes".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    reparametrized_params = ["concentration1", "concentration0"]
    KL_KUMARASWAMY_BETA_TAYLOR_ORDER = 10

    def __init__(
        self, concentration1: ArrayLike, concentration0: ArrayLike, *, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = promote_shapes(concentration1, concentration0)
        batch_shape = lax.broadcast_shapes(jnp.shape(concentration1), jnp.shape(concentration0))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        surprise = random.exponential(key, sample_shape + self.batch_shape)  # -log(1 - F(x))
        draws = (-jnp.expm1(-surprise / self.concentration0)) ** (1 / self.concentration1)
        # for extreme concentrations draws round to an end, where the density may be infinite
        precision = jnp.finfo(draws.dtype)
        return jnp.clip(draws, precision.tiny, 1 - precision.epsneg)

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: Any = None) -> Array:
        a, b = self.concentration1, self.concentration0
        inside = jnp.greater_equal(value, 0) & jnp.less_equal(value, 1)
        value = jnp.where(inside, value, 0.5)
        # 1 - x^a from the logarithm of x where x^a is near 1, and otherwise from x^a, which may be 0
        near = value**a > 0.5
        from_above = xlogy(b - 1, -jnp.expm1(a * jnp.log(jnp.where(near, value, 0.5))))
        from_below = xlog1py(b - 1, -(jnp.where(near, 0.5, value) ** a))
        log_density = xlogy(a - 1, value) + jnp.where(near, from_above, from_below)
        return where_inside(inside, log_density + (jnp.log(a) + jnp.log(b)))

    def cdf(self, value: ArrayLike) -> Array:
        return -jnp.expm1(self.concentration0 * jnp.log1p(-(jnp.clip(value, 0, 1) ** self.concentration1)))

    def icdf(self, q: ArrayLike) -> Array:
        return (-jnp.expm1(jnp.log1p(-jnp.asarray(q)) / self.concentration0)) ** (1 / self.concentration1)

    def entropy(self) -> Array:
        a, b = self.concentration1, self.concentration0
        entropy = 1 - 1 / b + (1 - 1 / a) * (digamma(b + 1.0) + EULER_GAMMA) - jnp.log(a) - jnp.log(b)
        return broadcast_to(entropy, self.batch_shape)

    def _log_moment(self, order: int) -> Array:
        """The logarithm of the mean of ``x**order``."""
        return jnp.log(self.concentration0) + betaln(1 + order / self.concentration1, self.concentration0)

    @property
    def mean(self) -> Array:
        return broadcast_to(jnp.exp(self._log_moment(1)), self.batch_shape)

    @property
    def variance(self) -> Array:
        log_mean = self._log_moment(1)
        excess = jnp.expm1(self._log_moment(2) - 2 * log_mean)
        return broadcast_to(jnp.exp(2 * log_mean) * excess, self.batch_shape)


@kl_divergence.register(Kumaraswamy, Beta)
def _kl_kumaraswamy_beta(p: Kumaraswamy, q: Beta) -> Array:
    r""":math:`\log B(a', b') + (a' - 1) \frac{\psi(b + 1) + \gamma}{a} - (b' - 1)\,\text{E}_p \log(1 - x) - H(p)`."""
    a, b = p.concentration1, p.concentration0
    mean_log = -(digamma(b + 1.0) + EULER_GAMMA) / a
    cross = (q.concentration1 - 1) * mean_log + (q.concentration0 - 1) * _mean_log_complement(p)
    return betaln(q.concentration1, q.concentration0) - cross - p.entropy()


def _mean_log_complement(p: Kumaraswamy) -> Array:
    r"""The mean of :math:`\log(1 - x)`.

    With :math:`y = x^a`, of density :math:`b (1 - y)^{b - 1}`, it is :math:`\text{E}[\log(1 - y)] = -1/b` less the mean
    of :math:`\log((1 - y) / (1 - y^{1/a}))`, which is bounded by :math:`\log a`.
    """
    a, b = jnp.expand_dims(p.concentration1, -1), jnp.expand_dims(p.concentration0, -1)
    surprise, weight = exponential_nodes(8 * p.KL_KUMARASWAMY_BETA_TAYLOR_ORDER)
    # 1 - y = e^-t for t exponential of rate b
    t = jnp.asarray(surprise, jnp.result_type(float, a, b)) / b
    log_x = log1mexp(-t) / a
    # for a large t, y is 1 to rounding and 1 - x = (1 - y) / a
    close = log_x > -1e-30
    log_complement = jnp.where(close, -t - jnp.log(a), jnp.log(-jnp.expm1(jnp.where(close, -1, log_x))))
    return jnp.sum(jnp.asarray(weight, t.dtype) * (log_complement + t), -1) - 1 / p.concentration0
