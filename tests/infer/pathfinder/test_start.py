"""Pathfinder as an initialization strategy: chains, and guides, start where the posterior has its mass."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, SVI, BarkerMH, Trace_ELBO, init_to_feasible
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.pathfinder import init_to_pathfinder
from numpyro.infer.util import initialize_model

SCALES = np.array([1.0, 10.0, 0.1], np.float32)
MEANS = np.array([300.0, -40.0, 2.0], np.float32)


def normal():
    numpyro.sample("x", dist.Normal(MEANS, SCALES).to_event(1))


def starts(kernel, chains):
    """The first states of chains, without an iteration."""
    return kernel.init(jax.random.split(jax.random.key(0), chains), 0, None, (), {})


def test_starts_on_a_normal_posterior_are_draws_from_it():
    """L-BFGS and its approximations are exact enough there: twice the energy is chi-squared. Error rate 1e-4."""
    state = starts(NUTS(normal, init_strategy=init_to_pathfinder), 200)
    squares = (((np.asarray(state.z["x"]) - MEANS) / SCALES) ** 2).sum(-1)
    assert stats.kstest(squares, "chi2", args=(3,)).pvalue > 1e-4
    uniform = starts(NUTS(normal), 20)
    assert np.median((((np.asarray(uniform.z["x"]) - MEANS) / SCALES) ** 2).sum(-1)) > 1e4


def regression(x, y=None):
    scale = numpyro.sample("scale", dist.HalfNormal(5.0))
    slope = numpyro.sample("slope", dist.Normal(0.0, 100.0))
    numpyro.sample("y", dist.Normal(50.0 + slope * x, scale), obs=y)


X = np.linspace(-1, 1, 40).astype(np.float32)
Y = 50 + 30 * X + np.random.default_rng(0).normal(size=40).astype(np.float32)


@pytest.mark.parametrize(("kernel", "method"), [(NUTS, "sequential"), (BarkerMH, "vectorized")])
def test_chains_begin_near_the_posterior(kernel, method):
    mcmc = MCMC(
        kernel(regression, init_strategy=init_to_pathfinder(max_steps=100)),
        num_warmup=0,
        num_samples=1,
        num_chains=2,
        chain_method=method,
        progress_bar=False,
    )
    mcmc.run(jax.random.key(1), X, Y)
    draws = mcmc.get_samples()
    assert np.all(np.abs(draws["slope"] - 30) < 3) and np.all(np.abs(draws["scale"] - 1) < 0.7)
    assert draws["slope"][0] != draws["slope"][1]


def test_it_serves_guides_and_initialize_model_and_pickles():
    strategy = pickle.loads(pickle.dumps(init_to_pathfinder(init_strategy=init_to_feasible, num_elbo_draws=10)))
    assert strategy == init_to_pathfinder(init_strategy=init_to_feasible, num_elbo_draws=10)
    svi = SVI(regression, AutoNormal(regression, init_loc_fn=strategy), numpyro.optim.Adam(0.01), Trace_ELBO())
    params = svi.get_params(svi.init(jax.random.key(0), X, Y))
    assert abs(float(params["slope_auto_loc"]) - 30) < 3
    info = initialize_model(jax.random.key(0), regression, init_strategy=strategy, model_args=(X, Y)).param_info
    assert abs(float(info.z["slope"]) - 30) < 3 and jnp.isfinite(info.potential_energy)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="`max_steps` must be a positive integer, got 0"):
        init_to_pathfinder(max_steps=0)
    with pytest.raises(ValueError, match="all sites of a model at once"):
        init_to_pathfinder({"type": "sample"})
    with pytest.raises(TypeError, match="steps"):
        init_to_pathfinder(steps=3)
