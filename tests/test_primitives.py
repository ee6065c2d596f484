"""Statements of models: what their messages hold, how plates shape them, and what is said of mistakes."""

from __future__ import annotations

import pickle
import threading
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import stax

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.primitives import (
    _PYRO_STACK,
    CondIndepStackFrame,
    Messenger,
    apply_stack,
    default_process_message,
    mutable,
)

KEY = jax.random.key(0)


def trace(fn, *args, **kwargs):
    return handlers.trace(handlers.seed(fn, rng_seed=0)).get_trace(*args, **kwargs)


def fail(match, error=UsageError):
    return pytest.raises(error, match=match)


# The stack


def test_the_stack_reads_like_a_list_and_is_empty_between_models():
    assert len(_PYRO_STACK) == 0
    assert list(_PYRO_STACK) == []
    outer, inner = handlers.block(), handlers.trace()
    with outer, inner:
        assert list(_PYRO_STACK) == [outer, inner]
        assert _PYRO_STACK[-1] is inner
        assert _PYRO_STACK[:1] == [outer]
        assert list(reversed(_PYRO_STACK)) == [inner, outer]
        assert _PYRO_STACK == [outer, inner]
        assert outer in _PYRO_STACK
        assert "block" in repr(_PYRO_STACK)
    _PYRO_STACK.append(outer)
    assert _PYRO_STACK.pop() is outer
    assert not _PYRO_STACK


def test_each_thread_has_a_stack_of_its_own():
    def model(n):
        with numpyro.plate(f"plate{n}", n + 1):
            return [numpyro.sample(f"{n}/{i}", dist.Delta(float(i))) for i in range(30)]

    barrier = threading.Barrier(4)
    traces, depths = {}, []

    def run(n):
        with handlers.seed(rng_seed=n):
            barrier.wait()
            for _ in range(3):
                traces[n] = handlers.trace(model).get_trace(n)
                depths.append(len(_PYRO_STACK))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    with handlers.trace() as outside:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not outside
    assert depths == [1] * 12
    for n in range(4):
        assert list(traces[n]) == [f"plate{n}", *(f"{n}/{i}" for i in range(30))]
        assert traces[n][f"{n}/7"]["value"].shape == (n + 1,)


def test_messages_go_outwards_before_and_inwards_after_and_stop_where_told():
    seen = []

    class Spy(Messenger):
        def __init__(self, tag, stop=False):
            super().__init__()
            self.tag, self.stops = tag, stop

        def process_message(self, msg):
            seen.append(("process", self.tag, msg["value"]))
            msg["stop"] = self.stops

        def postprocess_message(self, msg):
            seen.append(("postprocess", self.tag, msg["value"]))

    with Spy("outer"), Spy("middle", stop=True), Spy("inner"):
        numpyro.sample("x", dist.Delta(2.0))
    assert seen == [
        ("process", "inner", None),
        ("process", "middle", None),
        ("postprocess", "middle", 2.0),
        ("postprocess", "inner", 2.0),
    ]


def test_users_handlers_see_and_change_messages():
    class AddOne(Messenger):
        def postprocess_message(self, msg):
            if msg["type"] == "sample":
                msg["value"] = msg["value"] + 1

    assert AddOne(lambda: numpyro.sample("x", dist.Delta(2.0)))() == 3.0
    assert not _PYRO_STACK


def test_users_primitives_go_through_the_stack():
    msg = {"type": "mine", "name": "m", "fn": lambda x, y: x + y, "args": (1,), "kwargs": {"y": 2}, "value": None}
    assert apply_stack(dict(msg))["value"] == 3
    default_process_message(msg)
    assert msg["value"] == 3
    with handlers.trace() as recorded, handlers.seed(rng_seed=0):
        apply_stack({**msg, "value": None})
    assert recorded["m"]["value"] == 3


def test_an_exception_leaves_the_stack_as_it_was():
    @handlers.seed(rng_seed=0)
    def model():
        with numpyro.plate("p", 2), handlers.mask(mask=False):
            raise RuntimeError("in the model")

    with handlers.block():
        with pytest.raises(RuntimeError, match="in the model"):
            model()
        assert len(_PYRO_STACK) == 1
    assert not _PYRO_STACK


