"""Constraints made of others: independent copies, concatenations, and those that are known only per instance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import ArrayLike
from numpyro.distributions.constraints.base import (
    Constraint,
    _SingletonConstraint,
    evaluate,
    filled_like,
    float_dtype,
    unit_tolerance,
)
from numpyro.distributions.constraints.real import real


class _IndependentConstraint(Constraint):
    r"""A constraint that holds for all elements along some batch dimensions, which so become event dimensions.

    :math:`\{x : x_i \in C \text{ for all } i\}` with the base constraint :math:`C`.

    :param base_constraint: the constraint :math:`C` on one element; where it is itself independent, the two merge into
        one.
    :param reinterpreted_batch_ndims: how many dimensions more make up an event.
    :raises UsageError: when an argument is of the wrong kind.

    >>> import numpy as np
    >>> from numpyro.distributions import constraints
    >>> constraints.independent(constraints.positive, 1)(np.array([[1.0, 2.0], [1.0, -2.0]]))
    array([ True, False])
    """

    pytree_data_fields = ("base_constraint",)
    pytree_aux_fields = ("reinterpreted_batch_ndims",)

    def __init__(self, base_constraint: Constraint, reinterpreted_batch_ndims: int) -> None:
        if not isinstance(base_constraint, Constraint):
            raise UsageError(f"base_constraint must be a Constraint, but it is {base_constraint!r}.")
        if not isinstance(reinterpreted_batch_ndims, int | np.integer) or reinterpreted_batch_ndims < 0:
            raise UsageError(
                "reinterpreted_batch_ndims must be an integer that is not negative, but it is"
                f" {reinterpreted_batch_ndims!r}."
            )
        if isinstance(base_constraint, _IndependentConstraint):
            reinterpreted_batch_ndims += base_constraint.reinterpreted_batch_ndims
            base_constraint = base_constraint.base_constraint
        self.base_constraint: Constraint = base_constraint
        self.reinterpreted_batch_ndims: int = int(reinterpreted_batch_ndims)

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return self.base_constraint.is_discrete

    def __call__(self, x: Any) -> Any:
        if np.ndim(x) < self.event_dim:
            raise ValueError(
                f"{self!r} judges arrays of {self.event_dim} dimensions or more, but the value has shape {np.shape(x)}."
            )
        return all_rightmost(self.base_constraint(x), self.reinterpreted_batch_ndims)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return self.base_constraint.feasible_like(prototype)

    def eq(self, other: object, static: bool = False) -> Any:
        if not isinstance(other, _IndependentConstraint):
            return False
        if self.reinterpreted_batch_ndims != other.reinterpreted_batch_ndims:
            return False
        return self.base_constraint.eq(other.base_constraint, static=static)

    def __repr__(self) -> str:
        name = type(self).__name__.lstrip("_")
        return f"{name}({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


def all_rightmost(inside: Any, ndims: int) -> Any:
    """Reduce booleans with 'and' over the last ``ndims`` dimensions."""
    if ndims == 0:
        return inside
    return evaluate(lambda xp, b: b.all(axis=tuple(range(-ndims, 0))), inside)


class _RealVector(_SingletonConstraint, _IndependentConstraint):
    r"""Vectors of finite real numbers, :math:`\mathbb{R}^n`."""

    eq = _IndependentConstraint.eq

    def __init__(self) -> None:
        super().__init__(real, 1)


class _RealMatrix(_SingletonConstraint, _IndependentConstraint):
    r"""Matrices of finite real numbers, :math:`\mathbb{R}^{m \times n}`."""

    eq = _IndependentConstraint.eq

    def __init__(self) -> None:
        super().__init__(real, 2)


class _Cat(Constraint):
    r"""Different constraints on consecutive pieces of an array along one dimension.

    :math:`\{(x_1, \dots, x_m) : x_j \in C_j\}` with pieces :math:`x_j` and constraints :math:`C_j`.

    Pieces that are judged as vectors or matrices make the whole be judged so: its ``event_dim`` is the largest among
    the parts'. Where ``dim`` is one of these event dimensions, all pieces must be inside; otherwise the answers stand
    side by side along ``dim``.

    :param cseq: the constraints :math:`C_j`, in order.
    :param dim: the dimension along which the array is cut.
    :param lengths: how long each piece is along ``dim``; 1 each by default.
    :raises UsageError: when there is no constraint, something else than a constraint, or a length too few or too many.
    """

    pytree_data_fields = ("cseq",)
    pytree_aux_fields = ("dim", "lengths")

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Sequence[int] | None = None) -> None:
        self.cseq, self.lengths = checked_parts("cseq", cseq, Constraint, lengths)
        self.dim = dim

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return max(c.event_dim for c in self.cseq)

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return any(c.is_discrete for c in self.cseq)

    def __call__(self, x: Any) -> Any:
        event_dim = self.event_dim
        pieces = cut(x, self.dim, self.lengths)
        inside = [all_rightmost(c(v), event_dim - c.event_dim) for c, v in zip(self.cseq, pieces, strict=True)]
        axis = batch_axis(self.dim, np.ndim(x), event_dim)
        if axis is None:
            return evaluate(lambda xp, *parts: xp.stack(parts).all(axis=0), *inside)
        return evaluate(lambda xp, *parts: xp.concatenate(parts, axis=axis), *inside)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        pieces = cut(np.zeros(np.shape(prototype), jnp.result_type(prototype)), self.dim, self.lengths)
        points = [c.feasible_like(piece) for c, piece in zip(self.cseq, pieces, strict=True)]
        return jnp.concatenate(points, axis=self.dim)

    def __repr__(self) -> str:
        return f"Cat({self.cseq!r}, dim={self.dim}, lengths={self.lengths})"


def checked_parts(
    name: str, parts: Sequence[Any], kind: type, lengths: Sequence[int] | None
) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Check the arguments of a concatenation; return the parts and their lengths as tuples."""
    parts = tuple(parts)
    if not parts:
        raise UsageError(f"{name} must hold one {kind.__name__} or more, but it is empty.")
    for part in parts:
        if not isinstance(part, kind):
            raise UsageError(f"{name} must hold {kind.__name__} instances only, but it holds {part!r}.")
    lengths = (1,) * len(parts) if lengths is None else tuple(int(n) for n in lengths)
    if len(lengths) != len(parts):
        raise UsageError(f"lengths must have one entry for each of the {len(parts)} in {name}, but it is {lengths}.")
    return parts, lengths


