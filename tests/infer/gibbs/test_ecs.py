"""Energy conserving subsampling: its estimates by their formulas, its chains on densities known by quadrature."""

from __future__ import annotations

import pickle
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.ecs_proxies import block_update, taylor_proxy
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import HMCECS, MCMC, NUTS
from numpyro.infer.hmc_gibbs import estimate_likelihood

DATA = np.random.default_rng(0).normal(1.0, 1.0, 60)


def normal(data: Any, subsample: int = 12) -> None:
    m = numpyro.sample("m", dist.Normal(0.0, 3.0))
    s = numpyro.sample("s", dist.HalfNormal(2.0))
    with numpyro.plate("N", data.shape[0], subsample_size=subsample):
        batch = numpyro.subsample(data, event_dim=0)
        numpyro.sample("obs", dist.Normal(m, s), obs=batch)


def location(data: Any, subsample: int | None = 2) -> None:
    """Heavy tails, so that no proxy is exact."""
    m = numpyro.sample("m", dist.Normal(0.0, 1.0))
    with numpyro.plate("N", data.shape[0], subsample_size=subsample):
        batch = numpyro.subsample(data, event_dim=0)
        numpyro.sample("obs", dist.StudentT(3.0, m, 2.0), obs=batch)


def kernel_of(degree: int | None, **settings: Any) -> HMCECS:
    proxy = None if degree is None else HMCECS.taylor_proxy({"m": 1.0, "s": 2.0}, degree)
    return HMCECS(NUTS(normal), **{"num_blocks": 3, "proxy": proxy, **settings})


@pytest.mark.parametrize("degree", [None, 1, 2])
def test_the_potential_energy_is_its_formula(degree: int | None) -> None:
    data = jnp.asarray(DATA, jnp.float32)
    state = kernel_of(degree).init(jax.random.key(0), 5, {"m": jnp.array(0.8), "s": jnp.array(0.4)}, (data,), {})
    u = np.asarray(state.z["N"])
    assert u.shape == (12,) and state.hmc_state.z.keys() == {"m", "s"}
    # With t = log s: l = -log(2 pi)/2 - t - (y - m)^2 exp(-2 t) / 2, and its derivatives by (m, t).
    at = lambda y, m, t: -0.5 * np.log(2 * np.pi) - t - 0.5 * (y - m) ** 2 * np.exp(-2 * t)
    m0, t0 = 1.0, np.log(2.0)
    r, v = DATA - m0, np.exp(-2 * t0)
    gradient = np.stack([r * v, r**2 * v - 1], 1)
    hessian = np.stack([np.stack([-v + 0 * r, -2 * r * v], 1), np.stack([-2 * r * v, -2 * r**2 * v], 1)], 1)
    shift = np.array([0.8 - m0, 0.4 - t0])
    rows = at(DATA, 0.8, 0.4)
    if degree is None:
        estimate = 60 * rows[u].mean()
        assert state.gibbs_state == ()
    else:
        proxy = at(DATA, m0, t0) + gradient @ shift
        proxy = proxy + (0.5 * np.einsum("i,nij,j->n", shift, hessian, shift) if degree == 2 else 0)
        d = (rows - proxy)[u]
        estimate = proxy.sum() + 60 * d.mean() - 0.5 * 60**2 / 12 * d.var()
        np.testing.assert_allclose(state.gibbs_state.ref_subsample_log_lik_grads["N"], gradient[u], atol=1e-5)
    prior = stats.norm.logpdf(0.8, 0, 3) + stats.halfnorm.logpdf(np.exp(0.4), scale=2) + 0.4
    np.testing.assert_allclose(state.hmc_state.potential_energy, -(prior + estimate), rtol=2e-5)


