"""Arguments cut into arrays, which programs take at run time, and the rest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from numpyro.infer.model import Arguments


def test_arrays_are_cut_out_and_put_back():
    args = (np.arange(3), 4, "name", None)
    kwargs = {"data": {"x": jnp.ones(2), "flag": True}, "key": jax.random.key(0)}
    arguments = Arguments.split(args, kwargs)
    assert [np.shape(array) for array in arguments.arrays] == [(3,), (2,), ()]
    (first, *rest), again = arguments.rebuild(tuple(range(3)))
    assert first == 0 and rest == [4, "name", None]
    assert again == {"data": {"x": 1, "flag": True}, "key": 2}


def test_constant_arguments_keep_their_arrays():
    x = np.arange(3)
    arguments = Arguments.split((x,), {}, constant=True)
    assert arguments.arrays == ()
    (same,), _ = arguments.rebuild(())
    assert same is x


def test_strings_and_objects_in_arrays_are_values():
    names = np.array(["a", "b"])
    assert Arguments.split((names, np.array([None])), {}).arrays == ()