def cut(x: Any, dim: int, lengths: Sequence[int]) -> list[Any]:
    """Cut ``x`` along ``dim`` into pieces of the given lengths, which must fill it."""
    if not isinstance(x, jax.Array | np.ndarray):
        x = np.asarray(x)
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"an array of shape {x.shape} cannot be cut along its dimension {dim}.")
    if x.shape[dim] != sum(lengths):
        raise ValueError(
            f"the pieces of lengths {tuple(lengths)} fill {sum(lengths)}, but the value, whose shape is {x.shape},"
            f" has size {x.shape[dim]} along dimension {dim}."
        )
    before = (slice(None),) * (dim % x.ndim)
    ends = np.cumsum(lengths).tolist()
    return [x[(*before, slice(end - n, end))] for n, end in zip(lengths, ends, strict=True)]


def batch_axis(dim: int, ndim: int, event_dim: int) -> int | None:
    """Return which axis ``dim`` is once the event dimensions are gone; ``None`` when it is one of these."""
    axis = dim % ndim
    return axis if axis < ndim - event_dim else None


class _ZeroSum(Constraint):
    r"""Arrays that sum to zero along each of their last dimensions.

    :math:`\{x \in \mathbb{R}^{n_1 \times \dots \times n_d} : \sum_{i_k} x_{i_1 \dots i_d} = 0 \text{ for each } k\}`

    :param event_dim: the number :math:`d` of these dimensions.
    """

    pytree_aux_fields = ("_event_dim",)

    def __init__(self, event_dim: int = 1) -> None:
        self._event_dim = event_dim

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return self._event_dim

    def __call__(self, x: Any) -> Any:
        def check(xp: Any, x: Any) -> Any:
            axes = tuple(range(-self._event_dim, 0))
            tolerance = unit_tolerance(x.dtype) * (1 + abs(x).sum(axis=axes))
            inside = xp.isfinite(tolerance)
            for axis in axes:
                others = tuple(range(-self._event_dim + 1, 0))
                inside = inside & (abs(x.sum(axis=axis)).max(axis=others, initial=0) < tolerance)
            return inside

        return evaluate(check, x)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        return filled_like(prototype, 0, float_dtype(prototype))

    def __repr__(self) -> str:
        return f"ZeroSum(event_dim={self._event_dim})"


