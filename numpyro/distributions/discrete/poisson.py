"""The Poisson distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaincc

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._count_sums import count_entropy
from numpyro.distributions._maths import broadcast_to, where_inside, xlogy
from numpyro.distributions._validation import check_key, concrete, validate_sample
from numpyro.distributions.discrete.support import count_quantile
from numpyro.distributions.distribution import Distribution
from numpyro.distributions.kl import kl_divergence
from numpyro.ops.counts import poisson
from numpyro.ops.log_gamma import gammaln, log_poisson


class Poisson(Distribution):
    r"""The Poisson distribution.

    .. math:: p(k) = \frac{\lambda^k e^{-\lambda}}{k!}, \quad k = 0, 1, \dots

    :param rate: mean :math:`\lambda \ge 0`.
    :param is_sparse: whether to spend the logarithms only on the counts that are not 0. That pays for many zeros, and
        takes effect where the counts are concrete: NumPy arrays, or JAX arrays outside of transformations.
    :support: :math:`k \in \{0, 1, \dots\}`

    **Reference:** N. L. Johnson, A. W. Kemp, S. Kotz (2005), "Univariate Discrete Distributions", chapter 4.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    pytree_aux_fields = ("is_sparse",)

    def __init__(self, rate: ArrayLike, *, is_sparse: bool = False, validate_args: bool | None = None) -> None:
        self.rate: Any = rate
        self.is_sparse = is_sparse
        super().__init__(batch_shape=jnp.shape(rate), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        return poisson(key, self.rate, sample_shape + self.batch_shape)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        counts = concrete(value) if self.is_sparse else None
        if counts is not None and counts.ndim:
            return self._sparse_log_prob(counts)
        inside = jnp.greater_equal(value, 0)
        # an infinite rate, say of an exponential that has overflowed, would leave the difference of two infinities
        rate = jnp.minimum(self.rate, jnp.finfo(jnp.result_type(float, self.rate)).max)
        return where_inside(inside, log_poisson(jnp.where(inside, value, 0), rate))

    def _sparse_log_prob(self, counts: np.ndarray) -> Array:
        shape = np.broadcast_shapes(counts.shape, self.batch_shape)
        rate = jnp.broadcast_to(self.rate, shape).reshape(-1)
        counts = np.broadcast_to(counts, shape).reshape(-1)
        (places,) = counts.nonzero()
        present = counts[places]
        terms = where_inside(present > 0, present * jnp.log(rate[places]) - gammaln(present + 1.0))
        return (-rate).at[places].add(terms).reshape(shape)

    def cdf(self, value: ArrayLike) -> Array:
        count = jnp.floor(value)
        return jnp.where(count < 0, 0.0, gammaincc(jnp.maximum(count, 0) + 1, self.rate))

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest count at which ``cdf`` reaches ``q``, found by bisection."""
        return count_quantile(self.cdf, q, self.rate, self.batch_shape)

    def entropy(self) -> Array:
        """The sum over the counts that have a probability, or over 300 points between them where they are many."""
        return count_entropy(self)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.rate, self.batch_shape)

    @property
    def mode(self) -> Array:
        return jnp.floor(jnp.asarray(self.rate))

    @property
    def variance(self) -> Array:
        return broadcast_to(self.rate, self.batch_shape)


@kl_divergence.register(Poisson, Poisson)
def _kl_poisson_poisson(p: Poisson, q: Poisson) -> Array:
    r""":math:`\lambda \log\frac{\lambda}{\lambda'} + \lambda' - \lambda`."""
    return xlogy(p.rate, p.rate) - xlogy(p.rate, q.rate) + q.rate - p.rate
