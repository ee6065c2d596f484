"""Chains that are batched walk the same chains whether they keep in step or each goes at its own pace."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, MCMC, NUTS
from numpyro.infer.mcmc.engine import PACE


def scales():
    numpyro.sample("x", dist.Normal(0, jnp.array([0.2, 1.0, 3.0])).to_event(1))


def run(kernel, method, num_chains=3, **settings):
    settings = {"num_warmup": 25, "num_samples": 10} | settings
    mcmc = MCMC(kernel(), num_chains=num_chains, chain_method=method, progress_bar=False, **settings)
    mcmc.run(jax.random.key(0), extra_fields=("num_steps", "adapt_state.step_size"))
    return mcmc


def facts(mcmc):
    extra = mcmc.get_extra_fields(group_by_chain=True)
    last = mcmc.last_state
    return {
        "x": mcmc.get_samples(group_by_chain=True)["x"],
        "num_steps": extra["num_steps"],
        "step_size": extra["adapt_state.step_size"],
        "accept": last.mean_accept_prob,
        "last": jax.tree.leaves(last.z)[0],
        "iterations": last.i,
    }


KERNELS = {
    "defaults": lambda: NUTS(scales),
    "dense": lambda: NUTS(scales, dense_mass=True, max_tree_depth=(4, 6)),
    "fixed length": lambda: HMC(scales, trajectory_length=None, num_steps=5),
}


@pytest.mark.parametrize("case", KERNELS)
def test_all_paces_walk_the_same_chains(case, monkeypatch, x64):
    kernel = KERNELS[case]
    expected = facts(run(kernel, "sequential"))
    for pace in ("own", "common"):
        monkeypatch.setenv(PACE, pace)
        found = facts(run(kernel, "vectorized"))
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-8, err_msg=f"{pace}: {name}")
    if case == "defaults":
        assert len(np.unique(expected["num_steps"])) > 1  # trajectories of different lengths, or nothing was tested


def test_thinning_keeps_the_same_draws(monkeypatch, x64):
    monkeypatch.setenv(PACE, "own")
    settings = {"num_warmup": 7, "num_samples": 9, "thinning": 2}
    expected, found = (facts(run(KERNELS["defaults"], method, **settings)) for method in ("sequential", "vectorized"))
    np.testing.assert_allclose(found["x"], expected["x"], rtol=1e-6)
    np.testing.assert_array_equal(found["num_steps"], expected["num_steps"])


def test_an_unknown_pace_is_refused(monkeypatch):
    monkeypatch.setenv(PACE, "fast")
    with pytest.raises(ValueError, match="NUMPYRO_VECTORIZED_PACE.*'own' or 'common', got 'fast'"):
        run(KERNELS["defaults"], "vectorized")
