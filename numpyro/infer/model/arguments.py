"""The arguments of a model, cut into arrays that a program takes at run time and values that shape the program.

Arrays are traced, so that one compiled program serves new data of the same shapes, and large data never become
constants of a program. Everything else (sizes, flags, strings, functions) is a value that the model's Python code may
branch on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from numpyro._typing import PyTree


def is_run_time_array(leaf: object) -> bool:
    """Whether a leaf of the arguments can be traced: an array of numbers, truth values or keys."""
    if isinstance(leaf, jax.Array):
        return True
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"


class Arguments(NamedTuple):
    """Arguments of a model; :meth:`split` makes them, :meth:`rebuild` puts them together around other arrays.

    ``arrays`` are the leaves that a program takes at run time, ``leaves`` all leaves with ``None`` in their places.
    """

    arrays: tuple[Any, ...]
    leaves: tuple[Any, ...]
    is_array: tuple[bool, ...]
    structure: Any

    @classmethod
    def split(cls, args: tuple, kwargs: dict, *, constant: bool = False) -> Arguments:
        """Cut ``args`` and ``kwargs``; with ``constant=True`` every array counts as a fixed value."""
        leaves, structure = jax.tree.flatten((args, dict(kwargs)))
        is_array = tuple(not constant and is_run_time_array(leaf) for leaf in leaves)
        arrays = tuple(leaf for leaf, traced in zip(leaves, is_array, strict=True) if traced)
        fixed = tuple(None if traced else leaf for leaf, traced in zip(leaves, is_array, strict=True))
        return cls(arrays, fixed, is_array, structure)

    def rebuild(self, arrays: tuple[Any, ...]) -> tuple[tuple, dict[str, PyTree]]:
        """``(args, kwargs)`` with ``arrays`` in the places of the traced leaves."""
        replacement = iter(arrays)
        leaves = [
            next(replacement) if traced else leaf for leaf, traced in zip(self.leaves, self.is_array, strict=True)
        ]
        return jax.tree.unflatten(self.structure, leaves)
