"""HMC and NUTS as kernels: derivatives, potentials, starts, the protocol, and what is said of mistakes."""

from __future__ import annotations

import copy
import pickle
import re
from collections import namedtuple
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax import lax

import numpyro
import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro.infer import HMC, MCMC, NUTS, init_to_value
from numpyro.infer.hmc import HMCState, hmc, momentum_generator

KEY = jax.random.PRNGKey(0)
MATRIX_FIELDS = ("inverse_mass_matrix", "mass_matrix_sqrt", "mass_matrix_sqrt_inv")


def model():
    a = numpyro.sample("a", dist.Normal(0.0, 3.0))
    numpyro.sample("b", dist.Normal(a, 0.5))
    numpyro.sample("c", dist.Normal(jnp.array([5.0, -5.0]), jnp.array([1.0, 10.0])).to_event(1))


START = {"a": np.float32(1), "b": np.float32(2), "c": np.array([5.0, -5.0], np.float32)}


def positive_model():
    numpyro.deterministic("twice", 2 * numpyro.sample("s", dist.Exponential(2.0)))


def run(kernel, num_warmup=0, num_samples=1, fields=(), init_params=None, **options):
    mcmc = MCMC(kernel, num_warmup=num_warmup, num_samples=num_samples, progress_bar=False, **options)
    mcmc.run(KEY, extra_fields=fields, init_params=init_params)
    return mcmc


def fail(match, error=ValueError):
    return pytest.raises(error, match=match)


def test_forward_mode_samples_what_reverse_mode_cannot_differentiate():
    def looping():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        halved = lax.while_loop(lambda v: jnp.abs(v) > 100.0, lambda v: 0.5 * v, x)
        numpyro.factor("f", -0.5 * 3 * (halved - 2.0) ** 2)  # the posterior is Normal(1.5, 1 / 2)

    with fail("[Rr]everse-mode"):
        NUTS(looping).init(KEY, 0)
    x = np.asarray(run(NUTS(looping, forward_mode_differentiation=True), 200, 400).get_samples()["x"])
    assert x.mean() == pytest.approx(1.5, abs=5 * 0.5 / np.sqrt(100))
    assert x.std() == pytest.approx(0.5, rel=0.3)


def test_both_modes_have_the_same_gradient():
    states = [NUTS(model, forward_mode_differentiation=mode).init(KEY, 0, START) for mode in (False, True)]
    for name in "abc":
        np.testing.assert_allclose(*(np.asarray(state.z_grad[name]) for state in states), rtol=1e-5)
    assert states[0].potential_energy == pytest.approx(float(states[1].potential_energy), rel=1e-6)


# Potentials and kinetic energies of one's own

Point = namedtuple("Point", ["x", "rest"])


@pytest.mark.parametrize(
    "start",
    [0.5, np.ones(3, np.float32), {"u": np.ones(2), "v": 1.0}, (1.0, [np.ones((2, 2))]), Point(1.0, {"y": np.ones(2)})],
    ids=["number", "vector", "dictionary", "tuple", "nested"],
)
def test_a_potential_takes_any_pytree(start):
    def potential(z):
        assert jax.tree.structure(z) == jax.tree.structure(start)
        return 0.5 * sum(jnp.sum((leaf - 3.0) ** 2) for leaf in jax.tree.leaves(z))

    state = NUTS(potential_fn=potential).init(KEY, 0, init_params=start)
    assert jax.tree.structure(state.z) == jax.tree.structure(start)
    assert jax.tree.map(np.shape, state.z_grad) == jax.tree.map(np.shape, start)
    jax.tree.map(lambda g, z: np.testing.assert_allclose(g, np.asarray(z) - 3, rtol=1e-6), state.z_grad, start)
    size = sum(np.size(leaf) for leaf in jax.tree.leaves(start))
    for field in MATRIX_FIELDS:
        assert getattr(state.adapt_state, field).shape == (size,)


