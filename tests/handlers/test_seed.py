"""Random keys: who gets one, of which kind, and when they repeat."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.primitives import apply_stack


def data(key):
    return np.asarray(jax.random.key_data(key) if key.dtype != np.uint32 else key).tolist()


def model():
    return numpyro.sample("x", dist.Normal(0, 1)), numpyro.sample("y", dist.Normal(0, 1))


def test_calls_repeat_and_contexts_go_on():
    run = handlers.seed(model, rng_seed=0)
    first = run()
    assert run() == first
    assert first[0] != first[1]
    context = handlers.seed(rng_seed=0)
    with context:
        assert model() == first
        second = model()
    with context:
        third = model()
    assert len({float(x) for x in (*first, *second, *third)}) == 6
    run.stateful = True
    assert run() == first
    assert run() == second


def test_a_call_that_fails_repeats_too():
    run = handlers.seed(lambda fails: (model(), 1 / (1 - fails)), rng_seed=0)
    expected = run(0)
    with pytest.raises(ZeroDivisionError):
        run(1)
    assert run(0) == expected


@pytest.mark.parametrize("rng_seed", [3, np.int64(3), np.array(3), jax.numpy.array(3), jax.random.key(3)])
def test_integers_and_typed_keys_give_typed_keys(rng_seed):
    key = handlers.seed(numpyro.prng_key, rng_seed=rng_seed)()
    assert jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
    assert data(key) == data(handlers.seed(numpyro.prng_key, rng_seed=3)())


@pytest.mark.parametrize("as_numpy", [False, True])
def test_raw_keys_give_raw_keys(as_numpy):
    key = jax.random.PRNGKey(3)
    drawn = handlers.seed(numpyro.prng_key, rng_seed=np.asarray(key) if as_numpy else key)()
    assert drawn.dtype == np.uint32
    assert data(drawn) == data(handlers.seed(numpyro.prng_key, rng_seed=3)())


@pytest.mark.parametrize("rng_seed", [1.5, "a", np.array(1.5), jax.random.split(jax.random.key(0)), np.zeros(2)])
def test_what_is_no_seed(rng_seed):
    with pytest.raises(TypeError, match="Incorrect type for rng_seed.*expected an integer or one random key"):
        handlers.seed(model, rng_seed=rng_seed)


def test_keys_go_only_where_they_are_needed():
    def with_values():
        numpyro.sample("observed", dist.Normal(0, 1), obs=1.0)
        numpyro.sample("keyed", dist.Normal(0, 1), rng_key=jax.random.key(7))
        numpyro.deterministic("d", 1.0)
        numpyro.param("p", 1.0)
        numpyro.plate("whole", 3)
        with handlers.substitute(data={"set": 1.0}):
            numpyro.sample("set", dist.Normal(0, 1))
        return numpyro.sample("x", dist.Normal(0, 1))

    assert handlers.seed(with_values, rng_seed=0)() == handlers.seed(model, rng_seed=0)()[0]


def test_the_innermost_seed_holds():
    inner = handlers.seed(model, rng_seed=0)
    assert handlers.seed(inner, rng_seed=1)() == inner()


def test_without_a_seed_it_leaves_keys_to_the_handler_outside():
    assert handlers.seed(handlers.seed(model), rng_seed=0)() == handlers.seed(model, rng_seed=0)()


def test_hidden_types_get_no_key():
    def both():
        return numpyro.prng_key(), numpyro.sample("x", dist.Normal(0, 1))

    key, x = handlers.seed(both, rng_seed=0, hide_types=["prng_key"])()
    assert key is None
    assert x == handlers.seed(model, rng_seed=0)()[0]
    with pytest.raises(UsageError, match="Missing random key to generate subsample"):
        handlers.seed(lambda: numpyro.plate("p", 4, 2), rng_seed=0, hide_types=["plate"])()


def test_control_flow_gets_a_key():
    msg = {
        "type": "control_flow",
        "fn": lambda rng_key: rng_key,
        "args": (),
        "kwargs": {"rng_key": None},
        "value": None,
    }
    with handlers.seed(rng_seed=0):
        assert data(apply_stack(msg)["value"]) == data(handlers.seed(numpyro.prng_key, rng_seed=0)())
