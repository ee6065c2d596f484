"""Distributions of TensorFlow Probability in models, against ours of the same name; keys are fixed."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.control_flow import scan
from numpyro.diagnostics import effective_sample_size
from numpyro.distributions import biject_to
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density

pytest.importorskip("tensorflow_probability.substrates.jax", reason="needs the extra numpyro[tfp]")
pytestmark = pytest.mark.filterwarnings("ignore")

from tensorflow_probability.substrates import jax as tfp  # noqa: E402

import numpyro.contrib.tfp.distributions as tfd  # noqa: E402

PAIRS = [
    (lambda d: d.Normal(jnp.zeros(3), 2.0), (3,), ()),
    (lambda d: d.LogNormal(0.3, 0.5), (), ()),
    (lambda d: d.Beta(2.0, 3.0), (), ()),
    (lambda d: d.Dirichlet(jnp.ones((2, 3))), (2,), (3,)),
    (lambda d: d.Poisson(3.0), (), ()),
]


@pytest.mark.parametrize(("make", "batch", "event"), PAIRS)
def test_densities_and_shapes_are_those_of_ours(make, batch, event):
    theirs, ours = make(tfd), make(dist)
    assert theirs.batch_shape == batch and theirs.event_shape == event
    value = ours.sample(jax.random.key(0), (4,))
    np.testing.assert_allclose(theirs.log_prob(value), ours.log_prob(value), rtol=1e-4, atol=1e-5)
    assert theirs.sample(jax.random.key(1), (2,)).shape == (2, *batch, *event)
    assert theirs.is_discrete == ours.is_discrete and np.all(theirs.support(value))


def test_a_model_of_them_is_the_model_of_ours():
    def model(d, y):
        scale = numpyro.sample("scale", d.LogNormal(0.0, 1.0))
        share = numpyro.sample("share", d.Dirichlet(jnp.ones(3)))
        with numpyro.plate("n", 4):
            numpyro.sample("y", d.Normal(share[0], scale), obs=y)

    y = jnp.array([0.1, 0.5, -0.3, 1.0])
    values = {"scale": jnp.array(0.7), "share": jnp.array([0.2, 0.3, 0.5])}
    np.testing.assert_allclose(*(log_density(model, (d, y), {}, values)[0] for d in (tfd, dist)), rtol=1e-5)
    means = []
    for d in (tfd, dist):
        mcmc = MCMC(NUTS(lambda y, d=d: model(d, y)), num_warmup=500, num_samples=3000, progress_bar=False)
        mcmc.run(jax.random.key(0), y)
        means.append(jnp.append(mcmc.get_samples()["share"].mean(0), jnp.log(mcmc.get_samples()["scale"]).mean()))
    np.testing.assert_allclose(*means, atol=0.06)


def test_discrete_sites_of_finite_support_are_summed_out():
    def model():
        c = numpyro.sample("c", tfd.Bernoulli(probs=0.3))
        numpyro.sample("x", tfd.Normal(4.0 * c, 1.0))

    mcmc = MCMC(NUTS(model), num_warmup=500, num_samples=4000, progress_bar=False)
    mcmc.run(jax.random.key(0))
    assert abs(np.mean(mcmc.get_samples()["x"] > 2) - 0.309) < 0.12


def test_names():
    assert "InverseGamma" in dir(tfd)
    with pytest.raises(AttributeError, match="no such class"):
        tfd.Norml  # noqa: B018
    with pytest.raises(TypeError, match=r"tfp\.distributions"):
        tfd.TFPDistribution(dist.Normal())


# Distributions as they come


def test_sample_takes_them_as_they_are():
    def model(d, y):
        rate = numpyro.sample("rate", d.Gamma(2.0, 3.0))
        with numpyro.plate("groups", 3):
            loc = numpyro.sample("loc", d.Normal(0.0, 1.0 / rate))
            with numpyro.plate("rows", 4):
                numpyro.sample("y", d.StudentT(4.0, loc, 1.0), obs=y)

    y = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    values = {"rate": jnp.array(0.7), "loc": jnp.array([0.2, 0.3, -0.5])}
    found = [log_density(model, (d, y), {}, values) for d in (tfp.distributions, dist)]
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5)
    sites = found[0][1]
    assert isinstance(sites["rate"]["fn"], tfd.TFPDistribution) and sites["y"]["fn"].batch_shape == (4, 3)
    draws = numpyro.infer.Predictive(model, num_samples=5)(jax.random.key(0), tfp.distributions, None)
    assert draws["y"].shape == (5, 4, 3)
    assert numpyro.sample("x", tfp.distributions.Normal(0.0, 1.0), rng_key=jax.random.key(1)).shape == ()


def test_sample_needs_no_adapter():
    """The package alone is imported."""
    program = (
        "import sys, jax, numpyro; from tensorflow_probability.substrates.jax import distributions as tfd;"
        "x = numpyro.sample('x', tfd.Normal(0., 1.), rng_key=jax.random.key(0));"
        "print(x.shape, 'numpyro.contrib.tfp' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True, text=True)
    assert output.stdout.strip() == "() False"


COVARIANCE_ROOT = np.array([[1.0, 0.0], [0.5, 0.8]], np.float32)
SUPPORTS = {
    "Gamma": lambda d: d.Gamma(3.0, 2.0),
    "InverseGamma": lambda d: d.InverseGamma(4.0, 2.0),
    "HalfNormal": lambda d: d.HalfNormal(2.0),
    "Uniform": lambda d: d.Uniform(-1.0, 3.0),
    "Beta": lambda d: d.Beta(2.0, 3.0),
    "TruncatedNormal": lambda d: d.TruncatedNormal(0.0, 1.0, -0.5, 2.0),
    "Pareto": lambda d: d.Pareto(6.0, 2.0),
    "Dirichlet": lambda d: d.Dirichlet(np.array([2.0, 3.0, 4.0], np.float32)),
    "MultivariateNormalTriL": lambda d: d.MultivariateNormalTriL(np.ones(2, np.float32), COVARIANCE_ROOT),
    "CholeskyLKJ": lambda d: d.CholeskyLKJ(3, 2.0),
    "WishartTriL": lambda d: d.WishartTriL(5.0, COVARIANCE_ROOT),
    "Independent": lambda d: d.Independent(d.Exponential(np.array([1.0, 2.0], np.float32)), 1),
    "TransformedDistribution": lambda d: d.TransformedDistribution(d.Normal(0.0, 1.0), tfp.bijectors.Exp()),
    "MixtureSameFamily": lambda d: d.MixtureSameFamily(
        d.Categorical(probs=np.array([0.3, 0.7], np.float32)), d.Gamma(np.array([2.0, 9.0], np.float32), 2.0)
    ),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_supports_are_mapped_from_unconstrained_values(name):
    """Draws come back, the Jacobian is that of autodiff, and bare numbers land in the support."""
    d = tfd.TFPDistribution(SUPPORTS[name](tfp.distributions))
    value = d.sample(jax.random.key(0))
    assert not d.is_discrete and np.all(d.support(value)) and np.shape(value) == d.event_shape
    transform = biject_to(d.support)
    z = transform.inv(value)
    assert z.shape == tuple(transform.inverse_shape(d.event_shape))
    np.testing.assert_allclose(transform(z), value, rtol=1e-3, atol=1e-4)
    again = transform(z + 0.3)
    assert np.all(d.support(again)) and np.isfinite(d.log_prob(again))
    if name in ("Gamma", "Uniform", "Pareto", "TruncatedNormal"):
        slope = jax.grad(transform)(z)
        np.testing.assert_allclose(transform.log_abs_det_jacobian(z, value), np.log(abs(slope)), rtol=1e-4, atol=1e-4)
    assert np.all(d.support(d.support.feasible_like(jnp.zeros(d.event_shape))))


@pytest.mark.parametrize("name", ["Gamma", "TruncatedNormal", "Dirichlet", "CholeskyLKJ"])
def test_nuts_finds_their_moments(name):
    """Means of draws and of their squares are those of the package's own draws, within five standard errors."""
    family = SUPPORTS[name](tfp.distributions)
    mcmc = MCMC(
        NUTS(lambda: numpyro.sample("x", family)),
        num_warmup=300,
        num_samples=1000,
        num_chains=4,
        chain_method="vectorized",
        progress_bar=False,
    )
    mcmc.run(jax.random.key(0))
    draws = np.asarray(mcmc.get_samples(group_by_chain=True)["x"], np.float64)
    direct = np.asarray(family.sample(20_000, seed=jax.random.key(1)), np.float64)
    for power in (1, 2):
        ours, theirs = draws**power, direct**power
        varies = theirs.std(0) > 1e-3
        error = np.sqrt(ours.var((0, 1)) / effective_sample_size(ours) + theirs.var(0) / len(theirs))
        assert np.all((np.abs(ours.mean((0, 1)) - theirs.mean(0)) < 5 * error)[varies])


