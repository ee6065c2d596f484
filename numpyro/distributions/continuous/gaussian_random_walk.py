"""The random walk with normal steps."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import random

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Key, Shape
from numpyro.distributions import constraints
from numpyro.distributions._maths import HALF_LOG_TWO_PI, broadcast_to
from numpyro.distributions._validation import check_key, validate_sample
from numpyro.distributions.distribution import Distribution


class GaussianRandomWalk(Distribution):
    r"""The sums :math:`x_t = \sum_{s \le t} \epsilon_s` of independent normal steps.

    .. math:: p(x) = \prod_{t=1}^{n} \mathcal{N}(x_t \mid x_{t-1}, \sigma^2), \quad x_0 = 0

    :param scale: standard deviation :math:`\sigma > 0` of a step, of the batch shape.
    :param num_steps: how many steps :math:`n`, a positive integer: the size of an event.
    :support: :math:`x \in \mathbb{R}^n`
    :raises ValueError: when ``num_steps`` is none.

    **Reference:** J. Durbin, S. J. Koopman (2012), "Time Series Analysis by State Space Methods", chapter 2.
    """

    __module__ = "numpyro.distributions.continuous"
    arg_constraints = {"scale": constraints.positive}
    support = constraints.real_vector
    reparametrized_params = ["scale"]
    pytree_aux_fields = ("num_steps",)

    def __init__(self, scale: ArrayLike = 1.0, num_steps: int = 1, *, validate_args: bool | None = None) -> None:
        if not isinstance(num_steps, int | np.integer) or num_steps <= 0:
            raise UsageError(
                f"GaussianRandomWalk: `num_steps` argument should be a positive integer; got {num_steps!r}."
            )
        self.scale: Any = scale
        self.num_steps = int(num_steps)
        super().__init__(jnp.shape(scale), (self.num_steps,), validate_args=validate_args)

    def sample(self, key: Key, sample_shape: Shape = ()) -> Array:
        check_key(self, key, sample_shape)
        steps = random.normal(key, self.shape(sample_shape))
        return jnp.cumsum(steps, -1) * jnp.expand_dims(self.scale, -1)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        value = jnp.asarray(value)
        steps = jnp.diff(value, axis=-1, prepend=jnp.zeros((), value.dtype))
        squares = jnp.sum(jnp.square(steps / jnp.expand_dims(self.scale, -1)), -1)
        return -0.5 * squares - self.num_steps * (jnp.log(self.scale) + HALF_LOG_TWO_PI)

    def entropy(self) -> Array:
        return broadcast_to(self.num_steps * (0.5 + HALF_LOG_TWO_PI + jnp.log(self.scale)), self.batch_shape)

    @property
    def mean(self) -> Array:
        return jnp.zeros(self.shape(), jnp.result_type(float, self.scale))

    @property
    def mode(self) -> Array:
        return self.mean

    @property
    def variance(self) -> Array:
        steps = np.arange(1, self.num_steps + 1)
        return broadcast_to(jnp.square(jnp.expand_dims(self.scale, -1)) * steps, self.shape())
