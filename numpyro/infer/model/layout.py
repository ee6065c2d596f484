"""The flat vector: how the parts of a pytree of real arrays lie in one vector."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, PyTree, Shape


class Layout:
    """Positions of the leaves of a pytree in one flat vector.

    :param prototype: a pytree whose leaves have ``shape`` and ``dtype`` (arrays, or ``jax.ShapeDtypeStruct``).
    :param order: for a prototype that is a dictionary, its keys in the order in which they lie in the vector; sorted by
        default.

    The vector has the widest dtype of the leaves; :meth:`unravel` gives each leaf its own back.
    """

    def __init__(self, prototype: PyTree, order: Sequence[Any] | None = None) -> None:
        leaves, structure = jax.tree.flatten(prototype)
        self.structure: Any = structure
        self.shapes: list[Shape] = [tuple(np.shape(leaf)) for leaf in leaves]
        self.dtypes = [jnp.result_type(leaf) for leaf in leaves]
        self.names: tuple[Any, ...] | None = None
        position = list(range(len(leaves)))
        if isinstance(prototype, dict) and len(prototype) == len(leaves):
            self.names = tuple(sorted(prototype))
            if order is not None:
                position = [self.names.index(name) for name in order]
        sizes = [prod(shape) for shape in self.shapes]
        self.size = sum(sizes)
        self.dtype = jnp.result_type(*self.dtypes) if leaves else jnp.result_type(float)
        self._order = position
        starts = np.cumsum([0] + [sizes[leaf] for leaf in self._order])
        self._slices = [slice(0, 0)] * len(leaves)
        for leaf, start in zip(self._order, starts[:-1], strict=True):
            self._slices[leaf] = slice(int(start), int(start) + sizes[leaf])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def key(self) -> tuple:
        """What two layouts must share to be the same."""
        return (self.structure, tuple(self.shapes), tuple(map(str, self.dtypes)), tuple(self._order))

    def span(self, name: Any) -> slice:
        """Where the leaf ``name`` of a dictionary lies in the vector."""
        if self.names is None:
            raise TypeError("only the leaves of a dictionary of arrays have names")
        return self._slices[self.names.index(name)]

    def ravel(self, tree: PyTree) -> Array:
        """The flat vector of ``tree``, whose leaves must have the layout's shapes."""
        leaves, structure = jax.tree.flatten(tree)
        if structure != self.structure:
            raise ValueError(f"expected values with the structure {self.structure}, got {structure}")
        for leaf, shape in zip(leaves, self.shapes, strict=True):
            if tuple(np.shape(leaf)) != shape:
                expected, got = self.unravel_shapes(), jax.tree.map(np.shape, tree)
                raise ValueError(f"expected values of the shapes {expected}, got {got}")
        # XLA's code for processors ends the process where empty arrays are joined with others.
        parts = [jnp.ravel(jnp.asarray(leaves[i], self.dtype)) for i in self._order if np.size(leaves[i])]
        return jnp.concatenate(parts) if parts else jnp.zeros(0, self.dtype)

    def unravel(self, flat: Array) -> PyTree:
        """The pytree whose leaves are read from ``flat``, a vector of length ``size``."""
        leaves = [
            jnp.reshape(jax.lax.slice_in_dim(flat, s.start, s.stop), shape).astype(dtype)
            if s.stop > s.start
            else jnp.zeros(shape, dtype)
            for s, shape, dtype in zip(self._slices, self.shapes, self.dtypes, strict=True)
        ]
        return jax.tree.unflatten(self.structure, leaves)

    def unravel_shapes(self) -> PyTree:
        """The pytree of the leaves' shapes."""
        return jax.tree.unflatten(self.structure, self.shapes)
