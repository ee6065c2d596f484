"""Users' own kernels: random walks, ensembles, and subclasses of ours."""

from __future__ import annotations

from collections import namedtuple
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro.infer import HMC, MCMC, NUTS
from numpyro.infer.hmc import hmc
from numpyro.infer.mcmc import MCMCKernel
from numpyro.infer.util import initialize_model

KEY = jax.random.PRNGKey(0)
WalkState = namedtuple("WalkState", ["u", "accepted", "rng_key"])


class RandomWalk(MCMCKernel):
    """Random walk Metropolis on a standard normal times ``scale``, an argument of the model."""

    sample_field = "u"

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        start = jnp.zeros(2) if init_params is None else jnp.asarray(init_params)
        return WalkState(start, jnp.array(False), rng_key)

    def sample(self, state, model_args, model_kwargs):
        (scale,) = model_args
        rng_key, propose, accept = jax.random.split(state.rng_key, 3)
        proposal = state.u + scale * jax.random.normal(propose, state.u.shape)
        log_ratio = 0.5 * (jnp.sum(state.u**2) - jnp.sum(proposal**2)) / scale**2
        accepted = jnp.log(jax.random.uniform(accept)) < log_ratio
        return WalkState(jnp.where(accepted, proposal, state.u), accepted, rng_key)


def make(kernel, num_warmup=20, num_samples=400, **options):
    options = {"progress_bar": False, "chain_method": "sequential", **options}
    return MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, **options)


SCALE = np.float32(3.0)


@pytest.mark.parametrize("method", ["sequential", "parallel", "vectorized", jax.vmap])
def test_a_random_walk_draws_its_target(method):
    mcmc = make(RandomWalk(), num_samples=1500, num_chains=2, chain_method=method)
    mcmc.run(KEY, SCALE, extra_fields=("accepted",))
    samples = np.asarray(mcmc.get_samples())
    assert samples.shape == (3000, 2)
    np.testing.assert_allclose(samples.mean(0), 0, atol=5 * 3 / np.sqrt(300))
    np.testing.assert_allclose(samples.std(0), 3, rtol=0.2)
    assert set(mcmc.get_extra_fields()) == {"accepted"}
    assert 0.2 < mcmc.get_extra_fields()["accepted"].mean() < 0.9
    assert mcmc.last_state.u.shape == (2, 2)


def test_its_draws_are_those_of_a_loop():
    mcmc = make(RandomWalk(), num_warmup=3, num_samples=5)
    mcmc.run(KEY, SCALE, init_params=np.ones(2, np.float32))
    state = RandomWalk().init(jax.random.fold_in(KEY, 0), 3, np.ones(2), (SCALE,), {})
    step = jax.jit(RandomWalk().sample)
    draws = []
    for _ in range(8):
        state = step(state, (SCALE,), {})
        draws.append(state.u)
    np.testing.assert_allclose(mcmc.get_samples(), draws[3:], rtol=1e-5)


def test_it_can_be_thinned_continued_and_postprocessed():
    whole = make(RandomWalk(), num_samples=8)
    whole.run(KEY, SCALE)
    parts = make(RandomWalk(), num_samples=4, thinning=2, postprocess_fn=lambda u: {"first": u[0]})
    parts.warmup(KEY, SCALE)
    parts.run(parts.post_warmup_state.rng_key, SCALE)
    first = parts.get_samples()["first"]
    parts.post_warmup_state = parts.last_state
    parts.run(parts.last_state.rng_key, SCALE)
    joined = np.concatenate([first, parts.get_samples()["first"]])
    np.testing.assert_array_equal(joined, whole.get_samples()[1::2, 0])


def test_data_of_a_users_kernel_are_arguments_too():
    mcmc = make(RandomWalk(), num_samples=1000)
    spreads = []
    for scale in (1.0, 10.0):
        mcmc.run(KEY, np.float32(scale))
        spreads.append(float(mcmc.get_samples().std()))
    assert spreads[1] == pytest.approx(10 * spreads[0], rel=1e-4)  # the same walk, scaled


def test_its_fields_are_checked(capsys):
    mcmc = make(RandomWalk(), num_samples=10)
    with pytest.raises(ValueError, match="extra field 'energy'.*it has u, accepted, rng_key"):
        mcmc.run(KEY, SCALE, extra_fields=("energy",))
    mcmc.run(KEY, SCALE)
    mcmc.print_summary()
    out = capsys.readouterr().out
    assert "Param:0[1]" in out
    assert "divergences" not in out
    kernel = RandomWalk()
    assert kernel.default_fields == ("u",)
    assert kernel.get_diagnostics_str(None) == ""
    assert kernel.refresh(3, (), {}) == 3
    assert not kernel.is_ensemble_kernel
    with pytest.raises(TypeError, match="RandomWalk has no model to wrap"):
        kernel.wrap_model(lambda m: m)
    with pytest.raises(TypeError, match="abstract"):
        MCMCKernel()


# Ensembles


class EnsembleState(NamedTuple):
    z: dict
    mean: jax.Array
    rng_key: jax.Array


