"""Kinetic energies: momenta have the covariance of the mass matrix, and the three operations belong together."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.adaptation import LowRankMatrix
from numpyro.infer.hmc.metric import BlockMetric, CustomKineticEnergy, DenseMetric, DiagonalMetric, LowRankMetric
from numpyro.infer.model.layout import Layout

rng = np.random.default_rng(0)


def positive_definite(size):
    root = rng.normal(size=(size, 2 * size))
    return root @ root.T / (2 * size)


DENSE = positive_definite(5)
DIAGONAL = np.array([0.1, 1.0, 2.0, 30.0, 0.5])
BLOCKS = {("a", "c"): DENSE[:3, :3], ("b",): DIAGONAL[3:]}

LOW_RANK = LowRankMatrix(
    np.array([0.5, 1.0, 2.0, 3.0, 0.1]), np.linalg.qr(rng.normal(size=(5, 2)))[0], np.array([25.0, 0.04])
)


def full(matrix):
    """diag(s) (I + U (Lambda - I) U^T) diag(s)."""
    scale, vectors, values = matrix
    return scale[:, None] * (np.eye(len(scale)) + vectors * (values - 1) @ vectors.T) * scale


CASES = {
    "diagonal": (DiagonalMetric(5), DIAGONAL, np.diag(DIAGONAL)),
    "dense": (DenseMetric(5), DENSE, DENSE),
    "blocks": (
        BlockMetric({("a", "c"): DenseMetric(3), ("b",): DiagonalMetric(2)}),
        BLOCKS,
        np.block([[DENSE[:3, :3], np.zeros((3, 2))], [np.zeros((2, 3)), np.diag(DIAGONAL[3:])]]),
    ),
    "low rank": (LowRankMetric(5, 2), LOW_RANK, full(LOW_RANK)),
    "low rank block": (
        BlockMetric({("a", "b"): LowRankMetric(5, 2)}),
        {("a", "b"): LOW_RANK},
        full(LOW_RANK),
    ),
    "one block": (BlockMetric({("a",): DenseMetric(5)}), {("a",): DENSE}, DENSE),
}


@pytest.fixture(params=CASES)
def case(request, x64):
    """A metric, its mass matrix, and the same inverse mass matrix as a full matrix."""
    metric, inverse, full = CASES[request.param]
    return metric, metric.mass_matrix(jax.tree.map(jnp.asarray, inverse)), full


def momentum_factor(metric, mass):
    """The matrix that makes momenta of noise: ``momentum`` is linear."""
    return np.asarray(jax.jacobian(lambda noise: metric.momentum(mass, noise))(jnp.zeros(5)))


def test_momenta_have_the_mass_matrix_as_covariance(case):
    metric, mass, inverse = case
    factor = momentum_factor(metric, mass)
    np.testing.assert_allclose(factor @ factor.T, np.linalg.inv(inverse), rtol=1e-9)
    noise = jnp.asarray(rng.normal(size=5))
    np.testing.assert_allclose(metric.momentum(mass, noise), factor @ noise, rtol=1e-9)


def test_kinetic_energy_is_the_quadratic_form(case):
    metric, mass, inverse = case
    r = rng.normal(size=5)
    assert metric.kinetic_energy(mass, jnp.asarray(r)) == pytest.approx(0.5 * r @ inverse @ r, rel=1e-12)


def test_velocity_is_the_gradient_of_kinetic_energy(case):
    metric, mass, inverse = case
    r = jnp.asarray(rng.normal(size=5))
    np.testing.assert_allclose(metric.velocity(mass, r), inverse @ r, rtol=1e-12)
    np.testing.assert_allclose(
        metric.velocity(mass, r), jax.grad(lambda r: metric.kinetic_energy(mass, r))(r), rtol=1e-12
    )


def test_factors_are_inverse_to_each_other_and_dense_ones_lower_triangular(case):
    _, mass, _ = case

    def parts(tree):
        return jax.tree.leaves(tree, is_leaf=lambda part: isinstance(part, LowRankMatrix))

    for sqrt, sqrt_inv in zip(parts(mass.sqrt), parts(mass.sqrt_inv), strict=True):
        if isinstance(sqrt, LowRankMatrix):  # diag(s) (I + U (l - 1) U^T), and the transpose of the same form
            product = full(sqrt._replace(scale=np.ones(5))) @ full(sqrt_inv._replace(scale=np.ones(5)))
            np.testing.assert_allclose(sqrt.scale[:, None] * product * sqrt_inv.scale, np.eye(5), atol=1e-12)
        elif sqrt.ndim == 1:
            np.testing.assert_allclose(sqrt * sqrt_inv, 1, rtol=1e-12)
        else:
            np.testing.assert_allclose(sqrt @ sqrt_inv, np.eye(len(sqrt)), atol=1e-12)
            np.testing.assert_array_equal(np.triu(sqrt, 1), 0)


def test_the_first_metric_is_the_identity(case):
    metric, _, _ = case
    mass = metric.mass_matrix(metric.identity(jnp.float64))
    r = jnp.asarray(rng.normal(size=5))
    for operation in (metric.momentum, metric.velocity):
        np.testing.assert_allclose(operation(mass, r), r, rtol=1e-12)


def test_single_precision_agrees():
    metric, inverse, full = CASES["blocks"]
    mass = metric.mass_matrix(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), inverse))
    factor = momentum_factor(metric, mass)
    assert factor.dtype == np.float32
    np.testing.assert_allclose(factor @ factor.T @ full, np.eye(5), atol=1e-4)


def test_metrics_compare_by_their_blocks():
    metric, _, _ = CASES["blocks"]
    twin = BlockMetric(dict(metric.blocks))
    assert metric == twin
    assert hash(metric) == hash(twin)
    assert metric != BlockMetric({("a", "c"): DenseMetric(3), ("b",): DenseMetric(2)})
    assert DiagonalMetric(5) != DiagonalMetric(4)
    assert DiagonalMetric(5) != DenseMetric(5)  # or a program compiled for one would be used for the other


def test_a_kinetic_energy_of_ones_own_gets_momenta_in_the_form_of_positions(x64):
    layout = Layout({"x": np.zeros(3), "y": np.zeros(())})

    def relativistic(inverse, r):
        return jnp.sqrt(1 + jnp.sum(inverse[:3] * r["x"] ** 2) + inverse[3] * r["y"] ** 2)

    inverse = jnp.array([1.0, 2.0, 3.0, 4.0])
    metric = CustomKineticEnergy(DiagonalMetric(4), relativistic, layout)
    mass = metric.mass_matrix(inverse)
    r = jnp.array([0.5, -1.0, 2.0, 1.0])
    energy = np.sqrt(1 + np.sum(inverse * r**2))
    assert metric.kinetic_energy(mass, r) == pytest.approx(energy, rel=1e-12)
    np.testing.assert_allclose(metric.velocity(mass, r), inverse * r / energy, rtol=1e-12)
    np.testing.assert_allclose(metric.momentum(mass, jnp.ones(4)), inverse**-0.5, rtol=1e-12)


def test_a_kinetic_energy_is_known_by_what_it_computes():
    """Two equal functions are one energy; one whose captured array was edited is another."""
    layout, weights = Layout({"x": np.zeros(2)}), np.ones(2, np.float32)

    def make():
        return CustomKineticEnergy(DiagonalMetric(2), lambda inverse, r: jnp.sum(weights * r["x"] ** 2), layout)

    before = make()
    assert before == make() and hash(before) == hash(make())
    weights[0] = 3.0
    assert before != make()
    mass, r = before.metric.mass_matrix(jnp.ones(2)), jnp.ones(2)
    assert (before.kinetic_energy(mass, r), make().kinetic_energy(mass, r)) == (2.0, 4.0)
