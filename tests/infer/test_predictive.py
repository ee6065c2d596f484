"""Predictive: priors, posteriors, guides; what is returned, in which shapes, and what is said of mistakes."""

from __future__ import annotations

import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.distributions import constraints
from numpyro.infer.util import Predictive, log_likelihood
from tests.helpers.compilations import count_compilations

KEY = jax.random.key(0)


def model(n=5, y=None):
    mu = numpyro.sample("mu", dist.Normal(0, 1))
    numpyro.deterministic("double", mu * 2)
    scale = numpyro.param("scale", 1.5, constraint=constraints.positive)
    with numpyro.plate("data", n):
        z = numpyro.sample("z", dist.Normal(mu, 1))
        numpyro.sample("y", dist.Normal(z, scale), obs=y)


def guide(n=5, y=None):
    loc = numpyro.param("loc", 0.0)
    mu = numpyro.sample("mu", dist.Delta(loc))
    with numpyro.plate("data", n):
        numpyro.sample("z", dist.Normal(mu, 1))


POSTERIOR = {"mu": np.arange(4, dtype=np.float32), "z": np.arange(20, dtype=np.float32).reshape(4, 5)}


def shapes(values):
    return {name: value.shape for name, value in values.items()}


# Shapes and sites


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(0)], ids=["typed", "raw"])
def test_prior_predictive_draws_all_sites(key, parallel):
    draws = Predictive(model, num_samples=7, parallel=parallel)(key, n=3)
    assert shapes(draws) == {"mu": (7,), "double": (7,), "z": (7, 3), "y": (7, 3)}
    np.testing.assert_allclose(draws["double"], 2 * draws["mu"], rtol=1e-6)
    assert np.unique(draws["y"]).size == 21


def test_parallel_draws_are_the_same():
    one_by_one, at_once = (Predictive(model, num_samples=6, parallel=parallel)(KEY) for parallel in (False, True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), one_by_one, at_once)


@pytest.mark.parametrize("parallel", [False, True])
def test_draws_in_batches_are_the_same(parallel):
    whole, batches = [
        Predictive(model, num_samples=7, parallel=parallel, batch_size=size)(KEY, n=3) for size in (None, 3)
    ]
    jax.tree.map(np.testing.assert_array_equal, batches, whole)
    likelihoods = [
        log_likelihood(model, {"mu": POSTERIOR["mu"], "z": np.zeros((4, 5))}, n=5, y=np.ones(5), batch_size=size)["y"]
        for size in (None, 3)
    ]
    np.testing.assert_array_equal(*likelihoods)
    with pytest.raises(ValueError, match="`batch_size` must be at least 1"):
        Predictive(model, num_samples=7, batch_size=0)
    with pytest.raises(TypeError, match="`batch_size` must be an integer"):
        Predictive(model, num_samples=7, batch_size=True)


def test_a_models_own_batch_size_stays_its_own():
    def own(batch_size):
        numpyro.sample("y", dist.Normal(numpyro.sample("mu", dist.Normal(0, 1)), 1), obs=np.ones(batch_size))

    assert log_likelihood(own, {"mu": np.zeros(4)}, batch_size=3)["y"].shape == (4, 3)


def test_posterior_predictive_draws_the_other_sites():
    draws = Predictive(model, POSTERIOR)(KEY)
    assert shapes(draws) == {"double": (4,), "y": (4, 5)}
    np.testing.assert_allclose(draws["double"], 2 * POSTERIOR["mu"])
    assert shapes(Predictive(model, {"mu": POSTERIOR["mu"], "unknown": np.zeros(4)})(KEY)) == {
        "double": (4,), "y": (4, 5), "z": (4, 5)
    }  # fmt: skip


def test_observed_values_are_returned_as_they_are():
    y = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(Predictive(model, POSTERIOR)(KEY, y=y)["y"], np.tile(y, (4, 1)))


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_return_sites_may_be_of_any_kind(kind):
    sites = kind(["mu", "scale", "data", "double", "y", "unknown"])
    draws = Predictive(model, POSTERIOR, return_sites=sites)(KEY)
    assert shapes(draws) == {"data": (4, 5), "double": (4,), "mu": (4,), "scale": (4,), "y": (4, 5)}
    np.testing.assert_array_equal(draws["mu"], POSTERIOR["mu"])
    np.testing.assert_array_equal(draws["scale"], 1.5)
    assert Predictive(model, POSTERIOR, return_sites=kind())(KEY) == {}


