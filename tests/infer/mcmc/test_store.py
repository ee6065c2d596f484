"""Runs on disk: what is there at any moment, and that a run goes on from it as if nothing had happened."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, MCMC, NUTS
from numpyro.infer.mcmc import StoreError
from numpyro.infer.mcmc.progress import Progress
from numpyro.infer.mcmc.store import arrays, files
from numpyro.infer.mcmc.store.files import lock_folder
from numpyro.infer.mcmc.store.names import file_name
from tests.infer.mcmc.stored_runs import FIELDS, KEY, METHODS, Y, assert_same, contents, drawn, model, prepare, resume
from tests.infer.mcmc.test_protocol import RandomWalk


@pytest.mark.parametrize("method", METHODS)
def test_a_run_with_a_store_draws_what_one_without_does(whole, tmp_path, method, commit_always):
    mcmc = prepare(tmp_path / "run", method=method)
    mcmc.run(KEY, Y, extra_fields=FIELDS)
    assert_same(drawn(mcmc), whole(method))
    assert_same(drawn(pickle.loads(pickle.dumps(mcmc))), whole(method))


class Crash(BaseException):
    pass


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_on_bit_for_bit_after_a_crash_at_any_write(whole, tmp_path, monkeypatch, commit_always, method):
    """Twenty crashes at random writes, each before or after the file is there."""
    rng = random.Random(0)
    write, left = files.write_durably, [0]

    def crashing_write(path, content):
        left[0] -= 1
        if left[0] == 0 and rng.random() < 0.5:
            raise Crash
        write(path, content)
        if left[0] <= 0:
            raise Crash

    crashes = 0
    for attempt in range(7):
        store, left[0] = tmp_path / f"run{attempt}", rng.randrange(5, 120)
        for module in (files, arrays):
            monkeypatch.setattr(module, "write_durably", crashing_write)
        mcmc = prepare(store, method=method)
        try:
            mcmc.run(KEY, Y, extra_fields=FIELDS)
        except Crash:
            crashes += 1
        for module in (files, arrays):
            monkeypatch.setattr(module, "write_durably", write)
        if not store.exists():  # it crashed before there was a store: then there is nothing in its place
            prepare(store, method=method).run(KEY, Y, extra_fields=FIELDS)
        assert_same(drawn(resume(store)), whole(method))
    assert crashes >= 4


PROGRAM = """
import sys, jax
from tests.infer.mcmc.stored_runs import KEY, Y, FIELDS, model, prepare, resume
from numpyro.infer.mcmc.store import recorder
from numpyro.infer.mcmc.progress import Progress
import time, os
recorder.COMMIT_SECONDS = recorder.COMMIT_COST = 0.0
update = Progress.update
def slow_update(self, *args):
    update(self, *args)
    time.sleep(0.02)
Progress.update = slow_update
store, method = sys.argv[1:]
print("ready", flush=True)
if os.path.exists(store):
    resume(store)
else:
    prepare(store, method=method).run(KEY, Y, extra_fields=FIELDS)
print("done", flush=True)
"""


def run_until_killed(store, method, seconds):
    """Run, or go on, in a process of its own, and kill it so many seconds after the store has begun to move."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(store), method],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3])])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    moment = lambda: max((p.stat().st_mtime_ns for p in store.rglob("*")), default=0) if store.exists() else 0
    before = moment()
    while process.poll() is None and moment() == before:
        time.sleep(0.01)
    time.sleep(seconds)
    killed = process.poll() is None
    if killed:
        process.send_signal(signal.SIGKILL)
    output, errors = process.communicate()
    assert killed or "done" in output, errors
    return killed


@pytest.mark.parametrize(
    ("method", "kills"),
    [("parallel", 1)]
    + [pytest.param(m, n, marks=pytest.mark.slow) for m, n in [("sequential", 10), ("vectorized", 10)]],
)
def test_a_run_goes_on_bit_for_bit_after_kill_9(whole, tmp_path, method, kills):
    rng = random.Random(1)
    store = tmp_path / "run"
    for _ in range(kills):
        if not run_until_killed(store, method, 0.5 * rng.random()):
            assert_same(drawn(resume(store)), whole(method))
            store = tmp_path / f"run{_}"
    if not store.exists():
        prepare(store, method=method).run(KEY, Y, extra_fields=FIELDS)
    assert_same(drawn(resume(store)), whole(method))


@pytest.mark.parametrize(("method", "chunks"), [("sequential", 3), ("parallel", 15), ("vectorized", 8)])
def test_an_interrupted_run_goes_on(whole, interrupted, method, chunks):
    mcmc = interrupted(chunks, method=method)
    assert_same(drawn(resume(mcmc.store)), whole(method))


def test_more_draws_than_the_run_was_to_have(whole, tmp_path):
    expected = prepare(num_samples=90)
    expected.run(KEY, Y, extra_fields=FIELDS)
    store = tmp_path / "run"
    prepare(store).run(KEY, Y, extra_fields=FIELDS)
    assert_same(drawn(resume(store)), whole("sequential"))
    assert_same(drawn(resume(store, num_samples=90)), drawn(expected))
    assert_same(drawn(resume(store)), drawn(expected))
    with pytest.raises(ValueError, match="not be less than the run's 90"):
        resume(store, num_samples=60)


