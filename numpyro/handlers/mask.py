"""Leave out log density terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpyro.primitives import Messenger
from numpyro.primitives.stack import for_part


class mask(Messenger):
    """Leave the log density terms of sample sites out where the mask is ``False``.

    :param fn: the model.
    :param mask: a bool, or a boolean array that broadcasts with the batch shapes of the sites.
    :raises ValueError: if the mask is not boolean.

    >>> import numpy as np, numpyro, numpyro.distributions as dist
    >>> with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.trace() as trace:
    ...     with numpyro.handlers.mask(mask=np.array([True, False])):
    ...         x = numpyro.sample("x", dist.Normal(np.zeros(2), 1), obs=np.zeros(2))
    >>> trace["x"]["fn"].log_prob(x).tolist()
    [-0.919, 0.0]
    """

    __module__ = "numpyro.handlers"

    def __init__(self, fn: Callable[..., Any] | None = None, mask: Any = True) -> None:
        if not isinstance(mask, bool | np.bool_) and getattr(mask, "dtype", None) != np.bool_:
            came = f"dtype {mask.dtype}" if hasattr(mask, "dtype") else repr(mask)
            raise ValueError(f"`mask` should be a bool array, but got {came}; write mask.astype(bool).")
        self.mask = mask
        super().__init__(fn)

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "sample":
            mask = for_part(msg, self.mask)
            if mask is not None:
                msg["fn"] = msg["fn"].mask(mask)
        elif msg["type"] == "inspect":
            msg["mask"] = self.mask if msg["mask"] is None else self.mask & msg["mask"]