class Ensemble(MCMCKernel):
    """Moves all chains at once; the shared mean of all chains is a field without an axis of chains."""

    sample_field = "z"
    is_ensemble_kernel = True

    def init(self, rng_key, num_warmup, init_params, model_args, model_kwargs):
        x = jnp.arange(rng_key.shape[0], dtype=jnp.float32) if init_params is None else init_params["x"]
        return EnsembleState({"x": x}, jnp.mean(x), rng_key[0])

    def sample(self, state, model_args, model_kwargs):
        rng_key, move = jax.random.split(state.rng_key)
        x = state.z["x"] + jax.random.normal(move, state.z["x"].shape)
        return EnsembleState({"x": x}, jnp.mean(x), rng_key)


def test_an_ensemble_advances_as_one():
    mcmc = make(Ensemble(), num_warmup=1, num_samples=300, num_chains=4, chain_method="vectorized")
    mcmc.run(KEY, extra_fields=("mean",))
    x = mcmc.get_samples(group_by_chain=True)["x"]
    assert x.shape == (4, 300)
    assert mcmc.get_samples()["x"].shape == (1200,)
    mean = mcmc.get_extra_fields(group_by_chain=True)["mean"]
    np.testing.assert_allclose(mean, np.broadcast_to(x.mean(0), (4, 300)), atol=1e-3)
    assert np.std(np.diff(x, axis=1)) == pytest.approx(1, abs=0.15)
    assert mcmc.last_state.z["x"].shape == (4,)
    np.testing.assert_array_equal(mcmc.last_state.z["x"], x[:, -1])


def test_an_ensemble_continues_and_takes_starts():
    start = {"x": np.float32([10, 20, 30])}
    options = {"num_chains": 3, "chain_method": "vectorized", "num_warmup": 2}
    whole = make(Ensemble(), num_samples=6, **options)
    whole.run(KEY, init_params=start)
    np.testing.assert_allclose(whole.get_samples(True)["x"][:, 0], start["x"], atol=8)
    parts = make(Ensemble(), num_samples=6, **options)
    parts.warmup(KEY, init_params=start)
    parts.run(parts.post_warmup_state.rng_key)
    np.testing.assert_array_equal(parts.get_samples()["x"], whole.get_samples()["x"])


def test_an_ensemble_needs_its_chains_together():
    with pytest.raises(UsageError, match="Ensemble advances its chains as one ensemble: use chain_method='vectorized'"):
        make(Ensemble(), num_chains=2).run(KEY)


# Subclasses


def normal_model():
    numpyro.sample("x", dist.Normal(0.0, 1.0))


def test_what_a_subclass_overrides_is_heeded():
    class Frozen(NUTS):
        def sample(self, state, model_args=(), model_kwargs=None):
            state = super().sample(state, model_args, model_kwargs)
            return state._replace(z={"x": jnp.full_like(state.z["x"], 7.0)})

    class Shifted(HMC):
        def postprocess_fn(self, model_args, model_kwargs):
            constrain = super().postprocess_fn(model_args, model_kwargs)
            return lambda z: {"shifted": constrain(z)["x"] + 100.0}

    class Started(NUTS):
        def init(self, rng_key, num_warmup, init_params=None, model_args=(), model_kwargs=None):
            return super().init(rng_key, num_warmup, {"x": 50.0}, model_args, model_kwargs)

    frozen = make(Frozen(normal_model, max_tree_depth=2), num_warmup=2, num_samples=3, num_chains=2)
    frozen.run(KEY)
    np.testing.assert_array_equal(frozen.get_samples()["x"], 7)
    shifted = make(Shifted(normal_model, num_steps=2, trajectory_length=None), num_warmup=2, num_samples=3)
    shifted.run(KEY)
    assert list(shifted.get_samples()) == ["shifted"]
    assert np.all(np.abs(shifted.get_samples()["shifted"] - 100) < 10)
    started = make(Started(normal_model, step_size=1e-6, max_tree_depth=2), num_warmup=0, num_samples=1)
    started.run(KEY)
    assert started.last_state.z["x"] == pytest.approx(50, abs=0.1)


def test_a_subclass_that_overrides_nothing_of_these_runs_as_its_parent():
    class Named(NUTS):
        def get_diagnostics_str(self, state):
            return "mine"

    samples = []
    for kernel in (Named(normal_model, max_tree_depth=2), NUTS(normal_model, max_tree_depth=2)):
        mcmc = make(kernel, num_samples=5)
        mcmc.run(KEY)
        samples.append(mcmc.get_samples()["x"])
    np.testing.assert_array_equal(*samples)


@pytest.mark.parametrize("chain_method", ["sequential", "vectorized"])
def test_a_run_starts_at_the_point_that_initialize_model_found(chain_method):
    def model():
        numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.sample("s", dist.HalfNormal(1.0))

    keys = jax.random.split(jax.random.key(0), 2)
    start = initialize_model(keys, model).param_info
    mcmc = MCMC(NUTS(model), num_warmup=0, num_samples=1, num_chains=2, chain_method=chain_method, progress_bar=False)
    mcmc.run(jax.random.key(1), init_params=start)
    from_values = mcmc.get_samples()["x"]
    mcmc.run(jax.random.key(1), init_params=start.z)
    np.testing.assert_array_equal(mcmc.get_samples()["x"], from_values)
    init, _ = hmc(initialize_model(keys[0], model).potential_fn)
    one = jax.tree.map(lambda leaf: leaf[0], start)
    state = init(one, num_warmup=0, rng_key=keys[0])
    np.testing.assert_array_equal(state.z["x"], one.z["x"])
    np.testing.assert_allclose(state.potential_energy, one.potential_energy, rtol=1e-6)
