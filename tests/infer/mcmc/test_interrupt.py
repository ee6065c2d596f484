"""Ctrl-C: a run ends at its next chunk, keeps its draws, and can be gone on with."""

from __future__ import annotations

import os
import signal

import jax
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro._errors import UsageError
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc.progress import Progress

NEVER = 10**8


def model():
    numpyro.sample("x", dist.Normal(0.0, 1.0))


@pytest.fixture
def interrupt_at(monkeypatch):
    """Presses Ctrl-C, some ``times``, when the given number of chunks have been run."""

    def press(chunk, times=1):
        update, count = Progress.update, iter(range(1, NEVER))

        def counting_update(self, *args):
            update(self, *args)
            if next(count) == chunk:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(Progress, "update", counting_update)

    return press


def start(num_warmup, num_chains=1, chain_method="sequential", num_samples=NEVER):
    return MCMC(
        NUTS(model),
        num_warmup=num_warmup,
        num_samples=num_samples,
        num_chains=num_chains,
        chain_method=chain_method,
        progress_bar=False,
    )


@pytest.mark.parametrize(("num_chains", "method"), [(1, "sequential"), (2, "parallel"), (2, "vectorized")])
def test_an_interrupted_run_keeps_its_draws(interrupt_at, num_chains, method):
    interrupt_at(10)
    mcmc = start(10, num_chains, method)
    with pytest.warns(UserWarning, match=f"interrupted: it has .* of {NEVER} draws"):
        mcmc.run(jax.random.key(0))
    x = np.asarray(mcmc.get_samples(group_by_chain=True)["x"])
    assert x.shape[0] <= num_chains and 0 < x.shape[1] < NEVER
    assert x.shape == mcmc.get_extra_fields(group_by_chain=True)["diverging"].shape

    # The draws are those that an uninterrupted run begins with.
    whole = start(10, num_chains, method, num_samples=min(x.shape[1], 50))
    whole.run(jax.random.key(0))
    expected = np.asarray(whole.get_samples(group_by_chain=True)["x"])
    assert any(np.array_equal(x[0, :50], chain) for chain in expected)


def test_an_interrupted_run_goes_on(interrupt_at):
    interrupt_at(10)
    mcmc = start(10)
    with pytest.warns(UserWarning, match="interrupted"):
        mcmc.run(jax.random.key(0))
    iterations = int(mcmc.last_state.i)
    mcmc.num_samples, mcmc.post_warmup_state = 20, mcmc.last_state
    mcmc.run(jax.random.key(1))
    assert mcmc.get_samples()["x"].shape == (20,)
    assert int(mcmc.last_state.i) == iterations + 20


def test_interrupted_in_warmup_there_are_no_draws_and_the_rest_of_warmup_follows(interrupt_at):
    interrupt_at(2)
    mcmc = start(500, num_samples=20)
    with pytest.warns(UserWarning, match="has 0 of 20 draws"):
        mcmc.run(jax.random.key(0))
    assert 0 < int(mcmc.last_state.i) < 500
    with pytest.raises(UsageError, match="ended in its warm-up, by an interrupt"):
        mcmc.get_samples()
    mcmc.post_warmup_state = mcmc.last_state
    mcmc.run(jax.random.key(0))
    assert int(mcmc.last_state.i) == 520 and mcmc.get_samples()["x"].shape == (20,)


def test_chains_in_sequence_keep_the_most_draws(interrupt_at):
    """The first chain is done, the second has begun: the first one's draws outnumber two short chains."""
    interrupt_at(20)
    mcmc = start(10, num_chains=3, num_samples=2000)
    with pytest.warns(UserWarning, match="of 3 chains"):
        mcmc.run(jax.random.key(0))
    chains, draws = mcmc.get_samples(group_by_chain=True)["x"].shape
    assert chains < 3 and chains * draws >= 2000


def test_a_second_interrupt_is_immediate_and_the_old_listener_returns(interrupt_at):
    before = signal.getsignal(signal.SIGINT)
    interrupt_at(5, times=2)
    with pytest.raises(KeyboardInterrupt):
        start(10).run(jax.random.key(0))
    assert signal.getsignal(signal.SIGINT) is before
