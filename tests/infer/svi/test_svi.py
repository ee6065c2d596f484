"""SVI: states and steps as documented, runs that compile once, starts, constraints, mutable state, and mistakes."""

from __future__ import annotations

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.example_libraries import optimizers

import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import SVI, Predictive, RenyiELBO, Trace_ELBO, TraceMeanField_ELBO
from numpyro.infer.svi import SVIRunResult, SVIState, loop
from numpyro.optim import Adam, Minimize
from tests.helpers.compilations import count_compilations

KEY = jax.random.key(0)
Y = np.array([0.5, 1.5, 2.5], np.float32)


def SLOWING(step):
    """Step sizes that settle down."""
    return 0.05 / (1.0 + step / 100.0)


def model(y, sd=1.0):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", len(y)):
        numpyro.sample("y", dist.Normal(mu, sd), obs=y)


def guide(y, sd=1.0):
    loc = numpyro.param("loc", lambda key: jax.random.uniform(key))
    scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
    numpyro.sample("mu", dist.Normal(loc, scale))


def make(optim=None, loss=None, **static):
    return SVI(model, guide, optim or Adam(0.05), loss or Trace_ELBO(), **static)


@pytest.mark.parametrize(
    "optim",
    [Adam(SLOWING), optax.adam(SLOWING), optax.chain(optax.clip(5.0), optax.adam(SLOWING)), optimizers.adam(SLOWING)],
    ids=["numpyro", "optax", "chain", "jax"],
)
@pytest.mark.parametrize("loss", [Trace_ELBO(), TraceMeanField_ELBO(), RenyiELBO()], ids=lambda o: type(o).__name__)
def test_a_fit_finds_the_posterior(optim, loss):
    """Normal prior and likelihood: the posterior is N(sum / 4, 1 / 4)."""
    result = make(optim, loss).run(KEY, 1500, Y, progress_bar=False)
    assert isinstance(result, SVIRunResult) and isinstance(result.state, SVIState)
    assert result.losses.shape == (1500,) and np.isfinite(result.losses).all()
    np.testing.assert_allclose(result.params["loc"], Y.sum() / 4, atol=0.12)
    np.testing.assert_allclose(result.params["scale"], 0.5, atol=0.12)


def test_states_and_steps():
    svi = make()
    state = svi.init(KEY, Y)
    assert state._fields == ("optim_state", "mutable_state", "rng_key") and state.mutable_state is None
    assert set(svi.get_params(state)) == {"loc", "scale"} and svi.get_params(state)["scale"] == 1.0
    before = svi.evaluate(state, Y)
    assert before == svi.evaluate(state, Y) and before.shape == ()
    moved, loss = svi.update(state, Y)
    assert loss.shape == () and svi.get_params(moved)["scale"] != 1.0
    assert not np.array_equal(jax.random.key_data(moved.rng_key), jax.random.key_data(state.rng_key))
    by_hand, _ = jax.jit(svi.update)(state, Y)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), svi.get_params(by_hand), svi.get_params(moved)
    )


def test_a_run_makes_the_steps_of_update():
    svi = make()
    state = svi.init(KEY, Y)
    result = svi.run(KEY, 5, Y, progress_bar=False)
    update, losses = jax.jit(svi.update), []
    for _ in range(5):
        state, loss = update(state, Y)
        losses.append(loss)
    np.testing.assert_allclose(result.losses, losses, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), result.params, svi.get_params(state))


def test_a_run_goes_on_from_a_state():
    whole = make().run(KEY, 10, Y, progress_bar=False)
    first = make().run(KEY, 4, Y, progress_bar=False)
    for svi in (make(),):  # one that has not seen an init
        second = svi.run(KEY, 6, Y, progress_bar=False, init_state=first.state)
        np.testing.assert_allclose(np.concatenate([first.losses, second.losses]), whole.losses, rtol=1e-5)
        np.testing.assert_allclose(second.params["loc"], whole.params["loc"], rtol=1e-5)


def test_starts_can_be_given_in_their_constraints():
    svi = make()
    params = svi.get_params(svi.init(KEY, Y, init_params={"scale": 3.0, "loc": jnp.array(7.0)}))
    np.testing.assert_allclose([params["loc"], params["scale"]], [7.0, 3.0], rtol=1e-6)
    with pytest.warns(UserWarning, match=r"\['sclae'\].*\['loc', 'scale'\]"):
        svi.init(KEY, Y, init_params={"sclae": 3.0})


def test_a_second_run_compiles_nothing():
    other_key = jax.random.key(5)
    make().run(KEY, 5, Y, progress_bar=False)
    with count_compilations() as count:
        make().run(other_key, 300, Y + 1, progress_bar=False)
    assert count() == 0


def test_few_programs_are_compiled():
    def other(y):
        model(y, 2.0)

    with count_compilations() as count:
        SVI(other, guide, Adam(0.01), Trace_ELBO()).run(KEY, 50, Y, progress_bar=False)
    assert count() <= 12


