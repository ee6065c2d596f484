"""Programs: traces that compute the same have one key; what they captured is given at run time; few are kept."""

from __future__ import annotations

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from numpyro.infer.program import Program, ProgramCache, is_traced

X = jax.ShapeDtypeStruct((3,), np.float32)
VALUE = np.array([1.0, 2.0, 3.0], np.float32)


def key(fn, *example):
    return Program(fn, *(example or (X,))).key


def scaled_by(factor):
    return lambda x: jnp.sum(factor * x)


def looped(body):
    return lambda x: lax.fori_loop(0, 3, lambda i, y: body(y), x)


@jax.custom_jvp
def square(x):
    return x * x


square.defjvp(lambda primals, tangents: (primals[0] ** 2, 2 * primals[0] * tangents[0]))


@jax.custom_jvp
def square_with_wrong_derivative(x):
    return x * x


square_with_wrong_derivative.defjvp(lambda primals, tangents: (primals[0] ** 2, 7 * tangents[0]))


def make_cube(slope):
    @jax.custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, g: (slope * x**2 * g,))
    return cube


# What counts as the same computation. Each pair is traced from functions of their own.

SAME = {
    "closures made twice": (scaled_by(2.0), scaled_by(2.0)),
    "other names of variables": (lambda x: jnp.exp(x) + 1, lambda other: jnp.exp(other) + 1),
    "a function and its inlined body": (looped(jnp.sin), looped(lambda y: jnp.sin(y))),
    "jitted functions": (jax.jit(lambda x: x + 1), jax.jit(lambda x: x + 1)),
    "custom derivatives, applied": (jax.grad(lambda x: make_cube(3.0)(x).sum()),) * 2,
    "custom_jvp": (lambda x: square(x), lambda x: square(x)),
    "values of captured arrays": (scaled_by(jnp.arange(3.0)), scaled_by(jnp.ones(3))),
    "random draws": (lambda x: x + jax.random.normal(jax.random.key(0)),) * 2,
}

