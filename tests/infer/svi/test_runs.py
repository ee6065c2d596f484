"""Runs beyond the interface: batches, callbacks, early stopping, best params, checkpoints, infinite losses."""

from __future__ import annotations

import itertools
import os
import pickle
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import SVI, Trace_ELBO, TraceGraph_ELBO, TraceMeanField_ELBO
from numpyro.infer.svi import EarlyStopping, NonFiniteError
from numpyro.infer.svi import checkpoint as checkpoint_module
from numpyro.optim import Adam
from tests.helpers.compilations import count_compilations

KEY = jax.random.key(0)
Y = np.array([0.5, 1.5, 2.5, 1.0, 0.0, 3.0], np.float32)


def model(y, size=None):
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    with numpyro.plate("data", size or len(y), subsample_size=len(y)):
        numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


def guide(y, size=None):
    loc = numpyro.param("loc", 0.0)
    scale = numpyro.param("scale", 1.0, constraint=constraints.positive)
    numpyro.sample("mu", dist.Normal(loc, scale))


def make(model=model, optim=None, loss=None):
    return SVI(model, guide, optim or Adam(0.05), loss or Trace_ELBO())


def fit(*args, svi=None, steps=250, **kwargs):
    return (svi or make()).run(KEY, steps, *args, progress_bar=False, **kwargs)


