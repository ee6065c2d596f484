"""Batched indexing against loops over the batch, and NumPy's own rules where they agree."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro._errors import UsageError
from numpyro.ops.indexing import Vindex, vindex

X = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
RNG = np.random.default_rng(0)


def indices(shape, size):
    return RNG.integers(0, size, shape)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1), (3, 4), (1, 1, 4), (2, 3, 4), (6, 1, 1, 1), (6, 2, 3, 4)])
def test_an_index_array_broadcasts_with_the_batch(shape):
    z = indices(shape, 5)
    batch = np.broadcast_shapes(shape, (2, 3, 4))
    result = vindex(X, (..., z))
    assert result.shape == (batch if shape else (2, 3, 4))
    full_z, full_x = np.broadcast_to(z, batch), np.broadcast_to(X, (*batch, 5))
    np.testing.assert_array_equal(result, np.take_along_axis(full_x, full_z[..., None], -1)[..., 0])


@pytest.mark.parametrize(("i_shape", "j_shape"), [((3,), ()), ((2, 1), (3,)), ((7, 1, 1), (2, 3)), ((), (2, 3))])
def test_two_index_arrays_broadcast_with_each_other_and_the_batch(i_shape, j_shape):
    i, j = indices(i_shape, 4), indices(j_shape, 5)
    batch = np.broadcast_shapes(i_shape, j_shape, (2, 3))
    result = vindex(X, (..., i, j))
    assert result.shape == batch
    full_i, full_j = np.broadcast_to(i, batch), np.broadcast_to(j, batch)
    for b in np.ndindex(batch):
        assert result[b] == X[(*b[-2:], full_i[b], full_j[b])]


def test_slices_go_to_the_right():
    z = indices((6, 2, 3), 4)
    result = vindex(X, (..., z, slice(1, 4)))
    assert result.shape == (6, 2, 3, 3)
    for b in np.ndindex(6, 2, 3):
        np.testing.assert_array_equal(result[b], X[b[1], b[2], z[b], 1:4])
    i, j = indices((6, 1), 2), indices((7,), 4)
    result = vindex(X, (i, slice(None), j, slice(None, None, -2)))
    assert result.shape == (6, 7, 3, 3)
    for a, b in np.ndindex(6, 7):
        np.testing.assert_array_equal(result[a, b], X[i[a, 0], :, j[b], ::-2])


def test_without_ellipsis_missing_indices_are_full_slices():
    i = indices((6, 1), 2)
    np.testing.assert_array_equal(vindex(X, (i,)), X[i])
    np.testing.assert_array_equal(vindex(X, i), X[i])


@pytest.mark.parametrize(
    "args", [(0,), (), (...,), (slice(1), 2), (..., 1, 2), (..., slice(2), 3), (1, slice(None), 2)]
)
def test_without_index_arrays_it_is_ordinary_indexing(args):
    np.testing.assert_array_equal(vindex(X, args), X[args])


def test_square_brackets_lists_and_nested_transformations():
    z = indices((2, 3), 4)
    np.testing.assert_array_equal(Vindex(X)[..., z, 1], vindex(X, (..., z, 1)))
    np.testing.assert_array_equal(vindex(X[0, 0], (..., [0, 1, 2, 0])), X[0, 0][np.arange(4), [0, 1, 2, 0]])
    compiled = jax.jit(lambda x, z: Vindex(x)[..., z, 1])(X, z)
    np.testing.assert_array_equal(compiled, vindex(X, (..., z, 1)))
    gradient = jax.grad(lambda x: Vindex(x)[..., z, 1].sum())(jnp.asarray(X, jnp.float32))
    assert gradient.sum() == 6 and gradient.max() == 1


def test_numpy_stays_numpy():
    assert type(vindex(X, (..., indices((4,), 5)))) is np.ndarray
    assert isinstance(vindex(jnp.asarray(X), (..., indices((4,), 5))), jax.Array)


def test_bad_indices_are_errors():
    with pytest.raises(NotImplementedError, match="Ellipsis only in first place"):
        vindex(X, (0, ...))
    with pytest.raises(UsageError, match="5 indices for an array of 4 dimensions"):
        vindex(X, (..., 0, 0, 0, 0, indices((2,), 2)))
    for bad in (np.array([True, False]), 0.5, None, np.zeros(2)):
        with pytest.raises(TypeError, match="expects integers, integer arrays and slices"):
            vindex(X, (..., bad))
    with pytest.raises((ValueError, IndexError)):
        vindex(X, (..., indices((7,), 5)))
