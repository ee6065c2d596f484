"""Formulas with an absolute value or a maximum inside, at the point where these have their corners."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro.distributions as dist
from numpyro.distributions._maths import softplus
from numpyro.distributions.transforms import StickBreakingTransform
from numpyro.distributions.util import binary_cross_entropy_with_logits


@pytest.mark.parametrize(
    ("function", "slope", "curvature"),
    [
        (softplus, 0.5, 0.25),
        (lambda x: binary_cross_entropy_with_logits(x, 1.0), -0.5, 0.25),
        (lambda x: dist.BernoulliLogits(x).log_prob(1), 0.5, -0.25),
        (lambda x: dist.BernoulliLogits(x).log_prob(0), -0.5, -0.25),
        (lambda x: dist.BinomialLogits(x, 5).log_prob(1), 1 - 2.5, -5 / 4),
        (lambda x: dist.GeometricLogits(x).log_prob(3), 0.5 - 1.5, -1.0),
        (lambda x: dist.NegativeBinomialLogits(3.0, x).log_prob(2), 2 - 2.5, -5 / 4),
        (lambda x: dist.Logistic(x, 1.0).log_prob(0.0), 0.0, -0.5),
        (lambda x: dist.OrderedLogistic(x, jnp.array([0.0])).log_prob(1), 0.5, -0.25),
        (lambda x: jnp.log(StickBreakingTransform()(x[None]))[0], 0.5, -0.25),
        (lambda x: StickBreakingTransform().log_abs_det_jacobian(x[None], None), 0.0, -0.5),
    ],
)
def test_derivatives_at_the_corner(function: Any, slope: float, curvature: float) -> None:
    zero = jnp.zeros(())
    np.testing.assert_allclose(jax.grad(function)(zero), slope, atol=1e-6)
    np.testing.assert_allclose(jax.grad(jax.grad(function))(zero), curvature, atol=1e-6)
