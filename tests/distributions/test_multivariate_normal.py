"""Derivatives of the multivariate normal density by value, mean and each of its matrices, against the plain formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro.distributions as dist

D = 4
RNG = np.random.default_rng(3)
FACTOR = np.tril(RNG.normal(size=(D, D)), -1) + np.diag(RNG.uniform(1, 2, D))
COVARIANCE = FACTOR @ FACTOR.T
MATRICES: dict[str, tuple[np.ndarray, Callable[[Any], Any]]] = {
    "scale_tril": (FACTOR, lambda factor: factor @ factor.T),
    "covariance_matrix": (COVARIANCE, lambda covariance: covariance),
    "precision_matrix": (np.linalg.inv(COVARIANCE), jnp.linalg.inv),
}


@pytest.mark.parametrize("name", MATRICES)
def test_derivatives_along_a_curve_in_every_argument(x64, name):
    matrix, covariance_of = MATRICES[name]
    value, loc, turn = RNG.normal(size=(5, D)), RNG.normal(size=D), 0.1 * RNG.normal(size=(D, D))
    turn = np.tril(turn) if name == "scale_tril" else turn + turn.T

    def point(t: Any) -> tuple[Any, Any, Any]:
        return value + t**2, loc * (1 + t), matrix + t * turn

    def ours(t: Any) -> Any:
        value, loc, matrix = point(t)
        return dist.MultivariateNormal(loc, **{name: matrix}).log_prob(value).sum()

    def plain(t: Any) -> Any:
        value, loc, matrix = point(t)
        covariance, y = covariance_of(matrix), value - loc
        square = jnp.sum(y * jnp.linalg.solve(covariance, y.T).T)
        return -0.5 * (square + 5 * (jnp.linalg.slogdet(covariance)[1] + D * np.log(2 * np.pi)))

    first, second = jax.jit(jax.grad(plain))(0.3), jax.jit(jax.grad(jax.grad(plain)))(0.3)
    np.testing.assert_allclose(ours(0.3), plain(0.3), rtol=1e-10)
    for derivative in (jax.grad(ours), jax.jacfwd(ours)):
        np.testing.assert_allclose(jax.jit(derivative)(0.3), first, rtol=1e-9)
    for derivative in (jax.jacfwd(jax.grad(ours)), jax.grad(jax.grad(ours)), jax.jacfwd(jax.jacfwd(ours))):
        np.testing.assert_allclose(jax.jit(derivative)(0.3), second, rtol=1e-8)
