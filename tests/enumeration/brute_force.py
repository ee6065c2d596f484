"""The sum over all assignments of the discrete latent sites of a model."""

from __future__ import annotations

import itertools
from math import prod

import jax
import numpy as np

from numpyro import handlers
from numpyro.contrib.funsor import config_enumerate, enum, log_density
from numpyro.infer.util import log_density as log_joint


def assignments(model, *args):
    """All values of the discrete latent sites, by name, along a leading axis; nothing is drawn."""
    found = {}

    def run():
        with handlers.trace() as sites, handlers.seed(rng_seed=0):
            model(*args)
        for name, site in sites.items():
            if site["type"] == "sample" and not site["is_observed"] and site["fn"].has_enumerate_support:
                found[name] = np.shape(site["value"]), site["fn"].enumerate_support(expand=False).shape[0]

    jax.eval_shape(run)
    spaces = [itertools.product(range(size), repeat=prod(shape)) for shape, size in found.values()]
    values = list(itertools.product(*spaces))
    return {
        name: np.array([v[i] for v in values]).reshape(-1, *shape) for i, (name, (shape, _)) in enumerate(found.items())
    }


def weights(model, theta, given=None):
    """The log joint density of each assignment."""
    densities = lambda values: log_joint(model, (theta,), {}, (given or {}) | values)[0]
    return jax.vmap(densities)(assignments(model, theta))


def check_sum(model, theta=0.7, first_available_dim=-3, given=None):
    """Hold the marginal density of ``model(theta)`` and its gradient to the sum over all assignments."""
    enumerated = enum(config_enumerate(model), first_available_dim=first_available_dim)
    marginal = lambda theta: log_density(enumerated, (theta,), {}, given or {})[0]
    exact = lambda theta: jax.nn.logsumexp(weights(model, theta, given))
    found, expected = (jax.jit(jax.value_and_grad(f))(theta) for f in (marginal, exact))
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
