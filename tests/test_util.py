"""Utilities: loops against Python's, bars against what they print, tables and warnings word by word."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
import warnings
from collections import namedtuple
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from numpyro._errors import UsageError
from numpyro.util import (
    cached_by,
    check_model_guide_match,
    cond,
    control_flow_prims_disabled,
    enable_x64,
    find_stack_level,
    fori_collect,
    fori_loop,
    format_shapes,
    identity,
    is_prng_key,
    maybe_jit,
    nested_attrgetter,
    not_jax_tracer,
    optional,
    progress_bar_factory,
    set_host_device_count,
    set_platform,
    set_rng_seed,
    soft_vmap,
    while_loop,
)

# Keys, tracers, fields


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (jax.random.key(0), True),
        (jax.random.PRNGKey(0), True),
        (np.zeros(2, np.uint32), True),
        (jax.random.key(0, impl="rbg"), True),
        (jax.ShapeDtypeStruct((2,), jnp.uint32), True),
        (jax.random.split(jax.random.key(0), 2), False),
        (jax.random.split(jax.random.PRNGKey(0), 2), False),
        (np.zeros(2, np.int32), False),
        (np.zeros(4, np.uint32), False),
        (np.zeros((), np.uint32), False),
        (0, False),
        (None, False),
        ("key", False),
        ([0, 0], False),
    ],
)
def test_is_prng_key(key, expected):
    assert is_prng_key(key) is expected


def test_is_prng_key_of_traced_and_batched_keys():
    seen = []
    jax.jit(lambda key: seen.append(is_prng_key(key)))(jax.random.key(0))
    jax.vmap(lambda key: seen.append(is_prng_key(key)))(jax.random.split(jax.random.PRNGKey(0), 3))
    assert seen == [True, True]


def test_raw_keys_have_the_shape_of_the_default_generator():
    with jax.default_prng_impl("rbg"):
        assert is_prng_key(jax.random.PRNGKey(0)) and not is_prng_key(np.zeros(2, np.uint32))


def test_identity_and_not_jax_tracer():
    x = object()
    assert identity(x, 1, a=2) is x
    concrete = []
    jax.jit(lambda x: concrete.append(not_jax_tracer(x)))(1.0)
    assert not_jax_tracer(jnp.ones(())) and not_jax_tracer(1) and concrete == [False]


def test_nested_attrgetter():
    Pair = namedtuple("Pair", "x y")
    pair = Pair(Pair(1, {"k": 2}), 3)
    assert nested_attrgetter("y")(pair) == 3
    assert nested_attrgetter("x.x", "x.y.k")(pair) == (1, 2)
    with pytest.raises(AttributeError, match=r"'Pair' has no field 'z' \(of the path 'x.z'\); the fields are x, y"):
        nested_attrgetter("x.z")(pair)
    with pytest.raises(KeyError, match="no key 'j'"):
        nested_attrgetter("x.y.j")(pair)


def test_optional():
    with optional(True, contextlib.nullcontext(7)) as inside:
        assert inside == 7
    with optional(False, contextlib.nullcontext(7)) as inside:
        assert inside is None


def test_find_stack_level_points_out_of_the_package():
    with pytest.warns(FutureWarning) as caught:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JAX_PLATFORM_NAME", "cpu")
            patch.delenv("JAX_PLATFORMS", raising=False)
            set_platform()
    assert caught[0].filename == __file__
    assert find_stack_level() == 1


# Control flow


def both_ways(function):
    """The result with JAX's primitives and in plain Python."""
    with control_flow_prims_disabled():
        plain = function()
    return function(), plain


def test_loops_and_branches_agree_with_and_without_primitives():
    for compiled, plain in [
        both_ways(lambda: while_loop(lambda x: x < 50, lambda x: 2 * x, 3)),
        both_ways(lambda: fori_loop(2, 7, lambda i, x: x * i, 1)),
        both_ways(lambda: cond(jnp.array(True), 1.0, lambda x: x + 1, 5.0, lambda x: x - 1)),
        both_ways(lambda: cond(jnp.array(False), 1.0, lambda x: x + 1, (5.0,), lambda x: x[0] - 1)),
        both_ways(lambda: maybe_jit(lambda x, n: x**n, static_argnums=1)(3, 2)),
    ]:
        assert isinstance(compiled, jax.Array)
        assert compiled == plain


