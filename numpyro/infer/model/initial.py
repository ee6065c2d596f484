"""A starting point: where the log density and its gradient are finite, or an error that says what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from numpyro._typing import Array, Key, PyTree
from numpyro.infer.model.density import is_latent, site_log_prob
from numpyro.infer.model.evaluate import take_apart
from numpyro.infer.model.layout import Layout
from numpyro.infer.model.view import ModelView

MAX_TRIES = 100


class InitializationError(RuntimeError):
    """No starting point with a finite log density and gradient was found."""


class _Attempt(NamedTuple):
    tried: Array
    rng_key: Key
    flat: Array
    potential: Array
    grad: Array
    finite: Array


def initial_candidate(
    potential_and_grad: Callable[[Array], tuple[Array, Array]], draw: Callable[[Key], Array], rng_key: Key, tries: int
) -> tuple[Array, Array, Array, Array]:
    """Draw points until the potential and its gradient are finite, at most ``tries`` times. Pure; runs in one loop.

    :returns: the last point drawn, its potential and gradient, and whether they are finite.
    """

    def attempt(state: _Attempt) -> _Attempt:
        rng_key, draw_key = jax.random.split(state.rng_key)
        flat = draw(draw_key)
        potential, grad = potential_and_grad(flat)
        finite = jnp.isfinite(potential) & jnp.all(jnp.isfinite(grad)) & jnp.all(jnp.isfinite(flat))
        return _Attempt(state.tried + 1, rng_key, flat, potential, grad, finite)

    flat_shape = jax.eval_shape(draw, rng_key)
    shapes = (flat_shape, *jax.eval_shape(potential_and_grad, flat_shape))
    flat, potential, grad = (jnp.zeros(a.shape, a.dtype) for a in shapes)
    last = lax.while_loop(
        lambda state: (state.tried < tries) & ~state.finite,
        attempt,
        _Attempt(jnp.zeros((), jnp.int32), rng_key, flat, potential, grad, jnp.array(False)),
    )
    return last.flat, last.potential, last.grad, last.finite


def value_and_gradient(fn: Callable[[Array], Array], forward_mode: bool) -> Callable[[Array], tuple[Array, Array]]:
    """A scalar function of a vector with its gradient, in reverse mode or, one direction at a time, in forward mode."""
    if not forward_mode:
        return jax.value_and_grad(fn)

    def forward(x: Array) -> tuple[Array, Array]:
        if x.size == 0:
            return fn(x), x
        directions = jnp.eye(x.shape[0], dtype=x.dtype)
        return jax.vmap(lambda v: jax.jvp(fn, (x,), (v,)), out_axes=(None, 0))(directions)

    return forward


class Start(NamedTuple):
    """A starting point: unconstrained values, the potential energy there, its gradient, and whether all are finite."""

    unconstrained: dict[str, Array]
    potential_energy: Array
    gradient: dict[str, Array]
    is_valid: Array


def find_initial(
    view: ModelView,
    data: PyTree,
    rng_key: Key,
    strategy: Callable,
    *,
    forward_mode: bool = False,
    validate_grad: bool = True,
) -> Start:
    """Draw starting points by an initialization strategy until one is valid, at most ``MAX_TRIES`` times. Pure.

    :param data: the run-time data of ``view``.
    :param validate_grad: whether the gradient must be finite, too; otherwise it is not computed, and is 0.
    """
    layout = Layout(view.prototype)

    def potential(flat: Array) -> Array:
        return -view.log_density(data, layout.unravel(flat))

    def potential_alone(flat: Array) -> tuple[Array, Array]:
        return potential(flat), jnp.zeros_like(flat)

    flat, energy, gradient, is_valid = initial_candidate(
        value_and_gradient(potential, forward_mode) if validate_grad else potential_alone,
        lambda key: layout.ravel(view.draw_initial(data, key, strategy)),
        rng_key,
        MAX_TRIES,
    )
    return Start(layout.unravel(flat), energy, layout.unravel(gradient), is_valid)


def explain_no_start(view: ModelView, data: PyTree, unconstrained: dict[str, Any]) -> str:
    """Say, site by site, what is not finite at a point: values, log probabilities, gradients, observations."""
    put_together_by: list[Callable] = []

    def at_point(data: PyTree, unconstrained: dict[str, Array]) -> tuple[list[Array], dict[str, Array]]:
        model_trace, _ = view.trace_at(data, unconstrained)
        log_probs = {name: site_log_prob(site) for name, site in model_trace.items() if site["type"] == "sample"}
        arrays, put_together = take_apart(model_trace)
        put_together_by.append(put_together)
        return arrays, log_probs

    # Compiled, where distributions take whatever comes; outside they would raise or warn at the first bad value.
    unconstrained = {name: jnp.asarray(value) for name, value in unconstrained.items()}
    arrays, log_probs = jax.jit(at_point)(data, unconstrained)
    model_trace = put_together_by[-1](arrays)
    lines = []
    for name in model_trace:
        if name not in log_probs:
            continue
        site, log_prob = model_trace[name], np.asarray(log_probs[name])
        if np.all(np.isfinite(log_prob)):
            continue
        kind = "latent" if is_latent(site) else "observed"
        bad = int(np.sum(~np.isfinite(log_prob)))
        lines.append(
            f"  {kind} site '{name}' ({type(site['fn']).__name__}): {bad} of {log_prob.size} log probabilities are not "
            f"finite{_outside(site)}{_parameters(site)}"
        )
    if not lines:
        gradient = _gradient(lambda z: view.log_density(data, z), unconstrained)
        lines = [
            f"  the gradient at latent site '{name}' is not finite, at the unconstrained value "
            f"{_first(unconstrained[name])}"
            for name in unconstrained
            if not np.all(np.isfinite(gradient[name]))
        ]
    return "\n".join(lines)


def _gradient(fn: Callable[[PyTree], Array], at: PyTree) -> PyTree:
    try:
        return jax.jit(jax.grad(fn))(at)
    except ValueError:  # of loops that only forward mode differentiates
        return jax.jit(jax.jacfwd(fn))(at)


def no_start_error(view: ModelView, data: PyTree, unconstrained: dict[str, Any], tries: int) -> InitializationError:
    """The error for ``tries`` points, the last of them ``unconstrained``, without a finite density and gradient."""
    found = explain_no_start(view, data, unconstrained)
    points = f"each of {tries} starting points" if tries > 1 else "the starting point"
    return InitializationError(
        f"Cannot find valid initial parameters: at {points} the log density or its gradient is not finite. At the last "
        f"one:\n{found}\nCheck the data and the parameters of these sites, or give a better start: "
        "init_strategy=init_to_value(values=...) with values inside the supports, or init_params=... ."
    )


def _outside(site: Any) -> str:
    support, value = site["fn"].support, site["value"]
    inside = np.asarray(support(np.asarray(value)))
    if np.all(inside):
        return ""
    return (
        f"; {int(np.sum(~inside))} of {inside.size} values are outside the support ({support}), the first: "
        + _first(np.asarray(value)[~inside] if np.shape(value) == inside.shape else value)
    )


def _parameters(site: Any) -> str:
    parameters = {k: getattr(site["fn"], k, None) for k in getattr(site["fn"], "arg_constraints", {})}
    shown = ", ".join(f"{name} = {_first(value)}" for name, value in parameters.items() if value is not None)
    return f"; {shown}" if shown else ""


def _first(value: Any, count: int = 3) -> str:
    flat = np.ravel(np.asarray(value))
    shown = ", ".join(f"{item:.4g}" for item in flat[:count])
    return f"[{shown}{', ...' if flat.size > count else ''}]" if np.ndim(value) else shown
