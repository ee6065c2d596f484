"""Particles against posteriors in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.einstein import (
    ASVGD,
    SVGD,
    GraphicalKernel,
    IMQKernel,
    LinearKernel,
    MixtureGuidePredictive,
    MixtureKernel,
    ProbabilityProductKernel,
    RadialGaussNewtonKernel,
    RandomFeatureKernel,
    RBFKernel,
    SteinLoss,
    SteinVI,
)
from numpyro.contrib.einstein.steinvi import attraction, repulsion
from numpyro.distributions import constraints
from numpyro.infer.autoguide import AutoDelta, AutoIAFNormal, AutoMultivariateNormal, AutoNormal

KEY = jax.random.key(0)
COVARIANCE = np.array([[1.0, 0.6], [0.6, 0.8]])
MEAN = np.array([1.0, -2.0])


def gaussian():
    numpyro.sample("x", dist.MultivariateNormal(MEAN, COVARIANCE))


def covariance(particles) -> np.ndarray:
    return np.cov(np.asarray(particles).T, bias=True)


def test_attraction_and_repulsion_are_their_sums():
    rng = np.random.default_rng(0)
    x, g = rng.normal(size=(2, 4, 3)).astype(np.float32)
    k = lambda a, b: np.exp(-np.sum((a - b) ** 2))
    kernel = lambda a, b: jnp.exp(-jnp.sum((a - b) ** 2))
    pulled = np.array([np.mean([k(x[j], x[i]) * g[j] for j in range(4)], 0) for i in range(4)])
    apart = np.array([np.mean([-2 * (x[j] - x[i]) * k(x[j], x[i]) for j in range(4)], 0) for i in range(4)])
    np.testing.assert_allclose(attraction(kernel, "norm", x, g), pulled, rtol=1e-5)
    np.testing.assert_allclose(repulsion(kernel, "norm", x), apart, rtol=1e-4, atol=1e-6)
    matrix = lambda a, b: kernel(a, b) * jnp.eye(3)
    np.testing.assert_allclose(attraction(matrix, "matrix", x, g), pulled, rtol=1e-5)
    np.testing.assert_allclose(repulsion(matrix, "matrix", x), apart, rtol=1e-4, atol=1e-6)
    vector = lambda a, b: jnp.exp(-((a - b) ** 2))
    diagonal = lambda a, b: jnp.diag(vector(a, b))
    for of in (lambda k, m: attraction(k, m, x, g), lambda k, m: repulsion(k, m, x)):
        np.testing.assert_allclose(of(vector, "vector"), of(diagonal, "matrix"), rtol=1e-4, atol=1e-6)


def test_linear_kernel_matches_mean_and_covariance_exactly():
    svgd = SVGD(gaussian, optax.sgd(0.05), LinearKernel(), num_stein_particles=5)
    result = svgd.run(KEY, 4000, progress_bar=False)
    particles = result.params["x_auto_loc"]
    assert particles.shape == (5, 2)
    np.testing.assert_allclose(np.mean(particles, 0), MEAN, atol=2e-3)
    np.testing.assert_allclose(covariance(particles), COVARIANCE, atol=5e-3)
    assert result.losses.shape == (4000,) and result.losses[-1] < 1e-3 < result.losses[0]


@pytest.mark.parametrize(
    "kernel",
    [
        RBFKernel(),
        pytest.param(RBFKernel("matrix"), marks=pytest.mark.slow),
        pytest.param(IMQKernel(), marks=pytest.mark.slow),
        MixtureKernel([0.5, 0.5], [RBFKernel(), IMQKernel()]),
        GraphicalKernel(),
        RandomFeatureKernel(),
    ],
    ids=lambda kernel: f"{type(kernel).__name__}-{kernel.mode}",
)
def test_points_have_the_moments_of_a_gaussian(kernel):
    svgd = SVGD(gaussian, optax.adam(0.05), kernel, num_stein_particles=40)
    particles = svgd.run(KEY, 1000, progress_bar=False).params["x_auto_loc"]
    np.testing.assert_allclose(np.mean(particles, 0), MEAN, atol=0.1)
    # Forty particles stand for less than the whole variance; the deficit falls as their number grows.
    assert (np.abs(covariance(particles) / COVARIANCE - 1.0) < 0.3).all(), covariance(particles)


@pytest.mark.parametrize(
    "kernel",
    [RBFKernel("vector"), pytest.param(IMQKernel("vector"), marks=pytest.mark.slow)],
    ids=lambda k: type(k).__name__,
)
def test_kernels_of_single_coordinates_have_the_moments_of_independent_ones(kernel):
    def model():
        numpyro.sample("x", dist.Normal(MEAN, np.array([1.0, 0.5])).to_event(1))

    svgd = SVGD(model, optax.adam(0.05), kernel, num_stein_particles=30)
    particles = svgd.run(KEY, 1000, progress_bar=False).params["x_auto_loc"]
    np.testing.assert_allclose(np.mean(particles, 0), MEAN, atol=0.1)
    np.testing.assert_allclose(np.std(particles, 0), [1.0, 0.5], rtol=0.25)


def test_constrained_sites():
    def model():
        numpyro.sample("s", dist.LogNormal(0.5, 0.3))

    particles = SVGD(model, optax.adam(0.05), RBFKernel(), num_stein_particles=30).run(KEY, 800, progress_bar=False)
    logs = np.log(particles.params["s_auto_loc"])
    assert abs(logs.mean() - 0.5) < 0.03 and abs(logs.std() / 0.3 - 1.0) < 0.15


def test_one_particle_is_variational_inference():
    y = np.array([0.5, 1.5, 2.5], np.float32)

    def model(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu, 1.0).expand([3]).to_event(1), obs=y)

    stein = SteinVI(model, AutoNormal(model), optax.adam(0.02), RBFKernel(), num_stein_particles=1)
    params = stein.run(KEY, 1500, y, progress_bar=False).params
    np.testing.assert_allclose(params["mu_auto_loc"], [y.sum() / 4], atol=0.03)
    np.testing.assert_allclose(params["mu_auto_scale"], [0.5], atol=0.03)
    exact = -0.5 * (3 * np.log(2 * np.pi) + np.log(4.0) + y @ (np.eye(3) - np.ones((3, 3)) / 4) @ y)
    posterior = {"mu_auto_loc": jnp.array([y.sum() / 4]), "mu_auto_scale": jnp.array([0.5])}
    found = jax.jit(lambda p: SteinLoss(3).loss(KEY, {}, model, stein.guide, p, y))(posterior)
    np.testing.assert_allclose(-found, exact, rtol=1e-4)


TWO_MODES = dist.MixtureSameFamily(dist.Categorical(np.full(2, 0.5)), dist.Normal(np.array([-3.0, 3.0]), 0.5))


def two_modes():
    numpyro.sample("x", TWO_MODES)


def test_a_mixture_of_guides_holds_two_modes():
    stein = SteinVI(two_modes, AutoNormal(two_modes), optax.adam(0.05), RBFKernel(), num_stein_particles=4)
    result = stein.run(KEY, 1000, progress_bar=False)
    locs = np.asarray(result.params["x_auto_loc"])
    assert locs.min() < -2.5 and locs.max() > 2.5
    # The evidence is 1: the bound of a guide of one component would be -log 2 at best.
    bound = -jax.jit(lambda p: SteinLoss(500, 4).loss(KEY, {}, two_modes, stein.guide, p))(result.params)
    assert -0.3 < bound < 0.05
    draws = MixtureGuidePredictive(
        two_modes, stein.guide, result.params, stein.guide_sites, num_samples=4000, return_sites=["x"]
    )(KEY)
    assigned = np.asarray(draws["mixture_assignments"])
    assert set(assigned) == {0, 1, 2, 3}
    for index in range(4):
        of_one = np.asarray(draws["x"])[assigned == index]
        scale = result.params["x_auto_scale"][index]
        assert abs(of_one.mean() - locs[index]) < 5 * scale / np.sqrt(len(of_one))


def test_the_bound_of_a_mixture_by_quadrature():
    guide = AutoNormal(two_modes)
    guide.begin(KEY)
    particles = {"x_auto_loc": jnp.array([-1.0, 2.0]), "x_auto_scale": jnp.array([1.0, 0.5])}
    z = np.linspace(-12.0, 12.0, 20001)
    q = np.mean([np.exp(dist.Normal(m, s).log_prob(z)) for m, s in ((-1.0, 1.0), (2.0, 0.5))], 0)
    exact = np.sum(q * (np.asarray(TWO_MODES.log_prob(z)) - np.log(q))) * (z[1] - z[0])
    found = jax.jit(lambda p: SteinLoss(20000, 2).loss(KEY, {}, two_modes, guide, p))(particles)
    assert abs(-found - exact) < 0.15  # five standard errors: the spread of a draw is about 6

    # The gradient of the sum over particles is that of the bound: E_1[z-gradient of log p - log q] for the first one.
    component = np.exp(dist.Normal(-1.0, 1.0).log_prob(z))
    slope = np.gradient(np.asarray(TWO_MODES.log_prob(z)) - np.log(q), z)
    by_quadrature = np.sum(component * slope) * (z[1] - z[0])
    flat = jnp.array([[-1.0, 1.0], [2.0, 0.5]])
    unravel = lambda row: {"x_auto_loc": row[0], "x_auto_scale": row[1]}
    loss = SteinLoss(20000)
    term = lambda row: loss.particle_loss(KEY, two_modes, guide, unravel(row), unravel, flat, 0, (), {}, {})
    assert abs(jax.jit(jax.grad(term))(flat[0])[0] - by_quadrature) < 0.2


def test_params_of_the_model_and_shared_params():
    y = np.random.default_rng(0).normal(2.0, 0.7, size=50).astype(np.float32)

    def model(y):
        scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        numpyro.sample("y", dist.Normal(mu, scale).expand([50]).to_event(1), obs=y)

    def guide(y):
        loc = numpyro.param("loc", lambda key: jax.random.normal(key))
        width = numpyro.param("width", 0.3, constraint=constraints.positive)
        numpyro.sample("mu", dist.Normal(loc, width))

    stein = SteinVI(
        model,
        guide,
        optax.adam(0.02),
        RBFKernel(),
        num_stein_particles=3,
        non_mixture_guide_params_fn=lambda name: name == "width",
    )
    first = stein.get_params(stein.init(KEY, y))
    assert first["loc"].shape == (3,) and len(set(first["loc"].tolist())) == 3
    assert first["width"].shape == first["scale"].shape == ()
    assert stein.guide_sites == {"loc"}
    params = stein.run(KEY, 1500, y, progress_bar=False).params
    assert abs(params["scale"] - y.std()) < 0.03
    assert abs(np.mean(params["loc"]) - y.mean()) < 0.05


@pytest.mark.parametrize("kernel", [ProbabilityProductKernel, lambda guide: RadialGaussNewtonKernel()])
def test_kernels_of_guides_and_of_gradients(kernel):
    guide = AutoNormal(gaussian)
    stein = SteinVI(gaussian, guide, optax.adam(0.05), kernel(guide), num_stein_particles=3)
    result = stein.run(KEY, 400, progress_bar=False)
    assert np.isfinite(result.losses).all()
    np.testing.assert_allclose(np.mean(result.params["x_auto_loc"], 0), MEAN, atol=0.3)


def test_a_guide_of_one_vector():
    stein = SteinVI(gaussian, AutoMultivariateNormal(gaussian), optax.adam(0.03), RBFKernel(), num_stein_particles=2)
    result = stein.run(KEY, 800, progress_bar=False)
    assert result.params["auto_loc"].shape == (2, 2) and result.params["auto_scale_tril"].shape == (2, 2, 2)
    bound = -jax.jit(lambda p: SteinLoss(200, 2).loss(KEY, {}, gaussian, stein.guide, p))(result.params)
    assert -0.15 < bound < 0.05  # of evidence 1


def test_states_steps_and_going_on():
    svgd = SVGD(gaussian, numpyro.optim.Adam(0.05), RBFKernel(), num_stein_particles=3)
    state = svgd.init(KEY)
    assert state._fields == ("optim_state", "rng_key", "loss_temperature", "repulsion_temperature")
    _, length = jax.jit(svgd.update)(state)
    np.testing.assert_allclose(jax.jit(svgd.evaluate)(state), length, rtol=1e-6)
    result = svgd.run(KEY, 4, progress_bar=False)
    again = svgd.run(KEY, 2, progress_bar=False, init_state=svgd.run(KEY, 2, progress_bar=False).state)
    np.testing.assert_allclose(again.params["x_auto_loc"], result.params["x_auto_loc"], rtol=1e-6)
    for factor in (1.0, 3.0):
        one = SteinVI(gaussian, AutoDelta(gaussian), optax.sgd(1.0), LinearKernel(), 1, 1, factor, 0.0)
        start = one.init(KEY)
        x = one.get_params(start)["x_auto_loc"][0]
        moved = one.get_params(jax.jit(one.update)(start)[0])["x_auto_loc"][0] - x
        expected = factor * (x @ x + 1.0) * np.linalg.solve(COVARIANCE, MEAN - x)
        np.testing.assert_allclose(moved, expected, rtol=1e-3)


def test_annealing_in_cycles():
    asvgd = ASVGD(gaussian, optax.sgd(0.05), RBFKernel(), num_stein_particles=4, num_cycles=2, transition_speed=3)
    state = asvgd.init(KEY, 12)
    factors = []
    step = jax.jit(asvgd.update)
    for _ in range(12):
        state, _ = step(state)
        factors.append(4 * float(state.steinvi_state.loss_temperature))
    np.testing.assert_allclose(factors, [(2 * k / 13) ** 3 for k in range(1, 7)] + [1.0] * 6, rtol=1e-5)


@pytest.mark.slow
def test_annealed_points_have_the_moments_of_a_gaussian():
    long = ASVGD(gaussian, optax.adam(0.05), RBFKernel(), num_stein_particles=30, num_cycles=3, transition_speed=2)
    result = long.run(KEY, 1500, progress_bar=False)
    particles = result.params["x_auto_loc"]
    np.testing.assert_allclose(np.mean(particles, 0), MEAN, atol=0.1)
    assert (np.abs(covariance(particles) / COVARIANCE - 1.0) < 0.3).all()


def test_predictions():
    svgd = SVGD(gaussian, optax.adam(0.05), RBFKernel(), num_stein_particles=6)
    params = svgd.run(KEY, 5, progress_bar=False).params

    def with_data():
        x = numpyro.sample("x", dist.MultivariateNormal(MEAN, COVARIANCE))
        numpyro.sample("y", dist.Normal(x[0], 0.1))

    predictive = lambda **options: MixtureGuidePredictive(
        with_data, svgd.guide, params, guide_sites=svgd.guide_sites, **options
    )(KEY)
    assert {name: np.shape(v) for name, v in predictive(num_samples=7).items()} == {
        "mixture_assignments": (7,),
        "y": (7,),
    }
    found = predictive(return_sites=["x", "y"])
    np.testing.assert_allclose(found["x"], params["x_auto_loc"][found["mixture_assignments"]], rtol=1e-6)
    assert np.abs(found["y"] - found["x"][:, 0]).max() < 0.5
    with pytest.raises(ValueError, match="without"):
        MixtureGuidePredictive(with_data, svgd.guide, {}, guide_sites=["x_auto_loc"])


def test_arguments_that_do_not_fit():
    make = lambda **options: SteinVI(
        **{"model": gaussian, "guide": AutoNormal(gaussian), "optim": optax.sgd(0.1), "kernel_fn": RBFKernel()}
        | options
    )
    with pytest.raises(AssertionError, match="does not take AutoIAFNormal"):
        make(guide=AutoIAFNormal(gaussian))
    with pytest.raises(TypeError, match="`kernel_fn` must be a kernel"):
        make(kernel_fn=3)
    with pytest.raises(ValueError, match="`num_stein_particles` must be a positive integer"):
        make(num_stein_particles=0)
    with pytest.raises(ValueError, match="`init` or `run` must be called first"):
        make().get_params(None)
    with pytest.raises(TypeError, match="random key"):
        make().init("key")
