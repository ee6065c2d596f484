"""The multinomial distribution."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, nn

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._count_sums import count_nodes
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import broadcast_to, require_one_of, where_inside
from numpyro.distributions._validation import check_key, concrete, validate_sample
from numpyro.distributions.discrete.binomial import BinomialProbs
from numpyro.distributions.distribution import Distribution
from numpyro.ops.log_gamma import gammaln, log_poisson
from numpyro.ops.random import multinomial
from numpyro.ops.special import clamp_probs


class _Multinomial(Distribution):
    """What holds of a multinomial distribution however its probabilities are given."""

    probs: Any
    logits: Any
    total_count: Any
    pytree_aux_fields = ("total_count_max",)

    def _set_up(
        self,
        name: str,
        parameter: ArrayLike,
        total_count: ArrayLike,
        total_count_max: int | None,
        validate_args: bool | None,
    ) -> None:
        batch_shape, event_shape = self.infer_shapes(jnp.shape(parameter), jnp.shape(total_count))
        rank = len(batch_shape)
        missing = (1,) * (rank + 1 - jnp.ndim(parameter))
        parameter = jnp.reshape(parameter, missing + jnp.shape(parameter)) if missing else parameter
        setattr(self, name, parameter)
        missing = (1,) * (rank - jnp.ndim(total_count))
        self.total_count = jnp.reshape(total_count, missing + jnp.shape(total_count)) if missing else total_count
        self.total_count_max = total_count_max
        Distribution.__init__(self, batch_shape=batch_shape, event_shape=event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        return constraints.multinomial(self.total_count)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        shape = sample_shape + self.batch_shape
        return multinomial(key, self.probs, self.total_count, shape, self.total_count_max)

    def _log_prob(self, value: ArrayLike, log_probs: Array, probs: Array) -> Array:
        """By log probabilities, and where the count is large, by Poisson probabilities, in which nothing large cancels.

        As for a binomial count (Loader 2000), ``Poisson(x_1; n p_1) ... Poisson(x_K; n p_K) / Poisson(n; n)``.
        """
        value = jnp.asarray(value)
        inside = self._inside(value)
        counts = jnp.where(inside[..., None], value, 0)
        known = concrete(self.total_count)
        powers = jnp.where(counts == 0, 0, counts * log_probs)
        if known is not None and known.max(initial=0) <= 200:
            terms = jnp.sum(powers - gammaln(counts + 1.0), -1)
            return where_inside(inside, terms + gammaln(jnp.asarray(self.total_count) + 1.0))
        n = jnp.asarray(self.total_count, log_probs.dtype)
        rate = n[..., None] * probs
        # of smaller ones the square underflows, but not the logarithm
        plain = log_probs < -50
        small = jnp.where(counts == 0, 0, powers + counts * jnp.log(jnp.maximum(n, 1))[..., None])
        terms = jnp.where(
            plain,
            small - gammaln(counts + 1.0),
            log_poisson(jnp.asarray(counts, rate.dtype), jnp.where(plain, 1, rate)),
        )
        # the derivative by single probabilities is that of the formula, not of its value where they add up to 1
        total = jnp.sum(probs, -1)
        return where_inside(inside, jnp.sum(terms, -1) - log_poisson(n, n) + n * (total - lax.stop_gradient(total)))

    def entropy(self) -> Array:
        r""":math:`\log \pi(n; n) - \sum_i E \log \pi(x_i; n p_i)` with Poisson probabilities :math:`\pi`.

        The expectations are sums over the binomial counts of each category.
        """
        n = jnp.asarray(self.total_count, jnp.result_type(float))[..., None]
        probs = broadcast_to(self.probs, self.shape())
        counts, weights = count_nodes(self.mean, self.variance, jnp.broadcast_to(n, probs.shape))
        weights = weights * jnp.exp(BinomialProbs(probs, n, validate_args=False).log_prob(counts))
        possible = (weights != 0) & (probs > 0)
        terms = jnp.where(possible, weights * log_poisson(counts, jnp.where(possible, n * probs, 1)), 0)
        return broadcast_to(log_poisson(n, n)[..., 0] - jnp.sum(terms, (0, -1)), self.batch_shape)

    def _inside(self, value: Array) -> Array:
        return jnp.all(value >= 0, -1) & (jnp.sum(value, -1) == self.total_count)

    @property
    def mean(self) -> Array:
        return broadcast_to(self.probs * jnp.expand_dims(self.total_count, -1), self.shape())

    @property
    def variance(self) -> Array:
        return broadcast_to(self.mean * (1 - self.probs), self.shape())

    @classmethod
    def infer_shapes(cls, parameter: Shape, total_count: Shape = ()) -> tuple[Shape, Shape]:  # type: ignore[override]
        if not parameter:
            name = next(iter(cls.arg_constraints))
            raise ValueError(f"Multinomial: `{name}` parameter must be at least one-dimensional; got a scalar.")
        return lax.broadcast_shapes(parameter[:-1], total_count), tuple(parameter[-1:])


class MultinomialProbs(_Multinomial):
    r"""The multinomial distribution by its probabilities: counts of :math:`n` independent categorical draws.

    .. math:: p(x) = \frac{n!}{\prod_i x_i!} \prod_i p_i^{x_i}, \quad \sum_i x_i = n

    :param probs: :math:`p`, not negative, of shape ``(..., K)``, adding up to 1 over the last dimension.
    :param total_count: number of draws :math:`n \ge 0`.
    :param total_count_max: an upper bound of ``total_count`` for when that is traced; where it is small, sampling is
        quicker with it.
    :support: :math:`x_i \in \{0, 1, \dots\}`, :math:`\sum_i x_i = n`
    :raises ValueError: when ``probs`` is a scalar.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1997), "Discrete Multivariate Distributions", chapter 35.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"probs": constraints.simplex, "total_count": constraints.nonnegative_integer}

    def __init__(
        self,
        probs: ArrayLike,
        total_count: ArrayLike = 1,
        *,
        total_count_max: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._set_up("probs", probs, total_count, total_count_max, validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        probs = jnp.asarray(self.probs, jnp.result_type(float, self.probs))
        possible = probs > 0
        log_probs = jnp.where(possible, jnp.log(jnp.where(possible, probs, 1)), -jnp.inf)
        return self._log_prob(value, log_probs, probs)

    @lazy_property
    def logits(self) -> Array:
        return jnp.log(clamp_probs(self.probs))

    @classmethod
    def infer_shapes(cls, probs: Shape, total_count: Shape = ()) -> tuple[Shape, Shape]:  # type: ignore[override]
        return super().infer_shapes(probs, total_count)


class MultinomialLogits(_Multinomial):
    r"""The multinomial distribution by logits: counts of :math:`n` independent categorical draws.

    .. math:: p(x) = \frac{n!}{\prod_i x_i!} \prod_i p_i^{x_i}, \quad p_i \propto e^{l_i}, \quad \sum_i x_i = n

    :param logits: :math:`l`, real, of shape ``(..., K)``; a constant added to all of them changes nothing.
    :param total_count: number of draws :math:`n \ge 0`.
    :param total_count_max: an upper bound of ``total_count`` for when that is traced; where it is small, sampling is
        quicker with it.
    :support: :math:`x_i \in \{0, 1, \dots\}`, :math:`\sum_i x_i = n`
    :raises ValueError: when ``logits`` is a scalar.

    **Reference:** N. L. Johnson, S. Kotz, N. Balakrishnan (1997), "Discrete Multivariate Distributions", chapter 35.
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"logits": constraints.real_vector, "total_count": constraints.nonnegative_integer}

    def __init__(
        self,
        logits: ArrayLike,
        total_count: ArrayLike = 1,
        *,
        total_count_max: int | None = None,
        validate_args: bool | None = None,
    ) -> None:
        self._set_up("logits", logits, total_count, total_count_max, validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        log_probs = nn.log_softmax(jnp.asarray(self.logits, jnp.result_type(float, self.logits)), axis=-1)
        return self._log_prob(value, log_probs, jnp.exp(log_probs))

    @lazy_property
    def probs(self) -> Array:
        return nn.softmax(jnp.asarray(self.logits), axis=-1)

    @classmethod
    def infer_shapes(cls, logits: Shape, total_count: Shape = ()) -> tuple[Shape, Shape]:  # type: ignore[override]
        return super().infer_shapes(logits, total_count)


def Multinomial(
    total_count: ArrayLike = 1,
    probs: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    *,
    total_count_max: int | None = None,
    validate_args: bool | None = None,
) -> MultinomialProbs | MultinomialLogits:
    """The multinomial distribution, by its probabilities or by logits.

    :param total_count: number of draws.
    :param probs: probabilities, of shape ``(..., K)``.
    :param logits: their logarithms, up to a constant, of the same shape. Exactly one of the two is to be given.
    :param total_count_max: an upper bound of ``total_count`` for when that is traced.
    :return: :class:`MultinomialProbs` or :class:`MultinomialLogits`.
    :raises ValueError: when none or both are given.
    """
    name, parameter = require_one_of(probs=probs, logits=logits)
    if name == "probs":
        return MultinomialProbs(parameter, total_count, total_count_max=total_count_max, validate_args=validate_args)
    return MultinomialLogits(parameter, total_count, total_count_max=total_count_max, validate_args=validate_args)


Multinomial.__module__ = "numpyro.distributions.discrete"
