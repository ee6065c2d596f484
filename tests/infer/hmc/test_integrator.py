"""The leapfrog step, on physics whose motion is known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from numpyro.infer.hmc.integrator import PhasePoint, leapfrog
from numpyro.infer.hmc.metric import DenseMetric, DiagonalMetric

MASS_2D = np.array([[2.0, 0.3], [0.3, 0.5]])


def planet(z):
    return -1 / jnp.linalg.norm(z)


def bowl(z):
    return jnp.sum(jnp.cosh(z)) + 0.3 * z[0] * z[-1]


def flow(potential, inverse, z, r, step_size, steps):
    """The point reached from ``(z, r)`` after ``steps`` leapfrog steps."""
    inverse = jnp.asarray(inverse)
    metric = DiagonalMetric(len(z)) if inverse.ndim == 1 else DenseMetric(len(z))
    mass = metric.mass_matrix(inverse)
    value_and_grad = jax.value_and_grad(potential)
    start = PhasePoint(z, r, *value_and_grad(z))
    end = lax.fori_loop(0, steps, lambda _, point: leapfrog(value_and_grad, metric, mass, point, step_size), start)
    return end, end.potential + metric.kinetic_energy(mass, end.r)


flow = jax.jit(flow, static_argnums=0)


def test_free_fall_is_exact(x64):
    end, _ = flow(lambda z: 9.81 * z[0], np.ones(1), jnp.zeros(1), jnp.ones(1) * 5.0, 0.1, 20)
    assert end.r[0] == pytest.approx(5 - 9.81 * 2)
    assert end.z[0] == pytest.approx(5 * 2 - 0.5 * 9.81 * 2**2)


@pytest.mark.parametrize("step_size", [0.1, 0.7, 1.9])
def test_harmonic_oscillator_conserves_its_shadow_energy(x64, step_size):
    """Leapfrog conserves z^2 (1 - e^2 / 4) + r^2 exactly, and turns by arccos(1 - e^2 / 2) a step of size e."""
    z, r = 0.7, -0.4
    shadow = z**2 * (1 - step_size**2 / 4) + r**2
    angle = np.arccos(1 - step_size**2 / 2)
    stretch = np.sqrt(1 - step_size**2 / 4)
    for steps in (1, 17, 1000):
        end, _ = flow(lambda z: 0.5 * z[0] ** 2, np.ones(1), jnp.array([z]), jnp.array([r]), step_size, steps)
        assert end.z[0] ** 2 * (1 - step_size**2 / 4) + end.r[0] ** 2 == pytest.approx(shadow, rel=1e-9)
        expected = z * np.cos(steps * angle) + r / stretch * np.sin(steps * angle)
        assert end.z[0] == pytest.approx(expected, abs=1e-9)


def test_a_planet_returns_after_a_year(x64):
    # a circle of radius 1 takes 2 pi; an ellipse from distance 1 with speed 1.2 has a = 1 / (2 - 1.2^2)
    for speed in (1.0, 1.2):
        axis = 1 / (2 - speed**2)
        year = 2 * np.pi * axis**1.5
        z, r = jnp.array([1.0, 0.0]), jnp.array([0.0, speed])
        end, energy = flow(planet, np.ones(2), z, r, year / 20_000, 20_000)
        np.testing.assert_allclose(end.z, z, atol=1e-5)
        assert energy == pytest.approx(speed**2 / 2 - 1, abs=1e-7)
        assert end.z[0] * end.r[1] - end.z[1] * end.r[0] == pytest.approx(speed, rel=1e-9)  # angular momentum


@pytest.mark.parametrize("inverse", [np.array([2.0, 0.5]), MASS_2D], ids=["diagonal", "dense"])
def test_time_can_be_reversed(x64, inverse):
    z, r = jnp.array([0.3, -1.0]), jnp.array([1.0, 0.5])
    end, _ = flow(bowl, inverse, z, r, 0.2, 50)
    assert np.linalg.norm(end.z - z) > 0.1
    by_momentum, _ = flow(bowl, inverse, end.z, -end.r, 0.2, 50)
    np.testing.assert_allclose(by_momentum.z, z, atol=1e-11)
    np.testing.assert_allclose(by_momentum.r, -r, atol=1e-11)
    by_step, _ = flow(bowl, inverse, end.z, end.r, -0.2, 50)
    np.testing.assert_allclose(by_step.z, z, atol=1e-11)
    np.testing.assert_allclose(by_step.r, r, atol=1e-11)


@pytest.mark.parametrize("inverse", [np.array([2.0, 0.5]), MASS_2D], ids=["diagonal", "dense"])
def test_volume_is_preserved(x64, inverse):
    def move(point):
        end, _ = flow(bowl, inverse, point[:2], point[2:], 0.3, 5)
        return jnp.concatenate([end.z, end.r])

    jacobian = jax.jacfwd(move)(jnp.array([0.3, -1.0, 1.0, 0.5]))
    assert np.linalg.det(jacobian) == pytest.approx(1, abs=1e-10)
    # symplectic: J^T Omega J = Omega
    omega = np.block([[np.zeros((2, 2)), np.eye(2)], [-np.eye(2), np.zeros((2, 2))]])
    np.testing.assert_allclose(jacobian.T @ omega @ jacobian, omega, atol=1e-10)


def test_the_energy_error_is_of_second_order_and_the_local_one_of_third(x64):
    z, r = jnp.array([0.3, -1.0]), jnp.array([1.0, 0.5])
    exact = flow(bowl, MASS_2D, z, r, 0.1, 0)[1]
    over_time = [abs(flow(bowl, MASS_2D, z, r, 1 / n, n)[1] - exact) for n in (40, 80, 160)]
    assert over_time[0] / over_time[1] == pytest.approx(4, rel=0.1)
    assert over_time[1] / over_time[2] == pytest.approx(4, rel=0.1)
    in_one_step = [abs(flow(bowl, MASS_2D, z, r, step, 1)[1] - exact) for step in (0.04, 0.02, 0.01)]
    assert in_one_step[1] / in_one_step[2] == pytest.approx(8, rel=0.1)


def test_the_point_reached_knows_its_potential_and_gradient(precision):
    end, _ = flow(bowl, np.ones(2, precision), jnp.ones(2), jnp.ones(2), 0.1, 3)
    value, grad = jax.value_and_grad(bowl)(end.z)
    assert end.z.dtype == end.r.dtype == end.grad.dtype == precision
    np.testing.assert_allclose(end.potential, value, rtol=1e-6)
    np.testing.assert_allclose(end.grad, grad, rtol=1e-6)
