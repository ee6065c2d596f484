"""How sites get all values of their supports at once."""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro.distributions._shapes import reshaped
from numpyro.primitives import Messenger

ENUMERATED = "_enumerate_dim"
"""The key of ``site["infer"]`` that holds the dimension of an enumerated site."""

PIECE = "_piece"
"""The key of ``site["infer"]`` that holds which :class:`~numpyro.enumeration.loop.Piece` of a site in a loop it is."""

PIECES = "_in_pieces"
"""The key of ``site["infer"]`` that marks a site whose factors are others: those of the pieces of its loop."""

OF_LOOPS = (PIECE, PIECES)


class Enumerating(Messenger):
    """Gives marked sites all values of their supports, and keeps account of the dimensions.

    Which dimensions, and what they are called, is the part that varies: :class:`enum` does it for a model,
    :class:`~numpyro.enumeration.loop.InSteps` for the steps of a loop.

    :param fn: the model.
    :param first_available_dim: the first dimension, negative, that no plate of the model takes.
    """

    times: frozenset[str] = frozenset()
    """The loops over time all of whose steps this run stands for."""

    depth = 0
    """The number of loops with enumerated sites around."""

    def __init__(self, fn: Callable[..., Any] | None, first_available_dim: int) -> None:
        self.first_available_dim = first_available_dim
        self._stand_in: Enumerating | None = None
        self._forget()
        super().__init__(fn)

    def _forget(self) -> None:
        self._owners: dict[int, str] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dims: dict[str, int] = {}
        self._adopted: dict[str, int] = {}
        self.proposed: dict[str, str] = {}

    # What loops need

    @abstractmethod
    def visible(self) -> dict[int, str]:
        """The variables that the running step may depend on, by their dimensions."""

    @abstractmethod
    def variable(self, name: str) -> str:
        """The name of the variable that an enumerated site is."""

    @abstractmethod
    def keep(self, name: str, dim: int, size: int, plates: frozenset[str]) -> int:
        """Let a variable of a loop that has ended be visible from here on.

        :param name: what the loop calls it.
        :param dim: the dimension of its values.
        :param size: their number.
        :param plates: the plates that it stands in.
        :return: the dimension that its values must be moved to.
        """

    @property
    def free_dim(self) -> int:
        """The first dimension to the left of all that are taken."""
        return min([self.first_available_dim + 1, *self.visible(), *self._adopted.values()]) - 1

    @contextmanager
    def replaced_by(self, handler: Enumerating) -> Iterator[None]:
        """Let another handler stand for this one in the bodies of loops."""
        self._stand_in = handler
        try:
            yield
        finally:
            self._stand_in = None

    def in_body(self, step: Any) -> Messenger:
        return self if self._stand_in is None else self._stand_in

    # What varies

    @abstractmethod
    def _is_at_work(self) -> bool:
        """Whether messages are for this handler."""

    @abstractmethod
    def _new_dim(self, msg: Any) -> int:
        """A dimension for a site to be enumerated."""

    @abstractmethod
    def _support(self, msg: Any) -> Any:
        """The values of a site, along the leading axis."""

    # What does not

    def process_message(self, msg: Any) -> None:
        if not self._is_at_work() or self.enters_body(msg):
            return
        if msg["type"] == "plate":
            taken = {frame.dim for frame in msg["cond_indep_stack"]}
            free = next(-1 - depth for depth in range(len(taken) + 1) if -1 - depth not in taken)
            self._check_plate(msg["name"], free)
        if msg["type"] != "sample":
            return
        for frame in msg["cond_indep_stack"]:
            self._check_plate(frame.name, frame.dim)
        for key in OF_LOOPS:  # of another run, whose values are replayed
            msg["infer"].pop(key, None)
        name = msg["name"]
        if name in self._adopted:
            for key in (ENUMERATED, "dim_to_name", "name_to_dim"):
                msg["infer"].pop(key, None)
            self._own(self._adopted[name], name)
        mode = msg["infer"].get("enumerate")
        if mode is None and self.depth and name in self.proposed:
            mode = "parallel"
        if mode is None or msg["is_observed"] or msg["value"] is not None:
            return
        if mode != "parallel":
            raise UsageError(
                f"The site '{name}' is marked infer={{'enumerate': {mode!r}}}, but values are enumerated in "
                "parallel only: write 'parallel', or leave the mark out."
            )
        msg["value"] = self._enumerate(msg)

    def _own(self, dim: int, name: str) -> None:
        """From here on, a dimension is of the named variable."""

    def _enumerate(self, msg: Any) -> Any:
        """All values of the support of a site, along a new dimension."""
        name, fn = msg["name"], msg["fn"]
        support = self._support(msg)
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
        return reshaped(support, shape)

    def postprocess_message(self, msg: Any) -> None:
        if msg["type"] != "sample" or msg.get("_control_flow_done") or not self._is_at_work():
            return
        given = self._shapes.get(msg["name"])
        if given is not None and jnp.shape(msg["value"]) != given:
            msg["infer"].pop(ENUMERATED, None)  # a handler outside has given it a value of its own
        frames = {frame.dim: frame.name for frame in msg["cond_indep_stack"]}
        shape = _batch_shape(msg)
        owners = self._owners | self.visible()
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
            names[own] = self.variable(msg["name"])
        msg["infer"]["dim_to_name"] = names
        msg["infer"]["name_to_dim"] = {name: dim for dim, name in names.items()}

    def _check_plate(self, name: str, dim: int) -> None:
        if dim <= self.first_available_dim:
            raise UsageError(
                f"The plate '{name}' takes dimension {dim}, but enumeration takes all dimensions from "
                f"first_available_dim={self.first_available_dim} to the left: set first_available_dim to {dim - 1} or "
                "less (-1 - max_plate_nesting, the number of dimensions that plates take)."
            )


def support_of(name: str, fn: Any) -> Any:
    """The values of a distribution, along the leading axis.

    :raises ValueError: naming the site, where they cannot be listed.
    """
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
