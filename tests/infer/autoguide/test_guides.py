"""What guides declare and return: params, shapes, plates, starts; and what they say about mistakes."""

from __future__ import annotations

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.infer import SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO, init_to_mean, init_to_value
from numpyro.infer import autoguide as ag
from numpyro.infer.model import InitializationError
from numpyro.infer.reparam import NeuTraReparam
from tests.infer.autoguide.helpers import begun, hierarchy, shapes

Y = np.array([1.0, 2.0, 3.0], np.float32)
SITES = {"mu": (), "s": (), "theta": (3,), "w": (3, 4)}


def params_of(guide, model, *args):
    svi = SVI(model, guide, numpyro.optim.Adam(0.01), Trace_ELBO())
    return svi.get_params(svi.init(jax.random.key(0), *args))


CASES = {
    "normal": (lambda: ag.AutoNormal(hierarchy), {"theta_auto_loc": (3,), "w_auto_scale": (3, 3)}),
    "delta": (lambda: ag.AutoDelta(hierarchy), {"s_auto_loc": (), "w_auto_loc": (3, 4)}),
    "diagonal": (lambda: ag.AutoDiagonalNormal(hierarchy), {"auto_loc": (14,), "auto_scale": (14,)}),
    "multivariate": (lambda: ag.AutoMultivariateNormal(hierarchy), {"auto_loc": (14,), "auto_scale_tril": (14, 14)}),
    "low rank": (
        lambda: ag.AutoLowRankMultivariateNormal(hierarchy),
        {"auto_loc": (14,), "auto_cov_factor": (14, 4), "auto_scale": (14,)},
    ),
    "iaf": (lambda: ag.AutoIAFNormal(hierarchy, num_flows=1), {}),
    "dais": (lambda: ag.AutoDAIS(hierarchy, K=2), {"auto_beta_increments": (2,), "auto_z_0_loc": (14,)}),
}


@pytest.mark.parametrize("name", CASES)
def test_params_draws_and_predictions(name):
    make, expected = CASES[name]
    guide = make()
    params = params_of(guide, hierarchy, jnp.asarray(Y))
    found = {key: np.shape(value) for key, value in params.items() if key in expected}
    assert found == expected
    draws = guide.sample_posterior(jax.random.key(1), params, sample_shape=(2, 5))
    assert shapes(draws) == {key: (2, 5, *shape) for key, shape in {**SITES, "d": (3,)}.items()}
    np.testing.assert_allclose(draws["d"], 2 * draws["theta"], rtol=1e-6)
    assert np.all(np.asarray(draws["s"]) > 0)
    np.testing.assert_allclose(np.sum(draws["w"], -1), 1.0, rtol=1e-5)
    predicted = Predictive(hierarchy, guide=guide, params=params, num_samples=4)(jax.random.key(2))
    assert shapes(predicted) == {"d": (4, 3), "y": (4, 3)}


def test_subsamples_take_their_part_of_the_params():
    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        with numpyro.plate("n", 6, subsample_size=2) as i:
            z = numpyro.sample("z", dist.LogNormal(mu, 1.0))
            numpyro.sample("y", dist.Normal(z, 1.0), obs=y[i])

    y = jnp.arange(6.0)
    for guide in (
        ag.AutoNormal(model),
        ag.AutoNormal(model, create_plates=lambda y: numpyro.plate("n", 6, subsample_size=2)),
        ag.AutoDelta(model),
    ):
        params = params_of(guide, model, y)
        assert np.shape(params["z_auto_loc"]) == (6,)
        marked = {**params, "z_auto_loc": jnp.arange(1.0, 7.0), "z_auto_scale": jnp.full(6, 1e-6)}
        with handlers.seed(rng_seed=0), handlers.trace() as found, handlers.substitute(data=marked):
            guide(y)
        assert found["z"]["value"].shape == (2,)
        assert found["z"]["scale"] == 3.0
        indices = np.asarray(found["n"]["value"])
        logs = np.asarray(found["z"]["value"])
        expected = indices + 1.0
        np.testing.assert_allclose(logs if isinstance(guide, ag.AutoDelta) else np.log(logs), expected, rtol=1e-4)
        assert guide.sample_posterior(jax.random.key(0), params)["z"].shape == (6,)
        assert guide.median(params)["z"].shape == (6,)
    with pytest.raises(ValueError, match="'z' in the plate 'n'"):
        params_of(ag.AutoDiagonalNormal(model), model, y)


