"""A model run once at given values, constrained or unconstrained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform, biject_to
from numpyro.enumeration import conditional_values, enum, is_enumerable, marginal_problem
from numpyro.handlers import infer_config, seed, substitute, trace
from numpyro.handlers._keys import needs_key
from numpyro.infer.model.bijection import site_bijection
from numpyro.infer.model.density import (
    AtUnconstrained,
    AtUnconstrainedEnumerated,
    Site,
    is_latent,
    total,
    trace_log_density,
)
from numpyro.ops.sum_product import Problem, eliminate
from numpyro.primitives.stack import request_key


class KeysForTheRest(seed):
    """Random keys for what a model draws besides its latent sites, which must have been given values.

    :param draws_discrete: whether discrete latent sites are drawn, too.
    """

    def __init__(self, fn: Callable | None = None, rng_seed: Key | None = None, draws_discrete: bool = False) -> None:
        self.draws_discrete = draws_discrete
        super().__init__(fn, rng_seed)

    def process_message(self, msg: Site) -> None:
        if msg["type"] == "control_flow" and (self.rng_key is None or not needs_key(msg)):
            self.enters_body(msg)  # without a key to give, it still tells of sites that have no value
        if is_latent(msg) and msg["value"] is None and msg["kwargs"].get("rng_key") is None:
            if self.draws_discrete and msg["fn"].is_discrete:
                return super().process_message(msg)
            # Only a seed handler of the user's, outside of this one, may have the site drawn.
            key = request_key() if self.rng_key is None else None
            if key is None:
                raise UsageError(
                    f"The latent site '{msg['name']}' ({type(msg['fn']).__name__}) has no value: give values of all "
                    "latent sites, by their names, or observe the site, or draw it under numpyro.handlers.seed."
                )
            msg["kwargs"]["rng_key"] = key
        return super().process_message(msg)

    def in_body(self, step: Any) -> seed:
        return self if self.rng_key is None else super().in_body(step)  # type: ignore[return-value]


def trace_at(
    model: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    unconstrained: Mapping[str, PyTree],
    rng_key: Key | None,
    *,
    constrain_params: bool = False,
    draws_discrete: bool = False,
) -> tuple[dict[str, Site], dict[str, Array]]:
    """The trace of a model at unconstrained values of its latent sites.

    :param rng_key: key of what else the model draws, ``None`` where it draws nothing else.
    :param constrain_params: params that have a value have an unconstrained one, too.
    :param draws_discrete: whether discrete latent sites without a value are drawn.
    :return: the trace, and the log determinants of the bijections, by latent site, of its batch shape.
    :raises ValueError: (and ``AssertionError``) naming a latent site that has no value, or one of another shape.
    """
    point = AtUnconstrained(values=unconstrained, constrain_params=constrain_params)
    with trace() as model_trace, KeysForTheRest(rng_seed=rng_key, draws_discrete=draws_discrete), point:
        model(*args, **kwargs)
    return model_trace, point.log_dets


def enumerated_trace_at(
    model: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    unconstrained: Mapping[str, PyTree],
    rng_key: Key | None,
    first_available_dim: int,
) -> tuple[dict[str, Site], Problem]:
    """The trace of a model with all values of its discrete latent sites, and the sum over them."""
    point = AtUnconstrainedEnumerated(values=unconstrained)
    with trace() as model_trace, KeysForTheRest(rng_seed=rng_key), point, enum(first_available_dim=first_available_dim):
        infer_config(model, config_fn=mark_enumerable)(*args, **kwargs)
    return model_trace, marginal_problem(model_trace, point.log_dets)


def mark_enumerable(site: Site) -> dict[str, Any]:
    """Mark a discrete latent site of finite support to be summed out, unless its ``infer`` says otherwise."""
    return {} if "enumerate" in site["infer"] or not is_enumerable(site) else {"enumerate": "parallel"}


def trace_with(
    model: Callable, args: tuple, kwargs: Mapping[str, Any], values: Mapping[str, PyTree]
) -> dict[str, Site]:
    """The trace of a model with the given (constrained) values of its sites, whatever their kinds."""
    with trace() as model_trace, substitute(data=values):
        model(*args, **kwargs)
    return model_trace


def log_density_at(
    model: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    unconstrained: Mapping[str, PyTree],
    rng_key: Key | None,
    first_available_dim: int | None = None,
) -> Array:
    """:math:`\\log \\pi(z)`, the log density of unconstrained values, Jacobian terms included; a scalar.

    :param first_available_dim: sum discrete latent sites out, along dimensions from this one to the left.
    """
    if first_available_dim is not None:
        _, problem = enumerated_trace_at(model, args, kwargs, unconstrained, rng_key, first_available_dim)
        return eliminate(problem).total
    model_trace, log_dets = trace_at(model, args, kwargs, unconstrained, rng_key)
    return sum(map(total, log_dets.values()), trace_log_density(model_trace))


def constrain_at(
    model: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    unconstrained: Mapping[str, PyTree],
    rng_key: Key | None,
    first_available_dim: int | None = None,
    *,
    deterministic: bool = False,
) -> dict[str, PyTree]:
    """The constrained values of latent sites, and on demand of the deterministic sites of a model.

    Deterministic sites that depend on sites that are summed out are evaluated at a draw of these given the others.
    """
    if first_available_dim is not None and deterministic:
        model_trace, problem = enumerated_trace_at(model, args, kwargs, unconstrained, rng_key, first_available_dim)
        discrete = conditional_values(model_trace, problem, key_of(unconstrained, rng_key))
        model = substitute(model, data=discrete)
    model_trace, _ = trace_at(
        model, args, kwargs, unconstrained, rng_key, draws_discrete=first_available_dim is not None
    )
    return values_of(model_trace, unconstrained, deterministic=deterministic)


def key_of(values: PyTree, rng_key: Key | None) -> Key:
    """A key that differs from point to point."""
    key = jax.random.key(0) if rng_key is None else rng_key
    for leaf in jax.tree.leaves(values):
        bits = jax.lax.bitcast_convert_type(jnp.asarray(leaf, jnp.float32), jnp.uint32)
        weights = np.arange(1, 2 * bits.size, 2, dtype=np.uint32).reshape(bits.shape)
        key = jax.random.fold_in(key, jnp.sum(bits * weights, dtype=jnp.uint32))
    return key


def values_of(
    model_trace: Mapping[str, Site], names: Mapping[str, Any], *, deterministic: bool = False
) -> dict[str, PyTree]:
    """The values of the named latent sites and params of a trace, and on demand of its deterministic sites."""
    return {
        name: site["value"]
        for name, site in model_trace.items()
        if (name in names and (site["type"] == "param" or is_latent(site)))
        or (deterministic and site["type"] == "deterministic")
    }


def transforms_of(model_trace: Mapping[str, Site]) -> dict[str, Transform]:
    """The bijections from the reals to the supports of continuous latent sites, and to the constraints of params."""
    transforms = {}
    for name, site in model_trace.items():
        if is_latent(site) and not site["fn"].is_discrete:
            transforms[name] = site_bijection(site)
        elif site["type"] == "param":
            transforms[name] = biject_to(site["kwargs"].get("constraint", constraints.real))
    return transforms


def take_apart(model_trace: Mapping[str, Site]) -> tuple[list[Array], Callable[[list[Array]], dict[str, Site]]]:
    """The arrays of a trace, for a program to return, and a function that puts the trace together around them."""
    leaves, structure = jax.tree.flatten(model_trace)
    fixed = [None if isinstance(leaf, jax.Array) else leaf for leaf in leaves]

    def put_together(arrays: list[Array]) -> dict[str, Site]:
        replacement = iter(arrays)
        return jax.tree.unflatten(structure, [next(replacement) if leaf is None else leaf for leaf in fixed])

    return [leaf for leaf in leaves if isinstance(leaf, jax.Array)], put_together
