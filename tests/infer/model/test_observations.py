"""Observations that do not fit their distributions: too many terms, or values outside the support."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer.model import ModelView
from numpyro.infer.util import log_density


def observe(fn, obs):
    numpyro.sample("x", fn, obs=obs)


@pytest.mark.parametrize(
    ("obs_shape", "batch_shape"),
    [((5,), ()), ((5,), (5,)), ((), (5,)), ((7, 5), (5,)), ((5,), (3, 5)), ((1, 5), (3, 5))],
)
def test_one_side_may_broadcast(obs_shape, batch_shape):
    fn, obs = dist.Normal(np.zeros(batch_shape), 1), np.zeros(obs_shape)
    terms = np.prod(np.broadcast_shapes(obs_shape, batch_shape))
    np.testing.assert_allclose(log_density(observe, (fn, obs), {}, {})[0], -0.9189385 * terms, rtol=1e-6)


@pytest.mark.parametrize(("obs_shape", "batch_shape"), [((5, 1), (5,)), ((5,), (5, 1)), ((1, 5), (3, 1))])
def test_both_sides_may_not_broadcast(obs_shape, batch_shape):
    fn = dist.Normal(np.zeros(batch_shape), 1)
    with pytest.raises(ValueError, match="'x': observations of batch shape.*counted several times.*same shape"):
        log_density(observe, (fn, np.zeros(obs_shape)), {}, {})


def check(fn, obs):
    ModelView(observe, (fn, obs)).check_observations()


@pytest.mark.parametrize(
    ("fn", "obs", "message"),
    [
        (dist.Exponential(1.0), np.array([1.0, -2.0, 3.0, -4.0]), r"2 of 4 values \(-2.0 at \[1\], -4.0 at \[3\]\)"),
        (dist.Bernoulli(0.5), np.full(9, -1), r"9 of 9 values \(-1 at \[0\].*, \.\.\.\)"),
        (dist.Binomial(np.array([3, 4]), 0.5), np.array([3, 5]), r"1 of 2 values \(5 at \[1\]\)"),
        (dist.Dirichlet(np.ones(2)), np.array([[0.5, 0.5], [0.5, 0.6]]), r"1 of 2 values"),
        (dist.Exponential(np.ones(2)).to_event(1), np.array([[1.0, -1.0]]), r"1 of 1 values"),
    ],
)
def test_observations_outside_the_support_are_counted_and_shown(fn, obs, message):
    with pytest.raises(ValueError, match=f"(?s)Site 'x': .*outside the support of its.*{message}.*mask"):
        check(fn, obs)


def test_what_is_masked_or_inside_or_not_validated_passes():
    obs = np.array([1.0, -2.0])
    check(dist.Exponential(1.0).mask(obs > 0), obs)
    check(dist.Exponential(1.0, validate_args=False), obs)
    check(dist.Exponential(1.0), abs(obs))
    check(dist.VonMises(0.0, 1.0), np.array([6.0]))
    jax.jit(lambda obs: check(dist.Exponential(1.0), obs))(obs)
