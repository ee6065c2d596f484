"""Calibration of kernels on joint distributions of parameters and data that can be drawn from.

A kernel that leaves the posterior of any data invariant can stand for the draw of the parameters given the data.
Starting from draws of the prior, :func:`after_turns` takes turns of

- data given the parameters, drawn anew, and
- parameters given the data, moved by the kernel;

all pairs on the way have the joint distribution of the model (Geweke's successive-conditional simulator). Errors of a
kernel add up over the turns. Replications are independent from start to end and need no burn-in, so exact tests apply
to the last pairs: they are written as standard normal numbers, which :func:`p_values` tests.

J. Geweke, *Getting it right: joint distribution tests of posterior simulators* (2004).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from scipy import stats

import numpyro
import numpyro.distributions as dist

ERROR_RATE = 1e-4
"""How often a kernel without a fault fails a test: for one key in ten thousand."""

Start = Callable[[Any, Any, Any, tuple], Any]


def start_at(kernel: Any, key: Any, z: Any, args: tuple) -> Any:
    """The state of a kernel at a position."""
    return kernel.init(key, 0, z, args, {})


def after_turns(
    make: Callable[[Any], Any],
    positions: Any,
    simulate: Callable[[Any, Any], Any],
    *,
    turns: int = 10,
    seed: int = 0,
    start: Start = start_at,
) -> tuple[Any, Any]:
    """Positions and data after some turns.

    :param make: from data, which its model takes as its only argument, to a kernel that adapts nothing.
    :param positions: where the replications start, as ``kernel.init`` takes positions, with a leading axis.
    :param simulate: ``simulate(key, z)``, data given a position.
    :param start: ``start(kernel, key, z, args)``, the state of a kernel at a position.
    """

    def replicate(key: Any, z: Any) -> tuple[Any, Any]:
        data_key, start_key, turns_key = jax.random.split(key, 3)
        data = simulate(data_key, z)
        state = start(make(data), start_key, z, (data,))

        def turn(carry: tuple[Any, Any], key: Any) -> tuple[tuple[Any, Any], None]:
            state, _ = carry
            data = simulate(key, state.z)
            kernel = make(data)
            return (kernel.sample(kernel.refresh(state, (data,), {}), (data,), {}), data), None

        (state, data), _ = lax.scan(turn, (state, data), jax.random.split(turns_key, turns))
        return state.z, data

    count = len(jax.tree.leaves(positions)[0])
    return jax.tree.map(
        np.asarray, jax.jit(jax.vmap(replicate))(jax.random.split(jax.random.key(seed), count), positions)
    )


def p_values(scores: Mapping[str, Any], independent: bool = True) -> dict[Any, float]:
    """By what is tested: location, spread and distribution of each score, and that no two of them go together.

    :param scores: arrays of shape ``(replications,)``, each of independent standard normal numbers where all is right.
    :param independent: whether scores of different names are independent of one another.
    """
    found: dict[Any, float] = {}
    for name, score in scores.items():
        score, count = np.asarray(score, np.float64), len(score)
        if not np.all(np.isfinite(score)):
            return {(name, "finite"): 0.0}
        found[name, "mean"] = 2 * stats.norm.sf(abs(score.sum()) / np.sqrt(count))
        squares = stats.chi2(count).cdf(np.sum(score**2))
        found[name, "spread"] = 2 * min(squares, 1 - squares)
        found[name, "distribution"] = stats.kstest(score, "norm").pvalue
    if independent:
        for one, other in combinations(scores, 2):
            found[one, other] = stats.pearsonr(scores[one], scores[other]).pvalue
    return found


def is_calibrated(scores: Mapping[str, Any], independent: bool = True, error_rate: float = ERROR_RATE) -> bool:
    """Whether the smallest of all p-values is above the error rate over their number (Bonferroni)."""
    found = p_values(scores, independent)
    return min(found.values()) > error_rate / len(found)


def assert_calibrated(scores: Mapping[str, Any], independent: bool = True) -> None:
    """Name the scores by which the kernel is wrong."""
    found = p_values(scores, independent)
    bad = {what: p for what, p in found.items() if p <= ERROR_RATE / len(found)}
    assert not bad


def normal_score(u: Any) -> np.ndarray:
    """Standard normal numbers from uniform ones."""
    return stats.norm.ppf(np.clip(u, 1e-15, 1 - 1e-15))


def rank_score(below: Any, among: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers from ranks between 0 and ``among``, which are uniform."""
    return normal_score((np.asarray(below) + rng.random(np.shape(below))) / (among + 1))


def count_score(family: Any, value: Any, rng: np.random.Generator) -> np.ndarray:
    """Standard normal numbers from draws of a discrete distribution of scipy, spread over their steps of its cdf."""
    low, high = family.cdf(value - 1), family.cdf(value)
    return normal_score(low + (high - low) * rng.random(np.shape(value)))


class Prior(NamedTuple):
    """The settings of :func:`regression` that a mistake may change."""

    coefficients: Any = np.array([1.0, 0.5], np.float32)
    shape: float = 6.0
    rate: float = 5.0


X = np.array([-1.0, -0.3, 0.4, 1.0], np.float32)
PRIOR = Prior()


def regression(y: Any = None, prior: Prior = PRIOR) -> None:
    """Two coefficients and a precision, four rows: of a conjugate family in neither all parameters nor constraints."""
    w = numpyro.sample("w", dist.Normal(0.0, prior.coefficients).to_event(1))
    precision = numpyro.sample("precision", dist.Gamma(prior.shape, prior.rate))
    numpyro.sample("y", dist.Normal(w[0] + w[1] * X, precision**-0.5).to_event(1), obs=y)


class Regression:
    """Draws of :func:`regression`, written out: unconstrained positions, data given them, and scores of both."""

    @staticmethod
    def positions(count: int, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        w = rng.normal(size=(count, 2)) * PRIOR.coefficients
        precision = rng.gamma(PRIOR.shape, 1 / PRIOR.rate, count)
        return {"w": w.astype(np.float32), "precision": np.log(precision).astype(np.float32)}

    @staticmethod
    def simulate(key: Any, z: Any) -> Any:
        noise = jax.random.normal(key, X.shape)
        return z["w"][0] + z["w"][1] * X + noise * jnp.exp(-0.5 * z["precision"])

    @staticmethod
    def scores(z: Mapping[str, np.ndarray], y: np.ndarray) -> dict[str, np.ndarray]:
        w, precision = z["w"].astype(float), np.exp(z["precision"].astype(float))
        residuals = (y - w[:, :1] - w[:, 1:] * X) * precision[:, None] ** 0.5
        return {
            "intercept": w[:, 0] / PRIOR.coefficients[0],
            "slope": w[:, 1] / PRIOR.coefficients[1],
            "precision": normal_score(stats.gamma(PRIOR.shape, scale=1 / PRIOR.rate).cdf(precision)),
            **{f"residual {i}": residuals[:, i] for i in range(len(X))},
        }