@pytest.mark.parametrize("degree", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_exact_draws_stay_exact(degree: int) -> None:
    """The joint density of a location and two of three indices, by quadrature; 4 steps on from 6000 exact draws."""
    rows, count = np.array([-1.0, 0.5, 2.0]), 6000
    data = jnp.asarray(rows, jnp.float32)
    kernel = HMCECS(
        NUTS(location, step_size=0.5, adapt_step_size=False, adapt_mass_matrix=False),
        num_blocks=2,
        proxy=HMCECS.taylor_proxy({"m": 0.3}, degree),
    )
    log_lik = lambda m: stats.t.logpdf(rows - np.expand_dims(m, -1), 3, scale=2)
    h = 1e-3
    first = (log_lik(0.3 + h) - log_lik(0.3 - h)) / (2 * h)
    second = (log_lik(0.3 + h) - 2 * log_lik(0.3) + log_lik(0.3 - h)) / h**2 * (degree == 2)
    grid = np.linspace(-6, 6, 4001)
    shift = (grid - 0.3)[:, None]
    proxy = log_lik(0.3) + first * shift + 0.5 * second * shift**2
    pairs = np.array(list(product(range(3), range(3))))
    d = (log_lik(grid) - proxy)[:, pairs]
    log_density = proxy.sum(1)[:, None] + 3 * d.mean(2) - 0.5 * 9 / 2 * d.var(2) + stats.norm.logpdf(grid)[:, None]
    density = np.exp(log_density - log_density.max())
    weights = density.sum(0) / density.sum()
    cdfs = np.cumsum(density, 0) / density.sum(0)

    rng = np.random.default_rng(1)
    pair = rng.choice(9, count, p=weights)
    uniform = rng.random(count)
    m = np.array([np.interp(v, cdfs[:, p], grid) for v, p in zip(uniform, pair)], np.float32)
    args = (data,)
    keys = jax.random.split(jax.random.key(0), count)
    states = kernel.init(keys, 0, {"m": m}, args, {})
    states = states._replace(z={**states.z, "N": jnp.asarray(pairs[pair], jnp.int32)})
    states = jax.jit(jax.vmap(lambda state: kernel.refresh(state, args, {})))(states)
    walk = jax.jit(jax.vmap(lambda state: lax.fori_loop(0, 4, lambda _, s: kernel.sample(s, args, {}), state)))
    z = {name: np.asarray(value) for name, value in walk(states).z.items()}

    seen = np.bincount(z["N"] @ np.array([3, 1]), minlength=9)
    assert stats.chisquare(seen, weights * count).pvalue > 1e-3
    whole = density.sum(1) / density.sum()
    assert stats.kstest(np.interp(z["m"], grid, np.cumsum(whole)), "uniform").pvalue > 1e-3
    assert (z["N"] != pairs[pair]).mean() > 0.2 and (z["m"] != m).mean() > 0.5


def test_a_quadratic_likelihood_is_met_exactly() -> None:
    """For a normal mean the proxy of degree 2 has no error: the posterior is the conjugate one, within 4.5 errors."""

    def model(data: Any) -> None:
        m = numpyro.sample("m", dist.Normal(0.0, 1.0))
        with numpyro.plate("N", data.shape[0], subsample_size=10):
            numpyro.sample("obs", dist.Normal(m, 1.0), obs=numpyro.subsample(data, event_dim=0))

    kernel = HMCECS(NUTS(model), num_blocks=2, proxy=HMCECS.taylor_proxy({"m": 0.0}))
    mcmc = MCMC(kernel, num_warmup=200, num_samples=3000, progress_bar=False)
    mcmc.run(jax.random.key(0), jnp.asarray(DATA, jnp.float32), extra_fields=("accept_prob",))
    draws = np.asarray(mcmc.get_samples()["m"], np.float64)
    error = draws.std() / np.sqrt(effective_sample_size(draws[None]))
    assert abs(draws.mean() - DATA.sum() / 61) < 4.5 * error
    assert abs(draws.std() * np.sqrt(61) - 1) < 0.1
    assert mcmc.get_extra_fields()["accept_prob"].min() > 0.99


@pytest.mark.parametrize("degree", [pytest.param(None, marks=pytest.mark.slow), 2])
def test_runs_go_on_bit_for_bit(degree: int | None, tmp_path: Any) -> None:
    data = jnp.asarray(DATA, jnp.float32)
    settings: dict[str, Any] = {"num_warmup": 10, "progress_bar": False}
    whole = MCMC(kernel_of(degree), num_samples=20, **settings)
    whole.run(jax.random.PRNGKey(1), data)
    first = MCMC(pickle.loads(pickle.dumps(kernel_of(degree))), num_samples=10, **settings)
    first.run(jax.random.PRNGKey(1), data)
    second = MCMC(kernel_of(degree), num_samples=10, **settings)
    second.post_warmup_state = pickle.loads(pickle.dumps(first.last_state))
    second.run(second.post_warmup_state.rng_key, data)
    both = np.concatenate([first.get_samples()["m"], second.get_samples()["m"]])
    np.testing.assert_array_equal(both, whole.get_samples()["m"])
    assert set(whole.get_samples()) == {"m", "s"}

    pytest.importorskip("zarr")
    stored = MCMC(kernel_of(degree), num_samples=10, store=tmp_path / "run.zarr", **settings)
    stored.run(jax.random.PRNGKey(1), data)
    resumed = MCMC.resume(tmp_path / "run.zarr", kernel_of(degree), data, num_samples=20, progress_bar=False)
    np.testing.assert_array_equal(resumed.get_samples()["m"], whole.get_samples()["m"])


@pytest.mark.parametrize("num_blocks", [1, 3, 5, 12])
def test_one_block_is_drawn_anew(num_blocks: int) -> None:
    old = {"N": jnp.full(12, -1)}
    hit = np.zeros(12)
    for seed in range(200):
        new, state = block_update({"N": (50, 12)}, num_blocks, jax.random.key(seed), old, ("kept",))
        changed = np.asarray(new["N"]) >= 0
        length = -(-12 // num_blocks)
        (blocks,) = np.unique(np.flatnonzero(changed) // length)[None]
        assert len(blocks) == 1 and state == ("kept",)
        assert changed.sum() == len(range(blocks[0] * length, min(12, (blocks[0] + 1) * length)))
        assert np.asarray(new["N"]).max() < 50
        hit += changed
    assert (hit > 0).all()


def test_an_estimate_takes_the_place_of_the_likelihood() -> None:
    seen = {}

    def method(rows: Any) -> Any:
        seen.update(rows)
        return jnp.array(-7.0)

    values = {"m": jnp.array(0.0), "s": jnp.array(1.0), "N": jnp.arange(12)}
    model = numpyro.handlers.substitute(estimate_likelihood(normal, method), data=values)
    log_density, _ = numpyro.infer.util.log_density(model, (jnp.asarray(DATA, jnp.float32),), {}, {})
    prior = stats.norm.logpdf(0, 0, 3) + stats.halfnorm.logpdf(1, scale=2)
    np.testing.assert_allclose(log_density, prior - 7.0, rtol=1e-5)
    np.testing.assert_allclose(seen["N"], stats.norm.logpdf(DATA[:12]), rtol=1e-5)


def local(data: Any) -> None:
    with numpyro.plate("N", 60, subsample_size=5):
        numpyro.sample("t", dist.Normal(0.0, 1.0))


ERRORS: dict[str, tuple[Any, str]] = {
    "no kernel": (lambda: HMCECS(normal), "inner_kernel must be an HMC or NUTS"),
    "potential": (lambda: HMCECS(NUTS(potential_fn=lambda z: z["x"])), "potential function"),
    "no blocks": (lambda: HMCECS(NUTS(normal), num_blocks=0), "`num_blocks` must be a positive integer"),
    "no proxy": (lambda: HMCECS(NUTS(normal), proxy=3), "taylor_proxy"),
    "degree": (lambda: taylor_proxy({"m": 1.0}, 3), "`degree` must be 1 or 2, got 3"),
    "whole": (lambda: HMCECS(NUTS(lambda data: location(data, None))), "Cannot detect any subsample.*use NUTS"),
    "local": (lambda: HMCECS(NUTS(local)), "latent site 't' is in the plate 'N'.*SVI"),
    "missing": (lambda: HMCECS(NUTS(normal), proxy=taylor_proxy({"m": 1.0})), r"each of the latent sites \['m', 's'\]"),
    "shape": (lambda: HMCECS(NUTS(normal), proxy=taylor_proxy({"m": jnp.ones(2), "s": 1.0})), r"'m' must have shape"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    make, words = ERRORS[case]
    with pytest.raises(ValueError, match=f"(?s){words}"):
        make().init(jax.random.key(0), 5, None, (jnp.asarray(DATA),), {})


@pytest.mark.slow
def test_a_hundred_thousand_rows_against_all_data() -> None:
    """Means within 4.5 joint standard errors of NUTS on all rows, scales within 10 %."""

    def model(x: Any, y: Any, subsample: int | None) -> None:
        w = numpyro.sample("w", dist.Normal(jnp.zeros(3), 1.0).to_event(1))
        with numpyro.plate("N", x.shape[0], subsample_size=subsample):
            rows, labels = numpyro.subsample(x, event_dim=1), numpyro.subsample(y, event_dim=0)
            numpyro.sample("obs", dist.Bernoulli(logits=rows @ w), obs=labels)

    rng = np.random.default_rng(2)
    x, truth = rng.normal(size=(100_000, 3)).astype(np.float32), np.array([0.5, -1.0, 0.2], np.float32)
    y = (rng.random(100_000) < 1 / (1 + np.exp(-x @ truth))).astype(np.int32)
    proxy = HMCECS.taylor_proxy({"w": jnp.asarray(truth)}, degree=2)
    found = []
    for kernel, size in ((NUTS(model), None), (HMCECS(NUTS(model), num_blocks=10, proxy=proxy), 500)):
        mcmc = MCMC(kernel, num_warmup=300, num_samples=1500, progress_bar=False)
        mcmc.run(jax.random.key(3), jnp.asarray(x), jnp.asarray(y), size)
        draws = np.asarray(mcmc.get_samples()["w"], np.float64)
        found.append((draws.mean(0), draws.std(0), draws.var(0) / effective_sample_size(draws[None])))
    (mean, scale, error), (ecs_mean, ecs_scale, ecs_error) = found
    assert np.all(np.abs(mean - ecs_mean) < 4.5 * np.sqrt(error + ecs_error))
    np.testing.assert_allclose(ecs_scale, scale, rtol=0.1)
