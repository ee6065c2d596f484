"""Independent repetitions of a distribution, along batch dimensions."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions._shapes import reshaped
from numpyro.distributions._validation import check_sample_shape
from numpyro.distributions.distribution.base import MODULE, Distribution
from numpyro.distributions.distribution.wrapper import Wrapper


class ExpandedDistribution(Wrapper):
    r"""A distribution repeated to a larger batch shape: draws are independent along the expanded dimensions.

    .. math:: \log p(x)_i = \log p_\text{base}(x_i)

    for each index :math:`i` of the batch, with the parameters of the base broadcast to it.

    :param base_dist: distribution, whose batch shape broadcasts to ``batch_shape``.
    :param batch_shape: the batch shape to fill.
    :support: that of ``base_dist``
    :raises ValueError: when the base's batch shape does not broadcast to it.

    >>> import numpy as np, numpyro.distributions as dist
    >>> dist.Normal(np.zeros((3, 1)), 1.0).expand((2, 3, 4)).batch_shape
    (2, 3, 4)

    **Reference:** J. V. Dillon et al. (2017), "TensorFlow Distributions", https://arxiv.org/abs/1711.10604.
    """

    __module__ = MODULE

    def __init__(self, base_dist: Distribution, batch_shape: Shape = ()) -> None:
        if isinstance(base_dist, ExpandedDistribution):  # repetitions of repetitions are repetitions
            base_dist, inner_shape = base_dist.base_dist, base_dist.batch_shape
        else:
            inner_shape = base_dist.batch_shape
        batch_shape = tuple(batch_shape)
        try:
            fits = np.broadcast_shapes(inner_shape, batch_shape) == batch_shape
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"Cannot broadcast distribution of shape {inner_shape} to shape {batch_shape}")
        self.base_dist = base_dist
        super().__init__(batch_shape, base_dist.event_shape)

    @property
    def mean(self) -> Array:
        return jnp.broadcast_to(super().mean, self.shape())

    @property
    def variance(self) -> Array:
        return jnp.broadcast_to(super().variance, self.shape())

    @property
    def mode(self) -> Array:
        return jnp.broadcast_to(super().mode, self.shape())

    def _draw(self, sample_fn: Any, key: Key, sample_shape: Shape) -> tuple[Array, list[Any]]:
        """Draw the base distribution anew for each repetition, and bring the repetitions to their places.

        The base, of batch shape ``(1, 3)`` say, fills ``(5, 2, 3)`` by draws of sample shape ``S + (5, 2)``, so that
        they come in shape ``S + (5, 2) + (1, 3)``: the 5 stands where it should, the 2 moves to where the base has
        its 1.
        """
        check_sample_shape(self, sample_shape)
        base_shape = self.base_dist.batch_shape
        outer = len(self.batch_shape) - len(base_shape)
        repeated = [
            i for i, (old, new) in enumerate(zip(base_shape, self.batch_shape[outer:], strict=True)) if old != new
        ]
        draws = sample_shape + self.batch_shape[:outer] + tuple(self.batch_shape[outer + i] for i in repeated)
        samples, intermediates = sample_fn(key, draws)
        if not repeated:
            return samples, intermediates

        n_fixed, n_base = len(sample_shape) + outer, len(base_shape)
        order = list(range(n_fixed))
        for i in range(n_base):
            if i in repeated:
                order.append(n_fixed + repeated.index(i))
            order.append(n_fixed + len(repeated) + i)
        prefix = sample_shape + self.batch_shape

        def place(x: Array) -> Array:
            if math.prod(np.shape(x)[: len(draws)]) != math.prod(draws) or np.ndim(x) < len(order):
                return x  # a parameter rather than a draw: it broadcasts as it is
            rest = np.shape(x)[len(order) :]
            x = jnp.transpose(x, (*order, *range(len(order), np.ndim(x))))
            return jnp.reshape(x, prefix + rest)

        return place(samples), [[None if x is None else place(x) for x in step] for step in intermediates]

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self._draw(lambda *args: (self.base_dist.sample(*args), []), key, sample_shape)[0]

    def rsample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self._draw(lambda *args: (self.base_dist.rsample(*args), []), key, sample_shape)[0]

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list[Any]]:
        return self._draw(self.base_dist.sample_with_intermediates, key, sample_shape)

    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        cut = max(np.ndim(value) - self.event_dim, 0)
        shape = np.broadcast_shapes(self.batch_shape, np.shape(value)[:cut])
        return jnp.broadcast_to(super().log_prob(value, intermediates), shape)

    def cdf(self, value: ArrayLike) -> Array:
        return jnp.broadcast_to(super().cdf(value), np.broadcast_shapes(self.batch_shape, np.shape(value)))

    def icdf(self, q: ArrayLike) -> Array:
        return jnp.broadcast_to(super().icdf(q), np.broadcast_shapes(self.batch_shape, np.shape(q)))

    def entropy(self) -> Array:
        return jnp.broadcast_to(super().entropy(), self.batch_shape)

    def enumerate_support(self, expand: bool = True) -> Array:
        values = super().enumerate_support(expand=False)  # (n,) + ones, or the batch of the base, + event
        n, *rest = np.shape(values)
        new_dims = len(self.batch_shape) + self.event_dim - len(rest)
        values = reshaped(values, (n, *[1] * new_dims, *rest))
        return jnp.broadcast_to(values, (n, *self.batch_shape, *self.event_shape)) if expand else values


Distribution._wrappers["expand"] = ExpandedDistribution