def test_draws_of_a_potential_have_its_form_and_distribution():
    start = Point(np.float32(0), {"y": np.zeros(2, np.float32)})
    kernel = NUTS(potential_fn=lambda z: 0.5 * (z.x - 3) ** 2 + 0.5 * jnp.sum((z.rest["y"] / 2) ** 2))
    draws = run(kernel, 200, 400, init_params=start).get_samples()
    assert isinstance(draws, Point)
    assert draws.x.shape == (400,)
    assert draws.rest["y"].shape == (400, 2)
    assert draws.x.mean() == pytest.approx(3, abs=0.5)
    np.testing.assert_allclose(draws.rest["y"].std(0), 2, rtol=0.3)


def test_a_potential_needs_a_start_of_real_numbers():
    kernel = NUTS(potential_fn=lambda z: 0.5 * z**2)
    with fail("`init_params` must be provided with `potential_fn`"):
        run(kernel)
    with fail("real numbers, got int32: write 0.0", TypeError):
        run(kernel, init_params=0)
    with fail("potential energy is nan", RuntimeError):
        run(kernel, init_params=np.float32(np.nan))


def test_the_kinetic_energy_is_the_users():
    seen = []

    def raised(inverse_mass_matrix, r):
        seen.append((jax.tree.map(np.shape, inverse_mass_matrix), jax.tree.map(np.shape, r)))
        return 100.0 + 0.5 * jnp.sum(inverse_mass_matrix["a", "b", "c"][:1] * r["a"] ** 2)

    mcmc = run(NUTS(model, kinetic_fn=raised), 0, 5, ("energy", "potential_energy"), START)
    extra = mcmc.get_extra_fields()
    assert np.all(extra["energy"] - extra["potential_energy"] >= 100)
    assert seen[0] == ({("a", "b", "c"): (4,)}, {"a": (), "b": (), "c": (2,)})
    np.testing.assert_array_equal(mcmc.get_samples()["b"], START["b"])  # only `a` has a velocity
    assert np.ptp(mcmc.get_samples()["a"]) > 0


def test_momenta_of_the_documented_generator_have_the_mass_matrix_as_covariance():
    prototype = {"x": jnp.zeros(2), "y": jnp.zeros(())}
    keys = jax.random.split(KEY, 4000)

    def covariance(factor):
        draws = jax.vmap(lambda key: momentum_generator(prototype, factor, key))(keys)
        return np.cov(np.concatenate([draws["x"], draws["y"][:, None]], 1), rowvar=False)

    factor = jnp.array([[2.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.5, 0.0, 3.0]])
    np.testing.assert_allclose(covariance(factor), factor @ factor.T, atol=0.8)  # five standard errors of the largest
    np.testing.assert_allclose(covariance(jnp.array([1.0, 2.0, 3.0])), np.diag([1, 4, 9]), atol=0.9)
    blocks = {("y",): jnp.array([3.0]), ("x",): factor[:2, :2]}
    expected = np.block([[factor[:2, :2] @ factor[:2, :2].T, np.zeros((2, 1))], [np.zeros((1, 2)), 9.0]])
    np.testing.assert_allclose(covariance(blocks), expected, atol=0.9)
    with fail("incorrect number of dims: expected 1 or 2, got 3"):
        momentum_generator(prototype, jnp.ones((1, 1, 1)), KEY)


# Where chains start


def test_the_initialization_strategy_says_where():
    values = {"a": 1.5, "b": -2.0, "c": jnp.array([0.5, 7.0])}
    state = NUTS(model, init_strategy=init_to_value(values=values)).init(KEY, 0)
    for name, value in values.items():
        np.testing.assert_allclose(state.z[name], value, rtol=1e-6)
    uniform = NUTS(model).init(KEY, 0)
    assert all(np.all(np.abs(leaf) < 2) for leaf in jax.tree.leaves(uniform.z))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({"a": 1.0}, r"missing: \['b', 'c'\], unknown: \[\]"),
        (START | {"d": 1.0}, r"missing: \[\], unknown: \['d'\]"),
        (START | {"c": np.ones(3)}, r"site 'c' must have its unconstrained shape \(2,\), got \(3,\)"),
        (np.ones(4), "must be a dictionary of values by site, got ndarray"),
    ],
)
def test_wrong_starts_name_the_site(start, message):
    with fail(message, UsageError):
        run(NUTS(model), init_params=start)


