"""Runs with stores that tests share."""

from __future__ import annotations

import os
import signal

import pytest

from numpyro.infer.mcmc.progress import Progress
from tests.infer.mcmc.stored_runs import FIELDS, KEY, Y, drawn, prepare


@pytest.fixture(scope="module")
def whole():
    """Runs without a store, by chain method."""
    runs = {}

    def run(method):
        if method not in runs:
            mcmc = prepare(method=method)
            mcmc.run(KEY, Y, extra_fields=FIELDS)
            runs[method] = drawn(mcmc)
        return runs[method]

    return run


@pytest.fixture
def commit_always(monkeypatch):
    from numpyro.infer.mcmc.store import recorder

    monkeypatch.setattr(recorder, "COMMIT_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "COMMIT_COST", 0.0)


@pytest.fixture
def interrupted(monkeypatch, tmp_path):
    """The store of a run that Ctrl-C has ended after ``chunks`` chunks."""

    def interrupt(chunks, **settings):
        update, count = Progress.update, iter(range(1, 10_000))

        def counting_update(self, *args):
            update(self, *args)
            if next(count) == chunks:
                os.kill(os.getpid(), signal.SIGINT)

        store = tmp_path / "run"
        with monkeypatch.context() as patch:
            patch.setattr(Progress, "update", counting_update)
            mcmc = prepare(store, **settings)
            with pytest.warns(UserWarning, match=r"interrupted.*MCMC.resume\('.*run', ...\)"):
                mcmc.run(KEY, Y, extra_fields=FIELDS)
        return mcmc

    return interrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    store = tmp_path_factory.mktemp("finished") / "run"
    prepare(store).run(KEY, Y)
    return store
