"""Params of guides: their first values, and their fitted ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Shape
from numpyro.infer.model import Site
from numpyro.infer.program import is_traced
from numpyro.primitives import Messenger


class Fitted(Messenger):
    """Gives params their fitted values, all of them."""

    def __init__(self, params: Mapping[str, Any], prefix: str) -> None:
        self.params, self.prefix = params, prefix
        super().__init__(None)

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "param":
            name = msg["name"]
            if name in self.params:
                msg["value"] = self.params[name]
            elif self.prefix in name:
                raise MissingParam.of(name, self.prefix, self.params)


class MissingParam(UsageError, KeyError):
    """A param that is not there."""

    __str__ = Exception.__str__

    @classmethod
    def of(cls, name: str, prefix: str, params: Mapping[str, Any]) -> MissingParam:
        """The error for the param ``name`` of a guide."""
        return cls(
            f"The guide with prefix '{prefix}' has a param '{name}', but the params given are {sorted(params)}. Give "
            "those that were fitted with this guide, as svi.run(...).params."
        )


def require_positive_scale(guide: object, init_scale: Any) -> None:
    """Raise where an initial scale is not positive."""
    if not is_traced(init_scale) and not np.all(np.asarray(init_scale) > 0):
        raise UsageError(f"{type(guide).__name__}: init_scale must be positive, got {init_scale}.")


def unconstrained_event_dim(site: Site) -> int:
    """The number of dimensions of one event of a site in the unconstrained space."""
    return len(site.unconstrained_shape or ()) - len(site.shape) + site.event_dim


def zeros(*shape: int) -> Array:
    """Zeros, which compile nothing."""
    return jnp.asarray(np.zeros(shape, jnp.result_type(float)))


def full(shape: Shape, value: Any) -> Any:
    """An array of one number."""
    if is_traced(value):
        return jnp.broadcast_to(value, shape)
    return jnp.asarray(np.full(shape, value, jnp.result_type(float)))
