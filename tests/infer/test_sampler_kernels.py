"""What all kernels of a density share: a known posterior, chain methods, thinning, state, resuming, bad input.

Keys are fixed; comparisons with the exact posterior are at five standard errors.
"""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import AIES, ESS, MCMC, SA, BarkerMH
from numpyro.infer.chees import ChEES
from numpyro.infer.mclmc import MCLMC
from numpyro.infer.mcmc import MCMCKernel

KERNELS = {
    "BarkerMH": lambda *args, **kwargs: BarkerMH(*args, **kwargs),
    "BarkerMH, dense": lambda *args, **kwargs: BarkerMH(*args, dense_mass=True, **kwargs),
    "ChEES": lambda *args, **kwargs: ChEES(*args, **kwargs),
    "MCLMC": lambda *args, **kwargs: MCLMC(*args, **kwargs),
    "SA": lambda *args, **kwargs: SA(*args, **kwargs),
    "SA, diagonal": lambda *args, **kwargs: SA(*args, dense_mass=False, **kwargs),
    "AIES": lambda *args, **kwargs: AIES(*args, **kwargs),
    "ESS": lambda *args, **kwargs: ESS(*args, **kwargs),
}
BY_CHAIN = ["BarkerMH", "MCLMC", "SA"]
ENSEMBLES = ["AIES", "ESS"]

X = np.linspace(-1, 1, 12).astype(np.float32)
Y = (0.7 - 0.4 * X + 0.5 * np.cos(7 * X)).astype(np.float32)


def model(x, y):
    """A linear regression with known noise, whose posterior is normal; its slope is positive by a transform."""
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
    log_scale = numpyro.sample("coefs", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    numpyro.deterministic("total", intercept + log_scale.sum())
    numpyro.sample("y", dist.Normal(intercept + log_scale[0] * x + log_scale[1] * x**2, 0.5), obs=y)


def exact():
    """Mean and covariance of the posterior, by the normal equations."""
    design = np.stack([np.ones_like(X), X, X**2], 1).astype(float)
    covariance = np.linalg.inv(np.eye(3) + design.T @ design / 0.25)
    return covariance @ design.T @ Y / 0.25, covariance


def mcmc_of(name, *args, num_warmup=1000, num_samples=1000, num_chains=None, chain_method=None, **kwargs):
    is_ensemble = name in ENSEMBLES
    return MCMC(
        KERNELS[name](*args),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains or (12 if is_ensemble else 4),
        chain_method=chain_method or "vectorized",
        progress_bar=False,
        **kwargs,
    )


VARIANTS = ("BarkerMH, dense", "SA, diagonal")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in VARIANTS)) for n in KERNELS])
def test_a_normal_posterior(name):
    mean, covariance = exact()
    mcmc = mcmc_of(name, model, num_warmup=2000, num_samples=8000)
    mcmc.run(jax.random.key(0), X, Y)
    draws = mcmc.get_samples(group_by_chain=True)
    flat = np.concatenate([np.asarray(draws["intercept"])[..., None], np.asarray(draws["coefs"])], -1)
    np.testing.assert_allclose(draws["total"], flat.sum(-1), atol=1e-4)

    directions = np.concatenate([np.eye(3), np.linalg.cholesky(np.linalg.inv(covariance)).T])
    for direction in directions:
        value, centre = flat @ direction, mean @ direction
        scale = np.sqrt(direction @ covariance @ direction)
        for statistic, expected in (((value - centre) / scale, 0.0), (((value - centre) / scale) ** 2, 1.0)):
            size = effective_sample_size(statistic) if name not in ENSEMBLES else _ensemble_size(statistic)
            assert size > 300
            assert abs(statistic.mean() - expected) < 5 * statistic.std() / np.sqrt(size)


def _ensemble_size(values):
    """Effective draws of an ensemble, whose chains depend on each other: those of its mean, as one chain."""
    means = values.mean(0)
    return effective_sample_size(means[None]) * values.var() / means.var()


@pytest.mark.parametrize("name", BY_CHAIN)
def test_chain_methods_agree(name):
    draws = []
    for method in ("sequential", "parallel", "vectorized"):
        mcmc = mcmc_of(name, model, num_warmup=5, num_samples=5, num_chains=2, chain_method=method)
        mcmc.run(jax.random.key(1), X, Y)
        draws.append(np.asarray(mcmc.get_samples()["coefs"]))
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_allclose(draws[0], draws[2], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["BarkerMH", "ChEES", "MCLMC", "SA", "AIES", "ESS"])
def test_thinned_draws_are_some_of_all(name):
    fields = ("inner_state.i",) if name in ENSEMBLES else ("i", "potential_energy")
    every = mcmc_of(name, model, num_warmup=10, num_samples=12)
    every.run(jax.random.key(2), X, Y, extra_fields=fields)
    thinned = mcmc_of(name, model, num_warmup=10, num_samples=12, thinning=3)
    thinned.run(jax.random.key(2), X, Y, extra_fields=fields)
    whole, part = (m.get_samples(group_by_chain=True)["coefs"] for m in (every, thinned))
    np.testing.assert_array_equal(np.asarray(whole)[:, 2::3], part)
    counts = thinned.get_extra_fields(group_by_chain=True)[fields[0]]
    np.testing.assert_array_equal(counts[0], [13, 16, 19, 22])