@pytest.mark.parametrize(
    "batch_ndims, batch_shape, num_samples", [(0, (), None), (1, (4,), 4), (2, (2, 4), 8), (3, (2, 1, 3), None)]
)
@pytest.mark.parametrize("parallel", [False, True])
def test_posterior_samples_may_have_any_number_of_batch_dimensions(batch_ndims, batch_shape, num_samples, parallel):
    posterior = {"mu": np.full(batch_shape, 3.0), "z": np.zeros((*batch_shape, 5))}
    predictive = Predictive(model, posterior, batch_ndims=batch_ndims, num_samples=num_samples, parallel=parallel)
    assert predictive.num_samples == np.prod(batch_shape)
    draws = predictive(KEY)
    assert shapes(draws) == {"double": batch_shape, "y": (*batch_shape, 5)}
    np.testing.assert_array_equal(draws["double"], 6.0)


@pytest.mark.parametrize("batch_ndims, batch_shape", [(0, (6,)), (1, (6,)), (2, (1, 6)), (3, (1, 1, 6))])
def test_prior_predictive_has_the_batch_dimensions_asked_for(batch_ndims, batch_shape):
    assert Predictive(model, num_samples=6, batch_ndims=batch_ndims)(KEY)["y"].shape == (*batch_shape, 5)
    assert Predictive(model, {}, num_samples=6, batch_ndims=batch_ndims)(KEY)["mu"].shape == batch_shape


def test_samples_without_a_batch_give_one_draw():
    assert shapes(Predictive(model, {"mu": 0.5})(KEY)) == {"double": (), "y": (5,), "z": (5,)}


def test_dtypes_and_structures_of_sites_are_kept(precision):
    def mixed():
        numpyro.deterministic("tree", {"a": jnp.ones(3, bool), "b": 2})
        numpyro.sample("count", dist.Poisson(3.0))
        numpyro.sample("vector", dist.Dirichlet(np.ones(3)), sample_shape=(2,))
        numpyro.factor("f", 0.0)
        numpyro.sample("flat", dist.ImproperUniform(constraints.real, (), ()), obs=1.0)

    draws = Predictive(mixed, num_samples=4)(KEY)
    assert draws["tree"]["a"].dtype == bool and draws["tree"]["a"].shape == (4, 3) and draws["tree"]["b"].shape == (4,)
    assert jnp.issubdtype(draws["count"].dtype, jnp.integer)
    assert draws["vector"].shape == (4, 2, 3) and draws["vector"].dtype == precision
    assert draws["f"].shape == (4, 0) and draws["flat"].shape == (4,)


# Deterministic sites, params, plates


def test_deterministic_sites_are_computed_anew_unless_conditioned():
    posterior = dict(POSTERIOR, double=np.full(4, 9.0, np.float32))
    draw = lambda **options: Predictive(model, posterior, return_sites=["double"], **options)(KEY)["double"]
    np.testing.assert_array_equal(draw(), 2 * POSTERIOR["mu"])
    np.testing.assert_array_equal(draw(condition_deterministic=False), 2 * POSTERIOR["mu"])
    np.testing.assert_array_equal(draw(condition_deterministic=True), 9.0)
    with pytest.warns(FutureWarning, match="condition_deterministic"):
        np.testing.assert_array_equal(draw(exclude_deterministic=False), 9.0)
    with pytest.warns(FutureWarning, match="deprecated"):
        assert Predictive(model, posterior).exclude_deterministic is True
    with pytest.raises(ValueError, match="Only one of `condition_deterministic`"):
        draw(condition_deterministic=True, exclude_deterministic=True)


def test_a_guide_takes_the_place_of_posterior_samples():
    predictive = Predictive(model, guide=guide, params={"loc": 2.0, "scale": 1e-6}, num_samples=6)
    draws = predictive(KEY)
    assert shapes(draws) == {"double": (6,), "y": (6, 5)}
    np.testing.assert_array_equal(draws["double"], 4.0)
    all_sites = Predictive(model, guide=guide, params={"scale": 1e-6}, num_samples=6, return_sites=["mu", "z", "y"])(
        KEY
    )
    np.testing.assert_array_equal(all_sites["mu"], 0.0)
    np.testing.assert_allclose(all_sites["y"], all_sites["z"], atol=1e-4)
    assert shapes(Predictive(guide, params={"loc": 1.0}, num_samples=6)(KEY)) == {"mu": (6,), "z": (6, 5)}


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_params_fitted_in_a_batch(shape):
    loc, scale = np.arange(np.prod(shape), dtype=np.float32).reshape(shape), np.ones(shape, np.float32)
    predictive = Predictive(
        model, guide=guide, params={"loc": loc, "scale": scale}, num_samples=2, batch_ndims=len(shape)
    )
    draws = predictive(KEY)
    assert draws["y"].shape == (2, *shape, 5)
    np.testing.assert_array_equal(draws["double"], np.stack([2 * loc, 2 * loc]))
    assert np.unique(draws["y"]).size == draws["y"].size


