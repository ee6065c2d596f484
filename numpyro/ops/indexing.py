"""Vectorised indexing: index arrays broadcast with the batch dimensions of what they index."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError


def vindex(tensor: Any, args: Any) -> Any:
    """Index ``tensor`` such that index arrays broadcast with each other and with its leading dimensions.

    NumPy places the dimensions of index arrays first or in the middle, depending on what stands between them. Here
    they are always to the left, those of slices always to the right; and a leading ``...`` stands for batch dimensions,
    which take part in the broadcast. So if ``z`` is a batch of indices, ``vindex(x, (..., z))`` picks from ``x`` batch
    by batch, as ``x[b, z[b]]`` for every ``b``: what a model needs whose indices may be enumerated or plated.

    With ``x`` of shape ``(*batch, n, m)`` and ``i``, ``j`` integer arrays of shapes that broadcast with ``batch``:

    ============================  ===================================================
    ``vindex(x, (..., i, j))``    ``broadcast_shapes(batch, i.shape, j.shape)``
    ``vindex(x, (..., i, :))``    ``broadcast_shapes(batch, i.shape) + (m,)``
    ``vindex(x, (i, :, j))``      for ``batch`` of one dimension:
                                  ``broadcast_shapes(i.shape, j.shape) + (n,)``
    ============================  ===================================================

    :param tensor: an array, of JAX or NumPy.
    :param args: an index or a tuple of indices: integers, integer arrays, slices, and ``...`` in first place.
    :return: the picked elements; a NumPy array where tensor and indices are of NumPy.
    :raises NotImplementedError: when ``...`` stands elsewhere than first.
    :raises UsageError: when there are more indices than dimensions.
    :raises TypeError: when an index is not an integer, an integer array or a slice.
    :raises ValueError: when the shapes do not broadcast.

    >>> x = np.arange(12).reshape(4, 3)
    >>> vindex(x, (..., np.array([0, 1, 2, 0]))).tolist()
    [0, 4, 8, 9]
    """
    if not isinstance(args, tuple):
        return tensor[args]
    if not args:
        return tensor
    if any(arg is Ellipsis for arg in args[1:]):
        raise NotImplementedError(
            "vindex takes an Ellipsis only in first place, where it stands for the batch dimensions."
        )
    has_batch = args[0] is Ellipsis
    indices = [_checked(arg) for arg in (args[1:] if has_batch else args)]
    num_batch_dims = _num_remaining_dims(tensor, indices)
    if has_batch:
        batch = [slice(None)] * num_batch_dims
        indices = batch + indices
    else:
        batch = []
        indices = indices + [slice(None)] * num_batch_dims
    if not any(jnp.ndim(index) for index in indices if not isinstance(index, slice)):
        return tensor[tuple(indices)]  # without index arrays there is nothing to broadcast

    # Slices behind the batch dimensions become the rightmost dimensions of the result.
    shape = jnp.shape(tensor)
    num_slices = sum(isinstance(index, slice) for index in indices[len(batch) :])
    num_free = num_slices + len(batch)
    gather: list[Any] = []
    for size, index in zip(shape, indices):
        if isinstance(index, slice):
            num_free -= 1
            gather.append(np.arange(*index.indices(size)).reshape((-1,) + (1,) * num_free))
        else:
            gather.append(index.reshape(index.shape + (1,) * num_slices))
    return tensor[tuple(gather)]


class Vindex:
    """Square brackets for :func:`vindex`: ``Vindex(x)[..., i, j]`` is ``vindex(x, (..., i, j))``.

    :param tensor: the array to index.
    """

    def __init__(self, tensor: Any) -> None:
        self._tensor = tensor

    def __getitem__(self, args: Any) -> Any:
        return vindex(self._tensor, args)


def _checked(index: Any) -> Any:
    """Return a slice as it is and everything else as an integer array."""
    if isinstance(index, slice):
        return index
    array = index if isinstance(index, jax.Array) else np.asarray(index)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(
            f"vindex expects integers, integer arrays and slices as indices, got {index!r}; "
            "convert a boolean or float array by .astype(int)."
        )
    return array


def _num_remaining_dims(tensor: Any, indices: list[Any]) -> int:
    ndim = jnp.ndim(tensor)
    if len(indices) > ndim:
        raise UsageError(
            f"vindex got {len(indices)} indices for an array of {ndim} dimensions (shape {jnp.shape(tensor)})."
        )
    return ndim - len(indices)
