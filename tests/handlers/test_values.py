"""Handlers that give sites values: substitute, condition, uncondition, replay, do, lift."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError
from numpyro.primitives import apply_stack, mutable


def model():
    p = numpyro.param("p", 1.0, constraint=dist.constraints.positive)
    with numpyro.plate("rows", 4, subsample_size=2):
        x = numpyro.sample("x", dist.Normal(p, 1))
        numpyro.sample("y", dist.Normal(x, 1), obs=np.ones(2))
    numpyro.deterministic("d", 2 * p)
    mutable("m", 3.0)


def sites_of(fn):
    return handlers.trace(handlers.seed(fn, rng_seed=0)).get_trace()


DATA = {"p": 2.0, "rows": np.array([3, 1]), "x": np.zeros(2), "y": np.full(2, 5.0), "d": 6.0, "m": 7.0, "other": 8.0}


def test_substitute_sets_all_kinds_of_sites_and_observes_none():
    sites = sites_of(handlers.substitute(model, data=DATA))
    for name, site in sites.items():
        np.testing.assert_array_equal(site["value"], DATA[name])
    assert [name for name, site in sites.items() if site.get("is_observed")] == ["y"]
    assert sites["p"]["kwargs"] == {"constraint": dist.constraints.positive}


def test_substitute_by_a_function_leaves_what_it_knows_nothing_of():
    seen = []

    def value(site):
        seen.append((site["name"], site["type"]))
        return 9.0 if site["name"] == "p" else None

    sites = sites_of(handlers.substitute(model, substitute_fn=value))
    assert sites["p"]["value"] == 9.0
    assert sites["d"]["value"] == 18.0
    assert seen == [
        ("p", "param"),
        ("rows", "plate"),
        ("x", "sample"),
        ("y", "sample"),
        ("d", "deterministic"),
        ("m", "mutable"),
    ]


def test_condition_observes_samples_only():
    sites = sites_of(handlers.condition(model, data=DATA))
    assert sites["x"]["is_observed"]
    np.testing.assert_array_equal(sites["x"]["value"], DATA["x"])
    np.testing.assert_array_equal(sites["y"]["value"], DATA["y"])
    assert sites["p"]["value"] == 1.0
    assert sites["d"]["value"] == 2.0
    seen = []
    sites = sites_of(handlers.condition(model, condition_fn=lambda site: seen.append(site["name"])))
    assert seen == ["x", "y"]
    assert not sites["x"]["is_observed"]


def test_the_outermost_value_holds():
    def one():
        return numpyro.sample("x", dist.Normal(0, 1))

    inner = handlers.substitute(one, data={"x": 1.0})
    assert handlers.substitute(inner, data={"x": 2.0})() == 2.0
    assert handlers.condition(inner, data={"x": 3.0})() == 3.0


@pytest.mark.parametrize(
    ("handler", "option"), [(handlers.substitute, "substitute_fn"), (handlers.condition, "condition_fn")]
)
def test_either_data_or_a_function(handler, option):
    for options in ({}, {"data": {}, option: lambda site: None}):
        with pytest.raises(UsageError, match=f"Only one of `data` or `{option}`"):
            handler(model, **options)


def test_values_are_handed_on_to_control_flow():
    def function(site):
        return None

    kwargs = {"rng_key": None, "substitute_stack": []}
    msg = {"type": "control_flow", "fn": lambda **kwargs: 1, "args": (), "kwargs": kwargs, "value": None}
    outer = handlers.substitute(data={"a": 1})
    with outer, handlers.condition(condition_fn=function), handlers.replay(trace={"b": {}}):
        apply_stack(msg)
    assert kwargs["substitute_stack"] == [("replay", {"b": {}}), ("condition", function), ("substitute", {"a": 1})]


def test_uncondition_draws_and_remembers_the_observation():
    site = sites_of(handlers.uncondition(model))["y"]
    assert not site["is_observed"]
    assert site["infer"]["was_observed"]
    np.testing.assert_array_equal(site["infer"]["obs"], np.ones(2))
    assert (site["value"] != 1).all()


def test_replay_takes_latents_and_plates_from_a_trace():
    earlier = handlers.trace(handlers.seed(model, rng_seed=5)).get_trace()
    earlier["x"]["infer"]["note"] = 1
    sites = sites_of(handlers.replay(model, trace=earlier))
    for name in ("rows", "x"):
        np.testing.assert_array_equal(sites[name]["value"], earlier[name]["value"])
    assert sites["x"]["infer"] == {"note": 1}
    assert sites["x"]["infer"] is not earlier["x"]["infer"]
    earlier["y"]["value"] = np.zeros(2)
    np.testing.assert_array_equal(sites_of(handlers.replay(model, trace=earlier))["y"]["value"], np.ones(2))


def test_replay_of_what_was_not_sampled():
    observed = handlers.trace(lambda: numpyro.sample("x", dist.Normal(0, 1), obs=0.0)).get_trace()
    fixed = handlers.trace(lambda: (numpyro.deterministic("x", 0.0), numpyro.param("rows", 1.0))).get_trace()
    with pytest.raises(RuntimeError, match="Site x must be sampled in trace, but it is an observed"):
        sites_of(handlers.replay(model, trace=observed))
    with pytest.raises(RuntimeError, match="Site x must be sampled in trace, but it is a deterministic"):
        sites_of(handlers.replay(lambda: numpyro.sample("x", dist.Normal(0, 1)), trace=fixed))
    with pytest.raises(RuntimeError, match="Site rows must be a plate"):
        sites_of(handlers.replay(model, trace=fixed))
    with pytest.raises(UsageError, match="needs a trace"):
        handlers.replay(model)


def chain():
    x = numpyro.sample("x", dist.Normal(0, 1))
    with numpyro.plate("p", 2, subsample_size=1):
        y = numpyro.sample("y", dist.Normal(x, 1), obs=np.array([4.0]))
    return x, numpyro.deterministic("z", x + y)


def test_do_cuts_what_follows_off_and_leaves_the_site():
    natural = sites_of(chain)
    sites = sites_of(handlers.do(chain, data={"x": 10.0, "y": 20.0}))
    assert sites["x"]["value"] == natural["x"]["value"]
    assert sites["y"]["value"] == 4.0
    assert sites["y"]["is_observed"]
    assert sites["y"]["fn"].base_dist.loc == 10.0
    assert sites["y"]["scale"] == 2.0
    assert len(sites["y"]["cond_indep_stack"]) == 1
    assert sites["z"]["value"] == 30.0
    assert handlers.seed(handlers.do(chain, data={"x": 10.0}), rng_seed=0)()[0] == 10.0


def test_do_under_other_handlers():
    intervened = handlers.do(chain, data={"x": 10.0})
    scoped = sites_of(handlers.scope(intervened, prefix="a"))
    assert scoped["a/z"]["value"] == 14.0
    conditioned = sites_of(handlers.condition(intervened, data={"x": 1.0}))
    assert conditioned["x"]["value"] == 1.0
    assert conditioned["z"]["value"] == 14.0
    assert sites_of(handlers.do(intervened, data={"x": 11.0}))["z"]["value"] == 14.0
    hidden = handlers.seed(handlers.block(intervened), rng_seed=0)
    assert hidden()[0] == 10.0


def with_params():
    a, b = numpyro.param("a", 1.0), numpyro.param("b", np.zeros(2))
    return a, b, numpyro.param("a", 1.0)


def test_lift_turns_params_into_samples():
    prior = dist.Normal(0, 1)
    sites = sites_of(handlers.lift(with_params, prior=prior))
    assert [site["type"] for site in sites.values()] == ["sample", "sample"]
    assert sites["b"]["fn"] is prior
    assert set(sites_of(lambda: numpyro.sample("x", prior))["x"]) <= set(sites["a"])
    sites = sites_of(handlers.lift(with_params, prior={"a": prior, "c": prior}))
    assert [site["type"] for site in sites.values()] == ["sample", "param"]
    for nothing in (None, lambda site: prior):
        assert {site["type"] for site in sites_of(handlers.lift(with_params, prior=nothing)).values()} == {"param"}


def test_a_param_declared_twice_is_one_lifted_variable():
    lifted = handlers.lift(with_params, prior=dist.Normal(0, 1))
    first, _, second = handlers.seed(lifted, rng_seed=0)()
    assert first == second
    again, _, _ = handlers.seed(lifted, rng_seed=1)()
    assert again != first


def test_values_may_be_traced():
    def density(x):
        site = handlers.trace(handlers.substitute(handlers.seed(chain, rng_seed=0), data={"x": x})).get_trace()["x"]
        return site["fn"].log_prob(site["value"])

    np.testing.assert_allclose(jax.jit(jax.grad(density))(3.0), -3.0)