def test_handlers_must_be_left_in_reverse_order():
    outer, inner = handlers.block(), handlers.block()
    outer.__enter__()
    inner.__enter__()
    with fail("reverse"):
        outer.__exit__(None, None, None)
    assert not _PYRO_STACK


def test_a_handler_can_be_active_twice():
    handler = handlers.scale(scale=2.0)
    with handlers.trace() as recorded, handler, handler:
        numpyro.sample("x", dist.Delta(1.0))
    assert recorded["x"]["scale"] == 4.0
    assert not _PYRO_STACK


def test_handlers_wrap_functions_partials_and_methods():
    def model(loc, scale=1.0):
        """A model."""
        return numpyro.sample("x", dist.Normal(loc, scale))

    wrapped = handlers.seed(model, rng_seed=1)
    assert wrapped.__name__ == "model"
    assert wrapped.__doc__ == "A model."
    assert wrapped.__wrapped__ is model
    assert handlers.seed(partial(model, 3.0), rng_seed=1)(scale=2.0) == wrapped(3.0, scale=2.0)
    assert handlers.seed(rng_seed=1)(model)(3.0, scale=2.0) == wrapped(3.0, scale=2.0)

    class Models:
        loc = 3.0
        kept = wrapped

        @handlers.trace
        @handlers.seed(rng_seed=1)
        def model(self, scale):
            return model(self.loc, scale)

        @handlers.seed(rng_seed=1)
        def other(self, scale):
            return model(self.loc, scale)

    assert Models().model.get_trace(2.0)["x"]["value"] == wrapped(3.0, scale=2.0)
    assert Models().other(2.0) == wrapped(3.0, scale=2.0)
    assert Models().kept(3.0) == wrapped(3.0)


def test_a_handler_without_a_function_says_so():
    with fail("no function to run"):
        handlers.trace()(1.0)
    with pytest.raises(ValueError, match=r"callable.*<class 'float'>"):
        handlers.seed(1.0)


# sample


def test_the_message_of_a_sample():
    seen = []

    class Spy(Messenger):
        def process_message(self, msg):
            seen.append({key: value for key, value in msg.items() if key != "fn"})

    with Spy():
        numpyro.sample("x", dist.Delta(1.0), obs=2.0, infer={"a": 1})
    assert seen == [
        {
            "type": "sample",
            "name": "x",
            "args": (),
            "kwargs": {"rng_key": None, "sample_shape": ()},
            "value": 2.0,
            "scale": None,
            "is_observed": True,
            "intermediates": [],
            "cond_indep_stack": [],
            "infer": {"a": 1},
        }
    ]


def test_sample_outside_of_handlers():
    assert numpyro.sample("x", dist.Normal(0, 1), obs=3.0) == 3.0
    assert numpyro.sample("x", dist.Delta(3.0)) == 3.0
    draws = numpyro.sample("x", dist.Normal(0, 1), rng_key=KEY, sample_shape=(2,))
    np.testing.assert_array_equal(draws, dist.Normal(0, 1).sample(KEY, (2,)))
    with fail(r"'x' \(Normal\).*numpyro.handlers.seed"):
        numpyro.sample("x", dist.Normal(0, 1))
    with fail(r"'x' \(Normal\)"), handlers.trace():
        numpyro.sample("x", dist.Normal(0, 1))
    with pytest.raises(AssertionError):
        numpyro.sample("x", dist.Normal(0, 1))


def test_a_key_given_to_the_site_is_the_key_used():
    site = trace(lambda: numpyro.sample("x", dist.Normal(0, 1), rng_key=KEY))["x"]
    assert site["value"] == dist.Normal(0, 1).sample(KEY)


