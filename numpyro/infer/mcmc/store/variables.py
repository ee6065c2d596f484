"""Draws as zarr arrays over chains and draws, by names and dimensions that ArviZ and xarray read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import PyTree, Shape
from numpyro.infer.mcmc.recorder import Records, is_key, key_impl
from numpyro.infer.mcmc.store.names import file_name

CHUNK_BYTES = 1 << 20
MAX_CHUNK_DRAWS = 1024


@dataclass(frozen=True)
class Variable:
    """One leaf of the recorded fields.

    :param path: its group and name in the store.
    :param event_shape: the shape of one draw.
    :param dtype: its type; for random keys that of their words.
    :param key_impl: the implementation of random keys, for a leaf that holds them.
    """

    path: str
    event_shape: Shape
    dtype: np.dtype
    key_impl: str | None = None

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def description(self) -> str:
        """Its type and the shape of one draw."""
        return f"{self.dtype}{list(self.event_shape)}" + (f" of {self.key_impl} keys" if self.key_impl else "")

    def chunks(self, chains_together: int, draws: int) -> Shape:
        """The shape of a chunk: the chains of one lane, and about a megabyte of draws."""
        size = max(1, prod(self.event_shape) * self.dtype.itemsize)
        chains = max(1, min(chains_together, CHUNK_BYTES // size))
        rows = max(1, min(MAX_CHUNK_DRAWS, draws, CHUNK_BYTES // (size * chains)))
        return (chains, rows, *(max(1, length) for length in self.event_shape))

    def encode(self, leaf: Any) -> np.ndarray:
        """An array as it is stored."""
        return np.asarray(jax.random.key_data(leaf) if self.key_impl else leaf)

    def decode(self, array: np.ndarray) -> Any:
        """The array that was stored."""
        return jax.random.wrap_key_data(jnp.asarray(array), impl=self.key_impl) if self.key_impl else array


class Variables:
    """The variables of all recorded fields, and how they make up the fields again.

    :param shapes: the fields, with leaves that have a ``shape`` (of one draw) and a ``dtype``. The first field is the
        draw itself, and goes to the group ``posterior``; the others go to ``sample_stats``.
    """

    def __init__(self, shapes: dict[str, PyTree]) -> None:
        self._structures = {field: jax.tree.structure(tree) for field, tree in shapes.items()}
        self._variables: dict[str, list[Variable]] = {}
        taken: set[str] = set()
        for number, (field, tree) in enumerate(shapes.items()):
            variables = []
            for keys, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
                parts = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in keys]
                parts = parts if number == 0 and parts else [field, *parts]
                path = f"{'posterior' if number == 0 else 'sample_stats'}/{file_name('.'.join(parts), taken)}"
                variables.append(_variable(path, leaf))
            self._variables[field] = variables

    def __iter__(self) -> Iterator[Variable]:
        return (variable for variables in self._variables.values() for variable in variables)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields."""
        return tuple(self._variables)

    def describe(self) -> dict[str, list[str]]:
        """Shapes and types by path, to be written down and compared."""
        return {variable.path: [variable.description, ""] for variable in self}

    def encode(self, records: Records) -> list[np.ndarray]:
        """The arrays of the fields, in the order of the variables."""
        leaves = [leaf for field in self._variables for leaf in jax.tree.leaves(records[field])]
        return [variable.encode(leaf) for variable, leaf in zip(self, leaves, strict=True)]

    def field(self, name: str, read: Any) -> PyTree:
        """One field, with ``read(variable)`` for its leaves."""
        leaves = [variable.decode(read(variable)) for variable in self._variables[name]]
        return jax.tree.unflatten(self._structures[name], leaves)


def _variable(path: str, leaf: Any) -> Variable:
    if is_key(leaf):
        words = jax.eval_shape(jax.random.key_data, leaf)
        return Variable(path, tuple(words.shape), np.dtype(words.dtype), key_impl(leaf))
    dtype = np.dtype(leaf.dtype)
    if dtype.kind not in "biufc":
        raise ValueError(f"a store has no place for '{path}', which is of type {dtype}: use float32 or float64.")
    return Variable(path, tuple(leaf.shape), dtype)
