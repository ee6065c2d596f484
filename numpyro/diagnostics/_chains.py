"""What all diagnostics share: draws of shape ``(chains, draws, ...)``, checked, split, and cut into blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpyro._errors import UsageError

# Numbers of a block of parameters that are worked on at once: the intermediate arrays then stay in the processor's
# cache.
_BLOCK_SIZE = 2**17


def as_chains(x: Any, *, min_chains: int = 1, min_draws: int = 2, name: str) -> np.ndarray:
    """Return draws as a float64 array of shape ``(chains, draws, ...)``.

    :raises UsageError: when there are too few dimensions, chains or draws.
    :raises TypeError: when the draws are not numbers.
    """
    x = as_numbers(x, name)
    if x.ndim < 2:
        raise UsageError(
            f"{name} expects draws of shape (chains, draws, ...), got shape {x.shape}; one chain is x[None]."
        )
    if x.shape[0] < min_chains:
        raise UsageError(f"{name} needs at least {min_chains} chains, got {x.shape[0]} (shape {x.shape}).")
    if x.shape[1] < min_draws:
        raise UsageError(f"{name} needs at least {min_draws} draws a chain, got {x.shape[1]} (shape {x.shape}).")
    return x.astype(np.float64, copy=False)


def as_numbers(x: Any, name: str) -> np.ndarray:
    """Return ``x`` as an array of real numbers, booleans as 0 and 1."""
    try:
        x = np.asarray(x)
    except TypeError:
        raise TypeError(f"{name} expects arrays of numbers, got {type(x).__name__} of dtype {x.dtype}.") from None
    if x.dtype == np.bool_:
        return x.astype(np.int8)
    if not (np.issubdtype(x.dtype, np.integer) or _is_real_float(x.dtype)):
        raise TypeError(f"{name} expects arrays of real numbers, got dtype {x.dtype}.")
    return x


def _is_real_float(dtype: np.dtype) -> bool:
    # bfloat16 and its kin are no subtypes of np.floating, but casting them to float64 loses nothing.
    return np.issubdtype(dtype, np.floating) or (dtype.kind == "V" and np.can_cast(dtype, np.float64))


def split_chains(x: np.ndarray) -> np.ndarray:
    """Cut each chain into its first and last half, leaving out the middle draw of an odd number."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def map_blocks(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> Any:
    """Apply a function of arrays ``(parameters, chains, draws)`` to draws ``(chains, draws, ...)``.

    The function gets a block of parameters at a time, each chain contiguous in memory, and returns one number for each.
    """
    chains, draws, *event_shape = x.shape
    flat = x.reshape(chains, draws, int(np.prod(event_shape)))
    step = max(1, _BLOCK_SIZE // (chains * draws))
    blocks = [
        function(np.ascontiguousarray(np.moveaxis(flat[:, :, i : i + step], 2, 0)))
        for i in range(0, flat.shape[2], step)
    ]
    result = np.concatenate(blocks) if blocks else np.empty(0)
    return result.reshape(event_shape)[()]
