"""The handler that enumerates the sites of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpyro._errors import UsageError
from numpyro.enumeration.contexts import visible_frames
from numpyro.enumeration.enumerating import Enumerating, support_of
from numpyro.primitives.stack import _PYRO_STACK


def is_enumerable(msg: Any) -> bool:
    """Whether a message is of a latent site with a finite support."""
    return msg["type"] == "sample" and not msg["is_observed"] and msg["fn"].has_enumerate_support


class enum(Enumerating):
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
        super().__init__(fn, first_available_dim)

    def __enter__(self) -> Any:
        self._forget()
        return super().__enter__()

    def _forget(self) -> None:
        super()._forget()
        self._outside: dict[int, str] = {}

    def adopt(self, dims: Mapping[str, int], proposed: Mapping[str, str] | None = None) -> None:
        """Take note of sites that another handler has enumerated, whose values this run of a model is given.

        New sites are then enumerated to the left of theirs.

        :param dims: the dimensions of the sites, by name.
        :param proposed: for sites in loops, by name, what the other run calls the time of the loop. They are enumerated
            anew, marked or not.
        """
        self._adopted = dict(dims)
        self.proposed = dict(proposed or {})

    def visible(self) -> dict[int, str]:
        names = dict(self._outside)
        for frame in visible_frames():
            names.update(frame.of(self))
        return names

    def variable(self, name: str) -> str:
        return name

    def keep(self, name: str, dim: int, size: int, plates: frozenset[str]) -> int:
        self._own(dim, name)
        return dim

    def _own(self, dim: int, name: str) -> None:
        frames = visible_frames()
        (frames[-1].of(self) if frames else self._outside)[dim] = name
        self._owners[dim] = name

    def _new_dim(self, msg: Any) -> int:
        batch_shape, taken = msg["fn"].batch_shape, self.visible()
        dim = min([self.first_available_dim + 1, *self._adopted.values()]) - 1
        # A dimension that the distribution itself has is of a variable that it depends on, whatever the contexts say.
        while dim in taken or (-dim <= len(batch_shape) and batch_shape[dim] != 1):
            dim -= 1
        return dim

    def _support(self, msg: Any) -> Any:
        return support_of(msg["name"], msg["fn"])

    def _is_at_work(self) -> bool:
        """Whether no other such handler runs inside of this one, which then does the work."""
        for handler in reversed(_PYRO_STACK.handlers):
            if isinstance(handler, Enumerating):
                return handler is self
        return True