def test_xarray_and_arviz_open_a_store(interrupted, tmp_path):
    arviz = pytest.importorskip("arviz")
    mcmc = interrupted(8, method="vectorized")
    draws = drawn(mcmc)
    tree = xarray.open_datatree(mcmc.store, engine="zarr", consolidated=False)
    posterior, stats = tree["posterior"], tree["sample_stats"]
    np.testing.assert_array_equal(posterior["mu"].values, draws["draws"]["mu"])
    np.testing.assert_array_equal(posterior["group.twice"].values, draws["draws"]["group/twice"])
    np.testing.assert_array_equal(stats["diverging"].values, draws["extra"]["diverging"])
    np.testing.assert_array_equal(stats["z_grad.mu"].values, draws["extra"]["z_grad"]["mu"])
    assert posterior["mu"].dims == ("chain", "draw", "mu_dim_0")
    assert 0 < posterior.sizes["draw"] < 60
    np.testing.assert_array_equal(posterior["draw"].values, np.arange(posterior.sizes["draw"]))
    data = arviz.InferenceData.from_datatree(tree)
    assert arviz.summary(data, var_names=["mu"]).shape[0] == 3


def test_what_is_seen_while_chains_are_at_it(tmp_path, monkeypatch, commit_always):
    """After every commit the arrays hold what the chains have committed, and nothing that is not drawn."""
    store, seen = tmp_path / "run", []
    update = Progress.update

    def looking_update(self, *args):
        update(self, *args)
        posterior = xarray.open_zarr(store, group="posterior", consolidated=False)
        seen.append((posterior.sizes["chain"], posterior.sizes["draw"]))
        assert (posterior["mu"].values != 0).all()

    monkeypatch.setattr(Progress, "update", looking_update)
    prepare(store).run(KEY, Y)
    sizes = [chains * draws for chains, draws in seen]
    assert sizes == sorted(sizes) and (1, 60) in seen and seen[-1] == (2, 60)


def test_potentials_kernels_of_ones_own_and_other_states(tmp_path):
    potential = lambda z: 0.5 * jnp.sum(z["a"] ** 2)
    start = {"a": np.ones((2, 2), np.float32)}
    kernel = HMC(potential_fn=potential, num_steps=4, trajectory_length=None)
    expected = prepare(kernel=kernel)
    expected.run(KEY, init_params=start)
    stored = prepare(tmp_path / "run", kernel=kernel)
    stored.run(KEY, init_params=start)
    assert_same(drawn(stored), drawn(expected))
    again = MCMC.resume(tmp_path / "run", kernel, init_params=start, progress_bar=False)
    assert_same(drawn(again), drawn(expected))

    walk, start = RandomWalk(), np.ones((2, 3), np.float32)
    stored = prepare(tmp_path / "walk", kernel=walk)
    stored.run(KEY, np.float32(0.5), init_params=start)
    again = MCMC.resume(tmp_path / "walk", walk, np.float32(0.5), init_params=start, num_samples=80, progress_bar=False)
    np.testing.assert_array_equal(again.get_samples(True)[:, :60], stored.get_samples(True))


# What is refused


def other_model(y):
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0).expand([3]).to_event(1))
    numpyro.deterministic("group/twice", 2 * mu)
    numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)


@pytest.mark.parametrize(
    ("go_on", "message"),
    [
        (
            lambda store: resume(store, y=Y + 1),
            r"it is of other data.*\(model\S+ is \[1.5 2. +0.7\] \(.*\) here, \[ *0.5 +1. +-0.3\] \(.*\) there\)",
        ),
        (lambda store: resume(store, kernel=NUTS(other_model)), "it is of another model"),
        (lambda store: resume(store, kernel=NUTS(model, max_tree_depth=5)), r"num_checkpoints is 5 here, 10 there"),
        (
            lambda store: resume(store, kernel=NUTS(model, target_accept_prob=0.9)),
            r"kernel's settings \(tuning.target_accept_prob is 0.9 \(float32\) here, 0.8 \(float32\) there\)",
        ),
        (lambda store: resume(store, kernel=HMC(model)), "its kernel is NUTS, and not HMC"),
        (lambda store: resume(store, y=np.concatenate([Y, Y]).reshape(2, 3)), r"shape \(2, 3\)\) here, .*shape \(3,\)"),
        (
            lambda store: resume(store, postprocess_fn=lambda z: z),
            r"variables|other sites or fields \(posterior/group.twice is nothing here",
        ),
        (lambda store: resume(store, y=np.concatenate([Y, Y]).reshape(2, 3)), "other shapes of the data"),
        (lambda store: prepare(store).run(KEY, Y), "exists. To go on with its run, use MCMC.resume"),
    ],
)
def test_a_store_of_another_run_is_refused_and_left_alone(finished, go_on, message):
    before = contents(finished)
    with pytest.raises(StoreError, match=message):
        go_on(finished)
    assert contents(finished) == before


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "file"),
    [
        (lambda file: flip(file), "posterior/mu/c/0/0/0"),
        (lambda file: file.unlink(), "posterior/mu/c/1/0/0"),
        (lambda file: flip(file), "sampler_state/lane_1/c/0"),
        (lambda file: file.unlink(), "sampler_state/lane_0/c/0"),
        (lambda file: file.write_text("{"), "sample_stats/diverging/zarr.json"),
        (lambda file: flip(file), "posterior/draw/c/0"),
        (lambda file: file.unlink(), "sample_stats/draw/c/0"),
        (lambda file: file.write_text(""), "zarr.json"),
        (lambda file: file.unlink(), "zarr.json"),
        (lambda file: file.write_text(file.read_text().replace('"thinning"', '"thicken"')), "zarr.json"),
    ],
)
def test_a_damaged_store_is_refused_and_left_alone(finished, tmp_path, damage, file):
    import shutil

    store = tmp_path / "copy"
    shutil.copytree(finished, store)
    damage(store / file)
    before = contents(store)
    with pytest.raises(StoreError, match=rf"'{file}'" if "/c/" in file else r"damaged|no run"):
        resume(store)
    assert contents(store) == before
    os.close(lock_folder(store))  # nobody has kept the lock


