"""Log densities that count only where a mask is true."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike
from numpyro.distributions.distribution.base import MODULE, Distribution
from numpyro.distributions.distribution.wrapper import Wrapper


class MaskedDistribution(Wrapper):
    r"""A distribution whose log density is 0 where ``mask`` is false. Draws and moments are those of ``base_dist``.

    .. math:: \log p(x) = \begin{cases} \log p_\text{base}(x) & \text{where the mask is true} \\
        0 & \text{elsewhere} \end{cases}

    Masked values may be anything, nan or outside the support: they are put aside before the density is computed, so
    that the log density there is 0 and so is its gradient.

    :param base_dist: distribution.
    :param mask: boolean, or boolean array that broadcasts with its batch shape.
    :support: that of ``base_dist``

    >>> import numpy as np, numpyro.distributions as dist
    >>> d = dist.Exponential(1.0).mask(np.array([True, False]))
    >>> d.log_prob(np.array([2.0, -1.0])).tolist()
    [-2.0, 0.0]

    **Reference:** R. J. A. Little, D. B. Rubin (2019), "Statistical Analysis with Missing Data", chapter 6.
    """

    __module__ = MODULE

    pytree_data_fields = ("base_dist", "_mask")

    def __init__(self, base_dist: Distribution, mask: bool | ArrayLike) -> None:
        if isinstance(mask, (bool, np.bool_)):
            self._mask: Any = bool(mask)
        else:
            if not isinstance(mask, (jax.Array, np.ndarray)):
                raise TypeError(f"mask must be True, False or a boolean array, got {mask!r}.")
            base_dist = base_dist.expand(lax.broadcast_shapes(mask.shape, base_dist.batch_shape))
            self._mask = jnp.broadcast_to(mask if mask.dtype == bool else mask.astype(bool), base_dist.batch_shape)
        self.base_dist = base_dist
        super().__init__(base_dist.batch_shape, base_dist.event_shape)

    def log_prob(self, value: ArrayLike, intermediates: list[Any] | None = None) -> Array:
        if self._mask is True:
            return super().log_prob(value, intermediates)
        if self._mask is False:
            cut = max(np.ndim(value) - self.event_dim, 0)
            shape = np.broadcast_shapes(self.batch_shape, np.shape(value)[:cut])
            return jnp.zeros(shape, jnp.result_type(float))
        # The derivative of where(mask, f(x), 0) at masked x is 0 * f'(x), nan where f' is not finite. So f is not
        # shown x.
        if self.support is not None:
            mask = jnp.reshape(self._mask, np.shape(self._mask) + (1,) * self.event_dim)
            value = jnp.where(mask, value, _feasible(self.support, value))
        return jnp.where(self._mask, super().log_prob(value, intermediates), 0.0)

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
