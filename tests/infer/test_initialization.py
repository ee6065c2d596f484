"""Initial values: in the support, of the right shape, where the strategy says."""

from __future__ import annotations

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.distributions import constraints
from numpyro.infer import initialize_model
from numpyro.infer.initialization import (
    init_to_feasible,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)

STRATEGIES = {
    "uniform": init_to_uniform,
    "feasible": init_to_feasible,
    "median": init_to_median,
    "mean": init_to_mean,
    "sample": init_to_sample,
    "value": init_to_value,
}

FAMILIES = {
    "Normal": lambda: dist.Normal(3, 2),
    "HalfNormal": lambda: dist.HalfNormal(np.ones(2)),
    "Uniform": lambda: dist.Uniform(1.0, 3.0),
    "Dirichlet": lambda: dist.Dirichlet(np.ones((2, 3))),
    "LKJCholesky": lambda: dist.LKJCholesky(3, 1.0),
    "MultivariateNormal": lambda: dist.MultivariateNormal(np.ones(2), np.eye(2)),
    "Cauchy": lambda: dist.Cauchy(0.0, 1.0),
    "HalfCauchy": lambda: dist.HalfCauchy(np.ones(2)),
    "ImproperUniform": lambda: dist.ImproperUniform(constraints.positive, (2,), ()),
    "masked": lambda: dist.Normal(3.0, 2.0).mask(False),
    "independent": lambda: dist.Exponential(np.ones((2, 3))).to_event(1),
    "expanded": lambda: dist.Gamma(2.0, 1.0).expand([4]),
    "ordered": lambda: dist.TransformedDistribution(
        dist.Normal(0, 1).expand([3]).to_event(1), dist.transforms.OrderedTransform()
    ),
}


