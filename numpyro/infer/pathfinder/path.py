"""One path of optimisation, and the best of the normal approximations along it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._typing import Array, Key
from numpyro.infer.pathfinder.inverse_hessian import History, Normal, empty_history, extended, normal_at


class Path(NamedTuple):
    """What a path found.

    - **normal** - the approximation of the highest evidence lower bound.
    - **elbo** - this bound, :math:`-\\infty` where no approximation had a finite one.
    - **mode** - where the path ended.
    - **num_steps** - the number of steps.
    """

    normal: Normal
    elbo: Array
    mode: Array
    num_steps: Array


class _State(NamedTuple):
    position: Array
    value: Array
    gradient: Array
    optimizer: Any
    history: History
    best: Normal
    best_elbo: Array
    step: Array
    has_converged: Array
    rng_key: Key


def follow(
    potential: Callable[[Array], Array],
    start: Array,
    rng_key: Key,
    *,
    history_size: int,
    max_steps: int,
    num_elbo_draws: int,
) -> Path:
    """Follow L-BFGS from a start, with a normal approximation at each step.

    :param potential: the negative log density, a function of a vector.
    :param start: a point of finite potential and gradient.
    :param history_size: the number of pairs that L-BFGS and the approximations know.
    :param max_steps: the most steps; a path ends where the potential falls no more.
    :param num_elbo_draws: draws for the evidence lower bound of each approximation.
    """
    import optax

    lbfgs: Any = optax.lbfgs(memory_size=history_size)
    tolerance = 32 * float(jnp.finfo(start.dtype).eps)

    def elbo_of(normal: Normal, rng_key: Key) -> Array:
        draws, log_densities = normal.draw(rng_key, num_elbo_draws)
        elbo = jnp.mean(-jax.vmap(potential)(draws) - log_densities)
        return jnp.where(jnp.isfinite(elbo), elbo, -jnp.inf)

    def advance(state: _State) -> _State:
        updates, optimizer = lbfgs.update(
            state.gradient,
            state.optimizer,
            state.position,
            value=state.value,
            grad=state.gradient,
            value_fn=potential,
        )
        position = state.position + updates
        value, gradient = jax.value_and_grad(potential)(position)
        is_finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient))
        history = extended(state.history, position - state.position, gradient - state.gradient)
        normal = normal_at(position, gradient, history)
        rng_key, elbo_key = jax.random.split(state.rng_key)
        elbo = jnp.where(is_finite, elbo_of(normal, elbo_key), -jnp.inf)
        best = jax.tree.map(lambda new, old: jnp.where(elbo > state.best_elbo, new, old), normal, state.best)
        scale = jnp.maximum(jnp.maximum(jnp.abs(value), jnp.abs(state.value)), 1.0)
        has_converged = ~is_finite | (state.value - value <= tolerance * scale)
        return _State(
            jnp.where(is_finite, position, state.position),
            jnp.where(is_finite, value, state.value),
            jnp.where(is_finite, gradient, state.gradient),
            optimizer,
            history,
            best,
            jnp.maximum(elbo, state.best_elbo),
            state.step + 1,
            has_converged,
            rng_key,
        )

    value, gradient = jax.value_and_grad(potential)(start)
    history = empty_history(history_size, start.shape[0], start.dtype)
    normal = normal_at(start, gradient, history)
    rng_key, elbo_key = jax.random.split(rng_key)
    first = _State(
        start,
        value,
        gradient,
        lbfgs.init(start),
        history,
        normal,
        elbo_of(normal, elbo_key),
        jnp.zeros((), jnp.int32),
        jnp.array(False),
        rng_key,
    )
    last = lax.while_loop(lambda state: (state.step < max_steps) & ~state.has_converged, advance, first)
    return Path(last.best, last.best_elbo, last.position, last.step)