def test_a_support_may_depend_on_other_values():
    def model():
        a = numpyro.sample("a", dist.Uniform(0.0, 1.0))
        numpyro.sample("b", dist.Uniform(a, 2 * a))

    for cls in (ag.AutoNormal, ag.AutoDiagonalNormal):
        guide = cls(model, init_scale=1.0)
        params = params_of(guide, model)
        draws = guide.sample_posterior(jax.random.key(0), params, sample_shape=(50,))
        assert np.all((draws["b"] > draws["a"]) & (draws["b"] < 2 * draws["a"]))
        loss = Trace_ELBO(num_particles=100).loss(jax.random.key(1), params, model, guide)
        assert np.isfinite(loss)


def test_starts_are_those_of_the_strategy():
    guide = ag.AutoNormal(hierarchy, init_loc_fn=init_to_value(values={"mu": 3.0, "s": 0.5}), init_scale=0.3)
    params = params_of(guide, hierarchy, jnp.asarray(Y))
    np.testing.assert_allclose([params["mu_auto_loc"], params["s_auto_loc"]], [3.0, np.log(0.5)], rtol=1e-6)
    np.testing.assert_allclose(params["s_auto_scale"], 0.3, rtol=1e-5)
    delta = params_of(ag.AutoDelta(hierarchy, init_loc_fn=init_to_mean, prefix="map"), hierarchy, jnp.asarray(Y))
    np.testing.assert_allclose(delta["w_map_loc"], np.full((3, 4), 0.25), rtol=1e-6)


def test_many_starts_at_once():
    """Under ``vmap`` over keys every fit starts elsewhere."""
    guide = ag.AutoDiagonalNormal(hierarchy)
    svi = SVI(hierarchy, guide, numpyro.optim.Adam(0.01), Trace_ELBO())
    states = jax.vmap(lambda key: svi.init(key, jnp.asarray(Y)))(jax.random.split(jax.random.key(0), 3))
    locs = np.asarray(svi.optim.get_params(states.optim_state)["auto_loc"])
    assert locs.shape == (3, 14)
    assert len(np.unique(locs[:, 0])) == 3


def test_guides_pickle_and_go_on():
    guide = ag.AutoDiagonalNormal(hierarchy)
    params = params_of(guide, hierarchy, jnp.asarray(Y))
    again = pickle.loads(pickle.dumps(guide))
    key = jax.random.key(0)
    assert again.sample_posterior(key, params)["mu"] == guide.sample_posterior(key, params)["mu"]


def test_divergences_in_closed_form_are_those_of_draws():
    def model():
        numpyro.sample("x", dist.Normal(1.0, 2.0))

    guide, params = begun(ag.AutoNormal(model)), {"x_auto_loc": jnp.array(0.3), "x_auto_scale": jnp.array(0.5)}
    exact = TraceMeanField_ELBO().loss(jax.random.key(0), params, model, guide)
    np.testing.assert_allclose(exact, np.log(4.0) + (0.25 + 0.49) / 8 - 0.5, rtol=1e-5)


def test_lists_put_parts_together():
    guide = ag.AutoGuideList(hierarchy)
    guide.append(ag.AutoDiagonalNormal(handlers.block(hierarchy, hide=["s"]), prefix="a"))
    guide.append(ag.AutoDelta(handlers.block(hierarchy, expose=["s"]), prefix="b"))
    params = params_of(guide, hierarchy, jnp.asarray(Y))
    assert shapes(params) == {"a_loc": (13,), "a_scale": (13,), "s_b_loc": ()}
    draws = guide.sample_posterior(jax.random.key(0), params, sample_shape=(4,))
    assert shapes(draws) == {key: (4, *shape) for key, shape in {**SITES, "d": (3,)}.items()}
    assert shapes(guide.median(params)) == SITES
    guide.append(ag.AutoNormal(handlers.block(hierarchy, expose=["s"])))
    with pytest.raises(ValueError, match="unique names but got `s` duplicated"):
        params_of(guide, hierarchy, jnp.asarray(Y))


