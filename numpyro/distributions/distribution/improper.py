"""A flat density that need not be integrable."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, ArrayLike, Shape
from numpyro.distributions import constraints
from numpyro.distributions._validation import validate_sample
from numpyro.distributions.distribution.base import MODULE, Distribution


class ImproperUniform(Distribution):
    r"""Density 1 everywhere in ``support``: a prior that says nothing, to be used with data that make the posterior
    proper.

    .. math:: p(x) = 1, \quad x \in C

    It cannot be sampled. In a model its first value comes from the initialization strategy, through
    ``biject_to(support)``.

    :param support: constraint :math:`C` on the parts of an event, or on events.
    :param batch_shape: shape of the batch.
    :param event_shape: shape of an event; the constraint holds for each of its parts.
    :param validate_args: whether to check values.
    :support: :math:`x \in C`
    :raises UsageError: when the support has more event dimensions than ``event_shape``.

    >>> import numpy as np, numpyro.distributions as dist
    >>> d = dist.ImproperUniform(dist.constraints.ordered_vector, (), event_shape=(4,))
    >>> d.log_prob(np.arange(4.0)).item()
    0.0

    **Reference:** A. Gelman, J. B. Carlin, H. S. Stern, D. B. Dunson, A. Vehtari, D. B. Rubin (2013), "Bayesian Data
    Analysis", section 2.8.
    """

    __module__ = MODULE

    support: Any = constraints.dependent
    pytree_data_fields = ("support",)

    def __init__(
        self, support: Any, batch_shape: Shape, event_shape: Shape, *, validate_args: bool | None = None
    ) -> None:
        parts = len(event_shape) - support.event_dim
        if parts < 0:
            raise UsageError(
                f"ImproperUniform over {support!r} needs an event_shape of at least {support.event_dim} dimensions, "
                f"got {tuple(event_shape)}."
            )
        self.support = constraints.independent(support, parts)
        super().__init__(batch_shape, event_shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: ArrayLike) -> Array:
        cut = np.ndim(value) - self.event_dim
        return jnp.zeros(lax.broadcast_shapes(self.batch_shape, np.shape(value)[: max(cut, 0)]))
