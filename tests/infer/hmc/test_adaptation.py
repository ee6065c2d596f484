"""Ways of adaptation: what they learn, what it costs, and chains that learn together."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro.infer import HMC, MCMC, NUTS
from numpyro.infer.adaptation import LowRankMatrix
from numpyro.infer.hmc import hmc, momentum_generator
from numpyro.infer.program import compiled_programs

KEY = jax.random.PRNGKey(0)
RHO = 0.99
SCALES = np.array([1e-2, 1.0, 1.0, 100.0])
CORRELATION = np.array([[1, 0, 0, 0], [0, 1, RHO, 0], [0, RHO, 1, 0], [0, 0, 0, 1.0]])
COVARIANCE = CORRELATION * np.outer(SCALES, SCALES)
FACTOR = np.linalg.cholesky(COVARIANCE)


def model():
    """Correlated normals of very different scales, in the order x, y[0], y[1], z in the flat vector."""
    numpyro.sample("x", dist.Normal(3.0, SCALES[0]))
    numpyro.sample("y", dist.MultivariateNormal(jnp.ones(2), COVARIANCE[1:3, 1:3]))
    numpyro.sample("z", dist.Normal(-200.0, SCALES[3]))


MEAN = np.array([3.0, 1.0, 1.0, -200.0])
START = {"x": np.float32(2.0), "y": np.zeros(2, np.float32), "z": np.float32(0.0)}


def run(kernel, num_warmup=200, num_samples=500, fields=("num_steps",), key=KEY, **options):
    mcmc = MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, progress_bar=False, **options)
    mcmc.warmup(key, collect_warmup=True, extra_fields=("num_steps",))
    steps = np.asarray(mcmc.get_extra_fields()["num_steps"])
    mcmc.run(jax.random.fold_in(key, 1), extra_fields=fields)
    return mcmc, steps


def flat(mcmc):
    draws = mcmc.get_samples()
    return np.concatenate([np.asarray(draws[name]).reshape(len(draws[name]), -1) for name in "xyz"], 1)


def full(inverse):
    """The whole of an inverse mass matrix of one block."""
    if isinstance(inverse, LowRankMatrix):
        scale, vectors, values = (np.asarray(part, np.float64) for part in inverse)
        return scale[:, None] * (np.eye(len(scale)) + vectors * (values - 1) @ vectors.T) * scale
    return np.asarray(inverse) if inverse.ndim == 2 else np.diag(np.asarray(inverse))


def learnt(mcmc):
    return full(mcmc.last_state.adapt_state.inverse_mass_matrix["x", "y", "z"])


CASES = {
    "windows": {"adaptation": "windows"},
    "fisher": {"adaptation": "fisher"},
    "fisher, dense": {"adaptation": "fisher", "dense_mass": True},
    "fisher, blocks": {"adaptation": "fisher", "dense_mass": [("y",)]},
    "low rank": {"adaptation": "low_rank"},
}


@pytest.fixture(scope="module")
def runs():
    return {name: run(NUTS(model, **options), num_samples=1500) for name, options in CASES.items()}


# What is learnt


@pytest.mark.parametrize("case", ["fisher, dense", "low rank"])
def test_matrices_are_the_covariance_of_a_normal(runs, case):
    """Gradients of a normal density are linear in the draws: what is left is rounding and shrinkage."""
    inverse = learnt(runs[case][0]) / np.outer(SCALES, SCALES)
    np.testing.assert_allclose(inverse, CORRELATION, atol=0.05)


def test_a_diagonal_balances_variances_and_precisions(runs):
    inverse = np.diagonal(learnt(runs["fisher"][0]))
    expected = np.sqrt(np.diagonal(COVARIANCE) / np.diagonal(np.linalg.inv(COVARIANCE)))
    np.testing.assert_allclose(inverse[[0, 3]], expected[[0, 3]], rtol=0.01)  # alone, and so exact
    np.testing.assert_allclose(inverse, expected, rtol=0.5)


def test_blocks_have_matrices_of_their_own(runs):
    inverse = runs["fisher, blocks"][0].last_state.adapt_state.inverse_mass_matrix
    assert {key: value.shape for key, value in inverse.items()} == {("y",): (2, 2), ("x", "z"): (2,)}
    np.testing.assert_allclose(inverse["y",], COVARIANCE[1:3, 1:3], atol=0.05)
    np.testing.assert_allclose(inverse["x", "z"], [1e-4, 1e4], rtol=0.02)


def test_it_takes_fewer_steps_in_warm_up_and_after(runs):
    warmup = {name: steps.sum() for name, (_, steps) in runs.items()}
    later = {name: mcmc.get_extra_fields()["num_steps"].mean() for name, (mcmc, _) in runs.items()}
    assert warmup["fisher"] < 0.5 * warmup["windows"]
    for case in ("fisher, dense", "fisher, blocks", "low rank"):
        assert warmup[case] < 0.2 * warmup["windows"]
        assert later[case] < 8


@pytest.mark.parametrize("case", list(CASES))
def test_the_posterior_is_right(runs, case):
    draws = (flat(runs[case][0]) - MEAN) @ np.linalg.inv(FACTOR).T
    # at least 100 effective draws of 1500: five standard errors
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.5)
    np.testing.assert_allclose(draws.std(0), 1, atol=0.35)
    if case in ("fisher, dense", "fisher, blocks", "low rank"):  # nearly independent draws
        np.testing.assert_allclose(draws.mean(0), 0, atol=5 / np.sqrt(700))
        np.testing.assert_allclose(np.cov(draws.T), np.eye(4), atol=5 * np.sqrt(2 / 700))


@pytest.mark.parametrize("adaptation", ["fisher", "low_rank"])
def test_far_starts_and_double_precision(x64, adaptation):
    """A hundred thousand deviations from the mode, where the gradient is as large."""
    kernel = NUTS(potential_fn=lambda z: jnp.sum(0.5 * (z / SCALES) ** 2), adaptation=adaptation)
    mcmc = MCMC(kernel, num_warmup=300, num_samples=500, progress_bar=False)
    mcmc.run(KEY, init_params=np.full(4, 1e3), extra_fields=("num_steps",))
    draws = np.asarray(mcmc.get_samples()) / SCALES
    assert draws.dtype == np.float64
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.35)
    np.testing.assert_allclose(draws.std(0), 1, atol=0.25)
    assert mcmc.get_extra_fields()["num_steps"].mean() < 8


def test_plain_hmc_adapts_as_well():
    mcmc, _ = run(HMC(model, adaptation="low_rank", trajectory_length=1.5))
    np.testing.assert_allclose(learnt(mcmc) / np.outer(SCALES, SCALES), CORRELATION, atol=0.05)
    np.testing.assert_allclose(flat(mcmc).std(0) / SCALES, 1, atol=0.3)


def test_more_directions_than_are_kept():
    """Forty correlated dimensions, of which sixteen directions are learnt: the draws are right all the same."""
    size = 40
    rng = np.random.default_rng(0)
    root = rng.normal(size=(size, size)) / np.sqrt(size)
    precision = root @ root.T + 0.1 * np.eye(size)
    kernel = NUTS(potential_fn=lambda z: 0.5 * z @ precision @ z, adaptation="low_rank")
    mcmc = MCMC(kernel, num_warmup=300, num_samples=1000, progress_bar=False)
    mcmc.run(KEY, init_params=np.ones(size, np.float32))
    inverse = mcmc.last_state.adapt_state.inverse_mass_matrix
    assert [part.shape for part in inverse] == [(40,), (40, 16), (16,)]
    draws = np.asarray(mcmc.get_samples()) @ np.linalg.cholesky(precision)
    assert abs(np.mean(draws**2) - 1) < 0.05  # 40 000 standard normals


# The state


def test_the_factors_belong_together(runs):
    mcmc = runs["low rank"][0]
    adapt_state = mcmc.last_state.adapt_state
    noise_of = jax.vmap(lambda key: momentum_generator(mcmc.last_state.z, adapt_state.mass_matrix_sqrt, key)["z"])
    momenta = noise_of(jax.random.split(KEY, 2000))
    assert float(momenta.std()) * SCALES[3] == pytest.approx(1, abs=0.1)
    ((_, factor),) = adapt_state.mass_matrix_sqrt.items()
    np.testing.assert_allclose(factor.scale * adapt_state.inverse_mass_matrix["x", "y", "z"].scale, 1, rtol=1e-5)


@pytest.mark.parametrize("case", ["fisher", "low rank"])
def test_states_pickle_and_can_be_gone_on_from(runs, case):
    mcmc, _ = runs[case]
    state = pickle.loads(pickle.dumps(mcmc.last_state))
    outcomes = []
    for start in (mcmc.last_state, state):
        again = MCMC(NUTS(model, **CASES[case]), num_warmup=0, num_samples=10, progress_bar=False)
        again.post_warmup_state = start
        again.run(KEY)
        outcomes.append(flat(again))
    np.testing.assert_array_equal(*outcomes)


@pytest.mark.parametrize("adaptation", ["fisher", "low_rank"])
def test_draws_do_not_depend_on_where_chunks_end(adaptation):
    outcomes = []
    for options in ({"progress_bar": False}, {"progress_bar": True, "progress_rate": 7}):
        mcmc = MCMC(NUTS(model, adaptation=adaptation), num_warmup=60, num_samples=20, **options)
        mcmc.run(KEY)
        outcomes.append(flat(mcmc))
    np.testing.assert_array_equal(*outcomes)


def test_a_second_run_compiles_nothing():
    options = {"num_chains": 2, "chain_method": "vectorized", "num_samples": 2, "num_warmup": 2}
    kernel = {"adaptation": "low_rank", "pooled_adaptation": True}
    MCMC(NUTS(model, **kernel), progress_bar=False, **options).run(KEY)
    compiled = len(compiled_programs)
    MCMC(NUTS(model, **kernel), progress_bar=False, **options).run(jax.random.PRNGKey(1))
    assert len(compiled_programs) == compiled


def test_a_matrix_of_an_earlier_run_can_be_started_from(runs):
    given = runs["low rank"][0].last_state.adapt_state.inverse_mass_matrix
    kernel = NUTS(model, adaptation="low_rank", inverse_mass_matrix=given, adapt_mass_matrix=False)
    mcmc, _ = run(kernel, num_warmup=60, num_samples=100)
    np.testing.assert_array_equal(learnt(mcmc), full(given["x", "y", "z"]))
    assert mcmc.get_extra_fields()["num_steps"].mean() < 8
    diagonal = NUTS(model, adaptation="low_rank", inverse_mass_matrix=SCALES**2).init(KEY, 10, START)
    np.testing.assert_allclose(
        full(diagonal.adapt_state.inverse_mass_matrix["x", "y", "z"]), np.diag(SCALES**2), rtol=1e-5
    )


def test_it_starts_from_the_gradient():
    start = {"x": np.float32(2.0), "y": np.zeros(2, np.float32), "z": np.float32(-100.0)}
    for adaptation in ("fisher", "low_rank"):
        state = NUTS(model, adaptation=adaptation).init(KEY, 100, start)
        gradient = np.concatenate([np.ravel(state.z_grad[name]) for name in "xyz"])
        inverse = full(state.adapt_state.inverse_mass_matrix["x", "y", "z"])
        np.testing.assert_allclose(inverse, np.diag(1 / np.maximum(np.abs(gradient), 1e-2)), rtol=1e-5)
        kept = NUTS(model, adaptation=adaptation, adapt_mass_matrix=False).init(KEY, 100, start)
        np.testing.assert_array_equal(full(kept.adapt_state.inverse_mass_matrix["x", "y", "z"]), np.eye(4))


def test_the_functions_take_it_too():
    init_kernel, sample_kernel = hmc(lambda z: jnp.sum(0.5 * (z / SCALES) ** 2), algo="NUTS")
    state = init_kernel(np.full(4, 5.0, np.float32), num_warmup=60, adaptation="fisher", rng_key=KEY)
    step = jax.jit(sample_kernel)
    for _ in range(60):
        state = step(state)
    np.testing.assert_allclose(state.adapt_state.inverse_mass_matrix, SCALES**2, rtol=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adaptation": "stan"}, r"`adaptation` must be one of \('windows', 'fisher', 'low_rank'\), got 'stan'"),
        ({"adaptation": "low_rank", "dense_mass": True}, "adaptation='low_rank' has a form of its own"),
        ({"adaptation": "low_rank", "dense_mass": [("x",)]}, "leave `dense_mass` at False"),
    ],
)
def test_mistakes_are_named(options, message):
    for kernel in (HMC, NUTS):
        with pytest.raises(ValueError, match=message):
            kernel(model, **options)


@pytest.mark.parametrize("given", [np.ones(3), np.eye(4), (np.ones(4), np.ones((4, 2)), np.ones(2))])
def test_matrices_of_no_low_rank_form_are_named(given):
    with pytest.raises(ValueError, match=r"diagonal of shape \(4,\) with adaptation='low_rank'"):
        NUTS(model, adaptation="low_rank", inverse_mass_matrix=given).init(KEY, 0, START)


# Chains that learn together


@pytest.mark.parametrize("case", ["windows", "fisher", "fisher, blocks", "low rank"])
def test_pooled_chains_share_what_they_learn(case):
    kernel = NUTS(model, pooled_adaptation=True, **CASES[case])
    fields = ("adapt_state.step_size", "accept_prob")
    mcmc, _ = run(kernel, 150, 200, fields, num_chains=6, chain_method="vectorized")
    adapt_state = mcmc.last_state.adapt_state
    for leaf in jax.tree.leaves((adapt_state.step_size, adapt_state.inverse_mass_matrix, adapt_state.mm_state)):
        assert np.ptp(np.asarray(leaf), 0).max() == 0
    assert 0.7 < mcmc.get_extra_fields()["accept_prob"].mean() < 0.95
    states = np.asarray(jax.tree.leaves(mcmc.last_state.z)[0])
    assert len(np.unique(states)) == 6  # the chains themselves are apart
    draws = (flat(mcmc) - MEAN) @ np.linalg.inv(FACTOR).T  # 1200, of which at least 100 are effective
    np.testing.assert_allclose(draws.mean(0), 0, atol=0.5)
    np.testing.assert_allclose(draws.std(0), 1, atol=0.35)


@pytest.mark.parametrize("adaptation", ["windows", "fisher"])
def test_pooled_chains_wait_for_the_one_that_cannot_move(adaptation):
    """The others would take steps that diverge where the last one starts."""
    kernel = NUTS(potential_fn=lambda z: 0.25 * jnp.sum(z**4), adaptation=adaptation, pooled_adaptation=True)
    mcmc = MCMC(kernel, num_warmup=200, num_samples=20, num_chains=8, chain_method="vectorized", progress_bar=False)
    mcmc.run(jax.random.PRNGKey(0), init_params=jnp.array([1000.0] + [0.5] * 7))
    assert np.abs(mcmc.get_samples(group_by_chain=True)[:, -1]).max() < 5.0


def test_pooled_covariances_are_those_of_all_chains():
    """Of a warm-up of 20, the draws of iterations 3 to 17 make the matrix."""
    kernel = NUTS(model, pooled_adaptation=True, regularize_mass_matrix=False)
    mcmc = MCMC(kernel, num_warmup=20, num_samples=1, num_chains=3, chain_method="vectorized", progress_bar=False)
    mcmc.warmup(KEY, collect_warmup=True)
    draws = mcmc.get_samples(group_by_chain=True)
    window = np.concatenate([np.asarray(draws[n]).reshape(3, 20, -1) for n in "xyz"], -1)[:, 3:18].reshape(45, -1)
    inverse = mcmc.last_state.adapt_state.inverse_mass_matrix["x", "y", "z"]
    expected = np.var(window.astype(np.float64), 0, ddof=1)
    np.testing.assert_allclose(inverse, np.broadcast_to(expected, (3, 4)), rtol=1e-3)


def test_pooling_learns_from_fewer_iterations():
    kernel = {"dense_mass": True, "adaptation": "windows"}
    off = {}
    for pooled in (False, True):
        mcmc, _ = run(NUTS(model, pooled_adaptation=pooled, **kernel), 60, 1, num_chains=16, chain_method="vectorized")
        inverses = mcmc.last_state.adapt_state.inverse_mass_matrix["x", "y", "z"]
        spread = [np.linalg.cond(np.linalg.solve(np.asarray(i, np.float64), COVARIANCE)) for i in inverses]
        off[pooled] = np.median(spread)
    assert off[True] < off[False]


def test_more_chains_than_the_buffer_has_rows():
    kernel = NUTS(
        potential_fn=lambda z: 0.5 * jnp.sum((z / SCALES) ** 2), adaptation="low_rank", pooled_adaptation=True
    )
    mcmc = MCMC(kernel, num_warmup=30, num_samples=5, num_chains=150, chain_method="vectorized", progress_bar=False)
    start = np.random.default_rng(0).normal(size=(150, 4)).astype(np.float32)
    mcmc.run(KEY, init_params=start)
    np.testing.assert_allclose(np.asarray(mcmc.get_samples()).std(0) / SCALES, 1, atol=0.2)


def test_chains_that_run_apart_cannot_learn_together():
    kernel = NUTS(model, pooled_adaptation=True)
    for method in ("sequential", "parallel", jax.vmap):
        mcmc = MCMC(kernel, num_warmup=5, num_samples=5, num_chains=2, chain_method=method, progress_bar=False)
        with pytest.raises(UsageError, match="use chain_method='vectorized'"):
            mcmc.run(KEY)


def test_a_lone_chain_learns_from_itself():
    outcomes = []
    for pooled in (False, True):
        kernel = NUTS(model, adaptation="low_rank", pooled_adaptation=pooled)
        mcmc = MCMC(kernel, num_warmup=30, num_samples=5, progress_bar=False)
        mcmc.run(KEY)
        outcomes.append(flat(mcmc))
    np.testing.assert_array_equal(*outcomes)


def test_first_states_of_a_batch_of_keys_are_pooled():
    kernel = NUTS(model, adaptation="fisher", pooled_adaptation=True, find_heuristic_step_size=True)
    states = kernel.init(jax.random.split(KEY, 3), 10)
    for leaf in (states.adapt_state.step_size, states.adapt_state.inverse_mass_matrix["x", "y", "z"]):
        assert np.ptp(np.asarray(leaf), 0).max() == 0
