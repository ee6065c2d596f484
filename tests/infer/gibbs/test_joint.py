"""Geweke's joint distribution test of HMCGibbs and HMCECS: parameters of the prior, data given parameters, and moves of
the kernel given the data keep the joint distribution that the model says. See :mod:`tests.helpers.calibration`.

The invariant density of HMCECS is that of positions and indices together, with an estimate in place of the likelihood.
Of three binary rows all data can be listed, so that this density is normalised, drawn from, and its margins known.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import numpyro
import numpyro.distributions as dist
from numpyro.infer import HMC, HMCECS, HMCGibbs
from numpyro.infer.gibbs.blocks import HMCBlock
from numpyro.infer.hmc_gibbs import ecs
from tests.helpers.calibration import (
    ERROR_RATE,
    after_turns,
    assert_calibrated,
    count_score,
    is_calibrated,
    normal_score,
)


def hmc(model: Any, step_size: float = 0.4, num_steps: int = 3) -> HMC:
    return HMC(
        model,
        step_size=step_size,
        num_steps=num_steps,
        trajectory_length=None,
        adapt_step_size=False,
        adapt_mass_matrix=False,
    )


# HMCGibbs: counts without an upper end, of which a share is seen


def thinned(y: Any = None) -> None:
    rate = numpyro.sample("rate", dist.Gamma(4.0, 1.0))
    share = numpyro.sample("share", dist.Beta(2.0, 3.0))
    with numpyro.plate("places", 3):
        n = numpyro.sample("n", dist.Poisson(rate))
        numpyro.sample("y", dist.Binomial(n, share), obs=y)


def thinned_scores(unseen: Any = lambda rate, share: rate * (1 - share)) -> dict[str, Any]:
    """:param unseen: the mean of the counts that are not seen."""
    rng, count = np.random.default_rng(0), 3000
    rate, share = rng.gamma(4.0, 1.0, count), rng.beta(2.0, 3.0, count)
    n = rng.poisson(rate[:, None], (count, 3))
    positions = {"rate": np.log(rate, dtype=np.float32), "share": special.logit(share).astype(np.float32)}

    def make(y: Any) -> HMCGibbs:
        def gibbs_fn(rng_key: Any, gibbs_sites: Any, hmc_sites: Any) -> dict[str, Any]:
            mean = unseen(hmc_sites["rate"], hmc_sites["share"])
            return {"n": y + dist.Poisson(mean).expand([3]).sample(rng_key)}

        return HMCGibbs(hmc(thinned), gibbs_fn, ["n"])

    def simulate(key: Any, z: Any) -> Any:
        seen = jax.random.uniform(key, (64, 3)) < jax.nn.sigmoid(z["share"])
        return jnp.sum(seen & (jnp.arange(64)[:, None] < z["n"]), 0, jnp.int32)

    z, y = after_turns(make, {**positions, "n": n.astype(np.int32)}, simulate)
    rate, share = np.exp(z["rate"].astype(float)), special.expit(z["share"].astype(float))
    scores = {
        "rate": normal_score(stats.gamma(4.0).cdf(rate)),
        "share": normal_score(stats.beta(2.0, 3.0).cdf(share)),
    }
    for i in range(3):
        scores[f"n {i}"] = count_score(stats.poisson(rate), z["n"][:, i], rng)
        scores[f"y {i}"] = count_score(stats.binom(z["n"][:, i], share), y[:, i], rng)
    return scores


def test_hmc_gibbs_keeps_the_joint_distribution() -> None:
    """At an error of 1e-4."""
    assert_calibrated(thinned_scores())


def test_hmc_with_an_energy_of_old_counts_is_found_out(monkeypatch: Any) -> None:
    monkeypatch.setattr(HMCBlock, "_refreshed", lambda self, given, state, stale: state)
    assert not is_calibrated(thinned_scores())


@pytest.mark.slow
def test_a_gibbs_step_that_is_off_by_a_twentieth_is_found_out() -> None:
    assert not is_calibrated(thinned_scores(lambda rate, share: 0.95 * rate * (1 - share)))


# HMCECS


def ecs_start(kernel: Any, key: Any, z: Any, args: tuple) -> Any:
    state = kernel.init(key, 0, {name: value for name, value in z.items() if name != "rows"}, args, {})
    return state._replace(z={**state.z, "rows": z["rows"]})


ROWS, COVARIATE = 12, np.linspace(-1, 1, 12, dtype=np.float32)


def linear(y: Any, subsample: int = 4) -> None:
    w = numpyro.sample("w", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("rows", ROWS, subsample_size=subsample):
        x, rows = numpyro.subsample(COVARIATE, event_dim=0), numpyro.subsample(y, event_dim=0)
        numpyro.sample("y", dist.Normal(w[0] + w[1] * x, 1.0), obs=rows)


def linear_scores(degree: int) -> dict[str, Any]:
    rng, count = np.random.default_rng(1), 3000
    positions = {
        "w": rng.normal(size=(count, 2)).astype(np.float32),
        "rows": rng.integers(0, ROWS, (count, 4)).astype(np.int32),
    }
    proxy = HMCECS.taylor_proxy({"w": np.array([0.4, -0.2], np.float32)}, degree)
    make = lambda y: HMCECS(hmc(linear), num_blocks=2, proxy=proxy)
    simulate = lambda key, z: z["w"][0] + z["w"][1] * COVARIATE + jax.random.normal(key, (ROWS,))
    z, y = after_turns(make, positions, simulate, start=ecs_start)
    residuals = y - z["w"][:, :1] - z["w"][:, 1:] * COVARIATE
    indices = count_score(stats.randint(0, ROWS), z["rows"], rng)
    return {
        **{f"w {i}": z["w"][:, i] for i in range(2)},
        **{f"y {i}": residuals[:, i] for i in range(0, ROWS, 3)},
        **{f"row {i}": indices[:, i] for i in range(4)},
    }


def test_of_a_quadratic_likelihood_subsamples_keep_the_joint_distribution() -> None:
    """The proxy of degree 2 has no error, and the posterior is that of all data; at an error of 1e-4."""
    assert_calibrated(linear_scores(2))


@pytest.mark.slow
def test_a_proxy_with_an_error_is_found_out() -> None:
    assert not is_calibrated(linear_scores(1))


OFFSETS = np.array([-1.5, 0.0, 1.5], np.float32)
REFERENCE = 0.4
DATA = np.array(list(product((0, 1), repeat=3)), np.int32)
PAIRS = np.array(list(product(range(3), repeat=2)), np.int32)


def binary(y: Any) -> None:
    m = numpyro.sample("m", dist.Normal(0.0, 1.0))
    with numpyro.plate("rows", 3, subsample_size=2):
        offsets, rows = numpyro.subsample(OFFSETS, event_dim=0), numpyro.subsample(y, event_dim=0)
        numpyro.sample("y", dist.Bernoulli(logits=m + offsets), obs=rows)


def estimate(xp: Any, m: Any, rows: Any, y: Any, degree: int | None) -> Any:
    """The estimated log likelihood of data ``y`` of shape (..., 3) from a pair of rows, written out."""
    at = lambda m: y * (m + OFFSETS) - xp.logaddexp(0.0, m + OFFSETS)
    if degree is None:
        return 3 * at(m)[..., rows].mean(-1)
    share = special.expit(REFERENCE + OFFSETS)
    shift = m - REFERENCE
    proxy = at(REFERENCE) + (y - share) * shift - (0.5 * share * (1 - share) * shift**2 if degree == 2 else 0.0)
    difference = (at(m) - proxy)[..., rows]
    return proxy.sum(-1) + 3 * difference.mean(-1) - 0.5 * 9 / 2 * difference.var(-1)


def binary_scores(degree: int | None) -> tuple[dict[str, Any], float]:
    """Scores of the position and its cell, and the p-value of the numbers of cells, which are pairs and data."""
    rng, count, grid = np.random.default_rng(2), 8000, np.linspace(-9, 9, 3001)
    log_density = np.array(
        [[estimate(np, grid[:, None], pair, y, degree) for y in DATA] for pair in PAIRS]
    ) + stats.norm.logpdf(grid)
    density = np.exp(log_density - log_density.max()).reshape(72, -1)
    weights, cdfs = density.sum(1) / density.sum(), np.cumsum(density, 1) / density.sum(1, keepdims=True)
    cells = rng.choice(72, count, p=weights)
    m = np.array([np.interp(u, cdfs[cell], grid) for u, cell in zip(rng.random(count), cells)])

    proxy = None if degree is None else HMCECS.taylor_proxy({"m": REFERENCE}, degree)
    make = lambda y: HMCECS(hmc(binary, 0.9), num_blocks=2, proxy=proxy)

    def simulate(key: Any, z: Any) -> Any:
        logits = estimate(jnp, z["m"], z["rows"], jnp.asarray(DATA), degree)
        return jnp.asarray(DATA)[jax.random.categorical(key, logits)]

    positions = {"m": m.astype(np.float32), "rows": PAIRS[cells // 8]}
    z, y = after_turns(make, positions, simulate, start=ecs_start)
    found = z["rows"] @ np.array([24, 8]) + y @ np.array([4, 2, 1])
    scores = normal_score([np.interp(value, grid, cdfs[cell]) for value, cell in zip(z["m"], found)])
    steps = np.concatenate([[0.0], np.cumsum(weights)])
    spread = normal_score(steps[found] + weights[found] * rng.random(count))
    pvalue = stats.chisquare(np.bincount(found, minlength=72), weights * count).pvalue
    return {"m": scores, "cell": spread}, pvalue


@pytest.mark.parametrize("degree", [None, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_perturbed_density_is_kept(degree: int) -> None:
    """At an error of 1e-4 each for scores and cells."""
    scores, pvalue = binary_scores(degree)
    assert_calibrated(scores)
    assert pvalue > ERROR_RATE


def test_subsamples_that_are_always_taken_are_found_out(monkeypatch: Any) -> None:
    monkeypatch.setattr(ecs, "accept", lambda key, new, old, log_ratio: (new, None))
    scores, pvalue = binary_scores(None)
    assert not is_calibrated(scores) or pvalue < ERROR_RATE
