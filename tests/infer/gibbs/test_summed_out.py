"""Kernels that move discrete sites sum those out that are marked for it; on densities known by enumeration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import HMC, HMCECS, MCMC, NUTS, SA, DiscreteHMCGibbs, HMCGibbs, MixedHMC
from numpyro.infer.gibbs import DiscreteGibbs, Gibbs
from tests.infer.gibbs import targets

MARK = {"enumerate": "parallel"}


def marked(y: Any) -> None:
    """The model of :func:`targets.mixed`, with the class to be summed out."""
    c = numpyro.sample("c", dist.Categorical(jnp.asarray(targets.WEIGHTS)), infer=MARK)
    x = numpyro.sample("x", dist.Normal(jnp.asarray(targets.LOCS)[c], targets.SCALE))
    numpyro.deterministic("class", 1 * c)
    with numpyro.plate("data", 3):
        b = numpyro.sample("b", dist.Bernoulli(targets.PROB))
        numpyro.sample("y", dist.Normal(x + b, 1.0), obs=y)


def draw_b(rng_key: Any, gibbs_sites: Any, hmc_sites: Any) -> dict[str, Any]:
    assert set(hmc_sites) == {"x"} and set(gibbs_sites) == {"b"}
    x = hmc_sites["x"]
    odds = 0.5 * (targets.OBSERVED - x) ** 2 - 0.5 * (targets.OBSERVED - x - 1) ** 2
    return {"b": dist.Bernoulli(logits=odds + special.logit(targets.PROB)).sample(rng_key)}


class OwnNUTS(NUTS):
    """Another kernel, whose model has the values of other sites as observations."""

    def sample(self, state: Any, model_args: Any, model_kwargs: Any) -> Any:
        return super().sample(state, model_args, model_kwargs)


KERNELS: dict[str, Callable[[], Any]] = {
    "DiscreteHMCGibbs": lambda: DiscreteHMCGibbs(NUTS(marked), modified=True),
    "MixedHMC": lambda: MixedHMC(HMC(marked, trajectory_length=1.5)),
    "HMCGibbs": lambda: HMCGibbs(NUTS(marked), draw_b, ["b"]),
    "Gibbs": lambda: Gibbs([(NUTS(marked), ["x"]), (DiscreteGibbs(marked), None)]),
    "Gibbs of another kernel": lambda: Gibbs([(DiscreteGibbs(marked), None), (OwnNUTS(marked), ["x"])]),
}
OBSERVED = jnp.asarray(targets.OBSERVED, jnp.float32)


def log_prior(x: float) -> float:
    """The log density of ``x``, the class summed out."""
    return float(special.logsumexp(np.log(targets.WEIGHTS) + stats.norm.logpdf(x, targets.LOCS, targets.SCALE)))


@pytest.mark.parametrize("name", ["DiscreteHMCGibbs", "MixedHMC"])
def test_the_potential_energy_is_of_the_sum(name: str) -> None:
    start = {"x": jnp.array(0.4), "b": jnp.array([1, 0, 1])}
    state = KERNELS[name]().init(jax.random.key(0), 5, start, (OBSERVED,), {})
    assert set(state.z) == {"x", "b"}
    b = np.array([1, 0, 1])
    terms = stats.bernoulli.logpmf(b, targets.PROB) + stats.norm.logpdf(targets.OBSERVED, 0.4 + b)
    np.testing.assert_allclose(state.hmc_state.potential_energy, -(log_prior(0.4) + terms.sum()), rtol=1e-5)


@pytest.mark.parametrize(
    "name", [n if n == "DiscreteHMCGibbs" else pytest.param(n, marks=pytest.mark.slow) for n in (*KERNELS, "NUTS")]
)
def test_means_of_a_run(name: str) -> None:
    """Within 4.5 standard errors: the mean of x, the classes drawn given it, and the switches, if they are sampled.

    NUTS sums the switches out, too.
    """
    kernel = NUTS(marked) if name == "NUTS" else KERNELS[name]()
    settings: dict[str, Any] = {"num_chains": 4, "chain_method": "vectorized", "progress_bar": False}
    mcmc = MCMC(kernel, num_warmup=200, num_samples=1000, **settings)
    mcmc.run(jax.random.key(3), OBSERVED)
    draws = mcmc.get_samples(group_by_chain=True)
    assert set(draws) == {"x", "class"} | ({"b"} if name != "NUTS" else set())
    cells, weights, mean, _ = targets.posterior()
    values = {"x": (draws["x"], weights @ mean)}
    values |= {f"class {k}": (draws["class"] == k, weights @ (cells[:, 0] == k)) for k in range(3)}
    if name != "NUTS":
        values["b"] = (draws["b"], weights @ cells[:, 1:])
    for what, (drawn, truth) in values.items():
        drawn = np.asarray(drawn, np.float64)
        error = drawn.std((0, 1)) / np.sqrt(effective_sample_size(drawn))
        assert np.all(np.abs(drawn.mean((0, 1)) - truth) < 4.5 * error), what


def test_discrete_sites_given_a_sum() -> None:
    """One discrete site moved, one summed out: the exact probabilities as the potential energies of all values."""
    table = np.array([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]])

    def model() -> None:
        u = numpyro.sample("u", dist.Categorical(jnp.array([0.2, 0.5, 0.3])))
        v = numpyro.sample("v", dist.Categorical(jnp.asarray(table)[u]), infer=MARK)
        numpyro.sample("y", dist.Normal(u - 2.0 * v, 1.0), obs=0.3)

    kernel = DiscreteGibbs(model)
    potential = jax.jit(kernel.get_potential_fn())
    likelihood = stats.norm.pdf(0.3, np.arange(3)[:, None] - 2.0 * np.arange(2), 1.0)
    expected = -np.log(np.array([0.2, 0.5, 0.3]) * (table * likelihood).sum(1))
    np.testing.assert_allclose([potential({"u": jnp.array(u)}) for u in range(3)], expected, rtol=1e-5)
    assert set(kernel.init(jax.random.key(0), 0, None, (), {}).z) == {"u"}


def test_marked_sites_are_of_no_block() -> None:
    with pytest.raises(ValueError, match=r"\['c'\] are not latent sample sites.*summed out; leave out the mark"):
        HMCGibbs(NUTS(marked), draw_b, ["c", "b"]).init(jax.random.key(0), 5, None, (OBSERVED,), {})


@pytest.mark.parametrize("cls", [NUTS, OwnNUTS])
def test_sites_without_a_mark_are_of_some_block(cls: type) -> None:
    with pytest.raises(ValueError, match=r"\['b'\] cannot be sampled by an HMC block.*DiscreteHMCGibbs.*or mark them"):
        Gibbs([(cls(marked), None)]).init(jax.random.key(0), 5, None, (OBSERVED,), {})


def test_a_block_that_does_not_sample_its_sites() -> None:
    with pytest.raises(ValueError, match=r"by SA owns the sites \['b'\], but does not sample them"):
        Gibbs([(SA(marked), None)]).init(jax.random.key(0), 5, None, (OBSERVED,), {})


def test_draws_that_would_come_again() -> None:
    def model() -> None:
        numpyro.sample("u", dist.Bernoulli(0.4))
        v = numpyro.sample("v", dist.Bernoulli(0.4), infer=MARK)
        numpyro.deterministic("not v", 1 - v)

    with pytest.raises(ValueError, match=r"deterministic sites \['not v'\] may depend on \['v'\].*Leave out the marks"):
        DiscreteGibbs(model).init(jax.random.key(0), 5, None, (), {})


def mixture(data: Any) -> None:
    """A site of all rows and one of each row, both discrete."""
    x = numpyro.sample("x", dist.Normal(0.0, 2.0))
    c = numpyro.sample("c", dist.Bernoulli(0.3))
    with numpyro.plate("N", 6, subsample_size=2):
        batch = numpyro.subsample(data, event_dim=0)
        b = numpyro.sample("b", dist.Bernoulli(0.4))
        numpyro.sample("y", dist.Normal(x + b + 2.0 * c, 1.0), obs=batch)


def test_subsamples_of_rows_that_are_sums() -> None:
    """Without a proxy: the sites of rows are summed out within the scale of the subsample, the others outside of it."""
    data = np.array([0.3, 1.2, -0.5, 2.0, 0.8, -1.1])
    start = {"x": jnp.array(0.4)}
    state = HMCECS(NUTS(mixture)).init(jax.random.key(1), 5, start, (jnp.asarray(data, jnp.float32),), {})
    assert set(state.z) == {"x", "N"}
    y = data[np.asarray(state.z["N"])]
    rows = [
        np.log(0.6 * stats.norm.pdf(y, 0.4 + 2 * c) + 0.4 * stats.norm.pdf(y, 1.4 + 2 * c)).sum() * 6 / 2
        for c in (0, 1)
    ]
    expected = stats.norm.logpdf(0.4, 0, 2) + special.logsumexp(np.log([0.7, 0.3]) + rows)
    np.testing.assert_allclose(state.hmc_state.potential_energy, -expected, rtol=1e-5)


def test_no_proxy_of_rows_that_are_sums() -> None:
    kernel = HMCECS(NUTS(mixture), proxy=HMCECS.taylor_proxy({"x": 0.0}))
    with pytest.raises(ValueError, match=r"discrete latent sites \['c', 'b'\].*leave out the proxy"):
        kernel.init(jax.random.key(0), 5, None, (jnp.zeros(6),), {})
