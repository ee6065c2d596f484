"""Transitions leave their target as it is: exact draws stay exact draws, and no direction of time is preferred.

Each target is a map of two independent standard normal numbers, so draws are exact, and after any number of steps the
numbers mapped back must still be standard normal and independent. Keys are fixed; each bound fails for 1 key in 10^5.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro.infer import HMC, NUTS

ERROR_RATE = 1e-5
COUNT = 8000
STEPS = 3
CORRELATION = np.array([[1.0, 0.0], [1.8, 0.6]], np.float32)


def gaussian(z):
    inverse = np.linalg.inv(CORRELATION)
    return inverse @ z, 0.0


def banana(z):
    return jnp.stack([z[0], z[1] - z[0] ** 2]), 0.0


def funnel(z):
    return jnp.stack([z[0], z[1] * jnp.exp(-0.5 * z[0])]), -0.5 * z[0]


def draw_gaussian(u):
    return u @ CORRELATION.T


def draw_banana(u):
    return np.stack([u[:, 0], u[:, 1] + u[:, 0] ** 2], -1)


def draw_funnel(u):
    return np.stack([u[:, 0], u[:, 1] * np.exp(0.5 * u[:, 0])], -1)


TARGETS = {"gaussian": (gaussian, draw_gaussian), "banana": (banana, draw_banana), "funnel": (funnel, draw_funnel)}

FIXED = {"adapt_step_size": False, "adapt_mass_matrix": False}
DENSE = np.array([[1.0, 0.5], [0.5, 2.0]], np.float32)


def scaled(inverse, r):
    """The Euclidean energy, as a user would write it."""
    return 0.5 * jnp.sum(inverse * r**2)


KERNELS = {
    "NUTS": (NUTS, {"step_size": 0.7, "max_tree_depth": 4}),
    "NUTS, small steps": (NUTS, {"step_size": 0.15, "max_tree_depth": 6}),
    "NUTS, dense": (NUTS, {"step_size": 0.6, "max_tree_depth": 4, "dense_mass": True, "inverse_mass_matrix": DENSE}),
    "NUTS, own kinetic energy": (NUTS, {"step_size": 0.7, "max_tree_depth": 4, "kinetic_fn": scaled}),
    "HMC": (HMC, {"step_size": 0.5, "num_steps": 4, "trajectory_length": None}),
    "HMC by length": (HMC, {"step_size": 0.4, "trajectory_length": 1.3}),
}
CASES = [
    *[(target, "NUTS") for target in TARGETS],
    ("banana", "NUTS, small steps"),
    *[("banana", kernel) for kernel in list(KERNELS)[2:]],
]


@pytest.mark.parametrize(("target", "kernel"), CASES, ids=[" ".join(case) for case in CASES])
def test_exact_draws_stay_exact(target, kernel):
    to_normal, draw = TARGETS[target]

    def potential(z):
        u, log_det = to_normal(z)
        return 0.5 * jnp.sum(u**2) - log_det

    make, options = KERNELS[kernel]
    sampler = make(potential_fn=potential, **FIXED, **options)
    start = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
    keys = jax.random.split(jax.random.key(7), COUNT)
    state = sampler.init(keys, 0, init_params=draw(start))
    step = jax.jit(jax.vmap(sampler.sample))
    for number in range(STEPS):
        state = step(state)
        if number == 0:
            after_one = np.asarray(jax.vmap(to_normal)(state.z)[0])
    end = np.asarray(jax.vmap(to_normal)(state.z)[0])

    assert 0.3 < np.mean(state.accept_prob) < 0.999  # steps are coarse: without the right weights this would fail
    assert np.mean(np.any(end != start, axis=1)) > 0.6
    for sample in (after_one, end):
        for value in (sample[:, 0], sample[:, 1], (sample[:, 0] + sample[:, 1]) / np.sqrt(2)):
            assert scipy.stats.kstest(value, "norm").pvalue > ERROR_RATE
        assert scipy.stats.kstest(np.sum(sample**2, 1), "chi2", (2,)).pvalue > ERROR_RATE
    # Reversible: (before, after) and (after, before) have the same distribution, so antisymmetric functions average to 0.
    for f, g in [(np.tanh, np.abs), (np.square, np.tanh)]:
        for i, j in [(0, 0), (0, 1), (1, 1)]:
            difference = f(start[:, i]) * g(after_one[:, j]) - g(start[:, j]) * f(after_one[:, i])
            assert scipy.stats.ttest_1samp(difference, 0).pvalue > ERROR_RATE