def test_intermediates_of_a_transformed_draw_are_kept():
    fn = dist.TransformedDistribution(dist.Normal(0, 1), dist.transforms.ExpTransform())
    site = trace(lambda: numpyro.sample("x", fn))["x"]
    assert site["value"] == jnp.exp(site["intermediates"][0][0])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((3, dist.Delta(0.0)), TypeError, "must be a string, but got 3"),
        (("x", 3.0), TypeError, "'x'.*received float.*numpyro.deterministic"),
        (("x", None), TypeError, "received NoneType"),
        (("x", dist.Normal), TypeError, r"Normal\(\.\.\.\)"),
        (("x", lambda: 1.0), TypeError, "received function"),
        (("x", dist.Delta(0.0), None, 0), UsageError, "rng_key.*'x'.*got int"),
        (("x", dist.Delta(0.0), None, jax.random.split(KEY)), UsageError, "rng_key.*shape"),
        (("x", dist.Delta(0.0), None, KEY, 3), TypeError, "sample_shape.*tuple"),
        (("x", dist.Delta(0.0), None, KEY, (-1,)), ValueError, "negative"),
        (("x", dist.Delta(0.0), None, KEY, (), 3), TypeError, "infer.*dictionary"),
    ],
)
def test_wrong_arguments_of_sample(arguments, error, match):
    with pytest.raises(error, match=match):
        numpyro.sample(*arguments)


def test_obs_mask_splits_a_site_in_two():
    obs, mask = np.array([1.0, 2.0, 3.0]), np.array([True, False, True])
    for obs_mask in (mask, mask.tolist()):
        sites = trace(
            lambda obs_mask=obs_mask: numpyro.sample("x", dist.Normal(np.zeros(3), 1), obs, obs_mask=obs_mask)
        )
        assert list(sites) == ["x_observed", "x_unobserved", "x"]
        assert [site["type"] for site in sites.values()] == ["sample", "sample", "deterministic"]
        assert [sites[name]["is_observed"] for name in ("x_observed", "x_unobserved")] == [True, False]
        drawn = sites["x_unobserved"]["value"]
        np.testing.assert_allclose(sites["x"]["value"], np.where(mask, obs, drawn))
        log_prob = dist.Normal(0, 1).log_prob
        np.testing.assert_allclose(
            sites["x_observed"]["fn"].log_prob(obs), np.where(mask, log_prob(obs), 0.0), rtol=1e-6
        )
        np.testing.assert_allclose(
            sites["x_unobserved"]["fn"].log_prob(drawn), np.where(mask, 0.0, log_prob(drawn)), rtol=1e-6
        )


def test_obs_mask_takes_one_entry_for_each_event_and_stands_in_plates():
    def model():
        with numpyro.plate("rows", 3):
            fn = dist.Normal(np.zeros((3, 2)), 1).to_event(1)
            return numpyro.sample("x", fn, np.ones((3, 2)), obs_mask=np.array([True, False, True]))

    sites = trace(model)
    assert sites["x"]["value"].shape == (3, 2)
    np.testing.assert_array_equal(np.asarray(sites["x"]["value"] == 1.0).all(-1), [True, False, True])
    assert sites["x_unobserved"]["cond_indep_stack"] == [CondIndepStackFrame("rows", -1, 3)]


def test_obs_mask_of_wrong_type_or_shape():
    fn = dist.Normal(np.zeros(3), 1)
    with fail("boolean.*float", ValueError):
        numpyro.sample("x", fn, np.zeros(3), obs_mask=np.ones(3))
    with fail(r"'x'.*batch shape \(3,\).*got shape \(2,\)", ValueError):
        numpyro.sample("x", fn, np.zeros(3), obs_mask=np.array([True, False]))


# Other statements


def test_param():
    assert numpyro.param("p", 1.5) == 1.5
    assert numpyro.param("p") is None
    site = trace(lambda: numpyro.param("p", 1.5, constraint=dist.constraints.positive))["p"]
    assert site["type"] == "param"
    assert site["args"] == (1.5,)
    assert site["kwargs"] == {"constraint": dist.constraints.positive}
    assert site["value"] == 1.5
    assert trace(lambda: numpyro.param("p", lambda key: jax.random.normal(key, (2,))))["p"]["value"].shape == (2,)
    with fail("'p'.*callable.*seed"):
        numpyro.param("p", lambda key: 1.0)
    with fail("'p'.*callable.*seed"), handlers.trace():
        numpyro.param("p", lambda key: 1.0)


