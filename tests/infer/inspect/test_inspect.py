"""Dependencies and relations of models whose graphs are known."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import cond, scan
from numpyro.distributions import constraints
from numpyro.infer.inspect import generate_graph_specification, get_dependencies, get_model_relations
from numpyro.infer.reparam import LocScaleReparam


def sets(**tables):
    """``a="b c"`` as ``{"a": {"b": set(), "c": set()}}``."""
    return {name: {other: set() for other in others.split()} for name, others in tables.items()}


def chain():
    a = numpyro.sample("a", dist.Normal(0, 1))
    b = numpyro.sample("b", dist.Normal(a, 1))
    with numpyro.plate("N", 3):
        c = numpyro.sample("c", dist.Normal(a, 1))
        numpyro.sample("d", dist.Normal(b, jnp.exp(c)), obs=jnp.ones(3))


def test_dependencies_of_a_chain():
    found = get_dependencies(chain)
    assert found["prior_dependencies"] == sets(a="a", b="a b", c="a c", d="b c d")
    assert found["posterior_dependencies"] == sets(a="a b c", b="b c d", c="c d")


def test_parents_of_a_latent_child_are_connected():
    def model():
        a = numpyro.sample("a", dist.Normal(0, 1))
        b = numpyro.sample("b", dist.Normal(0, 1))
        c = numpyro.sample("c", dist.Normal(a + b, 1))
        numpyro.sample("o", dist.Normal(c, 1), obs=1.0)
        numpyro.sample("alone", dist.Normal(0, 1))

    found = get_dependencies(model)
    assert found["prior_dependencies"] == sets(a="a", b="b", c="a b c", o="c o", alone="alone")
    assert found["posterior_dependencies"] == sets(a="a b c", b="b c", c="c o", alone="alone")


def test_plates_over_which_a_dependency_is_not_independent():
    def model():
        with numpyro.plate("i", 2):
            a = numpyro.sample("a", dist.Normal(0, 1))
            b = numpyro.sample("b", dist.Normal(0, 1))
            numpyro.sample("c", dist.Normal(a + b, 1), obs=0.0)
        numpyro.sample("d", dist.Normal((a * b).sum(), 1), obs=0.0)

    found = get_dependencies(model)["posterior_dependencies"]
    assert found == {
        "a": {"a": {"i"}, "b": {"i"}, "c": set(), "d": set()},
        "b": {"b": {"i"}, "c": set(), "d": set()},
    }


def test_what_dependencies_pass_through():
    def model():
        p = numpyro.param("p", 1.0)
        x = numpyro.sample("x", dist.Normal(p, 1))
        d = numpyro.deterministic("d", 2 * x)
        delta = numpyro.sample("delta", dist.Delta(d))
        y = numpyro.sample("y", dist.Normal(0, 1), obs=delta)
        z = numpyro.sample("z", dist.Normal(y, 1))
        with handlers.mask(mask=z > 0):
            numpyro.sample("w", dist.Normal(0, 1))
        numpyro.factor("f", z)

    found = get_dependencies(model)["prior_dependencies"]
    assert found == sets(x="x", y="x y", z="x z", w="w z", f="f z")


def test_dependencies_in_loops_and_branches():
    def model(data):
        a = numpyro.sample("a", dist.Normal(0, 1))
        b = numpyro.sample("b", dist.Normal(0, 1))

        def step(carry, x):
            z = numpyro.sample("z", dist.Normal(carry + a, 1))
            numpyro.sample("y", dist.Normal(z, 1), obs=x)
            return z, None

        last, _ = scan(step, 0.0, data)
        branch = lambda sign: lambda x: numpyro.sample("c", dist.Normal(sign * x, 1))
        cond(last > 0, branch(1.0), branch(-1.0), b)

    found = get_dependencies(model, (np.arange(3.0),))["prior_dependencies"]
    assert found == sets(a="a", b="b", z="a z", y="y z", c="b c z")


def test_relations():
    def model(data, flag):
        p = numpyro.param("p", 1.0, constraint=constraints.positive)
        numpyro.param("unused", jnp.ones(2))
        x = numpyro.sample("x", dist.Normal(0, p))
        d = numpyro.deterministic("d", x * 2)
        with numpyro.plate("N", 10, subsample_size=4) as indices, numpyro.plate("M", 2):
            y = numpyro.sample("y", dist.Normal(d, p).expand([2, 4]))
            numpyro.sample("o", dist.Poisson(jnp.exp(y)).mask(True), obs=data[indices])
        assert flag
        numpyro.sample("e", dist.LogNormal(x, 1).expand([3]).to_event(1))
        numpyro.sample("b", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})

    relations = get_model_relations(model, (np.ones(10),), {"flag": True})
    assert relations == {
        "sample_sample": {"x": [], "d": ["x"], "y": ["d"], "o": ["y"], "e": ["x"], "b": []},
        "sample_param": {"x": ["p"], "d": [], "y": ["p"], "o": [], "e": [], "b": []},
        "sample_dist": {
            "x": "Normal",
            "d": "Deterministic",
            "y": "Normal",
            "o": "Poisson",
            "e": "LogNormal",
            "b": "BernoulliProbs",
        },
        "param_constraint": {"p": "Positive(lower_bound=0.0)", "unused": ""},
        "plate_sample": {"N": ["y", "o"], "M": ["y", "o"]},
        "observed": ["o"],
    }
    assert list(relations["plate_sample"]) == ["N", "M"]


def test_observed_sites_are_nodes_too_and_values_do_not_count():
    def model():
        x = numpyro.sample("x", dist.Normal(0, 1))
        y = numpyro.sample("y", dist.Normal(0 * x, 1), obs=x)
        numpyro.sample("z", dist.Normal(y, 1))

    assert get_model_relations(model)["sample_sample"] == {"x": [], "y": ["x"], "z": ["y"]}


def test_relations_after_reparametrisation():
    def model():
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(x, 1))

    relations = get_model_relations(handlers.reparam(model, config={"y": LocScaleReparam(0)}))
    assert relations["sample_sample"] == {"x": [], "y_decentered": [], "y": ["x", "y_decentered"]}


def overlapping():
    with numpyro.plate("p", 2):
        x = numpyro.sample("x", dist.Normal(0, 1))
    with numpyro.plate("p", 2), numpyro.plate("q", 3):
        y = numpyro.sample("y", dist.Normal(x, 1))
    with numpyro.plate("q", 3, dim=-2):
        z = numpyro.sample("z", dist.Normal(0, 1))
    numpyro.sample("o", dist.Normal(y.sum() + z.sum(), 1), obs=0.0)


def test_plates_that_overlap_are_cut():
    relations = get_model_relations(overlapping)
    assert relations["plate_sample"] == {"p": ["x", "y"], "q": ["y"], "q__CLONE": ["z"]}
    found = get_dependencies(overlapping)["posterior_dependencies"]
    assert found["x"] == {"x": set(), "y": set()}
    assert found["y"] == {"y": {"p", "q"}, "o": set(), "z": {"q"}}


def test_graph_specification():
    def model():
        p = numpyro.param("p", 1.0)
        with numpyro.plate("i", 2):
            a = numpyro.sample("a", dist.Normal(p, 1))
            with numpyro.plate("j", 3):
                with numpyro.plate("k", 4):
                    numpyro.sample("c", dist.Normal(a, 1), obs=jnp.zeros((4, 3, 2)))

    relations = get_model_relations(model)
    assert generate_graph_specification(relations) == {
        "plate_groups": {"i": ["a", "c"], "j": ["c"], "k": ["c"], None: []},
        "plate_data": {"i": {"parent": None}, "j": {"parent": "i"}, "k": {"parent": "j"}},
        "node_data": {
            "a": {"is_observed": False, "distribution": "Normal"},
            "c": {"is_observed": True, "distribution": "Normal"},
        },
        "edge_list": [("a", "c")],
    }
    with_params = generate_graph_specification(relations, render_params=True)
    assert with_params["plate_groups"][None] == ["p"]
    assert with_params["node_data"]["p"] == {"is_observed": False, "constraint": "", "distribution": None}
    assert with_params["edge_list"] == [("a", "c"), ("p", "a")]


def test_the_model_is_traced_and_not_run():
    calls = []

    def model():
        calls.append(None)
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(jnp.zeros((10_000, 10_000)) @ jnp.full((10_000,), x), 1))

    assert get_dependencies(model)["prior_dependencies"] == sets(x="x", y="x y")
    assert len(calls) == 1


def test_errors_of_the_model_come_through():
    with pytest.raises(TypeError, match="missing 1 required"):
        get_model_relations(lambda data: None)