def test_the_model_takes_the_subsample_that_its_guide_took():
    def subsampled():
        with numpyro.plate("data", 10, subsample_size=3) as indices:
            numpyro.sample("z", dist.Normal(0, 1))
            numpyro.deterministic("indices", indices)

    def local_guide():
        with numpyro.plate("data", 10, subsample_size=3) as indices:
            numpyro.sample("z", dist.Delta(jnp.asarray(indices, float)))

    draws = Predictive(subsampled, guide=local_guide, num_samples=5, return_sites=["z", "indices"])(KEY)
    np.testing.assert_array_equal(draws["z"], draws["indices"])
    alone = Predictive(subsampled, {"data": np.arange(6).reshape(2, 3)}, return_sites=["indices"])(KEY)
    np.testing.assert_array_equal(alone["indices"], np.arange(6).reshape(2, 3))


def test_partly_observed_sites():
    mask, y = np.array([True, False, True]), np.ones(3, np.float32)
    partly = lambda: numpyro.sample("y", dist.Normal(np.zeros(3), 1), obs=y, obs_mask=mask)
    draws = Predictive(partly, {"y_unobserved": np.full((2, 3), 7.0)})(KEY)
    np.testing.assert_array_equal(draws["y"], [[1, 7, 1]] * 2)
    assert Predictive(partly, num_samples=4)(KEY)["y_unobserved"].shape == (4, 3)


def test_handlers_around_the_model_are_respected():
    conditioned = Predictive(handlers.condition(model, {"mu": 1.0}), num_samples=2)(KEY)
    np.testing.assert_array_equal(conditioned["double"], 2.0)
    seeded = Predictive(handlers.seed(model, 1), num_samples=3)(KEY)
    assert np.unique(seeded["mu"]).size == 1


def test_arguments_are_concrete_to_the_model():
    def model(n, name, data):
        if float(np.asarray(data).sum()) > 0:
            numpyro.sample(name, dist.Normal(0, 1).expand([int(n)]))

    assert shapes(Predictive(model, num_samples=3)(KEY, np.array(4), "site", jnp.ones(2))) == {"site": (3, 4)}

    def branching(data):
        if jnp.sum(data) > 0:  # concrete unless traced
            numpyro.sample("x", dist.Normal(0, 1))

    assert shapes(Predictive(branching, num_samples=3, parallel=True)(KEY, jnp.ones(2))) == {"x": (3,)}
    with pytest.raises(jax.errors.TracerBoolConversionError):
        Predictive(branching, num_samples=3)(KEY, jnp.ones(2))


# Distributions


def test_conjugate_predictive_moments(x64):
    """Normal mean, known noise: the posterior predictive is N(m, v + 1). Errors of 5 sigma, so 1 test in 10^6 fails."""
    y, size = np.array([1.0, 2.0, 4.0]), 20_000
    variance = 1 / (1 + len(y))
    mean = variance * y.sum()

    def conjugate(n, y=None):
        mu = numpyro.sample("mu", dist.Normal(0, 1))
        with numpyro.plate("data", n):
            numpyro.sample("y", dist.Normal(mu, 1), obs=y)

    draws = mean + np.sqrt(variance) * np.random.default_rng(0).normal(size=size)
    predicted = Predictive(conjugate, {"mu": draws}, parallel=True)(KEY, 2)["y"]
    spread = np.sqrt(variance + 1)
    np.testing.assert_allclose(predicted.mean(0), mean, atol=5 * spread / np.sqrt(size))
    np.testing.assert_allclose(predicted.std(0), spread, atol=5 * spread / np.sqrt(2 * size))
    # Two new observations share the mean: their covariance is its variance.
    np.testing.assert_allclose(np.cov(predicted.T)[0, 1], variance, atol=5 * spread**2 / np.sqrt(size))


def test_prior_predictive_moments():
    """A sum of independent normal variables: variances 1 + 1 + 1.5^2, in 5 sigma."""
    size = 20_000
    y = Predictive(model, num_samples=size, parallel=True)(KEY, 1)["y"][:, 0]
    spread = np.sqrt(4.25)
    np.testing.assert_allclose(y.mean(), 0, atol=5 * spread / np.sqrt(size))
    np.testing.assert_allclose(y.std(), spread, atol=5 * spread / np.sqrt(2 * size))


# Programs


@pytest.mark.parametrize("parallel", [False, True])
def test_a_second_call_compiles_nothing(parallel):
    def regression(x, y=None):
        slope = numpyro.sample("slope", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(slope * x, 1), obs=y)

    x, key, other = jnp.arange(3.0), jax.random.key(1), jax.random.key(2)
    draws, other_draws = np.ones(8, np.float32), np.zeros(8, np.float32)
    Predictive(regression, {"slope": draws}, parallel=parallel)(key, x)
    Predictive(regression, num_samples=8, parallel=parallel)(key, x)
    other_x = 2 * x
    with count_compilations() as count:
        Predictive(regression, {"slope": other_draws}, parallel=parallel)(other, other_x)
        Predictive(regression, num_samples=8, parallel=parallel)(other, other_x)
    assert count() == 0


