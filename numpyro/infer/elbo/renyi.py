"""Rényi's lower bound of the log evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp

from numpyro._errors import UsageError
from numpyro._typing import Array, Key, PyTree
from numpyro.infer.elbo.base import ELBO
from numpyro.infer.elbo.checks import check_match
from numpyro.infer.elbo.particles import over_particles, run_both, site_terms, sum_terms


class RenyiELBO(ELBO):
    """Rényi's :math:`\\alpha` bound, from :math:`K` draws of the guide with weights :math:`w_k = p(x, z_k) / q(z_k)`:

    .. math::

        \\frac{1}{1 - \\alpha} \\log \\frac{1}{K} \\sum_{k=1}^K w_k^{1 - \\alpha} .

    With :math:`\\alpha = 0` it is the bound of importance weighted autoencoders;
    with :math:`\\alpha \\to 1` it tends to the evidence lower bound.

    :param alpha: the order, not 1; 0 by default.
    :param num_particles: the number :math:`K` of draws, 2 by default.
    :raises ValueError: for ``alpha=1``, which is :class:`Trace_ELBO`.

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
        def log_weight(rng_key: Key) -> Array:
            model_trace, guide_trace = run_both(rng_key, param_map, model, guide, args, kwargs)
            check_match(model_trace, guide_trace)
            return sum_terms(site_terms(model_trace)) - sum_terms(site_terms(guide_trace))

        log_weights = over_particles(log_weight, rng_key, self.num_particles, True)
        powers = (1.0 - self.alpha) * log_weights
        bound = (logsumexp(powers) - jnp.log(self.num_particles)) / (1.0 - self.alpha)
        # The derivative of the bound: that of the log weights, averaged by the normalised powers of the weights.
        average = jnp.sum(lax.stop_gradient(jax.nn.softmax(powers)) * log_weights)
        return -(lax.stop_gradient(bound - average) + average)


RenyiELBO.__module__ = "numpyro.infer.elbo"
