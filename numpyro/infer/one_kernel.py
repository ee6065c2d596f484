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
import numpy as np
from jax import lax

from numpyro._typing import Array, Key

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


def compute_in_one_kernel(fn: Callable[..., T], one: Any, rng_key: Key, *args: Any) -> T:
    """``fn(rng_key, *args)`` as one kernel: what an iteration draws, say, in place of dozens of small operations.

    :param fn: a pure function; keys among its results are of the kind of ``rng_key``.
    :param one: see :func:`in_one_kernel`.
    """

    def blank(shape: jax.ShapeDtypeStruct) -> Array:
        is_key = jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key)
        return rng_key if is_key else jnp.zeros(shape.shape, shape.dtype)

    nothing = jax.tree.map(blank, jax.eval_shape(fn, rng_key, *args))
    return in_one_kernel(lambda _, *args: fn(*args), nothing, one, rng_key, *args)


def one_at_run_time(rng_key: Key) -> Array:
    """The number 1, from a key, in a way that no compiler sees through."""
    is_typed = jax.dtypes.issubdtype(rng_key.dtype, jax.dtypes.prng_key)
    words = jnp.ravel(jax.random.key_data(rng_key) if is_typed else rng_key)
    return jnp.minimum(words[0] | np.uint32(1), np.uint32(1)).astype(jnp.int32)


def apart_from_kernels(value: Array) -> Array:
    """The scalar ``value``, in a way that keeps the loop around it from being compiled as one kernel.

    Inside such a kernel a product with a large matrix is a plain loop, which takes twice as long as the call to a
    library that it would be otherwise.
    """
    if jax.default_backend() != "cpu":
        return value
    return lax.sort(jnp.stack([value, value]), is_stable=False)[0]
