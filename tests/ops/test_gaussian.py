"""The derivative rules of the multivariate normal log density against differentiation through the factorisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats as st

from numpyro.ops.gaussian import log_prob_by_covariance, log_prob_by_factor, log_prob_by_precision, whiten

D = 3
RNG = np.random.default_rng(0)
ROOTS = RNG.normal(size=(2, 4, D, D))
MATRICES = ROOTS @ np.swapaxes(ROOTS, -1, -2) + np.eye(D)
SHAPES = [
    ((), ()),
    ((5,), ()),
    ((), (4,)),
    ((4,), (4,)),
    ((5, 4), (4,)),
    ((2, 1), (4,)),
    ((5, 2, 4), (2, 4)),
    ((4,), (2, 4)),
]
RULES = {
    "covariance": (log_prob_by_covariance, lambda covariance: jnp.linalg.cholesky(covariance)),
    "precision": (log_prob_by_precision, lambda precision: jnp.linalg.cholesky(jnp.linalg.inv(precision))),
}


def matrices(batch: tuple[int, ...]) -> np.ndarray:
    return MATRICES[(0,) * (2 - len(batch))].reshape(*batch, D, D) if len(batch) < 2 else MATRICES


def symmetric(gradient: Any) -> np.ndarray:
    """What a gradient says of symmetric directions."""
    return np.asarray(gradient) + np.swapaxes(gradient, -1, -2)


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> tuple[Callable[..., Any], Callable[..., Any]]:
    by_matrix, factor = RULES[request.param]
    return by_matrix, lambda y, matrix: log_prob_by_factor(y, factor(matrix))


@pytest.mark.parametrize(("y_batch", "batch"), SHAPES)
def test_whiten_solves(x64, y_batch, batch):
    factor, y = np.linalg.cholesky(matrices(batch)), RNG.normal(size=(*y_batch, D))
    for transposed in (False, True):
        white = np.asarray(whiten(factor, y, transposed))
        applied = np.swapaxes(factor, -1, -2) if transposed else factor
        np.testing.assert_allclose((applied @ white[..., None])[..., 0], np.broadcast_to(y, white.shape), atol=1e-12)


def test_density_is_that_of_scipy(x64):
    y = RNG.normal(size=D)
    expected = st.multivariate_normal(np.zeros(D), MATRICES[0, 0]).logpdf(y)
    np.testing.assert_allclose(log_prob_by_covariance(y, MATRICES[0, 0]), expected)
    np.testing.assert_allclose(log_prob_by_precision(y, np.linalg.inv(MATRICES[0, 0])), expected)


@pytest.mark.parametrize(("y_batch", "batch"), SHAPES)
def test_values_and_gradients(x64, rule, y_batch, batch):
    y, matrix = RNG.normal(size=(*y_batch, D)), matrices(batch)
    weights = RNG.normal(size=np.broadcast_shapes(y_batch, batch))

    def total(log_prob: Callable[..., Any]) -> Callable[..., Any]:
        return jax.jit(jax.value_and_grad(lambda y, m: jnp.sum(weights * log_prob(y, m)), (0, 1)))

    value, (by_y, by_matrix) = total(rule[0])(y, matrix)
    expected, (expected_by_y, expected_by_matrix) = total(rule[1])(y, matrix)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(by_y, expected_by_y, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(symmetric(by_matrix), symmetric(expected_by_matrix), rtol=1e-10, atol=1e-10)


def test_second_derivatives_in_both_modes(x64, rule):
    y, matrix, direction = RNG.normal(size=D), MATRICES[0, 1], symmetric(RNG.normal(size=(D, D)))

    def along(log_prob: Callable[..., Any]) -> Callable[..., Any]:
        return lambda t: log_prob(y * (1 - t) + t**2, matrix + t * direction)

    ours, reference = along(rule[0]), along(rule[1])
    for derivative in (jax.jacfwd(ours), jax.grad(ours)):
        np.testing.assert_allclose(derivative(0.01), jax.grad(reference)(0.01), rtol=1e-10)
    for second in (jax.jacfwd(jax.grad(ours)), jax.grad(jax.grad(ours)), jax.jacfwd(jax.jacfwd(ours))):
        np.testing.assert_allclose(second(0.01), jax.grad(jax.grad(reference))(0.01), rtol=1e-9)


def test_gradient_does_not_differentiate_the_factorisation():
    """Factor once, solve twice for the vector and once for the inverse: no more than that."""
    gradient = jax.jit(jax.grad(log_prob_by_covariance, (0, 1)))
    program = gradient.lower(np.ones(D), np.eye(D)).compile().as_text()
    calls = [line for line in program.splitlines() if "custom_call_target=" in line]
    assert len(calls) == 4, calls
