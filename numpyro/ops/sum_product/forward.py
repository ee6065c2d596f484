"""The distribution of the state of a chain at each step, given the conditional distributions of its variables."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array
from numpyro.ops.sum_product.chain import Links, at_step
from numpyro.ops.sum_product.contraction import contract
from numpyro.ops.sum_product.named import NamedArray, log_sum_exp, product


def forward(
    start: NamedArray, factors: Sequence[NamedArray], time: str, length: int, links: Links
) -> tuple[NamedArray, NamedArray]:
    """The log probabilities of the state before each step, and of that after the last.

    With the state :math:`s_t` (see :mod:`numpyro.ops.sum_product.chain`),
    :math:`q(s_t) = \\sum_{s_{t-1}} q(s_{t-1}) q(s_t \\mid s_{t-1})`.

    :param start: the log probability of the state before the first step, with axes ``links.before``; further axes are
        those of what everything is conditional on.
    :param factors: those of the new values of each step given the ones before, with an axis ``time`` or without.
    :param time: the name of that axis.
    :param length: the number of steps.
    :param links: how steps are linked.
    :return: an array with axes ``time`` and ``links.before``, and one with the axes of ``links.last``.
    """
    arrays, of_step = at_step(factors, time)
    own = {time, *links.names}
    sizes = {name: size for factor in (start, *factors) for name, size in factor.sizes.items()}
    names = (*(name for name in sizes if name not in own), *links.before)
    shape = tuple(sizes[name] for name in names)
    oldest = set(links.before) - set(links.after)

    def step(state: Array, slices: list[Array]) -> tuple[Array, Array]:
        joint = product([NamedArray(state, names), *of_step(slices)])
        after, _ = contract([joint], oldest, log_sum_exp)
        return jnp.broadcast_to(after.renamed(links.shift).aligned(names), shape), state

    dtype = jnp.result_type(start.array, *(factor.array for factor in factors))
    initial = jnp.broadcast_to(start.aligned(names), shape).astype(dtype)
    state, states = lax.scan(step, initial, arrays, length=length)
    last = dict(zip(links.before, (name for names in links.last for name in names), strict=True))
    return NamedArray(states, (time, *names)), NamedArray(state, names).renamed(last)
