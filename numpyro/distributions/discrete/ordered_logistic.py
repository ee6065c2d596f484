"""The ordered logistic distribution: categories between cutpoints of a logistic variable."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, random
from jax.scipy.special import expit

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._maths import broadcast_to, softplus
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.discrete.categorical import CategoricalProbs, _select
from numpyro.distributions.distribution import Distribution


def _log_between(lower: Array | None, upper: Array | None, log_gap: Array | float) -> Array:
    r"""The logarithm of :math:`\sigma(u) - \sigma(l) = \sigma(u)\,\sigma(-l)\,(1 - e^{l - u})`, ``None`` at infinity.

    The product keeps its digits where both ends are far in the same tail.

    :param log_gap: :math:`\log(1 - e^{l - u})`.
    """
    log_upper: Any = 0.0 if upper is None else -softplus(-upper)
    log_lower: Any = 0.0 if lower is None else -softplus(lower)
    return log_upper + log_lower + log_gap


class OrderedLogistic(CategoricalProbs):
    r"""A category according to the interval into which a logistic variable around a predictor falls.

    .. math:: P(k) = \sigma(c_k - \eta) - \sigma(c_{k-1} - \eta), \quad k = 0, \dots, K - 1, \quad
        c_{-1} = -\infty,\; c_{K-1} = \infty

    where :math:`\sigma(x) = 1 / (1 + e^{-x})`.

    :param predictor: :math:`\eta`, a real number, of shape ``batch_shape``; the larger, the higher the category.
    :param cutpoints: :math:`c`, increasing, of shape ``batch_shape + (K - 1,)``; a scalar stands for one cutpoint.
    :support: :math:`k \in \{0, 1, \dots, K - 1\}`

    >>> import jax.numpy as jnp, numpyro.distributions as dist
    >>> d = dist.OrderedLogistic(0.5, jnp.array([-1.0, 1.0]))
    >>> [round(float(p), 3) for p in d.probs]
    [0.182, 0.44, 0.378]

    **Reference:** P. McCullagh (1980), "Regression models for ordinal data".
    """

    __module__ = "numpyro.distributions.discrete"
    arg_constraints = {"predictor": constraints.real, "cutpoints": constraints.ordered_vector}

    def __init__(self, predictor: ArrayLike, cutpoints: ArrayLike, *, validate_args: bool | None = None) -> None:
        batch_shape, _ = self.infer_shapes(jnp.shape(predictor), jnp.shape(cutpoints))
        (self.predictor,) = promote_shapes(predictor, shape=batch_shape)
        (self.cutpoints,) = promote_shapes(cutpoints, shape=(*batch_shape, 1))
        Distribution.__init__(self, batch_shape=batch_shape, validate_args=validate_args)

    @property
    def _size(self) -> int:
        return jnp.shape(self.cutpoints)[-1] + 1

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        shape = sample_shape + self.batch_shape
        dtype = jnp.result_type(float, self.predictor, self.cutpoints)
        latent = self.predictor + random.logistic(key, shape, dtype)
        return jnp.sum(self.cutpoints < latent[..., None], -1, dtype=jnp.result_type(int))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value, top = jnp.asarray(value), self._size - 1
        lower, upper = _select(value - 1, self.cutpoints, 0.0), _select(value, self.cutpoints, 0.0)
        has_lower, has_upper = (value > 0) & (value <= top), (value >= 0) & (value < top)
        between = has_lower & has_upper
        log_gap = jnp.log(-jnp.expm1(jnp.where(between, lower - upper, -1)))
        terms = (
            jnp.where(has_lower, -softplus(lower - self.predictor), 0)
            + jnp.where(has_upper, -softplus(self.predictor - upper), 0)
            + jnp.where(between, log_gap, 0)
        )
        return jnp.where(has_lower | has_upper, terms, -jnp.inf)

    @property
    def _log_probs(self) -> Array:
        """Of all categories, of shape ``batch_shape + (K,)``."""
        cutpoints = jnp.asarray(self.cutpoints)
        shifted = cutpoints - jnp.expand_dims(self.predictor, -1)
        first = _log_between(None, shifted[..., :1], 0.0)
        last = _log_between(shifted[..., -1:], None, 0.0)
        log_gap = jnp.log(-jnp.expm1(cutpoints[..., :-1] - cutpoints[..., 1:]))
        inner = _log_between(shifted[..., :-1], shifted[..., 1:], log_gap)
        return broadcast_to(jnp.concatenate([first, inner, last], -1), (*self.batch_shape, self._size))

    @lazy_property
    def probs(self) -> Array:
        return jnp.exp(self._log_probs)

    @lazy_property
    def logits(self) -> Array:
        return self._log_probs

    def entropy(self) -> Array:
        log_probs = self._log_probs
        probs = jnp.exp(log_probs)
        return -jnp.sum(probs * jnp.where(probs > 0, log_probs, 0), -1)

    def cdf(self, value: ArrayLike) -> Array:
        value, top = jnp.floor(value), self._size - 1
        below = expit(_select(value, self.cutpoints, 0.0) - self.predictor)
        return jnp.where(value < 0, 0.0, jnp.where(value >= top, 1.0, below))

    def icdf(self, q: ArrayLike) -> Array:
        """The smallest category at which ``cdf`` reaches ``q``."""
        below = expit(jnp.asarray(self.cutpoints) - jnp.expand_dims(self.predictor, -1))
        return jnp.sum(below < jnp.expand_dims(q, -1), -1, dtype=jnp.result_type(float))

    @classmethod
    def infer_shapes(cls, predictor: Shape, cutpoints: Shape) -> tuple[Shape, Shape]:  # type: ignore[override]
        return lax.broadcast_shapes(tuple(predictor), tuple(cutpoints[:-1])), ()
