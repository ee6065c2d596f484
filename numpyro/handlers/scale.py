"""Rescale log densities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpyro.primitives import Messenger
from numpyro.primitives.stack import for_part
from numpyro.util import not_jax_tracer


class scale(Messenger):
    """Multiply the log densities of the sites by a factor.

    :param fn: the model.
    :param scale: the factor, positive, a scalar or an array that broadcasts with the batch shapes of the sites.
    :raises ValueError: if the factor is not positive.

    >>> import numpyro, numpyro.distributions as dist
    >>> with numpyro.handlers.trace() as trace, numpyro.handlers.scale(scale=10.0):
    ...     x = numpyro.sample("x", dist.Normal(0, 1), obs=0.0)
    >>> trace["x"]["scale"]
    10.0
    """

    __module__ = "numpyro.handlers"

    def __init__(self, fn: Callable[..., Any] | None = None, scale: Any = 1.0) -> None:
        if not_jax_tracer(scale) and not np.all(np.greater(scale, 0)):
            raise ValueError(
                f"'scale' argument should be positive, but got {scale!r}; "
                "to leave out terms altogether use numpyro.handlers.mask."
            )
        self.scale = scale
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if msg["type"] in ("sample", "param", "plate"):
            scale = for_part(msg, self.scale)
            if scale is not None:
                msg["scale"] = scale if msg.get("scale") is None else scale * msg["scale"]
