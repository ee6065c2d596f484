"""Moves against their formulas."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from numpyro.infer import AIES, ESS
from numpyro.infer.ensemble.moves import Mixture

ACTIVE = np.array([[0.0, 0.0, 1.0], [2.0, 1.0, 0.0]], np.float32)
INACTIVE = np.array([[1.0, -1.0, 0.5], [4.0, 3.0, 2.0], [0.0, 5.0, -2.0]], np.float32)
COUNT = 4000


def many(move, *args):
    keys = jax.random.split(jax.random.key(0), COUNT)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(lambda key: move(key, *map(jnp.asarray, args))))(keys))


def test_stretch_moves_lie_on_lines_with_the_density_of_the_stretch():
    proposals, log_factors = many(AIES.StretchMove(a=3.0), ACTIVE, INACTIVE)
    zeta = np.exp(log_factors / 2)  # D - 1 = 2
    on_line = [np.abs(proposals - (y + zeta[..., None] * (ACTIVE - y))).max(-1) < 1e-4 for y in INACTIVE]
    assert np.all(np.any(on_line, 0))
    assert np.all(np.abs(np.mean(on_line, (1, 2)) - 1 / 3) < 0.03)

    def cdf(z):
        return (np.sqrt(z) - 3**-0.5) / (3**0.5 - 3**-0.5)

    assert scipy.stats.kstest(zeta[:, 0], cdf).pvalue > 1e-5


@pytest.mark.parametrize("g0", [None, 0.6])
def test_steps_of_differential_evolution_are_differences(g0):
    proposals, log_factors = many(AIES.DEMove(sigma=1e-5, g0=g0), ACTIVE, INACTIVE)
    steps = (proposals - ACTIVE) / (2.38 / np.sqrt(6) if g0 is None else g0)
    differences = [INACTIVE[i] - INACTIVE[j] for i in range(3) for j in range(3) if i != j]
    matches = np.array([np.abs(steps - d).max(-1) < 1e-3 for d in differences])
    assert np.all(matches.any(0)) and not log_factors.any()
    assert np.all(np.abs(matches.mean((1, 2)) - 1 / 6) < 0.03)


@pytest.mark.parametrize(
    ("move", "scale"),
    [
        (ESS.GaussianMove(), 1.0),
        (ESS.DifferentialMove(), 2.0 * 3 / 2 * 2 / 3),  # the mean of d d^T over ordered pairs is twice the covariance
        (ESS.KDEMove(0.5), 2.0 + 2 * 0.25),
        (ESS.KDEMove(), 2.0 + 2 * 3 ** (-2 / 7)),
        (ESS.KDEMove("silverman"), 2.0 + 2 * (3 * 5 / 4) ** (-2 / 7)),
    ],
)
def test_directions_have_the_covariance_of_the_other_half(move, scale):
    mu = 0.7
    directions = many(move, INACTIVE, jnp.float32(mu))[:, 0]
    expected = scale * np.cov(INACTIVE.T)
    outer = np.einsum("ni,nj->nij", directions, directions) / (2 * mu) ** 2
    error = np.abs(outer.mean(0) - expected) / (outer.std(0) / np.sqrt(COUNT) + 1e-6)
    assert np.all(error < 4.9)


def test_random_directions_have_one_length_and_no_preference():
    directions = many(ESS.RandomMove(), INACTIVE, jnp.float32(0.7))[:, 0]
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1.4, rtol=1e-5)
    assert scipy.stats.kstest(directions[:, 1] / 1.4, "uniform", (-1, 2)).pvalue > 1e-5  # Archimedes


def test_moves_are_mixed_with_their_probabilities():
    def one(key, x):
        return x + 1.0

    def two(key, x):
        return x + 2.0

    drawn = many(Mixture({one: 1.0, two: 3.0}, "AIES"), jnp.zeros(()))
    assert abs(np.mean(drawn == 2.0) - 0.75) < 4.5 * np.sqrt(0.75 * 0.25 / COUNT)


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        ({}, "dictionary from moves"),
        ([AIES.DEMove()], "dictionary from moves"),
        ({"stretch": 1.0}, "must be a function"),
        ({AIES.DEMove(): -0.5, AIES.StretchMove(): 1.5}, "probability >= 0"),
        ({AIES.DEMove(): 0.0}, "not all of them 0"),
    ],
)
def test_what_is_no_mixture_is_refused(moves, message):
    with pytest.raises(AssertionError, match=message):
        AIES(potential_fn=lambda z: z, moves=moves)


def test_settings_out_of_range_are_refused():
    for make in (
        lambda: AIES.StretchMove(a=1.0),
        lambda: ESS.KDEMove("scot"),
        lambda: ESS.KDEMove(-1.0),
        lambda: ESS(potential_fn=lambda z: z, max_steps=0),
        lambda: ESS(potential_fn=lambda z: z, max_iter=0.5),
        lambda: ESS(potential_fn=lambda z: z, init_mu=0.0),
    ):
        with pytest.raises(ValueError):
            make()