DISCRETE = {
    "Poisson": lambda d: d.Poisson(2.0),
    "Binomial": lambda d: d.Binomial(3.0, probs=0.3),
    "Geometric": lambda d: d.Geometric(probs=0.3),
    "Multinomial": lambda d: d.Multinomial(3.0, probs=np.array([0.3, 0.7], np.float32)),
    "Independent": lambda d: d.Independent(d.Poisson(np.array([1.0, 2.0], np.float32)), 1),
    "OneHotCategorical": lambda d: d.OneHotCategorical(probs=np.array([0.3, 0.7], np.float32)),
    "Skellam": lambda d: d.Skellam(2.0, 3.0),
    "MixtureSameFamily": lambda d: d.MixtureSameFamily(
        d.Categorical(probs=np.array([0.3, 0.7], np.float32)), d.Poisson(np.array([1.0, 5.0], np.float32))
    ),
    "Bernoulli": lambda d: d.Bernoulli(probs=0.3),
    "Categorical": lambda d: d.Categorical(probs=np.array([0.3, 0.7], np.float32)),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_families_without_a_bijector_are_discrete(name):
    d = tfd.TFPDistribution(DISCRETE[name](tfp.distributions))
    value = d.sample(jax.random.key(0), (5,))
    assert d.is_discrete and not d.has_rsample and np.all(d.support(value))
    whole = np.asarray(value).astype(np.int32)
    np.testing.assert_allclose(d.log_prob(whole), d.log_prob(value), rtol=1e-6)
    if d.has_enumerate_support:
        np.testing.assert_array_equal(d.enumerate_support(), [0, 1])
        np.testing.assert_allclose(np.exp(d.log_prob(d.enumerate_support())).sum(), 1.0, rtol=1e-6)


def test_their_parameters_are_traced():
    """Through jit, vmap and scan, as children of a pytree; a bijector's bounds, too."""
    made = jax.jit(jax.vmap(lambda high: tfd.TFPDistribution(tfp.distributions.Uniform(0.0, high))))(jnp.arange(1.0, 4))
    np.testing.assert_allclose(made.tfp_dist.high, [1.0, 2.0, 3.0])

    def model():
        high = numpyro.sample("high", tfp.distributions.Gamma(3.0, 1.0))
        numpyro.sample("x", tfp.distributions.Uniform(0.0, high))

    mcmc = MCMC(NUTS(model), num_warmup=300, num_samples=1000, progress_bar=False)
    mcmc.run(jax.random.key(0))
    draws = mcmc.get_samples()
    assert np.all(draws["x"] < draws["high"])
    share = draws["x"] / draws["high"]
    assert abs(share.mean() - 0.5) < 5 * share.std() / np.sqrt(100)

    def step(carry, _):
        x = numpyro.sample("z", tfp.distributions.Normal(carry, 1.0))
        return x, None

    with numpyro.handlers.seed(rng_seed=0):
        end, _ = scan(step, 0.0, None, length=3)
    assert np.isfinite(end)


def test_discrete_families_as_they_come_are_summed_out():
    def mixture():
        c = numpyro.sample("c", tfp.distributions.Categorical(probs=jnp.array([0.7, 0.3])))
        numpyro.sample("x", tfp.distributions.Normal(4.0 * c, 1.0))

    mcmc = MCMC(NUTS(mixture), num_warmup=300, num_samples=2000, num_chains=4, chain_method="vectorized")
    mcmc.run(jax.random.key(0))
    above = np.asarray(mcmc.get_samples(group_by_chain=True)["x"] > 2, np.float64)
    error = above.std() / np.sqrt(effective_sample_size(above))
    assert abs(above.mean() - (0.7 * 0.02275 + 0.3 * 0.97725)) < 5 * error


def test_priors_of_parameters():
    def model():
        return numpyro.param("scale", 1.0)

    with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.trace() as sites:
        numpyro.handlers.lift(model, prior=tfp.distributions.Gamma(2.0, 1.0))()
    assert sites["scale"]["type"] == "sample" and isinstance(sites["scale"]["fn"], tfd.TFPDistribution)


def test_what_is_no_distribution_of_one_variable_is_named():
    joint = tfp.distributions.JointDistributionSequential([tfp.distributions.Normal(0.0, 1.0)])
    with pytest.raises(TypeError, match="several variables"):
        numpyro.sample("x", joint, rng_key=jax.random.key(0))
    with pytest.raises(TypeError, match="Invalid type for 'fn' at the site 'x'"):
        numpyro.sample("x", tfp.bijectors.Exp(), rng_key=jax.random.key(0))
