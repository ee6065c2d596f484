"""Pytrees of arrays as one flat vector."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer.model import Layout

TREE = {"b": np.arange(6.0, dtype=np.float32).reshape(2, 3), "a": np.float32(7.0)}


def test_there_and_back():
    layout = Layout(TREE)
    flat = layout.ravel(TREE)
    np.testing.assert_array_equal(flat, [7, 0, 1, 2, 3, 4, 5])
    back = layout.unravel(flat)
    assert jax.tree.map(np.shape, back) == {"a": (), "b": (2, 3)}
    jax.tree.map(np.testing.assert_array_equal, back, TREE)


def test_leaves_lie_in_the_order_that_is_asked_for():
    layout = Layout(TREE, order=["b", "a"])
    np.testing.assert_array_equal(layout.ravel(TREE), [0, 1, 2, 3, 4, 5, 7])
    assert layout.span("a") == slice(6, 7) and layout.span("b") == slice(0, 6)
    assert layout != Layout(TREE) and layout == Layout(TREE, order=["b", "a"])
    assert hash(layout) == hash(Layout(TREE, order=["b", "a"]))


def test_the_vector_has_the_widest_dtype_and_leaves_keep_theirs(x64):
    tree = {"a": np.float32(1.5), "b": np.float64(2.5)}
    layout = Layout(tree)
    flat = layout.ravel(tree)
    assert flat.dtype == np.float64
    assert {name: leaf.dtype for name, leaf in layout.unravel(flat).items()} == {"a": np.float32, "b": np.float64}


def test_trees_without_leaves_and_trees_of_other_shapes():
    empty = Layout({})
    assert empty.size == 0 and empty.ravel({}).shape == (0,) and empty.unravel(jnp.zeros(0)) == {}
    with pytest.raises(ValueError, match="shapes"):
        Layout(TREE).ravel({"a": np.zeros(2), "b": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="structure"):
        Layout(TREE).ravel({"a": np.zeros(())})