def test_paths_without_a_run_are_refused(tmp_path):
    with pytest.raises(StoreError, match="There is no store"):
        resume(tmp_path / "nowhere")
    (tmp_path / "file").write_text("text")
    with pytest.raises(StoreError, match="damaged or is no run"):
        resume(tmp_path / "file")
    with pytest.raises(StoreError, match="cannot be written"):
        prepare(tmp_path / "file" / "run").run(KEY, Y)
    with pytest.raises(ValueError, match="must not be a function"):
        prepare(tmp_path / "run", method=jax.vmap)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", METHODS)
def test_a_full_disk_ends_the_run_and_keeps_what_was_drawn(whole, tmp_path, monkeypatch, commit_always, method):
    write, left = files.write_durably, [150]

    def full_write(path, content):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        write(path, content)

    mcmc = prepare(tmp_path / "run", method=method)
    with monkeypatch.context() as patch:
        for module in (files, arrays):
            patch.setattr(module, "write_durably", full_write)
        with pytest.raises(StoreError, match="cannot be written: .*No space left"):
            mcmc.run(KEY, Y, extra_fields=FIELDS)
    kept, expected = drawn(mcmc), whole(method)
    chains, draws = kept["draws"]["mu"].shape[:2]
    assert draws > 0
    assert_same(kept, jax.tree.map(lambda leaf: leaf[:chains, :draws], expected))
    assert_same(drawn(resume(tmp_path / "run")), expected)


def test_opening_a_store_unpickles_nothing(finished, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a store must not be unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    resume(finished)


def test_without_zarr_the_extra_is_named(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("numpyro.infer.mcmc.store")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(sys.modules["numpyro.infer.mcmc"], "store")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"numpyro\[zarr\]"):
        prepare(tmp_path / "run").run(KEY, Y)


def test_sites_of_any_name_and_of_no_entries(tmp_path):
    names = [
        "chain",
        "draw",
        "",
        ".",
        "..",
        "a\\b",
        "a/b",
        "a.b",
        "A.B",
        "zarr.json",
        "c",
        "C",
        "é" * 300,
        "café au lait",
        "__z",
    ]

    def named():
        for name in names:
            numpyro.sample(name, dist.Normal(0.0, 1.0))
        numpyro.sample("empty", dist.Normal(0.0, 1.0).expand([0]))

    stored, plain = [prepare(store, kernel=NUTS(named), num_samples=10) for store in (tmp_path / "run", None)]
    for mcmc in (stored, plain):
        mcmc.run(KEY)
    assert_same(drawn(stored), drawn(plain))
    assert drawn(stored)["draws"]["empty"].shape == (2, 10, 0)
    posterior = xarray.open_zarr(tmp_path / "run", group="posterior", consolidated=False)
    assert len(posterior.data_vars) == len(names) + 1
    assert len({name.casefold() for name in posterior.data_vars}) == len(names) + 1


def test_names_of_files_are_short_and_apart_whatever_the_file_system_makes_of_letters():
    taken = set()
    names = ["x", "X", "x", "Draw", "caf\u00e9", "cafe\u0301", "\ud800", *("\u00fc" * 300 + str(i) for i in range(120))]
    files = [file_name(name, taken) for name in names]
    assert files[:4] == ["x", "X_2", "x_3", "site_Draw"]
    assert len(taken) == len(names) and all(len(file.encode()) < 120 for file in files)


def test_a_path_is_that_of_where_the_run_began(whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mcmc = prepare("run")
    mcmc.run(KEY, Y, extra_fields=FIELDS)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert_same(drawn(mcmc), whole("sequential"))


def test_no_store_inside_a_trace(tmp_path):
    with pytest.raises(ValueError, match="not inside jit"):
        jax.jit(lambda key: prepare(tmp_path / "run").run(key, Y))(KEY)
