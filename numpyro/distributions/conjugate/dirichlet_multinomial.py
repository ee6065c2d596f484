"""Multinomial counts whose probabilities have a Dirichlet distribution."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._count_sums import count_nodes
from numpyro.distributions._maths import broadcast_to, where_inside
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.conjugate.beta_binomial import BetaBinomial
from numpyro.distributions.conjugate.coefficient import log_coefficient
from numpyro.distributions.distribution import Distribution
from numpyro.ops.random import multinomial
from numpyro.ops.rejection import dirichlet


class DirichletMultinomial(Distribution):
    r"""Multinomial counts whose probabilities have the distribution :math:`\text{Dirichlet}(a)`.

    .. math:: p(x) = \frac{n!\,\Gamma(A)}{\Gamma(n + A)} \prod_i \frac{\Gamma(x_i + a_i)}{x_i!\,\Gamma(a_i)}, \quad
        A = \sum_i a_i, \quad \sum_i x_i = n

    :param concentration: :math:`a`, positive, of shape ``(..., K)``.
    :param total_count: number of draws :math:`n \ge 0`.
    :param total_count_max: an upper bound of ``total_count`` for when that is traced; where it is small, sampling is
        quicker with it.
    :support: :math:`x_i \in \{0, 1, \dots\}`, :math:`\sum_i x_i = n`
    :raises ValueError: when ``concentration`` is a scalar.

    **Reference:** J. E. Mosimann (1962), "On the compound multinomial distribution, the multivariate beta-distribution,
    and correlations among proportions".
    """

    __module__ = "numpyro.distributions.conjugate"
    arg_constraints = {
        "concentration": constraints.independent(constraints.positive, 1),
        "total_count": constraints.nonnegative_integer,
    }
    pytree_aux_fields = ("total_count_max",)

    def __init__(
        self,
        concentration: ArrayLike,
        total_count: ArrayLike = 1,
        *,
        total_count_max: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        batch_shape, event_shape = self.infer_shapes(jnp.shape(concentration), jnp.shape(total_count))
        (self.concentration,) = promote_shapes(concentration, shape=batch_shape + event_shape)
        (self.total_count,) = promote_shapes(total_count, shape=batch_shape)
        self.total_count_max = total_count_max
        super().__init__(batch_shape=batch_shape, event_shape=event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        return constraints.multinomial(self.total_count)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        key_probs, key_counts = random.split(key)
        shape = sample_shape + self.batch_shape
        probs = dirichlet(key_probs, self.concentration, shape)
        return multinomial(key_counts, probs, self.total_count, shape, self.total_count_max)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value, concentration = jnp.asarray(value), jnp.asarray(self.concentration)
        inside = jnp.all(value >= 0, -1) & (jnp.sum(value, -1) == self.total_count)
        counts = jnp.where(inside[..., None], value, 0)
        log_coefficients = jnp.sum(log_coefficient(concentration, counts), -1)
        return where_inside(inside, log_coefficients - log_coefficient(jnp.sum(concentration, -1), self.total_count))

    def entropy(self) -> Array:
        """By the expectations of the logarithms of the factors, sums over the beta-binomial counts of each category."""
        dtype, size = jnp.result_type(float), self.event_shape[0]
        if size == 1:
            return jnp.zeros(self.batch_shape, dtype)
        concentration = broadcast_to(self.concentration, self.shape())
        n = jnp.asarray(self.total_count, dtype)
        others = jnp.sum(jnp.where(np.eye(size, dtype=bool), 0, concentration[..., None, :]), -1)
        single = BetaBinomial(concentration, others, jnp.broadcast_to(n[..., None], self.shape()), validate_args=False)
        counts, weights = count_nodes(single.mean, single.variance, single.total_count)
        terms = weights * jnp.exp(single.log_prob(counts)) * log_coefficient(concentration, counts)
        return broadcast_to(log_coefficient(jnp.sum(concentration, -1), n) - jnp.sum(terms, (0, -1)), self.batch_shape)

    @property
    def _probs(self) -> Array:
        concentration = jnp.asarray(self.concentration)
        return concentration / jnp.sum(concentration, -1, keepdims=True)

    @property
    def mean(self) -> Array:
        return broadcast_to(self._probs * jnp.expand_dims(self.total_count, -1), self.shape())

    @property
    def variance(self) -> Array:
        size = jnp.sum(jnp.asarray(self.concentration), -1, keepdims=True)
        overdispersion = (size + jnp.expand_dims(self.total_count, -1)) / (size + 1)
        return broadcast_to(self.mean * (1 - self._probs) * overdispersion, self.shape())

    @classmethod
    def infer_shapes(cls, concentration: Shape, total_count: Shape = ()) -> tuple[Shape, Shape]:  # type: ignore[override]
        if not concentration:
            raise ValueError(
                "DirichletMultinomial: `concentration` parameter must be at least one-dimensional; got a scalar."
            )
        return lax.broadcast_shapes(concentration[:-1], total_count), tuple(concentration[-1:])
