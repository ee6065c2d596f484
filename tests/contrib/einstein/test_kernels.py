"""Kernels against their formulas."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.einstein import (
    GraphicalKernel,
    IMQKernel,
    LinearKernel,
    MixtureKernel,
    ProbabilityProductKernel,
    RadialGaussNewtonKernel,
    RandomFeatureKernel,
    RBFKernel,
)
from numpyro.contrib.einstein.stein_kernels import SteinKernel, median_bandwidth
from numpyro.infer.autoguide import AutoDelta, AutoNormal

KEY = jax.random.key(0)
PARTICLES = np.array([[0.0, 1.0], [2.0, -1.0], [1.0, 4.0]], np.float32)
INFO = {"a": (0, 1), "b": (1, 2)}
MEDIAN = 8.0  # of the squares 0 (three times), 8, 10, 26 (twice each)


def no_loss(key, particle, index):
    return jnp.zeros(())


def values(kernel: SteinKernel, particles=PARTICLES, info=INFO, loss=no_loss) -> np.ndarray:
    """k(x, y) for all pairs."""
    kernel.init(KEY, particles.shape)
    fn = kernel.compute(KEY, jnp.asarray(particles), info, loss)
    return np.asarray(jax.vmap(lambda x: jax.vmap(lambda y: fn(x, y))(particles))(particles))


SQUARES = (PARTICLES[:, None] - PARTICLES[None]) ** 2


def test_median_bandwidth():
    np.testing.assert_allclose(median_bandwidth(jnp.asarray(PARTICLES), lambda n: 2.0 * n), 6 * MEDIAN)
    assert median_bandwidth(jnp.ones((3, 2)), lambda n: 1.0) == 1.0  # coinciding particles


def test_rbf():
    h = MEDIAN / np.log(3)
    expected = np.exp(-SQUARES.sum(-1) / h)
    np.testing.assert_allclose(values(RBFKernel()), expected, rtol=1e-5)
    np.testing.assert_allclose(values(RBFKernel("vector")), np.exp(-SQUARES / h), rtol=1e-5)
    np.testing.assert_allclose(values(RBFKernel("matrix")), expected[..., None, None] * np.eye(2), rtol=1e-5)
    np.testing.assert_allclose(
        values(RBFKernel(bandwidth_factor=lambda n: 0.5)), np.exp(-SQUARES.sum(-1) / 4.0), rtol=1e-5
    )


def test_imq():
    np.testing.assert_allclose(values(IMQKernel()), (1 + SQUARES.sum(-1)) ** -0.5, rtol=1e-5)
    np.testing.assert_allclose(values(IMQKernel("vector")), (1 + SQUARES) ** -0.5, rtol=1e-5)
    np.testing.assert_allclose(values(IMQKernel(const=2.0, expon=-0.25)), (4 + SQUARES.sum(-1)) ** -0.25, rtol=1e-5)


def test_linear():
    np.testing.assert_allclose(values(LinearKernel()), PARTICLES @ PARTICLES.T + 1.0, rtol=1e-6)


def test_mixture():
    expected = 0.3 * values(RBFKernel()) + 0.7 * values(IMQKernel())
    np.testing.assert_allclose(values(MixtureKernel([0.3, 0.7], [RBFKernel(), IMQKernel()])), expected, rtol=1e-5)


def test_graphical():
    found = values(GraphicalKernel(local_kernel_fns={"b": IMQKernel()}))
    np.testing.assert_allclose(found[..., 0, 0], np.exp(-SQUARES[..., 0] * np.log(3)), rtol=1e-5)  # median 1
    np.testing.assert_allclose(found[..., 1, 1], (1 + SQUARES[..., 1]) ** -0.5, rtol=1e-5)
    assert not found[..., 0, 1].any() and not found[..., 1, 0].any()
    whole = values(GraphicalKernel(default_kernel_fn=RBFKernel("matrix")), info={"both": (0, 2)})
    np.testing.assert_allclose(whole, values(RBFKernel("matrix")), rtol=1e-6)
    with pytest.raises(ValueError, match=r"kernels for \['c'\]"):
        values(GraphicalKernel(local_kernel_fns={"c": IMQKernel()}))


def test_random_features_are_the_gaussian_kernel_in_the_mean():
    particles = np.random.default_rng(0).normal(size=(20000, 2)).astype(np.float32)
    kernel = RandomFeatureKernel(bandwidth_subset=50, bandwidth_factor=lambda n: 1.0)
    kernel.init(KEY, particles.shape)
    fn = kernel.compute(KEY, jnp.asarray(particles), INFO, no_loss)
    subset = jax.random.choice(KEY, particles, (50,), replace=False)
    h = float(median_bandwidth(subset, lambda n: 1.0))
    for x, y in ((0, 0), (0, 1), (2, 3)):
        expected = np.exp(-np.sum((particles[x] - particles[y]) ** 2) / h)
        # A feature's product lies in [-2, 2]: five standard errors of 20000 of them.
        assert abs(float(fn(particles[x], particles[y])) - expected) < 5 * 2 / np.sqrt(20000)


def test_random_features_must_be_drawn():
    with pytest.raises(ValueError, match="call init"):
        RandomFeatureKernel().compute(KEY, jnp.asarray(PARTICLES), INFO, no_loss)


def test_probability_product():
    guide = AutoNormal(lambda: numpyro.sample("x", dist.Normal()))
    softplus = lambda v: np.log1p(np.exp(v))
    particles = np.array([[0.0, -1.0], [1.0, 0.3]], np.float32)
    info = {"x_auto_loc": (0, 1), "x_auto_scale": (1, 2)}
    p, q = (norm(m, softplus(s)) for m, s in particles)
    for rho in (0.5, 1.0, 2.0):
        integral = lambda f, g: quad(lambda z: f.pdf(z) ** rho * g.pdf(z) ** rho, -9, 9)[0]  # noqa: B023
        expected = integral(p, q) / np.sqrt(integral(p, p) * integral(q, q))
        found = values(ProbabilityProductKernel(guide, scale=rho), particles, info)
        np.testing.assert_allclose(found, [[1.0, expected], [expected, 1.0]], rtol=1e-4)
    with pytest.raises(AssertionError, match="takes an AutoNormal"):
        ProbabilityProductKernel(AutoDelta(lambda: None))
    with pytest.raises(ValueError, match="needs the locations and scales"):
        values(ProbabilityProductKernel(guide), particles, {"y": (0, 2)})


def test_gauss_newton():
    precision = np.array([1.0, 3.0])
    loss = lambda key, particle, index: -0.5 * jnp.sum(particle**2 * precision)
    gradients = -PARTICLES * precision
    metric = gradients.T @ gradients / 3
    difference = PARTICLES[:, None] - PARTICLES[None]
    expected = np.exp(-np.einsum("ija,ab,ijb->ij", difference, metric, difference) / 4)
    np.testing.assert_allclose(values(RadialGaussNewtonKernel(), loss=loss), expected, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: RBFKernel(mode="scalar"), "`mode` must be one of"),
        (lambda: RBFKernel(matrix_mode="full"), "`matrix_mode` must be 'norm_diag'"),
        (lambda: IMQKernel(mode="matrix"), "`mode` must be one of"),
        (lambda: IMQKernel(const=-1.0), "`const` must be positive"),
        (lambda: IMQKernel(expon=0.5), "`expon` must lie between -1 and 0"),
        (lambda: LinearKernel(mode="matrix"), "`mode` must be one of"),
        (lambda: GraphicalKernel(mode="norm"), "`mode` must be one of"),
        (lambda: RandomFeatureKernel(mode="vector"), "`mode` must be one of"),
        (lambda: RandomFeatureKernel(bandwidth_subset=0), "`bandwidth_subset` must be positive"),
        (lambda: MixtureKernel([0.3], [RBFKernel(), IMQKernel()]), "a weight for each kernel"),
        (lambda: MixtureKernel([0.5, 0.5], [RBFKernel("vector"), IMQKernel()]), "needs kernels of that mode"),
        (lambda: MixtureKernel([-1.0], [RBFKernel()]), "must not be negative"),
    ],
)
def test_options_that_do_not_fit(make, match):
    with pytest.raises(ValueError, match=match):
        make()
    with pytest.raises(AssertionError):
        make()
