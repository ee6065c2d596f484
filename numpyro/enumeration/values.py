"""From a solved sum back to values of the enumerated sites."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from numpyro._typing import Array, Key
from numpyro.enumeration.factors import Trace, chains_of, enumerated_sites
from numpyro.enumeration.loop import CHAIN, Chain
from numpyro.ops.sum_product import Problem, choose_best, choose_draw, decode, eliminate, log_sum_exp, maximum


def conditional_values(model_trace: Trace, problem: Problem, rng_key: Key | None) -> dict[str, Array]:
    """Values of the enumerated sites given all others, of the shapes that they have without enumeration.

    :param model_trace: the trace with enumerated sites.
    :param problem: its sum.
    :param rng_key: a key, for a draw from the joint conditional distribution; ``None`` for its mode.
    """
    solution = eliminate(problem, maximum if rng_key is None else log_sum_exp)
    positions = decode(problem, solution, choose_best if rng_key is None else choose_draw, rng_key)
    values = {
        name: _value(model_trace[name], dim, positions[name]) for name, dim in enumerated_sites(model_trace).items()
    }
    for chain in chains_of(model_trace):
        for name, pieces in chain.sites.items():
            values[name] = _values_over_time(model_trace, chain, pieces, positions, problem)
    return values


def _values_over_time(
    model_trace: Trace, chain: Chain, pieces: tuple[str, ...], positions: dict[str, Array], problem: Problem
) -> Array:
    """The values of a site in a loop at all steps."""
    values = []
    for variable in pieces:
        is_timed = chain.time in chain.variables[variable].plates
        site = model_trace[f"{variable}@all" if is_timed else variable]
        dim = site["infer"][CHAIN].dim
        found = positions[variable]
        if not is_timed:
            values.append(_value(site, dim, found)[None])
            continue
        support = site["value"]
        if jnp.ndim(support) > -dim + len(site["fn"].event_shape):  # the same at all steps
            site = {**site, "value": support[0]}
        axis = sorted(problem.variables[variable].plates).index(chain.time)
        values.append(jax.vmap(lambda at, site=site, dim=dim: _value(site, dim, at))(jnp.moveaxis(found, axis, 0)))
    joined = jnp.concatenate(values)
    return jnp.flip(joined, 0) if chain.is_reversed else joined


def _value(site: Any, dim: int, positions: Array) -> Array:
    """The values at ``positions``, which has an axis for each plate, in the order of their names."""
    frames = sorted(site["cond_indep_stack"], key=lambda frame: frame.name)
    depth = max((-frame.dim for frame in frames), default=0)
    order = sorted(range(len(frames)), key=lambda i: frames[i].dim)
    shape = [1] * depth
    for frame in frames:
        shape[frame.dim] = frame.size
    positions = jnp.reshape(jnp.transpose(positions, order), shape)
    support = site["value"]  # (..., values, dimensions right of them, event)
    event_shape = tuple(site["fn"].event_shape)
    right = jnp.shape(support)[jnp.ndim(support) + dim - len(event_shape) + 1 : jnp.ndim(support) - len(event_shape)]
    batch = (*(1,) * (depth - len(right)), *right[len(right) - depth :])
    support = jnp.reshape(support, (-1, *batch, *event_shape))
    index = jnp.reshape(positions, (1, *shape, *(1,) * len(event_shape)))
    full = jnp.broadcast_to(support, (support.shape[0], *shape, *event_shape))
    return jnp.take_along_axis(full, jnp.broadcast_to(index, (1, *shape, *event_shape)), 0)[0]