DIFFERENT = {
    "a literal": (scaled_by(2.0), scaled_by(3.0)),
    "a literal in a loop": (looped(lambda y: y * 2.0), looped(lambda y: y * 3.0)),
    "a literal in a jitted function": (jax.jit(lambda x: x + 1.0), jax.jit(lambda x: x + 2.0)),
    "a static argument": (lambda x: jnp.sum(x, 0), lambda x: jnp.sum(x, 0, keepdims=True)),
    "an axis": (lambda x: jnp.cumsum(jnp.outer(x, x), 0), lambda x: jnp.cumsum(jnp.outer(x, x), 1)),
    "a primitive": (jnp.sin, jnp.cos),
    "the order of operands": (lambda x: x - jnp.exp(x), lambda x: jnp.exp(x) - x),
    "which value is returned": (lambda x: (jnp.exp(x), jnp.sin(x))[0], lambda x: (jnp.exp(x), jnp.sin(x))[1]),
    "the structure of the result": (lambda x: {"a": x}, lambda x: {"b": x}),
    "a branch": (
        lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x),
        lambda x: lax.cond(x[0] > 0, jnp.cos, jnp.sin, x),
    ),
    "the shape of a captured array": (scaled_by(jnp.ones(3)), scaled_by(jnp.ones((1, 3)))),
    "the dtype of a captured array": (scaled_by(jnp.ones(3)), scaled_by(jnp.ones(3, int))),
    "a custom derivative, applied": (
        jax.grad(lambda x: make_cube(3.0)(x).sum()),
        jax.grad(lambda x: make_cube(4.0)(x).sum()),
    ),
    "a custom_jvp rule, applied": (
        jax.grad(lambda x: square(x).sum()),
        jax.grad(lambda x: square_with_wrong_derivative(x).sum()),
    ),
    "a seed": (
        lambda x: x + jax.random.normal(jax.random.key(0)),
        lambda x: x + jax.random.normal(jax.random.key(1)),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_same_computations_have_one_key(case):
    first, second = SAME[case]
    assert key(first) == key(second)
    assert hash(key(first)) == hash(key(second))


@pytest.mark.parametrize("case", DIFFERENT)
def test_different_computations_have_different_keys_or_captures(case):
    first, second = (Program(fn, X) for fn in DIFFERENT[case])
    captures = [[np.asarray(c).tolist() for c in program.consts] for program in (first, second)]
    assert first.key != second.key or captures[0] != captures[1]


def test_shapes_and_dtypes_of_arguments_are_part_of_the_key():
    keys = {key(jnp.exp, jax.ShapeDtypeStruct(shape, dtype)) for shape in [(3,), (4,)] for dtype in ["f4", "f2"]}
    assert len(keys) == 4


def test_a_program_computes_its_function():
    def fn(x, tree):
        return {"sum": x + tree["b"], "pair": (square(x), tree["a"] * 2)}

    tree = {"a": np.float32(2.0), "b": np.ones(3, np.float32)}
    program = Program(fn, VALUE, tree)
    for call in (program, jax.jit(program)):
        result = call(program.consts, VALUE, tree)
        np.testing.assert_allclose(result["sum"], VALUE + 1)
        np.testing.assert_allclose(result["pair"][0], VALUE**2)
        assert result["pair"][1] == 4
    assert jax.tree.structure(program.out_shape) == jax.tree.structure(result)


def test_captured_arrays_are_arguments():
    first, second = (Program(scaled_by(jnp.asarray(factor)), X) for factor in (VALUE, 10 * VALUE))
    assert first.key == second.key
    compiled = jax.jit(first.without_consts())
    assert compiled(first.consts, VALUE) == pytest.approx(np.sum(VALUE**2))
    assert compiled(second.consts, VALUE) == pytest.approx(10 * np.sum(VALUE**2))
    assert compiled._cache_size() == 1


def test_a_numpy_array_edited_in_place_is_seen():
    captured = VALUE.copy()
    fn = scaled_by(captured)
    before = Program(fn, X)
    assert before(before.consts, VALUE) == pytest.approx(np.sum(VALUE**2))
    captured[0] = 100.0
    after = Program(fn, X)
    assert after(after.consts, VALUE) == pytest.approx(np.sum(captured * VALUE))
    if after.key == before.key:
        assert jax.jit(before)(after.consts, VALUE) == pytest.approx(np.sum(captured * VALUE))


def test_arrays_captured_inside_loops_count_by_value_or_are_arguments():
    def looping(factor):
        return lambda x: lax.fori_loop(0, 2, lambda i, y: jnp.asarray(factor) * y, x)

    first, second = Program(looping(VALUE), X), Program(looping(10 * VALUE), X)
    compiled = jax.jit(first.without_consts())
    np.testing.assert_allclose(compiled(first.consts, VALUE), VALUE**3)
    if first.key == second.key:
        np.testing.assert_allclose(compiled(second.consts, VALUE), 100 * VALUE**3)


def test_callbacks_count_by_identity():
    def host(x):
        return np.asarray(x) * 2

    def fn(x):
        return jax.pure_callback(host, X, x)

    program, other = Program(fn, X), Program(lambda x: jax.pure_callback(lambda x: np.asarray(x) * 3, X, x), X)
    assert program.key == program.key
    assert program.key != other.key
    np.testing.assert_allclose(other((), VALUE), 3 * VALUE)


def test_a_program_without_its_captures_keeps_none_alive():
    captured = jnp.asarray(VALUE) + 1
    alive = weakref.ref(captured)
    program = Program(scaled_by(captured), X)
    bare = program.without_consts()
    assert bare.key == program.key
    assert bare.consts == ()
    del program, captured
    gc.collect()
    assert alive() is None


def test_tracers_are_told_from_arrays():
    seen = []
    jax.jit(lambda x: seen.append(is_traced({"x": x, "y": VALUE})))(VALUE)
    assert seen == [True]
    assert not is_traced((VALUE, jnp.ones(2), 1.0, None))


# The cache


def test_the_cache_builds_once_and_gives_up_what_was_used_least_recently():
    cache, built = ProgramCache(size=2), []

    def get(name):
        return cache.get(name, lambda: built.append(name) or f"program {name}")

    assert [get("a"), get("b"), get("a")] == ["program a", "program b", "program a"]
    assert built == ["a", "b"]
    get("c")  # gives up b: a was asked for since
    assert len(cache) == 2
    get("a")
    assert built == ["a", "b", "c"]
    get("b")
    assert built == ["a", "b", "c", "b"]
    cache.clear()
    assert len(cache) == 0


def test_a_failed_build_leaves_nothing_behind():
    cache = ProgramCache()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)
    assert len(cache) == 0
    assert cache.get("a", lambda: 1) == 1


def test_the_largest_product_is_found_inside_loops_and_branches():
    matrix = np.ones((4, 3), np.float32)
    assert Program(lambda x: jnp.sum(x * x), X).largest_product() == 0
    assert Program(lambda x: matrix @ x, X).largest_product() == 12

    def nested(x):
        def body(i, y):
            return lax.cond(i > 0, lambda y: (matrix @ y)[:3], lambda y: y, y)

        return jax.jit(lambda y: lax.fori_loop(0, 2, body, y))(x)

    assert Program(nested, X).largest_product() == 12
