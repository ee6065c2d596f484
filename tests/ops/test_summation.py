"""Sums in pairs: the value, its accuracy against exact sums, and its derivative."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.ops.summation import pairwise_sum


@pytest.mark.parametrize("size", [0, 1, 2, 15, 16, 17, 31, 100, 1024, 1025])
def test_a_sum_of_whole_numbers_is_exact(size):
    x = np.arange(size, dtype=np.float32)
    assert float(jax.jit(pairwise_sum)(x)) == size * (size - 1) / 2


def test_the_error_grows_with_the_logarithm_of_the_length():
    x = np.random.default_rng(0).random(100_000).astype(np.float32)
    exact = math.fsum(x.tolist())
    # Higham (2002), section 4.2: log2(n) roundings, here of terms of one sign, and the last 16 one after another
    bound = (math.log2(len(x)) + 16) * 2.0**-24 * exact
    assert abs(float(jax.jit(pairwise_sum)(x)) - exact) <= bound


def test_the_derivative_of_a_sum_is_one():
    np.testing.assert_array_equal(jax.grad(pairwise_sum)(jnp.arange(37.0)), np.ones(37))
