"""The handler that gives sites all values of their supports."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro.enumeration.contexts import visible_frames
from numpyro.primitives import Messenger
from numpyro.primitives.stack import _PYRO_STACK

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

    # The handler that stands for this one in the body of a loop whose steps are enumerated.
    _in_loop: Messenger | None = None

    def __enter__(self) -> Any:
        self._reset()
        return super().__enter__()

    def _reset(self) -> None:
        self._last_owners: dict[int, str] = {}
        self._outside: dict[int, str] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._adopted: dict[str, int] = {}
        self._dims: dict[str, int] = {}

    def adopt(self, dims: Mapping[str, int]) -> None:
        """Take note of sites that another handler has enumerated, by name, whose values this run of a model is given.

        New sites are then enumerated to the left of theirs.
        """
        self._adopted = dict(dims)

    def process_message(self, msg: Any) -> None:
        if self._has_inner():
            return
        if self.enters_body(msg):
            return
        if msg["type"] == "plate":
            taken = {frame.dim for frame in msg["cond_indep_stack"]}
            free = next(-1 - depth for depth in range(len(taken) + 1) if -1 - depth not in taken)
            self._check_plate(msg["name"], free)
        if msg["type"] != "sample":
            return
        for frame in msg["cond_indep_stack"]:
            self._check_plate(frame.name, frame.dim)
        if msg["name"] in self._adopted:
            for key in (ENUMERATED, "dim_to_name", "name_to_dim"):
                msg["infer"].pop(key, None)
            self._own(self._adopted[msg["name"]], msg["name"])
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
        dim = self._dims.get(name)
        if dim is None:  # both branches of a cond have the same sites
            dim = self._dims[name] = self._new_dim(msg)
            self._own(dim, name)
        msg["infer"][ENUMERATED] = dim
        own_batch = support.shape[1 : support.ndim - fn.event_dim]
        room = -1 - self.first_available_dim
        if any(size != 1 for size in own_batch[: max(0, len(own_batch) - room)]):
            raise UsageError(
                f"The support of the site '{name}' ({type(fn).__name__}) depends on an enumerated site before it; only "
                "a support that is the same for all values of that can be enumerated."
            )
        own_batch = own_batch[max(0, len(own_batch) - room) :]
        shape = (support.shape[0], *(1,) * (-dim - 1 - len(own_batch)), *own_batch, *fn.event_shape)
        self._shapes[name] = shape
        return jnp.reshape(support, shape)

    def _new_dim(self, msg: Any) -> int:
        """A dimension for a site to be enumerated."""
        batch_shape, taken = msg["fn"].batch_shape, self._visible()
        dim = min([self.first_available_dim + 1, *self._adopted.values()]) - 1
        # A dimension that the distribution itself has is of a variable that it depends on, whatever the contexts say.
        while dim in taken or (-dim <= len(batch_shape) and batch_shape[dim] != 1):
            dim -= 1
        return dim

    def postprocess_message(self, msg: Any) -> None:
        if msg["type"] != "sample" or msg.get("_control_flow_done") or self._has_inner():
            return
        given = self._shapes.get(msg["name"])
        if given is not None and jnp.shape(msg["value"]) != given:
            msg["infer"].pop(ENUMERATED, None)  # a handler outside has given it a value of its own
        frames = {frame.dim: frame.name for frame in msg["cond_indep_stack"]}
        shape = _batch_shape(msg)
        owners = self._last_owners | self._visible()
        names: OrderedDict[int, str] = OrderedDict()
        for dim in range(-len(shape), 0):
            if dim in frames:
                names[dim] = frames[dim]
            elif dim <= self.first_available_dim and shape[dim] != 1:
                if dim not in owners:
                    _raise_no_room(msg, dim, shape, self.first_available_dim)
                names[dim] = owners[dim]
        own = msg["infer"].get(ENUMERATED)
        if own is not None:
            names[own] = self._variable(msg["name"])
        msg["infer"]["dim_to_name"] = names
        msg["infer"]["name_to_dim"] = {name: dim for dim, name in names.items()}

    def _has_inner(self) -> bool:
        """Whether another such handler runs inside of this one, which then does the work."""
        for handler in reversed(_PYRO_STACK.handlers):
            if isinstance(handler, enum):
                return handler is not self
        return False

    def _variable(self, name: str) -> str:
        """The name of the variable that an enumerated site is."""
        return name

    def in_body(self, step: Any) -> Messenger:
        return self if self._in_loop is None else self._in_loop

    def _own(self, dim: int, name: str) -> None:
        """From here on, a dimension is of the named variable."""
        frames = visible_frames()
        (frames[-1].of(self) if frames else self._outside)[dim] = name
        self._last_owners[dim] = name

    def _visible(self) -> dict[int, str]:
        """The variables that the running step may depend on, by their dimensions."""
        names = dict(self._outside)
        for frame in visible_frames():
            names.update(frame.of(self))
        return names

    def _check_plate(self, name: str, dim: int) -> None:
        if dim <= self.first_available_dim:
            raise UsageError(
                f"The plate '{name}' takes dimension {dim}, but enumeration takes all dimensions from "
                f"first_available_dim={self.first_available_dim} to the left: set first_available_dim to {dim - 1} or "
                "less (-1 - max_plate_nesting, the number of dimensions that plates take)."
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
