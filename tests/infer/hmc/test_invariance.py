"""Transitions leave their target as it is: exact draws stay exact draws, and no direction of time is preferred.

Each target is a map of two independent standard normal numbers, so draws are exact, and after any number of steps the
numbers mapped back must still be standard normal and independent. Keys are fixed; each bound fails for 1 key in 10^5.
"""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro.infer import HMC, NUTS

ERROR_RATE = 1e-5
COUNT = 8000
STEPS = 3
CORRELATION = np.array([[1.0, 0.0], [0.9, 0.6]], np.float32)


def gaussian(z):
    return np.linalg.inv(CORRELATION) @ z, jnp.float32(0)


def banana(z):
    return jnp.stack([z[0], z[1] - z[0] ** 2]), jnp.float32(0)


def funnel(z):
    return jnp.stack([z[0], z[1] * jnp.exp(-0.5 * z[0])]), -0.5 * z[0]


def draw_gaussian(u):
    return u @ CORRELATION.T


def draw_banana(u):
    return np.stack([u[:, 0], u[:, 1] + u[:, 0] ** 2], -1)


def draw_funnel(u):
    return np.stack([u[:, 0], u[:, 1] * np.exp(0.5 * u[:, 0])], -1)


TARGETS = {"gaussian": (gaussian, draw_gaussian), "banana": (banana, draw_banana), "funnel": (funnel, draw_funnel)}


def scaled(inverse, r):
    """The Euclidean energy, as a user would write it."""
    return 0.5 * jnp.sum(inverse * r**2)


DENSE = np.array([[1.0, 0.5], [0.5, 2.0]], np.float32)
NUTS_OPTIONS = {"max_tree_depth": 5, "adapt_step_size": False, "adapt_mass_matrix": False}
HMC_OPTIONS = {"adapt_step_size": False, "adapt_mass_matrix": False}
KERNELS = {
    "NUTS": (NUTS, NUTS_OPTIONS),
    "NUTS, dense": (NUTS, NUTS_OPTIONS | {"dense_mass": True, "inverse_mass_matrix": DENSE}),
    "NUTS, own kinetic energy": (NUTS, NUTS_OPTIONS | {"kinetic_fn": scaled}),
    "HMC": (HMC, HMC_OPTIONS | {"num_steps": 4, "trajectory_length": None}),
    "HMC by length": (HMC, HMC_OPTIONS | {"trajectory_length": 1.3}),
}
CASES = [
    ("gaussian", "NUTS", 0.7),
    ("banana", "NUTS", 0.7),
    ("banana", "NUTS", 0.15),
    ("funnel", "NUTS", 0.7),
    ("banana", "NUTS, dense", 0.6),
    pytest.param("banana", "NUTS, own kinetic energy", 0.7, marks=pytest.mark.slow),
    ("gaussian", "HMC", 0.75),
    ("banana", "HMC", 0.6),
    pytest.param("banana", "HMC by length", 0.4, marks=pytest.mark.slow),
]


@cache
def transitions(kernel):
    """A program that takes ``STEPS`` steps from given points; target and step size are run-time values."""
    make, options = KERNELS[kernel]

    @jax.jit
    def run(target, step_size, start, keys):
        def potential(z):
            u, log_det = jax.lax.switch(target, [to_normal for to_normal, _ in TARGETS.values()], z)
            return 0.5 * jnp.sum(u**2) - log_det

        sampler = make(potential_fn=potential, step_size=step_size, **options)
        state = sampler.init(keys, 0, init_params=start)
        return jax.lax.scan(lambda state, _: (jax.vmap(sampler.sample)(state),) * 2, state, length=STEPS)[1]

    return run


@pytest.mark.parametrize(("target", "kernel", "step_size"), CASES)
def test_exact_draws_stay_exact(target, kernel, step_size):
    to_normal, draw = TARGETS[target]
    start = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
    keys = jax.random.split(jax.random.key(7), COUNT)
    states = transitions(kernel)(list(TARGETS).index(target), np.float32(step_size), draw(start), keys)
    after = np.asarray(jax.vmap(jax.vmap(to_normal))(states.z)[0])

    # Steps are coarse and points move: without the right weights what follows would fail.
    assert 0.3 < np.mean(states.accept_prob) < 0.999
    assert np.mean(np.any(after[-1] != start, axis=1)) > 0.6
    for u in (after[0], after[-1]):
        for value in (u[:, 0], u[:, 1], (u[:, 0] + u[:, 1]) / np.sqrt(2)):
            assert scipy.stats.kstest(value, "norm").pvalue > ERROR_RATE
        assert scipy.stats.kstest(np.sum(u**2, 1), "chi2", (2,)).pvalue > ERROR_RATE
    # Reversible: (before, after) is distributed as (after, before), so antisymmetric functions average to 0.
    for f, g in [(np.tanh, np.abs), (np.square, np.tanh)]:
        for i, j in [(0, 0), (0, 1), (1, 1)]:
            difference = f(start[:, i]) * g(after[0, :, j]) - g(start[:, j]) * f(after[0, :, i])
            assert scipy.stats.ttest_1samp(difference, 0).pvalue > ERROR_RATE
