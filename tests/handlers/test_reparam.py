"""The handler of reparametrizations; the strategies are tested in tests/infer/test_reparam.py."""

from __future__ import annotations

import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UsageError


def model():
    with numpyro.plate("rows", 2):
        return numpyro.sample("x", dist.Normal(1, 2)), numpyro.sample("y", dist.Normal(0, 1), obs=np.ones(2))


def shift(name, fn, obs):
    return None, numpyro.sample(f"{name}_shifted", dist.Normal(0, fn.base_dist.scale)) + 1


def sites_of(config):
    return handlers.trace(handlers.seed(handlers.reparam(model, config=config), rng_seed=0)).get_trace()


@pytest.mark.parametrize("config", [{"x": shift}, lambda site: shift if site["name"] == "x" else None])
def test_a_strategy_replaces_a_site_by_others(config):
    sites = sites_of(config)
    assert list(sites) == ["rows", "x_shifted", "x", "y"]
    assert sites["x"]["type"] == "deterministic"
    assert set(sites["x"]) == {"type", "name", "value", "cond_indep_stack"}
    assert sites["x_shifted"]["fn"].batch_shape == (2,)
    assert len(sites["x_shifted"]["cond_indep_stack"]) == 1
    np.testing.assert_array_equal(sites["x"]["value"], sites["x_shifted"]["value"] + 1)


def test_a_strategy_may_change_the_distribution_or_observe():
    changed = sites_of({"x": lambda name, fn, obs: (dist.Delta(np.full(2, 3.0)), None)})["x"]
    assert not changed["is_observed"]
    np.testing.assert_array_equal(changed["value"], [3.0, 3.0])
    observed = sites_of({"x": lambda name, fn, obs: (fn, np.zeros(2))})["x"]
    assert observed["is_observed"]
    assert not sites_of({"x": lambda name, fn, obs: (fn, obs)})["x"]["is_observed"]


def test_a_strategy_is_told_the_observation():
    seen = []
    site = sites_of({"y": lambda name, fn, obs: seen.append((name, obs.tolist())) or (fn, obs)})["y"]
    assert seen == [("y", [1.0, 1.0])]
    assert site["is_observed"]


def test_wrong_configurations():
    with pytest.raises(UsageError, match="`config` of reparam must be a dictionary.*list"):
        handlers.reparam(model, config=[shift])
    with pytest.raises(TypeError, match="'x' must be a strategy.*got 3"):
        sites_of({"x": 3})
