"""Traces as pytrees: through compiled functions, vmap, and loops, with nothing lost."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.ops.pytree import PytreeTrace


class Frame(NamedTuple):
    name: str
    dim: int
    size: int


@jax.tree_util.register_pytree_node_class
class Law:
    """A stand-in for a distribution: its parameters are leaves."""

    def __init__(self, loc):
        self.loc = loc

    def tree_flatten(self):
        return (self.loc,), None

    @classmethod
    def tree_unflatten(cls, aux, children):
        return cls(*children)


def plain_function():
    pass


def make_trace(key, loc=0.0):
    value = loc + jax.random.normal(key, (4,))
    return {
        "z": {
            "type": "sample",
            "name": "z",
            "fn": Law(loc),
            "args": (),
            "kwargs": {"rng_key": key, "sample_shape": ()},
            "value": value,
            "scale": 2.0 * jnp.ones(()),
            "is_observed": False,
            "intermediates": [value**2],
            "cond_indep_stack": [Frame("N", -1, 4)],
            "infer": {"hook": plain_function},
        },
        "N": {"type": "plate", "name": "N", "fn": plain_function, "args": (4, None), "value": np.arange(4)},
        "a": {"type": "param", "name": "a", "fn": plain_function, "args": (loc,), "kwargs": {}, "value": loc},
        "d": {"type": "deterministic", "name": "d", "value": {"x": [loc, 1]}},
    }


def test_a_trace_leaves_a_compiled_function_as_it_was():
    key = jax.random.PRNGKey(0)
    result = jax.jit(lambda key: PytreeTrace(make_trace(key)))(key).trace
    expected = make_trace(key)
    assert list(result) == list(expected)  # the order of sites, which is not the alphabet's
    for name, site in expected.items():
        assert result[name].keys() == site.keys() | {"_control_flow_done"}
        for field in ("type", "name", "cond_indep_stack", "infer", "is_observed"):
            assert result[name].get(field) == site.get(field)
    np.testing.assert_array_equal(result["z"]["value"], expected["z"]["value"])
    np.testing.assert_array_equal(result["z"]["kwargs"]["rng_key"], key)
    np.testing.assert_allclose(result["z"]["intermediates"][0], expected["z"]["value"] ** 2, rtol=1e-6)
    assert result["z"]["kwargs"]["sample_shape"] == ()
    assert result["z"]["scale"] == 2.0
    assert result["N"]["args"] == (4, None) and isinstance(result["N"]["args"][0], int)
    assert result["N"]["fn"] is plain_function
    assert result["d"]["value"]["x"][1] == 1


def test_vmap_stacks_the_arrays():
    keys = jax.random.split(jax.random.key(0), 3)
    result = jax.vmap(lambda key, loc: PytreeTrace(make_trace(key, loc)))(keys, jnp.arange(3.0)).trace
    assert result["z"]["value"].shape == (3, 4)
    np.testing.assert_array_equal(result["z"]["fn"].loc, [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(result["a"]["args"][0], [0.0, 1.0, 2.0])


def test_a_trace_may_be_the_carry_and_the_output_of_a_scan():
    key = jax.random.PRNGKey(0)

    def body(carry, key):
        return PytreeTrace(make_trace(key, carry.trace["a"]["value"] + 1.0)), carry

    init = PytreeTrace(make_trace(key, jnp.zeros(())))
    last, history = jax.lax.scan(body, init, jax.random.split(key, 3))
    assert last.trace["a"]["value"] == 3.0
    assert history.trace["z"]["value"].shape == (3, 4)


def test_a_trace_may_be_an_argument_of_a_compiled_function():
    count = 0

    @jax.jit
    def total(trace):
        nonlocal count
        count += 1
        return trace.trace["z"]["value"].sum()

    for seed in range(3):
        trace = make_trace(jax.random.PRNGKey(seed))
        np.testing.assert_allclose(total(PytreeTrace(trace)), trace["z"]["value"].sum(), rtol=1e-6)
    assert count == 1


@pytest.mark.parametrize(
    ("field", "value"), [("name", "y"), ("infer", {}), ("cond_indep_stack", []), ("infer", {"hook": np.ones(2)})]
)
def test_structures_differ_where_static_items_do(field, value):
    trace = make_trace(jax.random.PRNGKey(0))
    same = jax.tree.structure(PytreeTrace(make_trace(jax.random.PRNGKey(1))))
    assert jax.tree.structure(PytreeTrace(trace)) == same
    trace["z"][field] = value
    assert jax.tree.structure(PytreeTrace(trace)) != same


def test_arrays_among_static_items_are_compared_by_value():
    traces = [make_trace(jax.random.PRNGKey(0)) for _ in range(3)]
    for trace, array in zip(traces, [np.ones(2), np.ones(2), np.zeros(2)]):
        trace["z"]["infer"] = {"weights": array}
    first, second, third = [jax.tree.structure(PytreeTrace(trace)) for trace in traces]
    assert first == second != third
