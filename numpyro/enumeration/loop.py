"""Enumerated sites in the steps of a loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Shape
from numpyro.enumeration.handler import enum
from numpyro.ops.sum_product import Plate, Variable

CHAIN = "_chain"
"""The key of ``site["infer"]`` that holds the :class:`Chain` of a site from the steps of a loop."""

PIECES = "_in_pieces"
"""The key of ``site["infer"]`` that marks a site whose factors are others: those of the pieces of its loop."""


class Chain(NamedTuple):
    """A loop over time with enumerated sites.

    :param time: the name of the axis of the steps that were run together.
    :param plate: these steps as a plate.
    :param variables: all variables of the loop.
    :param sites: for each enumerated site the names of its pieces, those of single steps first, in the order of time.
    :param is_reversed: whether the last entry comes first.
    """

    time: str
    plate: Plate
    variables: dict[str, Variable]
    sites: dict[str, tuple[str, ...]]
    is_reversed: bool


class Piece(NamedTuple):
    """One or several steps of a loop: what marks the sites of them.

    :param chain: the loop.
    :param rank: the number of batch dimensions of the site at one step.
    :param dim: the dimension of the values of an enumerated site.
    :param is_timed: whether the piece is of the steps that were run together, whose axis may be in front.
    """

    chain: Chain
    rank: int
    dim: int | None
    is_timed: bool


class LoopDimensions:
    """The dimensions of the variables of a loop: a block for those of the running step, one for each step back.

    :param handler: the handler around the loop.
    :param history: the number of steps back that are kept.

    The variables of the step take ``start``, ``start - 1``, ...; those of ``lag`` steps back the same dimensions, moved
    to the left by ``lag`` times their number.
    """

    def __init__(self, handler: enum, history: int) -> None:
        self.outer = handler._visible()
        self.first = handler.first_available_dim
        self.start = min([self.first + 1, *self.outer, *handler._adopted.values()]) - 1
        self.history = history
        self.sizes: dict[str, int] = {}

    def dim(self, name: str, lag: int = 0) -> int:
        """The dimension of a variable of ``lag`` steps back."""
        return self.start - lag * len(self.sizes) - list(self.sizes).index(name)

    def event_ndims(self, shape: Shape, initial: Shape, lags: int) -> list[int]:
        """How many dimensions of a leaf of the carry may belong to an event, given which of them are enumerated.

        Every dimension that is not 1 is then a plate's, the event's, or a variable's of at most ``lags`` steps back.

        :return: the possible numbers, the least first; none for a leaf that has no enumerated dimension.
        """
        sizes = {self.dim(name, lag): size for name, size in self.sizes.items() for lag in range(lags + 1)}
        found = []
        for event_ndim in range(len(initial) + 1):
            batch = shape[: len(shape) - event_ndim]
            enumerated = [(dim, batch[dim]) for dim in range(-len(batch), self.start + 1) if batch[dim] != 1]
            outer = [dim for dim in range(max(-len(batch), self.start + 1), self.first + 1) if batch[dim] != 1]
            fits = all(sizes.get(dim) == size for dim, size in enumerated) and all(dim in self.outer for dim in outer)
            if enumerated and fits and shape[len(shape) - event_ndim :] == initial[len(initial) - event_ndim :]:
                found.append(event_ndim)
        return found if shape != initial else []

    def by_probe(self, shape: Shape, probed: Shape) -> int | None:
        """The number of dimensions of an event, from the shape that a leaf has when variables have more values.

        Each variable of the running step has one value more than the one before it had in excess.
        """
        for position, (name, size) in enumerate(self.sizes.items()):
            for axis, (before, after) in enumerate(zip(shape, probed, strict=False)):
                if before == size and after == size + position + 1:
                    return len(shape) + self.dim(name) - axis
        return None

    def step_back(self, leaf: Any, event_ndim: int | None) -> Any:
        """A leaf of the carry after a step as the next step sees it.

        :param event_ndim: the number of its rightmost dimensions that belong to an event.
        :raises ValueError: where it depends on variables that are too old.
        """
        shape = tuple(np.shape(leaf))
        right = 0 if event_ndim is None else event_ndim - self.start - 1
        if event_ndim is None or len(shape) <= right:
            return leaf
        own, rest = shape[: len(shape) - right], shape[len(shape) - right :]
        room = self.history * len(self.sizes)
        if any(size != 1 for size in own[: max(0, len(own) - room)]):
            names = ", ".join(f"'{name}'" for name in self.sizes)
            raise UsageError(
                f"The carry of scan depends on values of the enumerated sites {names} more than history={self.history} "
                "steps back: set history to how many steps back the body looks, or carry less."
            )
        own = own[max(0, len(own) - room) :]
        return jnp.reshape(leaf, (*own, *(1,) * len(self.sizes), *rest))


class in_steps(enum):
    """Enumerates the sites of one step, or of all steps run together.

    :param dims: the dimensions of the loop.
    :param suffix: names the variables of the step: ``"@3"`` for those of step 3.
    :param lags: the suffixes of the variables of the steps before, the newest first.
    :param is_probe: repeat the last value of each site, once for the first site, twice for the second, and so on, so
        that shapes show which dimensions are whose.
    """

    def __init__(self, dims: LoopDimensions, suffix: str, lags: tuple[str, ...], *, is_probe: bool = False) -> None:
        super().__init__(first_available_dim=dims.first)
        self._is_probe = is_probe
        self._loop, self._suffix, self._lags = dims, suffix, lags
        self._reset()

    def process_message(self, msg: Any) -> None:
        if msg["type"] == "control_flow":
            self.enters_body(msg)
            return
        super().process_message(msg)

    def _enumerate(self, msg: Any) -> Any:
        value = super()._enumerate(msg)
        if not self._is_probe:
            return value
        axis = jnp.ndim(value) + self._loop.dim(msg["name"]) - msg["fn"].event_dim
        count = list(self._loop.sizes).index(msg["name"]) + 1
        last = jnp.repeat(jnp.take(value, jnp.array([-1]), axis), count, axis)
        value = jnp.concatenate([value, last], axis)
        self._shapes[msg["name"]] = value.shape
        return value

    def _has_inner(self) -> bool:
        return False

    def _variable(self, name: str) -> str:
        return f"{name}{self._suffix}"

    def _new_dim(self, msg: Any) -> int:
        self._loop.sizes.setdefault(msg["name"], msg["fn"].enumerate_support(expand=False).shape[0])
        return self._loop.dim(msg["name"])

    def _own(self, dim: int, name: str) -> None:
        pass

    def _visible(self) -> dict[int, str]:
        names = dict(self._loop.outer)
        for name in self._loop.sizes:
            for lag, suffix in enumerate((self._suffix, *self._lags)):
                names[self._loop.dim(name, lag)] = f"{name}{suffix}"
        return names
