"""Book-keeping in one kernel: how XLA's processor backend is told to compile many small operations together.

The processor backend dispatches each operation that it has not fused as a kernel of its own, some 50 ns each, which for
the book-keeping of a trajectory adds up to more than most gradients cost. It does compile a *loop* as one kernel, if
the arrays that the loop touches are small enough and it contains nothing that calls out (sorts, factorisations).
A loop that runs once, with a bound that is known at run time only, is therefore a kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array

T = TypeVar("T")

LARGE_PRODUCT = 8192
"""A product with a matrix of so many entries is faster outside of a kernel."""


def in_one_kernel(update: Callable[..., T], state: T, one: Any, *args: Any) -> T:
    """``update(state, *args)``, by a loop that runs once on a processor.

    :param one: the number 1 as a value at run time, the same for all chains; ``None`` for a plain call.
    """
    if one is None or jax.default_backend() != "cpu":
        return update(state, *args)

    def body(carry: tuple) -> tuple:
        # Tied to the counter, nothing is invariant in the loop, and nothing is taken out of it.
        count, state, *tied = lax.optimization_barrier((*carry, *args))
        return count + 1, update(state, *tied)

    return lax.while_loop(lambda carry: carry[0] < one, body, (jnp.zeros_like(one), state))[1]


def apart_from_kernels(value: Array) -> Array:
    """The scalar ``value``, in a way that keeps the loop around it from being compiled as one kernel.

    Inside such a kernel a product with a large matrix is a plain loop, which takes twice as long as the call to a
    library that it would be otherwise.
    """
    if jax.default_backend() != "cpu":
        return value
    return lax.sort(jnp.stack([value, value]), is_stable=False)[0]