def test_without_primitives_anything_goes_and_the_setting_ends():
    with control_flow_prims_disabled():
        assert fori_loop(0, 3, lambda i, visited: [*visited, i], []) == [0, 1, 2]
        assert maybe_jit(len) is len
        in_other_thread = []
        thread = threading.Thread(target=lambda: in_other_thread.append(maybe_jit(len) is len))
        thread.start()
        thread.join()
        assert in_other_thread == [False]
    with contextlib.suppress(ZeroDivisionError), control_flow_prims_disabled():
        fori_loop(0, 1, lambda i, x: 1 // 0, 0)
    assert maybe_jit(len) is not len


def test_cached_by_returns_the_first_function_of_its_keys():
    def outer(key):
        @cached_by(outer, key)
        def inner():
            return key

        @cached_by(outer, key)
        def another():
            return key

        return inner, another

    first = outer(0)
    assert outer(0) == first and first[0] is not first[1]
    for key in range(1, 4):
        assert outer(key)[0]() == key
    assert outer(0)[0] is first[0]  # the eight used last are kept
    for key in range(1, 5):
        outer(key)
    assert outer(0)[0] is not first[0]
    assert len(outer._cache) == 8
    with pytest.raises(TypeError, match="unhashable"):
        cached_by(outer, [])(len)


# Collecting loops


def halve_or_double(state):
    i, x = state
    return i + 1, jnp.where(i % 3 == 0, x / 2, x * 2)


def expected_history(lower, upper, thinning):
    state, history = (0, 1.0), []
    for _ in range(upper):
        state = (state[0] + 1, state[1] / 2 if state[0] % 3 == 0 else state[1] * 2)
        history.append(state)
    return history[lower:][::-1][::thinning][: (upper - lower) // thinning][::-1], state


@pytest.mark.parametrize("progbar", [False, True])
@pytest.mark.parametrize(("lower", "upper", "thinning"), [(0, 7, 1), (2, 9, 2), (3, 10, 3), (4, 4, 1), (0, 2, 5)])
def test_fori_collect_keeps_every_so_many_values(lower, upper, thinning, progbar):
    history, last = expected_history(lower, upper, thinning)
    kept, last_val = fori_collect(
        lower,
        upper,
        halve_or_double,
        (0, 1.0),
        transform=lambda state: {"i": state[0], "x": state[1]},
        progbar=progbar,
        thinning=thinning,
        collection_size=8,
        return_last_val=True,
    )
    assert kept["i"].shape == (8,) and kept["i"].dtype == jnp.int32
    assert kept["i"].tolist() == [i for i, _ in history] + [0] * (8 - len(history))
    assert kept["x"].tolist() == [x for _, x in history] + [0.0] * (8 - len(history))
    assert (int(last_val[0]), float(last_val[1])) == last


def test_fori_collect_defaults_and_plain_python():
    with control_flow_prims_disabled():
        plain = fori_collect(1, 5, lambda x: x + 2, 0, progbar=False)
    assert plain.tolist() == fori_collect(1, 5, lambda x: x + 2, 0, progbar=False).tolist() == [4, 6, 8, 10]
    assert fori_collect(3, 3, lambda x: x, 0.0, progbar=False).shape == (0,)


def test_fori_collect_may_be_transformed():
    run = lambda x: fori_collect(0, 3, lambda x: 2 * x, x, progbar=False)
    np.testing.assert_array_equal(jax.jit(jax.vmap(run))(jnp.array([1, 5])), [[2, 4, 8], [10, 20, 40]])


def test_fori_collect_calls_transform_for_what_it_keeps_only():
    calls = []

    def transform(x):
        jax.debug.callback(lambda x: calls.append(int(x)), x)
        return x

    fori_collect(2, 8, lambda x: x + 1, 0, transform, progbar=False, thinning=3)
    jax.effects_barrier()
    assert sorted(calls) == [5, 8]


def test_fori_collect_traces_its_body_a_fixed_number_of_times():
    def count(upper):
        traced = []

        def body(x):
            traced.append(None)
            return x + 1

        fori_collect(0, upper, body, 0, progbar=True, progress_rate=3)
        return len(traced)

    assert count(100) == count(9) <= 3


def test_fori_collect_shows_a_bar(capsys):
    fori_collect(
        0,
        40,
        lambda x: x + 1,
        0,
        progress_rate=20,
        progbar_desc=lambda i: f"at {i}",
        diagnostics_fn=lambda x: f"x={x}",
    )
    shown = capsys.readouterr().err
    assert "at 39: 100%" in shown and "40/40" in shown and "x=40" in shown
    fori_collect(0, 4, lambda x: x + 1, 0, num_chains=2)
    assert "Running 2 chains" in capsys.readouterr().err
    fori_collect(0, 4, lambda x: x + 1, 0, progbar=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower": 5, "upper": 3}, "0 <= lower <= upper, got lower=5 and upper=3"),
        ({"lower": -1}, "got lower=-1"),
        ({"thinning": 0}, "thinning of at least 1, got 0"),
        ({"progress_rate": 0}, "progress_rate of at least 1"),
        ({"collection_size": 3}, "keeps 5 values .* collection_size=3 has no room"),
    ],
)
def test_fori_collect_refuses_impossible_options(options, message):
    options = {"lower": 0, "upper": 5, **options}
    with pytest.raises(UsageError, match=message):
        fori_collect(body_fun=identity, init_val=0, **options)
    with pytest.raises(TypeError, match=r"unknown options \['colour'\]"):
        fori_collect(0, 5, identity, 0, colour="red")


# Progress bars inside compiled loops


def run_chain(wrap, chain, num_samples=20):
    body = wrap(lambda i, x: x + i)
    return jax.jit(lambda vals: jax.lax.fori_loop(0, num_samples, body, vals))((0, chain))


@pytest.mark.parametrize("rate", [1, 7, 20, 100])
def test_bars_reach_their_end_and_leave_the_result_alone(capsys, rate):
    wrap = progress_bar_factory(20, 2, rate)
    assert "Compiling.. :   0%" in capsys.readouterr().err
    for chain in range(2):
        state, same_chain = run_chain(wrap, chain)
        assert state == sum(range(20)) and same_chain == chain
    jax.effects_barrier()
    shown = capsys.readouterr().err
    for chain in range(2):
        assert f"Running chain {chain}: 100%" in shown
    assert "20/20" in shown


def test_bars_may_be_moved_from_several_threads_and_under_vmap(capsys):
    wrap = progress_bar_factory(20, 3, 5)
    threads = [threading.Thread(target=run_chain, args=(wrap, chain)) for chain in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    jax.effects_barrier()
    shown = capsys.readouterr().err
    assert all(f"Running chain {chain}: 100%" in shown for chain in range(3))

    body = progress_bar_factory(20, 3, 5)(lambda i, x: x + 1)
    result = jax.vmap(lambda x, chain: jax.lax.fori_loop(0, 20, body, (x, chain)))(jnp.zeros(3), jnp.arange(3))
    jax.effects_barrier()
    assert result[0].tolist() == [20.0] * 3
    assert capsys.readouterr().err.count(": 100%") >= 3


@pytest.mark.parametrize("arguments", [(0, 1, 1), (10, 0, 1), (10, 1, 0), (10, 1, None), (2.5, 1, 1)])
def test_bars_of_no_length_are_errors(arguments):
    with pytest.raises(UsageError, match="to be a positive integer"):
        progress_bar_factory(*arguments)


# Vectorisation in chunks


@pytest.mark.parametrize("chunk_size", [None, 0, 1, 3, 4, 7, 100])
@pytest.mark.parametrize("batch_shape", [(7,), (2, 3), (1,), (0,), ()])
def test_soft_vmap_is_vmap(batch_shape, chunk_size):
    rng = np.random.default_rng(0)
    xs = {"a": rng.normal(size=(*batch_shape, 3)), "b": rng.normal(size=batch_shape)}
    traced = []

    def function(x):
        traced.append(x["a"].shape)
        return x["a"] * x["b"], (x["a"].sum(), 1.0)

    product, (total, one) = soft_vmap(function, xs, len(batch_shape), chunk_size)
    np.testing.assert_allclose(product, xs["a"] * xs["b"][..., None], rtol=1e-6)
    np.testing.assert_allclose(total, xs["a"].sum(-1), rtol=1e-5)
    assert traced == [(3,)]
    if batch_shape:
        assert one.shape == batch_shape


def test_soft_vmap_takes_keys_and_gradients():
    keys = jax.random.split(jax.random.key(0), 5)
    np.testing.assert_array_equal(soft_vmap(jax.random.normal, keys, chunk_size=2), jax.vmap(jax.random.normal)(keys))
    gradient = jax.grad(lambda x: soft_vmap(jnp.sqrt, x, chunk_size=2).sum())(jnp.arange(1.0, 6.0))
    np.testing.assert_allclose(gradient, 0.5 / np.sqrt(np.arange(1, 6)), rtol=1e-6)


def test_soft_vmap_refuses_what_does_not_fit():
    with pytest.raises(
        UsageError, match=r"share their first batch_ndims=1 dimensions; their shapes are \(2,\), \(3,\)"
    ):
        soft_vmap(identity, (np.zeros(2), np.zeros(3)))
    with pytest.raises(UsageError, match="batch_ndims=2"):
        soft_vmap(identity, np.zeros(2), 2)
    with pytest.raises(UsageError, match="no arrays"):
        soft_vmap(identity, {})
    with pytest.raises(UsageError, match="positive chunk_size, got -1"):
        soft_vmap(identity, np.zeros(2), chunk_size=-1)


# Platforms, precision, seeds


@pytest.fixture
def environment(monkeypatch):
    """An environment without JAX's variables; JAX's configuration is restored."""
    for name in ("XLA_FLAGS", "JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_ENABLE_X64"):
        monkeypatch.delenv(name, raising=False)
    before = jax.config.jax_platforms, jax.config.jax_enable_x64
    jax.devices()
    yield monkeypatch
    jax.config.update("jax_platforms", before[0])
    jax.config.update("jax_enable_x64", before[1])


def test_enable_x64(environment):
    for argument, variable, expected in [
        (True, None, True),
        (False, None, False),
        (None, None, False),
        (None, "1", True),
        (None, "true", True),
        (None, "0", False),
        (False, "1", False),
    ]:
        environment.setenv("JAX_ENABLE_X64", variable or "")
        enable_x64(argument)
        assert jax.config.jax_enable_x64 is expected
    enable_x64()
    assert jnp.ones(()).dtype == jnp.float64


def test_set_platform(environment):
    set_platform("cpu")
    assert jax.config.jax_platforms == "cpu"
    set_platform()
    assert jax.config.jax_platforms == "cpu"
    with pytest.raises(UsageError, match=r"Invalid platform 'gpus'. Valid platforms are: cpu, gpu, cuda"):
        set_platform("gpus")
    with pytest.warns(UserWarning, match=r"set_platform\('tpu'\) has no effect: JAX already computes on 'cpu'"):
        set_platform("tpu")


def test_set_host_device_count_edits_its_flag_only(environment):
    environment.setenv("XLA_FLAGS", "--xla_one=1 --xla_force_host_platform_device_count=5 --xla_two=2")
    count = jax.local_device_count("cpu")
    set_host_device_count(count)
    assert os.environ["XLA_FLAGS"] == f"--xla_force_host_platform_device_count={count} --xla_one=1 --xla_two=2"
    with pytest.warns(UserWarning, match=rf"set_host_device_count\({count + 1}\) has no effect: JAX already uses"):
        set_host_device_count(count + 1)
    for bad in (0, -1, 1.5, "x", True, None):
        with pytest.raises(UsageError, match="expects a positive integer"):
            set_host_device_count(bad)


def test_platform_and_device_count_before_the_first_computation():
    program = (
        "import warnings; warnings.simplefilter('error'); from numpyro.util import *; import jax;"
        "set_platform('cpu'); set_host_device_count(3); print(jax.device_count(), jax.default_backend())"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    ).stdout
    assert output.split() == ["3", "cpu"]


def test_set_rng_seed():
    set_rng_seed(3)
    drawn = random.random(), np.random.random()
    random.seed(3)
    np.random.seed(3)
    assert drawn == (random.random(), np.random.random())
    set_rng_seed()


# Tables of shapes and checks of guides


def law(batch_shape=(), event_shape=()):
    return SimpleNamespace(
        batch_shape=batch_shape,
        event_shape=event_shape,
        event_dim=len(event_shape),
        shape=lambda: batch_shape + event_shape,
        log_prob=lambda value: np.zeros(np.shape(value)[: np.ndim(value) - len(event_shape)]),
    )


def sample(batch_shape=(), event_shape=(), value=None, **site):
    value = np.zeros(batch_shape + event_shape) if value is None else value
    return {"type": "sample", "fn": law(batch_shape, event_shape), "value": value, "infer": {}, **site}


TRACE = {
    "p": {"type": "param", "value": np.zeros((3, 4))},
    "tree": {"type": "param", "value": {"w": np.zeros(2)}},
    "z": sample(),
    "N": {"type": "plate", "value": np.arange(5)},
    "x": sample((5,), (3,)),
    "y": sample((), (), np.zeros((2, 1))),
    "d": {"type": "deterministic", "value": np.zeros(7)},
}


def test_format_shapes():
    assert format_shapes(TRACE).split("\n") == [
        "Trace Shapes:        ",
        " Param Sites:        ",
        "            p   3 4  ",
        "         tree        ",
        "Sample Sites:        ",
        "       z dist     |  ",
        "        value     |  ",
        "      N plate   5 |  ",
        "       x dist   5 | 3",
        "        value   5 | 3",
        "       y dist     |  ",
        "        value 2 1 |  ",
    ]
    assert format_shapes({}) == "Trace Shapes:"


def test_format_shapes_options():
    lines = format_shapes(TRACE, compute_log_prob=True, title="Title").split("\n")
    assert lines[0].strip() == "Title"
    assert [line.split() for line in lines if "log_prob" in line] == [
        ["log_prob", "|"],
        ["log_prob", "5", "|"],
        ["log_prob", "2", "1", "|"],
    ]
    some = format_shapes(TRACE, compute_log_prob=lambda site: site is TRACE["x"])
    assert some.count("log_prob") == 1
    assert format_shapes(TRACE, last_site="N").split("\n")[-1].split() == ["N", "plate", "5", "|"]
    assert "Param Sites:" in format_shapes(TRACE, last_site="p") and "z" not in format_shapes(TRACE, last_site="p")


def messages(model, guide):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_model_guide_match(model, guide)
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught]


def test_a_guide_that_matches_is_silent():
    plate = {"type": "plate", "value": np.arange(3)}
    model = {
        "a": sample((2,)),
        "x": sample(is_observed=True),
        "N": plate,
        "w": {"type": "param", "value": 1.0},
        "k": sample(infer={"enumerate": "parallel"}),
    }
    assert messages(model, {"a": sample((2,))}) == []
    assert messages(model, {"a": sample((2,)), "N": plate, "u": sample(infer={"is_auxiliary": True})}) == []


def test_sites_of_only_one_side_are_warned_about():
    model, guide = {"a": sample(), "b": sample()}, {"a": sample(), "c": sample(), "N": {"type": "plate", "value": 0}}
    assert messages(model, guide) == [
        "Found vars in model but not guide: {'b'}",
        "Found non-auxiliary vars in guide but not model, consider marking these infer={'is_auxiliary': True}:\n{'c'}",
        "Found plate statements in guide but not model: {'N'}",
    ]


def test_sites_of_different_shapes_are_errors():
    with pytest.raises(ValueError, match=r"Model and guide shapes disagree at site 'a': \(\) vs \(2,\)"):
        check_model_guide_match({"a": sample()}, {"a": sample((2,))})
    with pytest.raises(ValueError, match="Model and guide event_dims disagree at site 'a': 0 vs 1"):
        check_model_guide_match({"a": sample((2,))}, {"a": sample((), (2,))})