def test_deterministic_and_mutable_return_their_values():
    assert numpyro.deterministic("d", 2.0) == 2.0
    assert mutable("m", 3.0) == 3.0
    sites = trace(lambda: (numpyro.deterministic("d", {"a": 2.0}), mutable("m", {"a": 1})))
    assert sites["d"]["value"] == {"a": 2.0}
    assert sites["m"]["value"] == {"a": 1}
    assert trace(lambda: numpyro.deterministic("d", None))["d"]["value"] is None


def test_factor_is_an_observed_site_without_elements():
    def model():
        numpyro.factor("f", 2.0)
        with numpyro.plate("p", 3):
            numpyro.factor("g", np.arange(3.0))
            numpyro.factor("h", 1.5)

    assert numpyro.factor("f", 2.0) is None
    sites = trace(model)
    assert sites["f"]["is_observed"]
    assert sites["f"]["infer"] == {"is_auxiliary": True}
    assert sites["f"]["value"].shape == (0,)
    for name, expected in {"f": 2.0, "g": [0, 1, 2], "h": [1.5, 1.5, 1.5]}.items():
        np.testing.assert_allclose(sites[name]["fn"].log_prob(sites[name]["value"]), expected)
    with pytest.raises(TypeError, match="'f'.*number or an array"):
        numpyro.factor("f", "a")
    with pytest.raises(TypeError, match="'f'.*number or an array"):
        numpyro.factor("f", None)


def test_prng_key():
    with pytest.warns(UserWarning, match="seed"):
        assert numpyro.prng_key() is None
    with handlers.seed(rng_seed=0):
        first, second = numpyro.prng_key(), numpyro.prng_key()
        assert jnp.issubdtype(first.dtype, jax.dtypes.prng_key)
        assert (jax.random.key_data(first) != jax.random.key_data(second)).any()
        with handlers.block():
            assert numpyro.prng_key() is not None
    with handlers.seed(rng_seed=jax.random.PRNGKey(0)):
        assert numpyro.prng_key().dtype == np.uint32
    with handlers.trace():
        assert numpyro.prng_key() is None


def test_module():
    net = stax.serial(stax.Dense(3), stax.Relu)

    def model(x):
        return numpyro.module("net", net, input_shape=(2,))(x)

    sites = trace(model, np.ones((5, 2)))
    assert list(sites) == ["net$params"]
    value = handlers.substitute(model, data={"net$params": sites["net$params"]["value"]})(np.ones((5, 2)))
    np.testing.assert_array_equal(value, net[1](sites["net$params"]["value"], np.ones((5, 2))))
    with fail("input_shape", ValueError), handlers.seed(rng_seed=0):
        numpyro.module("net", net)
    with fail("net.*seed"):
        numpyro.module("net", net, input_shape=(2,))
    with pytest.raises(TypeError, match="pair of functions"):
        numpyro.module("net", 3, input_shape=(2,))


# Plates


def batch_shapes(sites):
    return {name: site["fn"].batch_shape for name, site in sites.items() if site["type"] == "sample"}


def test_plates_take_dimensions_from_the_right_and_expand():
    def model():
        with numpyro.plate("a", 3) as indices:
            numpyro.deterministic("indices", indices)
            numpyro.sample("x", dist.Normal(0, 1))
            numpyro.sample("x1", dist.Normal(np.zeros((2, 1)), 1))
            numpyro.sample("x2", dist.Normal(np.zeros((2, 3)), 1))
            with numpyro.plate("b", 2):
                numpyro.sample("y", dist.Normal(0, 1))
                numpyro.sample("v", dist.Normal(np.zeros(4), 1).to_event(1))

    sites = trace(model)
    assert batch_shapes(sites) == {"x": (3,), "x1": (2, 3), "x2": (2, 3), "y": (2, 3), "v": (2, 3)}
    assert sites["v"]["value"].shape == (2, 3, 4)
    assert sites["y"]["cond_indep_stack"] == [CondIndepStackFrame("b", -2, 2), CondIndepStackFrame("a", -1, 3)]
    assert sites["b"]["cond_indep_stack"] == [CondIndepStackFrame("a", -1, 3)]
    np.testing.assert_array_equal(sites["indices"]["value"], np.arange(3))
    assert sites["a"]["value"].dtype == jnp.asarray(0).dtype
    assert {site["scale"] for site in sites.values() if site["type"] == "sample"} == {None}


