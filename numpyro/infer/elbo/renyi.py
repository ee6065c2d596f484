"""Rényi's lower bound of the log evidence."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.elbo.base import ELBO
from numpyro.infer.elbo.checks import check_match
from numpyro.infer.elbo.particles import (
    Trace,
    over_particles,
    run_both,
    scores,
    site_terms,
    sum_terms,
    with_derivative_of,
)
from numpyro.infer.model.density import total


class RenyiELBO(ELBO):
    """Rényi's :math:`\\alpha` bound, from :math:`K` draws of the guide with weights :math:`w_k = p(x, z_k) / q(z_k)`:

    .. math::

        \\frac{1}{1 - \\alpha} \\log \\frac{1}{K} \\sum_{k=1}^K w_k^{1 - \\alpha} .

    With :math:`\\alpha = 0` it is the bound of importance weighted autoencoders;
    with :math:`\\alpha \\to 1` it tends to the evidence lower bound.

    :param alpha: the order, not 1; 0 by default.
    :param num_particles: the number :math:`K` of draws, 2 by default.
    :raises ValueError: for ``alpha=1``, which is :class:`Trace_ELBO`; and by :meth:`loss` where a plate that draws a
        subsample does not hold all sample sites. Where one does, the bound is that of the subsample, times the scale.

    **References:** Li & Turner, *Rényi divergence variational inference* (2016); Burda, Grosse & Salakhutdinov,
    *Importance weighted autoencoders* (2016).
    """

    def __init__(self, alpha: float = 0, num_particles: int = 2) -> None:
        if alpha == 1:
            raise UsageError(
                "The order alpha should not be equal to 1. Please use ELBO class for the case alpha = 1: Trace_ELBO."
            )
        self.alpha = alpha
        super().__init__(num_particles)

    def loss(
        self, rng_key: Key, param_map: dict[str, PyTree], model: Callable, guide: Callable, *args: Any, **kwargs: Any
    ) -> Array:
        def of_one(rng_key: Key) -> tuple[Array, Array, Any]:
            model_trace, guide_trace = run_both(rng_key, param_map, model, guide, args, kwargs)
            check_match(model_trace, guide_trace)
            log_weight = sum_terms(site_terms(model_trace)) - sum_terms(site_terms(guide_trace))
            log_q = {name: total(score) for name, score in scores(model_trace, guide_trace).items()}
            scale = common_scale(model_trace, guide_trace)
            return log_weight / scale, sum_terms(log_q), scale

        log_weights, log_q, scale = over_particles(of_one, rng_key, self.num_particles, True)
        scale = scale[0]
        powers = (1.0 - self.alpha) * log_weights
        bound = (logsumexp(powers) - jnp.log(self.num_particles)) / (1.0 - self.alpha)
        # The derivative of the bound: that of the log weights, averaged by the normalised powers of the weights, and
        # the bound times the score of all draws that are not reparametrised.
        derivative = jnp.sum(lax.stop_gradient(jax.nn.softmax(powers)) * log_weights)
        derivative += lax.stop_gradient(bound) * jnp.sum(log_q)
        return -scale * with_derivative_of(bound, derivative)


def common_scale(model_trace: Trace, guide_trace: Trace) -> float:
    """What the subsamples of plates scale every site by.

    A weight is that of one draw for all the data. A subsample gives an unbiased estimate of the log of a product of
    terms, not of the product, so that it is of use only where the whole model splits into independent entries.

    :raises ValueError: where a plate with a subsample does not hold all sample sites.
    """
    scales = {}
    sites = [site for site_trace in (model_trace, guide_trace) for site in site_trace.values()]
    for site in sites:
        if site["type"] == "plate" and (drawn := jnp.shape(site["value"])[0]) != site["args"][0]:
            scales[site["name"]] = site["args"][0] / drawn
    for site in sites:
        missing = set(scales) - {frame.name for frame in site.get("cond_indep_stack", ())}
        if site["type"] == "sample" and missing:
            raise UsageError(
                f"RenyiELBO supports subsamples only of plates that hold all sample sites of model and guide: the site "
                f"'{site['name']}' stands outside of {sorted(missing)}. Use the whole plate, or Trace_ELBO, for which "
                "subsamples are unbiased."
            )
    return prod(scales.values())


RenyiELBO.__module__ = "numpyro.infer.elbo"