@pytest.mark.parametrize("stable", [False, True])
def test_a_step_that_is_not_finite_is_left_out_where_asked(stable):
    def broken(y):
        x = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        numpyro.factor("often", jnp.where(x > 0, jnp.nan, 0.0) * x)

    result = SVI(broken, guide, Adam(0.05), Trace_ELBO()).run(KEY, 50, Y, progress_bar=False, stable_update=stable)
    assert np.isnan(result.losses).any()
    assert np.isfinite(result.params["loc"]) == stable


def test_forward_mode_differentiates_loops():
    def looping(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        mu = jax.lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, s[1] * 1.0), (0, mu))[1]
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)

    svi = SVI(looping, guide, Adam(0.05), Trace_ELBO())
    result = svi.run(KEY, 20, Y, progress_bar=False, forward_mode_differentiation=True)
    plain = make().run(KEY, 20, Y, progress_bar=False)
    np.testing.assert_allclose(result.losses, plain.losses, rtol=1e-4)
    assert np.isfinite(svi.update(result.state, Y, forward_mode_differentiation=True)[1])


def test_static_arguments_and_params_of_the_model():
    def fitted(y, sd, shift=0.0):
        sd = numpyro.param("sd", sd, constraint=constraints.interval(0.1, 10.0))
        numpyro.sample("y", dist.Normal(shift, sd).expand([len(y)]), obs=y)

    svi = SVI(fitted, lambda y, sd, shift=0.0: None, Adam(0.05), Trace_ELBO(), sd=2.0)
    result = svi.run(KEY, 600, Y, shift=0.5, progress_bar=False)
    np.testing.assert_allclose(result.params["sd"], np.sqrt(np.mean((Y - 0.5) ** 2)), rtol=1e-2)


def test_mutable_state_goes_from_step_to_step():
    def counting(y):
        count = numpyro.primitives.mutable("count", {"runs": jnp.array(0)})
        count["runs"] = count["runs"] + 1
        model(y)

    svi = SVI(counting, guide, Adam(0.05), Trace_ELBO())
    state = svi.init(KEY, Y)
    runs = int(state.mutable_state["count"]["runs"])
    result = svi.run(KEY, 7, Y, progress_bar=False)
    assert int(result.state.mutable_state["count"]["runs"]) == runs + 7


def test_minimize_fits_in_one_step():
    def point(y, sd=1.0):
        numpyro.sample("mu", dist.Delta(numpyro.param("loc", 0.0)))

    svi = SVI(model, point, Minimize(), Trace_ELBO())
    state, _ = svi.update(svi.init(KEY, Y), Y)
    np.testing.assert_allclose(svi.get_params(state)["loc"], Y.sum() / 4, atol=1e-3)


def test_runs_inside_traces():
    fit = lambda y: make().run(KEY, 30, y, progress_bar=False)
    many = jax.jit(jax.vmap(lambda y: fit(y).params["loc"]))(np.stack([Y, Y + 1]))
    np.testing.assert_allclose(many[0], fit(Y).params["loc"], rtol=1e-5)
    assert many.shape == (2,) and many[1] > many[0]


def test_predictions_by_a_fitted_guide():
    result = make(Adam(SLOWING)).run(KEY, 1500, Y, progress_bar=False)
    draws = Predictive(guide, params=result.params, num_samples=2000)(KEY, Y)["mu"]
    np.testing.assert_allclose([draws.mean(), draws.std()], [result.params["loc"], result.params["scale"]], atol=0.06)
    predicted = Predictive(model, guide=guide, params=result.params, num_samples=50)(KEY, Y)
    assert predicted["y"].shape == (50, 3)


def test_ctrl_c_ends_a_run_with_its_steps(monkeypatch):
    chunks = []
    perf_counter = loop.time.perf_counter

    def pressing():
        chunks.append(1)
        if len(chunks) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return perf_counter()

    monkeypatch.setattr(loop.time, "perf_counter", pressing)
    with pytest.warns(UserWarning, match=r"interrupted after \d+ of 100000000 steps"):
        result = make().run(KEY, 10**8, Y, progress_bar=False)
    assert 0 < len(result.losses) < 10**8


def test_the_bar_says_the_losses(monkeypatch, capsys):
    silent = make().run(KEY, 200, Y, progress_bar=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(loop, "is_shown", lambda: True)
    shown = make().run(KEY, 200, Y, progress_bar=True)
    text = capsys.readouterr().err
    assert "init loss" in text and "avg loss [191-200]" in text and "200/200" in text
    np.testing.assert_array_equal(shown.losses, silent.losses)


# Mistakes


def test_arguments_that_are_none(monkeypatch):
    with pytest.raises(TypeError, match="`optim` must be an optimiser"):
        SVI(model, guide, "adam", Trace_ELBO())
    with pytest.raises(TypeError, match="`loss` must be an objective"):
        SVI(model, guide, Adam(0.1), 3)
    with pytest.raises(TypeError, match="`guide` must be a function"):
        SVI(model, None, Adam(0.1), Trace_ELBO())
    with pytest.raises(TypeError, match="random key"):
        make().init(Y)
    with pytest.raises(ValueError, match="num_steps must be a positive integer"):
        make().run(KEY, 0, Y)
    with pytest.raises(TypeError, match="num_steps must be an integer"):
        make().run(KEY, 1.5, Y)
    with pytest.raises(ValueError, match="`init` or `run` must be called before"):
        make().get_params(make().init(KEY, Y))
