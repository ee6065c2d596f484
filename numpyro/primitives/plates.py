"""Plates: conditionally independent dimensions of the batch shape, whole or subsampled."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import CondIndepStackFrame
from numpyro.distributions.distribution import Distribution
from numpyro.primitives.checks import check_name
from numpyro.primitives.stack import _PYRO_STACK, Messenger, apply_stack


class plate(Messenger):
    """Declare that the sites within are independent along one dimension of their batch shapes.

    Within ``with numpyro.plate(name, size):`` a distribution is expanded, where it needs to be, to have ``size``
    entries along the plate's dimension. With ``subsample_size`` the plate takes a random subsample, and the log
    densities within are multiplied by ``size / subsample_size``, which keeps their sum unbiased.

    :param name: the name of the plate.
    :param size: the number of independent entries.
    :param subsample_size: the number of entries in a random subsample; by default all of them.
    :param dim: the dimension, negative, counted from the right; by default the rightmost one that no surrounding plate
        has. It is settled where the plate is made, not where it is entered.
    :raises TypeError: if ``name`` is no string, or a size or ``dim`` no integer.
    :raises ValueError: if ``size`` is not positive, ``subsample_size`` is not within 1 and ``size``, ``dim`` is not
        negative, the plate takes the dimension of a plate around it, or there is no key to draw a subsample.

    Entering the plate returns the indices, of shape ``(subsample_size,)``.

    >>> import numpyro, numpyro.distributions as dist
    >>> with numpyro.handlers.seed(rng_seed=0):
    ...     with numpyro.plate("rows", 3), numpyro.plate("columns", 2):
    ...         x = numpyro.sample("x", dist.Normal(0, 1))
    >>> x.shape
    (2, 3)
    """

    __module__ = "numpyro.primitives"

    def __init__(self, name: str, size: int, subsample_size: int | None = None, dim: int | None = None) -> None:
        check_name(name, "plate")
        self.name = name
        self.size = _as_int(name, "size", size)
        if self.size <= 0:
            raise UsageError(f"size of the plate '{name}' should be positive, but got {self.size}.")
        if subsample_size is not None:
            subsample_size = _as_int(name, "subsample_size", subsample_size)
            if not 1 <= subsample_size <= self.size:
                raise UsageError(
                    f"subsample_size of the plate '{name}' must be between 1 and its size {self.size}, "
                    f"but got {subsample_size}."
                )
        if dim is not None:
            dim = _as_int(name, "dim", dim)
            if dim >= 0:
                raise ValueError(
                    f"dim arg must be negative: dimensions of plates count from the right, but the plate '{name}' "
                    f"got dim={dim}; for the rightmost dimension write dim=-1."
                )
        self.dim, self._indices = self._announce(subsample_size, dim)
        self.subsample_size = self._indices.shape[0]
        super().__init__(None)

    def _announce(self, subsample_size: int | None, dim: int | None) -> tuple[int, Any]:
        """Send the plate's message; return the dimension and the indices that it comes back with."""
        whole = subsample_size is None or subsample_size == self.size
        msg: dict[str, Any] = {
            "type": "plate",
            "fn": _subsample_indices,
            "name": self.name,
            "args": (self.size, subsample_size),
            "kwargs": {"rng_key": None},
            "value": _all_indices(self.size) if whole else None,
            "scale": 1.0,
            "cond_indep_stack": [],
        }
        if _PYRO_STACK.handlers:
            apply_stack(msg)
        elif not whole:
            msg["value"] = _subsample_indices(*msg["args"], **msg["kwargs"])
        indices = msg["value"]
        if np.ndim(indices) != 1:
            raise UsageError(
                f"The indices of the plate '{self.name}' must be a vector, but a handler set an array of shape "
                f"{np.shape(indices)}."
            )
        if isinstance(indices, np.ndarray | list | tuple):
            indices = jnp.asarray(indices)
        if subsample_size is not None and subsample_size != indices.shape[0]:
            warnings.warn(
                f"subsample_size of the plate '{self.name}' does not match len(subsample), {subsample_size} vs "
                f"{indices.shape[0]}. Did you accidentally use different subsample_size in the model and guide?",
                stacklevel=4,
            )
        if dim is None:
            occupied = [frame.dim for frame in msg["cond_indep_stack"]]
            dim = -1
            while dim in occupied:
                dim -= 1
        _check_free(msg["cond_indep_stack"], msg["name"], dim)
        return dim, indices

    def __enter__(self) -> Any:
        super().__enter__()
        return self._indices

    def process_message(self, msg: Any) -> None:
        if self.enters_body(msg):
            return
        kind = msg["type"]
        if kind not in ("sample", "param", "plate", "deterministic"):
            return
        if kind == "sample" and self.name in msg["infer"].get("block_plates", ()):
            return  # a site that serves the whole model, declared where one of its plates happens to be active
        frames = msg["cond_indep_stack"]
        _check_free(frames, self.name, self.dim)
        frames.append(CondIndepStackFrame(self.name, self.dim, self.subsample_size))
        if kind == "deterministic":
            return
        if kind == "sample":
            self._expand(msg)
        if self.subsample_size != self.size:
            factor = self.size / self.subsample_size
            msg["scale"] = factor if msg["scale"] is None else msg["scale"] * factor

    def _expand(self, msg: Any) -> None:
        """Expand the distribution to the plates that it has met so far."""
        fn = msg["fn"]
        if not isinstance(fn, Distribution):
            return
        sample_shape = msg["kwargs"].get("sample_shape", ())
        batch_shape = tuple(sample_shape) + fn.batch_shape
        plate_shape = [1] * -min(frame.dim for frame in msg["cond_indep_stack"])
        for frame in msg["cond_indep_stack"]:
            plate_shape[frame.dim] = frame.size
        try:
            expanded_shape = np.broadcast_shapes(tuple(plate_shape), batch_shape)
        except ValueError:
            raise ValueError(
                f"The site '{msg['name']}' does not fit the plate '{self.name}': along dimension {self.dim} the plate "
                f"has size {self.subsample_size}, but its {type(fn).__name__} has batch shape {batch_shape}, size "
                f"{batch_shape[self.dim]} there. Give the plate that size, or make dimensions that belong to one "
                "event part of the event shape with .to_event(n)."
            ) from None
        if sample_shape:
            # The draws before the batch shape become part of it; they are then drawn once.
            msg["kwargs"]["sample_shape"] = ()
        if expanded_shape != fn.batch_shape:
            msg["fn"] = fn.expand(expanded_shape)

    def postprocess_message(self, msg: Any) -> None:
        if msg["type"] not in ("param", "subsample") or msg.get("_control_flow_done"):
            return
        event_dim = msg["kwargs"].get("event_dim")
        if event_dim is None:
            return
        what = f"param({msg['name']}, ..., " if msg["type"] == "param" else "subsample(..., "
        axis = self.dim - event_dim
        take = partial(self._take, axis=axis, what=f"numpyro.{what}event_dim={event_dim})")
        msg["value"] = jax.tree.map(take, msg["value"])

    def _take(self, value: Any, *, axis: int, what: str) -> Any:
        shape = np.shape(value)
        if len(shape) < -axis or shape[axis] == 1:
            return value
        if shape[axis] != self.size:
            raise ValueError(
                f"Inside numpyro.plate({self.name}, {self.size}, dim={self.dim}) invalid shape of {what}: {shape}; "
                f"dimension {axis} must have the plate's size {self.size}, or 1, but has size {shape[axis]}."
            )
        return value if self.subsample_size == self.size else jnp.take(jnp.asarray(value), self._indices, axis=axis)


