"""Model and guide, run together; means over particles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer.model.density import Site, check_log_prob_shape, is_latent, site_log_prob, total
from numpyro.primitives import Messenger

Trace = dict[str, Site]


class Detached(Messenger):
    """Cuts derivatives through draws that are not reparametrised: some would pass, others not, and both be wrong.

    :param given: sites whose values were drawn elsewhere, by distributions of their own, and stay as they are.
    """

    def __init__(self, given: Trace | None = None) -> None:
        self.given = given or {}
        super().__init__(None)

    def process_message(self, msg: Site) -> None:
        self.enters_body(msg)

    def postprocess_message(self, msg: Site) -> None:
        if is_scored(msg) and msg["name"] not in self.given:
            msg["value"], msg["intermediates"] = lax.stop_gradient(msg["value"]), []


def is_scored(site: Site) -> bool:
    """Whether a site is latent and its draws cannot be differentiated by the parameters of its distribution.

    The derivative of an expectation over them is that of :math:`\\log q`, times what the expectation is of.
    """
    return is_latent(site) and not site["fn"].has_rsample


def scores(model_trace: Trace, guide_trace: Trace) -> dict[str, Array]:
    """:math:`\\log q` of the draws that are not reparametrised, by site: without scales, since each was drawn once."""
    drawn = {name: site for name, site in {**model_trace, **guide_trace}.items() if is_scored(site)}
    return {name: site["fn"].log_prob(site["value"]) for name, site in drawn.items()}


def with_scores(objective: PyTree, model_trace: Trace, guide_trace: Trace) -> PyTree:
    """An objective whose derivative counts how probable the draws are, where these cannot be differentiated.

    .. math:: \\nabla E_q[f] = E_q[\\nabla f + f \\, \\nabla \\log q],

    which is the derivative of :math:`f \\exp(\\log q - \\bot(\\log q))`, where :math:`\\bot` has no derivative; the
    value is :math:`f`. Foerster, Farquhar, Al-Shedivat, Rocktäschel, Xing & Whiteson, *DiCE: the infinitely
    differentiable Monte Carlo estimator* (2018).
    """
    found = {name: total(score) for name, score in scores(model_trace, guide_trace).items()}
    if not found:
        return objective
    score = sum_terms(found)
    one = jnp.exp(score - lax.stop_gradient(score))
    return jax.tree.map(lambda term: term * one, objective)


def trace_guide(rng_key: Key, param_map: dict, guide: Callable, args: tuple, kwargs: dict) -> Trace:
    """The trace of a guide, with the values of its params (and mutable state) given."""
    with Detached(), trace() as guide_trace, seed(rng_seed=rng_key), substitute(data=param_map):
        guide(*args, **kwargs)
    return guide_trace


def trace_model(rng_key: Key, param_map: dict, model: Callable, args: tuple, kwargs: dict, guide_trace: Trace) -> Trace:
    """The trace of a model where its latent sites and subsamples have the values that the guide drew."""
    with Detached(guide_trace), trace() as model_trace, seed(rng_seed=rng_key), substitute(data=param_map):
        replay(model, trace=guide_trace)(*args, **kwargs)
    return model_trace


def run_both(
    rng_key: Key, param_map: dict, model: Callable, guide: Callable, args: tuple, kwargs: dict
) -> tuple[Trace, Trace]:
    """The traces of the model and of the guide that proposes its latent values."""
    model_key, guide_key = jax.random.split(rng_key)
    guide_trace = trace_guide(guide_key, param_map, guide, args, kwargs)
    return trace_model(model_key, param_map, model, args, kwargs, guide_trace), guide_trace


@jax.custom_jvp
def with_derivative_of(value: Array, surrogate: Array) -> Array:
    """A value that has the derivative of something else."""
    return value


@with_derivative_of.defjvp
def _derivative(primals: tuple[Array, Array], tangents: tuple[Any, Any]) -> tuple[Array, Any]:
    return primals[0], tangents[1]


def site_terms(site_trace: Trace) -> dict[str, Array]:
    """The log probability of each sample site, a scalar."""
    terms = {}
    for name, site in site_trace.items():
        if site["type"] == "sample":
            log_prob = site_log_prob(site)
            check_log_prob_shape(site, log_prob)
            terms[name] = total(log_prob)
    return terms


def sum_terms(terms: dict[str, Array]) -> Array:
    """The sum of terms by site."""
    values = list(terms.values())
    return sum(values[1:], values[0]) if values else jnp.zeros(())


def mutable_state(*traces: Trace) -> dict[str, PyTree] | None:
    """The values of all mutable sites, or ``None`` where there are none."""
    found = {name: site["value"] for t in traces for name, site in t.items() if site["type"] == "mutable"}
    return found or None


def over_particles(
    of_one: Callable[[Key], PyTree], rng_key: Key, num_particles: int, vectorize: bool | Callable
) -> PyTree:
    """``of_one(key)`` for each particle, along a leading axis.

    :param vectorize: ``True`` for ``vmap``, ``False`` for one after the other, or a function that maps like ``vmap``.
    """
    keys = jax.random.split(rng_key, num_particles)
    if callable(vectorize):
        return vectorize(of_one)(keys)
    return jax.vmap(of_one)(keys) if vectorize else lax.map(of_one, keys)


def mean_over_particles(
    of_one: Callable[[Key], dict[str, Any]], rng_key: Key, num_particles: int, vectorize: bool | Callable
) -> Any:
    """``of_one(key)``, a dictionary with ``"loss"`` and ``"mutable_state"``, with the mean of the losses.

    :raises ValueError: where several particles would each leave a mutable state.
    """
    if num_particles == 1:
        return of_one(rng_key)
    results = over_particles(of_one, rng_key, num_particles, vectorize)
    if results["mutable_state"] is not None:
        raise UsageError("Mutable states are supported with num_particles=1 only: each particle would leave its own.")
    return {"loss": jax.tree.map(lambda losses: jnp.mean(losses, 0), results["loss"]), "mutable_state": None}
