"""What makes a run the same run: digests of its program and its data that do not depend on the process."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from typing import Any

import jax
import numpy as np

from numpyro._typing import PyTree


def digest_data(data: PyTree) -> str:
    """A digest of arrays: shapes, dtypes and values."""
    digest = hashlib.blake2b(digest_size=16)
    for leaf in jax.tree.leaves(data):
        if hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def digest_key(key: Any) -> str:
    """A digest of a sampler's key. Functions count by their names: their objects differ from process to process."""
    digest = hashlib.blake2b(digest_size=16)

    def feed(value: Any) -> None:
        digest.update(f"<{type(value).__qualname__}>".encode())
        if isinstance(value, bytes):
            digest.update(value)
        elif value is None or isinstance(value, (str, bool, int, float, complex, np.dtype, jax.tree_util.PyTreeDef)):
            digest.update(str(value).encode())
        elif isinstance(value, enum.Enum):
            digest.update(value.name.encode())
        elif isinstance(value, np.generic):
            feed(value.item())
        elif isinstance(value, (tuple, list)):
            for item in value:
                feed(item)
        elif isinstance(value, (frozenset, set)):
            for item in sorted(map(str, value)):
                feed(item)
        elif isinstance(value, dict):
            for name, item in value.items():
                feed(name)
                feed(item)
        elif isinstance(value, np.ndarray):
            digest.update(digest_data(value).encode())
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            feed({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
        elif callable(value):
            digest.update(str(getattr(value, "__qualname__", "")).encode())
        elif getattr(value, "__dict__", None):
            feed(vars(value))

    feed(key)
    return digest.hexdigest()
