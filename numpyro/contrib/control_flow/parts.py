"""Arrays that stand around a loop, as the parts of its sites need them.

A mask or scale around a loop broadcasts with the batch shape of a site at all steps, :math:`(T, *B)`. Where discrete
sites are summed out, the messages that leave the loop may be of some of the steps only, and have further dimensions
between those of time and of :math:`B`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from numpyro._errors import UsageError


@dataclass(frozen=True, eq=False)
class Part:
    """The steps of a loop that a message of a site is of.

    :param name: the name of the site.
    :param length: the number of all steps.
    :param steps: the position of the step, or the steps, in the order in which they run.
    :param is_reversed: whether the last entry runs first.
    :param ndim: the number of batch dimensions that the site has at one step without enumeration.
    :param rank: the number of those that the message has at one step.
    :param inner: the same for a loop in the body that the site comes from.
    """

    name: str
    length: int
    steps: int | slice
    is_reversed: bool
    ndim: int
    rank: int
    inner: Callable[[Any], Any] | None = None

    def __call__(self, array: Any) -> Any:
        """What an array that broadcasts with the whole site is to be multiplied with the message by."""
        shape = np.shape(array)
        inner = self.inner or (lambda entry: entry)
        if len(shape) <= self.ndim:
            return inner(array)
        if len(shape) > self.ndim + 1 or shape[0] not in (1, self.length):
            raise UsageError(
                f"The mask or scale of shape {shape} around a scan does not fit its site '{self.name}', of "
                f"{self.ndim} batch dimensions in the body: it must broadcast with these, the same at each step, or "
                f"have an axis of size {self.length} in front of them, for the steps."
            )
        if shape[0] == 1:
            return inner(array[0])
        part = array[::-1][self.steps] if self.is_reversed else array[self.steps]
        if isinstance(self.steps, int):
            return inner(part)
        if self.inner is not None:
            part = jax.vmap(inner)(part)
        lead, *rest = part.shape
        return part.reshape((lead, *(1,) * (self.rank - len(rest)), *rest))


def uncounted(array: Any) -> None:
    """Nothing: the density of the site is that of its parts."""


def ndim_in_body(site: Any, first_enumerated: int) -> int:
    """The number of batch dimensions that a site would have in the body of a loop without enumeration.

    :param first_enumerated: the first dimension that enumerated sites take.
    """
    part = site.get("_part")
    if isinstance(part, Part):
        return part.ndim + 1
    room = -1 - first_enumerated
    shape = tuple(site["fn"].batch_shape)[-room:] if room else ()
    least = next((len(shape) - axis for axis, size in enumerate(shape) if size != 1), 0)
    return max([least, *(-frame.dim for frame in site["cond_indep_stack"])])
