"""Whole numbers, and vectors of counts."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from numpyro._typing import ArrayLike
from numpyro.distributions._record import same
from numpyro.distributions.constraints.base import Constraint, _SingletonConstraint, evaluate, filled_like


def _is_integer(xp: Any, x: Any) -> Any:
    if not xp.issubdtype(x.dtype, np.inexact):
        return xp.ones(x.shape, bool)
    return xp.isfinite(x) & (x == xp.floor(x))


def _integer_dtype(prototype: ArrayLike) -> Any:
    dtype = jnp.result_type(prototype)
    return dtype if jnp.issubdtype(dtype, jnp.integer) else jnp.result_type(int)


class _Boolean(_SingletonConstraint):
    r"""The two numbers :math:`\{0, 1\}`, of any dtype."""

    is_discrete = True

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x: (x == 0) | (x == 1), x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, 0, jnp.result_type(prototype))


class _IntegerInterval(Constraint):
    r"""The whole numbers :math:`a \le x \le b`.

    :param lower_bound: the bound :math:`a`, a number or an array that broadcasts with ``x``.
    :param upper_bound: the bound :math:`b`, likewise.
    """

    is_discrete = True
    pytree_data_fields = ("lower_bound", "upper_bound")

    def __init__(self, lower_bound: ArrayLike, upper_bound: ArrayLike) -> None:
        self.lower_bound = lower_bound
        self.upper_bound = upper_bound

    def __call__(self, x: Any) -> Any:
        return evaluate(
            lambda xp, x, low, high: (x >= low) & (x <= high) & _is_integer(xp, x),
            x,
            self.lower_bound,
            self.upper_bound,
        )

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, self.lower_bound, _integer_dtype(prototype))


class _IntegerGreaterThan(Constraint):
    r"""The whole numbers :math:`x \ge a`.

    :param lower_bound: the least of them, a number or an array that broadcasts with ``x``.
    """

    is_discrete = True
    pytree_data_fields = ("lower_bound",)

    def __init__(self, lower_bound: ArrayLike) -> None:
        self.lower_bound = lower_bound

    def __call__(self, x: Any) -> Any:
        return evaluate(lambda xp, x, low: (x >= low) & _is_integer(xp, x), x, self.lower_bound)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, self.lower_bound, _integer_dtype(prototype))

    def eq(self, other: object, static: bool = False) -> Any:
        return isinstance(other, _IntegerGreaterThan) and same(self.lower_bound, other.lower_bound, static)


class _IntegerPositive(_SingletonConstraint, _IntegerGreaterThan):
    r"""The whole numbers :math:`1, 2, \dots`."""

    eq = _IntegerGreaterThan.eq

    def __init__(self) -> None:
        super().__init__(1)


class _IntegerNonnegative(_SingletonConstraint, _IntegerGreaterThan):
    r"""The whole numbers :math:`0, 1, 2, \dots`."""

    eq = _IntegerGreaterThan.eq

    def __init__(self) -> None:
        super().__init__(0)


class _Multinomial(Constraint):
    r"""Vectors of counts :math:`x_i \in \{0, 1, \dots\}` with :math:`\sum_i x_i = n`.

    :param upper_bound: the total :math:`n`, a number or an array of the batch's shape.
    """

    is_discrete = True
    event_dim = 1
    pytree_data_fields = ("upper_bound",)

    def __init__(self, upper_bound: ArrayLike) -> None:
        self.upper_bound = upper_bound

    def __call__(self, x: Any) -> Any:
        def check(xp: Any, x: Any, total: Any) -> Any:
            return ((x >= 0) & _is_integer(xp, x)).all(axis=-1) & (x.sum(axis=-1) == total)

        return evaluate(check, x, self.upper_bound)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        first = np.eye(1, np.shape(prototype)[-1], dtype=int)[0]
        counts = evaluate(lambda xp, total: total[..., None] * first, self.upper_bound)
        return filled_like(prototype, counts, _integer_dtype(prototype))


integer_interval = _IntegerInterval
integer_greater_than = _IntegerGreaterThan
multinomial = _Multinomial
boolean = _Boolean()
positive_integer = _IntegerPositive()
nonnegative_integer = _IntegerNonnegative()
