"""Calibration by simulation: guides that are right, shifted and too narrow, ways to pass data, and mistakes."""

from __future__ import annotations

import itertools
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

import numpyro
import numpyro.distributions as dist
from numpyro.infer import Trace_ELBO, TraceMeanField_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.calibration import VSBCResult, symmetry_test, vsbc_diagnostic
from numpyro.optim import Adam

KEY = jax.random.key(0)


def model(n=4, y=None):
    mu = numpyro.sample("mu", dist.Normal(np.zeros(2), 1.0).to_event(1))
    with numpyro.plate("data", n):
        numpyro.sample("y", dist.Normal(mu, 1.0).to_event(1), obs=y)


def exact(n=4, y=None, shift=0.0, scale=1.0):
    """The posterior of each entry is N(sum / (n + 1), 1 / (n + 1))."""
    numpyro.param("unused", 0.0)
    numpyro.sample("mu", dist.Normal(y.sum(0) / (n + 1) + shift, scale * (n + 1) ** -0.5).to_event(1))


def diagnose(guide, *args, model=model, **kwargs):
    options = {"num_simulations": 200, "num_svi_steps": 1, "num_samples": 300, "chain_method": "vectorized"} | kwargs
    return vsbc_diagnostic(KEY, model, guide, Adam(0.01), Trace_ELBO(), *args, **options)


def test_with_the_posterior_ranks_are_uniform():
    """Two entries by two tests: one false alarm in 250."""
    result = diagnose(exact, 4, observed_sites=["y"])
    assert isinstance(result, VSBCResult) and result.param_names == ("mu",)
    assert result.ranks["mu"].shape == (200, 2) and result.ranks["mu"].dtype == np.int32
    np.testing.assert_array_equal(result.probabilities["mu"], result.ranks["mu"] / 300)
    assert (result.ks_pvalues["mu"] > 1e-3).all() and result.ks_stats["mu"].shape == (2,)
    for column in result.probabilities["mu"].T:
        assert st.kstest(column, "uniform").pvalue > 1e-3


def test_shifted_guides_are_found_out_and_narrow_ones_are_symmetric():
    shifted = diagnose(lambda n, y: exact(n, y, shift=0.5), 4, observed_sites=["y"])
    assert (shifted.ks_pvalues["mu"] < 1e-6).all() and (shifted.probabilities["mu"].mean(0) < 0.35).all()
    narrow = diagnose(lambda n, y: exact(n, y, scale=0.3), 4, observed_sites=["y"])
    assert (narrow.ks_pvalues["mu"] > 1e-3).all() and (np.abs(narrow.probabilities["mu"] - 0.5).mean(0) > 0.35).all()


@pytest.mark.parametrize("chain_method", ["sequential", "vectorized"])
def test_a_guide_is_fitted_to_each_data_set(chain_method):
    """One false alarm in 1000."""
    guide = AutoNormal(model)
    result = vsbc_diagnostic(
        *(KEY, model, guide, Adam(0.05), TraceMeanField_ELBO(), 4),
        **{"observed_sites": ["y"], "num_simulations": 60, "num_svi_steps": 300, "num_samples": 200},
        chain_method=chain_method,
    )
    assert (result.ks_pvalues["mu"] > 5e-4).all()
    assert 0.15 < np.abs(result.probabilities["mu"] - 0.5).mean() < 0.35  # 0.25 for uniform ones
    assert guide.prototype_trace is None  # the guide given is as it was


