"""Eigenfunctions of the Laplacian, Bessel functions and spectral densities, against what defines them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special as sp

from numpyro import handlers
from numpyro.contrib.hsgp import approximation as hsgp
from numpyro.contrib.hsgp import laplacian
from numpyro.contrib.hsgp import spectral_densities as sd
from numpyro.contrib.hsgp.bessel import log_bessel_i, log_bessel_k, scaled_bessel_i_up_to


def squared_exponential(r):
    return np.exp(-(r**2) / 2)


def matern(nu):
    def kernel(r):
        z = np.sqrt(2 * nu) * np.maximum(r, 1e-12)
        return 2 ** (1 - nu) / sp.gamma(nu) * z**nu * sp.kv(nu, z)

    return kernel


def rational_quadratic(s):
    return lambda r: (1 + r**2 / (2 * s)) ** -s


KERNELS = {
    "squared exponential": (
        squared_exponential,
        lambda dim, w, *p: sd.spectral_density_squared_exponential(dim, w, *p),
    ),
    "matern 1/2": (matern(0.5), lambda dim, w, *p: sd.spectral_density_matern(dim, 0.5, w, *p)),
    "matern 5/2": (matern(2.5), lambda dim, w, *p: sd.spectral_density_matern(dim, 2.5, w, *p)),
    "rational quadratic 2.3": (
        rational_quadratic(2.3),
        lambda dim, w, *p: sd.spectral_density_rational_quadratic(dim, w, *p, 2.3),
    ),
    "rational quadratic 0.8": (
        rational_quadratic(0.8),
        lambda dim, w, *p: sd.spectral_density_rational_quadratic(dim, w, *p, 0.8),
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_spectral_density_is_the_fourier_transform(x64, name):
    """By quadrature of the inverse transform, in one dimension and, by a Hankel transform, in two."""
    kernel, density = KERNELS[name]
    alpha, length = 1.7, 0.6
    # a change of variables that squeezes tails: w = sinh(u)
    u, du = np.linspace(-12, 12, 40_001, retstep=True)
    w = np.sinh(u) if name == "matern 1/2" else np.sinh(u * 0.5)
    weight = np.gradient(w, u) * du
    values = np.asarray(density(1, np.where(w == 0, 1e-9, w)[:, None], alpha, length))
    tolerance = 2e-3 if name == "matern 1/2" else 1e-6  # what the tail beyond the last node holds
    for r in (0.0, 0.3, 1.1):
        found = np.sum(values * np.cos(w * r) * weight) / (2 * np.pi)
        assert abs(found - alpha * kernel(r / length)) < tolerance
    positive = np.linspace(1e-6, 60, 60_001)
    plane = np.stack([positive * 0.6, positive * 0.8], -1)
    values = np.asarray(density(2, plane, alpha, length))
    for r in (0.7, 1.5):
        found = scipy.integrate.simpson(values * sp.j0(positive * r) * positive, x=positive) / (2 * np.pi)
        assert abs(found - alpha * kernel(r / length)) < (0.02 if name == "matern 1/2" else 1e-3)


@pytest.mark.parametrize("name", KERNELS)
def test_lengths_by_dimension_rescale_the_axes(x64, name):
    _, density = KERNELS[name]
    w, lengths = np.array([0.4, -1.3, 0.2]), np.array([0.5, 2.0, 1.1])
    np.testing.assert_allclose(
        density(3, w, 1.3, jnp.asarray(lengths)), np.prod(lengths) * density(3, w * lengths, 1.3, 1.0), rtol=1e-10
    )
    np.testing.assert_allclose(density(3, w, 1.3, 0.7), density(3, w, 1.3, jnp.full(3, 0.7)), rtol=1e-10)


def test_eigenfunctions_are_what_they_are_called(x64):
    ell, m = [1.5, 0.8], [4, 3]
    nodes, weights = np.polynomial.legendre.leggauss(40)
    grid = np.stack([a.ravel() for a in np.meshgrid(1.5 * nodes, 0.8 * nodes, indexing="ij")], -1)
    phi = np.asarray(laplacian.eigenfunctions(grid, ell, m))
    gram = phi.T @ (phi * np.outer(1.5 * weights, 0.8 * weights).ravel()[:, None])
    np.testing.assert_allclose(gram, np.eye(12), atol=1e-10)
    edge = np.array([[1.5, 0.3], [-1.5, 0.1], [0.2, 0.8], [1.0, -0.8]])
    np.testing.assert_allclose(laplacian.eigenfunctions(edge, ell, m), 0, atol=1e-12)

    def at(point):
        return laplacian.eigenfunctions(point[None], ell, m)[0]

    point = jnp.array([0.37, -0.21])
    hessian = jax.hessian(at)(point)
    eigenvalues = np.sum(np.square(laplacian.sqrt_eigenvalues(ell, m, 2)), 0)
    np.testing.assert_allclose(-np.trace(hessian, axis1=1, axis2=2), eigenvalues * at(point), rtol=1e-8)


@pytest.mark.parametrize("name", KERNELS)
def test_the_approximation_tends_to_the_kernel(x64, name):
    if name == "matern 1/2":
        pytest.skip("its series converges too slowly to show the limit")
    kernel, density = KERNELS[name]
    x = np.linspace(-1, 1, 9)
    phi = laplacian.eigenfunctions(x, 12.0, 400)
    spd = np.asarray(density(1, np.asarray(laplacian.sqrt_eigenvalues(12.0, 400, 1)).T, 1.7, 0.6))
    expected = 1.7 * kernel(np.abs(x[:, None] - x) / 0.6)
    slow = name.startswith("rational")  # long tails are cut off by the box
    np.testing.assert_allclose((phi * spd) @ phi.T, expected, atol=0.1 if slow else 1e-6)


def test_the_periodic_series_tends_to_the_kernel(x64):
    x = np.linspace(0, 5, 11)
    cosines, sines = laplacian.eigenfunctions_periodic(x, 1.3, 30)
    for length in (0.3, 1.0, 5.0):
        q = np.asarray(sd.diag_spectral_density_periodic(0.7, length, 30))
        found = (cosines * q) @ cosines.T + (sines * q) @ sines.T
        expected = 0.49 * np.exp(-2 / length**2 * np.sin(1.3 * (x[:, None] - x) / 2) ** 2)
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_bessel_functions(precision):
    rtol = 3e-4 if precision == np.float32 else 1e-7
    x = np.array([1e-3, 0.1, 1.0, 5.0, 20.0, 80.0])
    for order in (0.0, 0.3, 1.0, 2.5, 7.0, 25.0):
        with np.errstate(over="ignore"):
            k, i = np.log(sp.kve(order, x)) - x, np.log(sp.ive(order, x)) + x
        np.testing.assert_allclose(log_bessel_k(order, x), k, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(log_bessel_i(order, x), i, rtol=rtol, atol=rtol)
        slope = sp.kvp(order, x[1:]) / sp.kv(order, x[1:])
        found = jax.vmap(jax.grad(lambda x, order=order: log_bessel_k(order, x)))(jnp.asarray(x[1:]))
        np.testing.assert_allclose(found, slope, rtol=5 * rtol)
    for z in (1e-3, 0.5, 3.0, 50.0, 1e4):
        found = scaled_bessel_i_up_to(12, z)
        np.testing.assert_allclose(found, sp.ive(np.arange(12), z), rtol=1e-5 if rtol > 1e-5 else 1e-6, atol=1e-38)
    np.testing.assert_allclose(sd.modified_bessel_first_kind(2, -1.5), sp.iv(2, 1.5), rtol=1e-5)
    np.testing.assert_allclose(sd.modified_bessel_second_kind(2.5, 1.5), sp.kv(2.5, 1.5), rtol=1e-5)


X1 = np.linspace(-1, 1, 5)
X2 = np.stack([X1, X1**2], -1)
MODELS = {
    "squared exponential": (lambda nc: hsgp.hsgp_squared_exponential(X1, 1.3, 0.7, 1.5, 6, nc), 6),
    "matern": (lambda nc: hsgp.hsgp_matern(X2, 1.5, 1.3, 0.7, [1.5, 2.0], [3, 2], nc), 6),
    "rational quadratic": (lambda nc: hsgp.hsgp_rational_quadratic(X2, 1.3, 0.7, 0.8, 1.5, [3, 2], nc), 6),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("non_centered", [False, True])
def test_models_draw_coefficients(name, non_centered):
    model, number = MODELS[name]
    trace = handlers.trace(handlers.seed(model, 0)).get_trace(non_centered)
    assert {k: v["type"] for k, v in trace.items()} == {"basis": "plate", "beta": "sample"}
    assert trace["beta"]["value"].shape == (number,)

    # f is linear in the coefficients: its covariance does not depend on how they are drawn
    def f(nc, beta):
        return handlers.seed(handlers.substitute(model, {"beta": beta}), 0)(nc)

    centred = jax.jacobian(lambda beta: f(False, beta))(jnp.zeros(number))
    scale = handlers.trace(handlers.seed(model, 0)).get_trace(False)["beta"]["fn"].scale
    other = jax.jacobian(lambda beta: f(True, beta))(jnp.zeros(number))
    np.testing.assert_allclose(other, centred * scale, rtol=1e-4, atol=1e-6)


def test_the_periodic_process_has_the_periodic_kernel():
    x = np.linspace(0, 5, 6)

    def f(beta):
        values = {"beta_cos": beta[:12], "beta_sin": beta[12:]}
        return handlers.seed(handlers.substitute(hsgp.hsgp_periodic_non_centered, values), 0)(x, 0.7, 1.2, 1.3, 12)

    jacobian = jax.jacobian(f)(jnp.zeros(23))
    expected = 0.49 * np.exp(-2 / 1.2**2 * np.sin(1.3 * (x[:, None] - x) / 2) ** 2)
    np.testing.assert_allclose(jacobian @ jacobian.T, expected, atol=1e-5)
    assert handlers.seed(hsgp.hsgp_periodic_non_centered, 0)(x, 0.7, 1.2, 1.3, 1).shape == (6,)


def test_shapes_that_do_not_fit_are_refused():
    for make, message in (
        (lambda: laplacian.eigenindices([2, 3], 3), "length of m"),
        (lambda: laplacian.eigenindices(0, 2), "positive"),
        (lambda: laplacian.eigenfunctions(X1, [1.5, 2.0], 3), "length of ell"),
        (lambda: laplacian.eigenfunctions(X2, [[1.5, 2.0]], 3), "scalar or a list"),
        (lambda: laplacian.eigenfunctions_periodic(X2, 1.0, 3), "Multidimensional"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    np.testing.assert_array_equal(sd.align_param(2, 1.5), [1.5, 1.5])


def test_gradients_by_all_parameters_are_finite():
    def total(p):
        return sum(
            jnp.sum(v)
            for v in (
                sd.diag_spectral_density_rational_quadratic(p[0], p[1], p[2], 1.5, [3, 2], 2),
                sd.diag_spectral_density_matern(p[2], p[0], p[1], 1.5, 5, 1),
                sd.diag_spectral_density_periodic(p[0], p[1], 5),
            )
        )

    assert np.all(np.isfinite(jax.grad(total)(jnp.array([1.3, 0.7, 0.9]))))

    def value(length):  # so smooth that densities at high frequencies round to 0
        beta = {"beta": jnp.ones(60), "beta_cos": jnp.ones(20), "beta_sin": jnp.ones(19)}
        smooth = handlers.seed(handlers.substitute(hsgp.hsgp_squared_exponential, beta), 0)(X1, 1.0, length, 1.5, 60)
        periodic = handlers.seed(handlers.substitute(hsgp.hsgp_periodic_non_centered, beta), 0)
        return jnp.sum(smooth) + jnp.sum(periodic(X1, 1.0, 10 * length, 1.0, 20))

    assert np.isfinite(jax.grad(value)(20.0))