@pytest.mark.parametrize("name", ["BarkerMH", "ChEES", "MCLMC", "SA", "AIES", "ESS"])
def test_runs_go_on_bit_for_bit(name, tmp_path):
    pytest.importorskip("zarr")
    whole = mcmc_of(name, model, num_warmup=20, num_samples=40)
    whole.run(jax.random.key(3), X, Y)
    part = mcmc_of(name, model, num_warmup=20, num_samples=10, store=tmp_path / "run.zarr")
    part.run(jax.random.key(3), X, Y)
    rest = MCMC.resume(tmp_path / "run.zarr", KERNELS[name](model), X, Y, num_samples=40, progress_bar=False)
    for site, draws in whole.get_samples().items():
        np.testing.assert_array_equal(draws, rest.get_samples()[site])


@pytest.mark.parametrize("name", ["BarkerMH", "ChEES", "MCLMC", "SA", "AIES", "ESS"])
def test_kernels_and_states_are_pickled(name):
    mcmc = mcmc_of(name, model, num_warmup=10, num_samples=10)
    mcmc.run(jax.random.PRNGKey(4), X, Y)
    kernel, state = pickle.loads(pickle.dumps((mcmc.sampler, mcmc.last_state)))
    again = MCMC(
        kernel, num_warmup=0, num_samples=5, num_chains=mcmc.num_chains, chain_method="vectorized", progress_bar=False
    )
    again.post_warmup_state = state
    again.run(jax.random.PRNGKey(5), X, Y)
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.num_samples = 5
    mcmc.run(jax.random.PRNGKey(5), X, Y)
    np.testing.assert_array_equal(again.get_samples()["coefs"], mcmc.get_samples()["coefs"])
    assert len(np.unique(np.asarray(again.get_samples()["coefs"])[:, 0])) > mcmc.num_chains
    assert kernel.get_diagnostics_str(state)


@pytest.mark.parametrize("name", ["BarkerMH", "ChEES", "MCLMC", "SA", "AIES", "ESS"])
def test_a_potential_takes_any_pytree(name):
    def potential(z):
        return 0.5 * jnp.sum((z[0] - 1.0) ** 2) + 0.5 * z[1]["x"] ** 2

    mcmc = MCMC(
        KERNELS[name](potential_fn=potential),
        num_warmup=300,
        num_samples=1000,
        num_chains=8,
        chain_method="vectorized",
        progress_bar=False,
    )
    start = jax.random.normal(jax.random.key(0), (8, 2)), {"x": jnp.linspace(-1.0, 1.0, 8)}
    mcmc.run(jax.random.key(6), init_params=start)
    first, second = mcmc.get_samples()
    assert first.shape == (8000, 2) and second["x"].shape == (8000,)
    assert abs(float(first.mean()) - 1.0) < 0.25 and abs(float(second["x"].mean())) < 0.25
    with pytest.raises(ValueError, match="init_params"):
        mcmc.run(jax.random.key(6))


@pytest.mark.parametrize("name", ["BarkerMH", "ChEES", "MCLMC", "SA", "AIES", "ESS"])
class TestBadInput:
    def test_model_or_potential(self, name):
        for args, kwargs in (((), {}), ((model,), {"potential_fn": lambda z: z})):
            with pytest.raises(ValueError, match="Only one of `model` or `potential_fn`"):
                KERNELS[name](*args, **kwargs)
        with pytest.raises(TypeError, match="must be a function"):
            KERNELS[name](3)

    def test_models_that_it_cannot_sample(self, name):
        def with_discrete():
            numpyro.sample("c", dist.Poisson(0.3))
            numpyro.sample("x", dist.Normal().expand([2]).to_event(1))

        def with_subsample():
            x = numpyro.sample("x", dist.Normal())
            with numpyro.plate("rows", 10, subsample_size=2):
                numpyro.sample("y", dist.Normal(x), obs=0.0)

        def with_nothing():
            numpyro.sample("y", dist.Normal(), obs=0.0)

        for bad, message in (
            (with_discrete, "discrete latent sites: .c.*HMCGibbs"),
            (with_subsample, "HMCECS"),
            (with_nothing, "no.* to sample"),
        ):
            with pytest.raises(AssertionError, match=message):
                mcmc_of(name, bad, num_warmup=1, num_samples=1).run(jax.random.key(0))

    def test_starting_points(self, name):
        mcmc = mcmc_of(name, model, num_warmup=1, num_samples=1)
        with pytest.raises(ValueError, match="'coefs'"):
            mcmc.run(jax.random.key(0), X, Y, init_params={"intercept": jnp.zeros(mcmc.num_chains)})
        with pytest.raises(RuntimeError, match="Cannot find valid initial parameters.*\n.*'y'"):
            mcmc.run(jax.random.key(0), X, np.full_like(Y, np.nan))


