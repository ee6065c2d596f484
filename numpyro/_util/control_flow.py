"""Loops and branches that are JAX primitives, or plain Python where the caller asks for that.

Inside :func:`control_flow_prims_disabled` the functions of this file run Python statements on the values that they are
given, so that a program can be stepped through in a debugger and its values printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import jax
from jax import lax

Carry = TypeVar("Carry")
Result = TypeVar("Result")

# One value per thread and per asynchronous task, so that one thread may debug while others stay compiled.
_PRIMITIVES_DISABLED: ContextVar[bool] = ContextVar("control_flow_prims_disabled", default=False)


@contextmanager
def control_flow_prims_disabled() -> Iterator[None]:
    """Run :func:`cond`, :func:`while_loop` and :func:`fori_loop` as plain Python, and :func:`maybe_jit` without jit.

    The setting holds in the thread that enters the context, until it leaves.

    >>> with control_flow_prims_disabled():
    ...     fori_loop(0, 3, lambda i, visited: visited + [i], [])
    [0, 1, 2]
    """
    token = _PRIMITIVES_DISABLED.set(True)
    try:
        yield
    finally:
        _PRIMITIVES_DISABLED.reset(token)


def cond(
    pred: Any,
    true_operand: Any,
    true_fun: Callable[[Any], Result],
    false_operand: Any,
    false_fun: Callable[[Any], Result],
) -> Result:
    """Return ``true_fun(true_operand)`` where ``pred`` holds, else ``false_fun(false_operand)``.

    :param pred: a boolean scalar.
    :param true_operand: argument of ``true_fun``, any pytree.
    :param true_fun: the branch taken when ``pred`` is true.
    :param false_operand: argument of ``false_fun``, any pytree.
    :param false_fun: the branch taken otherwise; both branches return the same structure, shapes and dtypes.
    :return: what the chosen branch returns.
    """
    if _PRIMITIVES_DISABLED.get():
        return true_fun(true_operand) if pred else false_fun(false_operand)
    return lax.cond(pred, lambda t, f: true_fun(t), lambda t, f: false_fun(f), true_operand, false_operand)


def while_loop(cond_fun: Callable[[Carry], Any], body_fun: Callable[[Carry], Carry], init_val: Carry) -> Carry:
    """Apply ``body_fun`` to the carried value for as long as ``cond_fun`` of it is true.

    :param cond_fun: maps the carried value to a boolean scalar.
    :param body_fun: maps the carried value to the next one, of the same structure, shapes and dtypes.
    :param init_val: the first carried value, any pytree.
    :return: the last carried value.
    """
    if _PRIMITIVES_DISABLED.get():
        value = init_val
        while cond_fun(value):
            value = body_fun(value)
        return value
    return lax.while_loop(cond_fun, body_fun, init_val)


def fori_loop(lower: Any, upper: Any, body_fun: Callable[[Any, Carry], Carry], init_val: Carry) -> Carry:
    """Apply ``value = body_fun(i, value)`` for ``i`` in ``lower, ..., upper - 1``.

    :param lower: first index (inclusive), an integer scalar.
    :param upper: last index (exclusive), an integer scalar.
    :param body_fun: maps an index and the carried value to the next value.
    :param init_val: the first carried value, any pytree.
    :return: the last carried value.
    """
    if _PRIMITIVES_DISABLED.get():
        value = init_val
        for i in range(int(lower), int(upper)):
            value = body_fun(i, value)
        return value
    return lax.fori_loop(lower, upper, body_fun, init_val)


def maybe_jit(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Return ``jax.jit(fn, *args, **kwargs)``, or ``fn`` itself inside :func:`control_flow_prims_disabled`."""
    if _PRIMITIVES_DISABLED.get():
        return fn
    return jax.jit(fn, *args, **kwargs)
