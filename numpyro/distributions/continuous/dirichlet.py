"""The Dirichlet distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import digamma

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._shapes import static
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops import rejection
from numpyro.ops.lean import aligned, select
from numpyro.ops.log_gamma import gammaln


class Dirichlet(Distribution):
    r"""The Dirichlet distribution over probability vectors.

    .. math:: p(x) = \frac{\Gamma(\sum_i \alpha_i)}{\prod_i \Gamma(\alpha_i)} \prod_i x_i^{\alpha_i - 1}

    :param concentration: :math:`\alpha > 0`, of shape ``batch_shape + event_shape`` with one event dimension.
    :support: :math:`x_i \ge 0`, :math:`\sum_i x_i = 1`
    :raises ValueError: when ``concentration`` is a scalar.

    **Reference:** S. Kotz, N. Balakrishnan, N. L. Johnson (2000), "Continuous Multivariate Distributions", volume 1,
    chapter 49.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    reparametrized_params = ["concentration"]

    def __init__(self, concentration: ArrayLike, *, validate_args: bool | None = None) -> None:
        shape = jnp.shape(concentration)
        if not shape:
            raise ValueError("Dirichlet: `concentration` parameter must be at least one-dimensional; got a scalar.")
        self.concentration: Any = concentration
        super().__init__(batch_shape=shape[:-1], event_shape=shape[-1:], validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        draws = rejection.dirichlet(key, self.concentration, sample_shape + self.batch_shape)
        # for tiny concentrations most entries underflow, where the density is infinite
        return jnp.maximum(draws, jnp.finfo(draws.dtype).tiny)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        # a negative entry is outside of the support; a sum other than 1 is for the validation to find
        x, a = aligned(value, self.concentration)
        exponent = lax.sub(a, 1.0)
        inside = lax.ge(x, 0.0)
        # where both are 0 the power is 1, and its gradient 0
        has_power = lax.bitwise_and(inside, lax.bitwise_or(lax.ne(x, 0.0), lax.ne(exponent, 0.0)))
        terms = select(inside, lax.mul(exponent, lax.log(select(has_power, x, 1.0))), -jnp.inf)
        return lax.reduce_sum(terms, (terms.ndim - 1,)) - self._log_normalizer

    @property
    def _log_normalizer(self) -> Array:
        a = static(self.concentration)
        return gammaln(a).sum(-1) - gammaln(a.sum(-1))

    def entropy(self) -> Array:
        a = jnp.asarray(self.concentration)
        total = jnp.sum(a, -1)
        return self._log_normalizer + (total - a.shape[-1]) * digamma(total) - jnp.sum((a - 1) * digamma(a), -1)

    @property
    def mean(self) -> Array:
        a = jnp.asarray(self.concentration)
        return a / jnp.sum(a, -1, keepdims=True)

    @property
    def variance(self) -> Array:
        total = jnp.sum(jnp.asarray(self.concentration), -1, keepdims=True)
        mean = self.concentration / total
        return mean * (1 - mean) / (total + 1)

    @classmethod
    def infer_shapes(cls, concentration: Shape) -> tuple[Shape, Shape]:  # type: ignore[override]
        return tuple(concentration[:-1]), tuple(concentration[-1:])


@kl_divergence.register(Dirichlet, Dirichlet)
def _kl_dirichlet_dirichlet(p: Dirichlet, q: Dirichlet) -> Array:
    r""":math:`\log\frac{B(\alpha')}{B(\alpha)} + \sum_i (\alpha_i - \alpha_i') \bigl(\psi(\alpha_i) -
    \psi(\textstyle\sum_j \alpha_j)\bigr), \; B(\alpha) = \frac{\prod_i \Gamma(\alpha_i)}{\Gamma(\sum_i \alpha_i)}`.
    """
    a, b = jnp.asarray(p.concentration), jnp.asarray(q.concentration)
    mean_log = digamma(a) - digamma(jnp.sum(a, -1, keepdims=True))
    return jnp.sum((a - b) * mean_log, -1) + q._log_normalizer - p._log_normalizer
