"""Enumerated sites in the steps of a loop."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Shape
from numpyro.enumeration.enumerating import Enumerating, support_of
from numpyro.ops.sum_product import Plate, Variable


class Chain(NamedTuple):
    """A loop over time with enumerated sites.

    :param time: the name of the axis of the steps that were run together.
    :param plate: these steps as a plate.
    :param variables: all variables of the loop.
    :param sites: the pieces of its enumerated sites, by name; of loops within it, too.
    """

    time: str
    plate: Plate
    variables: dict[str, Variable]
    sites: dict[str, Pieces]


class Pieces(NamedTuple):
    """The pieces of an enumerated site in a loop, by name, or again the pieces of a loop in its body.

    :param alone: those of single steps, in the order of time.
    :param together: that of all other steps, if there are any.
    :param is_reversed: whether the last entry comes first.
    """

    alone: tuple[str | Pieces, ...]
    together: str | Pieces | None
    is_reversed: bool


class Piece(NamedTuple):
    """A site at one or several steps of a loop, which is a site of its own.

    :param chains: the loops that it is in, the innermost first.
    :param times: the loops of whose steps it is, the innermost first: for each the number of dimensions of the log
        probability to the right of that of time, which it may lack, and the name of time.
    :param dim: the dimension of the values of an enumerated site.
    :param is_latent: whether the site is latent.
    """

    chains: tuple[Chain, ...]
    times: tuple[tuple[int, str], ...]
    dim: int | None
    is_latent: bool


class LoopDimensions:
    """The dimensions of the variables of a loop: a block for those of the running step, one for each step back.

    :param handler: the handler around the loop.
    :param history: the number of steps back that are kept.

    The variables of the step take ``start``, ``start - 1``, ...; those of ``lag`` steps back the same dimensions, moved
    to the left by ``lag`` times their number. ``sizes`` are the numbers of values of the variables, in their order;
    ``kept`` are the plates of those that loops in the body have left.
    """

    def __init__(self, handler: Enumerating, history: int) -> None:
        self.outer = handler.visible()
        self.first = handler.first_available_dim
        self.start = handler.free_dim
        self.history = history
        self.sizes: dict[str, int] = {}
        self.kept: dict[str, frozenset[str]] = {}

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

    def visible_in(self, leaf: Any, event_ndim: int) -> set[tuple[str, int]]:
        """The variables, and how many steps back they are, that a leaf has a dimension of."""
        batch = np.shape(leaf)[: np.ndim(leaf) - event_ndim]
        slots = {(name, lag): self.dim(name, lag) for name in self.sizes for lag in range(1, self.history + 1)}
        return {slot for slot, dim in slots.items() if -dim <= len(batch) and batch[dim] != 1}

    def moved(self, leaf: Any, event_ndim: int, places: dict[int, int]) -> Any:
        """A leaf with some of its dimensions, not counting those of the event, moved to other places."""
        shape = tuple(np.shape(leaf))
        batch, event = shape[: len(shape) - event_ndim], shape[len(shape) - event_ndim :]
        least = min(len(batch), -1 - self.first)
        dims = {places.get(dim, dim): dim for dim in range(-len(batch), 0) if batch[dim] != 1}
        if all(place == dim for place, dim in dims.items()):
            return leaf
        order = [len(batch) + dims[place] for place in sorted(dims)]
        ones = [axis for axis in range(len(batch)) if axis not in order]
        array = jnp.transpose(leaf, (*ones, *order, *range(len(batch), len(shape))))
        result = [1] * max(least, *(-place for place in dims))
        for place, dim in dims.items():
            result[place] = batch[dim]
        return jnp.reshape(array, (*result, *event))


class InSteps(Enumerating):
    """Enumerates the sites of one step, or of all steps run together.

    :param around: the handler around the loop.
    :param dims: the dimensions of the loop.
    :param suffix: names the variables of the step: ``"@3"`` for those of step 3.
    :param lags: the suffixes of the variables of the steps before, the newest first.
    :param time: the name of time, for all steps run together.
    :param is_probe: repeat the last value of each site, once for the first site, twice for the second, and so on, so
        that shapes show which dimensions are whose.
    """

    def __init__(
        self,
        around: Enumerating,
        dims: LoopDimensions,
        suffix: str,
        lags: tuple[str, ...],
        *,
        time: str | None = None,
        is_probe: bool = False,
    ) -> None:
        super().__init__(None, dims.first)
        self._around, self._loop, self._suffix, self._lags = around, dims, suffix, lags
        self._is_probe = is_probe
        self.times = around.times if time is None else around.times | {time}
        self.depth = around.depth + 1
        self.proposed = around.proposed

    def visible(self) -> dict[int, str]:
        names = dict(self._loop.outer)
        for name in self._loop.sizes:
            for lag, suffix in enumerate((self._suffix, *self._lags)):
                names[self._loop.dim(name, lag)] = self._around.variable(f"{name}{suffix}")
        return names

    def variable(self, name: str) -> str:
        return self._around.variable(f"{name}{self._suffix}")

    def keep(self, name: str, dim: int, size: int, plates: frozenset[str]) -> int:
        self._loop.sizes.setdefault(name, size)
        self._loop.kept[name] = plates
        return self._loop.dim(name)

    def _is_at_work(self) -> bool:
        return True

    def _new_dim(self, msg: Any) -> int:
        self._loop.sizes.setdefault(msg["name"], support_of(msg["name"], msg["fn"]).shape[0])
        return self._loop.dim(msg["name"])

    def _support(self, msg: Any) -> Any:
        values = support_of(msg["name"], msg["fn"])
        if not self._is_probe:
            return values
        self._new_dim(msg)
        count = list(self._loop.sizes).index(msg["name"]) + 1
        return jnp.concatenate([values, jnp.repeat(values[-1:], count, 0)])