def assert_same(a, b):
    leaves = lambda tree: [
        np.asarray(jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
        for leaf in jax.tree.leaves(tree)
    ]
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


# Batches


def test_the_same_batch_at_every_step_is_a_run_on_the_data():
    plain = fit(Y)
    for data in (lambda step: Y, itertools.repeat((Y,)), lambda step: {"y": Y}):
        batched = fit(data=data)
        np.testing.assert_allclose(batched.losses, plain.losses, rtol=1e-5)
        np.testing.assert_allclose(batched.params["loc"], plain.params["loc"], rtol=1e-4)


def test_batches_fit_the_posterior_of_all_data():
    """Halves of the data, scaled up: the posterior is that of all six, N(sum / 7, 1 / 7)."""
    rows = np.random.default_rng(0).permuted(np.tile(Y, (4000, 1)), axis=1)[:, :3]
    slowing = lambda step: 0.05 / (1.0 + step / 100.0)
    result = fit(svi=make(optim=Adam(slowing)), steps=4000, data=lambda step: (rows[step], 6))
    np.testing.assert_allclose(result.params["loc"], Y.sum() / 7, atol=0.1)
    np.testing.assert_allclose(result.params["scale"], 7**-0.5, atol=0.06)


def test_batches_of_one_shape_are_compiled_once_and_a_run_ends_with_them():
    fit(data=lambda step: Y + step, steps=3)
    with count_compilations() as count:
        result = fit(data=iter([Y + i for i in range(40)]))
    assert count() == 0 and result.losses.shape == (40,)
    sizes = fit(data=iter([Y, Y[:4], Y, Y[:4], Y[:2]]))
    assert sizes.losses.shape == (5,) and np.isfinite(sizes.losses).all()


def test_data_that_are_no_source_are_an_argument_of_the_model():
    def on_data(data):
        model(data)

    svi = SVI(on_data, lambda data: guide(data), Adam(0.05), Trace_ELBO())
    np.testing.assert_allclose(fit(svi=svi, data=Y).losses, fit(Y).losses, rtol=1e-5)
    batched = fit(svi=svi, data=lambda step: {"data": Y})
    np.testing.assert_allclose(batched.losses, fit(Y).losses, rtol=1e-5)


def test_batches_come_after_other_arguments():
    ordered = lambda size, y: model(y, size)
    svi = SVI(ordered, lambda size, y: guide(y, size), Adam(0.05), Trace_ELBO())
    assert np.isfinite(fit(12, svi=svi, data=lambda step: Y, steps=5).losses).all()


# Callbacks


def test_callbacks_see_a_run_at_fixed_steps():
    seen = []
    result = fit(Y, callbacks=seen.append, callback_every=60)
    assert [p.step for p in seen] == [60, 120, 180, 240]
    for progress in seen:
        np.testing.assert_array_equal(progress.losses, result.losses[: progress.step])
        means = np.asarray(result.losses[: progress.step], np.float64).reshape(-1, 60).mean(1)
        np.testing.assert_allclose(progress.means, means, rtol=1e-6)
    assert_same(seen[0].params, fit(Y, steps=60).params)
    assert_same(result, fit(Y))


def test_a_callback_that_returns_true_ends_a_run():
    calls = []
    others = lambda progress: calls.append(progress.step)
    result = fit(Y, callbacks=[lambda progress: progress.step >= 40, others], callback_every=20)
    assert result.losses.shape == (40,) and calls == [20, 40]
    assert fit(Y, callbacks=lambda progress: "no", callback_every=20).losses.shape == (250,)


def test_early_stopping_goes_by_its_rule():
    result = fit(Y, steps=5000, callbacks=EarlyStopping(patience=3), callback_every=50)
    means = np.asarray(result.losses, np.float64).reshape(-1, 50).mean(1)
    assert len(means) < 100
    lowest = np.minimum.accumulate(means)
    gains = np.concatenate([[True], means[1:] < lowest[:-1]])
    assert not gains[-3:].any()
    assert all(gains[end - 3 : end].any() for end in range(3, len(means)))
    sooner = fit(Y, steps=5000, callbacks=EarlyStopping(patience=3, min_delta=0.5), callback_every=50)
    assert len(sooner.losses) < len(result.losses)
    np.testing.assert_array_equal(sooner.losses, result.losses[: len(sooner.losses)])


def test_the_best_params_are_kept():
    """With steps that grow the run leaves its best place."""
    svi = make(optim=Adam(lambda step: 0.01 * 1.02**step))
    seen = []
    result = fit(Y, svi=svi, callbacks=seen.append, callback_every=25, keep_best=True)
    best = int(np.nanargmin(seen[-1].means))
    assert 0 < best < len(seen) - 1
    assert_same(result.params, seen[best].params)
    assert_same(result.state, seen[-1].state)


def test_without_a_whole_window_the_last_params_are_the_best():
    assert_same(fit(Y, steps=30, keep_best=True).params, fit(Y, steps=30).params)


# Checkpoints


@pytest.mark.parametrize("source", ["whole", "function", "iterator"])
def test_a_run_in_two_pieces_is_the_run_in_one(tmp_path, source):
    def arguments():
        if source == "whole":
            return {"y": Y}
        batch = lambda step: Y + np.float32(0.1) * (step % 3)
        return {"data": batch if source == "function" else map(batch, itertools.count())}

    options = {"keep_best": True, "callback_every": 30}
    whole = fit(steps=200, **arguments(), **options)
    first = fit(steps=77, **arguments(), **options, checkpoint=tmp_path / "run")
    assert first.losses.shape == (77,)
    second = fit(steps=200, **arguments(), **options, checkpoint=str(tmp_path / "run"))
    assert_same(second, whole)
    assert_same(fit(steps=200, **arguments(), **options, checkpoint=tmp_path / "run"), whole)
    assert os.listdir(tmp_path) == ["run"]


def test_a_run_that_its_callbacks_ended_stays_ended(tmp_path):
    options = {"callbacks": EarlyStopping(2), "callback_every": 50, "checkpoint": tmp_path / "run"}
    first = fit(Y, steps=3000, **options)
    with count_compilations() as count:
        assert_same(fit(Y, steps=3000, **options), first)
    assert len(first.losses) < 3000 and count() == 0


def test_a_run_that_was_killed_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_module, "SECONDS", 0.0)

    def fails(progress):
        if progress.step == 120:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fit(Y, callbacks=fails, callback_every=20, checkpoint=tmp_path / "run")
    assert_same(fit(Y, checkpoint=tmp_path / "run"), fit(Y))


def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    def press(progress):
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted after 50 of 250 steps. To go on, pass the same checkpoint"):
        fit(Y, callbacks=press, callback_every=50, checkpoint=tmp_path / "run")
    assert_same(fit(Y, checkpoint=tmp_path / "run"), fit(Y))


@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.PRNGKey(3)], ids=["typed", "raw"])
def test_keys_and_mutable_state_are_restored(tmp_path, key):
    def counting(y):
        state = numpyro.primitives.mutable("state", {"runs": jnp.array(0), "key": jax.random.key(5)})
        state["runs"] = state["runs"] + 1
        state["key"] = jax.random.fold_in(state["key"], 1)
        model(y)

    svi = make(counting)
    run = lambda steps, **kwargs: svi.run(key, steps, Y, progress_bar=False, **kwargs)
    run(5, checkpoint=tmp_path / "run")
    assert_same(run(12, checkpoint=tmp_path / "run"), run(12))