def _check_free(frames: Sequence[CondIndepStackFrame], name: str, dim: int) -> None:
    """Raise an error where a plate within the plates ``frames`` has a name or a dimension of one of them."""
    for frame in frames:
        if frame.name == name:
            raise UsageError(
                f"The plate '{name}' stands within itself, or within another plate of the same name; "
                "nested plates need names of their own."
            )
        if frame.dim == dim:
            raise UsageError(
                f"The plates '{frame.name}' and '{name}' clash: both take the dimension {dim}. Give one of them "
                "another dimension, as in numpyro.plate(name, size, dim=-2), or leave out dim and make the inner "
                "plate within the outer one, so that it takes the next free dimension."
            )


def _as_int(name: str, what: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        if isinstance(value, jax.core.Tracer):
            remedy = "it must be known when the model is traced: take it from a shape, or make it a static argument"
        else:
            remedy = f"write int({what}) if that is what is meant"
        raise TypeError(
            f"{what} of the plate '{name}' must be an integer, but got {value!r} of type {type(value).__name__}; "
            f"{remedy}."
        ) from None


def _all_indices(size: int) -> jax.Array:
    # A small array is handed over as it is, which compiles nothing; a large one must not become a compiled-in constant.
    return jnp.asarray(np.arange(size)) if size <= 4096 else jnp.arange(size)


def _subsample_indices(size: int, subsample_size: int, rng_key: Any = None) -> jax.Array:
    """Draw ``subsample_size`` of the indices 0, ..., size - 1 without replacement."""
    if rng_key is None:
        raise UsageError(
            "Missing random key to generate subsample indices. Algorithms like HMC/NUTS do not support subsampling. "
            "You might want to use SVI or HMCECS instead; elsewhere run the model under numpyro.handlers.seed."
        )
    return _draw_without_replacement(rng_key, size, subsample_size)


@partial(jax.jit, static_argnums=(1, 2))
def _draw_without_replacement(rng_key: jax.Array, size: int, subsample_size: int) -> jax.Array:
    # The first steps of Fisher and Yates' shuffle: entry i changes places with a uniform one of i, ..., size - 1.
    # O(size) memory traffic and O(subsample_size) steps, where a whole permutation would sort.
    partners = jax.random.randint(rng_key, (subsample_size,), np.arange(subsample_size), size)

    def swap(i: jax.Array, indices: jax.Array) -> jax.Array:
        here, there = indices[i], indices[partners[i]]
        return indices.at[i].set(there).at[partners[i]].set(here)

    return jax.lax.fori_loop(0, subsample_size, swap, jnp.arange(size))[:subsample_size]


@contextmanager
def plate_stack(prefix: str, sizes: Sequence[int], rightmost_dim: int = -1) -> Iterator[None]:
    """Enter a stack of plates with the given sizes.

    :param prefix: the plates are named ``{prefix}_0`` (the rightmost), ``{prefix}_1``, ...
    :param sizes: the sizes, in the order of the batch shape: the last one is that of the rightmost plate.
    :param rightmost_dim: the dimension of the rightmost plate, negative.
    :raises ValueError: if ``rightmost_dim`` is not negative.

    >>> import numpyro, numpyro.distributions as dist
    >>> with numpyro.handlers.seed(rng_seed=0), numpyro.plate_stack("p", [2, 3]):
    ...     x = numpyro.sample("x", dist.Normal(0, 1))
    >>> x.shape
    (2, 3)
    """
    if rightmost_dim >= 0:
        raise UsageError(f"rightmost_dim of plate_stack '{prefix}' must be negative, but got {rightmost_dim}.")
    with ExitStack() as stack:
        for i, size in enumerate(reversed(sizes)):
            stack.enter_context(plate(f"{prefix}_{i}", size, dim=rightmost_dim - i))
        yield