def test_a_start_without_a_density_names_the_sites():
    def broken(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.factor("penalty", jnp.where(mu < 100, -jnp.inf, 0.0))
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    with fail(r"(?s)each of 100 starting points.*'penalty'.*init_to_value", RuntimeError):
        NUTS(broken).init(KEY, 0, model_args=(np.zeros(2, np.float32),))
    with fail(r"(?s)'penalty'", RuntimeError):
        run_args = MCMC(NUTS(broken), num_warmup=1, num_samples=1, progress_bar=False)
        run_args.run(KEY, np.zeros(2, np.float32))
    with fail(r"(?s)at the starting point.*'penalty'", RuntimeError):
        NUTS(broken).init(KEY, 0, {"mu": 1.0}, model_args=(np.zeros(2, np.float32),))
    assert np.isfinite(NUTS(broken).init(KEY, 0, {"mu": 200.0}, (np.zeros(2, np.float32),)).potential_energy)


def test_a_start_without_a_gradient_names_the_site():
    def broken():
        x = numpyro.sample("x", dist.Normal(0.0, 1.0))
        numpyro.factor("f", jnp.where(x > 1e6, jnp.sqrt(x - 1e6), 0.0))  # the gradient of the untaken branch is nan

    with fail("gradient at latent site 'x' is not finite", RuntimeError):
        NUTS(broken).init(KEY, 0)


def test_data_that_are_not_numbers_are_named():
    def with_data(y):
        numpyro.sample("y", dist.Normal(numpyro.sample("mu", dist.Normal(0.0, 1.0)), 1.0), obs=y)

    with fail(r"observed site 'y'.*1 of 2.*nan", RuntimeError):
        NUTS(with_data).init(KEY, 0, model_args=(np.array([0.0, np.nan], np.float32),))


def test_discrete_sites_are_named():
    def discrete():
        numpyro.sample("k", dist.Poisson(0.5))
        numpyro.sample("x", dist.Normal(0.0, 1.0))

    for kernel in (NUTS(discrete), HMC(discrete)):
        with fail(f"{type(kernel).__name__} samples continuous values.*'k'.*sum them out"):
            kernel.init(KEY, 0)


# The protocol


def test_states_have_the_documented_form():
    state = NUTS(model).init(KEY, 10, START)
    assert isinstance(state, HMCState)
    assert HMCState._fields == (
        *("i", "z", "z_grad", "potential_energy", "energy", "r", "trajectory_length", "num_steps"),
        *("accept_prob", "mean_accept_prob", "diverging", "adapt_state", "rng_key"),
    )
    adapt_fields = ("step_size", *MATRIX_FIELDS, "ss_state", "mm_state", "window_idx", "rng_key")
    assert state.adapt_state._fields[: len(adapt_fields)] == adapt_fields
    assert (state.i, state.num_steps, state.diverging, state.r, state.trajectory_length) == (0, 0, False, None, None)
    assert HMC(model, trajectory_length=1.5).init(KEY, 10, START).trajectory_length == 1.5
    assert [leaf.dtype for leaf in state.adapt_state.ss_state] == [*["float32"] * 3, "int32", "float32"]
    assert [leaf.shape for leaf in state.adapt_state.mm_state["a", "b", "c"]] == [(4,), (4,), ()]
    expected = -sum(
        scipy.stats.norm.logpdf(*args).sum()
        for args in [(1, 0, 3), (2, 1, 0.5), (np.array([5, -5]), np.array([5, -5]), np.array([1, 10]))]
    )
    assert state.potential_energy == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(state.z_grad["a"], 1 / 9 + (1 - 2) / 0.25, rtol=1e-5)


def test_a_loop_over_sample_draws_what_mcmc_draws():
    kernel = NUTS(model)
    mcmc = run(kernel, 10, 10, ("num_steps", "accept_prob"), START)
    state = kernel.init(jax.random.fold_in(KEY, 0), 10, START)
    step = jax.jit(kernel.sample)
    states = []
    for _ in range(20):
        state = step(state)
        states.append(state)
    np.testing.assert_array_equal([s.num_steps for s in states[10:]], mcmc.get_extra_fields()["num_steps"])
    np.testing.assert_allclose([s.z["b"] for s in states[10:]], mcmc.get_samples()["b"], rtol=1e-3)
    assert state.i == mcmc.last_state.i == 20
    warm, sampled = states[:10], states[10:]
    assert warm[-1].mean_accept_prob == pytest.approx(np.mean([s.accept_prob for s in warm]), rel=1e-5)
    assert state.mean_accept_prob == pytest.approx(np.mean([s.accept_prob for s in sampled]), rel=1e-5)


def test_the_functional_form_draws_the_same():
    kernel = NUTS(model, step_size=0.3, max_tree_depth=5)
    init_kernel, sample_kernel = hmc(kernel.get_potential_fn(), algo="NUTS")
    ours = kernel.init(KEY, 10, START)
    theirs = init_kernel(START, 10, step_size=0.3, max_tree_depth=5, rng_key=KEY)
    step, their_step = jax.jit(kernel.sample), jax.jit(sample_kernel)
    for _ in range(5):
        ours, theirs = step(ours), their_step(theirs)
    for name in "abc":
        np.testing.assert_allclose(ours.z[name], theirs.z[name], rtol=1e-4)


def test_the_functional_form_makes_potentials_of_arguments():
    def potential_of(mean, scale=1.0):
        return lambda z: 0.5 * ((z - mean) / scale) ** 2

    init_kernel, sample_kernel = hmc(potential_fn_gen=potential_of, algo="HMC")
    with fail("call `init_kernel` before"):
        sample_kernel(None)
    arguments = {"model_args": (jnp.float32(3.0),), "model_kwargs": {"scale": 2.0}}
    state = init_kernel(1.0, 0, step_size=0.5, trajectory_length=1.0, rng_key=KEY, **arguments)
    assert state.potential_energy == 0.5
    step = jax.jit(lambda state: sample_kernel(state, *arguments.values()))
    draws = []
    for _ in range(300):
        state = step(state)
        draws.append(state.z)
    assert state.num_steps == 2
    assert np.mean(draws) == pytest.approx(3, abs=1.5)
    with fail("`algo` must be one of"):
        hmc(lambda z: z, algo="SMC")
    with fail("Only one of `potential_fn` or `potential_fn_gen`"):
        hmc()


def test_a_batch_of_keys_gives_a_batch_of_states():
    kernel, keys = NUTS(model), jax.random.split(KEY, 3)
    batch = kernel.init(keys, 10)
    assert batch.z["c"].shape == (3, 2)
    for i in range(3):
        one = kernel.init(keys[i], 10)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-5), batch, one)
    starts = jax.tree.map(lambda leaf: np.stack([leaf, leaf + 1, leaf + 2]), START)
    np.testing.assert_array_equal(kernel.init(keys, 10, starts).z["c"], starts["c"])