def test_draws_in_a_plate_are_independent():
    def model():
        with numpyro.plate_stack("p", [20, 30]):
            numpyro.sample("x", dist.Normal(0, 1))

    assert len(np.unique(trace(model)["x"]["value"])) == 600


def test_plates_with_dimensions_of_their_own():
    def model():
        columns = numpyro.plate("columns", 3, dim=-2)
        with columns, numpyro.plate("rows", 4):
            numpyro.sample("x", dist.Normal(0, 1))
        with numpyro.plate("others", 5), columns:
            numpyro.sample("y", dist.Normal(0, 1))
        with columns:
            numpyro.sample("z", dist.Normal(0, 1))
        with numpyro.plate("far", 2, dim=-3):
            numpyro.sample("w", dist.Normal(0, 1))

    assert batch_shapes(trace(model)) == {"x": (3, 4), "y": (3, 5), "z": (3, 1), "w": (2, 1, 1)}


def test_plate_stack():
    def model():
        with numpyro.plate_stack("a", [2, 3, 4]):
            numpyro.sample("x", dist.Normal(0, 1))
        with numpyro.plate_stack("b", [2, 3], rightmost_dim=-2):
            numpyro.sample("y", dist.Normal(0, 1))

    sites = trace(model)
    assert batch_shapes(sites) == {"x": (2, 3, 4), "y": (2, 3, 1)}
    assert [sites[f"a_{i}"]["args"][0] for i in range(3)] == [4, 3, 2]
    with fail("rightmost_dim"), numpyro.plate_stack("c", [2], rightmost_dim=0):
        pass


def test_sample_shape_within_a_plate_becomes_part_of_the_batch():
    def model():
        with numpyro.plate("p", 2):
            numpyro.sample("x", dist.Normal(0, 1), sample_shape=(7, 1))
            numpyro.sample("y", dist.Normal(np.zeros(2), 1), sample_shape=(5,))

    sites = trace(model)
    assert sites["x"]["value"].shape == (7, 2)
    assert sites["y"]["value"].shape == (5, 2)
    assert batch_shapes(sites) == {"x": (7, 2), "y": (5, 2)}


def test_a_subsample_rescales_and_selects():
    data, offsets = np.arange(12.0).reshape(6, 2), np.arange(6.0)

    def model():
        with numpyro.plate("rows", 6, subsample_size=2) as indices:
            batch = numpyro.subsample({"data": data, "shared": np.ones((1, 2))}, event_dim=1)
            numpyro.deterministic("batch", batch)
            offset = numpyro.param("offset", offsets, event_dim=0)
            numpyro.deterministic("selected", offset)
            numpyro.deterministic("indices", indices)
            numpyro.deterministic("shared", numpyro.param("shared_param", 1.0, event_dim=0))
            fn = dist.Normal(0, 1).expand([2]).to_event(1)
            numpyro.sample("x", fn, obs=batch["data"])
            with numpyro.plate("columns", 4, subsample_size=1):
                numpyro.sample("y", dist.Normal(0, 1))

    sites = trace(model)
    indices = np.asarray(sites["indices"]["value"])
    assert len(set(indices.tolist())) == 2
    np.testing.assert_array_equal(sites["batch"]["value"]["data"], data[indices])
    assert sites["batch"]["value"]["shared"].shape == (1, 2)
    np.testing.assert_array_equal(sites["offset"]["value"], offsets)
    np.testing.assert_array_equal(sites["selected"]["value"], offsets[indices])
    assert sites["shared"]["value"] == 1.0
    assert sites["x"]["scale"] == sites["offset"]["scale"] == 3.0
    assert sites["x"]["cond_indep_stack"] == [CondIndepStackFrame("rows", -1, 2)]
    assert sites["y"]["scale"] == 12.0
    assert sites["y"]["value"].shape == (1, 2)
    assert sites["rows"]["scale"] == 1.0


