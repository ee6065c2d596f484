"""Branches: the sites of the one that is taken, under the handlers around, and what the branches must share."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro.contrib.control_flow import cond, scan
from numpyro.infer.reparam import LocScaleReparam
from numpyro.infer.util import log_density, potential_energy
from numpyro.primitives import mutable


def sites_of(fn, *args, seed=0):
    return handlers.trace(handlers.seed(fn, rng_seed=seed)).get_trace(*args)


def wide(loc):
    return numpyro.sample("x", dist.Normal(loc, 3.0))


def narrow(loc):
    return numpyro.sample("x", dist.Normal(-loc, 1))


def model(pred, loc=2.0):
    x = cond(pred, wide, narrow, loc)
    numpyro.sample("y", dist.Normal(x, 1.0), obs=0.5)
    return x


def test_without_handlers_it_is_lax_cond():
    for pred in (True, False, jnp.array(True), np.float32(0.0), 1):
        assert cond(pred, lambda x: x + 1, lambda x: -x, 3.0) == (4.0 if pred else -3.0)


@pytest.mark.parametrize("pred", [True, False])
def test_the_site_is_that_of_the_branch_taken(pred):
    site = sites_of(jax.tree_util.Partial(model), jnp.array(pred))["x"]
    loc, scale = (2.0, 3.0) if pred else (-2.0, 1.0)
    assert isinstance(site["fn"], dist.Normal)
    assert (float(site["fn"].loc), float(site["fn"].scale)) == (loc, scale)
    value = np.float32(0.7)
    expected = dist.Normal(loc, scale).log_prob(value) + dist.Normal(value, 1.0).log_prob(0.5)
    np.testing.assert_allclose(log_density(model, (pred,), {}, {"x": value})[0], expected, rtol=1e-6)
    np.testing.assert_allclose(-potential_energy(model, (pred,), {}, {"x": value}), expected, rtol=1e-6)


def test_the_jacobian_of_the_branch_taken_counts():
    branch = lambda rate: lambda x: numpyro.sample("x", dist.Exponential(rate))
    fn = lambda pred: cond(pred, branch(1.0), branch(5.0), 0.0)
    for pred, rate in ((True, 1.0), (False, 5.0)):
        expected = dist.Exponential(rate).log_prob(np.exp(0.3)) + 0.3
        np.testing.assert_allclose(-potential_energy(fn, (pred,), {}, {"x": np.float32(0.3)}), expected, rtol=1e-5)


def test_handlers_act_in_the_branches():
    both = lambda handler: [sites_of(handler(lambda pred=pred: model(pred))) for pred in (True, False)]
    for sites in both(lambda fn: handlers.substitute(fn, data={"x": 1.5})):
        assert sites["x"]["value"] == 1.5
        assert not sites["x"]["is_observed"]
    for sites in both(lambda fn: handlers.condition(fn, data={"x": 1.5})):
        assert sites["x"]["is_observed"]
    for sites in both(lambda fn: handlers.scope(fn, prefix="a")):
        assert list(sites) == ["a/x", "a/y"]
    for sites in both(lambda fn: handlers.block(fn, hide=["x"])):
        assert list(sites) == ["y"]
    for sites in both(lambda fn: handlers.scale(fn, scale=2.0)):
        assert sites["x"]["scale"] == 2.0
    for sites in both(lambda fn: handlers.mask(fn, mask=False)):
        assert sites["x"]["fn"].log_prob(sites["x"]["value"]) == 0
    for sites in both(lambda fn: handlers.do(fn, data={"x": 9.0})):
        assert sites["x"]["value"] != 9.0
        assert sites["y"]["fn"].loc == 9.0
    for sites in both(lambda fn: handlers.infer_config(fn, config_fn=lambda site: {"note": 1})):
        assert sites["x"]["infer"] == {"note": 1}
    for sites, scale in zip(both(lambda fn: handlers.reparam(fn, config={"x": LocScaleReparam(0)})), (3.0, 1.0)):
        loc = 2.0 if scale == 3.0 else -2.0
        np.testing.assert_allclose(sites["x"]["value"], loc + scale * sites["x_decentered"]["value"], rtol=1e-5)
    earlier = sites_of(model, True, seed=3)
    for sites in both(lambda fn: handlers.replay(fn, trace=earlier)):
        assert sites["x"]["value"] == earlier["x"]["value"]


def test_observations_params_factors_plates_and_mutables():
    def branch(sign):
        def run(x):
            scale = numpyro.param("scale", jnp.ones(2), constraint=dist.constraints.positive)
            count = mutable("count", {"calls": 0})
            count["calls"] = count["calls"] + 1
            numpyro.factor("f", sign * 0.5)
            with numpyro.plate("rows", 2):
                numpyro.sample("y", dist.Normal(sign * x, scale), obs=np.ones(2, np.float32))
            return numpyro.deterministic("d", sign * x)

        return run

    def run(pred):
        return cond(pred, branch(1), branch(-1), 0.25)

    for pred, sign in ((True, 1), (False, -1)):
        sites = sites_of(run, pred)
        assert sorted(sites) == ["count", "d", "f", "rows", "scale", "y"]
        assert sites["scale"]["value"].shape == (2,)
        assert sites["d"]["value"] == sign * 0.25
        assert sites["count"]["value"]["calls"] == 1
        assert sites["rows"]["value"].tolist() == [0, 1]
        expected = dist.Normal(sign * 0.25, 1.0).log_prob(np.ones(2)).sum() + sign * 0.5
        np.testing.assert_allclose(log_density(run, (pred,), {}, {})[0], expected, rtol=1e-6)


def test_in_plates_and_in_loops():
    def in_plate(pred):
        with numpyro.plate("rows", 3):
            return cond(pred, wide, narrow, 0.0)

    site = sites_of(in_plate, True)["x"]
    assert site["value"].shape == site["fn"].batch_shape == (3,)
    assert [frame.name for frame in site["cond_indep_stack"]] == ["rows"]

    def in_loop():
        return scan(lambda c, x: (c, cond(x > 1, wide, narrow, x)), 0.0, jnp.arange(4.0))

    site = sites_of(in_loop)["x"]
    assert site["value"].shape == (4,)
    np.testing.assert_array_equal(site["fn"].loc, [0.0, -1.0, 2.0, 3.0])
    np.testing.assert_array_equal(site["fn"].scale, [1.0, 1.0, 3.0, 3.0])
    values = np.arange(4.0, dtype=np.float32)
    sites = sites_of(handlers.substitute(in_loop, data={"x": values}))
    np.testing.assert_array_equal(sites["x"]["value"], values)

    def loop_inside(pred):
        loop = lambda scale: (
            lambda x: scan(lambda c, _: (numpyro.sample("x", dist.Normal(c, scale)), None), x, None, length=3)
        )
        return cond(pred, loop(0.001), loop(1.0), jnp.float32(4.0))

    site = sites_of(loop_inside, True)["x"]
    np.testing.assert_allclose(site["value"], np.full(3, 4.0), atol=0.02)


@pytest.mark.parametrize(
    ("true_fun", "false_fun", "match"),
    [
        (wide, lambda x: x, "only true_fun has 'x'"),
        (lambda x: x, narrow, "only false_fun has 'x'"),
        (wide, lambda x: numpyro.sample("x", dist.Laplace(x, 1.0)), "distribution is Normal in true_fun and Laplace"),
        (wide, lambda x: numpyro.sample("x", dist.Normal(x, 1.0), obs=x), "role is latent in true_fun and observed"),
        (wide, lambda x: numpyro.sample("x", dist.Normal(x, np.ones(2))).sum(), r"shape is \(\) .* \(2,\)"),
        (wide, lambda x: numpyro.deterministic("x", x), "type is sample in true_fun and deterministic"),
        (wide, lambda x: (narrow(x), 1), "structure"),
    ],
)
def test_branches_that_differ(true_fun, false_fun, match):
    with pytest.raises(TypeError, match=match):
        sites_of(lambda: cond(True, true_fun, false_fun, 1.0))


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"pred of cond must be a scalar, but has shape \(2,\).*where"):
        cond(np.array([True, False]), wide, narrow, 1.0)
    with pytest.raises(TypeError, match="false_fun of cond must be a function"):
        cond(True, wide, 1.0, 1.0)


def test_sites_to_be_summed_out():
    """Beside a branch, and within both."""

    def model(inside):
        k = numpyro.sample("k", dist.Bernoulli(0.25), infer={"enumerate": "parallel"})
        if inside:
            flip = lambda p: lambda _: numpyro.sample("z", dist.Bernoulli(p), infer={"enumerate": "parallel"})
            z = cond(True, flip(0.1), flip(0.9), 0.0)
            numpyro.sample("o", dist.Normal(z, 1.0), obs=1.0)
            return
        x = cond(True, wide, narrow, 0.0)
        numpyro.sample("y", dist.Normal(jnp.where(k == 1, x, -x), 1.0), obs=1.0)

    x = np.float32(0.5)
    terms = [0.25 * np.exp(dist.Normal(0.5, 1.0).log_prob(1.0)), 0.75 * np.exp(dist.Normal(-0.5, 1.0).log_prob(1.0))]
    expected = np.log(sum(terms)) + dist.Normal(0.0, 3.0).log_prob(x)
    found = -potential_energy(model, (False,), {}, {"x": x}, enum=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    terms = [0.9 * np.exp(dist.Normal(0.0, 1.0).log_prob(1.0)), 0.1 * np.exp(dist.Normal(1.0, 1.0).log_prob(1.0))]
    found = -potential_energy(model, (True,), {}, {}, enum=True)
    np.testing.assert_allclose(found, np.log(sum(terms)), rtol=1e-5)
