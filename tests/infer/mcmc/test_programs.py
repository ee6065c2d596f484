"""What is compiled, and when: once for a model and its shapes, with data as arguments; runs in traces and threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, init_to_value

KEY, OTHER_KEY = jax.random.PRNGKey(0), jax.random.PRNGKey(1)
DATA = np.array([1.0, 2.0, 4.0], np.float32)
COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"


def model(y, scale=1.0):
    mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    numpyro.sample("y", dist.Normal(mu, scale), obs=y)


def make(kernel=None, num_samples=10, num_chains=1, **options):
    options = {"num_warmup": 10, "progress_bar": False, "chain_method": "sequential", **options}
    return MCMC(kernel or NUTS(model, max_tree_depth=4), num_samples=num_samples, num_chains=num_chains, **options)


def draws(mcmc, key, *args, **kwargs):
    mcmc.run(key, *args, **kwargs)
    return np.asarray(mcmc.get_samples(group_by_chain=True)["mu"])


@contextmanager
def counting_compilations():
    """A list that grows by one for each program that XLA compiles."""
    compiled = []

    def listen(event, duration, **kwargs):
        if event == COMPILE_EVENT:
            compiled.append(kwargs.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_the_counter_counts():
    with counting_compilations() as compiled:
        jax.jit(lambda x: x * 3.21 - 1)(jnp.ones(7))
    assert compiled


# Once


@pytest.mark.parametrize("method", ["sequential", "parallel", "vectorized"])
def test_a_repeated_run_compiles_nothing(method):
    mcmc = make(num_chains=2, chain_method=method)
    first, on_device = draws(mcmc, KEY, DATA), jnp.asarray(DATA)
    with counting_compilations() as compiled:
        again = draws(mcmc, KEY, DATA)
        draws(mcmc, OTHER_KEY, DATA)
        other = draws(make(num_chains=2, chain_method=method), KEY, DATA)
        elsewhere = draws(mcmc, KEY, DATA + 10)
        draws(mcmc, KEY, on_device)
    assert compiled == []
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(other, first)
    assert abs(elsewhere[:, -1].mean() - first[:, -1].mean()) > 5


def test_lengths_settings_and_new_definitions_compile_nothing():
    draws(make(), KEY, DATA)

    def defined_again(y, scale=1.0):
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        numpyro.sample("y", dist.Normal(mu, scale), obs=y)

    with counting_compilations() as compiled:
        for options in ({"num_samples": 300}, {"num_warmup": 170}, {"num_samples": 12, "thinning": 3}):
            make(**options).run(KEY, DATA)
        for kernel in (
            NUTS(model, max_tree_depth=4, step_size=0.1),
            NUTS(model, max_tree_depth=4, target_accept_prob=0.9),
            NUTS(defined_again, max_tree_depth=4),
        ):
            make(kernel).run(KEY, DATA)
    assert compiled == []


def test_a_changed_model_shape_or_constant_is_seen():
    tight = draws(make(), KEY, DATA, scale=0.01)
    wide = draws(make(), KEY, DATA, scale=100.0)
    assert tight[:, 5:].std() < 0.1 < wide[:, 5:].std()
    longer = draws(make(num_samples=200), KEY, np.full(1000, 3.0, np.float32))
    assert longer[:, 50:].mean() == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"dense_mass": False}, {"dense_mass": True}),
        ({"max_tree_depth": 2}, {"max_tree_depth": 4}),
        ({"adapt_mass_matrix": True}, {"adapt_mass_matrix": False}),
        ({"regularize_mass_matrix": True}, {"regularize_mass_matrix": False}),
        ({"adapt_step_size": True}, {"adapt_step_size": False}),
    ],
)
def test_a_program_compiled_for_one_option_does_not_serve_another(first, second):
    def final(options):
        mcmc = make(NUTS(model, **({"max_tree_depth": 3} | options)), num_warmup=60, num_samples=30)
        mcmc.run(KEY, DATA, extra_fields=("num_steps",))
        adapt = mcmc.last_state.adapt_state
        matrix = adapt.inverse_mass_matrix[("mu",)]
        return (
            matrix.shape,
            float(np.ravel(matrix)[0]),
            float(adapt.step_size),
            mcmc.get_extra_fields()["num_steps"].max(),
        )

    assert final(first) != final(second)


# Data are arguments


def test_arrays_edited_in_place_give_new_results():
    data, offset = DATA.copy(), np.zeros(3, np.float32)

    def with_global(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        numpyro.sample("y", dist.Normal(mu + offset, 0.1), obs=y)

    mcmc = make(NUTS(with_global), num_warmup=100)
    assert draws(mcmc, KEY, data).mean() == pytest.approx(7 / 3, abs=0.3)
    data += 10
    assert draws(mcmc, KEY, data).mean() == pytest.approx(7 / 3 + 10, abs=0.3)
    offset += 20
    assert draws(mcmc, KEY, data).mean() == pytest.approx(7 / 3 - 10, abs=0.3)


def test_arrays_of_a_strategy_are_seen_when_edited():
    start = np.array(3.0, np.float32)
    kernel = NUTS(model, init_strategy=init_to_value(values={"mu": start}), step_size=1e-6, max_tree_depth=4)
    for value in (3.0, -4.0):
        start[...] = value
        assert draws(make(kernel, num_warmup=0, num_samples=1), KEY, DATA)[0, 0] == pytest.approx(value, abs=0.01)


def branching(y, flag=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    if float(y.sum()) > 0:  # needs the value
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def test_models_that_need_values_get_them_unless_arrays_must_be_arguments():
    assert draws(make(NUTS(branching)), KEY, DATA).shape == (1, 10)
    with pytest.raises(TypeError, match="[Cc]oncrete"):
        draws(make(NUTS(branching), jit_model_args=True), KEY, DATA)
    # other values, other program
    here, there = (draws(make(NUTS(branching), num_samples=50), KEY, DATA * sign) for sign in (1, -1))
    assert here.mean() > 0.5 > there.mean()
    np.testing.assert_array_equal(draws(make(jit_model_args=True), KEY, DATA), draws(make(), KEY, DATA))


def test_arguments_may_be_anything():
    class Setting:
        scale = 1.0

    def with_everything(y, setting, names, n, *, flags):
        mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
        assert isinstance(n, int)
        assert names == ("a", "b")
        if flags["observe"]:
            numpyro.sample("y", dist.Normal(mu, setting.scale), obs=y["a"]["b"])

    mcmc = make(NUTS(with_everything), num_warmup=100)
    arguments = ({"a": {"b": DATA}}, Setting(), ("a", "b"), 3)
    assert abs(draws(mcmc, KEY, *arguments, flags={"observe": True}).mean() - 7 / 3) < 2
    assert draws(mcmc, KEY, *arguments, flags={"observe": False}).std() > 2


# Inside traces


def test_a_run_stands_inside_jit():
    def posterior(key, y):
        mcmc = make(num_samples=5, num_chains=2, chain_method="vectorized")
        mcmc.run(key, y)
        return mcmc.get_samples(group_by_chain=True)["mu"], mcmc.last_state.i

    inside, i = jax.jit(posterior)(KEY, DATA)
    outside = draws(make(num_samples=5, num_chains=2, chain_method="vectorized"), KEY, DATA)
    np.testing.assert_array_equal(i, 15)
    np.testing.assert_allclose(inside[:, :2], outside[:, :2], rtol=1e-3)


def test_a_run_on_constants_stands_inside_jit():
    def posterior():
        mcmc = make(num_samples=5)
        mcmc.run(KEY, DATA)
        return mcmc.get_samples()["mu"]

    np.testing.assert_allclose(jax.jit(posterior)()[:2], draws(make(num_samples=5), KEY, DATA)[0, :2], rtol=1e-3)


def test_a_run_may_be_mapped_over_data_keys_and_settings():
    def posterior(key, y, step_size):
        mcmc = make(NUTS(model, step_size=step_size, adapt_step_size=False), num_samples=5)
        mcmc.run(key, y, extra_fields=("adapt_state.step_size",))
        return mcmc.get_samples()["mu"], mcmc.get_extra_fields()["adapt_state.step_size"]

    data = np.stack([DATA, DATA + 100])
    mu, step_size = jax.vmap(posterior)(jax.random.split(KEY, 2), data, np.float32([0.25, 0.5]))
    assert mu.shape == (2, 5)
    assert mu[1].mean() > 50 > mu[0].mean()
    np.testing.assert_array_equal(step_size, np.float32([[0.25] * 5, [0.5] * 5]))


# Precision, threads, devices


@pytest.mark.parametrize("method", ["sequential", "parallel", "vectorized"])
def test_a_context_of_double_precision_holds_for_all_chains(method):
    with jax.enable_x64(True):
        mcmc = make(num_chains=2, chain_method=method)
        mcmc.run(KEY, DATA.astype(np.float64), extra_fields=("potential_energy",))
        assert mcmc.last_state.potential_energy.dtype == np.float64
    assert mcmc.get_samples()["mu"].dtype == np.float64
    assert mcmc.get_extra_fields()["potential_energy"].dtype == np.float64
    mcmc = make(num_chains=2, chain_method=method)
    mcmc.run(KEY, DATA)
    assert mcmc.get_samples()["mu"].dtype == np.float32


def test_runs_in_several_threads_do_not_meet():
    expected = [draws(make(num_chains=2, chain_method="parallel"), KEY, DATA + shift) for shift in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda s: draws(make(num_chains=2, chain_method="parallel"), KEY, DATA + s), range(4))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_interrupted_chain_stops_the_others():
    class Stopping(NUTS):
        def get_diagnostics_str(self, state):
            raise KeyboardInterrupt

    options = {"num_chains": 3, "num_samples": 10_000, "chain_method": "parallel", "progress_bar": True}
    mcmc = make(Stopping(model, max_tree_depth=4), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numpyro.infer.mcmc.progress.is_shown", lambda: True)
        with pytest.raises(KeyboardInterrupt):
            mcmc.run(KEY, DATA)
