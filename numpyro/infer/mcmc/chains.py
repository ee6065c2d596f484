"""The leading axis of chains: added for a chain by itself, taken apart, and merged with that of draws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, PyTree
from numpyro.infer.mcmc.settings import thread_settings_as
from numpyro.infer.program import is_traced


def one_chain(tree: PyTree, chain: int = 0) -> PyTree:
    """What belongs to one chain."""
    return jax.tree.map(lambda leaf: _concrete(leaf)[chain], tree)


def with_chain_axis(tree: PyTree) -> PyTree:
    """What belongs to a chain by itself, with an axis of one chain."""
    return jax.tree.map(lambda leaf: _concrete(leaf)[None], tree)


def _concrete(leaf: Any) -> Any:
    """A NumPy array where that can be had: taking pieces of one compiles nothing."""
    if is_traced(leaf) or jax.dtypes.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        return leaf
    return np.asarray(leaf)


def merge_chains(tree: PyTree) -> PyTree:
    """One axis of draws in place of those of chains and draws."""
    return jax.tree.map(lambda leaf: leaf.reshape((leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])), tree)


def to_device(tree: PyTree) -> PyTree:
    """Arrays of the device from those of host memory, in the precision that they have."""

    def place(leaf: Any) -> Array:
        is_wide = isinstance(leaf, np.ndarray) and leaf.dtype.itemsize == 8
        # Draws of a run in double precision stay so, wherever they are asked for.
        with thread_settings_as({"enable_x64": True} if is_wide else {}):
            return jnp.asarray(leaf)

    return jax.tree.map(place, tree)
