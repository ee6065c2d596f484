"""The handler that gives sites all values of their supports."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro.enumeration.contexts import visible_frames
from numpyro.primitives import Messenger

ENUMERATED = "_enumerate_dim"
"""The key of ``site["infer"]`` that holds the dimension of an enumerated site."""


def is_enumerable(msg: Any) -> bool:
    """Whether a message is of a latent site with a finite support."""
    return msg["type"] == "sample" and not msg["is_observed"] and msg["fn"].has_enumerate_support


class enum(Messenger):
    """Give latent sites that are marked ``infer={"enumerate": "parallel"}`` all values of their supports at once.

    The values of a site of :math:`K` values lie along a dimension of their own, to the left of all plates: outside of
    all plates, and with ``first_available_dim=-2``, the value has shape ``(K, 1)``.

    :param fn: the model.
    :param first_available_dim: the first dimension, negative, that no plate of the model takes, which is
        ``-1 - max_plate_nesting``; by default -1, for models without plates.
    :raises ValueError: if ``first_available_dim`` is not negative; while running, where a plate takes a dimension that
        is not to the right of it, or a marked site has no finite support or a batch shape beyond its plates.

    Afterwards each sample site's ``infer`` says which of its dimensions are of which site or plate (``"dim_to_name"``
    and ``"name_to_dim"``).
    """

    def __init__(self, fn: Callable[..., Any] | None = None, first_available_dim: int | None = None) -> None:
        first_available_dim = -1 if first_available_dim is None else first_available_dim
        if first_available_dim >= 0:
            raise UsageError(
                f"first_available_dim of enum must be negative, -1 - max_plate_nesting, but got {first_available_dim}; "
                "for a model with plates up to dim=-1 it is -2, without plates -1."
            )
        self.first_available_dim = first_available_dim
        super().__init__(fn)

    def __enter__(self) -> Any:
        self._owners: dict[int, str] = {}
        self._outside: set[int] = set()
        self._values: dict[str, Any] = {}
        return super().__enter__()

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "control_flow":
            msg["kwargs"]["enumerated"] = self
        if msg["type"] != "sample":
            return
        self._check_plates(msg)
        mode = msg["infer"].get("enumerate")
        if mode is None or msg["is_observed"] or msg["value"] is not None:
            return
        if mode != "parallel":
            raise UsageError(
                f"The site '{msg['name']}' is marked infer={{'enumerate': {mode!r}}}, but values are enumerated in "
                "parallel only: write 'parallel', or leave the mark out."
            )
        msg["value"] = self._enumerate(msg)

    def _enumerate(self, msg: Any) -> Any:
        """All values of the support of a site, along a new dimension."""
        name, fn = msg["name"], msg["fn"]
        support = _support(name, fn)
        _check_batch(msg, self.first_available_dim)
        frames = visible_frames()
        taken = self._outside.union(*(frame.of(self) for frame in frames))
        batch_shape = fn.batch_shape
        dim = self.first_available_dim
        # A dimension that the distribution itself has is of a variable that it depends on, whatever the contexts say.
        while dim in taken or (-dim <= len(batch_shape) and batch_shape[dim] != 1):
            dim -= 1
        (frames[-1].of(self) if frames else self._outside).add(dim)
        self._owners[dim] = name
        msg["infer"][ENUMERATED] = dim
        own_batch = support.shape[1 : support.ndim - fn.event_dim]
        shape = (support.shape[0], *(1,) * (-dim - 1 - len(own_batch)), *own_batch, *fn.event_shape)
        value = self._values[name] = jnp.reshape(support, shape)
        return value

    def postprocess_message(self, msg: Any) -> None:
        if msg["type"] != "sample":
            return
        if ENUMERATED in msg["infer"] and msg["value"] is not self._values.get(msg["name"]):
            if msg["name"] in self._values:
                del msg["infer"][ENUMERATED]  # a handler outside has given it a value of its own
        frames = {frame.dim: frame.name for frame in msg["cond_indep_stack"]}
        shape = _batch_shape(msg)
        names: OrderedDict[int, str] = OrderedDict()
        for dim in range(-len(shape), 0):
            if dim in frames:
                names[dim] = frames[dim]
            elif dim <= self.first_available_dim and shape[dim] != 1:
                if dim not in self._owners:
                    _raise_no_room(msg, dim, shape, self.first_available_dim)
                names[dim] = self._owners[dim]
        own = msg["infer"].get(ENUMERATED)
        if own is not None:
            names[own] = msg["name"]
        msg["infer"].setdefault("dim_to_name", names)
        msg["infer"].setdefault("name_to_dim", {name: dim for dim, name in names.items()})

    def _check_plates(self, msg: Any) -> None:
        for frame in msg["cond_indep_stack"]:
            if frame.dim <= self.first_available_dim:
                raise UsageError(
                    f"The plate '{frame.name}' around the site '{msg['name']}' takes dimension {frame.dim}, but "
                    f"enumeration takes all dimensions from first_available_dim={self.first_available_dim} to the "
                    f"left: set first_available_dim to {min(f.dim for f in msg['cond_indep_stack']) - 1} or less "
                    "(max_plate_nesting is the number of dimensions that plates take)."
                )


def _support(name: str, fn: Any) -> Any:
    if not fn.has_enumerate_support:
        raise UsageError(
            f"The site '{name}' ({type(fn).__name__}) is marked to be enumerated, but its support is not a finite set "
            "of values that can be listed. Sum it out by hand, truncate it to a Categorical, or leave the mark out "
            "and sample it."
        )
    try:
        return fn.enumerate_support(expand=False)
    except (NotImplementedError, ValueError) as error:
        raise UsageError(f"The support of the site '{name}' cannot be enumerated: {error}") from error


def _batch_shape(msg: Any) -> tuple[int, ...]:
    value_shape = jnp.shape(msg["value"])
    value_batch = value_shape[: len(value_shape) - msg["fn"].event_dim]
    try:
        return np.broadcast_shapes(msg["fn"].batch_shape, value_batch)
    except ValueError:
        return tuple(msg["fn"].batch_shape)  # what does not broadcast is an error of its own


def _check_batch(msg: Any, first_available_dim: int) -> None:
    """Raise where an enumerated site has several entries along a dimension that is no plate's."""
    plates = {frame.dim for frame in msg["cond_indep_stack"]}
    shape = msg["fn"].batch_shape
    for dim in range(max(-len(shape), first_available_dim + 1), 0):
        if shape[dim] != 1 and dim not in plates:
            raise UsageError(
                f"The enumerated site '{msg['name']}' ({type(msg['fn']).__name__}) has batch shape {tuple(shape)}, but "
                f"its dimension {dim} is no plate's: its {shape[dim]} entries would have to be enumerated jointly. "
                f"Declare them independent with `with numpyro.plate(name, {shape[dim]}, dim={dim}):`, or, where "
                f"{shape[dim]} is the size of an enumerated variable that it depends on, set first_available_dim to "
                f"{dim}."
            )


def _raise_no_room(msg: Any, dim: int, shape: tuple[int, ...], first_available_dim: int) -> None:
    raise UsageError(
        f"The site '{msg['name']}' ({type(msg['fn']).__name__}) has batch shape {tuple(shape)}, of which dimension "
        f"{dim} is neither a plate's nor an enumerated site's, though enumeration takes all dimensions from "
        f"first_available_dim={first_available_dim} to the left. Set first_available_dim to {-len(shape) - 1} or less, "
        "or make the dimension part of the event with .to_event(n)."
    )
