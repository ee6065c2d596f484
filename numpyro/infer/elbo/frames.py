"""Terms that stand in different plates, and their sums over plates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp

from numpyro._typing import Array, CondIndepStackFrame

Frames = Iterable[CondIndepStackFrame]


class MultiFrameTensor(dict):
    """A sum of terms, each with the plates that it stands in, kept apart by plates.

    :param items: pairs of plates (frames of a ``cond_indep_stack``) and a term, as for :meth:`add`.

    >>> import numpy as np
    >>> from numpyro.primitives import CondIndepStackFrame
    >>> rows = CondIndepStackFrame("rows", -1, 3)
    >>> terms = MultiFrameTensor(((rows,), np.ones(3)), ((), 2.0))
    >>> float(terms.sum_to(())), terms.sum_to((rows,)).tolist()
    (5.0, [3.0, 3.0, 3.0])
    """

    def __init__(self, *items: tuple[Frames, Any]) -> None:
        super().__init__()
        self.add(*items)

    def add(self, *items: tuple[Frames, Any]) -> None:
        """Add terms.

        :param items: pairs of plates and an array whose batch dimensions are those of the plates.
        """
        for frames, term in items:
            key = frozenset(frames)
            self[key] = self[key] + term if key in self else term

    def sum_to(self, target_frames: Frames) -> Any:
        """The sum of all terms over every dimension that is none of the given plates.

        :param target_frames: the plates to keep.
        :return: an array that broadcasts against terms of these plates; ``0.0`` where there are no terms.
        """
        target = frozenset(target_frames)
        terms = [sum_to_frames(term, frames & target) for frames, term in self.items()]
        return sum(terms[1:], terms[0]) if terms else 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'({[f.name for f in frames]}, ...)' for frames in self)})"


def sum_to_frames(term: Any, frames: Frames) -> Array:
    """The sum over all dimensions but those of some plates; leading dimensions that are left without one go."""
    ndim = jnp.ndim(term)
    if ndim == 0:
        return term
    kept = {ndim + frame.dim for frame in frames if frame.dim is not None and frame.dim >= -ndim}
    over = tuple(axis for axis in range(ndim) if axis not in kept)
    term = jnp.sum(term, over, keepdims=True) if over else term
    return jnp.reshape(term, jnp.shape(term)[min(kept, default=ndim) :])


MultiFrameTensor.__module__ = "numpyro.infer.elbo"