def test_subsamples_are_uniform_without_replacement():
    @jax.vmap
    def subsample(key):
        with handlers.seed(rng_seed=key):
            return numpyro.plate("p", 5, subsample_size=3)._indices

    draws = np.asarray(subsample(jax.random.split(KEY, 6000)))
    assert all(len(set(row)) == 3 for row in draws.tolist())
    # each of the 60 ordered triples has probability 1/60: chi-square with 59 degrees, 99.9 % quantile 98.3
    counts = np.bincount(draws @ np.array([25, 5, 1]), minlength=125)
    expected = len(draws) / 60
    assert ((counts[counts > 0] - expected) ** 2 / expected).sum() < 98.3
    assert (counts > 0).sum() == 60


def test_a_subsample_can_be_set_and_its_size_is_compared():
    def model(size=2):
        return numpyro.plate("p", 4, subsample_size=size)._indices

    for indices in ([3, 1], np.array([3, 1]), jnp.array([3, 1])):
        np.testing.assert_array_equal(handlers.substitute(model, data={"p": indices})(), [3, 1])
    with pytest.warns(UserWarning, match="subsample_size of the plate 'p' does not match.*3 vs 2"):
        handlers.substitute(model, data={"p": np.array([3, 1])})(3)
    with fail("vector"):
        handlers.substitute(model, data={"p": np.zeros((2, 2))})()
    with fail("Missing random key"):
        model()


def test_a_plate_says_nothing_of_sites_that_serve_the_whole_model():
    def model():
        with numpyro.plate("p", 4, subsample_size=2):
            numpyro.sample("x", dist.Normal(0, 1), infer={"block_plates": {"p"}})

    site = trace(model)["x"]
    assert site["value"].shape == ()
    assert site["cond_indep_stack"] == []
    assert site["scale"] is None


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((3, 2), TypeError, "string"),
        (("p", 0), UsageError, "'p' should be positive, but got 0"),
        (("p", -2), UsageError, "positive"),
        (("p", 2.5), TypeError, r"size of the plate 'p'.*2\.5"),
        (("p", 3, 4), UsageError, "subsample_size.*between 1 and its size 3, but got 4"),
        (("p", 3, 0), UsageError, "subsample_size"),
        (("p", 3, 1.5), TypeError, "subsample_size"),
        (("p", 3, None, 0), ValueError, "must be negative"),
        (("p", 3, None, -1.0), TypeError, "dim"),
    ],
)
def test_wrong_arguments_of_plate(arguments, error, match):
    with pytest.raises(error, match=match):
        numpyro.plate(*arguments)


def test_sizes_may_be_integers_of_any_kind_but_not_traced():
    assert [numpyro.plate("p", size).size for size in (np.int64(2), jnp.array(2), True)] == [2, 2, 1]
    with pytest.raises(TypeError, match="known when the model is traced"):
        jax.jit(lambda n: numpyro.plate("p", n).size)(3)


def test_plates_that_clash():
    def same_dim():
        with numpyro.plate("a", 3, dim=-1), numpyro.plate("b", 3, dim=-1):
            pass

    def made_outside():
        a, b = numpyro.plate("a", 3), numpyro.plate("b", 3)
        with a, b:
            numpyro.sample("x", dist.Delta(0.0))

    for model in (same_dim, made_outside):
        with fail("'[ab]' and '[ab]' clash.*-1"):
            trace(model)

    def itself():
        with numpyro.plate("a", 3), numpyro.plate("a", 4):
            pass

    with fail("'a' stands within itself"):
        trace(itself)