class _Dependent(Constraint):
    r"""A support that depends on the parameters of a distribution, of which the class therefore knows only parts.

    :math:`C(\theta)`, a set that only the parameters :math:`\theta` of an instance determine.

    Called without a value, an instance returns a copy about which more is known.

    :param is_discrete: whether the set is discrete, where this is known.
    :param event_dim: the number of event dimensions, where this is known.
    """

    pytree_aux_fields = ("_is_discrete", "_event_dim")

    def __init__(self, *, is_discrete: bool | None = None, event_dim: int | None = None) -> None:
        self._is_discrete = is_discrete
        self._event_dim = event_dim

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        if self._is_discrete is None:
            raise NotImplementedError(_unknown("is_discrete"))
        return self._is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        if self._event_dim is None:
            raise NotImplementedError(_unknown("event_dim"))
        return self._event_dim

    def __call__(self, x: Any = None, *, is_discrete: bool | None = None, event_dim: int | None = None) -> Any:
        if x is not None:
            raise ValueError(
                "which values are inside a dependent constraint is known only from an instance of the distribution: ask"
                " the instance's support."
            )
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is None else is_discrete,
            event_dim=self._event_dim if event_dim is None else event_dim,
        )

    def __repr__(self) -> str:
        return "Dependent()"


def _unknown(what: str) -> str:
    return f".{what} cannot be determined statically: declare it, as in dependent(is_discrete=False, event_dim=0)."


class dependent_property(property, _Dependent):
    r"""A property that returns a constraint, and on the class says what is known of it without an instance.

    :math:`C(\theta)`, where :math:`\theta` is the instance.

    :param fn: the function of ``self`` that returns the constraint :math:`C(\theta)`.
    :param is_discrete: whether the set is discrete, where this is known.
    :param event_dim: the number of event dimensions, where this is known.

    >>> from numpyro.distributions import constraints
    >>> class Ray:
    ...     low = 1.0
    ...     @constraints.dependent_property(is_discrete=False, event_dim=0)
    ...     def support(self):
    ...         return constraints.greater_than(self.low)
    >>> Ray.support.event_dim, Ray().support
    (0, GreaterThan(lower_bound=1.0))
    """

    def __init__(
        self,
        fn: Callable[[Any], Any] | None = None,
        *,
        is_discrete: bool | None = None,
        event_dim: int | None = None,
    ) -> None:
        property.__init__(self, fn)
        _Dependent.__init__(self, is_discrete=is_discrete, event_dim=event_dim)

    def __call__(self, x: Any) -> Any:  # type: ignore[override]
        """Attach the function ``x``, which makes ``dependent_property(event_dim=1)`` a decorator."""
        if not callable(x):
            return super().__call__(x)
        return type(self)(x, is_discrete=self._is_discrete, event_dim=self._event_dim)

    def __repr__(self) -> str:
        return "dependent_property()"


def is_dependent(constraint: Any) -> bool:
    """Say whether a constraint is known only from an instance of its distribution."""
    return isinstance(constraint, _Dependent)


independent = _IndependentConstraint
cat = _Cat
zero_sum = _ZeroSum
dependent = _Dependent()
real_vector = _RealVector()
real_matrix = _RealMatrix()
