"""Numbers with bounds: half-lines and intervals."""

from __future__ import annotations

import math
from typing import Any

from numpyro._typing import ArrayLike
from numpyro.distributions._record import same
from numpyro.distributions.constraints.base import (
    Constraint,
    _SingletonConstraint,
    evaluate,
    filled_like,
    float_dtype,
)


class _GreaterThan(Constraint):
    """The numbers :math:`x > a`.

    :param lower_bound: the bound :math:`a`, a number or an array that broadcasts with ``x``.
    """

    pytree_data_fields = ("lower_bound",)
    _closed = False

    def __init__(self, lower_bound: ArrayLike) -> None:
        self.lower_bound = lower_bound

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x, low: x > low, x, self.lower_bound)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, evaluate(lambda xp, low: low + 1, self.lower_bound), float_dtype(prototype))

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, _GreaterThan) or self._closed is not other._closed:
            return False
        return same(self.lower_bound, other.lower_bound, static)


class _GreaterThanEq(_GreaterThan):
    """The numbers :math:`x \\ge a`.

    :param lower_bound: the bound :math:`a`, a number or an array that broadcasts with ``x``.
    """

    _closed = True

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x, low: x >= low, x, self.lower_bound)


class _Positive(_SingletonConstraint, _GreaterThan):
    """The numbers :math:`x > 0`."""

    eq = _GreaterThan.eq

    def __init__(self) -> None:
        super().__init__(0.0)


class _Nonnegative(_SingletonConstraint, _GreaterThanEq):
    """The numbers :math:`x \\ge 0`."""

    eq = _GreaterThan.eq

    def __init__(self) -> None:
        super().__init__(0.0)


class _SoftplusPositive(_SingletonConstraint, _GreaterThan):
    """The numbers :math:`x > 0`, reached from the real line by softplus instead of the exponential."""

    eq = _GreaterThan.eq

    def __init__(self) -> None:
        super().__init__(0.0)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, math.log(2.0), float_dtype(prototype))  # the image of zero


class _LessThan(Constraint):
    """The numbers :math:`x < b`.

    :param upper_bound: the bound :math:`b`, a number or an array that broadcasts with ``x``.
    """

    pytree_data_fields = ("upper_bound",)
    _closed = False

    def __init__(self, upper_bound: ArrayLike) -> None:
        self.upper_bound = upper_bound

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x, high: x < high, x, self.upper_bound)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, evaluate(lambda xp, high: high - 1, self.upper_bound), float_dtype(prototype))

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, _LessThan) or self._closed is not other._closed:
            return False
        return same(self.upper_bound, other.upper_bound, static)


class _LessThanEq(_LessThan):
    """The numbers :math:`x \\le b`.

    :param upper_bound: the bound :math:`b`, a number or an array that broadcasts with ``x``.
    """

    _closed = True

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x, high: x <= high, x, self.upper_bound)


class _Interval(Constraint):
    """The numbers :math:`a \\le x \\le b`.

    :param lower_bound: the bound :math:`a`, a number or an array that broadcasts with ``x``.
    :param upper_bound: the bound :math:`b`, likewise.
    """

    pytree_data_fields = ("lower_bound", "upper_bound")

    def __init__(self, lower_bound: ArrayLike, upper_bound: ArrayLike) -> None:
        self.lower_bound = lower_bound
        self.upper_bound = upper_bound

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x, low, high: (x >= low) & (x <= high), x, self.lower_bound, self.upper_bound)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        """Return the middle of the interval; where a side is unbounded, a point near the finite end, or 0."""
        middle = evaluate(_middle, self.lower_bound, self.upper_bound)
        return filled_like(prototype, middle, float_dtype(prototype))

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, _Interval):
            return False
        return same((self.lower_bound, self.upper_bound), (other.lower_bound, other.upper_bound), static)


def _middle(xp: Any, low: Any, high: Any) -> Any:
    one_end = xp.where(xp.isfinite(low), low + 1, xp.where(xp.isfinite(high), high - 1, 0 * xp.isfinite(low)))
    return xp.where(xp.isfinite(low) & xp.isfinite(high), low / 2 + high / 2, one_end)


class _OpenInterval(_Interval):
    """The numbers :math:`a < x < b`.

    :param lower_bound: the bound :math:`a`, a number or an array that broadcasts with ``x``.
    :param upper_bound: the bound :math:`b`, likewise.
    """

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x, low, high: (x > low) & (x < high), x, self.lower_bound, self.upper_bound)


class _UnitInterval(_SingletonConstraint, _Interval):
    """The numbers :math:`0 \\le x \\le 1`."""

    eq = _Interval.eq

    def __init__(self) -> None:
        super().__init__(0.0, 1.0)


class _Circular(_SingletonConstraint, _Interval):
    """Angles :math:`-\\pi \\le x \\le \\pi`."""

    eq = _Interval.eq

    def __init__(self) -> None:
        super().__init__(-math.pi, math.pi)


greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
less_than_eq = _LessThanEq
interval = _Interval
open_interval = _OpenInterval
positive = _Positive()
nonnegative = _Nonnegative()
softplus_positive = _SoftplusPositive()
unit_interval = _UnitInterval()
circular = _Circular()
