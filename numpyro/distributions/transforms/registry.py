"""``biject_to``: from a constraint to the transform that maps the real numbers onto its set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpyro.distributions.constraints import Constraint, is_dependent
from numpyro.distributions.transforms.base import Transform

Factory = Callable[[Any], Transform]


class ConstraintRegistry:
    """A table from classes of constraints to functions that make a transform from a constraint.

    >>> from numpyro.distributions import constraints
    >>> from numpyro.distributions.transforms import SoftplusTransform, biject_to
    >>> biject_to(constraints.positive)
    ExpTransform(domain=Real())
    >>> class Price(constraints.ParameterFreeConstraint):
    ...     def __call__(self, x):
    ...         return x > 0
    >>> @biject_to.register(Price)
    ... def _(constraint):
    ...     return SoftplusTransform()
    >>> biject_to(Price())
    SoftplusTransform()
    """

    def __init__(self) -> None:
        self._registry: dict[type[Constraint], Factory] = {}

    def register(self, constraint: type[Constraint] | Constraint, factory: Factory | None = None) -> Any:
        """Register ``factory`` for the class of ``constraint``; without a factory, return a decorator that does.

        :param constraint: a class of constraints, or an instance of it. Its subclasses need factories of their own.
        :param factory: function of a constraint that returns a :class:`Transform`.
        :return: ``factory``.
        :raises TypeError: when ``constraint`` is neither.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        kind = constraint if isinstance(constraint, type) else type(constraint)
        if not issubclass(kind, Constraint):
            raise TypeError(f"register expects a Constraint or a class of constraints, but got {constraint!r}.")
        self._registry[kind] = factory
        return factory

    def __call__(self, constraint: Constraint) -> Transform:
        """Return the transform onto the set of ``constraint``.

        :raises NotImplementedError: when there is none.
        """
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(_why_not(constraint))
        return factory(constraint)


def _why_not(constraint: Any) -> str:
    if not isinstance(constraint, Constraint):
        return f"biject_to expects a Constraint, but got {constraint!r}."
    begin = f"no bijection from the real numbers onto {constraint!r} is registered"
    if is_dependent(constraint):
        return f"{begin}, for which set this is depends on parameters: use the support of an instance."
    if constraint.is_discrete:
        return (
            f"{begin}, and there can be none, for the set is discrete. Marginalise such a variable out (by enumeration,"
            " or by hand), observe it, or use a kernel that samples discrete variables."
        )
    return (
        f"{begin}. Register one with @biject_to.register({type(constraint).__name__}) on a function that takes the"
        " constraint and returns a Transform."
    )


biject_to = ConstraintRegistry()
