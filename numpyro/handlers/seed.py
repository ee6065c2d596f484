"""Random keys for the sites of a model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from typing import Any

import jax
import numpy as np

from numpyro.handlers._keys import needs_key
from numpyro.primitives import Messenger
from numpyro.util import is_prng_key


class seed(Messenger):
    """Give random keys to the sites that need one: a fresh key is split off for each.

    These are latent sample sites without a value, plates that draw a subsample, ``prng_key`` statements, and control
    flow. Without a seed handler (or a key of its own) a site cannot be sampled.

    :param fn: the model.
    :param rng_seed: an integer, or a JAX random key (``jax.random.key`` or ``jax.random.PRNGKey``); the sites get keys
        of the same kind, and those of an integer are of the kind ``jax.random.key``.
    :param hide_types: types of sites that get no key.
    :raises TypeError: if ``rng_seed`` is neither an integer nor one key.

    Called as a function it starts from the same seed every time; within a ``with`` block, and from one such block to
    the next, the keys go on. Setting ``stateful = True`` makes calls go on, too.

    >>> import numpyro, numpyro.distributions as dist
    >>> model = numpyro.handlers.seed(lambda: numpyro.sample("a", dist.Normal(0, 1)), rng_seed=0)
    >>> bool(model() == model())
    True
    """

    __module__ = "numpyro.handlers"

    stateful: bool = False

    def __init__(
        self,
        fn: Callable[..., Any] | None = None,
        rng_seed: Any = None,
        hide_types: Collection[str] | None = None,
    ) -> None:
        self.rng_key = _as_key(rng_seed)
        self.hide_types = [] if hide_types is None else hide_types
        super().__init__(fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; unless ``stateful`` is set, from the same key every time."""
        if self.stateful:
            return super().__call__(*args, **kwargs)
        key = self.rng_key
        try:
            return super().__call__(*args, **kwargs)
        finally:
            self.rng_key = key

    def process_message(self, msg: Any) -> None:
        if msg.get("_control_flow_done"):
            return
        if self.rng_key is not None and msg["type"] not in self.hide_types and needs_key(msg):
            self.rng_key, msg["kwargs"]["rng_key"] = jax.random.split(self.rng_key)
            if msg["type"] == "control_flow":
                self.enters_body(msg)

    def in_body(self, step: Any) -> Messenger:
        handler = copy.copy(self)
        handler.rng_key = step.rng_key
        return handler


def _as_key(rng_seed: Any) -> Any:
    """Return a random key for an integer or key; ``None`` stays ``None``."""
    if rng_seed is None or is_prng_key(rng_seed):
        return rng_seed
    dtype, shape = getattr(rng_seed, "dtype", None), getattr(rng_seed, "shape", None)
    is_integer = isinstance(rng_seed, int) or (shape == () and dtype is not None and np.issubdtype(dtype, np.integer))
    if not is_integer:
        came = f"{type(rng_seed)}" if shape is None else f"an array of shape {shape} and dtype {dtype}"
        raise TypeError(
            f"Incorrect type for rng_seed: {came}; expected an integer or one random key, such as jax.random.key(0). "
            "For a batch of keys use jax.vmap."
        )
    return jax.random.key(rng_seed)
