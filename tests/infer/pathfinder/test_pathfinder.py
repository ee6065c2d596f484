"""Pathfinder against normal targets, known evidence, and targets that no normal distribution fits."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.distributions.transforms import SigmoidTransform
from numpyro.infer import MCMC, NUTS, init_to_value
from numpyro.infer.importance import smooth_log_weights
from numpyro.infer.model import InitializationError
from numpyro.infer.pathfinder import Pathfinder
from numpyro.infer.pathfinder.inverse_hessian import empty_history, extended, normal_at

KEY = jax.random.key(0)


def positive_definite(size: int, seed: int = 0) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T / size + 0.3 * np.eye(size)


# The inverse Hessian


def test_the_inverse_hessian_of_a_quadratic_by_conjugate_steps():
    """With as many conjugate steps as dimensions the matrix is exact."""
    size = 4
    hessian = positive_definite(size)
    steps = np.linalg.eigh(hessian)[1].T  # conjugate, since orthogonal eigenvectors
    history = empty_history(6, size, np.dtype(np.float32))
    for step in steps.astype(np.float32):
        history = extended(history, jnp.asarray(step), jnp.asarray(hessian @ step, jnp.float32))
    position, gradient = np.arange(4.0), hessian @ (np.arange(4.0) - 1.0)
    normal = normal_at(jnp.asarray(position, jnp.float32), jnp.asarray(gradient, jnp.float32), history)
    np.testing.assert_allclose(normal.covariance(), np.linalg.inv(hessian), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(normal.mean, np.ones(4), atol=1e-3)  # one Newton step from anywhere
    draws, log_densities = normal.draw(KEY, 5000)
    exact = dist.MultivariateNormal(normal.mean, normal.covariance())
    np.testing.assert_allclose(log_densities, exact.log_prob(draws), atol=1e-2)
    np.testing.assert_allclose(np.cov(draws.T), np.linalg.inv(hessian), atol=0.15)


def test_the_latest_pair_is_satisfied_and_bad_ones_are_left_out():
    rng = np.random.default_rng(1)
    hessian = positive_definite(8, 1)
    history = empty_history(3, 8, np.dtype(np.float32))
    for _ in range(5):
        step = rng.normal(size=8)
        history = extended(history, jnp.asarray(step, jnp.float32), jnp.asarray(hessian @ step, jnp.float32))
    covariance = normal_at(jnp.zeros(8), jnp.zeros(8), history).covariance()
    np.testing.assert_allclose(covariance @ (hessian @ step), step, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-5)
    unchanged = extended(history, jnp.ones(8), -jnp.ones(8))  # negative curvature
    for new, old in zip(unchanged, history):
        np.testing.assert_array_equal(new, old)


def test_no_pairs_are_the_identity():
    normal = normal_at(jnp.ones(3), jnp.arange(3.0), empty_history(2, 3, np.dtype(np.float32)))
    np.testing.assert_allclose(normal.covariance(), np.eye(3), atol=1e-6)
    np.testing.assert_allclose(normal.mean, 1.0 - np.arange(3.0), atol=1e-6)


# Targets


@pytest.mark.filterwarnings("ignore:Pathfinder. the tail of the importance weights")
@pytest.mark.parametrize("size", [1, pytest.param(2, marks=pytest.mark.slow), 5])
def test_normal_targets_are_recovered(size):
    covariance, mean = positive_definite(size), np.arange(size) - 1.0

    def model():
        numpyro.sample("x", dist.MultivariateNormal(mean, covariance))

    pathfinder = Pathfinder(model, num_paths=4, num_samples=4000)
    pathfinder.run(KEY)
    assert np.abs(pathfinder.elbos).max() < 0.35  # the evidence is 1, its logarithm 0
    assert pathfinder.elbos.max() > -0.1
    assert size > 1 or pathfinder.pareto_k == -np.inf  # equal weights
    np.testing.assert_allclose(pathfinder.modes["x"], np.tile(mean, (4, 1)), atol=0.01)
    draws = np.asarray(pathfinder.get_samples()["x"])
    assert draws.shape == (4000, size)
    # Five standard errors of means; entries of covariances err by about sqrt(2 / 4000).
    assert (np.abs(draws.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / 4000)).all()
    np.testing.assert_allclose(np.cov(draws.T).reshape(size, size), covariance, atol=0.12 * covariance.max())


def regression(x, y):
    beta = numpyro.sample("beta", dist.Normal(0.0, 2.0).expand([3]).to_event(1))
    numpyro.deterministic("slope", beta[0])
    with numpyro.plate("data", len(y)):
        numpyro.sample("y", dist.Normal(x @ beta, 0.5), obs=y)


def test_the_evidence_of_a_regression():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + 0.5 * rng.normal(size=30)).astype(np.float32)
    pathfinder = Pathfinder(regression, num_paths=3, num_samples=2000)
    pathfinder.run(KEY, x, y=y)
    marginal = 4.0 * x @ x.T + 0.25 * np.eye(30)
    evidence = -0.5 * (30 * np.log(2 * np.pi) + np.linalg.slogdet(marginal)[1] + y @ np.linalg.solve(marginal, y))
    assert abs(pathfinder.elbos.max() - evidence) < 0.2
    precision = x.T @ x / 0.25 + np.eye(3) / 4.0
    mean = np.linalg.solve(precision, x.T @ y / 0.25)
    draws = pathfinder.get_samples()
    assert set(draws) == {"beta", "slope"}
    np.testing.assert_allclose(draws["slope"], draws["beta"][:, 0])
    errors = np.sqrt(np.diag(np.linalg.inv(precision)) / 2000)
    assert (np.abs(np.asarray(draws["beta"]).mean(0) - mean) < 6 * errors).all()


def test_constrained_sites():
    def model():
        numpyro.sample("s", dist.LogNormal(1.0, 0.4))
        numpyro.sample("p", dist.TransformedDistribution(dist.Normal(0.5, 1.0), SigmoidTransform()))

    pathfinder = Pathfinder(model, num_paths=2, num_samples=3000)
    pathfinder.run(KEY)
    draws = pathfinder.get_samples()
    logs, logits = np.log(draws["s"]), np.log(draws["p"]) - np.log1p(-draws["p"])
    assert abs(logs.mean() - 1.0) < 5 * 0.4 / np.sqrt(3000) and abs(logs.std() / 0.4 - 1) < 0.1
    assert abs(logits.mean() - 0.5) < 5 / np.sqrt(3000) and abs(logits.std() - 1) < 0.1


def banana():
    a = numpyro.sample("a", dist.Normal(0.0, 3.0))
    numpyro.sample("b", dist.Normal(a**2, 0.1))


def test_a_banana_is_not_normal_and_the_weights_say_so():
    pathfinder = Pathfinder(banana, num_paths=4)
    with pytest.warns(UserWarning, match="tail of the importance weights has the shape"):
        pathfinder.run(KEY)
    assert pathfinder.pareto_k > 0.7
    draws = pathfinder.get_samples()
    # Draws are near the ridge all the same, and so good starts.
    assert np.median(np.abs(draws["b"] - draws["a"] ** 2)) < 0.5


def test_paths_find_both_modes_and_their_weights():
    weights = np.array([0.8, 0.2])

    def model():
        components = dist.Normal(np.array([-4.0, 4.0]), 1.0)
        numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(weights), components))

    pathfinder = Pathfinder(
        model, num_paths=12, num_samples=4000, init_strategy=numpyro.infer.init_to_uniform(radius=6)
    )
    pathfinder.run(KEY)
    modes = np.asarray(pathfinder.modes["x"])
    assert (modes < -3.5).any() and (modes > 3.5).any()
    # Of paths in both modes the weights are p / q with q of one path: a mode counts by its evidence times its paths.
    share = (modes > 0).mean()
    expected = 0.2 * share / (0.2 * share + 0.8 * (1 - share))
    assert abs((np.asarray(pathfinder.get_samples()["x"]) > 0).mean() - expected) < 0.05


def test_without_resampling_draws_are_those_of_the_approximations():
    pathfinder = Pathfinder(banana, num_paths=1, num_samples=500, importance_resampling=False)
    pathfinder.run(KEY)
    normal = jax.tree.map(lambda leaf: leaf[0], pathfinder.paths)
    draws = np.stack([pathfinder.get_samples()[name] for name in ("a", "b")], -1)
    covariance = np.asarray(normal.covariance())
    assert (np.abs(draws.mean(0) - normal.mean) < 5 * np.sqrt(np.diag(covariance) / 500)).all()


def test_chains_start_at_draws():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(30, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5]).astype(np.float32)
    pathfinder = Pathfinder(regression, num_paths=3, num_samples=2000)  # with the programs of the test of the evidence
    pathfinder.run(KEY, x, y=y)
    assert pathfinder.init_params()["beta"].shape == (3,)
    starts = pathfinder.init_params(4)
    assert starts["beta"].shape == (4, 3) and len(np.unique(np.asarray(starts["beta"])[:, 0])) == 4
    mcmc = MCMC(
        NUTS(regression), num_warmup=100, num_samples=100, num_chains=4, chain_method="vectorized", progress_bar=False
    )
    mcmc.run(KEY, x, y, init_params=starts)
    np.testing.assert_allclose(mcmc.get_samples()["beta"].mean(0), [1.0, -2.0, 0.5], atol=0.15)


def test_the_same_key_gives_the_same_draws_and_a_second_run_new_data():
    pathfinder = Pathfinder(lambda m: numpyro.sample("x", dist.Normal(m, 1.0)), num_paths=1, num_samples=100)
    pathfinder.run(KEY, np.float32(0.0))
    first = np.asarray(pathfinder.get_samples()["x"])
    pathfinder.run(KEY, np.float32(0.0))
    np.testing.assert_array_equal(pathfinder.get_samples()["x"], first)
    pathfinder.run(KEY, np.float32(50.0))
    assert abs(pathfinder.get_samples()["x"].mean() - 50.0) < 1.0


def test_a_summary(capsys):
    pathfinder = Pathfinder(banana, num_paths=1, num_samples=500, importance_resampling=False)
    pathfinder.run(KEY)
    pathfinder.print_summary()
    printed = capsys.readouterr().out
    assert "median" in printed and "Pareto k" in printed


# Bad input


def test_options_and_models_that_do_not_fit():
    with pytest.raises(ValueError, match="`num_paths` must be a positive integer"):
        Pathfinder(banana, num_paths=0)
    with pytest.raises(TypeError, match="`model` must be a function"):
        Pathfinder(3)
    with pytest.raises(ValueError, match="call run"):
        Pathfinder(banana).get_samples()
    with pytest.raises(TypeError, match="random key"):
        Pathfinder(banana).run("key")
    with pytest.raises(ValueError, match="discrete latent sites: 'k'"):
        Pathfinder(lambda: numpyro.sample("k", dist.Poisson(0.5))).run(KEY)
    with pytest.raises(ValueError, match="no continuous latent sites"):
        Pathfinder(lambda: numpyro.sample("x", dist.Normal(), obs=0.0)).run(KEY)
    with pytest.raises(InitializationError, match="'y'"):
        Pathfinder(lambda: numpyro.factor("y", jnp.nan * numpyro.sample("x", dist.Normal()))).run(KEY)
    with pytest.raises(RuntimeError, match="outside of jax.jit"):
        jax.jit(Pathfinder(banana).run)(KEY)


def test_a_start_that_is_given():
    pathfinder = Pathfinder(banana, num_paths=1, max_steps=1, init_strategy=init_to_value(values={"a": 2.0, "b": 4.0}))
    with pytest.warns(UserWarning):
        pathfinder.run(KEY)
    assert abs(pathfinder.modes["a"][0] - 2.0) < 1.0


# Smoothed weights


def test_smoothed_weights_of_a_known_tail():
    """Weights with a Pareto tail of shape 0.4: normalised, in order, and close to those that they smooth."""
    log_weights = 0.4 * np.random.default_rng(0).exponential(size=4000)
    smoothed, shape = smooth_log_weights(log_weights)
    assert abs(shape - 0.4) < 0.15
    np.testing.assert_allclose(np.exp(smoothed).sum(), 1.0)
    order = np.argsort(log_weights)
    assert (np.diff(smoothed[order]) >= 0).all()
    raw = log_weights - np.log(np.exp(log_weights).sum())
    np.testing.assert_allclose(smoothed[order[:-1]], raw[order[:-1]], atol=0.3)


def test_equal_weights_stay_equal():
    smoothed, shape = smooth_log_weights(np.zeros(100))
    np.testing.assert_allclose(smoothed, -np.log(100.0))
    assert shape == -np.inf
