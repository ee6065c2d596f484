"""A model run once at given values, constrained or unconstrained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform, biject_to
from numpyro.handlers import seed, substitute, trace
from numpyro.infer.model.bijection import site_bijection
from numpyro.infer.model.density import AtUnconstrained, Site, is_latent, trace_log_density
from numpyro.primitives.stack import request_key


class KeysForTheRest(seed):
    """Random keys for what a model draws besides its latent sites, which must have been given values."""

    def process_message(self, msg: Site) -> None:
        if is_latent(msg) and msg["value"] is None and msg["kwargs"].get("rng_key") is None:
            # Only a seed handler of the user's, outside of this one, may have the site drawn.
            key = request_key() if self.rng_key is None else None
            if key is None:
                raise UsageError(
                    f"The latent site '{msg['name']}' ({type(msg['fn']).__name__}) has no value: give values of all "
                    "latent sites, by their names, or observe the site, or draw it under numpyro.handlers.seed."
                )
            msg["kwargs"]["rng_key"] = key
        super().process_message(msg)


def trace_at(
    model: Callable,
    args: tuple,
    kwargs: Mapping[str, Any],
    unconstrained: Mapping[str, PyTree],
    rng_key: Key | None,
    *,
    constrain_params: bool = False,
) -> tuple[dict[str, Site], dict[str, Array]]:
    """The trace of a model at unconstrained values of its latent sites.

    :param rng_key: key of what else the model draws, ``None`` where it draws nothing else.
    :param constrain_params: params that have a value have an unconstrained one, too.
    :return: the trace, and the log determinants of the bijections, a scalar for each latent site.
    :raises ValueError: (and ``AssertionError``) naming a latent site that has no value, or one of another shape.
    """
    point = AtUnconstrained(values=unconstrained, constrain_params=constrain_params)
    with trace() as model_trace, KeysForTheRest(rng_seed=rng_key), point:
        model(*args, **kwargs)
    return model_trace, point.log_dets


def trace_with(
    model: Callable, args: tuple, kwargs: Mapping[str, Any], values: Mapping[str, PyTree]
) -> dict[str, Site]:
    """The trace of a model with the given (constrained) values of its sites, whatever their kinds."""
    with trace() as model_trace, substitute(data=values):
        model(*args, **kwargs)
    return model_trace


def log_density_at(
    model: Callable, args: tuple, kwargs: Mapping[str, Any], unconstrained: Mapping[str, PyTree], rng_key: Key | None
) -> Array:
    """:math:`\\log \\pi(z)`, the log density of unconstrained values, Jacobian terms included; a scalar."""
    model_trace, log_dets = trace_at(model, args, kwargs, unconstrained, rng_key)
    return sum(log_dets.values(), trace_log_density(model_trace))


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