def test_batches_need_their_dimensions():
    def model():
        with numpyro.plate("g", 3):
            numpyro.sample("a", dist.Normal(0.0, 1.0))
            numpyro.sample("w", dist.Dirichlet(np.ones(3)))

    guide = ag.AutoBatchedMultivariateNormal(model)
    params = params_of(guide, model)
    assert shapes(params) == {"auto_loc": (3, 3), "auto_scale_tril": (3, 3, 3)}
    correlated = {"auto_loc": jnp.zeros((3, 3)), "auto_scale_tril": jnp.tile(jnp.tril(jnp.ones((3, 3))), (3, 1, 1))}
    draws = guide.sample_posterior(jax.random.key(0), correlated, sample_shape=(2000,))
    first = np.asarray(dist.biject_to(dist.constraints.simplex).inv(draws["w"]))[..., 0]
    found = np.corrcoef(np.concatenate([np.asarray(draws["a"]), first], axis=1).T)
    expected = np.kron([[1, np.sqrt(0.5)], [np.sqrt(0.5), 1]], np.eye(3))
    np.testing.assert_allclose(found, expected, atol=5 / np.sqrt(2000))
    with pytest.raises(ValueError, match="Expected 1 batch dimensions, but site `mu`"):
        begun(ag.AutoBatchedMultivariateNormal(hierarchy), Y)


def test_neutra_takes_a_guide():
    guide = ag.AutoDiagonalNormal(hierarchy)
    params = params_of(guide, hierarchy, jnp.asarray(Y))
    neutra = NeuTraReparam(guide, params)
    found = handlers.trace(handlers.seed(neutra.reparam(hierarchy), 0)).get_trace(jnp.asarray(Y))
    latent = found["auto_shared_latent"]["value"]
    values = neutra.transform_sample(latent)
    np.testing.assert_allclose(values["theta"], found["theta"]["value"], rtol=1e-5)


def discrete():
    p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    numpyro.sample("k", dist.Bernoulli(p))


def test_discrete_sites_are_named_unless_they_are_to_be_enumerated():
    with pytest.raises(ValueError, match="discrete latent sites: 'k'"):
        begun(ag.AutoNormal(discrete))
    marked = handlers.infer_config(discrete, lambda site: {"enumerate": "parallel"})
    with handlers.seed(rng_seed=0):
        assert list(ag.AutoDiagonalNormal(marked)()) == ["p"]


def test_mistakes():
    nothing = lambda: numpyro.sample("y", dist.Normal(0.0, 1.0), obs=1.0)
    with pytest.raises(RuntimeError, match="found no latent variables"):
        begun(ag.AutoMultivariateNormal(nothing))
    with handlers.seed(rng_seed=0):
        assert ag.AutoNormal(nothing)() == {}
    with pytest.raises(ValueError, match="latent dim = 1"):
        begun(ag.AutoIAFNormal(lambda: numpyro.sample("x", dist.Normal(0.0, 1.0))))
    with pytest.raises(ValueError, match="init_scale must be positive"):
        ag.AutoDiagonalNormal(nothing, init_scale=0.0)
    with pytest.raises(ValueError, match="has not met its model"):
        ag.AutoNormal(hierarchy).median({})
    with pytest.raises(ValueError, match="needs a random key"):
        ag.AutoNormal(hierarchy)(Y)
    guide = begun(ag.AutoDiagonalNormal(hierarchy, prefix="other"), Y)
    with pytest.raises(KeyError, match="prefix 'other' has a param 'other_loc'"):
        guide.median({"auto_loc": jnp.zeros(14), "auto_scale": jnp.ones(14)})
    with pytest.raises(KeyError, match="'other_loc'"):
        guide.sample_posterior(jax.random.key(0), {"auto_loc": jnp.zeros(14)})

    def impossible():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("f", jnp.nan * x)

    with pytest.raises(InitializationError, match="site 'f'"):
        params_of(ag.AutoNormal(impossible), impossible)


@pytest.mark.parametrize(
    "options", [{"K": 0}, {"eta_init": 0.0}, {"eta_init": 0.2}, {"gamma_init": 1.0}, {"init_scale": 0.0}]
)
def test_options_of_annealing_have_their_ranges(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        ag.AutoDAIS(hierarchy, **options)


def test_nothing_warns_in_a_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svi = SVI(hierarchy, ag.AutoNormal(hierarchy), numpyro.optim.Adam(0.01), Trace_ELBO())
        losses = svi.run(jax.random.key(0), 3, jnp.asarray(Y), progress_bar=False).losses
    assert np.all(np.isfinite(losses))
