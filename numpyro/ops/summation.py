"""Sums of vectors in pairs."""

from __future__ import annotations

import jax.numpy as jnp

from numpyro._typing import Array

_WIDTH = 16


def pairwise_sum(x: Array) -> Array:
    """The sum of a vector: its halves are added until few entries are left.

    The rounding error grows with the logarithm of the length, and whole halves are added by vector instructions, for
    which a sum from left to right has no room.
    """
    size = 1 << max(x.shape[0] - 1, 0).bit_length()
    if size > _WIDTH:
        x = jnp.pad(x, (0, size - x.shape[0]))
        while size > _WIDTH:
            size //= 2
            x = x[:size] + x[size:]
    return jnp.sum(x)
