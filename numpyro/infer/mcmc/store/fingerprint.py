"""What makes a run the same run: facts of its program and its data that do not depend on the process.

A *fact* has a name, a text that says what it is, and for arrays a digest of their values.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from numpyro._typing import PyTree

Facts = dict[str, list[str]]

PARTS = {
    "precision": "it was made in another precision",
    "platform": "it was made on another platform, where the same run draws other numbers",
    "kernel": "it has other settings of the kernel",
    "model": "it is of another model, or of other shapes of the data",
    "data": "it is of other data, or other values of the kernel's settings",
    "state": "the states of its chains have other shapes",
    "variables": "it records other sites or fields",
}
"""The parts of a fingerprint, and what is said where one differs."""
MOST_DETAILS = 4
LONGEST_TEXT = 80


def differences(there: dict[str, Facts], here: dict[str, Facts]) -> list[str]:
    """How the fingerprint of a store differs from that of a run: a sentence for each part, with both values."""
    return [
        why + _details(there.get(part, {}), here[part])
        for part, why in PARTS.items()
        if there.get(part, {}) != here[part]
    ]


def _details(there: Facts, here: Facts) -> str:
    names = [name for name in {**here, **there} if here.get(name) != there.get(name)]
    named = [name for name in names if (here.get(name) or there[name])[0]]
    details = [f"{name} is {_say(here, there, name)} here, {_say(there, here, name)} there" for name in named]
    if len(details) > MOST_DETAILS:
        details[MOST_DETAILS:] = [f"and {len(details) - MOST_DETAILS} more"]
    return f" ({'; '.join(details)})" if details else ""


def _say(these: Facts, those: Facts, name: str) -> str:
    if name not in these:
        return "nothing"
    text, digest = these[name]
    same_text = name in those and those[name][0] == text
    return f"{text} with digest {digest[:8]}" if same_text else text


def describe_data(data: PyTree) -> Facts:
    """The arrays of a pytree by their paths.

    NumPy arrays and Python numbers count as the arrays that JAX makes of them, whatever their own precision.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(data)
    return {jax.tree_util.keystr(path).lstrip(".") or "value": describe_array(leaf) for path, leaf in leaves}


def describe_array(leaf: Any) -> list[str]:
    """What is said of an array, and a digest of its type, shape and values."""
    if hasattr(leaf, "dtype") and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
    digest = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).tobytes())
    values = np.array2string(array, threshold=6, edgeitems=2, max_line_width=1000).replace("\n", "")
    text = values if len(values) <= LONGEST_TEXT else f"{values[:LONGEST_TEXT]}..."
    kind = f"{array.dtype}, shape {array.shape}" if array.ndim else str(array.dtype)
    return [f"{text} ({kind})", digest.hexdigest()]


def describe_shapes(shapes: PyTree) -> Facts:
    """The shapes and types of a pytree's leaves by their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(shapes)
    return {jax.tree_util.keystr(path).lstrip("."): [f"{leaf.dtype}{list(leaf.shape)}", ""] for path, leaf in leaves}


def describe_key(key: Any) -> tuple[Facts, Facts]:
    """A sampler's key as facts: settings, and digests of traced programs, of which there is nothing to be said.

    Functions count by their names: their objects differ from process to process.
    """
    settings: Facts = {}
    programs: Facts = {}
    for name, value in _pieces("", key):
        if isinstance(value, bytes):
            programs[name] = ["", value.hex()]
        elif isinstance(value, np.ndarray):
            settings[name] = describe_array(value)
        else:
            settings[name] = [str(value), ""]
    return settings, programs


def _pieces(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The named pieces of a value that have no parts: bytes, arrays, and texts of all else."""
    if isinstance(value, (bytes, np.ndarray)):
        yield name, value
    elif value is None or isinstance(value, (str, bool, int, float, complex, np.dtype, jax.tree_util.PyTreeDef)):
        yield name, str(value)
    elif isinstance(value, np.generic):
        yield name, str(value.item())
    elif isinstance(value, enum.Enum):
        yield name, value.name
    elif isinstance(value, (frozenset, set)):
        yield name, str(sorted(map(str, value)))
    elif isinstance(value, (tuple, list)):
        yield f"the length of {name or 'the key'}", str(len(value))
        types = [type(item) for item in value]
        for index, item in enumerate(value):
            telling = not name and dataclasses.is_dataclass(item) and types.count(type(item)) == 1
            yield from _pieces(type(item).__name__ if telling else f"{name}[{index}]", item)
    elif isinstance(value, dict):
        yield f"the length of {name}", str(len(value))
        for entry, item in value.items():
            yield from _pieces(f"{name}[{entry}]", item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield f"the type of {name}", type(value).__qualname__
        for field in dataclasses.fields(value):
            yield from _pieces(f"{name}.{field.name}", getattr(value, field.name))
    elif callable(value):
        yield name, str(getattr(value, "__qualname__", type(value).__qualname__))
    else:
        yield f"the type of {name}", type(value).__qualname__
        for attribute, item in getattr(value, "__dict__", {}).items():
            yield from _pieces(f"{name}.{attribute}", item)
