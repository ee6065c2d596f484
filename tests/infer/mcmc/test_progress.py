"""Progress bars: what they say, that they are quiet where nobody looks, and that they change no draw."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS
from numpyro.infer.mcmc import progress

KEY = jax.random.key(0)


def funnel():
    """Diverges at the neck, with the long steps of a low target."""
    scale = numpyro.sample("scale", dist.Normal(0.0, 3.0))
    numpyro.sample("x", dist.Normal(0.0, jnp.exp(scale)).expand([5]).to_event(1))


def draw(num_chains=2, num_samples=200, **settings):
    kernel = NUTS(funnel, target_accept_prob=0.5)
    mcmc = MCMC(kernel, num_warmup=100, num_samples=num_samples, num_chains=num_chains, **settings)
    mcmc.run(KEY)
    return mcmc


@pytest.fixture
def watched(monkeypatch):
    monkeypatch.setattr(progress, "is_shown", lambda: True)


@pytest.mark.parametrize(
    ("method", "bars", "labels"),
    [
        ("parallel", True, {"chain 1 sample", "chain 2 sample"}),
        ("sequential", True, {"chain 1 sample", "chain 2 sample"}),
        ("vectorized", True, {"sample"}),
        ("parallel", "one", {"sample"}),
        ("sequential", "one", {"sample"}),
    ],
)
def test_bars_say_where_a_run_is(watched, capsys, method, bars, labels):
    mcmc = draw(chain_method=method, progress_bar=bars)
    lines = [line for line in re.split(r"[\r\n]", capsys.readouterr().err) if "100%" in line]
    last = {re.match(r"(?:\x1b\[A)*\s*(.*?):\s+100%", line).group(1): line for line in lines}
    assert set(last) == labels
    divergences = int(np.sum(mcmc.get_extra_fields()["diverging"]))
    assert divergences > 0
    said = [int(found.group(1)) for line in last.values() if (found := re.search(r"(\d+) divergence", line))]
    assert sum(said) == divergences
    for line in last.values():
        assert re.search(r"steps of size .* acc\. prob=\d\.\d\d", line) and "it/s" in line


def test_nobody_is_shown_a_bar_where_nobody_looks(capsys, monkeypatch):
    for environment in ({}, {"CI": "true"}):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        draw(progress_bar=True)
        captured = capsys.readouterr()
        assert captured.out == captured.err == ""


@pytest.mark.parametrize("method", ["sequential", "parallel", "vectorized"])
@pytest.mark.parametrize(("bars", "rate"), [(True, None), (True, 1), ("one", 7)])
def test_draws_are_the_same_with_and_without_a_bar(watched, capsys, monkeypatch, method, bars, rate):
    options = {"num_samples": 20, "thinning": 2, "chain_method": method}
    silent = draw(progress_bar=False, **options).get_samples()["x"]
    monkeypatch.setenv("CI", "true")
    shown = draw(progress_bar=bars, progress_rate=rate, **options)
    np.testing.assert_array_equal(shown.get_samples()["x"], silent)
    assert ("240/240" if bars == "one" and method != "vectorized" else "120/120") in capsys.readouterr().err


def test_a_terminal_or_a_notebook_looks(monkeypatch):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert progress.is_shown()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    assert not progress.is_shown()
    monkeypatch.setitem(sys.modules, "ipykernel", object())
    assert progress.is_shown()


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_density_that_is_no_number_in_the_middle_of_a_run_is_a_divergence(bad):
    """Half of the line has no density: chains never stay there, and do not hang."""

    def broken():
        x = numpyro.sample("x", dist.Normal(1.0, 1.0))
        numpyro.factor("broken", jnp.where(x < 0, bad, 0.0))

    mcmc = MCMC(NUTS(broken), num_warmup=100, num_samples=300, progress_bar=False)
    mcmc.run(KEY, init_params={"x": jnp.array(1.0)})
    x = np.asarray(mcmc.get_samples()["x"])
    assert (x >= 0).all() and np.unique(x).size > 100
    assert np.sum(mcmc.get_extra_fields()["diverging"]) > 0
