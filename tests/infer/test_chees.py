"""ChEES leaves its target as it is, learns the best length, and takes as many steps in every chain; keys are fixed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC
from numpyro.infer.adaptation import (
    chees_gradient,
    trajectory_length_init,
    trajectory_length_update,
    van_der_corput,
)
from numpyro.infer.chain_axis import CHAIN_AXIS
from numpyro.infer.chees import ChEES
from tests.helpers.posteriors import assert_agrees

ERROR_RATE = 1e-5
COUNT = 8000
FIXED = {"adapt_step_size": False, "adapt_mass_matrix": False, "adapt_trajectory_length": False}


def to_normal(z):
    return jnp.stack([z[0], z[1] - z[0] ** 2, z[2] / 0.3])


def banana(z):
    return 0.5 * jnp.sum(to_normal(z) ** 2)


def many(kernel, num_chains=64, num_warmup=300, num_samples=100, **settings):
    return MCMC(
        kernel,
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method="vectorized",
        progress_bar=False,
        **settings,
    )


# Transitions


def test_exact_draws_stay_exact_and_time_has_no_direction():
    """Each bound fails for one key in 10^5."""
    start = np.random.default_rng(0).normal(size=(COUNT, 3)).astype(np.float32)
    z = np.stack([start[:, 0], start[:, 1] + start[:, 0] ** 2, 0.3 * start[:, 2]], -1)
    kernel = ChEES(potential_fn=banana, step_size=0.7, trajectory_length=4.0, **FIXED)

    @jax.jit
    def run(z, keys):
        state = kernel.init(keys, 0, init_params=z)
        scale = jnp.tile(jnp.array([1.0, 1.3, 0.4], jnp.float32), (COUNT, 1))
        mass = {"inverse_mass_matrix": scale**2, "mass_matrix_sqrt": 1 / scale, "mass_matrix_sqrt_inv": scale}
        state = state._replace(adapt_state=state.adapt_state._replace(**mass))
        return jax.lax.scan(lambda state, _: (jax.vmap(kernel.sample)(state),) * 2, state, length=4)[1]

    states = run(z, jax.random.split(jax.random.key(7), COUNT))
    assert [int(n) for n in states.num_steps[:, 0]] == [3, 2, 5, 1]  # of lengths 2, 1, 3 and 0.5
    after = np.asarray(jax.vmap(jax.vmap(to_normal))(states.z))
    assert 0.3 < np.mean(states.accept_prob) < 0.95
    for u in (after[0], after[-1]):
        for value in (*u.T, (u[:, 0] + u[:, 1]) / np.sqrt(2), (u[:, 1] + u[:, 2]) / np.sqrt(2)):
            assert scipy.stats.kstest(value, "norm").pvalue > ERROR_RATE
        assert scipy.stats.kstest(np.sum(u**2, 1), "chi2", (3,)).pvalue > ERROR_RATE
    for f, g in [(np.tanh, np.abs), (np.square, np.tanh)]:
        for i, j in [(0, 0), (0, 1), (1, 2)]:
            difference = f(start[:, i]) * g(after[0, :, j]) - g(start[:, j]) * f(after[0, :, i])
            assert scipy.stats.ttest_1samp(difference, 0).pvalue > ERROR_RATE


def conditions(jaxpr):
    """The shapes of the conditions of loops in a jaxpr, at any depth."""
    for equation in jaxpr.eqns:
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda x: hasattr(x, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from conditions(inner)
        if equation.primitive.name == "while":
            yield equation.params["cond_jaxpr"].out_avals[0].shape


def test_chains_that_advance_together_share_one_count_of_steps():
    """A mapped loop whose length may differ has a condition for each chain, and selects. There is to be none."""
    kernel = ChEES(potential_fn=banana, trajectory_length=5.0)
    start = jnp.zeros((6, 3))
    sampler = kernel.sampler(10, start[0], (), {})
    keys = jax.random.split(jax.random.key(0), 6)
    state = jax.vmap(sampler.init, (None, 0, 0), axis_name=CHAIN_AXIS)(sampler.data, keys, start)
    together = jax.make_jaxpr(jax.vmap(sampler.step, (None, 0), axis_name=CHAIN_AXIS))(sampler.data, state)
    assert set(conditions(together.jaxpr)) == {()}
    # Where the axis is not there, lengths may differ.
    apart = jax.make_jaxpr(jax.vmap(kernel.sample))(state)
    assert set(conditions(apart.jaxpr)) == {(6,)}


# The length


def test_van_der_corput_fills_the_interval_evenly():
    index = jnp.arange(1, 1025, dtype=jnp.int32)
    values = np.asarray(jax.vmap(lambda i: van_der_corput(i, np.dtype("float32")))(index))
    digits = [sum(((i >> k) & 1) / 2 ** (k + 1) for k in range(11)) for i in range(1, 1025)]
    np.testing.assert_array_equal(values, np.array(digits, np.float32))
    for count in (16, 100, 1000):
        assert scipy.stats.kstest(values[:count], "uniform").statistic < np.log2(count) / count
    large = van_der_corput(jnp.int32(2**31 - 1), np.dtype("float32"))
    assert 0 < large <= 1


def test_the_gradient_is_that_of_the_criterion(x64):
    """Along exact trajectories of a harmonic oscillator, with the centre at the end held fixed, as it is in
    equilibrium; weights count as numbers of chains."""
    rng = np.random.default_rng(0)
    x, p, t = jnp.asarray(rng.normal(size=(7, 3))), jnp.asarray(rng.normal(size=(7, 3))), 0.8
    weights = jnp.array([1.0, 0.5, 1.0, 0.0, 0.25, 1.0, 1.0])

    def criterion(log_t):
        end = x * jnp.cos(jnp.exp(log_t)) + p * jnp.sin(jnp.exp(log_t))
        centre = jax.lax.stop_gradient(jnp.average(end, 0, weights))
        change = jnp.sum((end - centre) ** 2, 1) - jnp.sum((x - x.mean(0)) ** 2, 1)
        return 0.25 * jnp.average(change**2, weights=weights)

    scale = jnp.mean(jnp.sum((x - x.mean(0)) ** 2, 1)) ** 2
    end, velocity = x * jnp.cos(t) + p * jnp.sin(t), p * jnp.cos(t) - x * jnp.sin(t)
    end = end.at[3].set(jnp.nan)  # ran away, and has no weight
    found = jax.vmap(chees_gradient, (0, 0, 0, 0, None), axis_name=CHAIN_AXIS)(x, end, velocity, weights, t)
    np.testing.assert_allclose(found, jax.grad(criterion)(jnp.log(t)) / scale, rtol=1e-10)
    nothing = jax.vmap(chees_gradient, (0, 0, 0, 0, None), axis_name=CHAIN_AXIS)(x, end, velocity, 0 * weights, t)
    np.testing.assert_array_equal(nothing, 0.0)


def test_lengths_climb_whatever_the_size_of_the_gradient(x64):
    for size in (1e-8, 1e8):
        state = trajectory_length_init(jnp.asarray(1.0))
        for _ in range(400):
            gradient = size * (jnp.log(2.5) - state.log_length)
            state = jax.jit(trajectory_length_update)(state, gradient, jnp.log(100.0))
        np.testing.assert_allclose(jnp.exp(state.log_length_avg), 2.5, rtol=0.02)
        assert trajectory_length_update(state, jnp.asarray(size), jnp.log(2.0)).log_length == jnp.log(2.0)


def test_the_length_for_a_normal_posterior_is_the_best_one():
    """With x' = x cos t + p sin t the change of the squared norm has variance 4 D sin(t)^2, whose mean over lengths
    uniform on (0, T) is largest where tan 2T = 2T, at T = 2.247. Scales differ by 100, and must not matter.
    """
    scales = np.geomspace(0.1, 10.0, 40)
    kernel = ChEES(potential_fn=lambda z: 0.5 * jnp.sum((z / scales) ** 2), step_size=0.15, adapt_step_size=False)
    mcmc = many(kernel, num_warmup=600, num_samples=1)
    mcmc.run(jax.random.key(0), init_params=3 * jax.random.normal(jax.random.key(1), (64, 40)))
    lengths = np.asarray(mcmc.last_state.trajectory_length)
    np.testing.assert_array_equal(lengths, lengths[0])
    np.testing.assert_allclose(lengths[0], 2.247, rtol=0.1)


# Posteriors


def test_a_correlated_normal_posterior():
    """Means and deviations at 4.5 standard errors, of which one in 150,000 is farther off."""
    rng = np.random.default_rng(3)
    factor = np.tril(rng.normal(size=(12, 12))) / 2 + np.diag(np.geomspace(0.2, 5.0, 12))
    precision = np.linalg.inv(factor @ factor.T).astype(np.float32)
    mean = np.linspace(-3, 3, 12).astype(np.float32)
    kernel = ChEES(potential_fn=lambda z: 0.5 * (z - mean) @ precision @ (z - mean))
    mcmc = many(kernel, num_warmup=500, num_samples=200)
    fields = ("num_steps", "accept_prob", "trajectory_length", "adapt_state.step_size")
    mcmc.run(jax.random.key(0), init_params=jax.random.normal(jax.random.key(1), (64, 12)), extra_fields=fields)
    assert_agrees(mcmc.get_samples(group_by_chain=True), mean, np.sqrt(np.diag(factor @ factor.T)))

    extra = {name: np.asarray(value) for name, value in mcmc.get_extra_fields(group_by_chain=True).items()}
    for name in ("num_steps", "trajectory_length", "adapt_state.step_size"):
        np.testing.assert_array_equal(extra[name], np.broadcast_to(extra[name][0], extra[name].shape))
    assert len(np.unique(extra["adapt_state.step_size"])) == len(np.unique(extra["trajectory_length"])) == 1
    assert len(np.unique(extra["num_steps"])) > 3
    harmonic = scipy.stats.hmean(np.maximum(extra["accept_prob"], 1e-6), axis=0)
    assert 0.5 < np.median(harmonic) < 0.8


# How it is run


def test_a_single_chain_learns_no_lengths():
    def model():
        numpyro.sample("x", dist.Normal(0.0, 2.0).expand([2]).to_event(1))

    for method in ("sequential", "parallel", "vectorized"):
        mcmc = MCMC(ChEES(model), num_warmup=5, num_samples=5, chain_method=method, progress_bar=False)
        with pytest.raises(ValueError, match=r"num_chains=64.*NUTS.*adapt_trajectory_length=False"):
            mcmc.run(jax.random.key(0))
    fixed = ChEES(model, trajectory_length=4.0, adapt_trajectory_length=False)
    mcmc = MCMC(fixed, num_warmup=300, num_samples=2000, progress_bar=False)
    mcmc.run(jax.random.key(0))
    assert_agrees(mcmc.get_samples(group_by_chain=True)["x"], 0.0, 2.0)
    assert mcmc.last_state.trajectory_length == 4.0


def test_chains_that_learn_from_each_other_advance_together():
    for method in ("sequential", "parallel"):
        mcmc = MCMC(
            ChEES(potential_fn=banana),
            num_warmup=5,
            num_samples=5,
            num_chains=4,
            chain_method=method,
            progress_bar=False,
        )
        with pytest.raises(ValueError, match="chain_method='vectorized'"):
            mcmc.run(jax.random.key(0), init_params=jnp.zeros((4, 3)))
    draws = []
    for method in ("sequential", "vectorized"):  # nothing to learn: chains may go apart
        kernel = ChEES(potential_fn=banana, step_size=0.5, trajectory_length=2.0, **FIXED)
        mcmc = MCMC(kernel, num_warmup=5, num_samples=5, num_chains=3, chain_method=method, progress_bar=False)
        mcmc.run(jax.random.key(0), init_params=jnp.zeros((3, 3)))
        draws.append(np.asarray(mcmc.get_samples()))
    np.testing.assert_allclose(*draws, rtol=1e-4, atol=1e-5)


def test_what_was_learnt_serves_one_chain():
    mcmc = many(ChEES(potential_fn=banana), num_chains=16, num_warmup=50, num_samples=5)
    start = jax.random.normal(jax.random.key(1), (16, 3))
    mcmc.run(jax.random.key(0), init_params=start)
    one = MCMC(ChEES(potential_fn=banana), num_warmup=0, num_samples=20, progress_bar=False)
    one.post_warmup_state = jax.tree.map(lambda leaf: leaf[0], mcmc.last_state)
    one.run(jax.random.key(2), init_params=start[0])
    assert one.last_state.trajectory_length == mcmc.last_state.trajectory_length[0]
    assert len(np.unique(np.asarray(one.get_samples())[:, 0])) > 5


def test_settings_out_of_range():
    for setting in ({"step_size": 0.0}, {"trajectory_length": -1.0}, {"trajectory_length": np.inf}):
        with pytest.raises(ValueError, match=next(iter(setting))):
            ChEES(potential_fn=banana, **setting)
    with pytest.raises(ValueError, match="target_accept_prob"):
        ChEES(potential_fn=banana, target_accept_prob=1.0)