def test_another_run_is_refused(tmp_path):
    path = tmp_path / "run"
    fit(Y, steps=5, checkpoint=path)
    content = path.read_bytes()
    with pytest.raises(ValueError, match="its data are others. Remove the file"):
        fit(Y + 1, steps=9, checkpoint=path)
    with pytest.raises(ValueError, match="optimiser or their arguments' shapes are others"):
        fit(Y, steps=9, svi=make(optim=Adam(0.01)), checkpoint=path)
    with pytest.raises(ValueError, match="began elsewhere"):
        make().run(jax.random.key(1), 9, Y, progress_bar=False, checkpoint=path)
    with pytest.raises(ValueError, match="began elsewhere"):
        fit(Y, steps=9, checkpoint=path, init_params={"loc": 1.0})
    assert path.read_bytes() == content
    path.write_bytes(content[:-40])
    with pytest.raises(ValueError, match="no checkpoint of SVI, or damaged"):
        fit(Y, steps=9, checkpoint=path)
    with pytest.raises(ValueError, match="has no folder"):
        fit(Y, steps=9, checkpoint=tmp_path / "none" / "run")


# Losses that are not finite


def broken(y):
    """Beyond 0.8 the first term is infinite; the others never are."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
    numpyro.factor("wall", jnp.where(mu > 0.8, -jnp.inf, 0.0))
    numpyro.sample("y", dist.Normal(mu, 1.0).expand([len(y)]), obs=y)


@pytest.mark.parametrize(
    "loss", [Trace_ELBO(), TraceMeanField_ELBO(), Trace_ELBO(3), TraceGraph_ELBO()], ids=lambda o: type(o).__name__
)
@pytest.mark.parametrize("batched", [False, True])
def test_a_loss_that_is_not_finite_names_its_site(loss, batched):
    svi = make(broken, loss=loss)
    with pytest.raises(NonFiniteError, match=r"The loss of step \d+ .* is inf: .*sites 'wall' \(inf\)") as caught:
        fit(svi=svi, stop_at_non_finite=True, **({"data": lambda step: Y} if batched else {"y": Y}))
    error = caught.value
    losses = np.asarray(fit(Y, svi=svi).losses)
    assert error.step == int(np.argmin(np.isfinite(losses)))
    if error.step:
        assert_same(error.state, fit(Y, svi=svi, steps=error.step).state)
    again = pickle.loads(pickle.dumps(NonFiniteError(str(error), error.step, None)))
    assert (str(again), again.step) == (str(error), error.step)


def test_a_gradient_that_is_not_finite_names_its_site():
    """The square root of 0 is finite, its derivative is not."""

    def rooted(y):
        mu = numpyro.sample("mu", dist.Normal(0.0, 1.0))
        loc = jnp.sqrt(jnp.maximum(mu, 0.0)) * 0.0
        numpyro.sample("y", dist.Normal(loc, 1.0).expand([len(y)]), obs=y)

    with pytest.raises(NonFiniteError, match=r"params 'loc', 'scale' are not finite, since .* of the terms of 'y'"):
        fit(Y, svi=make(rooted), stop_at_non_finite=True)


def test_finite_runs_are_left_alone(tmp_path):
    assert_same(fit(Y, stop_at_non_finite=True), fit(Y))


# Mistakes


def test_options_that_are_none():
    with pytest.raises(TypeError, match="`callbacks` must be functions"):
        fit(Y, callbacks=[3])
    with pytest.raises(ValueError, match="`callback_every` must be a positive integer, got 0"):
        fit(Y, callback_every=0)
    with pytest.raises(ValueError, match="`patience` must be a positive integer"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="`min_delta` must not be negative"):
        EarlyStopping(min_delta=-1.0)
    with pytest.raises(ValueError, match="`data` has no batch"):
        fit(data=iter([]))
    with pytest.raises(ValueError, match="either `stable_update`"):
        fit(Y, stable_update=True, stop_at_non_finite=True)


def test_runs_inside_traces_take_none_of_it():
    for options in ({"callbacks": print}, {"keep_best": True}, {"stop_at_non_finite": True}):
        with pytest.raises(ValueError, match=r"Inside of jit, vmap or grad .* cannot be used there"):
            jax.jit(lambda y: fit(y, **options).losses)(Y)  # noqa: B023
