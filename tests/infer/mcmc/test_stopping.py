"""Runs that stop when they have enough: a target, a budget of time, a signal of the user's choice."""

from __future__ import annotations

import os
import signal
import time

import jax
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro.diagnostics import bulk_effective_sample_size, rank_normalized_r_hat
from numpyro.infer import MCMC, NUTS, Until
from numpyro.infer.mcmc.engine import Plan
from numpyro.infer.mcmc.progress import Progress
from numpyro.infer.mcmc.schedule import Phase, Schedule

NEVER = 10**8


def model():
    x = numpyro.sample("x", dist.Normal(0.0, 1.0))
    numpyro.deterministic("constant", 0.0 * x)


def start(num_samples=NEVER, num_chains=2, **settings):
    return MCMC(
        NUTS(model), num_warmup=50, num_samples=num_samples, num_chains=num_chains, progress_bar=False, **settings
    )


@pytest.mark.parametrize("method", ["sequential", "parallel", "vectorized"])
def test_a_run_stops_at_the_first_look_that_reaches_the_target(method):
    until = Until(min_bulk_ess=300, max_r_hat=1.05)
    mcmc = start(chain_method=method, until=until)
    mcmc.run(jax.random.key(0))
    x = np.asarray(mcmc.get_samples(group_by_chain=True)["x"])

    def is_met(x):
        return bulk_effective_sample_size(x) >= 300 and rank_normalized_r_hat(x) <= 1.05

    looks = [look for look in until.looks(NEVER) if look <= x.shape[1]]
    assert looks[-1] == x.shape[1] and is_met(x)
    assert not any(is_met(x[:, :look]) for look in looks[:-1])


def test_a_missed_target_is_said_and_the_draws_are_all_there():
    mcmc = start(num_samples=120, until=Until(min_bulk_ess=10_000))
    with pytest.warns(UserWarning, match="num_samples=120 draws and has missed its target"):
        mcmc.run(jax.random.key(0))
    assert mcmc.get_samples()["x"].shape == (240,)


@pytest.mark.parametrize("method", ["sequential", "parallel", "vectorized"])
@pytest.mark.parametrize(("draws", "look"), [(110, "after an unmet look"), (100, "at a look"), (30, "before any look")])
def test_an_interrupt_is_no_missed_target(monkeypatch, method, draws, look):
    mcmc = start(num_samples=2000, chain_method=method, until=Until(min_bulk_ess=10_000), progress_rate=10)
    update, lanes = Progress.update, set()
    chunks = (50 + draws) // 10

    def interrupting_update(self, *args):
        update(self, *args)
        self.chunks = getattr(self, "chunks", 0) + 1
        lanes.add(self) if self.chunks == chunks else None
        if len(lanes) == (1 if method == "vectorized" else 2) and self.chunks == chunks:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Progress, "update", interrupting_update)
    with pytest.warns(UserWarning, match=r"was interrupted: it has \d+ of 2000 draws"):
        mcmc.run(jax.random.key(0))
    assert mcmc.get_samples(True)["x"].shape[1] < 2000


def test_targets_of_chosen_sites():
    values = np.random.default_rng(0).normal(size=(2, 100))
    draws = {"mixed": values, "stuck": np.linspace([0, 5], [1, 6], 100, axis=-1)}
    assert Until(max_r_hat=1.1, sites=["mixed"]).is_met(draws)
    assert not Until(max_r_hat=1.1).is_met(draws)
    assert not Until(min_bulk_ess=1000, sites=["mixed"]).is_met(draws)
    with pytest.raises(ValueError, match="no site 'y' is drawn"):
        Until(max_r_hat=1.1, sites=["y"]).is_met(draws)


@pytest.mark.parametrize("method", ["sequential", "parallel", "vectorized"])
def test_a_budget_of_time_ends_a_run_with_its_draws(method):
    start(num_samples=10, chain_method=method).run(jax.random.key(0))  # compile, which counts
    mcmc = start(chain_method=method, time_budget=3.0)
    with pytest.warns(UserWarning, match=r"out of its 3.0 seconds: it has \d+ of"):
        mcmc.run(jax.random.key(0))
    assert 0 < mcmc.get_samples()["x"].shape[0] < NEVER


def test_sigterm_ends_a_run_where_the_user_asks_for_it(monkeypatch):
    update, count = Progress.update, iter(range(1, NEVER))

    def terminating_update(self, *args):
        update(self, *args)
        if next(count) == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Progress, "update", terminating_update)
    mcmc = start(stop_signals=(signal.SIGINT, signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.warns(UserWarning, match="interrupted"):
        mcmc.run(jax.random.key(0))
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"until": {"ess": 3}}, "`until` must be a target"),
        ({"time_budget": 0}, "`time_budget` must be a positive number"),
        ({"stop_signals": (signal.SIGKILL,)}, "`stop_signals` must be a sequence of signals"),
        ({"stop_signals": "SIGTERM"}, "`stop_signals` must be a sequence of signals"),
        ({"progress_bar": "two"}, "`progress_bar` must be True, False or 'one'"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        MCMC(NUTS(model), num_warmup=1, num_samples=1, **settings)


@pytest.mark.parametrize("target", [{}, {"min_bulk_ess": 0}, {"max_r_hat": 1.0}, {"max_r_hat": 2.0, "sites": "x"}])
def test_targets_out_of_range(target):
    with pytest.raises(ValueError, match=r"Until needs|must be"):
        Until(**target)


def test_no_target_inside_a_trace():
    mcmc = start(num_samples=10, until=Until(min_bulk_ess=3))
    with pytest.raises(UsageError, match="not inside jit"):
        jax.jit(lambda key: mcmc.run(key))(jax.random.key(0))


def test_a_schedule_follows_from_what_is_done():
    """Cut into chunks of any length, a schedule makes the same iterations, and keeps the same draws."""
    schedule = Schedule((Phase(Plan(7, 0, 1), False), Phase(Plan.thinned(20, 3), True)))
    assert (schedule.iterations, schedule.draws) == (27, 6)
    rng = np.random.default_rng(0)
    for _ in range(20):
        done = draws = 0
        while (chunk := schedule.chunk(done, int(rng.integers(1, 9)), 2)) is not None:
            plan, keep = chunk
            done += plan.iterations
            draws += plan.rows if keep else 0
            assert plan.iterations > 0 and draws == schedule.drawn(done)
            assert schedule.iterations_for(draws) == done or draws == 0
        assert (done, draws) == (27, 6)


def test_time_spent_waiting_is_no_time_of_the_chunk():
    progress = Progress()
    time.sleep(0.05)
    progress.start()
    progress.update(1, str, 0)
    assert progress.limit == 4
