"""The beta distribution, by its two concentrations or by its mean and their sum."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import broadcast_to, where_inside, xlog1py, xlogy
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops import rejection
from numpyro.ops.log_gamma import betaln
from numpyro.ops.special import betainc, betaincinv


class Beta(Distribution):
    r"""The beta distribution.

    .. math:: p(x) = \frac{x^{a - 1} (1 - x)^{b - 1}}{B(a, b)}, \quad 0 \le x \le 1

    :param concentration1: :math:`a > 0`, which draws towards 1.
    :param concentration0: :math:`b > 0`, which draws towards 0.
    :support: :math:`0 \le x \le 1`

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1995), "Continuous Univariate Distributions", volume 2,
    chapter 25.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    reparametrized_params = ["concentration1", "concentration0"]

    def __init__(
        self, concentration1: ArrayLike, concentration0: ArrayLike, *, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = promote_shapes(concentration1, concentration0)
        batch_shape = lax.broadcast_shapes(jnp.shape(concentration1), jnp.shape(concentration0))
        super().__init__(batch_shape=batch_shape, validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        draws = rejection.beta(key, self.concentration1, self.concentration0, sample_shape + self.batch_shape)
        # for tiny concentrations most draws round to an end, where the density is infinite
        precision = jnp.finfo(draws.dtype)
        return jnp.clip(draws, precision.tiny, 1 - precision.epsneg)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        inside = jnp.greater_equal(value, 0) & jnp.less_equal(value, 1)
        value = jnp.where(inside, value, 0.5)
        towards_one = xlogy(self.concentration1 - 1, value)
        towards_zero = xlog1py(self.concentration0 - 1, -value)
        return where_inside(inside, towards_one + towards_zero - betaln(self.concentration1, self.concentration0))

    def cdf(self, value: ArrayLike) -> Array:
        return betainc(self.concentration1, self.concentration0, jnp.clip(value, 0, 1))

    def icdf(self, q: ArrayLike) -> Array:
        return betaincinv(self.concentration1, self.concentration0, q)

    def entropy(self) -> Array:
        a, b = self.concentration1, self.concentration0
        total = a + b
        entropy = betaln(a, b) - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (total - 2) * digamma(total)
        return broadcast_to(entropy, self.batch_shape)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.concentration1 / (self.concentration1 + self.concentration0), self.batch_shape)

    @property
    def variance(self) -> Array:
        total = self.concentration1 + self.concentration0
        mean0, mean1 = self.concentration0 / total, self.concentration1 / total
        return broadcast_to(mean0 * mean1 / (total + 1), self.batch_shape)


class BetaProportion(Beta):
    r"""The beta distribution by its mean and its total concentration.

    .. math:: p(x) = \frac{x^{\mu\kappa - 1} (1 - x)^{(1 - \mu)\kappa - 1}}{B(\mu\kappa,\, (1 - \mu)\kappa)}

    It is the beta distribution with :math:`a = \mu\kappa` and :math:`b = (1 - \mu)\kappa`.

    :param mean: :math:`\mu`, in the open unit interval.
    :param concentration: :math:`\kappa > 0`; the variance is :math:`\mu (1 - \mu) / (\kappa + 1)`.
    :support: :math:`0 \le x \le 1`

    **Reference:** S. Ferrari, F. Cribari-Neto (2004), "Beta regression for modelling rates and proportions".
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"mean": constraints.open_interval(0.0, 1.0), "concentration": constraints.positive}
    support = constraints.unit_interval
    pytree_data_fields = ("_mean",)
    reparametrized_params = ["mean", "concentration"]

    def __init__(self, mean: ArrayLike, concentration: ArrayLike, *, validate_args: bool | None = None) -> None:
        self._mean, self.concentration = promote_shapes(mean, concentration)
        super().__init__(mean * concentration, (1.0 - mean) * concentration, validate_args=validate_args)

    def get_args(self) -> dict[str, Any]:
        return {"mean": self._mean, "concentration": self.concentration}

    @property
    def mean(self) -> Array:
        return broadcast_to(self._mean, self.batch_shape)


@kl_divergence.register(Beta, Beta)
def _kl_beta_beta(p: Beta, q: Beta) -> Array:
    r""":math:`\log\frac{B(a', b')}{B(a, b)} + (a - a')\,\psi(a) + (b - b')\,\psi(b)
    + (a' - a + b' - b)\,\psi(a + b)`.
    """
    a, b = p.concentration1, p.concentration0
    difference1, difference0 = a - q.concentration1, b - q.concentration0
    logs = difference1 * digamma(a) + difference0 * digamma(b) - (difference1 + difference0) * digamma(a + b)
    return logs + betaln(q.concentration1, q.concentration0) - betaln(a, b)