def site(fn, key=0, sample_shape=(), value=None, is_observed=False):
    rng_key = None if key is None else jax.random.key(key)
    kwargs = {"rng_key": rng_key, "sample_shape": sample_shape}
    return {
        "type": "sample",
        "name": "x",
        "fn": fn,
        "value": value,
        "is_observed": is_observed,
        "kwargs": kwargs,
        "infer": {},
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_values_lie_in_the_support_and_have_the_shape_of_the_site(family):
    fn, sample_shape = FAMILIES[family](), (2,) if family in ("LKJCholesky", "expanded", "HalfCauchy") else ()
    initial = jax.jit(lambda: {name: init(site(fn, sample_shape=sample_shape)) for name, init in STRATEGIES.items()})
    for value in initial().values():
        assert value.shape == (*sample_shape, *fn.shape())
        assert jnp.issubdtype(value.dtype, jnp.floating)
        assert np.isfinite(value).all()
        assert np.all(fn.support(value))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_there_is_nothing_to_initialise(strategy):
    strategy = STRATEGIES[strategy]
    assert strategy(site(dist.Normal(0, 1), value=1.0, is_observed=True)) is None
    assert strategy(site(dist.Bernoulli(0.5))) is None
    for other in (
        {"type": "param", "name": "x", "fn": lambda x: x, "args": (1.0,), "kwargs": {}, "value": None},
        {"type": "deterministic", "name": "x", "value": 1.0},
        {"type": "plate", "name": "x", "fn": None, "args": (3, None), "kwargs": {}, "value": None},
    ):
        assert strategy(other) is None
    with pytest.warns(UserWarning, match="skipping initialization of site 'x' which already stores a value"):
        assert strategy(site(dist.Normal(0, 1), value=1.0)) == 1.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_without_a_site_are_partials_that_pickle(strategy):
    prepared = STRATEGIES[strategy]()
    assert isinstance(prepared, partial)
    expected = STRATEGIES[strategy](site(dist.HalfNormal(1.0)))
    assert prepared(site(dist.HalfNormal(1.0))) == expected
    assert pickle.loads(pickle.dumps(prepared))(site(dist.HalfNormal(1.0))) == expected


def test_uniform_fills_its_interval_in_the_unconstrained_space():
    fn = dist.Uniform(1.0, 3.0).expand([4000])
    for strategy, radius in ((init_to_uniform, 2.0), (init_to_uniform(radius=0.5), 0.5)):
        unconstrained = dist.biject_to(fn.support).inv(strategy(site(fn)))
        ranks = np.sort(np.asarray(unconstrained)) / (2 * radius) + 0.5
        # Kolmogorov-Smirnov distance to the uniform distribution, 99.9 % quantile 1.95 / sqrt(n)
        assert np.abs(ranks - (np.arange(4000) + 0.5) / 4000).max() < 1.95 / np.sqrt(4000)


def test_feasible_is_zero_in_the_unconstrained_space_and_needs_no_key():
    assert init_to_feasible(site(dist.HalfNormal(1.0), key=None)) == 1.0
    assert init_to_feasible(site(dist.Uniform(1.0, 3.0), key=None)) == 2.0
    np.testing.assert_allclose(
        init_to_feasible(site(dist.Dirichlet(np.ones(4)), key=None)), np.full(4, 0.25), rtol=1e-6
    )


def test_median_and_sample_come_from_the_prior():
    fn = dist.Exponential(1.0).expand([2000])
    sample = np.asarray(init_to_sample(site(fn)))
    # mean 1, standard error 1/sqrt(2000); the bound is four of them
    assert abs(sample.mean() - 1) < 4 / np.sqrt(2000)
    median = init_to_median(num_samples=5001)(site(dist.Exponential(1.0)))
    # the median of n draws has standard error 1 / (2 f(m) sqrt(n)) = 1 / sqrt(n)
    assert abs(median - np.log(2)) < 4 / np.sqrt(5001)
    assert init_to_median(site(dist.Exponential(1.0)), num_samples=1) == init_to_sample(site(dist.Exponential(1.0)))


def test_mean_is_the_mean_and_feasible_where_there_is_none():
    np.testing.assert_allclose(init_to_mean(site(dist.Gamma(2.0, np.array([1.0, 4.0])), key=None)), [2.0, 0.5])
    fn = dist.StudentT(np.array([3.0, 0.5]), 7.0, 1.0)
    for strategy in (init_to_mean, jax.jit(lambda: init_to_mean(site(fn, key=None)))):
        np.testing.assert_allclose(strategy(site(fn, key=None)) if strategy is init_to_mean else strategy(), [7.0, 0.0])
    assert init_to_mean(site(dist.HalfCauchy(1.0), key=None)) == 1.0


def test_values_by_name_and_uniform_for_the_rest():
    strategy = init_to_value(values={"x": 3.0})
    assert strategy(site(dist.Normal(0, 1))) == 3.0
    assert strategy(site(dist.Poisson(0.5))) == 3.0
    assert strategy(site(dist.Normal(0, 1), value=1.0, is_observed=True)) is None
    other = site(dist.Normal(0, 1)) | {"name": "y"}
    assert strategy(other) == init_to_uniform(other)


class WithoutSupport(dist.Distribution):
    def log_prob(self, value):
        return -(value**2)


class Unregistered(constraints.ParameterFreeConstraint):
    event_dim = 0

    def __call__(self, x):
        return x > 3


@pytest.mark.parametrize(
    ("fn", "error", "message"),
    [
        (dist.ProjectedNormal(np.ones(2)), ValueError, "spherical sample site 'x'.*'x': ProjectedNormalReparam"),
        (WithoutSupport((), ()), UsageError, "'x': WithoutSupport declares no support.*support = constraints.real"),
        (dist.ImproperUniform(Unregistered(), (), ()), NotImplementedError, "'x' .ImproperUniform.*register"),
    ],
)
def test_a_site_without_a_bijection_is_named_before_inference_starts(fn, error, message):
    with pytest.raises(error, match=message):
        initialize_model(jax.random.key(0), lambda: numpyro.sample("x", fn))


def test_given_values_of_a_wrong_shape_name_the_site():
    strategy = init_to_value(values={"x": np.ones(3)})
    with pytest.raises(UsageError, match=r"site 'x'.*shape \(3,\), where the site has \(\)"):
        initialize_model(jax.random.key(0), lambda: numpyro.sample("x", dist.Gamma(1.0, 1.0)), init_strategy=strategy)


def test_mistakes():
    with pytest.raises(UsageError, match="'x' has no random key"):
        init_to_uniform(site(dist.Normal(0, 1), key=None))
    with pytest.raises(UsageError, match=r"takes a site.*values=\{"):
        init_to_value({"x": 3.0})
    with pytest.raises(ValueError, match="radius"):
        init_to_uniform(radius=-1.0)
    with pytest.raises(ValueError, match="num_samples"):
        init_to_median(num_samples=0)
    with pytest.raises(ValueError, match="spherical sample site 'x'.*ProjectedNormalReparam"):
        init_to_uniform(site(dist.ImproperUniform(constraints.sphere, (), (3,))))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_substitute_into_models_under_jit(strategy):
    def model():
        scale = numpyro.sample("scale", dist.HalfNormal(1.0))
        with numpyro.plate("p", 3):
            numpyro.sample("x", dist.Uniform(0, scale))
            numpyro.sample("z", dist.Bernoulli(0.5))
        numpyro.sample("y", dist.Normal(0, scale), obs=1.0)

    def initial(key):
        seeded = handlers.seed(model, rng_seed=key)
        sites = handlers.trace(handlers.substitute(seeded, substitute_fn=STRATEGIES[strategy])).get_trace()
        return {name: site["value"] for name, site in sites.items() if site["type"] == "sample"}

    values = jax.jit(initial)(jax.random.key(1))
    assert values["scale"] > 0
    assert ((values["x"] > 0) & (values["x"] < values["scale"])).all()
    assert values["y"] == 1.0
    assert values["z"].dtype == jnp.asarray(0).dtype


def test_precision(precision):
    for strategy in STRATEGIES.values():
        assert strategy(site(dist.Normal(3, 2))).dtype == precision


def test_a_value_outside_the_support_is_named():
    model = handlers.seed(lambda: numpyro.sample("rate", dist.Gamma(2.0, 1.0)), 0)
    site = handlers.trace(model).get_trace()["rate"]
    latent = dict(site, is_observed=False)
    with pytest.raises(ValueError, match=r"'rate' is outside the support of its Gamma.*-1.0"):
        init_to_value(latent, {"rate": -1.0})
    assert init_to_value(latent, {"rate": 1.5}) == 1.5
