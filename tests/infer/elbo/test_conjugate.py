"""Conjugate families, whose evidence is known: with the posterior as guide every draw gives it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats as st

import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import biject_to
from numpyro.infer import RenyiELBO, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO

KEY = jax.random.key(0)
COUNTS = np.array([3, 0, 2, 5])
TOSSES = np.array([1, 0, 1, 1, 0, 1])
X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
TARGETS = np.array([0.3, -1.0, 2.0, 0.4, 1.1, -0.2, 0.0, 0.9], np.float32)
PRECISION = np.eye(3) + X.T @ X
COVARIANCE = np.linalg.inv(PRECISION).astype(np.float32)

# name: prior, likelihood given its value, posterior, log evidence
CASES = {
    "beta, tosses": (
        dist.Beta(2.0, 3.0),
        lambda p: dist.Bernoulli(p).expand([6]),
        TOSSES,
        dist.Beta(2.0 + TOSSES.sum(), 3.0 + (1 - TOSSES).sum()),
        sp.betaln(2 + TOSSES.sum(), 3 + (1 - TOSSES).sum()) - sp.betaln(2, 3),
    ),
    "gamma, counts": (
        dist.Gamma(2.0, 1.5),
        lambda rate: dist.Poisson(rate).expand([4]),
        COUNTS,
        dist.Gamma(2.0 + COUNTS.sum(), 1.5 + 4),
        sp.gammaln(2 + COUNTS.sum())
        - sp.gammaln(2)
        + 2 * np.log(1.5)
        - (2 + COUNTS.sum()) * np.log(5.5)
        - sp.gammaln(COUNTS + 1).sum(),
    ),
    "Dirichlet, counts": (
        dist.Dirichlet(np.array([1.0, 2.0, 0.5, 1.0])),
        lambda probs: dist.Multinomial(int(COUNTS.sum()), probs=probs),
        COUNTS,
        dist.Dirichlet(np.array([1.0, 2.0, 0.5, 1.0]) + COUNTS),
        st.dirichlet_multinomial.logpmf(COUNTS, [1.0, 2.0, 0.5, 1.0], COUNTS.sum()),
    ),
    "normal, regression": (
        dist.MultivariateNormal(np.zeros(3), np.eye(3)),
        lambda w: dist.Normal(jnp.asarray(X) @ w, 1.0),
        TARGETS,
        dist.MultivariateNormal(COVARIANCE @ (X.T @ TARGETS), COVARIANCE),
        st.multivariate_normal.logpdf(TARGETS, np.zeros(8), np.eye(8) + X @ X.T),
    ),
    "Bernoulli, a value": (
        dist.Bernoulli(0.4),
        lambda x: dist.Normal(1.0 * x, 1.0),
        np.float32(0.8),
        dist.Bernoulli(0.4 * st.norm.pdf(0.8, 1) / (0.4 * st.norm.pdf(0.8, 1) + 0.6 * st.norm.pdf(0.8, 0))),
        np.log(0.4 * st.norm.pdf(0.8, 1) + 0.6 * st.norm.pdf(0.8, 0)),
    ),
}


@pytest.mark.parametrize(
    ("name", "objective"),
    [(name, objective) for name in CASES for objective in (Trace_ELBO(), RenyiELBO(num_particles=3))]
    + [("Bernoulli, a value", TraceGraph_ELBO()), ("Bernoulli, a value", TraceGraph_ELBO(3))],
    ids=lambda value: value if isinstance(value, str) else f"{type(value).__name__}-{value.num_particles}",
)
def test_with_the_posterior_every_draw_gives_the_evidence(name, objective):
    prior, likelihood, data, posterior, evidence = CASES[name]

    def model():
        numpyro.sample("y", likelihood(numpyro.sample("z", prior)), obs=data)

    losses = jax.jit(jax.vmap(lambda key: objective.loss(key, {}, model, lambda: numpyro.sample("z", posterior))))
    np.testing.assert_allclose(losses(jax.random.split(KEY, 5)), -evidence, rtol=2e-4)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("objective", [Trace_ELBO(), TraceMeanField_ELBO()], ids=lambda o: type(o).__name__)
def test_the_prior_as_guide_is_worse_by_the_divergence(name, objective):
    """ELBO = log evidence - KL(prior | posterior), the mean within 4.5 standard errors: one false alarm in 15 000."""
    prior, likelihood, data, posterior, evidence = CASES[name]

    def model():
        numpyro.sample("y", likelihood(numpyro.sample("z", prior)), obs=data)

    losses = jax.jit(jax.vmap(lambda key: objective.loss(key, {}, model, lambda: numpyro.sample("z", prior))))
    losses = np.asarray(losses(jax.random.split(KEY, 4000)), np.float64)
    expected = -evidence + float(dist.kl_divergence(prior, posterior))
    assert abs(losses.mean() - expected) < 4.5 * losses.std() / np.sqrt(len(losses))


def test_many_draws_of_a_guide_are_normalised():
    """The estimate is the mean of those of single draws: of several sites, in plates, and away from the optimum."""
    y = np.array([0.5, 1.5], np.float32)

    def model():
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("rows", 2):
            z = numpyro.sample("z", dist.Normal(mu, 1.0))
            numpyro.sample("y", dist.Normal(z, 0.5), obs=y)

    values = {"mu": np.array([0.1, -0.4, 0.9], np.float32), "z": np.arange(6, dtype=np.float32).reshape(3, 2) / 5}

    def many():
        numpyro.sample("mu", dist.Normal(0.3, 0.8).expand([3]))
        numpyro.sample("z", dist.Normal(0.2, 1.3).expand([3, 2]).to_event(1))

    log_p = st.norm.logpdf(values["mu"]) + st.norm.logpdf(values["z"], values["mu"][:, None]).sum(1)
    log_p += st.norm.logpdf(y, values["z"], 0.5).sum(1)
    log_q = st.norm.logpdf(values["mu"], 0.3, 0.8) + st.norm.logpdf(values["z"], 0.2, 1.3).sum(1)
    fixed = numpyro.handlers.substitute(many, data=values)
    loss = Trace_ELBO(multi_sample_guide=True).loss(KEY, {}, model, fixed)
    np.testing.assert_allclose(loss, -np.mean(log_p - log_q), rtol=1e-5)


# A guide on another support


def positive():
    numpyro.sample("s", dist.Gamma(20.0, 2.0).expand([2]).to_event(1))


def test_a_guide_beyond_the_support_is_named():
    wide = lambda: numpyro.sample("s", dist.Normal(np.full(2, 10.0), 0.1).to_event(1))
    with pytest.warns(UserWarning, match=r"supports disagree at site 's': .*the guide a distribution on the model's"):
        loss = Trace_ELBO().loss(KEY, {}, positive, wide)
    assert np.isfinite(loss)
    with pytest.warns(UserWarning, match="supports disagree at site 'k'"):
        Trace_ELBO().loss(
            *(KEY, {}, lambda: numpyro.sample("k", dist.Gamma(2.0, 1.0))),
            lambda: numpyro.sample("k", dist.Poisson(50.0)),
        )


@pytest.mark.parametrize(
    "guide_fn",
    [
        dist.LogNormal(np.zeros(2), 1.0).to_event(1),
        dist.Uniform(np.ones(2), 2.0).to_event(1),
        dist.Delta(np.ones(2)).to_event(1),
        dist.Delta(np.ones(2), event_dim=1),
        dist.TransformedDistribution(dist.Normal(np.zeros(2), 1.0).to_event(1), biject_to(constraints.positive)),
    ],
    ids=["lognormal", "within", "delta", "delta of vectors", "transformed"],
)
def test_guides_within_the_support_are_right(guide_fn):
    assert np.isfinite(Trace_ELBO().loss(KEY, {}, positive, lambda: numpyro.sample("s", guide_fn)))