def test_refresh_computes_what_the_state_caches():
    kernel = NUTS(model)
    state = kernel.init(KEY, 10, START)
    stale = state._replace(potential_energy=jnp.float32(0), z_grad=jax.tree.map(jnp.zeros_like, state.z_grad))
    fresh = kernel.refresh(stale, (), {})
    assert fresh.potential_energy == pytest.approx(float(state.potential_energy))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), fresh.z_grad, state.z_grad)
    np.testing.assert_array_equal(fresh.rng_key, stale.rng_key)


def test_wrapping_the_model_leaves_the_kernel_as_it_is():
    kernel = NUTS(model, step_size=0.25)
    wrapped = kernel.wrap_model(lambda m: numpyro.handlers.condition(m, data={"a": 0.0, "b": 0.0}))
    assert set(wrapped.init(KEY, 0).z) == {"c"}
    assert set(kernel.init(KEY, 0).z) == {"a", "b", "c"}
    assert wrapped.init(KEY, 0).adapt_state.step_size == 0.25
    assert kernel.model is model
    with fail("this one was made from a potential_fn"):
        NUTS(potential_fn=lambda z: z).wrap_model(lambda m: m)


def test_potential_and_constrain_functions():
    kernel = NUTS(positive_model)
    s = 0.7
    z = {"s": np.float32(np.log(s))}
    # the density of log s: 2 exp(-2 s) s
    assert kernel.get_potential_fn()(z) == pytest.approx(-(np.log(2) - 2 * s + np.log(s)), rel=1e-5)
    assert kernel.get_constrain_fn()(z) == {"s": pytest.approx(s, rel=1e-6)}
    with_deterministic = {"s": pytest.approx(s, rel=1e-6), "twice": pytest.approx(2 * s, rel=1e-6)}
    assert kernel.get_constrain_fn(return_deterministic=True)(z) == with_deterministic
    assert kernel.postprocess_fn((), {})(z) == with_deterministic
    bare = NUTS(potential_fn=lambda z: z["s"] ** 2)
    assert bare.get_potential_fn()({"s": 3.0}) == 9
    assert bare.get_constrain_fn()(z) is z


