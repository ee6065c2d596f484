"""Arrays whose axes have names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array

Reduce = Callable[[Array, tuple[int, ...]], Array]
"""A reduction of some axes: :func:`log_sum_exp` for sums over variables, :func:`maximum` for the best assignment."""


class NamedArray(NamedTuple):
    """An array with a name for each of its axes, in their order."""

    array: Array
    names: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each axis."""
        return dict(zip(self.names, jnp.shape(self.array), strict=True))

    def aligned(self, names: Sequence[str]) -> Array:
        """The array with the axes ``names``, of size 1 where it has no such axis."""
        order = [self.names.index(name) for name in names if name in self.names]
        array = lax.transpose(self.array, order) if order != sorted(order) else self.array
        own = iter(jnp.shape(array))
        return jnp.reshape(array, [next(own) if name in self.names else 1 for name in names])

    def renamed(self, names: Mapping[str, str]) -> NamedArray:
        """The same array with some of its axes renamed."""
        return NamedArray(self.array, tuple(names.get(name, name) for name in self.names))


def union(arrays: Iterable[NamedArray]) -> tuple[str, ...]:
    """All names of several arrays, in the order in which they are met; of larger arrays first."""
    return tuple(dict.fromkeys(name for a in sorted(arrays, key=lambda a: -len(a.names)) for name in a.names))


def product(arrays: Sequence[NamedArray]) -> NamedArray:
    """The product of factors given by their logarithms."""
    names = union(arrays)
    total = arrays[0].aligned(names)
    for other in arrays[1:]:
        total = total + other.aligned(names)
    return NamedArray(total, names)


def reduced(array: NamedArray, names: Collection[str], reduce: Reduce) -> NamedArray:
    """The array without the axes ``names``."""
    axes = tuple(axis for axis, name in enumerate(array.names) if name in names)
    if not axes:
        return array
    return NamedArray(reduce(array.array, axes), tuple(name for name in array.names if name not in names))


def log_sum_exp(x: Array, axes: tuple[int, ...]) -> Array:
    """:math:`\\log\\sum\\exp(x)`, :math:`-\\infty` with gradient 0 where all terms are :math:`-\\infty`."""
    kept = tuple(axis for axis in range(x.ndim) if axis not in axes)
    largest = lax.stop_gradient(lax.reduce_max(x, axes))
    offset = lax.select(lax.is_finite(largest), largest, lax.full_like(largest, 0))
    total = lax.reduce_sum(lax.exp(lax.sub(x, lax.broadcast_in_dim(offset, x.shape, kept))), axes)
    some = lax.gt(total, lax.full_like(total, 0))
    logarithm = lax.add(lax.log(lax.select(some, total, lax.full_like(total, 1))), offset)
    return lax.select(some, logarithm, lax.full_like(logarithm, -jnp.inf))


def maximum(x: Array, axes: tuple[int, ...]) -> Array:
    """The largest entry."""
    return jnp.max(x, axes)
