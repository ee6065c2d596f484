"""The density of unconstrained values: change of variables by autodiff, scales, masks, plates, mistakes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.distributions import constraints
from numpyro.infer.model import ModelView
from numpyro.infer.model.evaluate import log_density_at, trace_at

KEY = jax.random.key(0)


def one_site(fn):
    return lambda: numpyro.sample("x", fn)


def strictly_lower(x):
    return x[np.tril_indices(x.shape[-1], -1)]


# name: distribution, size of the unconstrained vector, the elements of a value that are free to vary
CASES = {
    "real": (dist.Normal(np.zeros(3), 2.0), 3, lambda x: x),
    "positive": (dist.Gamma(2.0 * np.ones(3), 3.0), 3, lambda x: x),
    "unit interval": (dist.Beta(2.0, 3.0 * np.ones(2)), 2, lambda x: x),
    "interval": (dist.Uniform(-1.0, 3.0 * np.ones(2)), 2, lambda x: x),
    "simplex": (dist.Dirichlet(np.array([1.0, 2.0, 3.0, 1.5])), 3, lambda x: x[:-1]),
    "correlation Cholesky": (dist.LKJCholesky(3, 2.0), 3, strictly_lower),
    "correlation matrix": (dist.LKJ(3, 2.0), 3, strictly_lower),
    "ordered vector": (dist.ImproperUniform(constraints.ordered_vector, (), (3,)), 3, lambda x: x),
    "positive vector": (dist.ImproperUniform(constraints.positive, (), (3,)), 3, lambda x: x),
    "log normal": (
        dist.TransformedDistribution(dist.Normal(np.zeros(2), 1.0), dist.transforms.ExpTransform()),
        2,
        lambda x: x,
    ),
    "independent": (dist.HalfNormal(np.array([1.0, 2.0])).to_event(1), 2, lambda x: x),
}


@pytest.mark.parametrize("name", CASES)
def test_density_is_that_of_the_value_and_the_volume_of_the_map(name, precision):
    fn, size, free = CASES[name]
    model = one_site(fn)
    z = np.random.default_rng(1).normal(size=size).astype(precision)

    @jax.jit
    def compare(z):
        value_of = lambda z: trace_at(model, (), {}, {"x": z}, None)[0]["x"]["value"]
        density = log_density_at(model, (), {}, {"x": z}, None)
        return density, jnp.sum(fn.log_prob(value_of(z))), jax.jacfwd(lambda z: free(value_of(z)))(z)

    density, log_prob, jacobian = compare(z)
    log_det = np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
    assert density.shape == () and density.dtype == precision
    np.testing.assert_allclose(density, log_prob + log_det, rtol=1e-9 if precision == np.float64 else 2e-4)


def test_the_support_of_a_site_may_depend_on_another():
    def model():
        high = numpyro.sample("high", dist.HalfNormal(1))
        numpyro.sample("x", dist.Uniform(0, high))

    def closed_form(a, b):
        high, share = np.exp(a), 1 / (1 + np.exp(-b))
        # half normal at high, uniform density 1/high; volumes high and high * share * (1 - share)
        return stats.halfnorm.logpdf(high) - a + a + np.log(high * share * (1 - share))

    density = jax.jit(lambda a, b: log_density_at(model, (), {}, {"high": a, "x": b}, None))
    for a, b in [(0.3, -0.7), (-1.0, 2.0)]:
        np.testing.assert_allclose(density(a, b), closed_form(a, b), rtol=1e-5)


def test_scale_and_mask_count_for_the_volume_as_for_the_density():
    z = np.array([2.0, 1.0], np.float32)
    each = stats.halfnorm.logpdf(np.exp(z)) + z
    mask = np.array([True, False])
    half_normal = dist.HalfNormal(1).expand([2])
    cases = [
        (one_site(half_normal), each.sum()),
        (handlers.scale(one_site(half_normal), 10.0), 10 * each.sum()),
        (handlers.mask(one_site(half_normal), mask=mask), each[0]),
        (handlers.mask(one_site(half_normal), mask=False), 0.0),
        # The mask of a distribution speaks of the density of its value only.
        (one_site(half_normal.mask(mask)), each[0] + z[1]),
    ]
    for model, expected in cases:
        np.testing.assert_allclose(log_density_at(model, (), {}, {"x": z}, None), expected, rtol=1e-5)


def test_subsamples_stand_for_the_whole_plate():
    y = np.array([0.5, -1.0, 2.0], np.float32)

    def model():
        mu = numpyro.sample("mu", dist.Normal(0, 1))
        with numpyro.plate("data", 6, subsample_size=3):
            numpyro.sample("y", dist.Normal(mu, 1), obs=y)

    expected = stats.norm.logpdf(0.3) + 2 * stats.norm.logpdf(y, 0.3).sum()
    np.testing.assert_allclose(log_density_at(model, (), {}, {"mu": 0.3}, KEY), expected, rtol=1e-5)


def test_param_sites_take_their_values_as_they_are_unless_asked():
    def model():
        scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
        numpyro.sample("x", dist.Normal(0, scale))

    at = lambda values, **options: trace_at(model, (), {}, values, None, **options)[0]["scale"]["value"]
    assert at({"x": 0.0}) == 1.0
    assert at({"x": 0.0, "scale": 2.0}) == 2.0
    np.testing.assert_allclose(at({"x": 0.0, "scale": 2.0}, constrain_params=True), np.exp(2.0), rtol=1e-6)


def test_observations_that_broadcast_against_their_distribution_are_an_error():
    model = lambda y: numpyro.sample("y", dist.Normal(np.zeros(3), 1), obs=y)
    with pytest.raises(ValueError, match=r"Site 'y'.*\(3, 1\).*\(3,\).*counted several times"):
        log_density_at(model, (np.zeros((3, 1)),), {}, {}, None)
    np.testing.assert_allclose(
        log_density_at(model, (np.zeros((1, 3)),), {}, {}, None), 3 * stats.norm.logpdf(0), rtol=1e-6
    )


@pytest.mark.parametrize(
    "fn, values, message",
    [
        (dist.Normal(0, 1), {}, "'x' .Normal. has no value"),
        (dist.Normal(np.zeros(3), 1), {"x": np.zeros(())}, r"'x' .Normal. must have shape \(3,\), but has shape \(\)"),
        (dist.Dirichlet(np.ones(3)), {"x": np.zeros(3)}, r"must have shape \(2,\), but has shape \(3,\)"),
        (dist.Bernoulli(0.5), {"x": 1.0}, "cannot handle discrete sample site 'x'"),
    ],
)
@pytest.mark.parametrize("rng_key", [None, KEY], ids=["no key", "key"])
def test_values_that_do_not_fit_are_an_error_that_names_the_site(fn, values, message, rng_key):
    with pytest.raises(UsageError, match=message):
        log_density_at(one_site(fn), (), {}, values, rng_key)


def test_sites_that_the_user_seeds_may_go_without_a_value():
    seeded = handlers.seed(one_site(dist.Normal(0, 1)), rng_seed=0)
    assert np.isfinite(log_density_at(seeded, (), {}, {}, None))
    with handlers.seed(rng_seed=0):
        assert np.isfinite(log_density_at(one_site(dist.Normal(0, 1)), (), {}, {}, None))


def test_a_density_has_no_needless_operations():
    """Eight schools, non-centred: identity maps, scalar sums and empty totals leave no trace."""
    y = jnp.array([28.0, 8, -3, 7, -1, 1, 18, 12])
    sigma = jnp.array([15.0, 10, 16, 11, 9, 11, 10, 18])

    def model(sigma, y):
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        with numpyro.plate("schools", 8):
            base = numpyro.sample("base", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(mu + tau * base, sigma), obs=y)

    view = ModelView(model, (sigma, y))
    z = {name: jnp.zeros(shape.shape) for name, shape in view.prototype.items()}
    jaxpr = jax.make_jaxpr(view.log_density)(view.data(KEY), z).jaxpr
    primitives = [equation.primitive.name for equation in jaxpr.eqns]
    assert primitives.count("reduce_sum") == 2  # over the schools: of base, and of y
    assert primitives.count("exp") == 1
    assert not {"random_bits", "random_wrap", "random_fold_in", "iota"} & set(primitives)
