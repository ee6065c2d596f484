"""Distributions with a gate: with some probability zero, else of another distribution.

How the gate is given and what the base must be stands here; :mod:`~.zero_inflated` and :mod:`~.hurdle` say what the
base contributes to zero.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.scipy.special import expit

from numpyro._typing import Array, ArrayLike
from numpyro.distributions import constraints
from numpyro.distributions._lazy import lazy_property
from numpyro.distributions._shapes import promote_shapes
from numpyro.distributions.discrete.poisson import Poisson
from numpyro.distributions.distribution import Distribution


class Gated(Distribution):
    """With probability ``gate`` zero, else of ``base_dist``."""

    arg_constraints = {"gate": constraints.unit_interval}
    pytree_data_fields = ("base_dist",)
    base_dist: Any
    gate: Any
    expected_base = "single numbers"

    def __init__(self, base_dist: Distribution, gate: ArrayLike, *, validate_args: bool | None = None) -> None:
        self._set_up(base_dist, "gate", gate, validate_args)

    def _set_up(self, base_dist: Distribution, name: str, parameter: ArrayLike, validate_args: bool | None) -> None:
        if base_dist.event_shape:
            raise ValueError(
                f"{type(self).__name__} expected a base_dist of {self.expected_base}, an empty base_dist.event_shape, "
                f"but got {type(base_dist).__name__} of event shape {base_dist.event_shape}."
            )
        batch_shape = lax.broadcast_shapes(jnp.shape(parameter), base_dist.batch_shape)
        self.base_dist = base_dist.expand(batch_shape)
        (parameter,) = promote_shapes(parameter, shape=batch_shape)
        setattr(self, name, parameter)
        Distribution.__init__(self, batch_shape=batch_shape, validate_args=validate_args)

    def _base_entropy(self) -> Array:
        try:
            return self.base_dist.entropy()
        except NotImplementedError as error:
            raise NotImplementedError(f"{type(self).__name__} has no entropy, as {error}") from error


class GatedByLogits(Gated):
    """The gate by its log odds."""

    arg_constraints = {"gate_logits": constraints.real}
    gate_logits: Any

    def __init__(self, base_dist: Distribution, gate_logits: ArrayLike, *, validate_args: bool | None = None) -> None:
        self._set_up(base_dist, "gate_logits", gate_logits, validate_args)

    @lazy_property
    def gate(self) -> Array:  # type: ignore[override]
        return expit(self.gate_logits)


class GatedPoisson(Gated):
    """A gate before a Poisson distribution, which is given by its rate."""

    arg_constraints = {"gate": constraints.unit_interval, "rate": constraints.positive}
    support = constraints.nonnegative_integer

    def __init__(self, gate: ArrayLike, rate: ArrayLike = 1.0, *, validate_args: bool | None = None) -> None:
        _, self.rate = promote_shapes(gate, rate)
        self._set_up(Poisson(self.rate, validate_args=False), "gate", gate, validate_args)
