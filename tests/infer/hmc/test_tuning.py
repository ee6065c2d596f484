"""The mass matrix and the step size of HMC and NUTS: what adapts, what is given, and how far it reaches."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, MCMC, NUTS

KEY = jax.random.PRNGKey(0)


def model():
    """Var a = 9, Cov(a, b) = 9, Var b = 9.25, and Var c = (1, 100)."""
    a = numpyro.sample("a", dist.Normal(0.0, 3.0))
    numpyro.sample("b", dist.Normal(a, 0.5))
    numpyro.sample("c", dist.Normal(jnp.array([5.0, -5.0]), jnp.array([1.0, 10.0])).to_event(1))


COVARIANCE = np.block(
    [[np.array([[9, 9], [9, 9.25]]), np.zeros((2, 2))], [np.zeros((2, 2)), np.diag([1.0, 100.0])]],
)
START = {"a": np.float32(1), "b": np.float32(2), "c": np.array([5.0, -5.0], np.float32)}


def run(kernel, num_warmup=0, num_samples=1, fields=(), init_params=None, **options):
    mcmc = MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, progress_bar=False, **options)
    mcmc.run(KEY, extra_fields=fields, init_params=init_params)
    return mcmc


def fail(match, error=ValueError):
    return pytest.raises(error, match=match)


# The mass matrix


@pytest.fixture(scope="module")
def adapted():
    """A long warm-up by the form of the mass matrix."""
    forms = {"diagonal": False, "dense": True, "blocks": [("a", "b")]}
    return {
        form: run(NUTS(model, dense_mass=dense), 1000, 300, ("accept_prob", "num_steps", "adapt_state.step_size"))
        for form, dense in forms.items()
    }


def test_a_diagonal_mass_matrix_learns_the_variances(adapted):
    inverse = adapted["diagonal"].last_state.adapt_state.inverse_mass_matrix
    assert list(inverse) == [("a", "b", "c")]
    # the last window has 500 draws: a standard error of some 10 % for a correlated chain
    np.testing.assert_allclose(inverse["a", "b", "c"], np.diag(COVARIANCE), rtol=0.5)


def test_a_dense_mass_matrix_learns_the_covariance(adapted):
    adapt_state = adapted["dense"].last_state.adapt_state
    inverse = np.asarray(adapt_state.inverse_mass_matrix["a", "b", "c"])
    scale = np.sqrt(np.diag(COVARIANCE))
    np.testing.assert_allclose(inverse / np.outer(scale, scale), COVARIANCE / np.outer(scale, scale), atol=0.4)
    assert inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1]) == pytest.approx(9 / np.sqrt(9 * 9.25), abs=0.01)
    factor, inverse_factor = (
        adapt_state.mass_matrix_sqrt["a", "b", "c"],
        adapt_state.mass_matrix_sqrt_inv["a", "b", "c"],
    )
    np.testing.assert_allclose(factor @ factor.T @ inverse, np.eye(4), atol=1e-3)
    np.testing.assert_allclose(factor @ inverse_factor, np.eye(4), atol=1e-4)


def test_blocks_are_dense_where_asked_and_diagonal_elsewhere(adapted):
    inverse = adapted["blocks"].last_state.adapt_state.inverse_mass_matrix
    assert {key: value.shape for key, value in inverse.items()} == {("a", "b"): (2, 2), ("c",): (2,)}
    ab = np.asarray(inverse["a", "b"])
    assert ab[0, 1] / np.sqrt(ab[0, 0] * ab[1, 1]) == pytest.approx(9 / np.sqrt(9 * 9.25), abs=0.01)
    np.testing.assert_allclose(inverse["c",], [1, 100], rtol=0.5)


def test_dense_matrices_shorten_trajectories(adapted):
    steps = {form: mcmc.get_extra_fields()["num_steps"].mean() for form, mcmc in adapted.items()}
    assert steps["dense"] < 0.5 * steps["diagonal"]
    assert steps["blocks"] < 0.5 * steps["diagonal"]


@pytest.mark.parametrize("form", ["diagonal", "dense", "blocks"])
def test_warm_up_ends_with_a_fixed_step_size_and_the_posterior(adapted, form):
    mcmc = adapted[form]
    extra = mcmc.get_extra_fields()
    assert 0.75 < extra["accept_prob"].mean() < 0.98  # the averaged step size errs on the side of acceptance
    assert np.ptp(extra["adapt_state.step_size"]) == 0  # fixed once warm-up is over
    c = np.asarray(mcmc.get_samples()["c"])
    ranks = scipy.stats.norm.cdf(c, [5, -5], [1, 10])
    assert np.all(np.abs(ranks.mean(0) - 0.5) < 5 * np.sqrt(1 / 12 / 60))  # at least 60 effective draws of 300


def test_the_order_of_sites_in_a_block_is_the_order_in_its_matrix():
    inverse = np.diag(np.float32([4.0, 1.0, 2.0, 3.0]))
    kernel = NUTS(model, dense_mass=[("c", "a"), ("b",)], inverse_mass_matrix={("c", "a"): np.diag([1.0, 2.0, 3.0])})
    state = kernel.init(KEY, 0, START)
    assert set(state.adapt_state.inverse_mass_matrix) == {("c", "a"), ("b",)}
    assert state.adapt_state.inverse_mass_matrix["b",].shape == (1, 1)
    np.testing.assert_array_equal(state.adapt_state.inverse_mass_matrix["c", "a"], np.diag([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(state.adapt_state.mass_matrix_sqrt["c", "a"], np.diag(np.sqrt([1, 1 / 2, 1 / 3])), 1e-6)
    whole = NUTS(model, dense_mass=True, inverse_mass_matrix=inverse).init(KEY, 0, START)
    np.testing.assert_array_equal(whole.adapt_state.inverse_mass_matrix["a", "b", "c"], inverse)


def test_the_matrix_comes_from_the_draws_of_the_window_and_is_regularised_where_asked():
    # warm-up of 20: windows 0-2, 3-17, 18-19; both runs are the same until the matrix is set
    covariances = {}
    for regularize in (True, False):
        mcmc = MCMC(NUTS(model, regularize_mass_matrix=regularize), num_warmup=20, num_samples=1, progress_bar=False)
        mcmc.warmup(KEY, collect_warmup=True, extra_fields=("adapt_state.inverse_mass_matrix",), init_params=START)
        draws = mcmc.get_samples()
        matrices = np.asarray(mcmc.get_extra_fields()["adapt_state.inverse_mass_matrix"]["a", "b", "c"])
        np.testing.assert_array_equal(matrices[:17], 1)
        np.testing.assert_array_equal(matrices[17:], np.broadcast_to(matrices[-1], (3, 4)))
        window = np.concatenate([np.asarray(draws[n]).reshape(20, -1) for n in "abc"], 1)[3:18].astype(np.float64)
        covariances[regularize] = np.asarray(mcmc.last_state.adapt_state.inverse_mass_matrix["a", "b", "c"])
        expected = np.var(window, 0, ddof=1)
        if regularize:
            expected = 15 / 20 * expected + 1e-3 * 5 / 20
        np.testing.assert_allclose(covariances[regularize], expected, rtol=1e-4)


def test_a_given_matrix_stays_where_nothing_adapts():
    given = np.arange(1, 5, dtype=np.float32)
    mcmc = run(NUTS(model, inverse_mass_matrix=given, adapt_mass_matrix=False), 200, 1)
    np.testing.assert_array_equal(mcmc.last_state.adapt_state.inverse_mass_matrix["a", "b", "c"], given)
    np.testing.assert_allclose(mcmc.last_state.adapt_state.mass_matrix_sqrt["a", "b", "c"], given**-0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dense_mass": [("a", "z")]},
            r"`dense_mass` has unknown sites \['z'\]; the latent sites are \['a', 'b', 'c'\]",
        ),
        ({"dense_mass": [("a",), ("a", "b")]}, "`dense_mass` has a site twice"),
        ({"inverse_mass_matrix": np.ones(3)}, r"`inverse_mass_matrix` must have shape \(4,\), got \(3,\)"),
        ({"inverse_mass_matrix": np.ones((3, 3)), "dense_mass": True}, r"shape \(4, 4\), got \(3, 3\)"),
        ({"inverse_mass_matrix": np.ones(4), "dense_mass": [("a",)]}, "must be a dictionary by blocks"),
        ({"inverse_mass_matrix": {("a",): np.ones(1)}}, r"`inverse_mass_matrix` has the blocks \[\('a',\)\]"),
    ],
)
def test_matrices_that_do_not_fit_are_named(options, message):
    with fail(message):
        NUTS(model, **options).init(KEY, 0, START)


# Steps


def test_without_adaptation_the_step_size_is_the_one_given():
    mcmc = run(NUTS(model, step_size=0.125, adapt_step_size=False), 30, 5, ("adapt_state.step_size",))
    np.testing.assert_array_equal(mcmc.get_extra_fields()["adapt_state.step_size"], 0.125)


@pytest.mark.parametrize("target", [0.7, 0.9])
def test_acceptance_meets_its_target_while_it_adapts(target):
    mcmc = MCMC(NUTS(model, target_accept_prob=target), num_warmup=1000, num_samples=1, progress_bar=False)
    mcmc.warmup(KEY, collect_warmup=True, extra_fields=("accept_prob",), init_params=START)
    last_slow_window = slice(450, 950)
    assert mcmc.get_extra_fields()["accept_prob"][last_slow_window].mean() == pytest.approx(target, abs=0.03)


def test_a_higher_target_makes_smaller_steps():
    steps = [
        float(run(NUTS(model, target_accept_prob=target), 150).last_state.adapt_state.step_size)
        for target in (0.6, 0.8, 0.95)
    ]
    assert steps[0] > steps[1] > steps[2]


def test_hmc_takes_the_steps_that_it_is_given():
    fields = ("num_steps", "adapt_state.step_size")
    extra = run(HMC(model, num_steps=3, trajectory_length=None), 20, 5, fields).get_extra_fields()
    np.testing.assert_array_equal(extra["num_steps"], 3)
    extra = run(
        HMC(model, step_size=0.25, trajectory_length=1.9, adapt_step_size=False), 5, 5, fields
    ).get_extra_fields()
    np.testing.assert_array_equal(extra["num_steps"], 8)  # the quotient 7.6, rounded up
    extra = run(
        HMC(model, step_size=0.1, trajectory_length=1.0, adapt_step_size=False), 5, 5, fields
    ).get_extra_fields()
    np.testing.assert_array_equal(extra["num_steps"], 10)
    extra = run(HMC(model, trajectory_length=2.0), 40, 5, fields).get_extra_fields()
    np.testing.assert_array_equal(extra["num_steps"], np.ceil(2.0 / extra["adapt_state.step_size"]).clip(1))


def test_hmc_with_steps_and_a_length_says_that_the_step_size_is_their_quotient():
    with pytest.warns(UserWarning, match="trajectory_length=None to adapt it"):
        kernel = HMC(model, num_steps=4, trajectory_length=1.0)
    extra = run(kernel, 20, 5, ("num_steps", "adapt_state.step_size")).get_extra_fields()
    np.testing.assert_array_equal(extra["num_steps"], 4)
    np.testing.assert_array_equal(extra["adapt_state.step_size"], 0.25)


def test_a_pair_of_depths_is_for_warm_up_and_afterwards():
    kernel = NUTS(model, step_size=1e-4, adapt_step_size=False, adapt_mass_matrix=False, max_tree_depth=(2, 4))
    mcmc = MCMC(kernel, num_warmup=5, num_samples=5, progress_bar=False)
    mcmc.warmup(KEY, collect_warmup=True, extra_fields=("num_steps",))
    np.testing.assert_array_equal(mcmc.get_extra_fields()["num_steps"], 3)
    mcmc.run(KEY, extra_fields=("num_steps",))
    np.testing.assert_array_equal(mcmc.get_extra_fields()["num_steps"], 15)


def test_the_heuristic_finds_a_step_size_of_the_right_scale():
    for first in (1e-4, 100.0):
        plain = NUTS(model, step_size=first, adapt_step_size=False).init(KEY, 0, START)
        assert plain.adapt_state.step_size == np.float32(first)
        found = NUTS(model, step_size=first, find_heuristic_step_size=True).init(KEY, 0, START)
        # the stiffest direction has a deviation of 0.5: one step of some such size is accepted at about the target
        assert 0.1 < found.adapt_state.step_size < 4
        assert np.log2(found.adapt_state.step_size / first) == pytest.approx(
            round(float(np.log2(found.adapt_state.step_size / first))), abs=1e-4
        )


def test_the_heuristic_searches_anew_when_the_matrix_changes():
    first_windows = 18  # of a warm-up of 20: the matrix is set after iteration 17
    fields = ("adapt_state.step_size", "adapt_state.ss_state")
    mcmc = MCMC(NUTS(model, find_heuristic_step_size=True), num_warmup=20, num_samples=1, progress_bar=False)
    mcmc.warmup(KEY, collect_warmup=True, extra_fields=fields, init_params=START)
    extra = mcmc.get_extra_fields()
    step_size = extra["adapt_state.step_size"][first_windows - 1]
    average = extra["adapt_state.ss_state"]
    assert average[4][first_windows - 1] == pytest.approx(np.log(10 * step_size), rel=1e-5)  # the prox centre
    assert average[3][first_windows - 1] == 0  # dual averaging has started over
