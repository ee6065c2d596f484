"""Annealed importance sampling: its weights estimate the evidence without bias."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer.autoguide import AutoDAIS, AutoNormal, AutoSemiDAIS, AutoSurrogateLikelihoodDAIS
from numpyro.infer.autoguide.annealing import Schedule, anneal
from tests.infer.autoguide.helpers import DATA, DESIGN, LOG_EVIDENCE, begun, elbos, regression, shapes

NUM = 10_000


def started(guide, *args):
    """The params of a guide as they start."""
    with handlers.seed(rng_seed=0), handlers.trace() as found:
        guide(*args)
    return {name: site["value"] for name, site in found.items() if site["type"] == "param"}


def require_unbiased(log_weights, log_evidence):
    """Within four standard errors of the mean weight: a false alarm once in 16 000 keys."""
    weights = np.exp(log_weights - log_evidence)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(weights))
    assert log_weights.mean() < log_evidence


def surrogate():
    """Two points of the data, which count twice."""
    a = numpyro.sample("a", dist.Normal(0.0, 1.0))
    b = numpyro.sample("b", dist.Normal(0.0, 1.0))
    weight = numpyro.param("weight", 2.0, constraint=dist.constraints.positive)
    with handlers.scale(scale=weight):
        numpyro.sample("y", dist.Normal(a * DESIGN[:2, 0] + b * DESIGN[:2, 1], 1.0).to_event(1), obs=DATA[:2])


GUIDES = {
    "diagonal": lambda: AutoDAIS(regression, K=3),
    "cholesky": lambda: AutoDAIS(regression, K=3, base_dist="cholesky"),
    "surrogate": lambda: AutoSurrogateLikelihoodDAIS(regression, surrogate, K=3),
}


@pytest.mark.parametrize("name", GUIDES)
def test_the_evidence_is_estimated_without_bias(name):
    guide = begun(GUIDES[name](), DATA)
    params = started(guide, jnp.asarray(DATA)) | {
        "auto_z_0_loc": jnp.array([0.4, 0.1]),
        "auto_eta0": jnp.array(0.08),
        "auto_eta_coeff": jnp.array(0.01),
        "auto_gamma": jnp.array(0.6),
        "auto_mass_matrix": jnp.array([0.4, 0.3]),
    }
    if name == "cholesky":
        params["auto_z_0_scale_tril"] = jnp.array([[0.8, 0.0], [-0.2, 0.7]])
    else:
        params["auto_z_0_scale"] = jnp.array([0.8, 0.7])
    assert ("weight" in params) == (name == "surrogate")
    require_unbiased(elbos(guide, params, regression, jnp.asarray(DATA), num=NUM), LOG_EVIDENCE)


def test_a_step_keeps_volume_and_reverses():
    """A leapfrog step of the opposite momentum leads back, with the opposite gain."""
    log_target = lambda z: -0.25 * jnp.sum(z**4)
    log_base = lambda z: -0.5 * jnp.sum(z**2)
    schedule = Schedule(0.3, 0.0, 1.0, 0.5, jnp.array([1.0]), jnp.array([2.0, 0.5]))
    start, momentum = jnp.array([0.5, -1.0]), jnp.array([[0.7, 0.2]])

    @jax.jit
    def of(start, momentum):
        return anneal(log_target, log_base, start, momentum, schedule)

    end, gain = of(start, momentum)
    velocity = momentum[0] / schedule.mass_matrix
    middle = start + 0.15 * velocity
    kicked = momentum[0] - 0.3 * middle**3
    np.testing.assert_allclose(end, middle + 0.15 * kicked / schedule.mass_matrix, rtol=1e-5)
    back, loss = of(end, -kicked[None])
    np.testing.assert_allclose(back, start, rtol=1e-5)
    np.testing.assert_allclose(loss, -gain, rtol=1e-4)


LOCAL = np.array([0.3, -1.0, 2.0, 0.5], np.float32)
# y_n ~ N(z_n, 1), z_n ~ N(theta, 1), theta ~ N(0, 1)
LOCAL_EVIDENCE = multivariate_normal(np.zeros(4), 2 * np.eye(4) + 1).logpdf(LOCAL)


def global_model():
    return numpyro.sample("theta", dist.Normal(0.0, 1.0))


def local_model(theta, size=4):
    with numpyro.plate("data", 4, subsample_size=size) as i:
        z = numpyro.sample("z", dist.Normal(theta, 1.0))
        numpyro.sample("y", dist.Normal(z, 1.0), obs=jnp.asarray(LOCAL)[i])


def local_guide(theta):
    with numpyro.plate("data", 4):
        numpyro.sample("z", dist.Normal(numpyro.param("start", jnp.zeros(4), event_dim=0), 0.7))


@pytest.mark.parametrize("guide_of_start", [None, local_guide])
def test_local_values_are_annealed_without_bias(guide_of_start):
    model = lambda: local_model(global_model())
    guide = AutoSemiDAIS(
        model, local_model, AutoNormal(global_model), guide_of_start, K=2, subsample_plate="data", init_scale=0.7
    )
    params = started(begun(guide)) | {
        "theta_auto_loc": jnp.array(0.45),
        "theta_auto_scale": jnp.array(0.6),
        "auto_eta0": jnp.full(4, 0.09),
        "auto_z_0_loc": jnp.asarray(LOCAL)[:, None] / 2,
    }
    if guide_of_start is not None:
        params["start"] = jnp.asarray(LOCAL) / 2
    require_unbiased(elbos(guide, params, model, num=NUM), LOCAL_EVIDENCE)


def test_a_subsample_estimates_the_bound_of_the_whole():
    bounds = {}
    for size in (2, 4):
        part = lambda theta, size=size: local_model(theta, size)
        model = lambda part=part: part(global_model())
        guide = AutoSemiDAIS(
            model, part, AutoNormal(global_model), K=2, subsample_plate="data", use_global_dais_params=True
        )
        params = started(begun(guide)) | {"theta_auto_loc": jnp.array(0.45)}
        assert shapes(params)["auto_z_0_loc"] == (4, 1)
        assert shapes(params)["auto_beta_increments"] == (2,)
        found = elbos(guide, params, model, num=NUM)
        bounds[size] = found.mean(), found.std() / np.sqrt(NUM)
        with handlers.substitute(data={"data": jnp.arange(size)}):
            assert shapes(guide.sample_posterior(jax.random.key(0), params)) == {"theta": (), "z": (size,)}
    error = np.hypot(bounds[2][1], bounds[4][1])
    assert abs(bounds[2][0] - bounds[4][0]) < 4 * error


def test_the_plate_of_local_values_must_be_known():
    model = lambda: local_model(global_model())
    with pytest.raises(ValueError, match="exactly 1 plate with data subsampling but got 0"):
        begun(AutoSemiDAIS(model, local_model, AutoNormal(global_model)))
    with pytest.raises(ValueError, match="no plate 'rows'"):
        begun(AutoSemiDAIS(model, local_model, AutoNormal(global_model), subsample_plate="rows"))
    with pytest.raises(ValueError, match=r"latent sites \['theta'\] are not in the plate"):
        begun(AutoSemiDAIS(model, local_model, subsample_plate="data"))
