"""Log densities that count only where a mask is true."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions.distribution.base import MODULE, Distribution


class MaskedDistribution(Distribution):
    """A distribution whose log density is 0 where ``mask`` is false. Draws and moments are those of ``base_dist``.

    Masked values may be anything, nan or outside the support: they are put aside before the density is computed, so
    that the log density there is 0 and so is its gradient.

    :param base_dist: distribution.
    :param mask: boolean, or boolean array that broadcasts with its batch shape.

    >>> import numpy as np, numpyro.distributions as dist
    >>> d = dist.Exponential(1.0).mask(np.array([True, False]))
    >>> d.log_prob(np.array([2.0, -1.0])).tolist()
    [-2.0, 0.0]
    """

    __module__ = MODULE

    pytree_data_fields = ("base_dist", "_mask")

    def __init__(self, base_dist: Distribution, mask: bool | ArrayLike) -> None:
        if isinstance(mask, (bool, np.bool_)):
            self._mask: Any = bool(mask)
        else:
            if not hasattr(mask, "dtype"):
                raise TypeError(f"mask must be True, False or a boolean array, got {mask!r}.")
            mask = mask if mask.dtype == bool else mask.astype(bool)
            base_dist = base_dist.expand(lax.broadcast_shapes(mask.shape, base_dist.batch_shape))
            self._mask = jnp.broadcast_to(mask, base_dist.batch_shape)
        self.base_dist = base_dist
        super().__init__(base_dist.batch_shape, base_dist.event_shape)

    @property
    def support(self) -> Any:
        return self.base_dist.support

    @property
    def has_enumerate_support(self) -> bool:
        return self.base_dist.has_enumerate_support

    @property
    def reparametrized_params(self) -> Any:
        return self.base_dist.reparametrized_params

    @property
    def has_rsample(self) -> bool:
        return self.base_dist.has_rsample

    @property
    def is_discrete(self) -> bool:
        return self.base_dist.is_discrete

    @property
    def mean(self) -> Array:
        return self.base_dist.mean

    @property
    def variance(self) -> Array:
        return self.base_dist.variance

    @property
    def mode(self) -> Array:
        return self.base_dist.mode

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.base_dist.sample(key, sample_shape=sample_shape)

    def rsample(self, key: Key, sample_shape: Shape = ()) -> Array:
        return self.base_dist.rsample(key, sample_shape=sample_shape)

    def sample_with_intermediates(self, key: Key, sample_shape: Shape = ()) -> tuple[Array, list[Any]]:
        return self.base_dist.sample_with_intermediates(key, sample_shape=sample_shape)

    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        more = {"intermediates": intermediates} if intermediates else {}
        if self._mask is True:
            return self.base_dist.log_prob(value, **more)
        if self._mask is False:
            cut = max(np.ndim(value) - self.event_dim, 0)
            shape = np.broadcast_shapes(self.batch_shape, np.shape(value)[:cut])
            return jnp.zeros(shape, jnp.result_type(float))
        # The derivative of where(mask, f(x), 0) at masked x is 0 * f'(x), nan where f' is not finite. So f is not
        # shown x.
        if self.support is not None:
            mask = jnp.reshape(self._mask, np.shape(self._mask) + (1,) * self.event_dim)
            value = jnp.where(mask, value, _feasible(self.support, value))
        return jnp.where(self._mask, self.base_dist.log_prob(value, **more), 0.0)

    def cdf(self, value: ArrayLike) -> Array:
        return self.base_dist.cdf(value)

    def icdf(self, q: ArrayLike) -> Array:
        return self.base_dist.icdf(q)

    def entropy(self) -> Array:
        return self.base_dist.entropy()

    def enumerate_support(self, expand: bool = True) -> Array:
        return self.base_dist.enumerate_support(expand=expand)

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        # A mask that is a Python boolean is static, an array is data.
        children, (data, aux) = super().tree_flatten()
        if isinstance(self._mask, bool):
            children, data, aux = children[:1], data[:1], (*aux, ("_mask", self._mask))
        return children, (data, aux)


def _feasible(support: Any, value: ArrayLike) -> Any:
    """A constant within the support, of the shape and dtype of ``value``."""
    return lax.stop_gradient(jnp.asarray(support.feasible_like(value), jnp.result_type(value)))


Distribution._wrappers["mask"] = MaskedDistribution
