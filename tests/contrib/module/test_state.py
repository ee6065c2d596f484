"""What networks change as they run, and the random keys that they use."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import (
    eqx_from_dict,
    eqx_module,
    eqx_to_dict,
    flax_module,
    haiku_module,
    nnx_module,
    random_flax_module,
    random_nnx_module,
)
from numpyro.handlers import seed, substitute, trace
from numpyro.infer import SVI, Predictive, Trace_ELBO
from numpyro.primitives import mutable

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
X = np.array([[0.0, 1.0, 2.0], [2.0, 3.0, 8.0]], np.float32)


def no_guide(*args):
    pass


def run_three_steps(model):
    """The states after the start, which runs the model once, and after three more steps; the weights stay."""
    svi = SVI(model, no_guide, optax.sgd(0.0), Trace_ELBO())
    first = svi.init(jax.random.key(0), X)
    result = svi.run(jax.random.key(0), 3, X, progress_bar=False)
    return first.mutable_state, result.state.mutable_state, svi


def average(first: float, of_batch: np.ndarray, momentum: float, runs: int) -> np.ndarray:
    """A moving average after some runs."""
    return momentum**runs * first + (1 - momentum**runs) * of_batch


def test_linen_statistics_of_batches():
    linen = pytest.importorskip("flax.linen")

    def model(x):
        net = flax_module("nn", linen.BatchNorm(use_running_average=False), x, mutable=["batch_stats"])
        numpyro.sample("y", dist.Normal(net(x), 1.0).to_event(), obs=x)

    first, last, svi = run_three_steps(model)
    np.testing.assert_allclose(first["nn$state"]["batch_stats"]["mean"], 0.01 * X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(last["nn$state"]["batch_stats"]["mean"], average(0.0, X.mean(0), 0.99, 4), rtol=1e-5)
    np.testing.assert_allclose(last["nn$state"]["batch_stats"]["var"], average(1.0, X.var(0), 0.99, 4), rtol=1e-5)


def test_linen_state_of_a_random_module_and_its_evaluation():
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, train=True):
            return linen.BatchNorm(use_running_average=not train)(x)

    def model():
        net = random_flax_module("nn", Net(), dist.Normal(), X, mutable=["batch_stats"])
        return net(X), net(X, train=False, mutable=False)

    with trace() as tr, seed(rng_seed=0):
        trained, evaluated = model()
    assert [tr[name]["type"] for name in tr] == ["param", "sample", "sample", "mutable"]
    bias, scale = (np.asarray(tr[f"nn/BatchNorm_0.{name}"]["value"]) for name in ("bias", "scale"))
    mean, var = 0.01 * X.mean(0), 0.99 + 0.01 * X.var(0)
    np.testing.assert_allclose(trained, (X - X.mean(0)) / np.sqrt(X.var(0) + 1e-5) * scale + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(evaluated, (X - mean) / np.sqrt(var + 1e-5) * scale + bias, rtol=1e-4, atol=1e-5)


def test_a_state_given_without_parameters_and_parameters_without_a_state():
    linen = pytest.importorskip("flax.linen")
    model = lambda: flax_module("nn", linen.BatchNorm(use_running_average=True), X, mutable=["batch_stats"])(X)
    params = {"scale": jnp.ones(3), "bias": jnp.full(3, 2.0)}
    out = seed(substitute(model, data={"nn$params": params}), 0)()
    np.testing.assert_allclose(out, X / np.sqrt(1 + 1e-5) + 2.0, rtol=1e-5)
    state = {"batch_stats": {"mean": jnp.ones(3), "var": jnp.ones(3)}}
    out = seed(substitute(model, data={"nn$params": params, "nn$state": state}), 0)()
    np.testing.assert_allclose(out, (X - 1.0) / np.sqrt(1 + 1e-5) + 2.0, rtol=1e-5)


def test_a_state_that_is_given_stays_as_it_is():
    linen = pytest.importorskip("flax.linen")

    def model(x, y=None):
        net = flax_module("nn", linen.BatchNorm(use_running_average=False), x, mutable=["batch_stats"])
        numpyro.sample("y", dist.Normal(net(x), 1.0).to_event(), obs=y)

    state = {"batch_stats": {"mean": jnp.zeros(3), "var": jnp.ones(3)}}
    params = {"nn$params": {"scale": jnp.ones(3), "bias": jnp.zeros(3)}, "nn$state": state}
    Predictive(model, params=params, num_samples=2)(jax.random.key(0), X)
    seed(substitute(model, data=params), 0)(X)
    np.testing.assert_array_equal(state["batch_stats"]["mean"], 0.0)
    svi = SVI(model, no_guide, optax.sgd(0.0), Trace_ELBO())
    first = svi.init(jax.random.key(0), X, X)
    before = np.asarray(first.mutable_state["nn$state"]["batch_stats"]["mean"])
    svi.evaluate(first, X, X)
    np.testing.assert_array_equal(first.mutable_state["nn$state"]["batch_stats"]["mean"], before)


def test_linen_keys_of_dropout():
    linen = pytest.importorskip("flax.linen")
    net = linen.Dropout(0.5, deterministic=False)
    with seed(rng_seed=0):
        apply = flax_module("nn", net, X, apply_rng=["dropout"])
        out = [np.asarray(apply(np.ones((50, 40)), rngs={"dropout": jax.random.key(k)})) for k in (0, 0, 1)]
    assert set(np.unique(out[0])) == {0.0, 2.0}
    assert (out[0] == out[1]).all() and (out[0] != out[2]).any()
    assert abs(out[0].mean() - 1.0) < 4 * np.sqrt(1 / 2000)


def test_linen_options_that_do_not_fit():
    linen = pytest.importorskip("flax.linen")
    with seed(rng_seed=0):
        with pytest.raises(ValueError, match="`apply_rng` of the module 'nn' must be a list of names"):
            flax_module("nn", linen.Dense(1), X, apply_rng=True)
        with pytest.raises(AssertionError, match=r"collections that it does not have: \['batch_stats'\]"):
            flax_module("nn", linen.Dense(1), X, mutable=["batch_stats"])


def test_nnx_statistics_of_batches():
    nnx = pytest.importorskip("flax.nnx")
    net = nnx.BatchNorm(3, momentum=0.9, rngs=nnx.Rngs(0))

    def model(x):
        numpyro.sample("y", dist.Normal(nnx_module("nn", net)(x), 1.0).to_event(), obs=x)

    first, last, _ = run_three_steps(model)
    np.testing.assert_allclose(first["nn$state"]["state"]["mean"], 0.1 * X.mean(0), rtol=1e-5)
    np.testing.assert_allclose(last["nn$state"]["state"]["mean"], average(0.0, X.mean(0), 0.9, 4), rtol=1e-5)
    np.testing.assert_allclose(net.mean[...], 0.0)  # the module of the user stays as it is


def test_nnx_keys_of_dropout_move_on():
    nnx = pytest.importorskip("flax.nnx")
    net = nnx.Dropout(0.5, rngs=nnx.Rngs(0))
    ones = np.ones((10, 10), np.float32)

    def model(x):
        dropped = nnx_module("nn", net)(ones)
        numpyro.factor("dropped", -jnp.sum(dropped[0] * 2.0 ** np.arange(10)))

    svi = SVI(model, no_guide, optax.sgd(0.0), Trace_ELBO())
    result = svi.run(jax.random.key(0), 5, X, progress_bar=False)
    assert len(set(np.asarray(result.losses).tolist())) == 5  # each step drops others
    with trace() as tr, seed(rng_seed=0):
        apply = random_nnx_module("nn", net, dist.Normal())
        first, second = apply(ones), apply(ones)
    assert (first != second).any()
    assert tr["nn$state"]["type"] == "mutable"


def test_nnx_takes_a_module_not_its_class():
    nnx = pytest.importorskip("flax.nnx")
    with pytest.raises(TypeError, match="must be an nnx.Module"):
        nnx_module("nn", nnx.Linear)


def test_nnx_names_of_lists_and_the_divider():
    nnx = pytest.importorskip("flax.nnx")
    layers = nnx.List([nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.Linear(2, 1, use_bias=False, rngs=nnx.Rngs(1))])

    class Net(nnx.Module):
        def __init__(self):
            self.layers = layers

    with trace() as tr, seed(rng_seed=0):
        random_nnx_module("nn", Net(), dist.Normal(), scope_divider="|")
    assert [k for k in tr if "$" not in k] == ["nn|layers.0.bias", "nn|layers.0.kernel", "nn|layers.1.kernel"]


def test_haiku_state_and_keys():
    haiku = pytest.importorskip("haiku")

    def model(x):
        net = haiku_module("nn", haiku.transform_with_state(lambda x: haiku.BatchNorm(True, True, 0.9)(x, True)), x)
        numpyro.sample("y", dist.Normal(net(x), 1.0).to_event(), obs=x)

    _, last, _ = run_three_steps(model)
    np.testing.assert_allclose(last["nn$state"]["state"]["batch_norm/~/mean_ema"]["average"][0], X.mean(0), rtol=1e-5)
    with seed(rng_seed=0):
        drop = haiku.transform(lambda x: haiku.dropout(haiku.next_rng_key(), 0.5, x))
        apply = haiku_module("nn", drop, X, apply_rng=True)
    assert set(np.unique(apply(jax.random.key(0), np.ones(100)))) == {0.0, 2.0}


def test_equinox_state_in_a_mutable_site():
    eqx = pytest.importorskip("equinox")

    def model(x):
        norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(3, axis_name="batch", mode="ema", momentum=0.9)
        net = eqx_module("nn", norm)
        holder = mutable("nn$state", {"state": state})
        out, holder["state"] = jax.vmap(net, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(
            x, holder["state"]
        )
        numpyro.sample("y", dist.Normal(out, 1.0).to_event(), obs=x)

    _, last, _ = run_three_steps(model)
    leaves = [leaf for leaf in jax.tree.leaves(last) if np.shape(leaf) == (3,)]
    assert any(np.allclose(leaf, X.mean(0)) for leaf in leaves) and any(np.allclose(leaf, X.var(0)) for leaf in leaves)


def test_equinox_modules_as_dictionaries():
    eqx = pytest.importorskip("equinox")
    net = eqx.nn.MLP(3, 2, 4, 1, key=jax.random.key(0))
    params = eqx.filter(net, eqx.is_array)
    found = eqx_to_dict(params)
    assert set(found) == {"layers[0].weight", "layers[0].bias", "layers[1].weight", "layers[1].bias"}
    doubled = eqx_from_dict({name: 2.0 * value for name, value in found.items()}, params)
    assert eqx.tree_equal(doubled, jax.tree.map(lambda leaf: 2.0 * leaf, params))
    with pytest.raises(KeyError, match=r"no arrays for .*layers\[1\].bias"):
        eqx_from_dict({k: v for k, v in found.items() if k != "layers[1].bias"}, params)
