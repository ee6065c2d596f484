"""What all mixtures share: weights, draws, densities, distribution functions and moments, given those of components."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax, nn, random

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.discrete import CategoricalLogits, CategoricalProbs
from numpyro.distributions.distribution import Distribution


class _MixtureBase(Distribution):
    """What mixtures share. Components are along the dimension ``mixture_dim`` of their draws and moments."""

    __module__ = "numpyro.distributions.mixtures"
    arg_constraints = {}
    pytree_aux_fields = ("_mixture_size",)
    _mixing_distribution: Any
    _mixture_size: int
    _reasons = {
        "entropy": "the mean of the logarithm of a sum has no closed form",
    }

    @property
    def has_rsample(self) -> bool:
        """No: the choice of a component is not differentiable."""
        return False

    @property
    def mixture_size(self) -> int:
        """The number of components."""
        return self._mixture_size

    @property
    def mixing_distribution(self) -> Any:
        """The categorical distribution of the components."""
        return self._mixing_distribution

    @property
    def mixture_dim(self) -> int:
        """The dimension of the components, counted from the right."""
        return -self.event_dim - 1

    @property
    def component_mean(self) -> Array:
        """Means of the components, of shape ``batch_shape + (mixture_size,) + event_shape``."""
        raise NotImplementedError

    @property
    def component_variance(self) -> Array:
        """Variances of the components, of shape ``batch_shape + (mixture_size,) + event_shape``."""
        raise NotImplementedError

    def component_cdf(self, samples: ArrayLike) -> Array:
        """The cdf of each component, of shape ``samples.shape + (mixture_size,)`` for scalar events."""
        raise NotImplementedError

    def component_icdf(self, q: ArrayLike) -> Array:
        """The quantile of each component, of shape ``q.shape + (mixture_size,)`` for scalar events."""
        raise NotImplementedError

    def component_sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        """Draw from every component, in shape ``sample_shape + batch_shape + (mixture_size,) + event_shape``."""
        raise NotImplementedError

    def _component_densities(self, value: ArrayLike) -> Array:
        """Log densities of the components, along a last dimension."""
        raise NotImplementedError

    def component_log_probs(self, value: ArrayLike) -> Array:
        r"""The logarithms of :math:`w_k\, p_k(x)`, the weights adding up to 1.

        :param value: as for ``log_prob``.
        :return: array of the shape of ``log_prob(value)`` with one more dimension, ``mixture_size``, on the right.
        """
        mixing = self._mixing_distribution
        if isinstance(mixing, CategoricalLogits):
            log_weights = nn.log_softmax(jnp.asarray(mixing.logits), -1)
        else:
            log_weights = jnp.log(jnp.asarray(mixing.probs))
        return log_weights + self._component_densities(value)

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list[Array]]:
        """Draw, and tell from which component.

        :return: the draw, and a list of the index of the component, of shape ``sample_shape + batch_shape``.
        """
        check_key(self, key, sample_shape)
        key_component, key_index = random.split(key)
        samples = self.component_sample(key_component, sample_shape)
        index = self._mixing_distribution.expand(self.batch_shape).sample(key_index, sample_shape)
        axis = samples.ndim + self.mixture_dim
        chosen = jnp.reshape(index, index.shape + (1,) * (1 + self.event_dim))
        return jnp.squeeze(jnp.take_along_axis(samples, chosen, axis), axis), [index]

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.sample_with_intermediates(key, sample_shape)[0]

    @validate_sample
    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        if isinstance(self._mixing_distribution, CategoricalLogits):
            return log_weighted_sum(self.component_log_probs(value))
        return log_weighted_sum(self._component_densities(value), jnp.asarray(self._mixing_distribution.probs))

    def _average(self, x: Array) -> Array:
        """The mean over the components, weighted, of an array with the components along ``mixture_dim``."""
        weights = jnp.asarray(self._mixing_distribution.probs)
        weights = jnp.reshape(weights, weights.shape + (1,) * self.event_dim)
        return jnp.sum(weights * x, axis=self.mixture_dim)

    def cdf(self, value: ArrayLike) -> Array:
        weights = jnp.asarray(self._mixing_distribution.probs)
        return jnp.clip(jnp.sum(weights * self.component_cdf(value), -1), 0, 1)

    def icdf(self, q: ArrayLike) -> Array:
        """The quantile, by halving an interval: it lies between the quantiles of the components."""
        q = jnp.asarray(q, jnp.result_type(float, q))
        quantiles = lax.stop_gradient(self.component_icdf(q))
        shape = lax.broadcast_shapes(q.shape, self.batch_shape)
        high = jnp.broadcast_to(jnp.max(quantiles, -1), shape)
        # the quantile is the least number where the cdf reaches q, to the right of `low`
        step = 1 if self.is_discrete else 0
        low = jnp.broadcast_to(jnp.min(quantiles, -1) - step, shape)

        def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = low / 2 + high / 2
            middle = jnp.floor(middle) if step else middle
            reached = self.cdf(middle) >= q
            return jnp.where(reached, low, middle), jnp.where(reached, middle, high)

        steps = 64 if q.dtype == jnp.float64 else 40
        x = lax.stop_gradient(lax.fori_loop(0, steps, halve, (low, high))[1])
        if step:
            return x
        # dx = (dq - d cdf(x)) / density
        slope = (q - self.cdf(x)) * lax.stop_gradient(jnp.exp(-self.log_prob(x)))
        return x + jnp.where(jnp.isfinite(slope), slope - lax.stop_gradient(slope), 0)

    @property
    def mean(self) -> Array:
        return jnp.broadcast_to(self._average(self.component_mean), self.shape())

    @property
    def variance(self) -> Array:
        # that within components and that of their means
        means = self.component_mean
        deviations = means - jnp.expand_dims(self._average(means), self.mixture_dim)
        variance = self._average(self.component_variance + jnp.square(deviations))
        return jnp.broadcast_to(variance, self.shape())


def log_weighted_sum(logs: Array, weights: Array | None = None) -> Array:
    """``log(sum(weights * exp(logs)))`` over the last dimension.

    A weight that is 0 has the derivative that it should have, and a sum that is 0 has derivatives 0.
    """
    counted = logs if weights is None else jnp.where(weights > 0, logs, -jnp.inf)
    largest = lax.stop_gradient(jnp.max(counted, -1, keepdims=True))
    largest = jnp.where(jnp.isfinite(largest), largest, 0)
    terms = jnp.exp(jnp.minimum(logs - largest, 80))  # more than 0 only where the weight is 0
    total = jnp.sum(terms if weights is None else weights * terms, -1)
    empty = total == 0
    log_total = jnp.log(jnp.where(empty, 1, total)) + jnp.squeeze(largest, -1)
    return jnp.where(jnp.any(jnp.isposinf(counted), -1), jnp.inf, jnp.where(empty, -jnp.inf, log_total))


def check_mixing(mixing_distribution: Any) -> int:
    """The number of components that a mixing distribution chooses among."""
    if isinstance(mixing_distribution, CategoricalLogits):
        return jnp.shape(mixing_distribution.logits)[-1]
    if isinstance(mixing_distribution, CategoricalProbs):
        return jnp.shape(mixing_distribution.probs)[-1]
    raise ValueError(
        "The mixing distribution must be a numpyro.distributions.Categorical. However, it is of type "
        f"{type(mixing_distribution)}"
    )
