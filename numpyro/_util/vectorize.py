"""Vectorisation in chunks: the memory of a loop, the speed of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._errors import UsageError


def soft_vmap(fn: Callable[[Any], Any], xs: Any, batch_ndims: int = 1, chunk_size: int | None = None) -> Any:
    r"""Map ``fn`` over the leading dimensions of ``xs``, with ``chunk_size`` elements at a time in one batch.

    :param fn: a function of one pytree, of the structure of ``xs`` without the batch dimensions.
    :param xs: a pytree of arrays that share their first ``batch_ndims`` dimensions.
    :param batch_ndims: number of leading dimensions to map over, default 1; with 0 the result is ``fn(xs)``.
    :param chunk_size: the number of elements computed at once; ``None`` (the default) takes all. ``fn`` is traced once
        whatever its value: the last chunk, where it is not full, is filled with copies of the last element.
    :return: the results, stacked along the same leading dimensions.
    :raises UsageError: when the leading dimensions differ, or are fewer than ``batch_ndims``, or there are no arrays.

    >>> soft_vmap(jnp.sum, jnp.ones((5, 3)), chunk_size=2).shape
    (5,)
    """
    if batch_ndims == 0:
        return fn(xs)
    shapes = [jnp.shape(x) for x in jax.tree.leaves(xs)]
    _check(shapes, batch_ndims, chunk_size)
    batch_shape = shapes[0][:batch_ndims]
    size = math.prod(batch_shape)
    flat = jax.tree.map(lambda x: _reshape_leading(x, batch_ndims, (size,)), xs) if batch_ndims > 1 else xs
    if not chunk_size or chunk_size >= size:
        ys = jax.vmap(fn)(flat)
    else:
        chunks = -(-size // chunk_size)
        padding = chunks * chunk_size - size
        flat = jax.tree.map(lambda x: _reshape_leading(_repeat_last(x, padding), 1, (chunks, chunk_size)), flat)
        ys = lax.map(jax.vmap(fn), flat)
        ys = jax.tree.map(lambda y: _reshape_leading(y, 2, (chunks * chunk_size,))[:size], ys)
    return jax.tree.map(lambda y: _reshape_leading(y, 1, batch_shape), ys) if batch_ndims > 1 else ys


def _check(shapes: list[tuple[int, ...]], batch_ndims: int, chunk_size: int | None) -> None:
    if batch_ndims < 0:
        raise UsageError(f"soft_vmap expects batch_ndims of at least 0, got {batch_ndims}.")
    if chunk_size is not None and chunk_size < 0:
        raise UsageError(f"soft_vmap expects a positive chunk_size, got {chunk_size}.")
    if not shapes:
        raise UsageError("soft_vmap got no arrays to map over: xs has no leaves.")
    if any(len(shape) < batch_ndims or shape[:batch_ndims] != shapes[0][:batch_ndims] for shape in shapes):
        raise UsageError(
            f"soft_vmap expects the arrays of xs to share their first batch_ndims={batch_ndims} dimensions; "
            f"their shapes are {', '.join(map(str, shapes))}."
        )


def _reshape_leading(x: Any, ndims: int, leading: tuple[int, ...]) -> Any:
    return jnp.reshape(x, leading + jnp.shape(x)[ndims:])


def _repeat_last(x: Any, times: int) -> Any:
    x = jnp.asarray(x)
    return x if times == 0 else jnp.concatenate([x, jnp.broadcast_to(x[-1:], (times, *x.shape[1:]))])
