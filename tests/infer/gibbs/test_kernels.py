"""Kernels of discrete and continuous sites leave posteriors known by enumeration as they are, and find them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import HMC, MCMC, NUTS, DiscreteHMCGibbs, HMCGibbs, MixedHMC
from numpyro.infer.gibbs import CustomGibbs, DiscreteGibbs, Gibbs
from tests.infer.gibbs import targets

MOVES = [{}, {"modified": True}, {"random_walk": True}, {"random_walk": True, "modified": True}]
HMC_SETTINGS: dict[str, Any] = {"step_size": 0.4, "adapt_step_size": False, "adapt_mass_matrix": False}


def inner(cls: type = NUTS, **settings: Any) -> Any:
    return cls(targets.mixed, **{**HMC_SETTINGS, **settings})


KERNELS: dict[str, Callable[[], Any]] = {
    **{f"DiscreteHMCGibbs {move}": lambda move=move: DiscreteHMCGibbs(inner(), **move) for move in MOVES},
    **{f"MixedHMC {move}": lambda move=move: MixedHMC(inner(HMC, trajectory_length=1.5), **move) for move in MOVES},
    "MixedHMC few visits": lambda: MixedHMC(inner(HMC, trajectory_length=1.5), num_discrete_updates=2),
    "MixedHMC many visits": lambda: MixedHMC(
        inner(HMC, num_steps=3, trajectory_length=None), num_discrete_updates=9, modified=True
    ),
    "HMCGibbs": lambda: HMCGibbs(inner(), targets.gibbs_fn, ["c", "b"]),
    "Gibbs of three": lambda: Gibbs(
        [
            (DiscreteGibbs(targets.mixed), ["b"]),
            (inner(), ["x"]),
            (DiscreteGibbs(targets.mixed, modified=True), ["c"]),
        ]
    ),
    "Gibbs, custom last": lambda: Gibbs([(inner(), None), (CustomGibbs(targets.gibbs_fn), ["c", "b"])]),
    "Gibbs of a mixed block": lambda: Gibbs(
        [(MixedHMC(inner(HMC, trajectory_length=1.5)), ["x", "c"]), (DiscreteGibbs(targets.mixed), ["b"])]
    ),
}
QUICK_MOVES = [move if i in (1, 2) else pytest.param(move, marks=pytest.mark.slow) for i, move in enumerate(MOVES)]
SOME = ["DiscreteHMCGibbs {'modified': True}", "MixedHMC {}", "HMCGibbs", "Gibbs of three", "Gibbs of a mixed block"]

FIELDS = ("hmc_state.num_steps", "hmc_state.diverging")
FEW = ["DiscreteHMCGibbs {'modified': True}", "MixedHMC {}"]


def quick_or_slow(name: str, quick: list[str]) -> Any:
    """A parameter of a test, marked slow where it is not one of the quick ones."""
    return name if name in quick else pytest.param(name, marks=pytest.mark.slow)


def observed() -> jax.Array:
    return jnp.asarray(targets.OBSERVED, jnp.float32)


def mcmc_of(name: str, **settings: Any) -> MCMC:
    return MCMC(KERNELS[name](), **{"num_warmup": 20, "num_samples": 30, "progress_bar": False, **settings})


@pytest.mark.parametrize("name", [quick_or_slow(name, FEW) for name in KERNELS])
def test_exact_draws_stay_exact(name: str) -> None:
    """From 8000 exact draws, 3 steps on: each part, and the joint cells, at an error of 1e-3 for each test."""
    count = 8000
    start = targets.draw_posterior(np.random.default_rng(1), count)
    kernel, args = KERNELS[name](), (observed(),)
    keys = jax.random.split(jax.random.key(2), count)
    if "mixed block" in name:  # whose kernel starts where it likes: exact draws are reached by a longer way
        states, steps = kernel.init(keys, 0, None, args, {}), 40
    else:
        states, steps = kernel.init(keys, 0, start, args, {}), 3
        np.testing.assert_array_equal(states.z["b"], start["b"])
    walk = jax.jit(jax.vmap(lambda state: lax.fori_loop(0, steps, lambda _, s: kernel.sample(s, args, {}), state)))
    z = {site: np.asarray(value) for site, value in walk(states).z.items()}

    cells, weights, _, _ = targets.posterior()
    seen = np.bincount(targets.cell_of(z), minlength=len(weights))
    assert stats.chisquare(seen, weights * count).pvalue > 1e-3
    for i in range(3):
        p = weights[cells[:, 1 + i] == 1].sum()
        assert stats.binomtest(int(z["b"][:, i].sum()), count, p).pvalue > 1e-3
    assert stats.kstest(targets.cdf_of_x(z["x"]), "uniform").pvalue > 1e-3
    assert (z["b"] != start["b"]).mean() > 0.1
    assert (z["x"] != start["x"]).mean() > 0.5


@pytest.mark.parametrize("name", [quick_or_slow(name, ["HMCGibbs"]) for name in SOME])
def test_means_of_a_run(name: str) -> None:
    """Posterior probabilities and means within 4.5 standard errors, after adaptation; deterministic sites come, too."""
    mcmc = mcmc_of(name, num_warmup=300, num_samples=3000, num_chains=2, chain_method="vectorized")
    mcmc.run(jax.random.key(3), observed())
    draws = mcmc.get_samples(group_by_chain=True)
    cells, weights, mean, _ = targets.posterior()
    wanted = {"c": weights @ (cells[:, 0] == 1), "x": weights @ mean, "b": weights @ cells[:, 1:]}
    for site, truth in wanted.items():
        values = np.asarray(draws[site] == 1 if site == "c" else draws[site], np.float64)
        error = values.std((0, 1)) / np.sqrt(effective_sample_size(values))
        assert np.all(np.abs(values.mean((0, 1)) - truth) < 4.5 * error), site
    np.testing.assert_allclose(draws["double"], 2 * draws["x"], rtol=1e-6)


@pytest.mark.parametrize("move", QUICK_MOVES, ids=str)
@pytest.mark.parametrize(
    "kind", [quick_or_slow(k, ["DiscreteGibbs"]) for k in ("DiscreteGibbs", "DiscreteHMCGibbs", "MixedHMC")]
)
def test_counts_without_continuous_sites(kind: str, move: dict[str, bool]) -> None:
    """A model of discrete sites alone, with supports 3..7 and 0..2: probabilities of the cells within 5 errors."""
    kernel = {
        "DiscreteGibbs": lambda: DiscreteGibbs(targets.counts, **move),
        "DiscreteHMCGibbs": lambda: DiscreteHMCGibbs(NUTS(targets.counts), **move),
        "MixedHMC": lambda: MixedHMC(HMC(targets.counts, num_steps=1, trajectory_length=None), **move),
    }[kind]()
    mcmc = MCMC(kernel, num_warmup=50, num_samples=800, num_chains=20, chain_method="vectorized", progress_bar=False)
    mcmc.run(jax.random.key(5))
    draws = {site: np.asarray(value) for site, value in mcmc.get_samples(group_by_chain=True).items()}
    assert set(np.unique(draws["u"])) == {3, 4, 5, 6, 7}
    for (u, v0, v1), probability in targets.counts_posterior().items():
        hit = ((draws["u"] == u) & (draws["v"][..., 0] == v0) & (draws["v"][..., 1] == v1)).mean(1)
        error = max(hit.std(ddof=1) / np.sqrt(len(hit)), np.sqrt(probability / hit.size) + 1e-4)
        assert abs(hit.mean() - probability) < 5 * error, (u, v0, v1)


def test_discrete_values_keep_their_dtype_and_shape() -> None:
    state = DiscreteHMCGibbs(NUTS(targets.counts)).init(jax.random.PRNGKey(0), 10, None, (), {})
    assert state.z["u"].dtype == jnp.int32 and state.z["v"].shape == (2,)
    assert type(state).__name__ == "HMCGibbsState"
    assert state._fields == ("z", "block_states", "rng_key")
    assert state.hmc_state is state.block_states[1]
    assert state.rng_key.dtype == jnp.uint32


@pytest.mark.parametrize("name", [quick_or_slow(name, FEW[:1]) for name in SOME])
def test_draws_are_the_same_by_all_chain_methods(name: str) -> None:
    drawn = []
    for method in ("sequential", "parallel", "vectorized"):
        mcmc = mcmc_of(name, num_chains=2, chain_method=method, num_samples=8, num_warmup=0)
        mcmc.run(jax.random.key(0), observed())
        drawn.append(mcmc.get_samples())
    for other in drawn[1:]:
        np.testing.assert_array_equal(drawn[0]["c"], other["c"])
        np.testing.assert_allclose(drawn[0]["x"], other["x"], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("name", [quick_or_slow(name, FEW) for name in SOME])
def test_runs_go_on_bit_for_bit(name: str, tmp_path: Any) -> None:
    """From a pickled kernel and state after warm-up, and from a store."""
    whole = mcmc_of(name, num_warmup=20, num_samples=20, thinning=2)
    whole.run(jax.random.key(1), observed())
    first = pickle.loads(pickle.dumps(mcmc_of(name, num_warmup=20, num_samples=10, thinning=2)))
    first.run(jax.random.key(1), observed())
    second = mcmc_of(name, num_warmup=20, num_samples=10, thinning=2)
    second.post_warmup_state = pickle.loads(pickle.dumps(first.last_state))
    second.run(second.post_warmup_state.rng_key, observed())
    for site, draws in whole.get_samples().items():
        both = np.concatenate([first.get_samples()[site], second.get_samples()[site]])
        np.testing.assert_array_equal(both, draws)

    pytest.importorskip("zarr")
    stored = mcmc_of(name, num_warmup=20, num_samples=10, thinning=2, store=tmp_path / "run.zarr")
    stored.run(jax.random.key(1), observed())
    resumed = MCMC.resume(tmp_path / "run.zarr", KERNELS[name](), observed(), num_samples=20, progress_bar=False)
    for site, draws in whole.get_samples().items():
        np.testing.assert_array_equal(resumed.get_samples()[site], draws)


def test_extra_fields_and_words_for_the_bar() -> None:
    mcmc = mcmc_of("DiscreteHMCGibbs {}")
    mcmc.run(jax.random.key(0), observed(), extra_fields=FIELDS)
    extra = mcmc.get_extra_fields()
    assert set(extra) == set(FIELDS) and extra["hmc_state.num_steps"].shape == (30,)
    assert "acc. prob" in mcmc.sampler.get_diagnostics_str(mcmc.last_state)
    three = KERNELS["Gibbs of three"]()
    state = three.init(jax.random.key(0), 10, None, (observed(),), {})
    assert "steps of size" in three.get_diagnostics_str(state)


def test_energies_are_those_of_the_final_values() -> None:
    """What the state caches belongs to its values, though other blocks moved after it was computed."""
    mcmc = mcmc_of("DiscreteHMCGibbs {}")
    mcmc.run(jax.random.key(0), observed(), extra_fields=FIELDS)  # with the program of the test before
    state, kernel = mcmc.last_state, mcmc.sampler
    fresh = kernel.refresh(state, (observed(),), {})
    np.testing.assert_allclose(state.hmc_state.potential_energy, fresh.hmc_state.potential_energy, rtol=1e-5)
    np.testing.assert_allclose(state.hmc_state.z_grad["x"], fresh.hmc_state.z_grad["x"], rtol=1e-4)


def test_inner_kernel_adapts() -> None:
    """The step size and the mass matrix of a narrow site are learnt through the Gibbs kernel."""

    def model() -> None:
        c = numpyro.sample("c", dist.Bernoulli(0.5))
        numpyro.sample("x", dist.Normal(1e-3 * c, 1e-2))

    for kernel in (DiscreteHMCGibbs(NUTS(model)), MixedHMC(HMC(model, trajectory_length=1.0))):
        mcmc = MCMC(kernel, num_warmup=400, num_samples=50, progress_bar=False)
        mcmc.run(jax.random.key(0))
        (inverse,) = mcmc.last_state.hmc_state.adapt_state.inverse_mass_matrix.values()
        assert 3e-5 < inverse.item() < 4e-4
        assert np.unique(mcmc.get_samples()["x"]).size > 40


def test_models_that_compute_with_their_data_in_python() -> None:
    """Arrays whose values the model's Python code needs are compiled in; values of sites never are."""

    def model(sizes: Any) -> None:
        c = numpyro.sample("c", dist.Binomial(int(np.asarray(sizes)[0]), 0.5))
        numpyro.sample("x", dist.Normal(10.0 * c, 1.0))

    mcmc = MCMC(DiscreteHMCGibbs(NUTS(model), random_walk=True), num_warmup=50, num_samples=50, progress_bar=False)
    mcmc.run(jax.random.key(0), np.array([2, 3]))
    draws = mcmc.get_samples()
    np.testing.assert_allclose(draws["x"], 10.0 * draws["c"], atol=5)


def test_closures_are_run_time_values() -> None:
    """Two kernels whose functions differ in an array that they capture do not share what is compiled in."""
    found = []
    for loc in (0.0, 100.0):
        at = jnp.full((), loc)

        def model() -> None:
            x = numpyro.sample("x", dist.Normal(0.0, 200.0))
            numpyro.sample("y", dist.Normal(x, 1.0))

        kernel = HMCGibbs(NUTS(model), lambda rng_key, gibbs_sites, hmc_sites, at=at: {"x": at}, ["x"])
        mcmc = MCMC(kernel, num_warmup=20, num_samples=10, progress_bar=False)
        mcmc.run(jax.random.key(0))
        found.append(float(mcmc.get_samples()["x"][-1]))
    assert found == [0.0, 100.0]
