"""The view of a model: its sites, and the maps between spaces."""

from __future__ import annotations

import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro import handlers
from numpyro._errors import UnsupportedSiteError, UsageError
from numpyro.infer import init_to_median, init_to_value
from numpyro.infer.model import ModelView
from numpyro.infer.model.view import require_run_time_arrays

KEY = jax.random.key(0)


def mixed(x, y=None):
    weights = numpyro.sample("weights", dist.Dirichlet(np.ones(3)))
    high = numpyro.sample("high", dist.HalfNormal(1))
    below = numpyro.sample("below", dist.Uniform(0, high))
    numpyro.param("rate", 0.5)
    with numpyro.plate("rows", x.shape[0], dim=-2), numpyro.plate("columns", 2):
        z = numpyro.sample("z", dist.Normal(x[:, None], high))
        numpyro.sample("c", dist.Bernoulli(logits=z), obs=y, infer={"enumerate": "parallel"})
    numpyro.deterministic("total", below + weights.sum())


def test_sites_are_described_before_any_value_is_known():
    view = ModelView(mixed, (np.zeros(4, np.float32),), {"y": np.zeros((4, 2), np.int32)})
    assert list(view.latent) == ["below", "high", "weights", "z"]
    weights, z, c = view.sites["weights"], view.sites["z"], view.sites["c"]
    assert (weights.shape, weights.unconstrained_shape, weights.event_dim) == ((3,), (2,), 1)
    assert z.shape == z.unconstrained_shape == (4, 2) and [f.name for f in z.plates] == ["columns", "rows"]
    assert c.is_observed and c.is_discrete and c.unconstrained_shape is None and c.infer["enumerate"] == "parallel"
    assert {view.sites[name].kind for name in ("rate", "rows", "total")} == {"param", "plate", "deterministic"}
    assert {name: shape.shape for name, shape in view.prototype.items()} == {
        "below": (), "high": (), "weights": (2,), "z": (4, 2)
    }  # fmt: skip
    assert view.sites["high"].transform is not None and view.sites["below"].transform is None
    assert view.fixed_transforms is None


def test_discrete_sites_and_subsamples_are_named():
    view = ModelView(mixed, (np.zeros(4),))
    assert view.discrete_latent == view.enumerated == ["c"]
    assert view.first_available_dim == -3
    view.require_continuous("NUTS")
    counts = ModelView(lambda: numpyro.sample("k", dist.Poisson(1.0)))
    with pytest.raises(UnsupportedSiteError, match="NUTS .*other discrete latent sites: 'k'") as error:
        counts.require_continuous("NUTS")
    assert isinstance(error.value, RuntimeError) and isinstance(error.value, ValueError)

    def subsampled():
        with numpyro.plate("data", 10, subsample_size=5):
            numpyro.sample("x", dist.Normal(0, 1))

    with pytest.raises(UsageError, match="NUTS does not support subsampling.*'data'"):
        ModelView(subsampled).require_whole_plates("NUTS")
    ModelView(handlers.substitute(subsampled, data={"data": np.arange(5)})).require_whole_plates("NUTS")
    ModelView(mixed, (np.zeros(4),)).require_whole_plates("NUTS")


def test_constrain_and_unconstrain_are_inverse(precision):
    view = ModelView(mixed, (np.zeros(4, precision),), {"y": np.zeros((4, 2), np.int32)})
    generator = np.random.default_rng(0)
    z = {name: generator.normal(size=s.shape).astype(precision) for name, s in view.prototype.items()}
    data = view.data(KEY)
    constrained = jax.jit(lambda data, z: view.constrain(data, z))(data, z)
    assert sorted(constrained) == list(view.latent)
    assert 0 < constrained["below"] < constrained["high"] and np.isclose(constrained["weights"].sum(), 1)
    back = jax.jit(view.unconstrain)(data, constrained)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3 if precision == np.float32 else 1e-9), back, z)
    everything = jax.jit(lambda data, z: view.constrain(data, z, deterministic=True))(data, z)
    np.testing.assert_allclose(everything["total"], constrained["below"] + 1, rtol=1e-5)


def test_arrays_are_run_time_values_unless_the_model_needs_them(caplog):
    def model(x, n):
        with numpyro.plate("n", int(n)):
            numpyro.sample("y", dist.Normal(0, 1), obs=x)

    x = np.zeros(3, np.float32)
    assert len(ModelView(model, (x, 3)).arguments.arrays) == 1
    with caplog.at_level(logging.INFO, logger="numpyro"):
        view = ModelView(model, (x, np.array(3)))
    assert view.arguments.arrays == () and view.sites["y"].shape == (3,)
    assert "with numpyro.plate" in caplog.text  # the line that needed the value
    with require_run_time_arrays(True), pytest.raises(jax.errors.ConcretizationTypeError):
        ModelView(model, (x, np.array(3)))


def test_some_sites_may_be_given():
    view = ModelView(mixed, (np.zeros(4),), {"y": np.zeros((4, 2), np.int32)}, substituted={"high": 2.0})
    z = {name: jnp.zeros(s.shape) for name, s in view.prototype.items() if name != "high"}
    constrained = view.constrain(view.data(KEY), z, deterministic=True)
    np.testing.assert_allclose(constrained["below"], 1.0)


@pytest.mark.parametrize("strategy", [init_to_median, init_to_value(values={"high": 2.0})], ids=["median", "value"])
def test_initial_values_come_unconstrained(strategy):
    view = ModelView(mixed, (np.zeros(4),), {"y": np.zeros((4, 2), np.int32)})
    initial = jax.jit(lambda data, key: view.draw_initial(data, key, strategy))(view.data(KEY), KEY)
    assert {name: value.shape for name, value in initial.items()} == {n: s.shape for n, s in view.prototype.items()}
    if strategy is not init_to_median:
        np.testing.assert_allclose(initial["high"], np.log(2.0), rtol=1e-6)


def test_observations_outside_the_support_are_counted():
    model = lambda y: numpyro.sample("y", dist.HalfNormal(1).expand([4]), obs=y)
    ModelView(model, (np.array([1.0, 2.0, 3.0, 4.0]),)).check_observations()
    bad = ModelView(model, (np.array([1.0, -2.0, 3.0, -4.0]),))
    with pytest.raises(ValueError, match=r"Site 'y'.*outside the support.*2 of 4"):
        bad.check_observations()
    jax.jit(lambda x: bad.check_observations() or x)(1.0)  # cannot be seen in a trace


def test_errors_of_the_model_come_through():
    def model(x):
        raise KeyError("of the model")

    with pytest.raises(KeyError, match="of the model"):
        ModelView(model, (np.zeros(3),))
