"""Dependence of outputs on inputs through every kind of control flow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from numpyro.ops.provenance import eval_provenance, mark, provenance


def switch(i, x, y):
    return lax.switch(i, [lambda x, y: (x, y), lambda x, y: (y, jnp.zeros(()))], x, y)


def chain(x, y):
    """The first entry of the state takes up the second one a step later, the second the third, the third never."""
    return lax.scan(lambda s, _: ((s[0] + s[1], s[1] + s[2], s[2]), s[0]), (0.0, x, y), None, length=4)


@jax.custom_jvp
def custom(x, y):
    return x, y


custom.defjvp(lambda primals, tangents: (custom(*primals), tangents))

CASES = [
    ("arithmetic", lambda x, y: (x + 1, x * y, jnp.zeros(2)), ("x", "xy", "")),
    ("a factor of zero still counts", lambda x, y: x * 0.0, "x"),
    ("the same argument", lambda x, y: (y, x), ("y", "x")),
    ("pytrees", lambda x, y: {"a": [x, y]}, {"a": ["x", "y"]}),
    ("jit", lambda x, y: jax.jit(lambda a, b: (b, a * 2))(x, y), ("y", "x")),
    ("checkpoint", lambda x, y: jax.checkpoint(lambda a, b: (jnp.sin(b), a))(x, y), ("y", "x")),
    ("custom derivatives", lambda x, y: custom(x, y), ("x", "y")),
    ("vmap", lambda x, y: jax.vmap(lambda a, b: (a, b + 1))(x[None], y[None]), ("x", "y")),
    ("grad", lambda x, y: jax.grad(lambda a: a**2 + y)(x), "x"),
    ("cond", lambda x, y: lax.cond(x > 0, lambda: y, lambda: 2.0), "xy"),
    ("switch", lambda x, y: switch(jnp.int32(0), x, y), ("xy", "y")),
    ("scan", lambda x, y: chain(x, y), (("xy", "xy", "y"), "xy")),
    ("while", lambda x, y: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * y), (0, x)), ("", "xy")),
    ("the condition", lambda x, y: lax.while_loop(lambda s: s < y, lambda s: s + 1, x), "xy"),
    ("fori", lambda x, y: lax.fori_loop(0, 3, lambda i, s: (s[1], s[0]), (x, y)), ("xy", "xy")),
    ("cholesky", lambda x, y: jnp.linalg.cholesky(jnp.eye(2) * x)[0] + y, "xy"),
]


@pytest.mark.parametrize(("fn", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_outputs_depend_on(fn, expected):
    found = eval_provenance(fn, x=jnp.array(1.0), y=jnp.array(2.0))
    assert found == jax.tree.map(frozenset, expected)


def test_arguments_are_not_evaluated():
    shape = jax.ShapeDtypeStruct((3,), np.float32)
    assert eval_provenance(lambda x, n: (x["a"].sum(), n), x={"a": shape, "b": shape}, n=np.int32(3)) == (
        frozenset({"x"}),
        frozenset({"n"}),
    )
    assert eval_provenance(lambda: jnp.ones(3)) == frozenset()


def test_a_marked_value_begins_anew():
    def fn():
        x = mark({"a": jnp.ones(2), "b": np.int32(1)}, "x")
        y = mark(x["a"] * 2, "y")
        inside = lax.scan(lambda s, _: (mark(s + 1, "z"), s), jnp.zeros(2), None, length=2)
        looped = lax.while_loop(lambda s: s < 2, lambda s: mark(s + 1, "w"), x["b"])
        return y, x["a"] + y, inside, looped, lax.map(lambda a: mark(a, "v"), jnp.ones(2))

    sets = jax.tree.map(frozenset, ("y", "xy", ("z", "z"), "xw", "v"))
    assert provenance(fn) == sets


def test_marked_values_are_the_values():
    np.testing.assert_array_equal(mark(np.arange(3.0), "x"), np.arange(3.0))
    assert jax.grad(lambda x: mark(x, "x") ** 2)(3.0) == 6.0
