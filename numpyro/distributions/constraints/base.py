"""What every constraint is, and how membership is decided without compiling anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import ArrayLike
from numpyro.distributions._record import Record


class Constraint(Record):
    r"""A subset :math:`C \subseteq \mathbb{R}^{n_1 \times \dots \times n_d}` in which a variable lives.

    A constraint on single numbers has ``event_dim = 0``; one on vectors or matrices judges the last ``event_dim``
    dimensions together. Users define their own by subclassing::

        class Even(Constraint):
            is_discrete = True

            def __call__(self, x):
                return x % 2 == 0

            def feasible_like(self, prototype):
                return jnp.zeros_like(prototype)

    :ivar is_discrete: whether the set is discrete.
    :ivar event_dim: number of rightmost dimensions that make up one element of the set.
    """

    is_discrete: bool | Any = False
    event_dim: int | Any = 0

    def __call__(self, x: Any) -> Any:
        """Say which elements lie in the set.

        :param x: array of shape ``batch_shape + event_shape``.
        :return: booleans of shape ``batch_shape``: a numpy array for a numpy ``x``, a JAX array for a JAX one.
        """
        raise NotImplementedError(f"{type(self).__name__} must define __call__(x), which says which values are inside.")

    def check(self, value: Any) -> Any:
        """Return ``self(value)``."""
        return self(value)

    def feasible_like(self, prototype: ArrayLike) -> Any:
        """Return a point of the set with the shape of ``prototype``, whose values play no part."""
        raise NotImplementedError(f"{type(self).__name__} must define feasible_like(prototype) to offer such a point.")


class ParameterFreeConstraint(Constraint):
    """A constraint without parameters: all instances of one class are equal, and none has anything to trace."""


class _SingletonConstraint(ParameterFreeConstraint):
    """A parameter-free constraint that has one instance only, through copies, pickles and JAX's transformations too."""

    _instance: ClassVar[Any] = None

    def __new__(cls) -> Self:
        if cls.__dict__.get("_instance") is None:
            cls._instance = super().__new__(cls)
        return cls.__dict__["_instance"]

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[tuple[str, ...], dict[str, Any]]]:
        return (), ((), {})


def evaluate(check: Callable[..., Any], x: Any, *bounds: Any) -> Any:
    """Return ``check(xp, x, *bounds)`` with ``xp`` numpy where all values are known, else ``jax.numpy``.

    Concrete values are judged by numpy, which compiles nothing. Floating-point bounds take the precision of ``x``, as
    they do in a log density, so that the two agree about the boundary.

    :param check: function of the array namespace, ``x`` and the bounds.
    :param x: the values to judge.
    :param bounds: parameters of the set.
    :return: what ``check`` returns; as a JAX array if some argument is one and no tracing is under way.
    """
    if not all(map(_is_known, (x, *bounds))):
        return check(jnp, jnp.asarray(x), *map(jnp.asarray, bounds))
    values = np.asarray(x)
    with np.errstate(all="ignore"):
        result = check(np, values, *(_in_precision_of(values, np.asarray(bound)) for bound in bounds))
    if not any(isinstance(value, jax.Array) for value in (x, *bounds)):
        return result
    on_device = jax.device_put(result)  # unlike jnp.asarray, never compiles
    return result if isinstance(on_device, jax.core.Tracer) else on_device


def _is_known(x: Any) -> bool:
    return not isinstance(x, jax.core.Tracer) and getattr(x, "is_fully_addressable", True)


def _in_precision_of(x: np.ndarray, bound: np.ndarray) -> np.ndarray:
    both_floating = jnp.issubdtype(x.dtype, jnp.floating) and jnp.issubdtype(bound.dtype, jnp.floating)
    return bound.astype(x.dtype) if both_floating and bound.dtype.itemsize > x.dtype.itemsize else bound


def float_dtype(prototype: ArrayLike) -> np.dtype:
    """Return the dtype of ``prototype`` where it is floating, else the default floating dtype."""
    dtype = jnp.result_type(prototype)
    return np.dtype(dtype if jnp.issubdtype(dtype, jnp.floating) else jnp.result_type(float))


def filled_like(prototype: ArrayLike, value: Any, dtype: Any) -> Any:
    """Broadcast ``value`` with the shape of ``prototype``; nothing is compiled unless ``value`` is traced."""
    shape = lax.broadcast_shapes(np.shape(prototype), np.shape(value))
    if not _is_known(value):
        return jnp.broadcast_to(jnp.asarray(value, dtype), shape)
    return jax.device_put(np.broadcast_to(np.asarray(value, dtype), shape))


def unit_tolerance(dtype: Any) -> float:
    """Tolerance for a quantity of order one that should be exact: sums of probabilities, norms, unit diagonals."""
    return max(1e-6, 32 * float(jnp.finfo(dtype).eps)) if jnp.issubdtype(dtype, jnp.inexact) else 1e-6