def test_ways_to_pass_data():
    def other_name(n=4, data=None):
        model(n, data)

    by_name = diagnose(exact, 4, observed_sites=["y"], num_simulations=5)
    same = [
        diagnose(exact, 4, np.zeros((4, 2)), num_simulations=5),
        diagnose(exact, y=np.zeros((4, 2)), num_simulations=5),
        diagnose(exact, 4, observed_sites="y", num_simulations=5),
        diagnose(
            exact, 4, observed_sites=["y"], simulated_data_to_args=lambda d, n: ((n, d["y"]), {}), num_simulations=5
        ),
        diagnose(
            lambda n, data: exact(n, data),
            model=other_name,
            observed_sites=["y"],
            simulated_data_to_args=lambda d: ((4,), {"data": d["y"]}),
            num_simulations=5,
        ),
    ]
    for result in same:
        np.testing.assert_array_equal(result.ranks["mu"], by_name.ranks["mu"])
    automatic = AutoNormal(other_name)  # the model is conditioned, and so is the one that the guide knows
    result = diagnose(automatic, 4, model=other_name, observed_sites=["y"], num_simulations=3)
    assert result.param_names == ("mu",)


def test_parallel_simulations_are_those_of_one_device():
    options = {"observed_sites": ["y"], "num_simulations": 5}
    expected = diagnose(exact, 4, **options).ranks["mu"]
    if len(jax.local_devices()) == 1:
        with pytest.warns(UserWarning, match="Not enough devices"):
            found = diagnose(exact, 4, **options, chain_method="parallel")
    else:
        found = diagnose(exact, 4, **options, chain_method="parallel")
    np.testing.assert_array_equal(found.ranks["mu"].shape, expected.shape)


# The test of symmetry


def test_distances_are_those_of_two_samples():
    for n, seed in itertools.product((7, 40), range(5)):
        p = np.random.default_rng(seed).random(n)
        np.testing.assert_allclose(symmetry_test(p)[0], st.ks_2samp(p, 1 - p).statistic)
    assert symmetry_test(np.full(4, 0.5)) == (0.0, 1.0)


def test_p_values_are_shares_of_all_signs():
    offsets = np.array([0.4, 0.31, 0.22, 0.13, 0.04, 0.02])
    signs = np.array(list(itertools.product([-1, 1], repeat=6)))
    tests = [symmetry_test(0.5 + sign * offsets) for sign in signs]
    stats = np.array([stat for stat, _ in tests])
    for stat, pvalue in tests:
        np.testing.assert_allclose(pvalue, np.mean(stats >= stat - 1e-9))


def test_p_values_of_ties_are_on_the_safe_side():
    draws = np.random.default_rng(0).integers(0, 11, (2000, 60)) / 10
    pvalues = np.array([symmetry_test(row)[1] for row in draws])
    assert np.mean(pvalues < 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


# Mistakes


def test_mistakes_are_named():
    def discrete(y=None):
        k = numpyro.sample("k", dist.Bernoulli(0.4))
        numpyro.sample("y", dist.Normal(k, 1.0), obs=y)

    def hidden(data):
        numpyro.sample("y", dist.Normal(numpyro.sample("mu", dist.Normal(0, 1)), 1.0), obs=data)

    cases = [
        (lambda: diagnose(exact, 4), "Please specify observed_sites"),
        (lambda: diagnose(exact, 4, observed_sites=["zz"]), r"Unknown observed sites: \['zz'\]"),
        (lambda: diagnose(exact, observed_sites=["y"], model=discrete), r"discrete latents: \['k'\]"),
        (lambda: diagnose(exact, jnp.ones(3), model=hidden), "pass simulated_data_to_args"),
        (lambda: diagnose(exact, 4, observed_sites=["y"], simulated_data_to_args=lambda d, n: n), "must return a pair"),
        (lambda: diagnose(exact, observed_sites=["y"], simulated_data_to_args=lambda d: (4, {})), "tuple or list"),
        (lambda: diagnose(lambda n=4, y=None: None, observed_sites=["y"]), r"guide has no sample sites \['mu'\]"),
        (lambda: diagnose(exact, 4, num_simulations=1), "num_simulations must be at least 2"),
        (lambda: diagnose(exact, 4, num_svi_steps=0), "num_svi_steps must be at least 1"),
        (lambda: diagnose(exact, 4, num_samples=1), "num_samples must be at least 2"),
        (lambda: diagnose(exact, 4, chain_method="foo"), "Only supporting"),
    ]
    for case, message in cases:
        with pytest.raises(ValueError, match=message), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of the site that the guide misses
            case()
