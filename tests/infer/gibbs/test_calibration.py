"""Simulation-based calibration: for parameters and data drawn from a model, the ranks of the parameters among the draws
of their posteriors are uniform.

S. Talts et al., *Validating Bayesian inference algorithms with simulation-based calibration* (2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from numpyro.infer import HMC, MCMC, NUTS, DiscreteHMCGibbs, MixedHMC
from tests.infer.gibbs import targets

KERNELS: dict[str, Callable[[], Any]] = {
    "DiscreteHMCGibbs": lambda: DiscreteHMCGibbs(NUTS(targets.mixed), modified=True),
    "MixedHMC": lambda: MixedHMC(HMC(targets.mixed, trajectory_length=2.0), num_discrete_updates=8),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_ranks_are_uniform(name: str) -> None:
    """240 replications of 39 draws, at an error of 1e-3 for each of the class, the mean, and the number of switches."""
    rng = np.random.default_rng(4)
    mcmc = MCMC(KERNELS[name](), num_warmup=150, num_samples=39 * 20, thinning=20, progress_bar=False)
    ranks = []
    for replication in range(240):
        c = rng.choice(3, p=targets.WEIGHTS)
        x, b = rng.normal(targets.LOCS[c], targets.SCALE), rng.random(3) < targets.PROB
        y = rng.normal(x + b, 1.0)
        mcmc.run(jax.random.key(replication), jnp.asarray(y, jnp.float32))
        draws = mcmc.get_samples()
        pairs = [(c, draws["c"]), (x, draws["x"]), (b.sum(), np.sum(draws["b"], -1))]
        # Ties are broken at random.
        ranks.append([np.sum(np.asarray(d) + 1e-3 * rng.random(39) < v + 1e-3 * rng.random()) for v, d in pairs])
    for column in np.array(ranks).T:
        assert stats.chisquare(np.bincount(column // 5, minlength=8)).pvalue > 1e-3
