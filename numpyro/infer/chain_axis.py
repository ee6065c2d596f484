"""The axis of chains that the engine batches: what one chain's program may ask of the others.

With ``chain_method="vectorized"`` the program of one chain is mapped over an axis named :data:`CHAIN_AXIS`. Code that
runs inside may make decisions once for all chains, and share what chains learn. Where the axis is not there (one chain,
or chains that run apart) all functions here are those of a lone chain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array

CHAIN_AXIS = "numpyro chains"

T = TypeVar("T")


def number_of_chains() -> int:
    """The chains that advance together with this one, itself included."""
    try:
        return int(lax.psum(1, CHAIN_AXIS))
    except NameError:  # what JAX raises where the axis is not bound
        return 1


def any_chain(condition: Array) -> Array:
    """Whether the condition holds in any chain: one value for all, on which a program can branch."""
    if number_of_chains() == 1:
        return condition
    return lax.pmax(condition.astype(jnp.int32), CHAIN_AXIS) > 0


def update_where(condition: Array, update: Callable[[T], T], state: T) -> T:
    """``update(state)`` where the condition holds, else ``state``.

    Under ``vmap`` a ``lax.cond`` whose condition differs between chains evaluates both branches, always. Here
    ``update`` is evaluated only when some chain asks for it.
    """
    if number_of_chains() == 1:
        return lax.cond(condition, update, lambda state: state, state)

    def chosen(state: T) -> T:
        return jax.tree.map(lambda new, old: jnp.where(condition, new, old), update(state), state)

    return lax.cond(any_chain(condition), chosen, lambda state: state, state)


def mean_over_chains(value: Array) -> Array:
    """The mean of the chains' values; the same for all."""
    return value if number_of_chains() == 1 else lax.pmean(value, CHAIN_AXIS)


def sum_over_chains(value: Array) -> Array:
    """The sum of the chains' values; the same for all."""
    return value if number_of_chains() == 1 else lax.psum(value, CHAIN_AXIS)


def rows_of_chains(value: Array) -> Array:
    """The chains' values, one a row; the same for all."""
    return value[None] if number_of_chains() == 1 else lax.all_gather(value, CHAIN_AXIS)


def shared(tree: T) -> T:
    """A pytree that is equal in all chains, as one that they have in common: what follows from it is computed once."""
    return tree if number_of_chains() == 1 else jax.tree.map(lambda leaf: lax.pmax(leaf, CHAIN_AXIS), tree)
