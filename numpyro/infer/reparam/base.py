"""What a reparametrization strategy is, and how it deals with distributions inside others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from numpyro._errors import UsageError
from numpyro.distributions.distribution import (
    Distribution,
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
    TransformedDistribution,
)
from numpyro.distributions.transforms import Transform


class Reparam(ABC):
    """A strategy that rewrites a random variable in terms of auxiliary ones.

    Subclasses implement ``__call__``, which :class:`numpyro.handlers.reparam` calls in place of the sample statement.
    """

    __module__ = "numpyro.infer.reparam"

    @abstractmethod
    def __call__(self, name: str, fn: Distribution, obs: Any) -> tuple[Distribution | None, Any]:
        """Sample the auxiliary variables and compute the value.

        :param name: the name of the site.
        :param fn: its distribution.
        :param obs: its value, if it has one already, else ``None``.
        :return: ``(None, value)`` where the auxiliary variables determine the value, which then becomes a deterministic
            site; else ``(new_fn, value)``, a new distribution and its observed value or ``None``.
        """

    def _reject_observed(self, name: str, obs: Any) -> None:
        if obs is not None:
            raise UsageError(
                f"{type(self).__name__} does not support observe statements, but the site '{name}' has a value "
                "(an observation or a substitution within the reparametrization); leave the site out of the config."
            )

    def _unsupported(self, name: str, fn: Distribution, expected: str) -> UsageError:
        return UsageError(
            f"{type(self).__name__} needs {expected}, but the site '{name}' has {type(fn).__name__}; "
            "leave the site out of the config."
        )


Wrapper = Callable[[Distribution], Distribution]


def unwrap(fn: Distribution) -> tuple[Distribution, Wrapper]:
    """Take the wrappers (expanded, independent, masked) off a distribution.

    :param fn: the distribution.
    :return: the distribution within, and a function that puts the same wrappers on another one of the same batch shape.
    """
    wrappers: list[Wrapper] = []
    while isinstance(fn, ExpandedDistribution | Independent | MaskedDistribution):
        wrappers.append(_wrapper(fn))
        fn = fn.base_dist

    def wrap(other: Distribution) -> Distribution:
        for wrapper in reversed(wrappers):
            other = wrapper(other)
        return other

    return fn, wrap


def transformed(fn: Distribution, transform: Transform) -> Distribution:
    """The distribution of ``transform`` of the variable; a mask leaves out the Jacobian along with the density."""
    if isinstance(fn, MaskedDistribution):
        return transformed(fn.base_dist, transform).mask(fn._mask)
    return TransformedDistribution(fn, transform)


def _wrapper(fn: Any) -> Wrapper:
    if isinstance(fn, ExpandedDistribution):
        return lambda other: other.expand(fn.batch_shape)
    if isinstance(fn, Independent):
        return lambda other: other.to_event(fn.reinterpreted_batch_ndims)
    return lambda other: other.mask(fn._mask)
