"""A distribution of nothing, with a log density."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions.distribution.base import MODULE, Distribution


class Unit(Distribution):
    r"""The one distribution over arrays without elements, of any log density: what ``numpyro.factor`` observes.

    .. math:: \log p(x) = c

    :param log_factor: log density :math:`c`, a real number, whose shape is the batch shape.
    :param validate_args: whether to check ``log_factor``; default no.
    :support: :math:`x \in \mathbb{R}^0`

    **Reference:** N. D. Goodman, A. Stuhlmüller (2014), "The Design and Implementation of Probabilistic Programming
    Languages", http://dippl.org.
    """

    __module__ = MODULE

    arg_constraints = {"log_factor": constraints.real}
    support = constraints.real

    def __init__(self, log_factor: ArrayLike, *, validate_args: bool | None = False) -> None:
        self.log_factor = log_factor
        super().__init__(np.shape(log_factor), (0,), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, log_factor: Shape = (), **kwargs: Shape) -> tuple[Shape, Shape]:
        return tuple(log_factor), (0,)

    def sample(self, key: Key | None = None, sample_shape: Shape = ()) -> Array:
        return jnp.zeros(self.shape(sample_shape))

    def log_prob(self, value: ArrayLike | None = None, intermediates: list[Any] | None = None) -> Array:
        shape = () if value is None else np.shape(value)[:-1]
        return jnp.broadcast_to(self.log_factor, lax.broadcast_shapes(self.batch_shape, shape))
