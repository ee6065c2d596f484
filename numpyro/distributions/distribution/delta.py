"""A point mass."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._shapes import promote_shapes, sum_rightmost
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.distribution.base import MODULE, Distribution


class Delta(Distribution):
    r"""All mass at one point :math:`v`, with a log density of one's choice there.

    .. math:: \log p(x) = \text{log\_density} \text{ if } x = v, \text{ else } -\infty

    :param v: the point; default 0.
    :param log_density: log density at the point, which broadcasts with the batch shape; default 0.
    :param event_dim: how many of the rightmost dimensions of ``v`` are dimensions of the event; default 0.
    :param validate_args: whether to check arguments.
    :support: real arrays of the event shape; all but :math:`v` have density zero
    :raises ValueError: when ``v`` has fewer dimensions.

    **Reference:** P. A. M. Dirac (1958), "The Principles of Quantum Mechanics", section 15.
    """

    __module__ = MODULE

    arg_constraints = {"v": constraints.dependent(is_discrete=False), "log_density": constraints.real}
    reparametrized_params = ["v", "log_density"]

    def __init__(
        self,
        v: ArrayLike = 0.0,
        log_density: ArrayLike = 0.0,
        event_dim: int = 0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        shape = np.shape(v)
        if event_dim > len(shape):
            raise ValueError(f"Expected event_dim <= v.dim(), actual {event_dim} vs {len(shape)}: v has shape {shape}.")
        cut = len(shape) - event_dim
        batch_shape = lax.broadcast_shapes(shape[:cut], np.shape(log_density))
        (self.v,) = promote_shapes(v, shape=batch_shape + shape[cut:])
        (self.log_density,) = promote_shapes(log_density, shape=batch_shape)
        super().__init__(batch_shape, shape[cut:], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        return constraints.independent(constraints.real, self.event_dim)

    @property
    def is_discrete(self) -> bool:
        return False

    @classmethod
    def infer_shapes(
        cls, v: Shape = (), log_density: Shape = (), event_dim: int = 0, **kwargs: Any
    ) -> tuple[Shape, Shape]:
        cut = len(v) - event_dim
        return lax.broadcast_shapes(tuple(v[:cut]), tuple(log_density)), tuple(v[cut:])

    def sample(self, key: Key | None = None, sample_shape: Shape = ()) -> Array:
        return jnp.broadcast_to(self.v, self.shape(sample_shape))

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        log_prob = jnp.where(jnp.equal(value, self.v), 0.0, -jnp.inf)
        return sum_rightmost(log_prob, self.event_dim) + self.log_density

    @property
    def mean(self) -> Array:
        return jnp.broadcast_to(self.v, self.shape())

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        return jnp.zeros(self.shape())

    def entropy(self) -> Array:
        return -jnp.broadcast_to(self.log_density, self.batch_shape)

    def cdf(self, value: ArrayLike) -> Array:
        if self.event_shape:
            return super().cdf(value)
        return jnp.where(jnp.greater_equal(value, self.v), 1.0, 0.0)

    def icdf(self, q: ArrayLike) -> Array:
        if self.event_shape:
            return super().icdf(q)
        return jnp.broadcast_to(self.v, lax.broadcast_shapes(np.shape(q), self.batch_shape))
