"""The sites of a body as arrays that a loop returns, and as sites again.

At one step a site is a message full of numbers. Of these the ones that the body has computed leave the loop, stacked
along its axis. Everything else (numbers and arrays from outside, names, plates, functions) is the same at all steps,
and known outside as it is: it takes no room in the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._typing import Array, Shape
from numpyro.distributions.batch_util import with_leading_shape

Site = dict[str, Any]


def inside_of(marker: Any) -> Callable[[Any], bool]:
    """Tell whether an array was computed in the same trace as ``marker``; where that is no tracer, any array was."""
    if not isinstance(marker, jax.core.Tracer):
        return lambda leaf: isinstance(leaf, jax.Array | np.ndarray)
    trace = marker._trace
    return lambda leaf: isinstance(leaf, jax.core.Tracer) and leaf._trace is trace


def aligned(site: Site, least: int = 0) -> Site:
    """A sample site whose value, distribution and scale have one rank, so that an axis can be put before all of them.

    Without the axis they broadcast from the right, whatever their ranks.

    :param least: the least number of batch dimensions.
    """
    site = {**site, "kwargs": {**site["kwargs"], "rng_key": None, "sample_shape": ()}}
    fn, value, scale = site["fn"], site["value"], site["scale"]
    value_ndim = np.ndim(value)
    value_batch = np.shape(value)[: max(value_ndim - fn.event_dim, 0)]
    scale_shape = np.shape(scale) if scale is not None else ()
    rank = max(len(fn.batch_shape), len(value_batch), len(scale_shape), least)
    if rank > len(fn.batch_shape):
        site["fn"] = fn.expand(np.broadcast_shapes(fn.batch_shape, value_batch, scale_shape, (1,) * rank))
        site["intermediates"] = []
    if value_ndim < rank + fn.event_dim:
        shape = (1,) * (rank + fn.event_dim - value_ndim) + np.shape(value)
        site["value"], site["intermediates"] = jnp.reshape(value, shape), []
    if scale_shape and len(scale_shape) < rank:
        site["scale"] = jnp.reshape(scale, (1,) * (rank - len(scale_shape)) + scale_shape)
    return site


def _with_all_indices(site: Site) -> Site:
    """A plate; the indices of a whole one are the same at all steps."""
    size, subsample_size = site["args"]
    if subsample_size is not None and subsample_size != size:
        return site
    return {**site, "value": np.arange(size)}


_PREPARED: dict[str, Callable[[Site], Site]] = {"sample": aligned, "plate": _with_all_indices}


class Leaves:
    """The sites of a body cut into arrays that depend on the step and all else.

    :param sites: the sites at one step.
    :param is_inside: whether an array was computed by the body.
    """

    def __init__(self, sites: Sequence[Site], is_inside: Callable[[Any], bool]) -> None:
        self._entries: list[list[tuple[str, list[Any], list[bool], Any]]] = []
        self.arrays: list[Array] = []
        for site in sites:
            entries = []
            for key, value in _PREPARED.get(site["type"], dict)(site).items():
                leaves, structure = jax.tree.flatten(value)
                flags = [is_inside(leaf) for leaf in leaves]
                self.arrays += [leaf for leaf, inside in zip(leaves, flags, strict=True) if inside]
                fixed = [None if inside else leaf for leaf, inside in zip(leaves, flags, strict=True)]
                entries.append((key, fixed, flags, structure))
            self._entries.append(entries)

    def stacked(self, arrays: Sequence[Array], length: int, *, spread: bool = True) -> list[Site]:
        """The sites of all steps, given the arrays with the loop as their leading axis.

        :param spread: whether distributions and values that are the same at all steps get that axis, too; where not, a
            distribution that has it is marked with ``"_is_timed"``.
        """
        computed = iter(arrays)
        sites = []
        for entries in self._entries:
            kind = next(fixed[0] for key, fixed, _, _ in entries if key == "type")
            scale_is_computed = any(any(flags) for key, _, flags, _ in entries if key == "scale")
            site = {}
            for key, fixed, flags, structure in entries:
                along = key in _ALONG_STEPS.get(kind, ()) and (spread or any(flags))
                leaves = [
                    next(computed) if inside else (_spread(leaf, length) if along else leaf)
                    for leaf, inside in zip(fixed, flags, strict=True)
                ]
                site[key] = jax.tree.unflatten(structure, leaves)
            fn_is_timed = spread or any(any(flags) for key, _, flags, _ in entries if key == "fn")
            if kind == "sample":
                batch_ndim = 1 + len(site["fn"].batch_shape)
                if fn_is_timed:
                    site["fn"] = with_leading_shape(site["fn"], (length,), 0)
                if not spread:
                    site["_is_timed"] = fn_is_timed
                if scale_is_computed:
                    site["scale"] = _with_rank(site["scale"], batch_ndim)
            elif kind == "plate":
                site["value"] = jnp.asarray(site["value"])
            sites.append(site)
        return sites


# What of a site has the axis of the loop, whether or not it depends on the step.
_ALONG_STEPS = {"sample": ("fn", "value", "intermediates", "_intervention"), "deterministic": ("value",)}


def _with_rank(stacked: Array, ndim: int) -> Array:
    """Insert dimensions behind the first."""
    shape = stacked.shape
    return stacked if len(shape) >= ndim else jnp.reshape(stacked, (shape[0],) + (1,) * (ndim - len(shape)) + shape[1:])


def _spread(leaf: Any, length: int) -> Any:
    """The same array at all steps."""
    if isinstance(leaf, bool | int | float | complex | np.generic | np.ndarray):
        array = np.asarray(leaf)
        shape: Shape = (length, *array.shape)
        if array.size <= 64 and length <= 4096:  # handed over as it is, which compiles nothing
            return jnp.asarray(np.broadcast_to(array, shape))
        return jnp.broadcast_to(array, shape)
    return jnp.broadcast_to(leaf, (length, *np.shape(leaf))) if isinstance(leaf, jax.Array) else leaf
