"""Simulation-based calibration of ensembles: the chains of one iteration are the draws.

Parameters are drawn from the prior, data from the parameters, and an ensemble starts from other draws of the prior.
When it has forgotten them its chains are independent draws of the posterior: the rank of the parameters among all
chains, and among those of each half, is uniform.

S. Talts et al., *Validating Bayesian inference algorithms with simulation-based calibration* (2018); M. Modrák et al.,
*Simulation-based calibration checking for Bayesian computation: the choice of test quantities shapes sensitivity*
(2023).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from numpyro.infer import AIES, ESS
from tests.helpers.calibration import (
    PRIOR,
    Prior,
    Regression,
    X,
    assert_calibrated,
    is_calibrated,
    rank_score,
    regression,
)
from tests.infer.ensemble.test_invariance import AgainstItself

CHAINS = 16


def quantities(z: Any, y: Any) -> dict[str, Any]:
    """The parameters, and the likelihood, by which a posterior that ignores the data is found out."""
    w, log_precision = z["w"], z["precision"]
    squares = jnp.sum((y - w[..., :1] - w[..., 1:] * X) ** 2, -1)
    log_likelihood = 0.5 * len(X) * log_precision - 0.5 * jnp.exp(log_precision) * squares
    return {"intercept": w[..., 0], "slope": w[..., 1], "precision": log_precision, "likelihood": log_likelihood}


def rank_scores(kernel: Any, iterations: int, simulations: int) -> dict[str, np.ndarray]:
    truth = Regression.positions(simulations)
    others = Regression.positions(simulations * CHAINS, seed=1)
    starts = {name: leaf.reshape(simulations, CHAINS, *leaf.shape[1:]) for name, leaf in others.items()}

    def simulate_and_fit(key: Any, z: Any, start: Any) -> dict[str, Any]:
        data_key, start_key = jax.random.split(key)
        y = Regression.simulate(data_key, z)
        state = kernel.init(jax.random.split(start_key, CHAINS), iterations, start, (y,), {})
        state = lax.fori_loop(0, iterations, lambda _, state: kernel.sample(state, (y,), {}), state)
        below = jax.tree.map(lambda drawn, true: drawn < true, quantities(state.z, y), quantities(z, y))
        parts = {"all": slice(None), "first": slice(CHAINS // 2), "second": slice(CHAINS // 2, None)}
        return {f"{name}, {part}": jnp.sum(b[at]) for name, b in below.items() for part, at in parts.items()}

    keys = jax.random.split(jax.random.key(2), simulations)
    ranks = jax.jit(jax.vmap(simulate_and_fit))(keys, truth, starts)
    rng = np.random.default_rng(3)
    return {
        name: rank_score(rank, CHAINS if name.endswith("all") else CHAINS // 2, rng) for name, rank in ranks.items()
    }


KERNELS: dict[str, tuple[Callable[[Prior], Any], int, int]] = {
    "AIES, differences": (lambda prior: AIES(partial(regression, prior=prior)), 300, 2000),
    "AIES, stretch": (
        lambda prior: AIES(partial(regression, prior=prior), moves={AIES.StretchMove(): 1.0}, randomize_split=True),
        300,
        2000,
    ),
    "ESS": (lambda prior: ESS(partial(regression, prior=prior)), 50, 800),
}
SLOW = ["AIES, stretch"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in KERNELS])
def test_ranks_are_uniform(name: str) -> None:
    """At an error of 1e-4 for each kernel."""
    make, iterations, simulations = KERNELS[name]
    assert_calibrated(rank_scores(make(PRIOR), iterations, simulations), independent=False)


@pytest.mark.slow
def test_a_wrong_prior_is_found_out() -> None:
    wrong = PRIOR._replace(coefficients=2.0 * PRIOR.coefficients)
    assert not is_calibrated(rank_scores(AIES(partial(regression, prior=wrong)), 300, 2000), independent=False)


def test_a_half_that_is_moved_along_itself_is_found_out() -> None:
    against_itself = AgainstItself(regression, moves={AIES.DEMove(sigma=0.3, g0=0.5): 1.0})
    assert not is_calibrated(rank_scores(against_itself, 300, 2000), independent=False)
