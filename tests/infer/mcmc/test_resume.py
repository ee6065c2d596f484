"""Going on with stores that other runs use, too, and with runs that have targets."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from numpyro.infer import Until
from numpyro.infer.mcmc import StoreError
from numpyro.infer.mcmc.progress import Progress
from numpyro.infer.mcmc.store import RunStore, arrays
from numpyro.infer.mcmc.store.files import lock_folder
from tests.infer.mcmc.stored_runs import FIELDS, KEY, METHODS, Y, assert_same, contents, drawn, prepare, resume


def test_one_run_writes_at_a_time(finished):
    held = lock_folder(finished)
    before = contents(finished)
    with pytest.raises(StoreError, match="being written to by another run"):
        resume(finished)
    assert contents(finished) == before
    os.close(held)
    resume(finished)


@pytest.fixture
def meanwhile(monkeypatch):
    """Has ``action`` done when a resume has opened its store, and goes on from there."""

    def arrange(action):
        opened = RunStore.__init__

        def opening(self, path):
            opened(self, path)
            monkeypatch.setattr(RunStore, "__init__", opened)
            action()

        monkeypatch.setattr(RunStore, "__init__", opening)

    return arrange


@pytest.mark.parametrize("method", METHODS)
def test_of_two_resumes_at_once_neither_is_cut_short(whole, interrupted, meanwhile, method):
    """One opens the store; the other one goes on with it to the end; then the first one does."""
    store, runs = interrupted(8, method=method).store, []
    meanwhile(lambda: runs.append(resume(store)))
    runs.append(resume(store))
    for run in runs:
        assert_same(drawn(run), whole(method))


def test_of_two_resumes_at_once_the_later_one_is_told_what_has_changed(whole, interrupted, meanwhile):
    store, runs = interrupted(8).store, []
    meanwhile(lambda: runs.append(resume(store, num_samples=90)))
    with pytest.raises(StoreError, match=r"Another run has gone on with the store.*MCMC.resume once more"):
        resume(store)
    assert_same(drawn(resume(store)), drawn(runs[0]))
    assert runs[0].get_samples(True)["mu"].shape[:2] == (2, 90)


def test_a_resume_while_another_one_draws_is_told_so(whole, interrupted, monkeypatch, commit_always):
    store, told = interrupted(8).store, []
    update = Progress.update

    def updating(self, *args):
        update(self, *args)
        if not told:
            with pytest.raises(StoreError, match="being written to by another run") as error:
                resume(store)
            told.append(error)

    monkeypatch.setattr(Progress, "update", updating)
    run = resume(store)
    assert told
    assert_same(drawn(run), whole("sequential"))


def test_draws_that_a_store_no_longer_shows_are_no_shorter_draws(interrupted, tmp_path):
    """The first chain is done; another run goes on with the others, and shows what is there of all of them."""
    first = interrupted(14, num_chains=3)
    chains, draws = first.get_samples(True)["mu"].shape[:2]
    arrays.show_shape(Path(first.store), "posterior/mu", (chains, draws - 1, 3))
    with pytest.raises(
        StoreError, match=rf"shows {draws - 1} draws of {chains} chains .* where {draws} of {chains} are"
    ):
        first.get_samples()
    shutil.rmtree(first.store)
    prepare(first.store).run(KEY, Y)
    with pytest.raises(StoreError, match="replaced by that of another run"):
        first.get_samples()


def test_draws_of_chains_that_are_ahead_are_checked_too(whole, interrupted, monkeypatch):
    store, reads = interrupted(24).store, set()
    read = RunStore.read

    def reading(self, variable, chains, draws):
        found = read(self, variable, chains, draws)
        reads.add((chains.start, found.shape[1]))
        return found

    assert RunStore(store).shown() == (2, 35)
    monkeypatch.setattr(RunStore, "read", reading)
    run = resume(store)
    assert reads == {(0, 60), (1, 35)}
    assert_same(drawn(run), whole("sequential"))


def test_a_failure_before_the_first_chunk_gives_the_lock_back(tmp_path, monkeypatch):
    from numpyro.infer.mcmc import run

    store = tmp_path / "run"
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(run, "Lane", None)
            with pytest.raises(TypeError):
                resume(store) if store.exists() else prepare(store).run(KEY, Y)
        os.close(lock_folder(store))


def test_data_are_the_same_in_the_precision_that_the_run_has(tmp_path):
    numbers = [0.5, 1.0, -0.3]
    prepare(tmp_path / "run").run(KEY, np.array(numbers))
    for same in (np.array(numbers, np.float32), jnp.array(numbers), np.array(numbers)):
        resume(tmp_path / "run", y=same)


def test_what_a_store_cannot_keep_is_an_error_before_anything_is_compiled(finished, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("nothing is to be compiled")

    from numpyro.infer.mcmc.work import Start

    monkeypatch.setattr(Start, "states", refuse)
    mcmc = prepare(tmp_path / "run", postprocess_fn=lambda z: {"half": z["mu"].astype(jnp.bfloat16)})
    with pytest.raises(ValueError, match="no place for 'posterior/half', which is of type bfloat16"):
        mcmc.run(KEY, Y)
    with pytest.raises(StoreError, match="exists"):
        prepare(finished).run(KEY, Y)
    assert not (tmp_path / "run").exists()


# Targets


def test_a_run_that_is_gone_on_with_keeps_its_target(tmp_path):
    prepare(tmp_path / "run", num_samples=5000, until=Until(min_bulk_ess=50)).run(KEY, Y)
    again = resume(tmp_path / "run")
    assert again.until == Until(min_bulk_ess=50)
    assert again.get_samples(True)["mu"].shape[1] < 5000


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_stopped_and_gone_on_with_ends_where_one_does_that_is_not(interrupted, tmp_path, method):
    """Wherever it is stopped: in warm-up, between two looks at the target, at one of them."""
    settings = {"num_samples": 2000, "until": Until(min_bulk_ess=500, sites=["mu"]), "method": method}
    whole = prepare(**settings)
    whole.run(KEY, Y, extra_fields=FIELDS)
    draws = whole.get_samples(True)["mu"].shape[1]
    assert 150 < draws < 2000
    for chunks in (2, 21, 30, 50, 58):
        store = interrupted(chunks, **settings).store
        run = resume(store)
        assert run.get_samples(True)["mu"].shape[1] == draws
        assert_same(drawn(run), drawn(whole))
        assert_same(drawn(resume(store)), drawn(whole))
        shutil.rmtree(store)


def test_more_draws_for_a_target_that_was_missed(tmp_path):
    settings = {"until": Until(min_bulk_ess=400), "extra": FIELDS}
    whole = prepare(num_samples=1000, until=settings["until"])
    whole.run(KEY, Y)
    with pytest.warns(UserWarning, match="missed its target"):
        prepare(tmp_path / "run", num_samples=120, until=settings["until"]).run(KEY, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(drawn(resume(tmp_path / "run", num_samples=1000)), drawn(whole))
