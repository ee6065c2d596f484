"""Handlers around a loop: each does to a site in the body what it does in a Python loop, with the values stacked."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import scan
from numpyro.infer.reparam import LocScaleReparam, TransformReparam
from numpyro.infer.util import log_density
from numpyro.primitives import Messenger
from tests.contrib.control_flow.loops import DATA, LENGTH, ROWS, VALUES, by_python, by_scan, densities, per_step


def sites_of(fn, *args, seed=0):
    return handlers.trace(handlers.seed(fn, rng_seed=seed)).get_trace(*args)


def base(name):
    """The name of a site without the number of the step, and without a prefix."""
    return name.split("/")[-1].split("_")[0]


HANDLERS = {
    "scale": lambda fn: handlers.scale(fn, scale=3.0),
    "scale inside of scale": lambda fn: handlers.scale(handlers.scale(fn, scale=3.0), scale=0.5),
    "mask": lambda fn: handlers.mask(fn, mask=False),
    "block some": lambda fn: handlers.block(fn, hide_fn=lambda msg: base(msg.get("name", "")) in ("f", "y")),
    "uncondition in block": lambda fn: handlers.block(
        handlers.uncondition(fn), hide_fn=lambda msg: base(msg.get("name", "")) in ("f", "y")
    ),
    "replay": lambda fn: handlers.replay(fn, trace={}),
    "lift": lambda fn: handlers.condition(
        handlers.lift(fn, prior={"drift": dist.Normal(0.0, 1.0)}), data={"drift": np.float32(0.75)}
    ),
    "infer_config": lambda fn: handlers.infer_config(fn, config_fn=lambda site: {"note": site["name"]}),
    "condition": lambda fn: handlers.condition(
        fn, condition_fn=lambda site: np.float32(1.25) if base(site["name"]) == "s" else None
    ),
    "do": lambda fn: handlers.do(fn, data={"s": np.float32(2.0), **{f"s_{t}": np.float32(2.0) for t in range(LENGTH)}}),
    "do along the steps": lambda fn: handlers.do(fn, data={"z": VALUES["z"] + 1, **per_step({"z": VALUES["z"] + 1})}),
    "substitute param": lambda fn: handlers.substitute(fn, data={"drift": -1.0}),
    "substitute a function": lambda fn: handlers.substitute(
        fn, substitute_fn=lambda site: np.float32(0.3) if base(site["name"]) == "s" else None
    ),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_the_density_under_a_handler_is_that_of_a_python_loop(name):
    ours, theirs = densities(HANDLERS[name])
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)


# What has an axis of steps, or is to happen once, has no place in the body.
@pytest.mark.parametrize("name", [name for name in HANDLERS if name not in ("do along the steps", "lift")])
def test_a_handler_in_the_body_does_the_same(name):
    ours, theirs = densities(lambda fn: lambda **options: fn(**options, wrap=HANDLERS[name]))
    np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("where", ["around", "inside"])
def test_reparam(where):
    config = {"z": LocScaleReparam(0.25)} | {f"z_{t}": LocScaleReparam(0.25) for t in range(LENGTH)}
    handler = lambda fn: handlers.reparam(fn, config=config)
    if where == "inside":
        around, handler = handler, lambda fn: lambda **options: fn(**options, wrap=around)
    sites = sites_of(handler(by_scan))
    assert sites["z"]["type"] == "deterministic"
    assert sites["z"]["value"].shape == sites["z_decentered"]["value"].shape == (LENGTH, ROWS)
    values = {"z_decentered": VALUES["z"], "s": VALUES["s"]}
    by_loop = {f"z_{t}_decentered": VALUES["z"][t] for t in range(LENGTH)} | per_step({"s": VALUES["s"]})
    ours = log_density(handler(by_scan), (), {}, values)[0]
    theirs = log_density(handler(by_python), (), {}, by_loop)[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_reparam_of_a_transformed_distribution():
    def model():
        def step(carry, _):
            fn = dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.AffineTransform(carry, 2.0))
            x = numpyro.sample("x", fn)
            return x, None

        scan(step, jnp.float32(0.0), None, length=5)

    sites = sites_of(handlers.reparam(model, config={"x": TransformReparam()}))
    np.testing.assert_allclose(sites["x"]["value"], 2 * np.cumsum(sites["x_base"]["value"]), rtol=1e-5)


def test_scope_renames_and_the_handlers_outside_see_the_new_names():
    model = handlers.scope(handlers.scope(by_scan, prefix="inner"), prefix="outer", divider=".")
    sites = sites_of(model)
    assert list(sites) == [f"outer.inner/{name}" for name in ("drift", "rows", "z", "s", "f", "total", "y")]
    assert sites["outer.inner/z"]["cond_indep_stack"][0].name == "outer.inner/rows"
    given = {f"outer.inner/{name}": value for name, value in VALUES.items()}
    np.testing.assert_allclose(log_density(model, (), {}, given)[0], log_density(by_scan, (), {}, VALUES)[0], rtol=1e-6)


def test_block_hides_from_those_outside_alone():
    with handlers.trace() as outer, handlers.seed(rng_seed=0), handlers.block(hide=["z"]), handlers.trace() as inner:
        by_scan()
    assert set(inner) - set(outer) == {"z"}
    with handlers.substitute(data=VALUES), handlers.block(hide=["z"]), handlers.seed(rng_seed=0):
        with handlers.trace() as sites:
            by_scan()
    assert not np.allclose(sites["z"]["value"], VALUES["z"])
    np.testing.assert_array_equal(sites["s"]["value"], VALUES["s"])
    for kept, options in ((["s"], {"expose": ["s"]}), (["z", "s", "f", "y"], {"expose_types": ["sample"]}), ([], {})):
        assert list(sites_of(handlers.block(by_scan, **options))) == kept


def test_uncondition_draws_and_keeps_the_observations():
    site = sites_of(handlers.uncondition(by_scan))["y"]
    assert not site["is_observed"]
    np.testing.assert_array_equal(site["infer"]["obs"], DATA)
    assert not np.any(site["value"] == DATA)


def test_do_records_the_draw_and_goes_on_with_the_intervention():
    value = np.arange(LENGTH * ROWS, dtype=np.float32).reshape(LENGTH, ROWS)
    for given, expected in ((value, value), (value[0], np.broadcast_to(value[0], value.shape))):
        with handlers.trace() as outer, handlers.seed(rng_seed=0), handlers.do(data={"z": given}):
            with handlers.trace() as inner:
                by_scan()
        assert not np.any(outer["z"]["value"] == expected)
        np.testing.assert_array_equal(inner["z"]["value"], expected)
        np.testing.assert_allclose(outer["total"]["value"], expected.sum(-1))


def test_lift_makes_one_variable_of_a_param():
    lifted = handlers.lift(by_scan, prior={"drift": dist.Normal(0.0, 1.0)})
    sites = sites_of(lifted)
    assert sites["drift"]["type"] == "sample"
    assert sites["drift"]["value"].shape == ()
    # z[0] ~ Normal(drift, 1.5)
    np.testing.assert_allclose(sites["z"]["fn"].loc[0], np.full(ROWS, sites["drift"]["value"]), rtol=1e-6)


def test_infer_config_sets_options_of_the_sites():
    config = lambda site: {"length": site["fn"].batch_shape}
    site = sites_of(handlers.infer_config(by_scan, config_fn=config))["z"]
    assert site["infer"] == {"length": (ROWS,)}


# -- values


def test_values_with_the_axis_of_steps_and_without():
    for handler in (handlers.substitute, handlers.condition):
        for given in (VALUES["z"], VALUES["z"][0]):
            site = sites_of(handler(by_scan, data={"z": given}))["z"]
            np.testing.assert_array_equal(site["value"], np.broadcast_to(given, (LENGTH, ROWS)))
            assert site["is_observed"] == (handler is handlers.condition)


def test_functions_may_return_either_and_see_the_site_of_one_step():
    for given in (VALUES["z"], VALUES["z"][0]):
        seen = []

        def value(site, given=given, seen=seen):
            if site["name"] == "z":
                seen.append(site["fn"].batch_shape)
                return given
            return None

        site = sites_of(handlers.substitute(by_scan, substitute_fn=value))["z"]
        np.testing.assert_array_equal(site["value"], np.broadcast_to(given, (LENGTH, ROWS)))
        assert set(seen) == {(ROWS,)}


def test_values_of_the_first_steps_leave_the_others_to_be_drawn():
    for handler in (handlers.substitute, handlers.condition):
        site = sites_of(handler(by_scan, data={"z": VALUES["z"][:2], "total": np.float32([7.0])}))
        np.testing.assert_array_equal(site["z"]["value"][:2], VALUES["z"][:2])
        drawn = np.asarray(site["z"]["value"][2:])
        assert len(np.unique(drawn)) == drawn.size
        # the third step goes on from the second
        np.testing.assert_allclose(site["z"]["fn"].loc[2], 0.9 * VALUES["z"][1] + 0.5, rtol=1e-6)
        if handler is handlers.substitute:
            assert site["total"]["value"][0] == 7.0
            np.testing.assert_allclose(site["total"]["value"][1:], site["z"]["value"][1:].sum(-1), rtol=1e-5)


def test_replay_takes_the_values_of_a_trace():
    earlier = sites_of(by_scan, seed=5)
    earlier["z"]["infer"]["note"] = 1
    sites = sites_of(handlers.replay(by_scan, trace=earlier))
    for name in ("z", "s", "total"):
        np.testing.assert_array_equal(sites[name]["value"], earlier[name]["value"])
    assert sites["z"]["infer"] == {"note": 1}


def test_substituted_indices_of_a_plate():
    def model():
        def step(carry, _):
            with numpyro.plate("rows", 10, subsample_size=2) as indices:
                numpyro.deterministic("indices", indices)
            return carry, None

        scan(step, 0.0, None, length=3)

    for given in (np.array([4, 2]), np.arange(6).reshape(3, 2)):
        sites = sites_of(handlers.substitute(model, data={"rows": given}))
        np.testing.assert_array_equal(sites["indices"]["value"], np.broadcast_to(given, (3, 2)))
    with pytest.raises(RuntimeError, match="'rows' must be given for all 3 steps"):
        sites_of(handlers.substitute(model, data={"rows": np.arange(4).reshape(2, 2)}))


@pytest.mark.parametrize(
    ("value", "match"),
    [
        (np.zeros((6, ROWS)), "length <= 4, but got 6"),
        (np.zeros(()), "'z' inside a loop must have 1 or 2 dimensions"),
        (np.zeros((2, LENGTH, ROWS)), r"1 or 2 dimensions.*\(2, 4, 3\)"),
        (np.zeros((0, ROWS)), "of no step at all"),
    ],
)
def test_values_of_wrong_shapes(value, match):
    with pytest.raises(RuntimeError, match=match):
        sites_of(handlers.substitute(by_scan, data={"z": value}))


def test_values_inside_a_plate_around():
    def model():
        with numpyro.plate("rows", ROWS):
            return handlers.substitute(loop, data={"z": VALUES["z"]})()

    def loop():
        return scan(lambda c, _: (numpyro.sample("z", dist.Normal(0.0, 1.0)),) * 2, jnp.zeros(ROWS), None, LENGTH)

    np.testing.assert_array_equal(sites_of(model)["z"]["value"], VALUES["z"])


def test_gradients_with_respect_to_values_take_the_time_of_one_loop():
    """Values go into the loop as its inputs: a gradient does not carry an array of all steps through each step."""

    def model():
        scan(lambda c, _: (numpyro.sample("x", dist.Normal(c, 1.0)), None), jnp.float32(0.0), None, length=50)

    gradient = jax.grad(lambda x: log_density(model, (), {}, {"x": x})[0])
    jaxpr = jax.make_jaxpr(gradient)(np.zeros(50, np.float32))
    loops = [equation for equation in jaxpr.eqns if equation.primitive.name == "scan"]
    assert loops
    for loop in loops:
        constants, carry = loop.params["num_consts"], loop.params["num_carry"]
        assert all(atom.aval.size < 50 for atom in loop.invars[: constants + carry])


# -- shapes of scales and masks


def test_scales_and_masks_broadcast_with_the_sites_of_all_steps():
    def model():
        scan(lambda c, x: (c, numpyro.sample("y", dist.Normal(0.0, 1.0), obs=x)), 0.0, DATA)

    weights = np.array([1.0, 2.0, 0.5, 4.0], np.float32)
    keep = np.array([True, False, True, True])
    log_prob = np.asarray(dist.Normal(0.0, 1.0).log_prob(DATA))
    density = lambda fn: log_density(fn, (), {}, {})[0]
    np.testing.assert_allclose(density(handlers.scale(model, scale=weights)), log_prob @ weights, rtol=1e-5)
    np.testing.assert_allclose(density(handlers.mask(model, mask=keep)), log_prob[keep].sum(), rtol=1e-5)


def test_a_scale_that_depends_on_the_step():
    def model():
        def step(carry, x):
            with handlers.scale(scale=x**2), numpyro.plate("rows", 3):
                numpyro.sample("y", dist.Normal(0.0, 1.0), obs=x)
            return carry, None

        scan(step, 0.0, DATA)

    expected = 3 * (DATA**2 * np.asarray(dist.Normal(0.0, 1.0).log_prob(DATA))).sum()
    np.testing.assert_allclose(log_density(model, (), {}, {})[0], expected, rtol=1e-5)


def test_the_mask_around_is_known_in_the_body():
    seen = []

    def step(carry, x):
        seen.append(numpyro.primitives.get_mask())
        return carry, None

    scan(step, 0.0, DATA)
    with handlers.mask(mask=False):
        scan(step, 0.0, DATA)
    assert seen[0] is None
    assert seen[-1] is False


def test_a_handler_of_ones_own_that_hands_values_on():
    class Give(Messenger):
        def process_message(self, msg):
            if msg["type"] == "control_flow":
                msg["kwargs"]["substitute_stack"].append(("substitute", {"z": VALUES["z"]}))

    with handlers.trace() as sites, handlers.seed(rng_seed=0), Give():
        by_scan()
    np.testing.assert_array_equal(sites["z"]["value"], VALUES["z"])
