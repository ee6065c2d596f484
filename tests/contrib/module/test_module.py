"""What holds for networks of every package: their parameters are sites, and they compute with what the sites hold."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import ParamShape
from numpyro.contrib.module.parameters import is_place
from numpyro.handlers import condition, seed, substitute, trace
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, log_likelihood
from numpyro.infer.autoguide import AutoDelta, AutoNormal
from tests.contrib.module.cases import CASES, NAMES, Case, X

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(params=CASES, ids=NAMES)
def case(request) -> Case:
    pytest.importorskip(request.param.package)
    return request.param


def values_of(case: Case, params) -> dict[str, np.ndarray]:
    """The arrays of a param site by name: in the order of its leaves, biases are known by their rank."""
    leaves = jax.tree.leaves(params)
    bias = next(leaf for leaf in leaves if np.ndim(leaf) == 1)
    first, last = sorted((leaf for leaf in leaves if np.ndim(leaf) == 2), key=lambda leaf: 3 not in leaf.shape)
    return dict(zip(case.names, (first, bias, last)))


def test_fitted_parameters_are_a_param_site(case):
    with trace() as tr, seed(rng_seed=0):
        out = case.fitted()(X)
    assert list(tr) == ["nn$params"]
    assert tr["nn$params"]["type"] == "param"
    np.testing.assert_allclose(out, case.output(values_of(case, tr["nn$params"]["value"])), rtol=2e-5, atol=1e-6)


def test_given_parameters_are_used(case):
    with trace() as tr, seed(rng_seed=0):
        case.fitted()(X)
    given = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.3), tr["nn$params"]["value"])
    out = substitute(lambda: case.fitted()(X), data={"nn$params": given})()
    np.testing.assert_allclose(out, case.output(values_of(case, given)), rtol=2e-5, atol=1e-6)


def test_one_prior_is_of_all_parameters(case):
    with trace() as tr, seed(rng_seed=0):
        out = case.random(dist.Normal(0.0, 2.0))(X)
    sampled = {name.removeprefix("nn/"): site for name, site in tr.items() if site["type"] == "sample"}
    assert set(sampled) == set(case.names)
    for site in sampled.values():
        assert isinstance(site["fn"], dist.Independent)
        assert site["fn"].batch_shape == () and site["fn"].event_shape == site["value"].shape
    assert jax.tree.leaves(tr["nn$params"]["value"]) == []
    np.testing.assert_allclose(out, case.output({k: s["value"] for k, s in sampled.items()}), rtol=2e-5, atol=1e-6)


def test_priors_by_name_leave_the_rest_to_be_fitted(case):
    W, b, V = case.names
    with trace() as tr, seed(rng_seed=0):
        out = case.random({W: dist.Cauchy(), b: dist.Normal(np.zeros(4), 1.0)})(X)
    assert set(tr) == {"nn$params", f"nn/{W}", f"nn/{b}"}
    assert isinstance(tr[f"nn/{W}"]["fn"].base_dist, dist.ExpandedDistribution)
    places = [leaf for leaf in jax.tree.leaves(tr["nn$params"]["value"], is_leaf=is_place) if is_place(leaf)]
    assert sorted(place.shape for place in places) == sorted([tr[f"nn/{W}"]["value"].shape, (4,)])
    (last,) = jax.tree.leaves(tr["nn$params"]["value"])
    values = {W: tr[f"nn/{W}"]["value"], b: tr[f"nn/{b}"]["value"], V: last}
    np.testing.assert_allclose(out, case.output(values), rtol=2e-5, atol=1e-6)


def test_priors_by_a_function_of_name_and_shape(case):
    W, b, V = case.names
    seen = {}

    def prior(name, shape):
        seen[name] = shape
        return None if name == V else dist.Normal(0.0, 0.1).expand(shape).to_event() if name == W else dist.Cauchy()

    with trace() as tr, seed(rng_seed=0):
        case.random(prior)
    assert set(seen) == {W, b, V} and seen[b] == (4,)
    assert set(tr) == {"nn$params", f"nn/{W}", f"nn/{b}"}
    assert tr[f"nn/{W}"]["fn"].event_shape == seen[W]


def test_conditioned_parameters_are_used_in_place_of_draws(case):
    with trace() as tr, seed(rng_seed=0):
        case.random(dist.Normal())(X)
    data = {name: jnp.full_like(site["value"], 0.2) for name, site in tr.items() if site["type"] == "sample"}
    out = seed(condition(lambda: case.random(dist.Normal())(X), data=data), 1)()
    np.testing.assert_allclose(out, case.output({k[3:]: v for k, v in data.items()}), rtol=2e-5, atol=1e-6)


def test_priors_that_are_none(case):
    with seed(rng_seed=0):
        with pytest.raises(TypeError, match="`prior` of the module 'nn' must be a distribution"):
            case.random(3.0)
        with pytest.raises(TypeError, match="The prior of the parameter .* of the module 'nn' must be a distribution"):
            case.random(lambda name, shape: 1.0)
        with pytest.raises(ValueError, match=r"event shape \(7,\), which does not fit"):
            case.random({case.names[1]: dist.Normal(np.zeros(7), 1.0).to_event(1)})
        with pytest.warns(UserWarning, match=r"has no parameters \['kernal'\]"):
            case.random({"kernal": dist.Normal()})


def regression(case: Case):
    """A model with a prior on the first layer only, and data that the network can explain."""

    def model(x, y=None):
        net = case.random({case.names[0]: dist.Normal(0.0, 2.0)})
        mean = numpyro.deterministic("mean", net(x)[:, 0])
        with numpyro.plate("data", len(x)):
            numpyro.sample("y", dist.Normal(mean, 0.1), obs=y)

    return model, np.sin(2.0 * X[:, 0]).astype(np.float32)


def test_fitting_a_guide_and_predicting_with_it(case):
    model, y = regression(case)
    guide = AutoNormal(model)
    svi = SVI(model, guide, optax.adam(0.02), Trace_ELBO())
    first = svi.init(jax.random.key(0), X, y)
    result = svi.run(jax.random.key(0), 1000, X, y, progress_bar=False)
    assert np.mean(result.losses[-100:]) < np.mean(result.losses[:20]) - 10.0
    # The parameters without a prior were fitted, those with one have no place among the params.
    site = f"nn/{case.names[0]}"
    fitted, initial = (jax.tree.leaves(svi.get_params(state)["nn$params"]) for state in (result.state, first))
    assert len(fitted) == 2 and all(np.abs(a - b).max() > 1e-3 for a, b in zip(fitted, initial))
    found = Predictive(model, guide=guide, params=result.params, num_samples=50, return_sites=[site, "mean", "y"])(
        jax.random.key(1), X
    )
    assert found[site].shape[0] == 50 and np.std(found[site], axis=0).min() > 0.0
    rest = values_of(case, [found[site][0], *fitted])
    for draw in (0, 7):
        expected = case.output({**rest, case.names[0]: found[site][draw]})[:, 0]
        np.testing.assert_allclose(found["mean"][draw], expected, rtol=1e-4, atol=1e-5)
    assert np.abs(found["y"].mean(0) - y).max() < 0.2


def test_a_point_estimate_of_fitted_parameters(case):
    def model(x, y=None):
        numpyro.sample("y", dist.Normal(case.fitted()(x)[:, 0], 0.1).to_event(1), obs=y)

    y = np.sin(2.0 * X[:, 0])
    svi = SVI(model, AutoDelta(model), optax.adam(0.02), Trace_ELBO())
    result = svi.run(jax.random.key(0), 1000, X, y, progress_bar=False)
    at_best = 5 * np.log(0.1 * np.sqrt(2 * np.pi))  # of residuals 0
    assert abs(result.losses[-1] - at_best) < 0.5


def test_sampling_a_posterior(case):
    def model(x, y=None):
        net = case.random(dist.Normal())
        numpyro.sample("y", dist.Normal(net(x)[:, 0], 0.3).to_event(1), obs=y)

    y = np.sin(2.0 * X[:, 0]).astype(np.float32)
    mcmc = MCMC(NUTS(model), num_warmup=150, num_samples=100, progress_bar=False)
    mcmc.run(jax.random.key(0), X, y)
    draws = mcmc.get_samples()
    assert set(draws) == {f"nn/{name}" for name in case.names}
    predictions = Predictive(model, draws)(jax.random.key(1), X)["y"]
    means = np.stack([case.output({k[3:]: v[i] for k, v in draws.items()})[:, 0] for i in range(100)])
    np.testing.assert_allclose(predictions.mean(0), means.mean(0), atol=0.15)  # five errors of 0.3 / 10
    pointwise = log_likelihood(model, draws, X, y)["y"]  # without a key: nothing is to be drawn
    np.testing.assert_allclose(pointwise, dist.Normal(means, 0.3).to_event(1).log_prob(y), rtol=1e-3, atol=1e-2)


def test_places_are_static():
    assert jax.tree.leaves(ParamShape((2, 3))) == []
    assert ParamShape((2, 3)).shape == (2, 3)
    assert ParamShape((2, 3)) == ParamShape((2, 3)) != ParamShape((3, 2))
