"""One step of a loop: which of the values that handlers hold belong to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, Shape
from numpyro.primitives.stack import draw, request_key


@dataclass(frozen=True, eq=False)
class Step:
    """Where a body runs.

    ``index`` is the position along the loop of ``length`` steps, both ``None`` for a branch, which has no axis;
    ``rng_key`` is the key of what the body draws. ``slices`` holds, by the ``id`` of arrays that have the loop as
    their leading axis, their parts at this step, cut by ``lax.scan`` itself (an index into the whole would make the
    gradient of each step as large as all of them). ``plate_shape`` is the batch shape of the plates around the loop.
    ``first_enumerated`` is the first dimension, of those to the left of all plates, that enumerated sites take.
    """

    index: Any = None
    length: int | None = None
    rng_key: Key | None = None
    slices: dict[int, Array] = field(default_factory=dict)
    plate_shape: Shape = ()
    first_enumerated: int | None = None

    def value_of(self, msg: Any, value: Any, steps: tuple[Step, ...]) -> Any:
        """The value of a site at this step, given one for the step or one for all steps.

        :param msg: the message of the site.
        :param value: as a handler around the loops holds it: of the shape of the site, which then is its value at
            every step, or with the axes of the loops in front. An axis may be shorter than the loop: the site is drawn
            at the steps beyond.
        :param steps: the loops that the handler is around, the outermost first.
        :raises RuntimeError: where the value has another number of dimensions, or is longer than the loop.
        """
        kind, name = msg["type"], msg["name"]
        if kind == "sample":
            fn, sample_shape = msg["fn"], msg["kwargs"].get("sample_shape", ())
            batch_ndim = max(len(sample_shape) + len(fn.batch_shape), len(self.plate_shape))
            if self.first_enumerated is not None:
                batch_ndim = self._without_enumerated(fn, np.ndim(value) - len(steps))
            sliced, known = _slice(value, batch_ndim + fn.event_dim, steps, name)
            return sliced if known is None else self._complete(msg, sliced, known)
        if kind == "plate":
            sliced, known = _slice(value, 1, steps, name)
            if known is not None:
                raise RuntimeError(f"The indices of the plate '{name}' must be given for all {self.length} steps.")
            return sliced
        old = msg["value"]
        leaves, structure = jax.tree.flatten(value)
        old_leaves = jax.tree.leaves(old)
        if len(leaves) != len(old_leaves):
            raise UsageError(f"The value given to the site '{name}' has another structure than its own.")
        results = []
        for leaf, old_leaf in zip(leaves, old_leaves, strict=True):
            sliced, known = _slice(leaf, np.ndim(old_leaf), steps, name)
            results.append(sliced if known is None else jnp.where(known, sliced, old_leaf))
        return jax.tree.unflatten(structure, results)

    def _without_enumerated(self, fn: Any, ndim: int) -> int:
        """The number of batch dimensions that a site has without enumeration, for a value of ``ndim`` dimensions."""
        room = -1 - self.first_enumerated  # type: ignore[operator]
        shape = tuple(fn.batch_shape)[-room:] if room else ()
        least = next((len(shape) - i for i, size in enumerate(shape) if size != 1), 0)
        return min(max(ndim - fn.event_dim, least, len(self.plate_shape)), max(len(shape), least))

    def slice(self, value: Any, ndim: int, steps: tuple[Step, ...], name: str) -> Any:
        """The part at this step of an array that has ``ndim`` dimensions and, perhaps, the axes of all loops."""
        return _slice(value, ndim, steps, name)[0]

    def _complete(self, msg: Any, given: Any, known: Array) -> Any:
        """The given value where it is known, else the site's own: its observation or a draw."""
        own = msg["value"]
        if own is None:
            fn, rng_key = msg["fn"], msg["kwargs"].get("rng_key")
            batch_shape = np.shape(given)[: np.ndim(given) - fn.event_dim]
            shape = np.broadcast_shapes(batch_shape, tuple(msg["kwargs"].get("sample_shape", ())) + fn.batch_shape)
            fn = fn if shape == fn.batch_shape else fn.expand(shape)
            own = draw(msg["name"], fn, rng_key=request_key() if rng_key is None else rng_key)
        return jnp.where(known, given, own)


def _slice(value: Any, ndim: int, steps: tuple[Step, ...], name: str) -> tuple[Any, Array | None]:
    """The part of an array at a step, and whether it is known there (``None`` for always)."""
    shape = np.shape(value)
    extra = len(shape) - ndim
    if extra == 0:
        return value, None
    if not 0 < extra <= len(steps):
        expected = " or ".join(str(ndim + axes) for axes in range(len(steps) + 1))
        raise RuntimeError(
            f"The value given to the site '{name}' inside a loop must have {expected} dimensions: those of the site at "
            f"one step, or also, in front, those of the loops (lengths {[step.length for step in steps]}), but it has "
            f"shape {shape}."
        )
    if id(value) in steps[extra - 1].slices:
        return steps[extra - 1].slices[id(value)], None
    known = None
    for step in steps[:extra]:
        size = np.shape(value)[0]
        if size > step.length:  # type: ignore[operator]
            raise RuntimeError(
                f"Substituted value for site {name} requires length less than or equal to scan length. Expected length "
                f"<= {step.length}, but got {size}."
            )
        if size == 0:
            raise RuntimeError(f"The value given to the site '{name}' is of no step at all; leave it out instead.")
        index = step.index
        if size < step.length:  # type: ignore[operator]
            known = index < size if known is None else known & (index < size)
            index = jnp.minimum(index, size - 1)
        value = lax.dynamic_index_in_dim(jnp.asarray(value), index, keepdims=False)
    return value, known
