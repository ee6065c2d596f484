"""Checks of what users give to a distribution: parameters, values, keys.

Everything here looks at concrete arrays with NumPy, so that it compiles nothing, and looks away from tracers, so that a
compiled program has no trace of it. Shapes are known either way.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import NumpyArray
from numpyro._util.stack import find_stack_level
from numpyro.util import is_prng_key

F = TypeVar("F", bound=Callable[..., Any])

OUT_OF_SUPPORT = "Out-of-support values provided to log prob method. The value argument should be within the support."
_SHOWN = 3  # how many of the offending values a message shows


def concrete(x: Any) -> NumpyArray | None:
    """``x`` as a NumPy array, or ``None`` where its values cannot be read: a tracer, on other hosts, no array."""
    if isinstance(x, jax.Array):
        if isinstance(x, jax.core.Tracer) or not x.is_fully_addressable:
            return None
        return None if jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended) else np.asarray(x)
    return np.asarray(x) if isinstance(x, (bool, int, float, complex, np.ndarray, np.generic)) else None


def violations(constraint: Any, x: NumpyArray) -> NumpyArray | None:
    """A boolean array, ``True`` where ``x`` violates the constraint; ``None`` where its own bounds are tracers."""
    with np.errstate(all="ignore"):
        satisfied = concrete(constraint(x))
    return None if satisfied is None else ~satisfied.astype(bool)


def failing(constraint: Any, x: NumpyArray) -> NumpyArray | None:
    """As :func:`violations`, and ``None`` where there is none."""
    bad = violations(constraint, x)
    return bad if bad is not None and bad.any() else None


def describe(x: NumpyArray, bad: NumpyArray) -> str:
    """How many events of ``x`` are bad, and the first few of them: ``"2 of 3 values (-1.0 at [0], -3.0 at [2])"``."""
    places = np.argwhere(bad)
    if bad.ndim > x.ndim or bad.shape != x.shape[: bad.ndim]:  # the bounds of the constraint have a larger shape than x
        x = np.broadcast_to(x, bad.shape + x.shape[min(bad.ndim, x.ndim) :])
    shown = []
    for place in places[:_SHOWN]:
        event = x[tuple(place)]
        text = str(event) if np.ndim(event) == 0 else np.array2string(event, threshold=8, precision=4, separator=", ")
        text = " ".join(text.split())
        shown.append(f"{text} at {place.tolist()}" if place.size else text)
    more = ", ..." if len(places) > _SHOWN else ""
    return f"{len(places)} of {bad.size} values ({', '.join(shown)}{more})"


def check_parameter(owner: Any, name: str, constraint: Any, value: Any) -> None:
    """Raise if a concrete parameter violates its constraint.

    :param owner: the distribution.
    :param name: of the parameter.
    :param constraint: that it must satisfy.
    :param value: of the parameter.
    :raises ValueError: naming the distribution, the parameter, the constraint, how many values violate it and the first
        few of them.
    """
    begin = f"{type(owner).__name__} distribution got invalid {name} parameter"
    x = concrete(value)
    if isinstance(value, (list, tuple)):
        raise TypeError(
            f"{begin}: expected {constraint!r}, a number or an array of numbers, but got a "
            f"{type(value).__name__}: make an array of it, such as numpy.array({value!r})."
        )
    if value is None or isinstance(value, str) or (x is not None and x.dtype.kind in "OSU"):
        raise TypeError(f"{begin}: expected {constraint!r}, a number or an array of numbers, but got {value!r}.")
    if x is None:
        return
    if x.ndim < constraint.event_dim:
        raise ValueError(
            f"{begin}: expected {constraint!r}, an array of at least {constraint.event_dim} dimensions, "
            f"but got shape {x.shape}."
        )
    bad = failing(constraint, x)
    if bad is not None:
        raise ValueError(f"{begin}: expected {constraint!r}, violated by {describe(x, bad)}.")


def check_order(owner: Any, low: Any, high: Any) -> None:
    """Raise if concrete parameters ``low`` are above ``high`` anywhere.

    :raises ValueError: naming the distribution, and the values of both.
    """
    least, greatest = concrete(low), concrete(high)
    if least is not None and greatest is not None and (least > greatest).any():
        raise ValueError(
            f"{type(owner).__name__} distribution got invalid low and high parameters: expected low <= high, but got "
            f"low={low} and high={high}."
        )


def check_key(owner: Any, key: Any, sample_shape: Any = ()) -> None:
    """Raise if ``key`` is not one random key, or ``sample_shape`` not a shape; every ``sample`` starts with this.

    :param owner: the distribution that samples.
    :param key: what it was given, a raw ``uint32`` key or a typed one.
    :param sample_shape: what it was given.
    :raises TypeError: naming the distribution and the shape that may have been meant.
    :raises UsageError: naming the distribution and saying how to come by a key.
    """
    if not is_prng_key(key):
        got = f"an array of shape {key.shape} and dtype {key.dtype}" if isinstance(key, jax.Array) else repr(key)
        raise UsageError(
            f"{type(owner).__name__}.sample needs one JAX random key, such as jax.random.key(0), but got {got}. "
            "Run a model under numpyro.handlers.seed(model, rng_seed=0), which hands out keys."
        )
    check_sample_shape(owner, sample_shape)


def check_sample_shape(owner: Any, sample_shape: Any) -> None:
    """Raise if ``sample_shape`` is not a tuple."""
    if not isinstance(sample_shape, tuple):
        example = (sample_shape,) if isinstance(sample_shape, int) else (3,)
        raise TypeError(
            f"{type(owner).__name__}: expected sample_shape to be a tuple of integers, such as {example}, but got "
            f"{sample_shape!r}."
        )


def check_value_shape(owner: Any, value: Any, components: bool = False) -> None:
    """Raise if a value does not fit the batch and event shape of a distribution.

    The value's rightmost dimensions must be the event shape, the others must broadcast with the batch shape.

    :param components: whether an event consists of independent components, to which one value may be broadcast.
    :raises ValueError: naming the shapes.
    """
    shape, batch_shape, event_shape = np.shape(value), owner.batch_shape, owner.event_shape
    cut = max(len(shape) - len(event_shape), 0)
    try:
        event = np.broadcast_shapes(shape[cut:], event_shape) if components else shape[cut:]
        fits = event == event_shape
        np.broadcast_shapes(shape[:cut], batch_shape)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{type(owner).__name__}.log_prob got a value of shape {shape}, which does not fit batch shape "
            f"{batch_shape} and event shape {event_shape}: expected event dimensions {event_shape} on the right, and "
            f"left of them dimensions that broadcast with {batch_shape}."
        )


def outside_support(owner: Any, value: Any) -> NumpyArray | None:
    """Warn of concrete values outside the support, and tell where they are.

    :return: boolean array over the batch dimensions of ``value``, ``True`` outside; ``None`` where the values or the
        bounds of the support cannot be read.
    """
    x = concrete(value)
    if x is None or owner.support is None:
        return None
    bad = violations(owner.support, x)
    if bad is not None and bad.any():
        where = f"{type(owner).__name__}: expected {owner.support!r}, violated by {describe(x, bad)}."
        warnings.warn(f"{OUT_OF_SUPPORT} {where}", stacklevel=find_stack_level())
    return bad


def validate_sample(log_prob_fn: F) -> F:
    """Decorate the ``log_prob(self, value)`` of a family with the checks of ``value``, where ``self`` validates.

    A value whose shape does not fit is an error. For concrete values outside the support there is a warning, and their
    log density is -inf. Values under ``jit`` cannot be looked at, and nothing is added to the program: the formulas of
    families give -inf outside the support by themselves.

    :param log_prob_fn: the method.
    :return: the method with checks.
    """
    return _with_checks(log_prob_fn, select=False)


def validate_sample_and_select(log_prob_fn: F) -> F:
    """Decorate a user's ``log_prob(self, value)`` with the checks of ``value``, where ``self`` validates.

    A value whose shape does not fit is an error. For concrete values outside the support there is a warning. Outside
    the support the log density is -inf, whatever the formula says there, under ``jit`` as well.

    :param log_prob_fn: the method.
    :return: the method with checks.
    """
    return _with_checks(log_prob_fn, select=True)


def _with_checks(log_prob_fn: F, select: bool) -> F:
    @functools.wraps(log_prob_fn)
    def log_prob(self: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._validate_args:
            return log_prob_fn(self, value, *args, **kwargs)
        check_value_shape(self, value)
        bad = outside_support(self, value)
        result = log_prob_fn(self, value, *args, **kwargs)
        if bad is None and select and self.support is not None:
            return jnp.where(self.support(value), result, -jnp.inf)
        return result if bad is None or not bad.any() else jnp.where(bad, -jnp.inf, result)

    return log_prob  # type: ignore[return-value]