def test_a_distribution_that_does_not_fit_its_plate():
    def model():
        with numpyro.plate("rows", 3):
            numpyro.sample("x", dist.Normal(np.zeros(4), 1))

    with fail(r"'x'.*'rows'.*dimension -1 .*size 3.*\(4,\)", ValueError):
        trace(model)


def test_params_and_data_that_do_not_fit_their_plate():
    def bad_param():
        with numpyro.plate("rows", 4):
            numpyro.param("p", np.ones(3), event_dim=0)

    def bad_data():
        with numpyro.plate("rows", 4):
            numpyro.subsample(np.ones((3, 2)), event_dim=1)

    with fail(r"plate\(rows, 4, dim=-1\) invalid shape of numpyro.param\(p, ..., event_dim=0\): \(3,\)", ValueError):
        trace(bad_param)
    with fail(r"invalid shape of numpyro.subsample\(..., event_dim=1\): \(3, 2\)", ValueError):
        trace(bad_data)
    with fail("event_dim", ValueError), numpyro.plate("p", 2):
        numpyro.subsample(np.ones(2), event_dim=-1)


def test_a_plate_enters_the_body_of_control_flow_within_it():
    kwargs = {"substitute_stack": []}
    msg = {"type": "control_flow", "fn": lambda **kwargs: 1, "args": (), "kwargs": kwargs, "value": None}
    with numpyro.plate("p", 2) as _:
        apply_stack(msg)
    assert [(kind, held.name) for kind, held in kwargs["substitute_stack"]] == [("handler", "p")]


# Observations that do not fit


@pytest.mark.parametrize(
    ("shape", "fits"), [((3,), True), ((1,), True), ((), True), ((2, 3), True), ((4,), False), ((3, 4), False)]
)
def test_observations_have_the_size_of_their_plate(shape, fits):
    def model():
        with numpyro.plate("rows", 3):
            numpyro.sample("x", dist.Normal(0, 1), obs=np.zeros(shape))

    def conditioned():
        with numpyro.plate("rows", 3):
            numpyro.sample("x", dist.Normal(0, 1))

    for run in (model, handlers.condition(conditioned, data={"x": np.zeros(shape)})):
        if fits:
            trace(run)
        else:
            with fail(r"'x'.*plate 'rows'.*dimension -1.*size 3.*size 4", ValueError):
                trace(run)


def test_all_the_data_in_a_subsample_is_a_mistake():
    def model():
        with numpyro.plate("rows", 6, subsample_size=3):
            numpyro.sample("x", dist.Normal(0, 1), obs=np.zeros(6))

    with fail("numpyro.subsample", ValueError):
        trace(model)


# Around it all


def test_models_run_under_jit_and_vmap_without_eager_work():
    def model(key, data):
        with handlers.seed(rng_seed=key), handlers.trace() as sites, numpyro.plate("p", 3):
            x = numpyro.sample("x", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(x, 1), obs=data)
        return sites["x"]["value"]

    keys = jax.random.split(KEY, 2)
    np.testing.assert_allclose(
        jax.jit(jax.vmap(model, (0, None)))(keys, np.zeros(3)), [model(key, np.zeros(3)) for key in keys], rtol=1e-6
    )


def test_submodules_are_there_when_asked_for():
    assert numpyro.distributions is dist
    assert numpyro.handlers is handlers
    assert numpyro.infer.__name__ == "numpyro.infer"
    assert {"distributions", "handlers", "infer", "sample"} <= set(dir(numpyro))
    assert not hasattr(numpyro, "no_such_thing")


def test_public_objects_pickle():
    frame = CondIndepStackFrame("p", -1, 3)
    assert pickle.loads(pickle.dumps(frame)) == frame
    for obj in (numpyro.plate, numpyro.sample, Messenger, handlers.seed, handlers.trace):
        assert pickle.loads(pickle.dumps(obj)) is obj
    handler = pickle.loads(pickle.dumps(handlers.condition(data={"x": 1.0})))
    with warnings.catch_warnings(), handlers.trace() as sites, handler:
        numpyro.sample("x", dist.Normal(0, 1))
    assert sites["x"]["is_observed"]