def test_kernels_survive_pickling_and_copying():
    kernel = NUTS(model, dense_mass=[("a", "b")], target_accept_prob=0.9, init_strategy=init_to_value(values=START))
    expected = kernel.init(KEY, 10)
    for twin in (pickle.loads(pickle.dumps(kernel)), copy.deepcopy(kernel)):
        jax.tree.map(np.testing.assert_array_equal, twin.init(KEY, 10), expected)


def test_the_progress_text_says_steps_their_size_and_acceptance():
    kernel = NUTS(model)
    text = kernel.get_diagnostics_str(kernel.init(KEY, 10, START))
    assert re.fullmatch(r"\d+ steps of size \d\.\d+e[+-]\d+\. acc\. prob=\d\.\d+", text)
    assert kernel.sample_field == "z"
    assert kernel.default_fields == ("z", "diverging")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: NUTS(), ValueError, "Only one of `model` or `potential_fn`"),
        (lambda: NUTS(model, lambda z: z), ValueError, "Only one of `model` or `potential_fn`"),
        (lambda: NUTS(3), TypeError, "`model` must be a function, got int"),
        (lambda: NUTS(model, kinetic_fn=1.0), TypeError, "`kinetic_fn` must be a function, got float"),
        (lambda: NUTS(model, step_size=0.0), ValueError, "`step_size` must be positive, got 0.0"),
        (lambda: NUTS(model, target_accept_prob=1.0), ValueError, "`target_accept_prob` must lie between 0 and 1"),
        (lambda: NUTS(model, max_tree_depth=0), ValueError, "`max_tree_depth` must be an integer from 1 to 30"),
        (lambda: NUTS(model, max_tree_depth=(3, 4, 5)), ValueError, "or a pair of them, got"),
        (lambda: HMC(model, trajectory_length=None), ValueError, "At least one of `num_steps` or `trajectory_length`"),
        (lambda: HMC(model, num_steps=0, trajectory_length=None), ValueError, "`num_steps` must be a positive integer"),
        (lambda: HMC(model, num_steps=1.5, trajectory_length=None), ValueError, "positive integer, got 1.5"),
    ],
)
def test_settings_out_of_range_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_kernels_run_in_double_precision(x64):
    mcmc = run(NUTS(model, dense_mass=[("a", "b")]), 50, 10, ("potential_energy", "accept_prob"))
    floats = [leaf for leaf in jax.tree.leaves(mcmc.last_state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    assert {leaf.dtype for leaf in floats} == {np.dtype("float64")}
    assert {leaf.dtype for leaf in jax.tree.leaves(mcmc.get_samples())} == {np.dtype("float64")}
