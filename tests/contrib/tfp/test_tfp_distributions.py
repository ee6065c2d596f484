"""Distributions of TensorFlow Probability in models, against ours of the same name; keys are fixed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density

pytest.importorskip("tensorflow_probability.substrates.jax", reason="needs the extra numpyro[tfp]")
pytestmark = pytest.mark.filterwarnings("ignore")

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
