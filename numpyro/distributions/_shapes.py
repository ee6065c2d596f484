"""Arithmetic of shapes: rank promotion, sums over event dimensions, scaling and masking of log densities.

All of it is static where it can be: shapes are tuples of Python integers, and an array whose shape already agrees is
returned as it is, so that nothing is compiled.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, ArrayLike, NumpyArray, Shape

_SMALL = 1024


def promote_shapes(*args: ArrayLike, shape: Shape = (), return_shapes: bool = False) -> Any:
    """Give all arguments the same rank, by dimensions of size one on the left.

    :param args: scalars or arrays whose shapes broadcast.
    :param shape: a shape to broadcast with as well.
    :param return_shapes: whether to return the new shapes instead.
    :return: the list of the arguments in order (the very same objects where their rank is right already), or the list
        of their new shapes.
    :raises ValueError: when the shapes do not broadcast.

    >>> import numpy as np
    >>> loc, scale = promote_shapes(np.zeros((2, 3)), np.ones(3))
    >>> scale.shape
    (1, 3)
    """
    shapes = [np.shape(arg) for arg in args]
    rank = len(lax.broadcast_shapes(shape, *shapes))
    promoted = [(1,) * (rank - len(s)) + s for s in shapes]
    if return_shapes:
        return promoted
    return [arg if old == new else _reshape(arg, new) for arg, old, new in zip(args, shapes, promoted, strict=True)]


def _reshape(x: ArrayLike, shape: Shape) -> Any:
    """Reshape without compiling where ``x`` is not on a device."""
    return lax.reshape(x, shape) if isinstance(x, jax.Array) else np.reshape(x, shape)


def constant(values: NumpyArray) -> Array:
    """``values`` as a JAX array whose numbers can be read while a program is traced."""
    with jax.ensure_compile_time_eval():
        return jax.device_put(values)  # which compiles nothing


def static(x: Any) -> Any:
    """``x`` as a NumPy array where it is a small array whose numbers are known, else ``x`` itself.

    What NumPy computes from known numbers is no part of a program that is being traced.
    """
    is_known = isinstance(x, np.ndarray) or (isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer))
    if is_known and x.size <= _SMALL and (isinstance(x, np.ndarray) or x.is_fully_addressable):
        return np.asarray(x, jnp.result_type(x))
    return x


def reshaped(x: Array, shape: Shape) -> Array:
    """``x`` in another shape; its numbers can be read while a program is traced, if they could before."""
    known = static(x)
    return constant(known.reshape(shape)) if isinstance(known, np.ndarray) else jnp.reshape(x, shape)


def sum_rightmost(x: ArrayLike, dim: int) -> Any:
    """Sum out the ``dim`` rightmost dimensions.

    :param x: array.
    :param dim: number of dimensions; none are summed where it is not positive.
    :return: array of ``dim`` dimensions less.
    :raises ValueError: when ``x`` has fewer dimensions.
    """
    if dim <= 0:
        return x
    if dim > np.ndim(x):
        raise ValueError(f"sum_rightmost cannot sum {dim} dimensions of an array of shape {np.shape(x)}.")
    return jnp.sum(x, axis=tuple(range(-dim, 0)))


def is_identically_zero(x: Any) -> bool:
    """Tell whether ``x`` is the Python number 0, which no array operation need be spent on."""
    return isinstance(x, (int, float)) and x == 0


def is_identically_one(x: Any) -> bool:
    """Tell whether ``x`` is the Python number 1, which no array operation need be spent on."""
    return isinstance(x, (int, float)) and x == 1


def scale_and_mask(x: ArrayLike, scale: ArrayLike | None = None, mask: ArrayLike | None = None) -> Any:
    """Scale a log density and zero it where masked: ``where(mask, scale * x, 0)``.

    :param x: log density.
    :param scale: factor, ``None`` for 1.
    :param mask: boolean array, ``True`` where ``x`` counts; ``None`` and ``True`` keep all of it, ``False`` none.
    :return: array of the shape to which ``x``, ``scale`` and ``mask`` broadcast.
    """
    if scale is not None and not is_identically_one(scale):
        x = jnp.multiply(x, scale)
    if mask is None or mask is True:
        return x
    if mask is False:
        return jnp.zeros_like(x)
    return jnp.where(mask, x, jnp.zeros((), jnp.result_type(x)))