@pytest.mark.parametrize("name", ENSEMBLES)
def test_ensembles_need_chains(name):
    for chains, message in ((1, "num_chains > 1"), (2, "at least 4"), (7, "must be even")):
        with pytest.raises(AssertionError, match=message):
            mcmc_of(name, model, num_warmup=1, num_samples=1, num_chains=chains).run(jax.random.key(0), X, Y)
    with pytest.raises(AssertionError, match="vectorized"):
        mcmc_of(name, model, chain_method="parallel").run(jax.random.key(0), X, Y)
    with pytest.warns(UserWarning, match="at least twice the number of dimensions"):
        mcmc_of(name, model, num_warmup=1, num_samples=1, num_chains=4).run(jax.random.key(0), X, Y)


def test_settings_out_of_range():
    for make, message in (
        (lambda: BarkerMH(model, step_size=0.0), "step_size"),
        (lambda: BarkerMH(model, target_accept_prob=1.0), "target_accept_prob"),
        (lambda: BarkerMH(model, dense_mass=[("a",)]), "dense_mass"),
        (lambda: SA(model, adapt_state_size=1), "greater than 1"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(AssertionError, match="dense_mass=False"):
        mcmc_of("SA", model).sampler.__class__(model, adapt_state_size=3).init(jax.random.key(0), 0, None, (X, Y))


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_kernels_and_no_more_than_that(name):
    kernel = KERNELS[name](model)
    assert isinstance(kernel, MCMCKernel) and kernel.model is model and kernel.sample_field == "z"
    wrapped = kernel.wrap_model(lambda inner: lambda *args: inner(*args))
    assert wrapped.model is not model and kernel.model is model
    assert kernel.get_constrain_fn((X, Y))({"intercept": 0.0, "coefs": jnp.zeros(2)}).keys() == {"intercept", "coefs"}


@pytest.mark.parametrize("name", ["BarkerMH", "ChEES", "MCLMC", "SA", "AIES", "ESS"])
def test_refresh_takes_the_density_of_new_data(name):
    kernel = KERNELS[name](model)
    keys = jax.random.split(jax.random.key(0), 6)
    state = kernel.init(keys if name in ENSEMBLES else keys[0], 10, None, (X, Y), {})
    fresh = kernel.refresh(state, (X, Y + 1), {})
    potential = kernel.get_potential_fn((X, Y + 1))
    expected = jax.vmap(potential)(state.z) if name in ENSEMBLES else potential(state.z)
    np.testing.assert_allclose(fresh.potential_energy, expected, rtol=1e-5)
    assert not np.allclose(state.potential_energy, fresh.potential_energy)


@pytest.mark.parametrize("name", ["SA", "AIES", "ESS"])
def test_no_gradient_is_asked_for(name):
    def potential(z):
        value = jax.pure_callback(
            lambda z: np.float32(0.5) * z**2, jax.ShapeDtypeStruct((), jnp.float32), z, vmap_method="expand_dims"
        )
        return jnp.reshape(value, ())

    mcmc = MCMC(
        KERNELS[name](potential_fn=potential),
        num_warmup=2,
        num_samples=3,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0), init_params=jnp.arange(4.0))
    assert mcmc.get_samples().shape == (12,)


@pytest.mark.parametrize("name", ["BarkerMH", "ChEES", "SA", "AIES", "ESS"])
def test_discrete_sites_of_finite_support_are_summed_out(name):
    def mixture():
        c = numpyro.sample("c", dist.Bernoulli(0.3))
        numpyro.sample("x", dist.Normal(4.0 * c, 1.0))

    mcmc = mcmc_of(name, mixture, num_warmup=500, num_samples=4000)
    mcmc.run(jax.random.key(0))
    draws = mcmc.get_samples(group_by_chain=True)
    assert set(draws) == {"x"}
    assert abs(np.mean(draws["x"] > 2.0) - (0.7 * 0.02275 + 0.3 * 0.97725)) < 0.08
