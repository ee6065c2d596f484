"""A function mapped over draws: one program, compiled once."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.model.draws import common_batch_shape, map_draws
from tests.helpers.compilations import count_compilations

KEY = jax.random.key(0)


def noisy(offset):
    return lambda key, draw: {"x": draw["a"] * 2 + offset, "noise": jax.random.normal(key, (2,))}


@pytest.mark.parametrize("batch_shape", [(), (5,), (2, 3)])
def test_results_lie_along_the_batch(batch_shape):
    a = np.arange(np.prod(batch_shape), dtype=np.float32).reshape(batch_shape)
    one_by_one = map_draws(noisy(1.0), KEY, {"a": a}, batch_shape)
    at_once = map_draws(noisy(1.0), KEY, {"a": a}, batch_shape, parallel=True)
    np.testing.assert_array_equal(one_by_one["x"], 2 * a + 1)
    assert one_by_one["noise"].shape == (*batch_shape, 2)
    assert np.unique(one_by_one["noise"]).size == one_by_one["noise"].size
    jax.tree.map(np.testing.assert_allclose, one_by_one, at_once)


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(0)], ids=["typed", "words"])
@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_batches_give_the_same_results_in_host_memory(parallel, key, batch_size):
    a = np.arange(10, dtype=np.float32).reshape(2, 5)
    whole = map_draws(noisy(1.0), key, {"a": a}, (2, 5), parallel=parallel)
    run = lambda: map_draws(noisy(1.0), key, {"a": jnp.asarray(a)}, (2, 5), parallel=parallel, batch_size=batch_size)
    batches = run()
    assert all(type(leaf) is np.ndarray for leaf in jax.tree.leaves(batches))
    jax.tree.map(np.testing.assert_array_equal, batches, whole)
    with count_compilations() as count:
        run()
    assert count() == 0
    inside = jax.jit(lambda a: map_draws(noisy(1.0), key, {"a": a}, (2, 5), parallel=parallel, batch_size=batch_size))(
        a
    )
    jax.tree.map(np.testing.assert_array_equal, inside, whole)


@pytest.mark.parametrize("parallel", [False, True])
def test_what_was_computed_once_compiles_no_more(parallel):
    scale = jnp.ones(3)
    run = lambda key, scale, draws: map_draws(lambda key, a: a * scale, key, draws, (4,), parallel=parallel)
    other_key, draws, other = jax.random.key(7), np.ones((4, 3), np.float32), np.zeros((4, 3), np.float32)
    other_scale = jnp.arange(3.0)
    run(KEY, scale, draws)
    with count_compilations() as count:
        run(other_key, other_scale, other)
    assert count() == 0


def test_it_is_part_of_traces_around_it():
    run = lambda a, offset: map_draws(noisy(offset), KEY, {"a": a}, (3,))["x"].sum()
    a = np.ones(3, np.float32)
    np.testing.assert_allclose(jax.grad(run)(a, 1.0), 2.0)
    np.testing.assert_allclose(jax.grad(run, 1)(a, 1.0), 3.0)  # a captured tracer
    np.testing.assert_allclose(jax.vmap(run, (0, None))(np.ones((2, 3), np.float32), 0.0), [6.0, 6.0])
    np.testing.assert_allclose(jax.jit(lambda: run(a, 1.0))(), 9.0)  # a trace around concrete values


def test_custom_derivatives_are_kept():
    @jax.custom_jvp
    def square(x):
        return x**2

    square.defjvp(lambda primals, tangents: (square(*primals), 100.0 * tangents[0]))
    run = lambda a: map_draws(lambda key, a: square(a), None, a, (2,)).sum()
    a = np.ones(2, np.float32)
    run(a)
    np.testing.assert_allclose(jax.grad(run)(a), 100.0)


def test_batch_shapes_must_agree():
    assert common_batch_shape({"a": np.zeros((4, 2)), "b": {"w": np.zeros((4,))}}, 1) == (4,)
    assert common_batch_shape({"a": np.zeros((4, 2)), "b": np.zeros((4, 2, 3))}, 2) == (4, 2)
    assert common_batch_shape({"a": 1.0}, 1) == ()
    with pytest.raises(ValueError, match=r"site b and a should be the same, but got \(3,\) and \(4,\)"):
        common_batch_shape({"a": np.zeros(4), "b": np.zeros(3)}, 1)
    with pytest.raises(ValueError, match="No sample sites"):
        common_batch_shape({}, 1)
    with pytest.raises(TypeError, match="dictionary"):
        common_batch_shape([np.zeros(3)], 1)
    with pytest.raises(TypeError, match="'a'.* must be an array"):
        common_batch_shape({"a": [0.0, 1.0]}, 1)