def test_a_changed_model_is_not_mistaken_for_another():
    results = [
        Predictive(lambda: numpyro.deterministic("x", jnp.arange(2) * factor), num_samples=2)(KEY)["x"]  # noqa: B023
        for factor in (1, 2)
    ]
    np.testing.assert_array_equal(results[1], 2 * results[0])


def test_it_may_be_part_of_other_programs():
    predict = lambda key, posterior: Predictive(model, posterior)(key, 5)
    eager = predict(KEY, POSTERIOR)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), eager, jax.jit(predict)(KEY, POSTERIOR))
    keys = jax.random.split(KEY, 2)
    assert jax.vmap(lambda key: Predictive(model, num_samples=3)(key))(keys)["y"].shape == (2, 3, 5)
    slope = jax.grad(lambda mu: Predictive(model, {"mu": mu})(KEY)["double"].sum())(POSTERIOR["mu"])
    np.testing.assert_array_equal(slope, 2.0)


def test_it_can_be_pickled():
    predictive = pickle.loads(pickle.dumps(Predictive(model, POSTERIOR, return_sites=["double"])))
    np.testing.assert_array_equal(predictive(KEY)["double"], 2 * POSTERIOR["mu"])
    assert type(predictive).__module__ == "numpyro.infer.util"


# Mistakes


def test_a_number_of_samples_that_disagrees_is_a_warning():
    with pytest.warns(
        UserWarning, match="size 4 is different from the provided 3 num_samples argument. Defaulting to 4"
    ):
        assert Predictive(model, POSTERIOR, num_samples=3).num_samples == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Predictive(model, POSTERIOR, num_samples=4)


@pytest.mark.parametrize(
    "args, options, error, message",
    [
        ((), {}, ValueError, "Either posterior_samples or num_samples"),
        ((), {"guide": guide}, ValueError, "Either posterior_samples or num_samples"),
        ((POSTERIOR,), {"guide": guide}, ValueError, "Only one of guide or posterior_samples"),
        (({},), {}, ValueError, "No sample sites in posterior samples"),
        (
            ({"mu": np.zeros(4), "z": np.zeros((3, 5))},),
            {},
            ValueError,
            r"site z and mu should be the same.*\(3,\) and \(4,\)",
        ),
        (([np.zeros(3)],), {}, TypeError, "dictionary of arrays"),
        ((), {"num_samples": 2.5}, TypeError, "`num_samples` must be an integer"),
        ((), {"num_samples": 0}, ValueError, "`num_samples` must be at least 1"),
        ((), {"num_samples": 2, "batch_ndims": -1}, ValueError, "`batch_ndims` must be at least 0"),
        ((), {"num_samples": 2, "return_sites": "mu"}, AssertionError, "return_sites must be a list, tuple or set"),
        ((), {"num_samples": 2, "return_sites": ""}, AssertionError, "return_sites"),
    ],
)
def test_options_that_do_not_fit(args, options, error, message):
    with pytest.raises(error, match=message):
        Predictive(model, *args, **options)


def test_models_and_keys_must_be_such():
    with pytest.raises(ValueError, match="`model` must be a function"):
        Predictive("model", num_samples=2)
    predictive = Predictive(model, num_samples=2)
    for key in (0, jax.random.split(KEY, 2), np.zeros(3)):
        with pytest.raises(TypeError, match="one random key"):
            predictive(key)


def test_discrete_sites_are_drawn_given_all_others():
    def mixture():
        c = numpyro.sample("c", dist.Categorical(logits=np.zeros(3)))
        numpyro.sample("x", dist.Normal(c, 1))

    draws = Predictive(mixture, {"x": np.full(4000, 0.4)}, infer_discrete=True)(KEY)["c"]
    weights = stats.norm.pdf(0.4, np.arange(3))
    weights /= weights.sum()
    assert draws.shape == (4000,)
    # Five standard errors: fails once in a million keys.
    assert np.all(np.abs(np.bincount(draws) / 4000 - weights) < 5 * np.sqrt(weights * (1 - weights) / 4000))
    given = {"x": np.zeros(2), "c": np.zeros(2, int)}
    assert Predictive(mixture, given, infer_discrete=True)(KEY) == {}
    assert Predictive(model, POSTERIOR, infer_discrete=True)(KEY)["y"].shape == (4, 5)
    assert Predictive(mixture, {"x": np.zeros(2)})(KEY)["c"].shape == (2,)
