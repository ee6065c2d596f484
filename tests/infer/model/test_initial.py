"""Starting points: valid ones, and what is said where there is none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import init_to_uniform, init_to_value
from numpyro.infer.model import InitializationError, ModelView, find_initial, initial_candidate
from numpyro.infer.model.initial import value_and_gradient
from numpyro.infer.model.start import begin

KEY = jax.random.key(0)


def test_points_are_drawn_until_one_is_finite():
    """Half of the points of (-2, 2) have no logarithm: the odds that one of 30 keys fails 100 times are 30 / 2^100."""
    potential = jax.value_and_grad(lambda z: -jnp.sum(jnp.log(z)))
    draw = lambda key: jax.random.uniform(key, (1,), minval=-2.0, maxval=2.0)
    find = jax.jit(jax.vmap(lambda key: initial_candidate(potential, draw, key, 100)))
    flat, energy, gradient, is_valid = find(jax.random.split(KEY, 30))
    assert is_valid.all() and (flat > 0).all()
    np.testing.assert_allclose(energy, -np.log(flat[:, 0]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, -1 / flat, rtol=1e-5)


def test_the_number_of_tries_is_bounded():
    potential = jax.value_and_grad(lambda z: jnp.nan * jnp.sum(z))
    *_, is_valid = jax.jit(lambda key: initial_candidate(potential, lambda key: jnp.zeros(2), key, 3))(KEY)
    assert not is_valid


def test_forward_mode_differentiates_what_reverse_mode_cannot():
    def potential(z):
        return jax.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * jnp.sum(z**2)), (0, 1.0))[1]

    z = np.array([1.0, 2.0], np.float32)
    value, gradient = jax.jit(value_and_gradient(potential, True))(z)
    np.testing.assert_allclose(value, 125.0)
    np.testing.assert_allclose(gradient, 3 * 25.0 * 2 * z)
    assert value_and_gradient(lambda z: jnp.sum(z), True)(jnp.zeros(0))[1].shape == (0,)


def test_a_start_has_potential_and_gradient_of_its_point():
    def model(y):
        scale = numpyro.sample("scale", dist.HalfNormal(1))
        numpyro.sample("y", dist.Normal(0, scale), obs=y)

    view = ModelView(model, (np.array([1.0, 2.0], np.float32),))
    data = view.data(KEY)
    for forward_mode in (False, True):
        start = jax.jit(lambda k: find_initial(view, data, k, init_to_uniform, forward_mode=forward_mode))(KEY)  # noqa: B023
        potential, gradient = jax.value_and_grad(lambda z: -view.log_density(data, z))(start.unconstrained)
        np.testing.assert_allclose(start.potential_energy, potential, rtol=1e-5)
        np.testing.assert_allclose(start.gradient["scale"], gradient["scale"], rtol=1e-5)
        assert start.is_valid


def messages(model, *args, strategy=init_to_uniform, **options):
    with pytest.raises(InitializationError) as caught:
        begin(ModelView(model, args), KEY, strategy, **options)
    assert isinstance(caught.value, RuntimeError)
    return str(caught.value)


def test_without_a_start_the_sites_to_blame_are_named():
    def outside(y):
        numpyro.sample("y", dist.Uniform(0, numpyro.sample("high", dist.Uniform(1, 2))), obs=y)

    text = messages(outside, np.array([0.5, 7.0, -1.0], np.float32))
    assert "Cannot find valid initial parameters" in text and "observed site 'y' (Uniform)" in text
    assert "2 of 3" in text and "7" in text and "latent site 'high'" not in text

    def infinite_gradient():
        numpyro.factor("f", jnp.sqrt(numpyro.sample("x", dist.Normal(0, 1)) * 0.0))

    assert "the gradient at latent site 'x' is not finite" in messages(infinite_gradient)

    def forward_only():
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.factor(
            "f", jax.lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, jnp.sqrt(s[1])), (0, x * 0.0))[1]
        )

    assert "the gradient at latent site 'x' is not finite" in messages(forward_only, forward_mode=True)

    def far(y):
        numpyro.sample("y", dist.Normal(numpyro.sample("mu", dist.HalfNormal(1)), 1), obs=y)

    with pytest.raises(ValueError, match=r"the value of site 'mu' is outside the support of its HalfNormal"):
        begin(ModelView(far, (np.zeros(2, np.float32),)), KEY, init_to_value(values={"mu": -1.0}))


def test_a_batch_of_keys_gives_a_batch_of_starts():
    model = lambda: numpyro.sample("x", dist.HalfNormal(1).expand([2]))
    for keys in (jax.random.split(KEY, 3), jax.random.split(jax.random.PRNGKey(1), 3)):
        start, _, model_trace = begin(ModelView(model), keys, init_to_uniform)
        assert start.unconstrained["x"].shape == (3, 2) and start.is_valid.shape == (3,)
        np.testing.assert_allclose(model_trace["x"]["value"], np.exp(start.unconstrained["x"][0]), rtol=1e-5)
    with pytest.raises(TypeError, match="random key"):
        begin(ModelView(model), 0, init_to_uniform)
