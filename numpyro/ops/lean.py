"""Elementwise operations that add nothing but themselves to a program that is being traced.

Most functions of ``jax.numpy``, and the operators of its arrays, are compiled functions of their own: each is traced,
differentiated and transposed by itself, which takes about a millisecond when it is first met, several times what the
primitive in it takes. Code that nearly every model runs is therefore written with ``jax.lax``, whose functions want
arrays of one shape and dtype (or Python numbers). What is here brings arguments into that form.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, ArrayLike


def aligned(*arguments: ArrayLike) -> list[Array]:
    """The arguments as floating-point arrays of one shape and dtype."""
    dtype = jnp.result_type(float, *arguments)
    shape = lax.broadcast_shapes(*(jnp.shape(argument) for argument in arguments))
    return [_broadcast(jnp.asarray(argument, dtype), shape) for argument in arguments]


def _broadcast(x: Array, shape: tuple[int, ...]) -> Array:
    if x.shape == shape:
        return x
    if x.size == 1:
        return lax.broadcast(lax.reshape(x, ()), shape)
    kept = [axis for axis in range(x.ndim) if x.shape[axis] != 1]
    own = lax.reshape(x, [x.shape[axis] for axis in kept]) if len(kept) < x.ndim else x
    return lax.broadcast_in_dim(own, shape, [axis + len(shape) - x.ndim for axis in kept])


def select(condition: Array, x: Any, y: Any) -> Array:
    """``x`` where the condition holds, else ``y``.

    :param condition: a boolean array.
    :param x: an array of the same shape, or a number.
    :param y: an array of the same shape and the dtype of ``x``, or a number; one of the two is an array.
    """
    if isinstance(x, int | float):
        return lax.select(condition, lax.full_like(y, x), y)
    return lax.select(condition, x, lax.full_like(x, y) if isinstance(y, int | float) else y)
