"""One line of the table of distribution families."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import numpyro.distributions as dist


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One line of the table.

    ``make(**params, **static)`` is a batch of ``batch_size`` distributions; every array in ``params`` has the batch
    as its first dimension. ``reference(*params of one member, **static)`` is an object with methods ``logpdf`` or
    ``logpmf`` and, where it has them, ``cdf``, ``ppf``, ``mean``, ``var``, ``entropy``. ``marginals`` of the same
    arguments lists such objects for the components of a vector event. ``lacks`` names what the family does not offer.
    """

    make: Callable[..., dist.Distribution]
    params: dict[str, Any]
    reference: Callable[..., Any] | None = None
    marginals: Callable[..., list[Any]] | None = None
    static: dict[str, Any] = dataclasses.field(default_factory=dict)
    lacks: frozenset[str] = frozenset()
    floating_draws: bool = False  # whole numbers, drawn as floating ones
    loose: float = 1.0  # factor on the tolerance of comparisons with the reference

    def __str__(self) -> str:
        name = getattr(self.make, "__name__", str(self.make))
        return f"{name}-{'-'.join(self.params)}"

    @property
    def batch_size(self) -> int:
        return len(next(iter(self.params.values())))

    def arrays(self, dtype: str) -> dict[str, np.ndarray]:
        """The parameters, floating ones in the given precision."""
        arrays = {name: np.asarray(value) for name, value in self.params.items()}
        ints = np.int64 if dtype == "float64" else np.int32
        return {k: v.astype(dtype if np.issubdtype(v.dtype, np.floating) else ints) for k, v in arrays.items()}

    def build(self, params: dict[str, Any], **kwargs: Any) -> dist.Distribution:
        return self.make(**params, **self.static, **kwargs)

    def members(self, maker: Callable[..., Any]) -> list[Any]:
        """``maker`` applied to the parameters of each member of the batch."""
        arrays = {name: np.asarray(value) for name, value in self.params.items()}
        return [maker(*(v[i] for v in arrays.values()), **self.static) for i in range(self.batch_size)]

    @functools.cached_property
    def references(self) -> list[Any]:
        return self.members(self.reference) if self.reference else []

    @functools.cached_property
    def example(self) -> dist.Distribution:
        """The distribution with its parameters concrete, in single precision."""
        return self.build(self.arrays("float32"))

    def has(self, *names: str) -> bool:
        return not self.lacks & set(names)


def batch(**params: Any) -> dict[str, Any]:
    """Parameters of a case: for each a sequence of one value per member of the batch."""
    return {name: np.asarray(value) for name, value in params.items()}
