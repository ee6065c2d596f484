"""From a solved sum back to values of the enumerated sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from numpyro._typing import Array, Key
from numpyro.enumeration.enumerating import PIECE
from numpyro.enumeration.factors import Trace, enumerated_sites
from numpyro.enumeration.loop import Pieces
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
    for name, pieces in _outermost_pieces(model_trace).items():
        values[name] = _values_over_time(pieces, lambda piece: _value_of_piece(model_trace, piece, positions, problem))
    return values


def _outermost_pieces(model_trace: Trace) -> dict[str, Pieces]:
    """The pieces of enumerated sites in loops."""
    found = [site["infer"].get(PIECE) for site in model_trace.values() if site["type"] == "sample"]
    return {name: pieces for piece in found if piece is not None for name, pieces in piece.chains[-1].sites.items()}


def _values_over_time(pieces: Pieces | str, value_of: Callable[[str], Array], axis: int = 0) -> Array:
    """The values of a site at all steps of a loop, along an axis; those of loops around it are in front of that."""
    if isinstance(pieces, str):
        return value_of(pieces)
    parts = [jnp.expand_dims(_values_over_time(piece, value_of, axis), axis) for piece in pieces.alone]
    if pieces.together is not None:
        parts.append(_values_over_time(pieces.together, value_of, axis + 1))
    joined = jnp.concatenate(parts, axis)
    return jnp.flip(joined, axis) if pieces.is_reversed else joined


def _value_of_piece(model_trace: Trace, name: str, positions: dict[str, Array], problem: Problem) -> Array:
    """The values of a piece, with an axis for each of the loops of whose steps it is, the outermost first."""
    site = model_trace[name]
    piece = site["infer"][PIECE]
    support, ndim = site["value"], -piece.dim + len(site["fn"].event_shape)
    site = {**site, "value": support[(0,) * (jnp.ndim(support) - ndim)]}  # the same at all steps
    axes = sorted(problem.variables[name].plates)
    times = [axes.index(time) for _, time in reversed(piece.times)]
    of_steps = lambda found: _value(site, piece.dim, found)
    for _ in times:
        of_steps = jax.vmap(of_steps)
    return of_steps(jnp.moveaxis(positions[name], times, range(len(times))))


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
