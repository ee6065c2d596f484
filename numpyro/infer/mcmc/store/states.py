"""The states of lanes as bytes: no code, and no types but those of the run that reads them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import PyTree
from numpyro.infer.mcmc.recorder import is_key, key_impl


def encode_state(done: int, state: PyTree) -> bytes:
    """A lane's state, with arrays in host memory, as bytes."""
    return np.int64(done).tobytes() + b"".join(_words(leaf).tobytes() for leaf in jax.tree.leaves(state))


def decode_state(content: bytes, template: PyTree) -> tuple[int, PyTree]:
    """How many iterations were done, and the state.

    :param template: a state, or its shapes.
    :raises ValueError: where the bytes are not those of such a state.
    """
    leaves, position = [], 8
    for leaf in jax.tree.leaves(template):
        holds_keys = is_key(leaf)
        words = jax.eval_shape(jax.random.key_data, leaf) if holds_keys else leaf
        size = int(np.prod(words.shape)) * np.dtype(words.dtype).itemsize
        piece = np.frombuffer(content[position : position + size], words.dtype).reshape(words.shape)
        leaves.append(jax.random.wrap_key_data(jnp.asarray(piece), impl=key_impl(leaf)) if holds_keys else piece)
        position += size
    if position != len(content):
        raise ValueError(f"a state has {position} bytes, got {len(content)}")
    return int(np.frombuffer(content[:8], np.int64)[0]), jax.tree.unflatten(jax.tree.structure(template), leaves)


def _words(leaf: Any) -> np.ndarray:
    return np.ascontiguousarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
