"""Handlers that change what a site contributes, or what it is called: scale, mask, scope, infer_config, block, ..."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.primitives import CondIndepStackFrame, apply_stack


def model():
    numpyro.param("p", 1.0)
    with numpyro.plate("rows", 4, subsample_size=2):
        x = numpyro.sample("x", dist.Normal(0, 1))
        numpyro.sample("y", dist.Normal(x, 1), obs=np.ones(2))
    numpyro.deterministic("d", 3.0)


def sites_of(fn):
    return handlers.trace(handlers.seed(fn, rng_seed=0)).get_trace()


def test_scale_multiplies():
    sites = sites_of(handlers.scale(handlers.scale(model, scale=3.0), scale=5.0))
    assert sites["p"]["scale"] == 15.0
    assert sites["x"]["scale"] == sites["y"]["scale"] == 30.0
    assert "scale" not in sites["d"]
    by_row = np.array([1.0, 2.0])
    np.testing.assert_array_equal(sites_of(handlers.scale(model, scale=by_row))["y"]["scale"], 2 * by_row)
    assert jax.jit(lambda scale: sites_of(handlers.scale(model, scale=scale))["p"]["scale"])(2.0) == 2.0


@pytest.mark.parametrize("scale", [0.0, -1.0, np.array([1.0, 0.0]), float("nan")])
def test_scales_are_positive(scale):
    with pytest.raises(ValueError, match="'scale' argument should be positive"):
        handlers.scale(model, scale=scale)


def test_masks_leave_terms_out():
    mask = np.array([True, False])
    sites = sites_of(handlers.mask(model, mask=mask))
    log_prob = sites["y"]["fn"].log_prob(sites["y"]["value"])
    expected = dist.Normal(sites["x"]["value"], 1).log_prob(1.0)
    np.testing.assert_allclose(log_prob, np.where(mask, expected, 0.0), rtol=1e-6)
    sites = sites_of(handlers.mask(model, mask=False))
    np.testing.assert_array_equal(sites["y"]["fn"].log_prob(sites["y"]["value"]), np.zeros(2))


def test_masks_combine():
    outer, inner = np.array([True, True, False]), np.array([True, False, False])

    def inside():
        numpyro.sample("x", dist.Normal(np.zeros(3), 1), obs=np.zeros(3))
        return numpyro.get_mask()

    masked = handlers.mask(handlers.mask(inside, mask=inner), mask=outer)
    np.testing.assert_array_equal(masked(), outer & inner)
    log_prob = sites_of(masked)["x"]["fn"].log_prob(np.zeros(3))
    np.testing.assert_array_equal(log_prob != 0, outer & inner)
    assert numpyro.get_mask() is None
    assert handlers.block(numpyro.get_mask)() is None
    assert handlers.mask(numpyro.get_mask, mask=False)() is False
    assert handlers.mask(handlers.mask(numpyro.get_mask, mask=True), mask=False)() is False


@pytest.mark.parametrize("mask", [1.0, None, np.ones(2), 1])
def test_masks_are_boolean(mask):
    with pytest.raises(ValueError, match="`mask` should be a bool array"):
        handlers.mask(model, mask=mask)


def test_scope_renames_sites_and_plates():
    sites = sites_of(handlers.scope(handlers.scope(model, prefix="a"), prefix="b", divider="."))
    assert list(sites) == ["b.a/p", "b.a/rows", "b.a/x", "b.a/y", "b.a/d"]
    assert sites["b.a/x"]["name"] == "b.a/x"
    assert sites["b.a/x"]["cond_indep_stack"] == [CondIndepStackFrame("b.a/rows", -1, 2)]
    hidden = sites_of(handlers.scope(model, prefix="a", hide_types=["plate", "param"]))
    assert list(hidden) == ["p", "rows", "a/x", "a/y", "a/d"]
    assert hidden["a/x"]["cond_indep_stack"][0].name == "rows"


def test_a_scoped_plate_may_stand_in_a_plate_of_its_old_name():
    def nested():
        with numpyro.plate("p", 2), handlers.scope(prefix="a"), numpyro.plate("p", 3):
            numpyro.sample("x", dist.Normal(0, 1))

    assert [frame.name for frame in sites_of(nested)["a/x"]["cond_indep_stack"]] == ["a/p", "p"]


def test_infer_config_updates_samples():
    def config(site):
        return {"enumerate": "parallel"} if site["name"] == "x" else None

    sites = sites_of(handlers.infer_config(model, config_fn=config))
    assert sites["x"]["infer"] == {"enumerate": "parallel"}
    assert sites["y"]["infer"] == {}
    assert sites_of(handlers.infer_config(model))["x"]["infer"] == {}


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({}, []),
        ({"hide": ["x", "d"]}, ["p", "rows", "y"]),
        ({"expose": ["x", "d"]}, ["x", "d"]),
        ({"expose_types": ["param", "plate"]}, ["p", "rows"]),
        ({"hide_fn": lambda site: site["type"] == "sample"}, ["p", "rows", "d"]),
        ({"hide_fn": lambda site: site["name"] == "x", "hide": ["p"], "expose": ["d"]}, ["p", "rows", "y", "d"]),
        ({"hide": ["x"], "expose_types": ["param"]}, ["p", "rows", "y", "d"]),
        ({"expose_types": ["param"], "expose": ["x"]}, ["p"]),
    ],
)
def test_block_hides_from_the_outside_but_lets_keys_in(options, seen):
    assert list(sites_of(handlers.block(model, **options))) == seen


def test_control_flow_gets_its_key_through_a_block():
    msg = {
        "type": "control_flow",
        "fn": lambda rng_key: rng_key,
        "args": (),
        "kwargs": {"rng_key": None},
        "value": None,
    }
    with handlers.seed(rng_seed=0), handlers.block():
        assert apply_stack(msg)["value"] is not None
